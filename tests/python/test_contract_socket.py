"""The members of ``request.websocket`` against those of dwebsocket 0.5.12."""

from __future__ import annotations

import json
import select
import socket
import threading
import time

import pytest
import websockets.exceptions
from dwebsocket.backends.default.protocols import WebSocketProtocol13, get_websocket_protocol
from dwebsocket.backends.default.websocket import DefaultWebSocket
from dwebsocket.websocket import WebSocket
from serving import PATIENCE
from sockets import BINARY, CLOSE, PING, PONG, TEXT, until


def test_wait_takes_the_next_message(sockets):
    ends = sockets.open()
    ends.say("1", b"2")
    assert [ends.websocket.wait(), ends.websocket.wait()] == [b"1", b"2"]


@pytest.mark.parametrize("timeout", [-1, -0.5, float("-inf"), float("inf"), 1e300, None])
def test_wait_with_a_negative_or_boundless_timeout_waits_for_ever(sockets, in_thread, timeout):
    ends = sockets.open()
    taken = in_thread(ends.websocket.wait, timeout)
    ends.client.send("later")
    assert taken.result(PATIENCE) == b"later"


def test_wait_refuses_a_timeout_that_is_not_a_number(sockets):
    ends = sockets.open()
    with pytest.raises(ValueError, match="not a number"):
        ends.websocket.wait(float("nan"))


def test_read_gives_the_fallback_at_once_when_nothing_came(sockets):
    ends = sockets.open()
    assert ends.websocket.read() is None
    assert ends.websocket.read(b"nothing") == b"nothing"
    assert ends.websocket.read(fallback=0) == 0


def test_has_messages_and_count_messages_look_without_taking(sockets):
    ends = sockets.open()
    websocket = ends.websocket
    assert websocket.has_messages() is False
    assert websocket.count_messages() == 0
    ends.say("1", "2", "3")
    assert websocket.has_messages() is True
    assert websocket.count_messages() == 3
    assert websocket.read() == b"1"
    assert websocket.count_messages() == 2


def test_iteration_gives_every_message_then_one_none_then_ends(sockets):
    ends = sockets.open()
    ends.say("1", "2")
    ends.client.close()
    assert list(ends.websocket) == [b"1", b"2", None]


def test_an_empty_message_is_a_message(sockets):
    ends = sockets.open()
    ends.say("", b"", "x")
    assert [ends.websocket.wait(), ends.websocket.read(None), ends.websocket.read()] == [b"", b"", b"x"]


@pytest.mark.parametrize(
    ("message", "received"),
    [
        ("text", "text"),
        ("你刚才对我说:b'hello'", "你刚才对我说:b'hello'"),
        (b"bytes", "bytes"),
        ("你好".encode(), "你好"),
        (bytearray(b"array"), "array"),
        (memoryview(b"view"), "view"),
        (memoryview(b"v-i-e-w")[::2], "view"),
        ("", ""),
        (b"", ""),
        ({"img_base64": "aGk="}, '{"img_base64":"aGk="}'),
        ([1, 2.5, None], "[1,2.5,null]"),
        ((1,), "[1]"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
    ],
    ids=lambda value: repr(value).split(" at 0x")[0],
)
def test_send_sends_a_text_frame_and_returns_none(sockets, message, received):
    ends = sockets.open()
    assert ends.websocket.send(message) is None
    assert ends.client.recv(PATIENCE) == received


@pytest.mark.parametrize(
    ("message", "received"),
    [
        (b"\xff\x00", b"\xff\x00"),
        (bytearray(b"\xfe"), b"\xfe"),
        (memoryview(b"\xfd"), b"\xfd"),
        ("text", b"text"),
        ({"a": 1}, b'{"a":1}'),
    ],
    ids=lambda value: repr(value).split(" at 0x")[0],
)
def test_send_sends_a_binary_frame_when_told_to(sockets, message, received):
    ends = sockets.open()
    assert ends.websocket.send(message, binary=True) is None
    assert ends.client.recv(PATIENCE) == received


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 65537, 3 << 20])
@pytest.mark.parametrize("make", [lambda n: "x" * n, lambda n: b"x" * n, lambda n: ["x" * n]])
def test_send_sends_messages_of_any_length(sockets, length, make):
    ends = sockets.open()
    message = make(length)
    ends.websocket.send(message)
    expected = message.decode() if isinstance(message, bytes) else message
    received = ends.client.recv(PATIENCE)
    assert (json.loads(received) if isinstance(message, list) else received) == expected


