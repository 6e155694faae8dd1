"""What happens to the sources of feeds, in the log."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from dwebsocket.notices import warn

from .errors import extension
from .worker import Worker

if TYPE_CHECKING:
    from dwebsocket_video import Event

logger = logging.getLogger("dwebsocket.video")

_SLICE_SECONDS = 60.0


class Writer(Worker):
    """Writes what happens to sources into the log, while somebody watches any.

    The threads of feeds cannot do it themselves: they never take the GIL.
    """

    name = "video-log"

    def _run(self) -> None:
        take_event = extension().take_event
        try:
            while not self._is_through():
                event = take_event(_SLICE_SECONDS)
                if event is not None:
                    write(event)
        except BaseException:
            with self._lock:
                self._running = False
            raise

    def _is_through(self) -> bool:
        """Whether nothing can come."""
        # Under the lock, so that who begins to watch now finds the thread at work, or starts one.
        with self._lock:
            self._running = not extension().is_log_idle()
            return not self._running

    def forget(self) -> None:
        """The process forked, and the thread is not in it."""
        Worker.__init__(self)


def write(event: Event) -> None:
    """Writes one event: a warning for a source that is lost, or not there; a line at INFO when it is back."""
    source, failures, seconds = event["source"], event["failures"], event["outage_seconds"]
    if failures == 0:
        logger.info("Video source %s is back after %.1f s", source, seconds)
        return
    reason = event["reason"] or "it ended"
    if failures == 1:
        what = "is lost" if event["was_open"] else "gives no pictures"
    else:
        what = f"has failed {failures} times in {seconds:.0f} s"
    upcoming = event["next_seconds"]
    then = "it is not opened again" if upcoming is None else f"next attempt in {upcoming:.1f} s"
    warn(logger, "video", "Video source %s %s: %s; %s", source, what, reason, then)


writer = Writer()
os.register_at_fork(after_in_child=writer.forget)
