"""What a client of the MP4 form gets, and what a player would make of it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE


@dataclasses.dataclass(frozen=True)
class Fragment:
    """One `moof` and `mdat`, as its boxes say."""

    data: bytes

    @property
    def number(self) -> int:
        return int.from_bytes(self._field(b"mfhd", 4))

    @property
    def decode(self) -> int:
        """When it is decoded, in units of the track."""
        return int.from_bytes(self._field(b"tfdt", 4, 8))

    @property
    def is_key(self) -> bool:
        return self._field(b"trun", 20) == b"\x02\0\0\0"

    def _field(self, box: bytes, offset: int, size: int = 4) -> bytes:
        at = self.data.index(box) + 4 + offset
        return self.data[at : at + size]


@dataclasses.dataclass
class Run:
    """Fragments that go on with each other, behind the text message and the init segment before them."""

    mime_type: str
    start: float
    init: bytes = b""
    fragments: list[Fragment] = dataclasses.field(default_factory=list)

    @property
    def file(self) -> bytes:
        """The messages as one file."""
        return b"".join([self.init, *(fragment.data for fragment in self.fragments)])


class Player:
    """Takes the messages of a client as they come, and finds fault with any that is out of place.

    Attributes:
        states: the messages about the source.
        runs: the others.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.states: list[dict[str, Any]] = []
        self.runs: list[Run] = []

    def take(self, patience: float = PATIENCE) -> str | bytes:
        """The next message, put in its place."""
        message = self._client.recv(timeout=patience)
        self.put(message)
        return message

    def put(self, message: str | bytes) -> None:
        if isinstance(message, str):
            notice = json.loads(message)
            if "mimeType" in notice:
                assert not self.runs or self.runs[-1].fragments, "an init segment without a fragment"
                self.runs.append(Run(notice["mimeType"], notice["t"]))
            else:
                self.states.append(notice)
        elif message[4:8] == b"ftyp":
            assert self.runs[-1].init == b""
            self.runs[-1].init = message
        else:
            run, fragment = self.runs[-1], Fragment(message)
            assert message[4:8] == b"moof"
            assert run.init
            if not run.fragments:
                assert fragment.is_key, "a player cannot begin in a group of pictures"
            else:
                assert fragment.number == run.fragments[-1].number + 1, "a fragment is left out"
                assert fragment.decode > run.fragments[-1].decode
            run.fragments.append(fragment)

    def until(self, condition: Any, patience: float = PATIENCE) -> None:
        """Takes messages until something holds."""
        limit = time.monotonic() + patience
        while not condition():
            self.take(max(0.0, limit - time.monotonic()))

    def until_state(self, state: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Takes messages until a state that was not told before."""
        told = len(self.states)
        self.until(lambda: any(it.get("state") == state for it in self.states[told:]), patience)
        return self.states[-1]

    def fragments(self, count: int) -> list[Fragment]:
        """The last run's fragments, once there are so many."""
        self.until(lambda: self.runs and len(self.runs[-1].fragments) >= count)
        return self.runs[-1].fragments


def frames(path: Path) -> list[tuple[float, str]]:
    """When each frame of a video is shown, and a digest of its pixels; a complaint of the decoder fails."""
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough"]
    command += ["-copyts", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    base = 1.0
    found = []
    for line in done.stdout.splitlines():
        if line.startswith("#tb 0: "):
            numerator, denominator = line.removeprefix("#tb 0: ").split("/")
            base = int(numerator) / int(denominator)
        elif not line.startswith("#"):
            _, _, shown, _, _, digest = (field.strip() for field in line.split(","))
            found.append((int(shown) * base, digest))
    return found


def frames_of(run: Run, directory: Path) -> list[tuple[float, str]]:
    """The frames of a run as a player decodes them."""
    path = directory / f"run-{time.monotonic_ns()}.mp4"
    path.write_bytes(run.file)
    return frames(path)


def assert_same(found: list[tuple[float, str]], expected: list[tuple[float, str]]) -> None:
    """The same frames at the same times, to a thousandth of a second."""
    assert [digest for _, digest in found] == [digest for _, digest in expected]
    assert [shown for shown, _ in found] == pytest.approx([shown for shown, _ in expected], abs=0.001)


def encode(path: Path, *options: str, video: str = "testsrc2=size=128x72:rate=25:duration=2") -> Path:
    """A clip from ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", video, "-pix_fmt", "yuv420p", *options, path]
    subprocess.run(command, check=True, timeout=60, stderr=subprocess.DEVNULL)
    return path
