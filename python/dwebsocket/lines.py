"""Lines of a log that many threads write."""

from __future__ import annotations

import logging
import os
from collections import deque
from threading import Lock
from typing import Any, Final
from weakref import WeakSet

MOST_WAITING: Final = 1000
"""Lines that may wait for the thread that is writing; whoever brings a further one waits with it."""


class Lines:
    """Writes records as a ``StreamHandler`` does, but together those that come while one is being written.

    A thread that writes gives up the GIL and waits for it again, and so does each one that waits for the
    handler's lock meanwhile: on a busy server that costs much. Here they leave their lines to the thread that
    is writing, and go on. A line that comes alone is written when it comes, by the thread that brings it.

    Attributes:
        handler: where to.
    """

    def __init__(self, handler: logging.StreamHandler[Any]) -> None:
        self.handler = handler
        self.forget()
        _everywhere.add(self)

    def forget(self) -> None:
        """Drops what waits. In a forked child nobody is writing it, and the lines are the parent's."""
        self._waiting: deque[str] = deque()
        self._turn = Lock()

    def write(self, record: logging.LogRecord) -> None:
        """Writes a record, or leaves it to another thread. What goes wrong, the handler deals with."""
        handler = self.handler
        if record.levelno < handler.level:
            return
        try:
            line = handler.format(record) + handler.terminator
        except Exception:  # noqa: BLE001 -- as every handler
            handler.handleError(record)
            return
        self._waiting.append(line)
        # Whoever has the turn looks again once it has given it up: what is left to it is not left behind.
        while self._waiting and self._turn.acquire(blocking=len(self._waiting) > MOST_WAITING):
            try:
                self._write_waiting(record)
            finally:
                self._turn.release()

    def _write_waiting(self, record: logging.LogRecord) -> None:
        handler = self.handler
        # Others only append.
        text = "".join([self._waiting.popleft() for _ in range(len(self._waiting))])
        if not text:
            return
        handler.acquire()
        try:
            handler.stream.write(text)
            handler.flush()
        except Exception:  # noqa: BLE001 -- as every handler
            handler.handleError(record)
        finally:
            handler.release()


_everywhere: WeakSet[Lines] = WeakSet()


def _forget_everywhere() -> None:
    for lines in _everywhere:
        lines.forget()


os.register_at_fork(after_in_child=_forget_everywhere)
