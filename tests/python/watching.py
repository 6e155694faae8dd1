"""Feeds, and what their clients see."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clip import jpeg_size
from dwebsocket.video import Feed, Viewer, frames
from rtmp import SAMPLE
from serving import PATIENCE
from sockets import until


@pytest.fixture
def no_feed_runs_on() -> Iterator[None]:
    """The feeds of the test are gone after it, as those of `feed` soon are, and their threads with them."""
    yield
    until(lambda: threads("video-feed") == threads("video-capture") == threads("video-remux") == 0)


@pytest.fixture
def videos_linger_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feeds of `video_img_base64` are as those of `feed`."""
    monkeypatch.setattr(frames, "Feed", feed)


def feed(source: object = SAMPLE, **options: object) -> Feed:
    """A feed that lingers for a moment only."""
    return Feed(source, **{"linger_seconds": 0.1} | options)


def watch_together(watch: Callable[[], list[Viewer]]) -> list[Viewer]:
    """The viewers of a recording who came within its first second, which a busy machine may miss."""
    for _ in range(20):
        began = time.monotonic()
        viewers = watch()
        if time.monotonic() - began < 0.9:
            return viewers
        for viewer in viewers:
            viewer.close()
        until(lambda: threads("video-feed") == threads("video-remux") == 0)
    raise AssertionError("they never came in time")


def frame(client: Any) -> dict[str, Any]:
    """The next frame of the JSON form; notices are passed over."""
    return message(client, lambda received: "img_base64" in received)


def state(client: Any, wanted: str, patience: float = PATIENCE) -> dict[str, Any]:
    """The next notice of a state; frames and other notices are passed over."""
    return message(client, lambda received: received.get("state") == wanted, patience)


def message(client: Any, wanted: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> Any:
    """The next JSON message that is wanted."""
    limit = time.monotonic() + patience
    seen: list[str] = []
    while True:
        text = client.recv(timeout=max(0.0, limit - time.monotonic()))
        received = json.loads(text)
        if wanted(received):
            if "img_base64" in received:
                jpeg_size(received["img_base64"])
            return received
        seen.append(text[:200])


def jpeg_of(received: dict[str, Any]) -> bytes:
    """The JPEG in a frame of the JSON form."""
    return base64.b64decode(received["img_base64"], validate=True)


def threads(name: str) -> int:
    """How many threads of this process have the name."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            count += task.joinpath("comm").read_text() == f"{name}\n"
    return count


def captures(path: Path) -> int:
    """How many times this process has the file open."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += descriptor.readlink() == path
    return count