def test_send_refuses_bytes_that_are_not_utf8_and_names_binary(sockets):
    ends = sockets.open()
    with pytest.raises(ValueError, match=r"from byte 2 on.*binary=True"):
        ends.websocket.send(b"ok\xff")
    ends.websocket.send("still open")
    assert ends.client.recv(PATIENCE) == "still open"


def test_threads_that_send_do_not_interleave(sockets):
    count, size = 200, 20_000
    # Others than the owner never wait: the outbox has room for everything.
    sockets.start(outbox_bytes=4 * count * (size + 10))
    ends = sockets.open()
    start = threading.Barrier(4)

    def push(letter):
        start.wait(PATIENCE)
        for _ in range(count):
            ends.websocket.send(letter * size)

    threads = [threading.Thread(target=push, args=(letter,)) for letter in "abcd"]
    received = []
    reader = threading.Thread(
        target=lambda: received.extend(ends.client.recv(PATIENCE) for _ in range(4 * count))
    )
    for thread in (reader, *threads):
        thread.start()
    for thread in (*threads, reader):
        thread.join(PATIENCE)
    assert {letter: received.count(letter * size) for letter in "abcd"} == dict.fromkeys("abcd", count)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((), 1000, ""),
        ((None, None), 1000, ""),
        ((1000, b"bye"), 1000, "bye"),
        ((4001, "bye"), 4001, "bye"),
        ((1001, "再见"), 1001, "再见"),
        ((1001, "再见".encode()), 1001, "再见"),
        ((None, b"only a reason"), 1000, "only a reason"),
        ((1000, "x" * 123), 1000, "x" * 123),
    ],
)
def test_close_sends_its_code_and_reason(sockets, arguments, code, reason):
    ends = sockets.open()
    ends.websocket.close(*arguments)
    with pytest.raises(websockets.exceptions.ConnectionClosed):
        ends.client.recv(PATIENCE)
    assert (ends.client.close_code, ends.client.close_reason) == (code, reason)


@pytest.mark.parametrize(
    "arguments",
    [
        (999,),
        (1005,),
        (1006,),
        (1015,),
        (5000,),
        (70000,),
        (-1,),
        (1000, "x" * 124),
        (1000, b"\xff"),
        (1000, "\ud800"),
    ],
)
def test_close_refuses_what_cannot_be_sent(sockets, arguments):
    ends = sockets.open()
    with pytest.raises(ValueError):  # noqa: PT011 -- the wording is the core's
        ends.websocket.close(*arguments)
    assert ends.websocket.closed is False
    ends.websocket.close()
    assert ends.websocket.closed is True


def test_close_twice_is_harmless_and_the_first_counts(sockets):
    ends = sockets.open()
    ends.websocket.close(4001)
    ends.websocket.close(4002)
    with pytest.raises(websockets.exceptions.ConnectionClosed):
        ends.client.recv(PATIENCE)
    assert ends.client.close_code == 4001


def test_close_works_from_any_thread_and_ends_a_wait(sockets, in_thread):
    ends = sockets.open(lambda websocket: (websocket.wait(), websocket.closed))
    in_thread(ends.websocket.close, 4000).result(PATIENCE)
    assert ends.result() == (None, True)


def test_close_comes_behind_what_was_sent(sockets):
    ends = sockets.open()
    for number in range(100):
        ends.websocket.send(number)
    ends.websocket.close()
    assert [int(message) for message in ends.client] == list(range(100))


