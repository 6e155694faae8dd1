"""What is known of the calling thread or greenlet: the socket its view accepted, and whether it spins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core.signals import request_started

from . import _core, conf, waiting

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ._core import Connection

FREE_POLLS: Final = 16
"""Empty polls in a row that cost no time."""

POLLS_ELSEWHERE: Final = 64
"""Empty polls of other sockets after which a caller parks where it is."""

FREE_RAISES: Final = 1
FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 1.0


class Caller:
    """One thread or greenlet: what it does to sockets in a row, so that one that spins takes no whole core.

    One that polls many sockets in turn parks at one of them a round, not at each.

    Attributes:
        token: of the socket that the view it is running accepted, None before.
        released: when an empty poll let them go last.
    """

    def __init__(self) -> None:
        self.token: object = None
        self.databases = None
        self.released = 0.0
        self._passed = 0
        self._polls = 0
        self._parked_on = 0
        self._polls_elsewhere = 0
        self._raises = 0
        self._raised_by = 0

    @property
    def databases(self) -> list[BaseDatabaseWrapper] | None:
        """The database connections that it has open, of which ``database`` keeps count; None before."""
        return self._databases

    @databases.setter
    def databases(self, databases: list[BaseDatabaseWrapper] | None) -> None:
        # Until somebody has looked that there is none.
        _core.allow_short_way(False)
        self._databases = databases

    def begins_a_request(self) -> None:
        """Threads are reused: what this one accepted or polled for another request is no longer its own."""
        self.token = None
        _core.disown()
        self.did_something()

    def accepts(self, connection: Connection, token: object) -> None:
        """The view it is running has accepted a socket."""
        self.token = token
        connection.own()

    def did_something(self) -> None:
        """A message was taken or sent: the caller is not spinning."""
        self._polls = 0
        self._raises = 0

    def park(self, connection: Connection) -> bool:
        """Notes an empty poll and, after some in a row, waits without the GIL for a message or the end.

        Returns:
            Whether one can be taken now.
        """
        self._note_the_short_way()
        self._raises = 0
        self._polls += 1
        if self._polls <= FREE_POLLS:
            return False
        self._polls_elsewhere += 1
        if id(connection) != self._parked_on and self._polls_elsewhere <= POLLS_ELSEWHERE:
            return False
        self._parked_on, self._polls_elsewhere = id(connection), 0
        seconds = conf.get("WEBSOCKET_POLL_PARK_SECONDS")
        return bool(seconds) and waiting.way().wait_readable(connection, seconds)

    def pause_before_raising(self, connection: Connection) -> None:
        """Sleeps if the caller was told before, and of nothing since, that this connection is closed.

        A loop that catches every exception and goes on would never end and never rest.
        """
        self._note_the_short_way()
        if self._raised_by != id(connection):
            self._raised_by, self._raises = id(connection), 0
        again = self._raises - FREE_RAISES
        self._raises += 1
        if again >= 0:
            waiting.way().sleep(min(FIRST_PAUSE_SECONDS * 2 ** min(again, 16), LONGEST_PAUSE_SECONDS))

    def _note_the_short_way(self) -> None:
        passed = _core.passed_the_short_way()
        if passed != self._passed:
            self._passed = passed
            self.did_something()


def caller() -> Caller:
    """The calling thread or greenlet."""
    local = waiting.way().local
    try:
        known: Caller = local.caller
    except AttributeError:
        known = local.caller = Caller()
    return known


def _a_request_starts(**_: object) -> None:
    caller().begins_a_request()


request_started.connect(_a_request_starts, dispatch_uid="dwebsocket.threads")
