"""The sample clip for tests of video: what its frames are, and servers that offer it or nothing."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dwebsocket.video import video_img_base64
from rtmp import SAMPLE

SAMPLE_FRAMES = 250
FAST = functools.partial(video_img_base64, pace=False)
"""Plays as fast as it can."""


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A listener that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def http_url(tmp_path: Path) -> Iterator[str]:
    """The sample clip by HTTP."""
    handler = functools.partial(_QuietHandler, directory=str(SAMPLE.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{SAMPLE.name}"
        server.shutdown()
        thread.join()


HTTP_REQUESTS: list[str] = []
"""What was asked of `http_url`, oldest first."""


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def send_head(self) -> object:
        HTTP_REQUESTS.append(self.path)
        return super().send_head()

    def copyfile(self, source: object, outputfile: object) -> None:
        # A player that has seen enough hangs up in the middle.
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@functools.cache
def sample_digests() -> tuple[bytes, ...]:
    """What each frame of the sample is at the default quality."""
    with FAST(SAMPLE) as video:
        return tuple(digest(frame) for frame in video)


def digest(frame: str) -> bytes:
    return hashlib.sha256(frame.encode()).digest()


def jpeg_size(frame: str) -> tuple[int, int]:
    """Width and height of a base64 JPEG, after checking that it is one from its first marker to its last."""
    data = base64.b64decode(frame, validate=True)
    assert data[:2] == b"\xff\xd8"
    assert data[-2:] == b"\xff\xd9"
    at = 2
    while data[at + 1] != 0xC0:
        assert data[at] == 0xFF
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])


def url_of(listener: socket.socket) -> str:
    return f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/nothing"


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port that refuses connections; it stays taken, so that nobody else comes to listen there."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def run_python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        env=os.environ | {"SAMPLE": str(SAMPLE)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def short_clip(directory: Path) -> Path:
    """One second of picture, 25 frames."""
    path = directory / "short.mp4"
    command = f"ffmpeg -v error -f lavfi -i testsrc=size=64x36:rate=25:duration=1 -pix_fmt yuv420p {path}"
    subprocess.run(command.split(), check=True)
    return path
