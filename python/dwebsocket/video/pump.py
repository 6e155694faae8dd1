"""Frames from an iterable of the application into a feed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .worker import Worker

if TYPE_CHECKING:
    from dwebsocket_video import Feed

_PAUSE_SECONDS = 0.05


class Pump(Worker):
    """Takes frames from an iterable while somebody watches."""

    name = "video-frames"

    def __init__(self, feed: Feed, frames: Iterator[Any], fps: float | None, linger_seconds: float) -> None:
        super().__init__()
        self._feed = feed
        self._frames = frames
        self._period = 0.0 if fps is None else 1.0 / fps
        self._linger_seconds = linger_seconds

    def _run(self) -> None:
        try:
            while self._is_wanted():
                if not self._push_next():
                    self._feed.pause(True)
                    return
        except BaseException:
            self._feed.pause(True)
            raise

    def _push_next(self) -> bool:
        began = time.monotonic()
        frame = next(self._frames, None)
        if frame is None:
            return False
        if isinstance(frame, bytes):
            self._feed.push(frame, None)
        else:
            height, width, channels = (*frame.shape, 1)[:3]
            if str(frame.dtype) != "uint8":
                raise ValueError(f"pixels of {frame.dtype}, where uint8 was expected")
            self._feed.push(frame.tobytes(), (height, width, channels))
        rest = began + self._period - time.monotonic()
        if rest > 0:
            time.sleep(rest)
        return True

    def _is_wanted(self) -> bool:
        """Whether anybody watches, or did until a moment ago. False: the thread ends."""
        deadline = time.monotonic() + self._linger_seconds
        while not self._feed.viewers:
            with self._lock:
                # Under the lock, so that a viewer who comes now finds the thread running or starts another.
                if not self._feed.viewers and time.monotonic() >= deadline:
                    self._running = False
                    self._feed.pause(False)
                    return False
            time.sleep(_PAUSE_SECONDS)
        return True
