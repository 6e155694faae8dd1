"""The table of what is logged where, held against what happens."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.urls import path
from dwebsocket import accept_websocket, notices, unsupported
from dwebsocket.server import Server
from dwebsocket.threads import caller
from serving import PATIENCE
from sites import Site
from sockets import until
from test_database import Database
from test_faults_panic import panic

README = Path(__file__).parents[2] / "README.md"
Row = tuple[str, int]
HEAD = "| logger | level | what |\n|---|---|---|\n"


def rows() -> set[Row]:
    """Loggers and levels of the table."""
    table = README.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0]
    found = re.findall(r"^\| `([a-z.]+)` \| ([A-Z]+) \| .+ \|$", table, re.M)
    assert len(found) == len(table.splitlines())
    return {(logger, getattr(logging, level)) for logger, level in found}


@accept_websocket
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


@accept_websocket
def broken(request: Any) -> None:
    raise LookupError("in the view")


@accept_websocket
def never_stops(request: Any) -> None:
    while True:
        request.websocket.wait()


@accept_websocket
def floods(request: Any) -> None:
    def fill() -> None:
        for _ in range(64):
            request.websocket.send(bytes(1 << 20), binary=True)

    # From a thread that does not own it, so that nobody waits.
    sender = threading.Thread(target=fill)
    sender.start()
    sender.join(PATIENCE)


@accept_websocket
def loses_its_database(request: Any) -> None:
    caller().databases = [Database(error=OperationalError("gone"))]  # type: ignore[list-item]
    request.websocket.wait(0.01)


@accept_websocket
def panics(request: Any) -> None:
    panic()


def plain(request: Any) -> None:
    raise AssertionError("no handshake gets here")


VIEWS = [
    path("echo/", echo),
    path("broken/", broken),
    path("never_stops/", never_stops),
    path("floods/", floods),
    path("loses_its_database/", loses_its_database),
    path("panics/", panics),
    path("plain/", plain),
]


def opens(site: Site, view: str) -> None:
    site.raw(f"/{view}/").close()


def stays(site: Site, view: str) -> None:
    with closing(site.raw(f"/{view}/")) as client:
        client.receive()


def leaves_with_a_close(site: Site) -> None:
    with site.connect("/never_stops/"):
        pass


def ends_without_a_close(site: Site) -> None:
    site.raw("/echo/").reset()


def sends(frame: bytes) -> Callable[[Site], None]:
    def provoke(site: Site) -> None:
        client = site.raw("/echo/")
        client.socket.sendall(frame)
        while client.receive() is not None:
            pass
        client.close()

    return provoke


def is_silent(site: Site) -> None:
    client = site.raw("/echo/")
    while client.receive() is not None:
        pass
    client.close()


def reads_nothing(site: Site) -> None:
    client = site.raw("/floods/")
    until(lambda: bool(notices._kinds))
    client.close()


def asks(request: bytes) -> Callable[[Site], None]:
    def provoke(site: Site) -> None:
        with socket.create_connection(("127.0.0.1", site.port), PATIENCE) as client:
            client.sendall(request)
            while client.recv(1 << 16):
                pass

    return provoke


def shakes_hands(view: str, **fields: str) -> Callable[[Site], None]:
    def provoke(site: Site) -> None:
        assert site.get(f"/{view}/", {**site.HANDSHAKE, **fields})[0] >= 400

    return provoke


def is_unsupported(site: Site) -> None:
    for _ in range(3):
        unsupported.response(unsupported.UnsupportedServer("waitress"), "/echo/", "")


def driver_panics(site: Site) -> None:
    connection: Any = SimpleNamespace(
        close_reason=(1006, "", "lost"), fault=("panic", "why"), peer="127.0.0.1:9"
    )
    notices.SocketLog(None).ended(connection)


def notice(kind: str) -> Callable[[Site], None]:
    """What only a lack of descriptors, or a mistake in the core, can bring about; Rust's tests do."""

    def provoke(site: Site) -> None:
        told = iter([[(kind, 1, None, "src/wire/frame.rs:1: why")], None])
        stand_in: Any = SimpleNamespace(_core=SimpleNamespace(notices=lambda: next(told)))
        Server._tell(stand_in)

    return provoke


