"""Attacks by frames: what RFC 6455 forbids, what it allows and nobody wants, and too much of anything."""

from __future__ import annotations

from attack import Attack, Peer, Target

from wire import CLOSE, MESSAGE_LIMIT, PING, PONG, TEXT, close, frame, header

MIB = 1 << 20
FIN = 0x80
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10


def breaks(name: str, what: str, data: bytes, code: int) -> Attack:
    """Sends bytes that end the WebSocket with a code, before anything is answered."""

    def run(target: Target) -> str:
        with target.open() as peer:
            peer.send(data)
            return peer.ending()

    return Attack(name, what, run, f"close {code}", log_of(code))


def log_of(code: int) -> str:
    """What the log says of a WebSocket that the server closes with a code; a limit goes by its setting."""
    if code == 1009:
        return "WARNING WEBSOCKET_MAX_MESSAGE_BYTES sets how large one may be"
    return f"INFO closed {code} by the server"


def closes(code: int) -> Attack:
    """A Close with a code that nobody may send."""
    return breaks(f"close-code-{code}", f"A Close with the code {code}.", close(code), 1002)


def still_echoes(peer: Peer, message: bytes) -> str:
    """Whether the view goes on, and what it does at a regular Close."""
    peer.send(frame(FIN | TEXT, message) + close(1000))
    [echo] = peer.messages(1)
    return f"{'echo' if echo == b'You said: ' + message else 'wrong echo'}, {peer.ending()}"


def data_behind_close(target: Target) -> str:
    with target.open() as peer:
        peer.send(close(1000) + frame(FIN | TEXT, b"ghost") + frame(FIN | PING, b"ghost") + bytes(1000))
        return peer.ending()


def whole_message_over_the_limit(target: Target) -> str:
    with target.open() as peer:
        peer.send(frame(FIN | TEXT, b"x" * (MESSAGE_LIMIT + 1)))
        return peer.ending()


def largest_message(target: Target) -> str:
    with target.open() as peer:
        peer.send(frame(FIN | TEXT, b"x" * MESSAGE_LIMIT))
        [echo] = peer.messages(1)
        assert len(echo) == MESSAGE_LIMIT + len("You said: ")
        return still_echoes(peer, b"more")


def endless_fragments(size: int, count: int) -> bytes:
    """A text in so many fragments of so many bytes, and not its end."""
    return frame(TEXT, b"x" * size) + (frame(0, b"x" * size) * (count - 1))


def many_fragments(size: int) -> Attack:
    """A hundred thousand tiny fragments are one message, however silly."""

    def run(target: Target) -> str:
        with target.open() as peer:
            peer.send(endless_fragments(size, 100_000) + frame(FIN))
            [echo] = peer.messages(1)
            assert echo == b"You said: " + b"x" * (size * 100_000), len(echo)
            return still_echoes(peer, b"more")

    name, what = f"fragments-of-{size}", f"A text in 100,000 fragments of {size} bytes."
    return Attack(name, what, run, "echo, close 1000", "INFO closed 1000 by the client")


def fragments_without_end(target: Target) -> str:
    with target.open() as peer:
        peer.send(endless_fragments(1, 200_000))
        peer.send(frame(FIN | PING, b"read all that"))
        pong = next(payload for first, payload in peer.frames() if first == FIN | PONG)
        peer.reset()
        return f"Pong {pong.decode()!r}"


def ping_flood(reads: bool) -> Attack:
    """Pings, whose Pongs are read or not."""

    def run(target: Target) -> str:
        with target.open() as peer:
            for start in range(0, 50_000, 50):
                peer.send(b"".join(frame(FIN | PING, b"%0125d" % n) for n in range(start, start + 50)))
                if reads:
                    last = b"%0125d" % (start + 49)
                    assert any(payload == last for first, payload in peer.frames() if first == FIN | PONG)
            last = b"%0125d" % 49_999
            assert reads or any(payload == last for first, payload in peer.frames() if first == FIN | PONG)
            return f"Pong to the last, {still_echoes(peer, b'more')}"

    name = "ping-flood" if reads else "ping-flood-unread"
    what = "50,000 Pings of 125 bytes" + ("." if reads else ", and not a byte is read meanwhile.")
    answer = "Pong to the last, echo, close 1000"
    return Attack(name, what, run, answer, "INFO closed 1000 by the client", alone=True)


