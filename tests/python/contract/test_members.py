"""The members of ``request.websocket``, under every server."""

from __future__ import annotations

import json
import threading

import pytest
import websockets.exceptions
from serving import PATIENCE
from sites import close_of
from sockets import BINARY, CLOSE, PING, PONG, TEXT


def test_wait_takes_the_next_message(talk):
    client = talk.open("wait")
    client.send("1")
    client.send(b"2")
    assert talk.report() == ["b'1'", "b'2'"]


def test_wait_gives_none_at_the_timeout(talk):
    client = talk.open("wait-with-a-timeout")
    for seconds in (0, 0.1):
        gave, waited = talk.report()
        assert gave == "None"
        assert seconds <= waited < seconds + 10
    client.send("afterwards")
    assert client.recv(PATIENCE) == "afterwards"


def test_a_negative_timeout_waits_for_ever(talk):
    client = talk.open("wait-for-ever")
    assert talk.report() == ["waits"]
    client.send("later")
    assert client.recv(PATIENCE) == "later"


def test_read_gives_the_next_message_or_the_fallback_at_once(talk):
    client = talk.open("read")
    assert talk.report() == ["None", "'a fallback'"]
    client.send("a message")
    assert talk.report() == ["b'a message'"]


def test_has_messages_and_count_messages_look_without_taking_and_the_count_is_true(talk):
    client = talk.open("count")
    assert talk.report() == [False, 0]
    for message in "123":
        client.send(message)
    for count in (3, 2, 1):
        assert talk.report() == [True, count, f"b'{4 - count}'"]
    assert talk.report() == [False, 0]


def test_iteration_gives_every_message_then_one_none_then_ends(talk):
    client = talk.open("iterate")
    client.send("1")
    client.send(b"\xff")
    client.send("")
    client.close()
    assert talk.report() == ["[b'1', b'\\xff', b'', None]"]


def test_send_sends_str_bytes_and_json_as_text_frames_and_returns_none(talk):
    client = talk.open_raw("send")
    assert talk.report() == ["None"] * 9
    sent = ["text", "你好", "bytes", "你好", '{"a":[1,null]}', "7", "true", "null", ""]
    assert [client.receive() for _ in sent] == [(0x81, text.encode()) for text in sent]


def test_send_refuses_bytes_that_are_not_utf8_unless_told_binary(talk):
    client = talk.open_raw("send-what-is-not-utf8")
    refused, sent = talk.report()
    assert refused.startswith("ValueError(ValueError): ")
    assert "binary=True" in refused
    assert sent == "None"
    assert client.receive() == (0x82, b"\xff")


def test_threads_that_send_at_once_do_not_interleave(talk):
    client = talk.open("send-from-threads")
    received = [client.recv(PATIENCE) for _ in range(200)]
    assert {letter: received.count(letter * 20_000) for letter in "abcd"} == dict.fromkeys("abcd", 50)
    assert close_of(client) == (1000, "")


@pytest.mark.parametrize("kind", ["str", "bytes"])
def test_close_takes_a_str_or_bytes_and_is_idempotent(talk, kind):
    client = talk.open("close", code=4001, reason="再见", **{"as": kind})
    assert client.recv(PATIENCE) == "last words"
    assert close_of(client) == (4001, "再见")
    assert talk.report() == [True, "None"]


def test_close_works_from_any_thread_and_ends_a_wait(talk):
    client = talk.open("close-from-a-thread")
    assert close_of(client) == (4001, "from a thread")
    assert talk.report() == ["None", True]


def test_closed_is_true_once_the_client_has_gone_and_no_message_is_unread(talk):
    client = talk.open("closed")
    assert talk.report() == [False, False, False]
    client.send("unread")
    client.close(4321)
    assert talk.report() == [False, False, 4321]
    assert talk.report() == ["b'unread'", True, True]


def test_handle_is_called_for_every_message_and_control_frame_taken(talk):
    client = talk.open_raw("handle")
    assert client.receive() == (0x81, b"ready")
    client.send(PING, b"ping")
    client.send(PONG, b"pong")
    client.send(TEXT, b"text")
    client.send(BINARY, b"binary")
    client.send(CLOSE, b"\x03\xe8")
    seen = [[PING, "b'ping'"], [PONG, "b'pong'"], [TEXT, "b'text'"], [BINARY, "b'binary'"], [CLOSE, None]]
    assert talk.report() == seen


def test_accept_connection_is_harmless_when_called_twice(talk):
    client = talk.open_raw("accept-again")
    assert client.receive() == (0x81, b"one handshake")
    assert client.receive() == (0x88, b"\x03\xe8")


def test_fileno_is_readable_when_a_message_or_the_close_waits(talk):
    client = talk.open("select")
    assert talk.report() == [True, []]
    client.send("message")
    assert talk.report() == [["the socket"], "b'message'", []]
    assert talk.report() == [["the other"], "b'x'"]
    client.close()
    assert talk.report() == [["the socket"], "None"]


def test_write_ping_and_write_pong_send_control_frames(talk):
    client = talk.open_raw("control-frames")
    assert [client.receive() for _ in range(3)] == [(0x89, b"ping"), (0x8A, b"pong"), (0x81, b"sent")]


def test_the_websocket_has_both_its_classes_and_is_websocket_is_true_called_and_uncalled(talk):
    assert talk.open("about").recv(PATIENCE) == "[true,true,true,true]"


def test_plain_http_has_no_websocket_and_is_websocket_is_false_called_and_uncalled(talk):
    assert json.loads(talk.get("about").text) == [False, False, None]


@pytest.mark.parametrize("size", [0, 125, 126, 16 << 10, 65536, 4 << 20])
@pytest.mark.parametrize("view", ["echo", "echo-binary"])
def test_messages_of_any_size_come_back_as_they_went(talk, view, size):
    client = talk.open(view)
    message = (
        ("é" * (size // 2)) if view == "echo" else bytes(range(256)) * (size // 256) + b"\xff" * (size % 256)
    )
    for _ in range(3):
        client.send(message)
        assert client.recv(PATIENCE) == message


def test_a_thousand_messages_of_16_kib_come_back_in_order(talk):
    # A client that can read while it sends: one that cannot would stop for good once all buffers are full.
    client = talk.open_raw("echo")
    messages = [b"%-16384d" % number for number in range(1000)]
    sending = threading.Thread(target=lambda: [client.send(TEXT, message) for message in messages])
    sending.start()
    assert all(client.receive() == (0x81, message) for message in messages)
    sending.join(PATIENCE)
    assert not sending.is_alive()


def test_a_client_that_closes_gets_its_code_back(talk):
    client = talk.open("echo")
    client.close(4001, "because")
    with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
        client.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001
