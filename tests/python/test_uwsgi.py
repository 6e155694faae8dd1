"""Sockets under uWSGI, the real one: its router, nginx before it, its options, its reloads and its end."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from dwebsocket import unsupported
from dwebsocket.handover import uwsgi as finder
from foreign import (
    HANDSHAKE_ANSWER,
    OF_UWSGI,
    UWSGI,
    Foreign,
    Server,
    Start,
    echoes,
    end_of,
    read_exactly,
)
from nginx import configure, program
from projects import Project, Running, free_port
from sites import refusal_of
from sockets import PATIENCE, TEXT, masked, until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

ROUTER = Server((*UWSGI, "--shared-socket", "127.0.0.1:0", "--http", "=0"), OF_UWSGI)
ALONE = Server((*UWSGI, "--http-socket", "127.0.0.1:0"), OF_UWSGI)
BEHIND_NGINX = Server((*UWSGI, "--socket", "127.0.0.1:0"), OF_UWSGI)
HANDSHAKE = (
    b"GET /echo/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
NGINX_SERVER = """
server {{
    listen unix:{folder}/nginx.socket;
    location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass 127.0.0.1:{port}; }}
}}
"""
PUSH = """
import time
from dwebsocket import require_websocket

@require_websocket
def push(request):
    while True:
        request.websocket.send("tick")
        time.sleep(0.05)
