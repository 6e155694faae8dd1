"""Clients that go away at each stage of a handshake and of a close: they leave nothing, and others go on."""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.http import HttpResponse
from django.urls import path
from dwebsocket import accept_websocket
from serving import PATIENCE, read_to_end
from sites import Site
from sockets import CLOSE, HANDSHAKE, TEXT, masked, until

OPEN_ASK = HANDSHAKE % b"/"
CLOSE_1000 = b"\x88\x02\x03\xe8"
LOST = 1006

Go = Callable[[socket.socket], None]


def reset(client: socket.socket) -> None:
    """Goes away with an RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def finish(client: socket.socket) -> None:
    """Sends a FIN, and still reads: the server then ends the connection as well."""
    client.shutdown(socket.SHUT_WR)
    while client.recv(1 << 16):
        pass
    client.close()


class Stage:
    """A site whose view tells how its socket ended, and what was logged meanwhile."""

    def __init__(self, site: Callable[..., Site], caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self.clients: list[socket.socket] = []
        self.ends: queue.SimpleQueue[tuple[list[bytes | None], int]] = queue.SimpleQueue()
        self.asked = threading.Semaphore(0)
        self.may_accept = threading.Event()
        self.may_accept.set()

        @accept_websocket
        def listen(request):
            websocket = request.websocket
            if websocket is None:
                return HttpResponse("hello")
            heard = []
            for message in websocket:
                heard.append(message)
                if message == b"close":
                    websocket.close()
                elif message is not None:
                    websocket.send(message)
            self.ends.put((heard, websocket.close_code))
            return None

        def decide(request):
            self.asked.release()
            assert self.may_accept.wait(PATIENCE)
            return listen(request)

        self.site = site(path("", decide), WEBSOCKET_CLOSE_TIMEOUT_SECONDS=PATIENCE)

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.site.port), timeout=PATIENCE)
        self.clients.append(client)
        return client

    def open(self, behind: bytes = b"") -> socket.socket:
        """A client whose WebSocket is open, and that has sent some bytes behind the handshake."""
        client = self.connect()
        client.sendall(OPEN_ASK)
        receive_head(client)
        client.sendall(behind)
        return client

    def asks(self) -> socket.socket:
        """A client whose handshake has reached the view, which does not answer it before `may_accept`."""
        self.may_accept.clear()
        client = self.connect()
        client.sendall(OPEN_ASK)
        assert self.asked.acquire(timeout=PATIENCE)
        return client

    def end(self) -> tuple[list[bytes | None], int]:
        """What the view heard, and the code it saw in the end."""
        return self.ends.get(timeout=PATIENCE)

    def nothing_is_left(self) -> None:
        """Others are served, no connection or thread is left, and only requests are logged above DEBUG."""
        self.may_accept.set()
        with self.site.connect() as bystander:
            bystander.send("and you?")
            assert bystander.recv(PATIENCE) == "and you?"
        assert self.end() == ([b"and you?", None], 1000)
        counts = ("connections", "websocket_threads", "http_threads")
        until(lambda: not any(self.site.server.counts[name] for name in counts))
        assert self.ends.empty()
        for record in self.caplog.records:
            is_request = record.name == "django.server" and record.levelno == logging.INFO
            assert is_request or record.levelno <= logging.DEBUG, record.getMessage()


def receive(client: socket.socket, expected: bytes) -> None:
    received = b""
    while len(received) < len(expected) and (piece := client.recv(len(expected) - len(received))):
        received += piece
    assert received == expected


def receive_head(client: socket.socket) -> None:
    """Reads the 101."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        assert piece, head
        head += piece
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")


@pytest.fixture
def stage(site, caplog) -> Iterator[Stage]:
    caplog.set_level(logging.DEBUG)
    made = Stage(site, caplog)
    yield made
    made.may_accept.set()
    for client in made.clients:
        client.close()


ways = pytest.mark.parametrize("go", [reset, finish, socket.socket.close])


@ways
@pytest.mark.parametrize("sent", [b"", b"G", OPEN_ASK[:60], OPEN_ASK[:-2]])
def test_a_client_that_leaves_before_its_handshake_is_whole_reaches_no_view(stage, go, sent):
    client = stage.connect()
    client.sendall(sent)
    until(lambda: stage.site.server.counts["connections"] == 1)
    go(client)
    until(lambda: stage.site.server.counts["connections"] == 0)
    stage.nothing_is_left()


@pytest.mark.parametrize("go", [reset, socket.socket.close])
def test_a_client_that_leaves_while_the_view_decides_is_lost_from_the_start(stage, go):
    go(stage.asks())
    stage.may_accept.set()
    assert stage.end() == ([None], LOST)
    stage.nothing_is_left()


