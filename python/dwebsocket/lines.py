"""Lines of a log that many threads write."""

from __future__ import annotations

import logging
import os
from collections import deque
from threading import Lock
from typing import Any, Final
from weakref import WeakSet

from django.utils.log import ServerFormatter

MOST_WAITING: Final = 1000
"""Lines that may wait for the thread that is writing; whoever brings a further one waits with it."""

FORMAT_OF_DJANGO: Final = "[{server_time}] {message}"
"""Of the lines of ``django.server``, unless the project wants another."""


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
            text = handler.format(record)
        except Exception:  # noqa: BLE001 -- as every handler
            handler.handleError(record)
            return
        self.write_text(text)

    def write_text(self, text: str) -> None:
        """Does the same with what a record was made to."""
        self._waiting.append(text + self.handler.terminator)
        # Whoever has the turn looks again once it has given it up: what is left to it is not left behind.
        while self._waiting and self._turn.acquire(blocking=len(self._waiting) > MOST_WAITING):
            try:
                self._write_waiting()
            finally:
                self._turn.release()

    def _write_waiting(self) -> None:
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
            handler.handleError(logging.makeLogRecord({"msg": text}))
        finally:
            handler.release()


class Pattern:
    """What Django's formatter of ``django.server`` makes of a request: it is asked once for each status.

    To make a record of each request, and the line of that, takes several times as long as to make the line.

    Attributes:
        formatter: which one.
    """

    _TIME, _MESSAGE = "\0time\0", "\0message\0"

    def __init__(self, formatter: logging.Formatter) -> None:
        self.formatter = formatter
        self._parts: dict[int, tuple[str, str, str]] = {}

    @classmethod
    def of(cls, formatter: logging.Formatter | None) -> Pattern | None:
        """None: a line may depend on more than the time, the message and the status of its request."""
        is_plain = type(formatter) is ServerFormatter and formatter._fmt == FORMAT_OF_DJANGO
        return cls(formatter) if formatter and is_plain else None

    def line(self, status: int, server_time: str, message: str) -> str:
        """What the formatter makes of a record with these."""
        before, between, behind = self._parts.get(status) or self._ask(status)
        return f"{before}{server_time}{between}{message}{behind}"

    def _ask(self, status: int) -> tuple[str, str, str]:
        of_record = {"msg": self._MESSAGE, "server_time": self._TIME, "status_code": status}
        before, rest = self.formatter.format(logging.makeLogRecord(of_record)).split(self._TIME)
        between, behind = rest.split(self._MESSAGE)
        self._parts[status] = before, between, behind
        return before, between, behind


_everywhere: WeakSet[Lines] = WeakSet()


def _forget_everywhere() -> None:
    for lines in _everywhere:
        lines.forget()


os.register_at_fork(after_in_child=_forget_everywhere)
