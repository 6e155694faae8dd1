"""What 0.5.12 gets wrong on the wire, under every server."""

from __future__ import annotations

import pytest
from serving import PATIENCE
from sockets import BINARY, CLOSE, PING, PONG, TEXT, masked

CONTINUATION = 0x0
FIN = 0x80


def fragment(opcode, payload):
    """A frame that is not the last of its message."""
    frame = bytearray(masked(opcode, payload))
    frame[0] &= ~FIN
    return bytes(frame)


@pytest.mark.parametrize(("view", "opcode"), [("echo", TEXT), ("echo-binary", BINARY)])
def test_fragments_are_one_message(talk, view, opcode):
    client = talk.open_raw(view)
    client.socket.sendall(fragment(opcode, b"frag"))
    client.socket.sendall(fragment(CONTINUATION, b"") + fragment(CONTINUATION, b"men"))
    client.socket.sendall(masked(CONTINUATION, b"ted"))
    assert client.receive() == (FIN | opcode, b"fragmented")


def test_a_photo_of_4_mib_in_fragments_is_one_message(talk):
    client = talk.open("echo")
    photo = ["x" * (1 << 20)] * 4
    client.send(photo)
    assert client.recv(PATIENCE) == "".join(photo)


def test_a_ping_between_fragments_is_answered_at_once(talk):
    client = talk.open_raw("echo")
    client.socket.sendall(fragment(TEXT, b"frag") + masked(PING, b"between"))
    assert client.receive() == (FIN | PONG, b"between")
    client.socket.sendall(masked(CONTINUATION, b"ment"))
    assert client.receive() == (FIN | TEXT, b"fragment")


def test_a_pong_that_nobody_asked_for_is_no_message(talk):
    client = talk.open_raw("echo")
    client.send(PONG, b"unasked")
    client.send(TEXT, b"a message")
    assert client.receive() == (FIN | TEXT, b"a message")


def test_bytes_that_come_one_by_one_are_frames(talk):
    client = talk.open_raw("echo")
    for byte in masked(TEXT, b"slow") + masked(TEXT, b"and steady"):
        client.socket.sendall(bytes([byte]))
    assert [client.receive(), client.receive()] == [(FIN | TEXT, b"slow"), (FIN | TEXT, b"and steady")]


def close_code(client):
    opcode, payload = client.receive()
    assert opcode == FIN | CLOSE
    return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x81\x02hi", 1002),
        (masked(3, b"?"), 1002),
        (masked(CONTINUATION, b"of nothing"), 1002),
        (masked(TEXT, b"\xff"), 1007),
        (b"\x82\xff" + ((16 << 20) + 1).to_bytes(8, "big") + bytes(4), 1009),
    ],
    ids=["unmasked", "unknown opcode", "lone continuation", "no UTF-8", "over 16 MiB"],
)
def test_what_the_protocol_forbids_closes_with_its_code(talk, wrong, code):
    client = talk.open_raw("break-at-none")
    client.socket.sendall(wrong)
    assert close_code(client) == code
    assert talk.report() == ["ended"]
    if code == 1009:
        # A limit, so that an operator has to know.
        talk.expect_lines("WEBSOCKET_MAX_MESSAGE_BYTES sets", "how large one may be")