def pong_flood(target: Target) -> str:
    with target.open() as peer:
        for _ in range(100):
            peer.send(frame(FIN | PONG, b"unasked") * 1000)
        return still_echoes(peer, b"more")


def empty_messages(target: Target) -> str:
    with target.open() as peer:
        peer.send(frame(FIN | TEXT) * 20_000)
        echoes = peer.messages(20_000)
        assert set(echoes) == {b"You said: "}
        return f"{len(echoes)} echoes, {still_echoes(peer, b'more')}"


def one_byte_a_segment(target: Target) -> str:
    with target.open() as peer:
        for byte in frame(FIN | TEXT, b"drop by drop") * 20:
            peer.send(bytes([byte]))
        echoes = peer.messages(20)
        assert set(echoes) == {b"You said: drop by drop"}
        return f"{len(echoes)} echoes, {still_echoes(peer, b'more')}"


def frames_behind_the_handshake(target: Target) -> str:
    with target.open(behind=frame(FIN | TEXT, b"early") * 1000) as peer:
        echoes = peer.messages(1000)
        assert set(echoes) == {b"You said: early"}
        return f"{len(echoes)} echoes, {still_echoes(peer, b'more')}"


def binary_that_is_no_text(target: Target) -> str:
    with target.open() as peer:
        peer.send(frame(FIN | 2, b"\xff\xfe\x00\x80"))
        [echo] = peer.messages(1)
        assert echo == "You said: \ufffd\ufffd\x00\ufffd".encode(), echo
        return still_echoes(peer, b"more")


BROKEN = (
    breaks("unmasked", "A text that is not masked.", b"\x81\x02hi", 1002),
    breaks("unmasked-ping", "A Ping that is not masked.", b"\x89\x00", 1002),
    breaks("rsv1", "RSV1 where no compression was agreed on.", frame(FIN | RSV1 | TEXT, b"hi"), 1002),
    breaks("rsv2", "RSV2.", frame(FIN | RSV2 | TEXT, b"hi"), 1002),
    breaks("rsv3", "RSV3.", frame(FIN | RSV3 | TEXT, b"hi"), 1002),
    breaks("opcode-3", "The reserved opcode 3.", frame(FIN | 3, b"hi"), 1002),
    breaks("opcode-7", "The reserved opcode 7.", frame(FIN | 7, b"hi"), 1002),
    breaks("opcode-11", "The reserved control opcode 11.", frame(FIN | 11), 1002),
    breaks("opcode-15", "The reserved control opcode 15.", frame(FIN | 15), 1002),
    breaks("length-16-for-5", "A length of 5 in 16 bits.", b"\x81\xfe\x00\x05\x00\x00\x00\x00hello", 1002),
    breaks(
        "length-64-for-300",
        "A length of 300 in 64 bits.",
        b"\x81\xff\x00\x00\x00\x00\x00\x00\x01\x2c\x00\x00\x00\x00" + b"x" * 300,
        1002,
    ),
    breaks("length-2-63", "A frame of 2^63 bytes.", b"\x81\xff\x80" + bytes(7) + bytes(4), 1002),
    breaks("length-2-64", "A frame of 2^64 - 1 bytes.", b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002),
    breaks(
        "length-2-63-less-1", "A frame of 2^63 - 1 bytes.", b"\x82\xff\x7f" + b"\xff" * 7 + bytes(4), 1009
    ),
    breaks(
        "announced-too-big",
        "A frame that announces one byte more than the message limit.",
        header(FIN | TEXT, MESSAGE_LIMIT + 1),
        1009,
    ),
    breaks(
        "fragments-too-big",
        "A message that exceeds the limit with the last of 17 fragments.",
        frame(2, bytes(MIB)) + frame(0, bytes(MIB)) * 15 + frame(FIN, b"x"),
        1009,
    ),
    breaks("fragmented-ping", "A Ping in fragments.", frame(PING, b"hi"), 1002),
    breaks("fragmented-close", "A Close in fragments.", frame(CLOSE, b"\x03\xe8"), 1002),
    breaks("ping-of-126", "A Ping of 126 bytes.", frame(FIN | PING, bytes(126)), 1002),
    breaks("close-of-126", "A Close of 126 bytes.", close(1000, b"x" * 124), 1002),
    breaks("continuation-first", "A continuation, and no message has begun.", frame(FIN, b"hi"), 1002),
    breaks(
        "message-in-message", "A text within a text.", frame(TEXT, b"one") + frame(FIN | TEXT, b"two"), 1002
    ),
    breaks("http-in-websocket", "An HTTP request in place of frames.", b"GET / HTTP/1.1\r\n\r\n", 1002),
)