def test_closed_is_false_while_it_is_open(sockets):
    ends = sockets.open()
    assert ends.websocket.closed is False
    assert ends.websocket.is_closed() is False
    assert ends.websocket.protocol.is_closed() is False


def test_closed_is_true_without_a_read_once_the_client_has_gone(sockets):
    ends = sockets.open()
    ends.client.close()
    until(lambda: ends.websocket.closed)
    assert ends.websocket.is_closed() is True


def test_closed_stays_false_while_a_message_is_unread(sockets):
    ends = sockets.open()
    ends.say("unread")
    ends.client.close()
    ends.ends()
    assert ends.websocket.closed is False
    assert ends.websocket.protocol.is_closed() is True
    assert ends.websocket.read() == b"unread"
    assert ends.websocket.closed is True


def test_closed_is_true_at_once_after_our_own_close(sockets):
    ends = sockets.open()
    ends.say("unread")
    ends.websocket.close()
    assert ends.websocket.closed is True
    assert ends.websocket.read() == b"unread"
    assert ends.websocket.read() is None


def test_handle_is_called_for_every_message_and_control_frame_taken(sockets):
    seen = []
    sockets.configure = lambda websocket: setattr(websocket, "handle", lambda *frame: seen.append(frame))
    ends = sockets.open(raw=True)
    ends.client.send(PING, b"ping")
    ends.client.send(PONG, b"pong")
    ends.say("text", b"binary")
    assert seen == []
    assert ends.websocket.wait() == b"text"
    assert seen == [(PING, b"ping"), (PONG, b"pong"), (TEXT, b"text")]
    assert ends.websocket.read() == b"binary"
    ends.client.send(CLOSE, b"\x03\xe8")
    assert ends.websocket.wait() is None
    assert seen[3:] == [(BINARY, b"binary"), (CLOSE, None)]


def test_handle_may_be_set_when_it_is_open_and_hears_of_a_ping_while_the_view_waits(sockets, in_thread):
    ends = sockets.open(raw=True)
    seen = []
    pinged = threading.Event()
    ends.websocket.handle = lambda *frame: (seen.append(frame), pinged.set())
    taken = in_thread(ends.websocket.wait)
    ends.client.send(PING, b"while it waits")
    assert pinged.wait(PATIENCE)
    ends.client.send(TEXT, b"over")
    assert taken.result(PATIENCE) == b"over"
    assert seen == [(PING, b"while it waits"), (TEXT, b"over")]


def test_handle_hears_of_a_ping_before_the_message_behind_it_whenever_both_arrive(sockets):
    ends = sockets.open(raw=True)
    seen = []
    ends.websocket.handle = lambda *frame: seen.append(frame)
    connection = ends.websocket._connection

    class Arriving:
        """The connection, on which both arrive right after the first look for control frames."""

        def __getattr__(self, name):
            return getattr(connection, name)

        def take_control_frames(self):
            ends.websocket._connection = connection
            frames = connection.take_control_frames()
            ends.client.send(PING, b"before")
            ends.say("message")
            return frames

    ends.websocket._connection = Arriving()
    assert ends.websocket.wait() == b"message"
    assert seen == [(PING, b"before"), (TEXT, b"message")]


def test_handle_does_not_change_what_a_timeout_is(sockets):
    ends = sockets.open()
    ends.websocket.handle = lambda *_: None
    before = time.monotonic()
    assert ends.websocket.wait(0.3) is None
    assert time.monotonic() - before >= 0.3
    assert ends.websocket.wait(0) is None


def test_accept_connection_is_harmless_when_called_twice(sockets):
    ends = sockets.open()
    ends.websocket.accept_connection()
    ends.websocket.send("one handshake")
    assert ends.client.recv(PATIENCE) == "one handshake"


