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
    masked,
    read_exactly,
)
from projects import Project
from sites import refusal_of
from sockets import TEXT, until
from websockets.exceptions import InvalidStatus

EVERY_SERVER = pytest.mark.parametrize("name", SERVERS)


def stop(running: Foreign) -> None:
    """Lets the server end as it does when nothing is open."""
    # SIGINT makes gunicorn's gthread worker wait for itself if it arrives while a thread is being started.
    running.process.send_signal(signal.SIGINT if running.server is SERVERS["runserver"] else signal.SIGTERM)
    assert running.wait(15) == 0


def quiet(running: Foreign) -> None:
    """Stops the server: it ends of its own accord and has said nothing that it would not say anyway."""
    stop(running)
    assert running.unexpected() == []


@EVERY_SERVER
def test_messages_are_echoed_and_the_end_is_silent(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    for _ in range(3):
        with running.connect("/echo/") as client:
            echoes(client, "héllo", b"", "x" * 200_000)
    assert running.get("/echo/") == (200, b"http")
    quiet(running)


@EVERY_SERVER
def test_a_fragmented_message_is_one(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    with running.connect("/echo/") as client:
        client.send(["one ", "two ", "three"])
        assert client.recv(timeout=10) == "one two three"


@EVERY_SERVER
def test_a_frame_in_the_packet_of_the_handshake_is_answered(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    with running.raw(behind=masked(TEXT, b"early")) as client:
        read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x05early")
        client.sendall(masked(0x8, b"\x03\xe8"))
        # The Close comes back, and behind it nothing: no response of the server.
        read_exactly(client, b"\x88\x02\x03\xe8")
        assert client.recv(1) == b""
    quiet(running)


@EVERY_SERVER
def test_a_message_that_is_half_in_the_packet_of_the_handshake_is_whole(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    frame = masked(TEXT, b"x" * 60_000)
    with running.raw(behind=frame[:3_000]) as client:
        read_exactly(client, HANDSHAKE_ANSWER)
        client.sendall(frame[3_000:])
        read_exactly(client, b"\x81\x7e\xea\x60" + b"x" * 60_000)


@EVERY_SERVER
def test_nothing_follows_the_close_of_a_view_that_returns(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    with running.raw("/say/") as client:
        read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x03all\x88\x02\x03\xe8")
        client.sendall(masked(0x8, b"\x03\xe8"))
        assert client.recv(1) == b""
    quiet(running)


@EVERY_SERVER
def test_a_view_that_raises_closes_with_1011_and_is_logged_once(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    with running.connect("/broken/") as client:
        client.send("now")
        assert end_of(client) == (1011, "")
    running.stderr.wait_for("LookupError: in the socket's view")
    assert running.get("/echo/") == (200, b"http")
    stop(running)
    lines = running.unexpected()
    assert lines[0] == "Internal Server Error: /broken/"
    assert lines[-1] == "LookupError: in the socket's view"
    assert lines.count("Traceback (most recent call last):") == 1


@EVERY_SERVER
@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
def test_a_client_that_vanishes_ends_the_view_in_silence(
    serve_with: Start, name: str, with_reset: bool
) -> None:
    running = serve_with(name)
    client = running.raw(behind=masked(TEXT, b"here"))
    read_exactly(client, HANDSHAKE_ANSWER + b"\x81\x04here")
    if with_reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    # Under the sync worker this is answered only when the view of the socket has ended.
    assert running.get("/echo/") == (200, b"http")
    quiet(running)


@EVERY_SERVER
def test_a_refused_handshake_is_answered_by_the_server(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    assert refusal_of(lambda: running.connect("/nowhere/"))[0] == 404
    # Without the middleware an undecorated view answers a handshake like any GET.
    assert refusal_of(lambda: running.connect("/undecorated/")) == (200, "http")
    with running.raw(head=b"Sec-WebSocket-Key: again\r\n") as client:
        assert client.recv(12) == b"HTTP/1.1 400"
    with running.connect("/echo/") as client:
        echoes(client, "hello")


@EVERY_SERVER
def test_the_middleware_refuses_a_handshake_for_a_view_that_takes_none(
    foreign_project: Project, serve_with: Start, name: str
) -> None:
    foreign_project.settings('MIDDLEWARE.append("dwebsocket.middleware.WebSocketMiddleware")')
    running = serve_with(name)
    status, body = refusal_of(lambda: running.connect("/undecorated/"))
    assert (status, body) == (400, "This view takes no WebSockets.\n")
    with running.connect("/echo/") as client:
        echoes(client, "hello")


@pytest.mark.parametrize("name", [name for name, server in SERVERS.items() if server.side_by_side])
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
    running.stderr.wait_for("^WebSocket /echo/ refused with 503: too many WebSockets are open$")
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


@EVERY_SERVER
def test_the_settings_of_a_connection_hold_for_adopted_sockets(
    foreign_project: Project, serve_with: Start, name: str
) -> None:
    foreign_project.settings("WEBSOCKET_MAX_MESSAGE_BYTES = 10")
    running = serve_with(name)
    with running.connect("/echo/") as client:
        echoes(client, "0123456789")
        client.send("0123456789a")
        ended = end_of(client)
    assert ended is not None
    assert ended[0] == 1009


@EVERY_SERVER
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_that_is_told_to_stop_ends_at_once_and_says_1001(
    serve_with: Start, name: str, number: signal.Signals
) -> None:
    running = serve_with(name)
    with running.connect("/echo/") as client:
        echoes(client, "hello")
        running.process.send_signal(number)
        ended = end_of(client)
    status = running.wait(15)
    if (name, number) == ("runserver", signal.SIGTERM):
        # Django sets no handler: the signal ends the process at once.
        assert (status, ended) == (-signal.SIGTERM, None)
    else:
        assert (status, ended) == (0, (1001, ""))
    if (name, number) != ("sync", signal.SIGINT):
        # gunicorn's quick stop raises SystemExit in the view that the sync worker is running, and logs it.
        assert running.unexpected() == []
