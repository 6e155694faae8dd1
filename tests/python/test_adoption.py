"""Sockets taken over from servers that are not ours, in a project that does not know of it."""

from __future__ import annotations

import signal
import socket
import struct

import pytest
from foreign import (
    HANDSHAKE_ANSWER,
    SERVERS,
    Foreign,
    Start,
    echoes,
    end_of,
    read_exactly,
)
from projects import Project
from sites import refusal_of
from sockets import TEXT, masked, until
from websockets.exceptions import InvalidStatus

CLOSE_1000 = masked(0x8, b"\x03\xe8")


def test_messages_are_echoed(foreign: Foreign) -> None:
    for _ in range(3):
        with foreign.connect("/echo/") as client:
            echoes(client, "héllo", b"", "x" * 200_000)


def test_a_fragmented_message_is_one(foreign: Foreign) -> None:
    with foreign.connect("/echo/") as client:
        client.send(["one ", "two ", "three"])
        assert client.recv(timeout=10) == "one two three"


def test_a_frame_in_the_packet_of_the_handshake_is_answered(foreign: Foreign) -> None:
    with foreign.raw(behind=masked(TEXT, b"early")) as client:
        read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x05early")
        client.sendall(CLOSE_1000)
        # The Close comes back, and behind it nothing: no response of the server.
        read_exactly(client, b"\x88\x02\x03\xe8")
        assert client.recv(1) == b""


def test_a_message_that_is_half_in_the_packet_of_the_handshake_is_whole(foreign: Foreign) -> None:
    frame = masked(TEXT, b"x" * 60_000)
    with foreign.raw(behind=frame[:3_000]) as client:
        read_exactly(client, HANDSHAKE_ANSWER)
        client.sendall(frame[3_000:])
        read_exactly(client, b"\x81\x7e\xea\x60" + b"x" * 60_000)


def test_nothing_follows_the_close_of_a_view_that_returns(foreign: Foreign) -> None:
    with foreign.raw("/say/") as client:
        read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x03all\x88\x02\x03\xe8")
        client.sendall(CLOSE_1000)
        assert client.recv(1) == b""


def test_a_view_that_raises_closes_with_1011_and_is_logged_once(foreign: Foreign) -> None:
    with foreign.connect("/broken/") as client:
        client.send("now")
        assert end_of(client) == (1011, "")
    foreign.stderr.wait_for("LookupError: in the socket's view")
    assert foreign.get("/echo/") == (200, b"http")
    lines = [line for line in foreign.unexpected() if line]
    # Under Werkzeug its debugger is shown the exception, not Django's log.
    assert foreign.server is SERVERS["werkzeug"] or lines[0] == "Internal Server Error: /broken/"
    assert lines[-1] == "LookupError: in the socket's view"
    assert lines.count("Traceback (most recent call last):") == 1
    foreign.expect()


@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
def test_a_client_that_vanishes_ends_the_view_in_silence(foreign: Foreign, with_reset: bool) -> None:
    client = foreign.raw(behind=masked(TEXT, b"here"))
    read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x04here")
    if with_reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_a_refused_handshake_is_answered_by_the_server(foreign: Foreign) -> None:
    assert refusal_of(lambda: foreign.connect("/nowhere/"))[0] == 404
    # Without the middleware an undecorated view answers a handshake like any GET.
    assert refusal_of(lambda: foreign.connect("/undecorated/")) == (200, "http")
    with foreign.raw(head=b"Sec-WebSocket-Key: again\r\n") as client:
        received = b""
        while b"This is not a valid WebSocket handshake.\n" not in received:
            received += client.recv(1000)
        assert received.startswith(b"HTTP/1.1 400")
    with foreign.connect("/echo/") as client:
        echoes(client, "hello")
    assert set(foreign.unexpected()) <= {"Not Found: /nowhere/", "Bad Request: /echo/"}
    foreign.expect()