def test_a_client_that_ends_its_stream_while_the_view_decides_is_answered_and_lost(stage):
    client = stage.asks()
    client.shutdown(socket.SHUT_WR)
    stage.may_accept.set()
    # It still reads, and is answered.
    receive_head(client)
    assert read_to_end(client) == b""
    client.close()
    assert stage.end() == ([None], LOST)
    stage.nothing_is_left()


@ways
def test_a_client_that_leaves_right_behind_the_101_is_lost(stage, go):
    go(stage.open())
    assert stage.end() == ([None], LOST)
    stage.nothing_is_left()


@ways
@pytest.mark.parametrize("sent", [1, 2, 5, 8])
def test_a_client_that_leaves_inside_a_frame_is_lost_and_what_came_before_is_heard(stage, go, sent):
    client = stage.open(masked(TEXT, b"whole") + masked(TEXT, b"half")[:sent])
    receive(client, b"\x81\x05whole")
    go(client)
    assert stage.end() == ([b"whole", None], LOST)
    stage.nothing_is_left()


def test_a_fin_behind_a_close_is_answered_with_the_close_and_a_fin(stage):
    client = stage.open(masked(TEXT, b"last"))
    # The view has half a second for an answer once the Close is there, which is little on a busy machine.
    receive(client, b"\x81\x04last")
    client.sendall(masked(CLOSE, b"\x03\xe8"))
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == CLOSE_1000
    client.close()
    assert stage.end() == ([b"last", None], 1000)
    stage.nothing_is_left()


@ways
def test_a_client_that_leaves_when_it_has_read_our_answer_to_its_close_has_closed(stage, go):
    client = stage.open(masked(CLOSE, b"\x03\xe9"))
    receive(client, b"\x88\x02\x03\xe9")
    go(client)
    assert stage.end() == ([None], 1001)
    stage.nothing_is_left()


@ways
def test_a_client_that_leaves_without_an_answer_to_our_close_is_not_waited_for(stage, go):
    client = stage.open(masked(TEXT, b"close"))
    receive(client, CLOSE_1000)
    begin = time.monotonic()
    go(client)
    assert stage.end() == ([b"close", None], 1000)
    stage.nothing_is_left()
    assert time.monotonic() - begin < PATIENCE, "the close timeout was waited for"


def test_a_reset_that_overtakes_our_close_ends_the_socket(stage):
    # Unread bytes make the close of the client a reset, whatever it meant by it.
    client = stage.open(masked(TEXT, b"echoed"))
    until(lambda: select.select([client], [], [], 0)[0])
    client.sendall(masked(TEXT, b"close"))
    reset(client)
    heard, code = stage.end()
    # What the reset leaves of the last message is the kernel's affair.
    assert heard[0] == b"echoed"
    assert heard[-1] is None
    assert code in (1000, LOST)
    stage.nothing_is_left()


def test_stop_returns_when_its_time_is_over_though_views_block_for_ever(stage):
    with stage.asks():
        for _ in range(2):
            begin = time.monotonic()
            assert not stage.site.server.stop(timeout=0.2)
            assert 0.2 <= time.monotonic() - begin < 10
    stage.may_accept.set()
    # What opens now is closed as the server stops.
    assert stage.end() == ([None], 1001)
    assert stage.site.server.stop(timeout=PATIENCE)


def test_a_handshake_of_one_byte_at_a_time_gets_408_when_its_time_is_over(site):
    seconds = 0.5
    running = site(path("", accept_websocket(lambda request: None)), WEBSOCKET_HEADER_TIMEOUT_SECONDS=seconds)

    def trickle() -> bytes:
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            # Slow enough that the handshake is not whole in time.
            for byte in OPEN_ASK:
                client.sendall(bytes((byte,)))
                if select.select([client], [], [], 3 * seconds / len(OPEN_ASK))[0]:
                    break
            reply = read_to_end(client)
        assert time.monotonic() - begin >= seconds
        return reply

    with running.connect() as bystander:
        for _ in range(20):
            # Of a client whose first byte is late, nothing is known that could be answered.
            with contextlib.suppress(ConnectionError):
                if reply := trickle():
                    break
        assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        bystander.close()


def test_frames_of_one_byte_at_a_time_are_served(stage):
    client = stage.open()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in masked(TEXT, "grüße".encode()) + masked(TEXT, b"x" * 200):
        client.sendall(bytes((byte,)))
    receive(client, b"\x81\x07" + "grüße".encode() + b"\x81\x7e\x00\xc8" + b"x" * 200)
    client.sendall(masked(CLOSE, b"\x03\xe8"))
    finish(client)
    assert stage.end() == (["grüße".encode(), b"x" * 200, None], 1000)
    stage.nothing_is_left()
