"""Scenarios of sending."""

from __future__ import annotations

import threading
import time

from dwebsocket import accept_websocket

from original.scenario import ended, scenario

TEXT, CLOSE = 0x1, 0x8


@scenario(decorate=accept_websocket)
def str_and_bytes_go_out_as_text_and_send_returns_none(request, see):
    see("str", request.websocket.send, "text")
    see("bytes", request.websocket.send, b"bytes")
    see("bytes beyond ASCII", request.websocket.send, "你好".encode())
    see("bytearray", request.websocket.send, bytearray(b"array"))
    see("empty", request.websocket.send, "")


@str_and_bytes_go_out_as_text_and_send_returns_none.played_by
def _(there, see):
    client = there.open()
    for what in ("str", "bytes", "bytes beyond ASCII", "bytearray", "empty"):
        see(f"{what} received", client.receive())


@scenario(decorate=accept_websocket)
def str_with_letters_beyond_ascii(request, see):
    see("send", request.websocket.send, "你好")


@str_with_letters_beyond_ascii.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def messages_of_every_length_go_out_whole(request, see):
    for length in (125, 126, 65535, 65536, 1 << 20):
        see(f"{length} sent", request.websocket.send, "x" * length)


@messages_of_every_length_go_out_whole.played_by
def _(there, see):
    client = there.open()
    for length in (125, 126, 65535, 65536, 1 << 20):
        see(f"{length} received", client.receive())


@scenario(decorate=accept_websocket)
def bytes_that_are_no_utf8(request, see):
    see("send", request.websocket.send, b"\xff\xfe")
    request.websocket.send("after it")


@bytes_that_are_no_utf8.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def things_that_are_no_text(request, see):
    see("dict", request.websocket.send, {"a": [1, None]})
    see("list", request.websocket.send, [1, 2])
    see("number", request.websocket.send, 7)
    see("None", request.websocket.send, None)
    see("object", request.websocket.send, object())
    request.websocket.send("after them")


@things_that_are_no_text.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def send_of_nothing_or_too_much(request, see):
    see("no argument", request.websocket.send)
    see("two too many", request.websocket.send, "a", "b", "c")


@send_of_nothing_or_too_much.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def send_after_our_own_close_does_nothing(request, see):
    request.websocket.close()
    see("send", request.websocket.send, "too late")


@send_after_our_own_close_does_nothing.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def send_after_the_clients_close_does_nothing(request, see):
    ended(request.websocket)
    see("before the None", request.websocket.send, "nobody hears it")
    see("the None", request.websocket.wait)
    see("after the None", request.websocket.send, "nobody hears it")
    see("again", request.websocket.send, "nobody hears it")


@send_after_the_clients_close_does_nothing.played_by
def _(there, see):
    client = there.open()
    client.send((CLOSE, b"\x03\xe8"))
    client.receive()


@scenario(decorate=accept_websocket)
def send_to_a_client_that_vanished_does_nothing(request, see):
    request.websocket.send("now")
    ended(request.websocket)
    for number in range(5):
        see(f"send {number}", request.websocket.send, "nobody hears it")


@send_to_a_client_that_vanished_does_nothing.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.reset()


@scenario(decorate=accept_websocket)
def a_push_loop_that_never_reads(request, see):
    see("the loop", lambda: push(request.websocket, 3))


def push(websocket, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        websocket.send("tick")
        time.sleep(0.01)
    return "still sending"


@a_push_loop_that_never_reads.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.reset()


@scenario(decorate=accept_websocket)
def another_thread_sends(request, see):
    thread = threading.Thread(target=lambda: see("send", request.websocket.send, "from a thread"))
    thread.start()
    thread.join()
    see("the view", request.websocket.wait)


@another_thread_sends.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"heard"))


@scenario(decorate=accept_websocket)
def a_message_is_not_cut_by_that_of_another_thread(request, see):
    # The large one is far more than the kernel's buffers hold, and the client reads nothing until the small
    # ones are being sent: 0.5.12, where nothing guards it, puts some of them in its middle.
    large = threading.Thread(target=request.websocket.send, args=("x" * (32 << 20),))
    large.start()
    request.websocket.wait()
    a_message_is_not_cut_by_that_of_another_thread.say("small")
    for _ in range(200):
        request.websocket.send("small")
    large.join()
    request.websocket.send("over")


@a_message_is_not_cut_by_that_of_another_thread.played_by
def _(there, see):
    client = there.open()
    client.wait_readable()
    client.send((TEXT, b"it has begun"))
    there.hear("small")
    see("first", client.receive(intact=b"x"))


@scenario(decorate=accept_websocket)
def the_protocol_object_writes_frames(request, see):
    protocol = request.websocket.protocol
    see("ping", protocol.write_ping, b"ping")
    see("empty ping", protocol.write_ping)
    see("pong", protocol.write_pong, b"pong")
    see("text", protocol.write, "text")
    see("binary", protocol.write, b"\xff", True)
    see("close", protocol.write_close, 1001, b"bye")


@the_protocol_object_writes_frames.played_by
def _(there, see):
    client = there.open()
    for what in ("ping", "empty ping", "pong", "text", "binary", "close"):
        see(f"{what} received", client.receive())


@scenario(decorate=accept_websocket)
def a_ping_of_more_than_125_bytes(request, see):
    see("ping", request.websocket.protocol.write_ping, b"p" * 126)


@a_ping_of_more_than_125_bytes.played_by
def _(there, see):
    see("first", there.open().receive())