@pytest.mark.parametrize(
    ("start", "field", "status", "demanded"),
    [
        (b"GET", b"Sec-WebSocket-Version: 8", b" 426 ", b"sec-websocket-version: 13"),
        (b"OPTIONS", b"Sec-WebSocket-Version: 13", b" 405 ", b"allow: get"),
        (b"GET", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, a", b" 400 ", b""),
    ],
)
def test_a_handshake_that_will_not_do_is_refused_as_the_rfc_says(
    foreign: Foreign, start: bytes, field: bytes, status: bytes, demanded: bytes
) -> None:
    with socket.create_connection((foreign.host, foreign.port), timeout=10) as client:
        client.sendall(
            start + b" /echo/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + field + b"\r\n\r\n"
        )
        received = b""
        while b"This is not a valid WebSocket handshake.\n" not in received:
            piece = client.recv(1000)
            assert piece, received
            received += piece
    assert status in received.splitlines()[0]
    assert demanded in received.lower()
    # The client's mistake: nobody is warned of it.
    assert foreign.unexpected() == []


def test_the_middleware_refuses_a_handshake_for_a_view_that_takes_none(
    foreign_project: Project, serve_with: Start
) -> None:
    foreign_project.settings('MIDDLEWARE.append("dwebsocket.middleware.WebSocketMiddleware")')
    running = serve_with("gthread")
    status, body = refusal_of(lambda: running.connect("/undecorated/"))
    assert (status, body) == (400, "This view takes no WebSockets.\n")
    with running.connect("/echo/") as client:
        echoes(client, "hello")


@pytest.mark.parametrize("name", ["runserver", "gthread", "gevent"])
def test_no_more_sockets_are_adopted_than_the_setting_allows(
    foreign_project: Project, serve_with: Start, name: str
) -> None:
    foreign_project.settings("WEBSOCKET_MAX_CONNECTIONS = 2")
    running = serve_with(name)
    with running.connect("/echo/") as first, running.connect("/echo/") as second:
        status, body = refusal_of(lambda: running.connect("/echo/"))
        assert (status, body) == (503, "Too many WebSockets are open.\n")
        echoes(first, "one")
        echoes(second, "two")
        assert running.get("/echo/") == (200, b"http")
    running.stderr.wait_for(
        r"^WebSocket /echo/ of 127\.0\.0\.1 refused with 503: too many WebSockets are open; "
        "WEBSOCKET_MAX_CONNECTIONS sets how many may be$"
    )
    assert not any("Service Unavailable: /echo/" in line for line in running.stderr.lines)
    clients = []

    def has_place() -> bool:
        try:
            clients.append(running.connect("/echo/"))
        except InvalidStatus as refused:
            assert refused.response.status_code == 503  # noqa: PT017
            return False
        return True

    # The place is free once the socket is let go, which nobody outside is told.
    until(has_place)
    with clients[0]:
        echoes(clients[0], "three")


def test_the_settings_of_a_connection_hold_for_adopted_sockets(
    foreign_project: Project, serve_with: Start
) -> None:
    foreign_project.settings("WEBSOCKET_MAX_MESSAGE_BYTES = 10")
    running = serve_with("gthread")
    with running.connect("/echo/") as client:
        echoes(client, "0123456789")
        client.send("0123456789a")
        ended = end_of(client)
    assert ended is not None
    assert ended[0] == 1009
    running.stderr.wait_for(
        r"^WebSocket /echo/ of 127\.0\.0\.1:\d+ closed with 1009: the client sent a message of more than 10 "
        "bytes; WEBSOCKET_MAX_MESSAGE_BYTES sets how large one may be$"
    )


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, signal.SIGINT) for name in SERVERS),
        # Werkzeug's reloader kills its server when it is terminated itself.
        *((name, signal.SIGTERM) for name in SERVERS if name != "werkzeug"),
    ],
)
def test_a_server_that_is_told_to_stop_ends_at_once_and_says_1001(
    serve_with: Start, name: str, number: signal.Signals
) -> None:
    running = serve_with(name)
    with running.connect("/echo/") as client:
        echoes(client, "hello")
        running.signal(number)
        ended = end_of(client)
    status = running.wait(15)
    if (name, number) == ("runserver", signal.SIGTERM):
        # Without its autoreloader it has no handler: the signal ends the process at once.
        assert (status, ended) == (-signal.SIGTERM, None)
    else:
        assert (status, ended) == (0, (1001, ""))
    if (name, number) != ("sync", signal.SIGINT):
        # gunicorn's quick stop raises SystemExit in the view that the sync worker is running, and logs it.
        assert running.unexpected() == []