NOT_TEXT = (
    breaks("text-ff", "A text of the byte FF.", frame(FIN | TEXT, b"abc\xff"), 1007),
    breaks("text-surrogate", "A text of half a surrogate pair.", frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
    breaks("text-overlong", "A NUL in two bytes.", frame(FIN | TEXT, b"\xc0\x80"), 1007),
    breaks("text-beyond", "A text beyond U+10FFFF.", frame(FIN | TEXT, b"\xf4\x90\x80\x80"), 1007),
    breaks("text-cut", "A text that ends within a character.", frame(FIN | TEXT, b"\xe2\x82"), 1007),
    breaks(
        "text-cut-in-fragment",
        "A character that the next fragment does not go on with.",
        frame(TEXT, b"\xe2\x82") + frame(FIN, b"A"),
        1007,
    ),
    breaks("text-ff-unfinished", "A bad byte in a message that has not ended.", frame(TEXT, b"ab\xff"), 1007),
    breaks("close-half-a-code", "A Close of one byte.", frame(FIN | CLOSE, b"\x03"), 1002),
    breaks("close-reason-ff", "A Close whose reason is not UTF-8.", close(1000, b"\xff"), 1007),
    *map(closes, (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)),
)

MUCH = (
    Attack(
        "behind-close",
        "A Close, and behind it a text, a Ping and zeros.",
        data_behind_close,
        "close 1000",
        "INFO closed 1000 by the client",
    ),
    Attack(
        "message-too-big",
        "A message one byte over the limit, sent to its end.",
        whole_message_over_the_limit,
        "close 1009",
        log_of(1009),
    ),
    Attack(
        "largest-message",
        "A message of just as many bytes as may be.",
        largest_message,
        "echo, close 1000",
        "INFO closed 1000 by the client",
        alone=True,
    ),
    many_fragments(0),
    many_fragments(1),
    Attack(
        "fragments-without-end",
        "200,000 fragments of a message that never ends, then an RST.",
        fragments_without_end,
        "Pong 'read all that'",
        "INFO closed 1006 (lost)",
    ),
    ping_flood(reads=True),
    ping_flood(reads=False),
    Attack(
        "pong-flood",
        "100,000 Pongs that nobody asked for.",
        pong_flood,
        "echo, close 1000",
        "INFO closed 1000 by the client",
    ),
    Attack(
        "empty-messages",
        "20,000 empty texts at once.",
        empty_messages,
        "20000 echoes, echo, close 1000",
        "INFO closed 1000 by the client",
    ),
    Attack(
        "byte-by-byte",
        "20 texts, each byte in a segment of its own.",
        one_byte_a_segment,
        "20 echoes, echo, close 1000",
        "INFO closed 1000 by the client",
    ),
    Attack(
        "behind-handshake",
        "1,000 texts in the segment of the handshake.",
        frames_behind_the_handshake,
        "1000 echoes, echo, close 1000",
        "INFO closed 1000 by the client",
    ),
    Attack(
        "binary-no-text",
        "A binary message that is no UTF-8, to a view that decodes it.",
        binary_that_is_no_text,
        "echo, close 1000",
        "INFO closed 1000 by the client",
    ),
)

ATTACKS = (*BROKEN, *NOT_TEXT, *MUCH)
