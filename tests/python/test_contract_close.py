"""What a view sees when a socket ends."""

from __future__ import annotations

import select
import time

import pytest
import websockets.exceptions
from dwebsocket.exceptions import ConnectionClosed
from serving import PATIENCE
from sockets import CLOSE, TEXT, masked


def close_with_a_code(client):
    client.send(CLOSE, b"\x0f\xa1because")


def close_without_a_code(client):
    client.send(CLOSE)


def vanish(client):
    client.close()


def vanish_with_a_reset(client):
    client.reset()


ways_to_go = pytest.mark.parametrize(
    ("go", "code", "reason"),
    [
        (close_with_a_code, 4001, "because"),
        (close_without_a_code, 1005, ""),
        (vanish, 1006, ""),
        (vanish_with_a_reset, 1006, ""),
    ],
)


def the_end_can_be_taken(websocket):
    select.select([websocket.fileno()], [], [], PATIENCE)


@ways_to_go
def test_wait_gives_none_and_then_raises(sockets, go, code, reason):
    ends = sockets.open(raw=True)
    go(ends.client)
    assert ends.websocket.wait() is None
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as raised:
            ends.websocket.wait()
        assert (raised.value.code, raised.value.reason) == (code, reason)


@ways_to_go
def test_read_gives_none_even_with_a_fallback_and_then_raises(sockets, go, code, reason):
    ends = sockets.open(raw=True)
    go(ends.client)
    the_end_can_be_taken(ends.websocket)
    assert ends.websocket.read("a fallback") is None
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as raised:
            ends.websocket.read("a fallback")
        assert (raised.value.code, raised.value.reason) == (code, reason)


@ways_to_go
def test_has_messages_and_count_messages_see_the_none_until_it_is_taken_and_then_raise(
    sockets, go, code, reason
):
    ends = sockets.open(raw=True)
    go(ends.client)
    the_end_can_be_taken(ends.websocket)
    for _ in range(3):
        assert ends.websocket.count_messages() == 1
        assert ends.websocket.has_messages() is True
    assert ends.websocket.read() is None
    for look in (ends.websocket.count_messages, ends.websocket.has_messages):
        with pytest.raises(ConnectionClosed) as raised:
            look()
        assert (raised.value.code, raised.value.reason) == (code, reason)


@ways_to_go
def test_iteration_gives_one_none_and_ends(sockets, go, code, reason):
    ends = sockets.open(raw=True)
    go(ends.client)
    assert list(ends.websocket) == [None]
    with pytest.raises(ConnectionClosed):
        list(ends.websocket)


@ways_to_go
def test_what_arrived_before_the_end_comes_first(sockets, go, code, reason):
    ends = sockets.open(raw=True)
    ends.say("1", "2", "3")
    go(ends.client)
    ends.ends()
    websocket = ends.websocket
    assert websocket.count_messages() == 3
    assert (websocket.wait(), websocket.read(), next(iter(websocket))) == (b"1", b"2", b"3")
    assert websocket.count_messages() == 1
    assert websocket.wait() is None


@ways_to_go
def test_a_push_loop_that_asks_for_closed_ends(sockets, go, code, reason):
    def push(websocket):
        sent = 0
        while not websocket.closed:
            websocket.send("tick")
            sent += 1
        return sent

    ends = sockets.open(push, raw=True)
    assert ends.client.receive() == (0x81, b"tick")
    go(ends.client)
    assert ends.result() >= 1


def test_a_message_that_is_in_the_packet_of_the_close_is_read(sockets):
    ends = sockets.open(raw=True)
    ends.client.socket.sendall(b"\x81\x82\0\0\0\0hi" + b"\x88\x80\0\0\0\0")
    ends.ends()
    assert list(ends.websocket) == [b"hi", None]


def test_what_came_before_the_close_is_answered_before_it(sockets):
    # Half a second is given for it, which a thread on a busy machine may miss.
    for _ in range(20):
        ends = sockets.open(raw=True)
        sent = time.monotonic()
        ends.client.socket.sendall(masked(TEXT, b"last words") + masked(CLOSE, b"\x03\xe8"))
        assert ends.websocket.wait() == b"last words"
        ends.websocket.send("heard")
        seconds = time.monotonic() - sent
        assert ends.websocket.wait() is None
        received = ends.client.receive()
        if received == (0x81, b"heard"):
            assert ends.client.receive() == (0x88, b"\x03\xe8")
            return
        assert seconds > 0.4
    raise AssertionError("it is never in time")


def test_a_frame_in_the_packet_of_the_handshake_is_answered(sockets):
    ends = sockets.open(
        lambda websocket: websocket.send(websocket.wait()), raw=True, behind_handshake=b"\x81\x82\0\0\0\0hi"
    )
    assert ends.client.receive() == (0x81, b"hi")


def test_the_clients_close_is_echoed_with_its_code_and_reason(sockets):
    ends = sockets.open(raw=True)
    ends.client.send(CLOSE, b"\x0f\xa1because")
    assert ends.client.receive() == (0x88, b"\x0f\xa1because")


def test_a_view_that_returns_closes_with_1000_and_no_byte_follows(sockets):
    ends = sockets.open(lambda websocket: websocket.send("last words"), raw=True)
    assert ends.client.receive() == (0x81, b"last words")
    assert ends.client.receive() == (0x88, b"\x03\xe8")
    ends.client.send(CLOSE, b"\x03\xe8")
    assert ends.client.receive() is None


def test_a_stopping_server_closes_with_1001_and_ends_the_view(sockets):
    ends = sockets.open(lambda websocket: websocket.wait())
    sockets.serving.stop()
    assert ends.result() is None
    with pytest.raises(websockets.exceptions.ConnectionClosed):
        ends.client.recv(PATIENCE)
    assert ends.client.close_code == 1001
