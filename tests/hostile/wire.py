"""Bytes of a hostile client, built by hand: heads of handshakes and frames, right and wrong."""

from __future__ import annotations

import struct

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What RFC 6455 section 1.3 makes of the key."""

LOCAL = b"Host: localhost\r\n"
CLOSING = LOCAL + b"Connection: close\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
KEY_FIELD = b"Sec-WebSocket-Key: " + KEY + b"\r\n"
ASKING = LOCAL + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
UPGRADE = ASKING + KEY_FIELD + VERSION
"""The fields of a handshake with which nothing is wrong."""

MESSAGE_LIMIT = 16 << 20
"""The default of WEBSOCKET_MAX_MESSAGE_BYTES."""


def frame(first: int, payload: bytes = b"") -> bytes:
    """A frame of a client, masked with zeros, so that the payload stands in it as it is.

    Args:
        first: the first byte: FIN is 0x80, RSV1 to RSV3 are 0x40 to 0x10, the opcode is the rest.
        payload: as long as it likes, a control frame's too.
    """
    return header(first, len(payload)) + payload


def header(first: int, length: int) -> bytes:
    """The beginning of a frame that announces so many bytes: with `frame`'s mask, without the payload."""
    if length < 126:
        start = struct.pack("!BB", first, 0x80 | length)
    elif length < 1 << 16:
        start = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        start = struct.pack("!BBQ", first, 0x80 | 127, length)
    return start + bytes(4)


def close(code: int, reason: bytes = b"") -> bytes:
    """A client's Close."""
    return frame(0x88, struct.pack("!H", code) + reason)
