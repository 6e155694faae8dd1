"""A clip in FLV, taken apart: what a live server sends, tag by tag."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = 18
VIDEO: Final = 9
_HEADER_BYTES: Final = 9
_TAG_BYTES: Final = 11
_KEY_FRAME: Final = 1
_SEQUENCE_HEADER, _PICTURE = 0, 1


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        data: of its tag.
        is_key: whether a decoder can begin with it.
    """

    data: bytes
    is_key: bool


@dataclass(frozen=True)
class Clip:
    """What is sent again and again.

    Attributes:
        opening: header and tags that a viewer gets first: metadata, and the decoder's configuration.
        pictures: in the order they are decoded and shown in.
    """

    opening: bytes
    pictures: tuple[Picture, ...]


def read(path: Path) -> Clip:
    """Takes a file apart. It has one H.264 stream without B-frames, and no sound.

    Raises:
        ValueError: it is none, or begins with a picture that no decoder can begin with.
    """
    data = path.read_bytes()
    if data[:3] != b"FLV":
        raise ValueError(f"{path} is no FLV")
    at = _HEADER_BYTES + 4
    opening = [data[:at]]
    pictures = []
    while at + _TAG_BYTES <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4])
        content = data[at + _TAG_BYTES : at + _TAG_BYTES + size]
        at += _TAG_BYTES + size + 4
        if kind == SCRIPT or (kind == VIDEO and content[1] == _SEQUENCE_HEADER):
            opening.append(tag(kind, content, 0))
        elif kind == VIDEO and content[1] == _PICTURE:
            pictures.append(Picture(content, content[0] >> 4 == _KEY_FRAME))
    if not pictures or not pictures[0].is_key:
        raise ValueError(f"{path} does not begin with a key frame")
    return Clip(b"".join(opening), tuple(pictures))


def tag(kind: int, content: bytes, milliseconds: int) -> bytes:
    """A tag, with its size behind it."""
    time = struct.pack(">I", milliseconds & 0xFFFFFFFF)
    head = bytes([kind]) + len(content).to_bytes(3) + time[1:] + time[:1] + bytes(3)
    return head + content + struct.pack(">I", _TAG_BYTES + len(content))
