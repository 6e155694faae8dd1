"""Frames from an iterable of the application into a feed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .worker import Worker

if TYPE_CHECKING:
    from dwebsocket_video import Feed


class Pump(Worker):
    """Takes frames from an iterable while somebody watches."""

    name = "video-frames"

    def __init__(self, feed: Feed, frames: Iterator[Any], fps: float | None, linger_seconds: float) -> None:
        super().__init__()
        self._somebody_comes = threading.Condition(self._lock)
        self._feed = feed
        self._frames = frames
        self._period = 0.0 if fps is None else 1.0 / fps
        self._linger_seconds = linger_seconds

    def start(self) -> None:
        """Runs the thread, or wakes it if it rests; to be called by whoever watches from now on."""
        super().start()
        with self._somebody_comes:
            self._somebody_comes.notify()

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
        """Rests until somebody watches. False: nobody did for long, and the thread ends.

        No wake-up is lost: who comes is among the viewers before they call `start`, which takes the lock. If
        it does so before the thread looks, the thread sees them; if after, the thread waits already, for it
        lets go of the lock in no other way.
        """
        deadline = time.monotonic() + self._linger_seconds
        with self._somebody_comes:
            while not self._feed.viewers:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    # Under the lock, so that a viewer who comes now starts another thread.
                    self._running = False
                    self._feed.pause(False)
                    return False
                self._somebody_comes.wait(min(rest, threading.TIMEOUT_MAX))
        return True
