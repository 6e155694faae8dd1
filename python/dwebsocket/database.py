"""The rule of Django for database connections between two requests, for sockets that wait.

Django tells whom it opens a connection for, so that a caller who has none open pays nothing for the rule.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import django
from django.conf import settings
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from . import _core
from .threads import Caller, caller

logger = logging.getLogger("dwebsocket")

T = TypeVar("T")

_POLL_SECONDS: Final = 1.0
"""Pause between two times that empty polls let connections go: each may cost the next query a new one."""


def known(ours: Caller) -> list[BaseDatabaseWrapper]:
    """The connections that the caller has open. Where there is none, its messages may go the short way."""
    if ours.databases is None:
        ours.databases = _opened_before()
        _core.allow_short_way(not ours.databases)
    return ours.databases


def release(ours: Caller) -> float | None:
    """Closes the caller's connections that are broken or past their ``CONN_MAX_AGE``, as it is about to wait.

    One stays that is in a transaction, in an ``atomic`` block or by hand, or that a queryset's ``iterator()``
    still reads from. One that cannot even be closed is logged and given up.

    Returns:
        After how many seconds the next one is past its age; None: none will be while the caller waits.
    """
    due, opened = None, known(ours)
    for connection in tuple(opened):
        if connection.connection is not None and not connection.in_atomic_block:
            is_busy = _is_busy(connection)
            _try(_close_if_broken if is_busy else _follow_the_rule, connection)
            if connection.connection is not None and connection.close_at is not None and not is_busy:
                left = max(0.0, connection.close_at - time.monotonic())
                due = left if due is None else min(due, left)
        if connection.connection is None:
            opened.remove(connection)
    _core.allow_short_way(not opened)
    return due


def release_meanwhile(
    ours: Caller, due: float | None, wait: Callable[[float | None], T], timeout: float | None
) -> T:
    """Waits, and wakes up to close the caller's connections as they come of age.

    Args:
        ours: who waits.
        due: what ``release`` has just answered.
        wait: waits for so many seconds, None for ever, and raises ``TimeoutError`` behind them.
        timeout: how long to wait in all; None or a negative number for ever.

    Raises:
        TimeoutError: the timeout is over.
    """
    if timeout is None or timeout < 0:
        timeout = math.inf
    deadline = time.monotonic() + timeout
    # A timeout that is not a number is greater than nothing: it is for ``wait`` to refuse.
    while due is not None and timeout > due:
        with suppress(TimeoutError):
            return wait(due)
        due = release(ours)
        timeout = max(0.0, deadline - time.monotonic())
    return wait(None if timeout == math.inf else timeout)


def release_at_times(ours: Caller) -> None:
    """``release`` for a caller that polls: at most once a second."""
    if not ours.databases:
        return
    now = time.monotonic()
    if now - ours.released >= _POLL_SECONDS:
        ours.released = now
        release(ours)


def heal(ours: Caller) -> None:
    """Closes the caller's connections that a failed query has found broken; the next query makes new ones."""
    for connection in ours.databases or ():
        if (
            connection.errors_occurred
            and connection.connection is not None
            and not connection.in_atomic_block
        ):
            _try(_close_if_broken, connection)


def _follow_the_rule(connection: BaseDatabaseWrapper) -> None:
    connection.close_if_unusable_or_obsolete()


def _close_if_broken(connection: BaseDatabaseWrapper) -> None:
    if not connection.errors_occurred:
        return
    if connection.is_usable():
        connection.errors_occurred = False
    else:
        connection.close()


def _try(step: Any, connection: BaseDatabaseWrapper) -> None:
    try:
        step(connection)
    except Error:
        logger.warning("The database connection %r broke as it was closed.", connection.alias, exc_info=True)


def _is_busy(connection: BaseDatabaseWrapper) -> bool:
    """Whether something is under way on it that ends with it."""
    iterations = vars(connection).get("chunked_cursor")
    return not connection.autocommit or (isinstance(iterations, _Iterations) and iterations.are_under_way())


class _Iterations:
    """Stands for ``chunked_cursor`` of one connection, and knows which of those cursors are still in use."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        # As all its parts hold it.
        self._connection = connection
        self._cursors: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self) -> Any:
        cursor = type(self._connection).chunked_cursor(self._connection)
        self._cursors.add(cursor)
        return cursor

    def are_under_way(self) -> bool:
        """Whether an iterator has neither come to its end nor been let go."""
        return len(self._cursors) > 0


def _opened_before() -> list[BaseDatabaseWrapper]:
    """What the caller had opened before anybody listened to Django."""
    if not settings.configured:
        return []
    known = connections.all() if django.VERSION < (4, 1) else connections.all(initialized_only=True)
    opened = [connection for connection in known if connection.connection is not None]
    for connection in opened:
        _watch_iterators(connection)
    return opened


def _is_opened(connection: BaseDatabaseWrapper, **_: object) -> None:
    opened = known(caller())
    if connection not in opened:
        opened.append(connection)
    _core.allow_short_way(False)
    _watch_iterators(connection)


def _watch_iterators(connection: BaseDatabaseWrapper) -> None:
    # Another's in that place, such as a debugger's, stays there.
    if "chunked_cursor" not in vars(connection):
        connection.chunked_cursor = _Iterations(connection)  # type: ignore[method-assign]


def _create(alias: str) -> BaseDatabaseWrapper:
    connection: BaseDatabaseWrapper = _create_connection(alias)
    # Not later: an iterator may be what opens it.
    _watch_iterators(connection)
    return connection


_create_connection = connections.create_connection
connections.create_connection = _create  # type: ignore[method-assign]
connection_created.connect(_is_opened, dispatch_uid="dwebsocket.database")