SECOND_HOST = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"
LONG_LINE = b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LARGE_HEADER = b"GET / HTTP/1.1\r\nA: " + b"a" * (1 << 17)
BAD_UTF8 = b"\x81\x81\x00\x00\x00\x00\xff"
GARBAGE = bytes(range(0x70, 0x90))
NO_HTTP = b"\x16\x03\x01\x02\x00\x01\r\n\r\n"
CASES: dict[str, tuple[Row, str, Callable[[Site], None]]] = {
    "a view raises": (
        ("django.request", 40),
        "Internal Server Error: /broken/",
        lambda s: opens(s, "broken"),
    ),
    "a socket opens": (("django.server", 20), '"GET /echo/ HTTP/1.1" 101', lambda s: opens(s, "echo")),
    "a socket ends": (("django.server", 20), '" closed 1006 (lost)', lambda s: opens(s, "echo")),
    "a socket opens, for those who want it": (
        ("dwebsocket.access", 20),
        " opened",
        lambda s: opens(s, "echo"),
    ),
    "a socket ends, for those who want it": (
        ("dwebsocket.access", 20),
        " closed 1007 by the server after ",
        sends(BAD_UTF8),
    ),
    "no UTF-8": (("dwebsocket", 10), "closed with 1007", sends(BAD_UTF8)),
    "an unmasked frame": (("dwebsocket", 10), "closed with 1002", sends(b"\x81\x01x")),
    "garbage": (("dwebsocket", 10), "closed with 1002", sends(GARBAGE)),
    "no Pong": (("dwebsocket", 10), "answered no Ping", is_silent),
    "no Close": (("dwebsocket", 10), "left without a Close", ends_without_a_close),
    "ConnectionClosed leaves the view": (("dwebsocket", 10), "the view ended with", leaves_with_a_close),
    "a view that takes none": (("dwebsocket", 10), "refused with 400", shakes_hands("plain")),
    "too much": (("dwebsocket", 30), "closed with 1009", sends(b"\x82\xfe\x10\x00\x00\x00\x00\x00")),
    "too slow": (("dwebsocket", 30), "reads too slowly", reads_nothing),
    "a strange page": (
        ("dwebsocket", 30),
        "refused with 403",
        shakes_hands("echo", Origin="https://evil.example"),
    ),
    "a broken database": (("dwebsocket", 30), "broke as it was", lambda s: stays(s, "loses_its_database")),
    "a server without": (("dwebsocket", 40), "refused with 501: waitress", is_unsupported),
    "a driver that panics": (("dwebsocket", 40), "of 127.0.0.1:9 is lost: why", driver_panics),
    "no HTTP": (("dwebsocket.server", 10), "A request was refused", asks(NO_HTTP)),
    "two hosts": (("dwebsocket.server", 10), "A request was refused", asks(SECOND_HOST)),
    "a bad handshake": (
        ("dwebsocket.server", 10),
        "A request was refused",
        shakes_hands("echo", **{"Sec-WebSocket-Version": "12"}),
    ),
    "a long line": (("dwebsocket.server", 30), "refused with 414", asks(LONG_LINE)),
    "a large header": (("dwebsocket.server", 30), "refused with 431", asks(LARGE_HEADER)),
    "half a request": (("dwebsocket.server", 30), "refused with 408", asks(b"GET / HTTP/1.1\r\n")),
    "no descriptor left": (("dwebsocket.server", 30), "could not be accepted", notice("accept_failed")),
    "a panic of a view's": (
        ("dwebsocket.server", 40),
        "the application failed",
        lambda s: opens(s, "panics"),
    ),
    "a panic": (("dwebsocket.server", 40), "(last src/wire/frame.rs:1: why)", notice("panicked")),
}

HASTE = {
    "no Pong": {"WEBSOCKET_PING_INTERVAL_SECONDS": 0.5, "WEBSOCKET_PING_TIMEOUT_SECONDS": 0.5},
    "half a request": {"WEBSOCKET_HEADER_TIMEOUT_SECONDS": 2.0},
}


@pytest.fixture
def access() -> Iterator[None]:
    """The project has given the logger a handler."""
    logger, handler = logging.getLogger("dwebsocket.access"), logging.NullHandler()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("access")
@pytest.mark.parametrize("case", CASES)
def test_each_thing_is_logged_where_the_table_says_and_ours_says_nothing_worse(
    site: Callable[..., Site],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    case: str,
) -> None:
    (logger, level), fragment, provoke = CASES[case]
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(unsupported, "_told", set())
    running = site(
        *VIEWS,
        MIDDLEWARE=["dwebsocket.middleware.WebSocketMiddleware"],
        WEBSOCKET_OUTBOX_BYTES=1 << 20,
        WEBSOCKET_MAX_MESSAGE_BYTES=1000,
        WEBSOCKET_CLOSE_TIMEOUT_SECONDS=0.2,
        # So short only where it is what is logged: the others' clients may be slow.
        **HASTE.get(case, {}),
    )
    provoke(running)

    def found() -> list[str]:
        told = [r.getMessage() for r in caplog.records if (r.name, r.levelno) == (logger, level)]
        return [message for message in told if fragment in message]

    until(lambda: bool(found()))
    running.stop()
    assert len(found()) == 1
    ours = [r for r in caplog.records if r.name in ("dwebsocket", "dwebsocket.server")]
    assert logger == "django.server" or not [r for r in ours if r.levelno > level]
    if "panic" not in case:
        # pytest's own handlers write nothing there, and Rust must not.
        assert capfd.readouterr().err == ""


def test_the_table_has_a_row_for_each_and_each_row_was_provoked() -> None:
    assert {row for row, _, _ in CASES.values()} == rows()


def test_without_a_handler_of_its_own_the_access_logger_is_silent(
    site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    running = site(*VIEWS)
    opens(running, "echo")
    running.stop()
    assert not [record for record in caplog.records if record.name == "dwebsocket.access"]