"""


@pytest.fixture
def routed(serve_with: Start) -> Foreign:
    """uWSGI with its http router before the worker, as a master."""
    return serve_with(ROUTER, "--http-raw-body", "--master", "--die-on-term")


def test_its_router_passes_messages_both_ways(routed: Foreign) -> None:
    with routed.connect("/echo/") as client:
        echoes(client, "héllo", b"", "x" * 200_000)
    assert routed.get("/echo/") == (200, b"http")
    routed.terminate()
    assert routed.wait(15) == 0
    assert routed.unexpected() == []


def test_its_router_with_raw_bodies_passes_a_frame_in_the_packet_of_the_handshake(routed: Foreign) -> None:
    with routed.raw(behind=masked(TEXT, b"early")) as client:
        read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x05early")
        client.sendall(masked(0x8, b"\x03\xe8"))
        read_exactly(client, b"\x88\x02\x03\xe8")
        assert client.recv(1) == b""


def test_its_router_with_the_websockets_option_will_do(serve_with: Start) -> None:
    running = serve_with(ROUTER, "--http-websockets")
    with running.connect("/echo/") as client:
        echoes(client, "hello")


@pytest.mark.alone
def test_the_router_does_not_time_out_while_pings_go_to_and_fro(
    foreign_project: Project, serve_with: Start
) -> None:
    foreign_project.settings("WEBSOCKET_PING_INTERVAL_SECONDS = 0.5")
    running = serve_with(ROUTER, "--http-raw-body", "--http-timeout", "2")
    with running.raw() as client:
        read_exactly(client, HANDSHAKE_ANSWER)
        # Twice the router's patience, and no message but these; then the echo, which one more may precede.
        for pings in itertools.count():
            head = client.recv(2, socket.MSG_WAITALL)
            if head[0] != 0x89:
                break
            payload = client.recv(head[1], socket.MSG_WAITALL) if head[1] else b""
            client.sendall(masked(0xA, payload))
            if pings == 7:
                client.sendall(masked(TEXT, b"still there"))
        assert pings > 7
        assert head == b"\x81\x0b"
        read_exactly(client, b"still there")


def test_tls_in_its_router_carries_sockets(serve_with: Start, certificate: tuple[str, str]) -> None:
    https = ("--https", ",".join(("=0", *certificate)), "--http-raw-body")
    running = serve_with(Server((*UWSGI, "--shared-socket", "127.0.0.1:0", *https), OF_UWSGI))
    with connect_by_tls(running) as client:
        echoes(client, "hello", "x" * 200_000)


def test_tls_in_its_worker_is_refused(serve_with: Start, certificate: tuple[str, str]) -> None:
    address = ",".join(("127.0.0.1:0", *certificate))
    running = serve_with(Server((*UWSGI, "--https-socket", address), OF_UWSGI))
    status, body = refusal_of(lambda: connect_by_tls(running))
    assert status == 501
    assert "Start uWSGI with --https and --http-raw-body in place of --https-socket" in body


def connect_by_tls(running: Foreign) -> ClientConnection:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return connect(f"wss://{running.host}:{running.port}/echo/", ssl=context, compression=None)


def test_the_old_factory_setting_works(foreign_project: Project, serve_with: Start) -> None:
    path = "dwebsocket.backends.uwsgi.factory.uWsgiWebSocketFactory"
    foreign_project.settings(f'WEBSOCKET_FACTORY_CLASS = "{path}"')
    running = serve_with("uwsgi")
    with running.connect("/echo/") as client:
        echoes(client, "hello")


@pytest.mark.parametrize("options", [(), ("--enable-threads",)], ids=["no threads", "threads enabled"])
def test_one_thread_takes_one_socket_after_the_other(serve_with: Start, options: tuple[str, ...]) -> None:
    running = serve_with("uwsgi", "--threads", "1", *options)
    for _ in range(3):
        with running.connect("/echo/") as client:
            echoes(client, "hello")
    with running.raw(behind=masked(TEXT, b"early")) as client:
        read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x05early")


def test_there_are_as_many_sockets_as_threads_and_the_next_one_waits(serve_with: Start) -> None:
    running = serve_with("uwsgi", "--threads", "2")
    with running.connect("/echo/") as first, running.connect("/echo/") as second, running.raw() as third:
        echoes(first, "one")
        echoes(second, "two")
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.recv(1)
        third.settimeout(PATIENCE)
        first.close()
        read_exactly(third, HANDSHAKE_ANSWER)


def test_early_bytes_of_many_threads_are_each_their_own(serve_with: Start) -> None:
    running = serve_with("uwsgi")
    for _ in range(5):
        clients = [running.raw(behind=masked(TEXT, b"number %02d" % number)) for number in range(16)]
        for number, client in enumerate(clients):
            with client:
                read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x09number %02d" % number)


def test_sockets_leave_no_descriptor_behind(serve_with: Start) -> None:
    running = serve_with("uwsgi")

    def use() -> None:
        with running.connect("/echo/") as client:
            echoes(client, "hello")

    # What is made once: the runtime's descriptors.
    use()
    before = int(running.get("/descriptors/")[1])
    for _ in range(50):
        use()
    until(lambda: int(running.get("/descriptors/")[1]) <= before)


def nginx(project: Project, port: int, folder: Path) -> Running:
    if not Path("/etc/nginx/uwsgi_params").exists():
        pytest.skip("needs the Debian package nginx-light")
    configuration = configure(folder, NGINX_SERVER.format(folder=folder, port=port))
    return Running([program(), "-c", str(configuration), "-p", str(folder)], folder, project._environ())


def test_nginx_passes_sockets_to_the_uwsgi_protocol(
    foreign_project: Project, serve_with: Start, tmp_path: Path
) -> None:
    worker = serve_with(BEHIND_NGINX)
    proxy = nginx(foreign_project, worker.port, tmp_path)
    try:
        path = tmp_path / "nginx.socket"
        until(path.exists)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            until(lambda: client.connect_ex(str(path)) == 0)
            client.sendall(HANDSHAKE + masked(TEXT, b"early"))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            assert head.startswith(b"HTTP/1.1 101 ")
            read_exactly(client, b"\x81\x05early")
            client.sendall(masked(TEXT, b"x" * 70_000))
            read_exactly(client, b"\x81\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000)
            client.sendall(masked(0x8, b"\x03\xe8"))
            read_exactly(client, b"\x88\x02\x03\xe8")
            assert client.recv(1) == b""
    finally:
        proxy.end()


ASYNC = ("uwsgi", "--threads", "1", "--async", "4", "--ugreen")
REFUSED = [
    ((ROUTER,), "uWSGI's http router keeps back", "--http-raw-body"),
    (ASYNC, "uWSGI runs in async mode", "--threads in place of --async"),
]


@pytest.mark.parametrize(("start", "reason", "way"), REFUSED, ids=["no raw bodies", "async"])
def test_where_it_cannot_work_the_option_is_named(
    serve_with: Start, start: tuple[Any, ...], reason: str, way: str
) -> None:
    running = serve_with(*start)
    status, body = refusal_of(lambda: running.connect("/echo/"))
    assert status == 501
    assert reason in body
    assert way in body
    running.stderr.wait_for(f"^WebSocket /echo/ refused with 501: .*{way}")
    assert running.get("/echo/") == (200, b"http")


@pytest.mark.parametrize("master", [True, False], ids=["master", "no master"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_every_socket_is_told_before_a_worker_exits(
    serve_with: Start, number: signal.Signals, master: bool
) -> None:
    running = serve_with("uwsgi") if master else serve_with(ALONE)
    with running.connect("/echo/") as first, running.connect("/echo/") as second:
        echoes(first, "one")
        echoes(second, "two")
        running.process.send_signal(number)
        assert [end_of(first), end_of(second)] == [(1001, ""), (1001, "")]
    # Without a master uWSGI ends with the status by which its workers tell one.
    assert running.wait(15) == (0 if master else 30)
    assert running.unexpected() == []


def test_a_reload_closes_sockets_with_1012_and_goes_on(foreign_project: Project, serve_with: Start) -> None:
    foreign_project.write("views.py", (foreign_project.folder / "views.py").read_text() + PUSH)
    foreign_project.urls('path("echo/", views.echo)', 'path("push/", views.push)')
    # Bound to port 0 uWSGI would take another one after the reload.
    address = f"127.0.0.1:{free_port()}"
    running = serve_with(Server((*UWSGI, "--http-socket", address, "--master", "--die-on-term"), OF_UWSGI))
    with running.connect("/echo/") as idle, running.connect("/push/") as pushing:
        echoes(idle, "hello")
        assert pushing.recv(timeout=PATIENCE) == "tick"
        before = len(running.stderr.lines)
        running.process.send_signal(signal.SIGHUP)
        assert end_of(idle) == (1012, "")
        with contextlib.suppress(ConnectionClosed):
            while pushing.recv(timeout=PATIENCE) == "tick":
                continue
        assert pushing.close_code == 1012
    # The view that never reads has ended as well, or the worker would be waited for, for a minute.
    running.stderr.wait_for(r"^spawned uWSGI worker 1 ", after=before, timeout=20)
    with running.connect("/echo/") as again:
        echoes(again, "hello again")
    running.terminate()
    assert running.wait(15) == 0


def test_elsewhere_a_handler_of_sighup_has_nothing_to_do_with_sockets(
    foreign_project: Project, serve_with: Start
) -> None:
    handler = "lambda *_: print('log files opened anew', file=sys.stderr, flush=True)"
    foreign_project.settings(f"import signal, sys\nsignal.signal(signal.SIGHUP, {handler})")
    running = serve_with("runserver")
    with running.connect("/echo/") as client:
        echoes(client, "before")
        running.process.send_signal(signal.SIGHUP)
        running.stderr.wait_for("^log files opened anew$")
        echoes(client, "after")


def environ(**more: Any) -> dict[str, Any]:
    return {"uwsgi.version": b"2.0.31", "wsgi.url_scheme": "http", "wsgi.multithread": True, **more}


def obstacle(options: Mapping[str, object], **more: Any) -> unsupported.Obstacle | None:
    return finder._obstacle(environ(**more), options)


@pytest.mark.parametrize("option", ["https-socket", "ssl-socket", "suwsgi-socket"])
def test_tls_in_the_worker_is_an_obstacle(option: str) -> None:
    assert obstacle({option: b"x"}, **{"wsgi.url_scheme": "https"}) is unsupported.UWSGI_TLS
    assert obstacle({option: b"x"}) is None


@pytest.mark.parametrize("option", ["fastcgi-socket", "scgi-socket", "puwsgi-socket", "raw-socket"])
def test_another_protocol_is_an_obstacle(option: str) -> None:
    assert obstacle({option: b"x"}) is unsupported.UWSGI_PROTOCOL


def test_tls_in_the_router_or_before_it_is_none() -> None:
    options = {"https": b"=0,cert,key", "http-raw-body": True}
    assert obstacle(options, UWSGI_ROUTER="http", **{"wsgi.url_scheme": "https"}) is None
    assert obstacle({"socket": b"x"}, **{"wsgi.url_scheme": "https"}) is None


def test_what_comes_past_the_router_needs_no_option_of_it() -> None:
    assert obstacle({"http": b"=0", "socket": b"x"}) is None
    for options in ({"http": b"=0"}, {"http": b"=0", "http-raw-body": b"false"}):
        assert obstacle(options, UWSGI_ROUTER="http") is unsupported.UWSGI_ROUTER
    # Of a router that is another process nothing is known.
    assert obstacle({"socket": b"x"}, UWSGI_ROUTER="http") is None


def test_a_uwsgi_that_exports_nothing_is_refused_before_anything_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("uwsgi")
    module.opt = {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    # The Python that runs this test exports nothing of uWSGI.
    with pytest.raises(unsupported.UnsupportedServer, match="This build of uWSGI") as raised:
        finder.find(environ())
    assert raised.value.server == "uWSGI 2.0.31"


def test_a_request_of_another_server_is_none_of_its_own() -> None:
    assert finder.find({"wsgi.version": (1, 0)}) is None
