"""Attacks by compression (RFC 7692), on a view that has it on and answers each message with its length."""

from __future__ import annotations

import zlib

from attack import Attack, Target, merged
from frames import FIN, MIB, RSV1, log_of

from wire import BINARY, PING, TEXT, UPGRADE, close, frame

LENGTH = "/length/"
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def deflated(data: bytes) -> bytes:
    """The payload of a compressed message (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def zeros(mebibytes: int) -> bytes:
    """The payload of a compressed message of zeros, in about a thousandth of their size.

    The compressor forgets everything behind each mebibyte, so that all are compressed alike, and only one is.
    """
    compressor = zlib.compressobj(9, wbits=-15)
    one = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return (one * mebibytes).removesuffix(b"\x00\x00\xff\xff")


def squeezed(name: str, what: str, data: bytes, code: int, *, alone: bool = False) -> Attack:
    """Sends bytes, compression agreed on, that end the WebSocket with a code."""

    def run(target: Target) -> str:
        with target.open(LENGTH, OFFER) as peer:
            assert b"sec-websocket-extensions: permessage-deflate" in peer.head.lower(), peer.head
            peer.send(data)
            return peer.ending()

    return Attack(name, what, run, f"close {code}", log_of(code), alone)


def bomb_in_fragments() -> bytes:
    """The bomb of 1 GiB in fragments of 1 KiB."""
    bomb = zeros(1024)
    pieces = [bomb[start : start + 1024] for start in range(0, len(bomb), 1024)]
    return b"".join(frame(0 if at else RSV1 | BINARY, piece) for at, piece in enumerate(pieces)) + frame(FIN)


def bombs_within_the_limit(target: Target) -> str:
    """Each is just as large as a message may be: the inbox holds the client up, and each is delivered."""
    with target.open(LENGTH, OFFER) as peer:
        peer.send(frame(FIN | RSV1 | BINARY, zeros(16)) * 10)
        lengths = peer.messages(10)
        peer.send(close(1000))
        return f"{merged(length.decode() for length in lengths)}, {peer.ending()}"


def silly_offers(target: Target) -> str:
    """What RFC 7692 section 7.1 does not have: each offer is declined, and the socket opens all the same."""
    answers = []
    for parameters in (
        b"server_max_window_bits=7",
        b"server_max_window_bits=16",
        b"server_max_window_bits=08",
        b"server_max_window_bits",
        b"server_max_window_bits=99999999999999999999999999",
        b"client_max_window_bits=-1",
        b"client_max_window_bits=8; client_max_window_bits=9",
        b"server_no_context_takeover=1",
        b"nonsense",
    ):
        field = b"Sec-WebSocket-Extensions: permessage-deflate; " + parameters + b"\r\n"
        with target.open(LENGTH, field) as peer:
            agreed = b"sec-websocket-extensions" in peer.head.lower()
            peer.send(frame(FIN | TEXT, b"four") + frame(FIN | RSV1 | TEXT, b"four"))
            answers.append(f"{'agreed' if agreed else 'declined'}, {peer.ending()}")
    return merged(answers)


def ten_thousand_offers(target: Target) -> str:
    """They fit into the header section; the last one will do."""
    field = b"Sec-WebSocket-Extensions: " + b"x,y;z," * 5_000 + b"permessage-deflate\r\n"
    with target.open(LENGTH, field) as peer:
        agreed = b"sec-websocket-extensions: permessage-deflate" in peer.head.lower()
        peer.send(frame(FIN | RSV1 | TEXT, deflated(b"four")) + close(1000))
        return f"{'agreed' if agreed else 'declined'}, {peer.ending()}"


def malformed_offers(target: Target) -> str:
    offers = (b"permessage-deflate; =1", b'permessage-deflate; x="1', b"per message", b";", b"a;b=c=d")
    path = target.path(LENGTH)
    start = b"GET " + path + b" HTTP/1.1\r\n" + UPGRADE + b"Sec-WebSocket-Extensions: "
    return target.requests(*(start + offer + b"\r\n\r\n" for offer in offers))


def too_many_offers(target: Target) -> str:
    start = b"GET " + target.path(LENGTH) + b" HTTP/1.1\r\n" + UPGRADE + b"Sec-WebSocket-Extensions: "
    return target.request(start + b"permessage-deflate," * 10_000 + b"\r\n\r\n")


ATTACKS = (
    squeezed(
        "bomb",
        "1 GiB of zeros in 1 MiB.",
        frame(FIN | RSV1 | BINARY, zeros(1024)),
        1009,
        alone=True,
    ),
    squeezed("bomb-in-fragments", "The same in fragments of 1 KiB.", bomb_in_fragments(), 1009, alone=True),
    squeezed(
        "bomb-of-text",
        "16 MiB and one byte of text in 16 KiB.",
        frame(FIN | RSV1 | TEXT, deflated(b"a" * (16 * MIB + 1))),
        1009,
    ),
    Attack(
        "bombs-within-limit",
        "Ten messages of 16 MiB each, of 16 KiB each on the wire, at once.",
        bombs_within_the_limit,
        "16777216, close 1000",
        "INFO closed 1000 by the client",
        alone=True,
    ),
    squeezed(
        "deflate-garbage", "RSV1, and what is no DEFLATE.", frame(FIN | RSV1 | TEXT, b"\xff" * 50), 1007
    ),
    squeezed(
        "deflate-truncated",
        "A compressed message without its second half.",
        frame(FIN | RSV1 | TEXT, deflated(bytes(range(97, 123)) * 40)[:12]),
        1007,
    ),
    squeezed(
        "deflate-too-far-back",
        "A match 32 KiB back, at the start of the window.",
        # A block of fixed codes: a match of 3 bytes, 32 KiB back, and its end.
        frame(FIN | RSV1 | TEXT, b"\x02\xde\xff\x0f\x00"),
        1007,
    ),
    squeezed(
        "deflate-not-utf-8", "Compressed text of FF.", frame(FIN | RSV1 | TEXT, deflated(b"abc\xff")), 1007
    ),
    squeezed(
        "deflate-rsv1-late",
        "RSV1 on the last fragment only.",
        frame(TEXT, b"ab") + frame(FIN | RSV1, deflated(b"cd")),
        1002,
    ),
    squeezed("deflate-ping", "A Ping that says it is compressed.", frame(FIN | RSV1 | PING, b"hi"), 1002),
    squeezed("deflate-rsv2", "RSV2 where only RSV1 has a meaning.", frame(0xE1, deflated(b"hi")), 1002),
    Attack(
        "offers-silly",
        "Offers with parameters that do not exist, twice, or out of range; then RSV1 all the same.",
        silly_offers,
        "declined, 1 message, close 1002",
        "INFO closed 1002 by the server",
    ),
    Attack(
        "offers-10000",
        "10,000 extensions that nobody knows before one that is known.",
        ten_thousand_offers,
        "agreed, 1 message, close 1000",
        "INFO closed 1000 by the client",
    ),
    Attack("offers-malformed", "Lists of extensions that are none.", malformed_offers, "400"),
    Attack(
        "offers-too-many",
        "10,000 offers in 190 KB.",
        too_many_offers,
        "431",
        "WARNING its header section has too many bytes",
    ),
)
