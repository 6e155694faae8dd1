"""What lets a process that serves WebSockets be watched: it runs while there is something to be seen."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Final, Protocol

from .control import Control


class Watcher(Protocol):
    """Something that runs beside the servers of a process."""

    def start(self) -> None:
        """Starts it. What it lacks is logged and keeps no server from serving."""

    def stop(self) -> None:
        """Ends it for good, whether or not it was started. What it opened is closed when this returns."""

    def forget(self) -> None:
        """Lets go, in a forked child, of what is the parent's."""


ADOPTED: Final = object()
"""Stands for the sockets taken over from other servers, which may come until the process ends."""

_kinds: list[Callable[[], Watcher]] = [Control]
_running: dict[Callable[[], Watcher], Watcher] = {}
_owners: set[object] = set()

# There is no lock: a greenlet must not wait for one that another holds. Each step changes one of the three by
# one operation, which threads cannot divide, and who changes a set looks at the other afterwards.


def begin(owner: object) -> None:
    """Something that serves is there. A second time it does nothing.

    Args:
        owner: a server, which ``end`` is told of later, or ``ADOPTED``.
    """
    if owner not in _owners:
        _owners.add(owner)
        _start()


def end(owner: object) -> None:
    """A server has stopped; with the last one the watchers stop."""
    _owners.discard(owner)
    if not _owners:
        _stop()
    if _owners:
        # Another began meanwhile.
        _start()


def add(kind: Callable[[], Watcher]) -> None:
    """Adds one more kind of watcher; it starts at once where something serves already."""
    _kinds.append(kind)
    if _owners:
        _start()


def _start() -> None:
    for kind in list(_kinds):
        watcher = kind()
        if _running.setdefault(kind, watcher) is watcher:
            watcher.start()


def _stop() -> None:
    while _running:
        try:
            _, watcher = _running.popitem()
        except KeyError:
            return
        watcher.stop()


def _forget() -> None:
    # What serves in the parent does not serve in the child.
    for watcher in _running.values():
        watcher.forget()
    _running.clear()
    _owners.clear()


os.register_at_fork(after_in_child=_forget)

# Those who serve register their own end behind this, so that it comes first and the last figures are whole.
atexit.register(_stop)
