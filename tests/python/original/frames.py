"""Scenarios of what a client may put on the wire: fragments, control frames, frames that RFC 6455 forbids."""

from __future__ import annotations

from dwebsocket import accept_websocket

from original.scenario import scenario

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


@scenario(decorate=accept_websocket)
def a_message_of_seventeen_mebibytes(request, see):
    see("message", request.websocket.wait)


@a_message_of_seventeen_mebibytes.played_by
def _(there, see):
    client = there.open()
    client.send_what_is_taken((TEXT, b"x" * (17 << 20)))
    see("then", client.receive(reason=False))


@scenario(decorate=accept_websocket)
def a_message_in_fragments(request, see):
    see("first", request.websocket.wait, 20)
    see("second", request.websocket.wait, 20)


@a_message_in_fragments.played_by
def _(there, see):
    client = there.open()
    client.send_bytes(b"\x01\x83\0\0\0\0Hel", b"\x80\x82\0\0\0\0lo", b"\x81\x84\0\0\0\0next")
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def a_ping_is_answered_while_the_view_waits(request, see):
    see("message", request.websocket.wait)
    request.websocket.send("after it")


@a_ping_is_answered_while_the_view_waits.played_by
def _(there, see):
    client = there.open()
    client.send((PING, b"payload"))
    see("pong", client.receive())
    client.send((PING, b""))
    see("empty pong", client.receive())
    client.send((TEXT, b"a message"))
    see("then", client.receive())


@scenario(decorate=accept_websocket)
def a_ping_is_no_message(request, see):
    a_ping_is_no_message.hear("pinged")
    see("wait", request.websocket.wait, 0.1)
    see("has_messages", request.websocket.has_messages)
    see("count_messages", request.websocket.count_messages)
    see("read", request.websocket.read, "a fallback")


@a_ping_is_no_message.played_by
def _(there, see):
    client = there.open()
    client.send((PING, b"payload"))
    there.say("pinged")
    see("pong", client.receive())
    see("then", client.receive())


@scenario(decorate=accept_websocket)
def a_pong_is_no_message(request, see):
    see("first", request.websocket.wait)
    see("second", request.websocket.wait, 0.1)


@a_pong_is_no_message.played_by
def _(there, see):
    client = there.open()
    client.send((PONG, b"unasked"), (TEXT, b"a message"))
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def text_that_is_no_utf8(request, see):
    see("message", request.websocket.wait)


@text_that_is_no_utf8.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"\xff\xfe"))
    see("first", client.receive(reason=False))


@scenario(decorate=accept_websocket)
def a_frame_without_a_mask(request, see):
    see("message", request.websocket.wait)


@a_frame_without_a_mask.played_by
def _(there, see):
    client = there.open()
    client.send_bytes(b"\x81\x02hi")
    see("first", client.receive(reason=False))


@scenario(decorate=accept_websocket)
def a_frame_with_a_reserved_bit(request, see):
    see("message", request.websocket.wait)


@a_frame_with_a_reserved_bit.played_by
def _(there, see):
    client = there.open()
    client.send_bytes(b"\xc1\x82\0\0\0\0hi")
    see("first", client.receive(reason=False))


@scenario(decorate=accept_websocket)
def a_frame_of_an_unknown_kind(request, see):
    see("message", request.websocket.wait)


@a_frame_of_an_unknown_kind.played_by
def _(there, see):
    client = there.open()
    client.send_bytes(b"\x83\x82\0\0\0\0hi")
    see("first", client.receive(reason=False))


@scenario(decorate=accept_websocket)
def a_message_in_the_packet_of_the_handshake(request, see):
    see("message", request.websocket.wait, 1)


@a_message_in_the_packet_of_the_handshake.played_by
def _(there, see):
    client = there.open(behind=b"\x81\x82\0\0\0\0hi")
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def handle_is_told_of_every_frame(request, see):
    frames = []
    see("by default", request.websocket.handle)
    request.websocket.handle = lambda opcode, data: frames.append((opcode, data))
    request.websocket.send("now")
    see("messages", list, request.websocket)
    see("frames", frames)


@handle_is_told_of_every_frame.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"text"), (BINARY, b"binary"), (PING, b"ping"), (TEXT, b"more"))
    see("pong", client.receive())
    client.send((CLOSE, b"\x03\xe8"))
    see("answer", client.receive())
