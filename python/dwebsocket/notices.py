"""Lines that a client can bring about, so few of them that no client can fill the disk with them."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.utils.encoding import escape_uri_path
from django.utils.functional import LazyObject, empty

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ._core import Connection

logger = logging.getLogger("dwebsocket")

MOST: Final = 10
"""Lines of one kind that are written within ``SECONDS``."""

SECONDS: Final = 10.0

_LONGEST_PATH: Final = 200
_LONGEST_USER: Final = 100
_OUTBOX: Final = "WEBSOCKET_OUTBOX_BYTES sets how much may wait for a client"


@dataclass
class _Kind:
    times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))
    left_out: int = 0


_lock = threading.Lock()
_kinds: dict[str, _Kind] = {}


def admit(kind: str) -> str | None:
    """Asks whether one more line of a kind may be written.

    Args:
        kind: what the line is about; there are few of them, and no client chooses them.

    Returns:
        What to write behind the line: "", or how many were left out before it. None: it is left out.
    """
    now = time.monotonic()
    with _lock:
        known = _kinds.setdefault(kind, _Kind())
        if len(known.times) == MOST and now - known.times[0] < SECONDS:
            known.left_out += 1
            return None
        known.times.append(now)
        left_out, known.left_out = known.left_out, 0
    return f" ({left_out} like it were not logged before this one)" if left_out else ""


def warn(logger: logging.Logger, kind: str, message: str, *arguments: object) -> None:
    """Logs a warning, unless there have been too many of its kind."""
    behind = admit(kind)
    if behind is not None:
        logger.warning(f"{message}%s", *arguments, behind)


def shown_path(request: Any) -> str:
    """The path of a request for the log: short, and without letters that could pass for another line."""
    return "" if request is None else escape_uri_path(request.path)[:_LONGEST_PATH]


def shown_user(request: Any) -> str:
    """The name of a request's user for the log, if there is one that was looked up already.

    Nothing is loaded for it: neither the session nor the user.

    Returns:
        " (user 'ann')", or "".
    """
    user = getattr(request, "user", None)
    # Django's middleware puts one there that looks itself up when it is first asked for anything else.
    if isinstance(user, LazyObject) and user._wrapped is empty:
        return ""
    get_username = getattr(user, "get_username", None)
    if get_username is None or not getattr(user, "is_authenticated", False):
        return ""
    return f" (user {str(get_username())[:_LONGEST_USER]!a})"


class SocketLog:
    """Tells the log how one socket ended, once, if it did not end as it should.

    It keeps no request alive: a socket may outlive its view.
    """

    def __init__(self, request: HttpRequest | None) -> None:
        self._path = shown_path(request)
        self._request = None if request is None else weakref.ref(request)
        self._told = False

    def ended(self, connection: Connection) -> None:
        """To be called by whoever finds that the socket has ended; tells of what went wrong."""
        if self._told or connection.close_reason is None:
            return
        self._told = True
        code, _, by = connection.close_reason
        what, sentence = connection.fault or ("", "")
        who = self._who(connection)
        if what == "message_too_big":
            remedy = "WEBSOCKET_MAX_MESSAGE_BYTES sets how large one may be"
            warn(logger, what, "WebSocket %s closed with %d: %s; %s", who, code, sentence, remedy)
        elif what == "violation":
            logger.debug("WebSocket %s closed with %d: %s", who, code, sentence)
        elif what == "silence":
            remedy = "WEBSOCKET_PING_TIMEOUT_SECONDS sets the time"
            logger.debug("WebSocket %s is lost: %s; %s", who, sentence, remedy)
        elif what == "panic":
            logger.error("WebSocket %s is lost: %s", who, sentence)
        elif by == "lost":
            logger.debug("WebSocket %s is lost: its client left without a Close", who)

    def closed_as_too_slow(self, connection: Connection, code: int) -> None:
        """The outbox was full, and stayed so."""
        self._told = True
        remedy = f"{_OUTBOX}, WEBSOCKET_SEND_TIMEOUT_SECONDS how long its own view waits for room"
        said = "WebSocket %s reads too slowly: closed with %d; %s"
        warn(logger, "slow", said, self._who(connection), code, remedy)

    def drops_the_oldest(self, connection: Connection) -> None:
        """The outbox is full, and its oldest messages make room."""
        remedy = f"{_OUTBOX}, WEBSOCKET_SLOW_CLIENT what is done"
        said = "WebSocket %s reads too slowly: its oldest messages are dropped; %s"
        warn(logger, "dropped", said, self._who(connection), remedy)

    def _who(self, connection: Connection) -> str:
        request = self._request() if self._request else None
        return f"{self._path} of {connection.peer}{shown_user(request)}"


def _begin_anew() -> None:
    """The process forked: what its parent has written, or left out, is not the child's."""
    global _lock, _kinds
    # A thread that is not here may have held the lock.
    _lock, _kinds = threading.Lock(), {}


os.register_at_fork(after_in_child=_begin_anew)