def test_fileno_and_protocol_sock_fileno_are_readable_when_a_message_or_the_close_waits(sockets):
    ends = sockets.open()
    other, another = socket.socketpair()
    with other, another:
        watched = [other, ends.websocket.protocol.sock.fileno()]
        assert watched[1] == ends.websocket.fileno()
        assert select.select(watched, [], [], 0)[0] == []
        ends.client.send("message")
        assert select.select(watched, [], [], PATIENCE)[0] == [watched[1]]
        assert ends.websocket.read() == b"message"
        assert select.select(watched, [], [], 0)[0] == []
        another.send(b"x")
        assert select.select(watched, [], [], PATIENCE)[0] == [other]
        ends.client.close()
        assert select.select([ends.websocket.protocol.sock], [], [], PATIENCE)[0]
        assert ends.websocket.read() is None


def test_select_never_misses_a_message_among_many(sockets):
    ends = sockets.open()
    descriptor = ends.websocket.fileno()
    sender = threading.Thread(target=lambda: [ends.client.send(str(number)) for number in range(500)])
    sender.start()
    received = []
    while len(received) < 500:
        assert select.select([descriptor], [], [], PATIENCE)[0]
        received.append(int(ends.websocket.read()))
    sender.join(PATIENCE)
    assert received == list(range(500))


def test_protocol_write_ping_and_write_pong_send_control_frames(sockets):
    ends = sockets.open(raw=True)
    protocol = ends.websocket.protocol
    protocol.write_ping(b"p" * 125)
    protocol.write_ping("text")
    protocol.write_ping()
    protocol.write_pong(b"pong")
    frames = [ends.client.receive() for _ in range(4)]
    assert frames == [(0x89, b"p" * 125), (0x89, b"text"), (0x89, b""), (0x8A, b"pong")]
    with pytest.raises(ValueError, match="125"):
        protocol.write_ping(b"p" * 126)


def test_protocol_write_and_write_close_send_messages_and_the_close(sockets):
    ends = sockets.open(raw=True)
    ends.websocket.protocol.write("text")
    ends.websocket.protocol.write(b"\xff", binary=True)
    ends.websocket.protocol.write_close(1001, b"gone")
    frames = [ends.client.receive() for _ in range(3)]
    assert frames == [(0x81, b"text"), (0x82, b"\xff"), (0x88, b"\x03\xe9gone")]


def test_protocol_knows_how_the_client_closed(sockets):
    ends = sockets.open()
    assert (ends.websocket.protocol.close_code, ends.websocket.protocol.close_reason) == (None, None)
    ends.client.close(4321, "因为")
    ends.ends()
    protocol = ends.websocket.protocol
    assert (protocol.close_code, protocol.close_reason) == (4321, "因为".encode())
    assert (ends.websocket.close_code, ends.websocket.close_reason) == (4321, "因为")
    assert protocol.is_closed() is True


def test_the_protocol_gives_no_code_where_no_close_had_one(sockets):
    said_nothing, vanished = sockets.open(raw=True), sockets.open(raw=True)
    said_nothing.client.send(CLOSE)
    vanished.client.close()
    for ends, code in ((said_nothing, 1005), (vanished, 1006)):
        ends.ends()
        assert (ends.websocket.close_code, ends.websocket.protocol.close_code) == (code, None)
        assert ends.websocket.protocol.is_closed() is True


def test_the_class_of_the_websocket_has_both_its_names(sockets):
    ends = sockets.open()
    assert isinstance(ends.websocket, WebSocket)
    assert isinstance(ends.websocket, DefaultWebSocket)


def test_the_protocol_class_has_its_constants_and_its_finder(sockets):
    ends = sockets.open()
    assert get_websocket_protocol("13") is WebSocketProtocol13
    assert get_websocket_protocol("76") is None
    assert isinstance(ends.websocket.protocol, WebSocketProtocol13)
    protocol = ends.websocket.protocol
    opcodes = [getattr(protocol, f"OPCODE_{name}") for name in ("TEXT", "BINARY", "CLOSE", "PING", "PONG")]
    assert opcodes == [1, 2, 8, 9, 10]
    assert (protocol.STATUS_NORMAL, protocol.STATUS_GOING_AWAY, protocol.STATUS_TLS_HANDSHAKE_ERROR) == (
        1000,
        1001,
        1015,
    )
