"""The Rust server with what it needs from Python: threads for views, lines for the log, an end at exit."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connections

from . import _core, watch
from .lines import Lines, Pattern

if TYPE_CHECKING:
    from ._core import AccessLog

GOING_AWAY = 1001
SERVICE_RESTART = 1012
SWITCHING_PROTOCOLS = 101

logger = logging.getLogger("dwebsocket.server")


class Notice(NamedTuple):
    """What the log says of something that the core refused."""

    what: str
    remedy: str
    level: int = logging.WARNING


_NOTICES: Final = {
    "http_busy": Notice(
        "An HTTP request was refused with 503",
        "every thread is busy and as many requests wait as may; WEBSOCKET_HTTP_THREADS sets the threads",
    ),
    "websockets_full": Notice(
        "A WebSocket was refused with 503",
        "as many are open as may be; WEBSOCKET_MAX_CONNECTIONS sets the number",
    ),
    "connections_full": Notice(
        "A connection was refused with 503",
        "as many are open as may be; WEBSOCKET_MAX_TCP_CONNECTIONS sets the number",
    ),
    "address_full": Notice(
        "A connection was refused with 503",
        "its address has as many open as it may; WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS sets the number",
    ),
    "request_line_too_long": Notice(
        "A request was refused with 414",
        "its request line is too long; WEBSOCKET_MAX_REQUEST_LINE_BYTES sets the length",
    ),
    "header_too_large": Notice(
        "A request was refused with 431",
        "its header section has too many bytes; WEBSOCKET_MAX_HEADER_BYTES sets the number",
    ),
    "too_many_headers": Notice(
        "A request was refused with 431",
        "its header section has too many fields; WEBSOCKET_MAX_HEADERS sets the number",
    ),
    "header_timed_out": Notice(
        "A request was refused with 408",
        "its header section did not arrive in time; WEBSOCKET_HEADER_TIMEOUT_SECONDS sets the time",
    ),
    "body_too_large": Notice(
        "A request was refused with 413",
        "its body is too large; WEBSOCKET_MAX_BODY_BYTES sets the size",
    ),
    "bad_request": Notice("A request was refused", "the client's mistake", logging.DEBUG),
    "preface": Notice(
        "A connection was closed before its first request", "the client's mistake", logging.DEBUG
    ),
    "preface_timed_out": Notice(
        "A connection was closed before its first request",
        "its TLS handshake, or the header of the PROXY protocol, did not end in time; "
        "WEBSOCKET_HEADER_TIMEOUT_SECONDS sets the time",
    ),
    "accept_failed": Notice(
        "A connection could not be accepted",
        "the process has no descriptor or memory left and tries again every 0.1 s; ulimit -n sets the "
        "number of descriptors",
    ),
    "panicked": Notice(
        "The server made a mistake",
        "what was at hand is lost; please report it to the makers of dwebsocket-rs",
        logging.ERROR,
    ),
}

access = logging.getLogger("dwebsocket.access")

_running: set[Server] = set()

# From then on no thread that waits in Rust comes back to an interpreter that is being taken down.
atexit.register(_core.shutdown)


class Server:
    """Serves a WSGI application, HTTP and WebSockets, on sockets that listen already."""

    def __init__(
        self,
        application: Callable[..., Any],
        listeners: Sequence[socket.socket],
        config: Mapping[str, Any],
        base_environ: Mapping[str, Any] | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        """Prepares the server; nothing is accepted yet.

        Args:
            application: the WSGI application.
            listeners: bound, listening sockets; they stay the caller's, who closes them after ``stop``.
            config: as ``conf.server_config()`` gives it.
            base_environ: entries of every request's environ.
            access_log: hears of each exchange; by default a ``RequestLog``.
        """
        self._numbers = itertools.count(1)
        self._core = _core.Server(
            application,
            [listener.fileno() for listener in listeners],
            config,
            self._spawn,
            access_log or RequestLog(),
            base_environ,
        )

    def start(self) -> None:
        """Starts accepting and returns."""
        _running.add(self)
        self._core.start()
        threading.Thread(target=self._tell, name="dwebsocket-notices", daemon=True).start()
        watch.begin(self)

    def drain(self, code: int, spread: float, linger: float) -> None:
        """Brings every connection to its end without haste, as ``_core.Server.drain``; ``stop`` ends it."""
        self._core.drain(code, "", spread, linger)

    def wait(self, timeout: float) -> bool:
        """Waits until every connection has ended and nothing is accepted. False: the time ran out."""
        return self._core.wait(timeout)

    def stop(self, code: int = GOING_AWAY, reason: str = "", timeout: float = 1.0) -> bool:
        """Closes every socket with ``code``, lets requests end for ``timeout`` seconds and accepts no more.

        Returns:
            Whether everything had ended in time. A second call does nothing but wait.
        """
        _running.discard(self)
        try:
            return self._core.stop(code, reason, timeout)
        finally:
            watch.end(self)

    @property
    def counts(self) -> dict[str, int]:
        """Threads and connections, as ``_core.Server.counts``."""
        return self._core.counts

    def _tell(self) -> None:
        """Logs what the core refuses; what repeats itself once in five seconds."""
        while (notices := self._core.notices()) is not None:
            for kind, count, address, detail in notices:
                notice = _NOTICES[kind]
                times = "" if count == 1 else f" {count} times"
                # A client chose the letters; those beyond ASCII might look like others.
                last = ", ".join(filter(None, [address and f"from {address}", ascii(detail)[1:-1]]))
                source = f" (last {last})" if last else ""
                logger.log(notice.level, "%s%s%s: %s", notice.what, times, source, notice.remedy)

    def _spawn(self) -> None:
        name = f"dwebsocket-view-{next(self._numbers)}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        _wait_for_turn()
        try:
            self._core.work()
        finally:
            # Database connections belong to a thread; those that outlive requests (CONN_MAX_AGE) end with it.
            connections.close_all()


def _wait_for_turn() -> None:
    """Keeps the calling thread from interrupting the one that wakes it (``SCHED_BATCH``, Linux).

    A rush of messages for many views is read by one thread. Were each view put in its place as it is woken,
    on the same processor, messages would be read one by one, and answers sent one by one. So views get their
    turn when all is read, and what they answer is sent in a row. On an idle processor they run at once.
    """
    if not hasattr(os, "SCHED_BATCH"):
        return
    # Where it is not allowed, or the process was given a policy of its own, things work as well, only slower.
    with suppress(PermissionError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def stop_all(code: int, timeout: float) -> None:
    """Stops every server of the process, each as ``Server.stop`` does; the timeout holds for all together."""
    deadline = time.monotonic() + timeout
    for server in list(_running):
        server.stop(code, timeout=max(0.0, deadline - time.monotonic()))


def log_opened(environ: Mapping[str, Any]) -> None:
    """Tells ``dwebsocket.access``, if the project has given it a handler, that a socket is open."""
    if access.handlers:
        access.info("WebSocket %s of %s opened", *_who(environ))


def log_ended(environ: Mapping[str, Any], connection: _core.Connection, seconds: float) -> None:
    """Tells it that the view of a socket has ended."""
    if access.handlers:
        code, ending = ending_of(connection)
        counts = connection.counts
        access.info(
            "WebSocket %s of %s closed %d %s after %.1f s, received %d messages %d bytes, "
            "sent %d messages %d bytes",
            *_who(environ),
            code,
            ending,
            seconds,
            counts["received_messages"],
            counts["received_bytes"],
            counts["sent_messages"],
            counts["sent_bytes"],
        )


def ending_of(connection: _core.Connection) -> tuple[int, str]:
    """The close code of a socket whose view has ended, and in words who closed it."""
    code, _, by = connection.close_reason or (1006, "", "lost")
    return code, {"peer": "by the client", "us": "by the server"}.get(by, "(lost)")


def _who(environ: Mapping[str, Any]) -> tuple[str, str]:
    address, port = environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", "")
    return _target(environ).partition("?")[0], f"{address}:{port}" if port else "unix"


class RequestLog:
    """Writes one line for each request to the logger ``django.server``, as Django's development server does.

    A WebSocket gets two: one with 101 when it opens, one with the close code and its duration when it ends.
    """

    logger = logging.getLogger("django.server")

    def __init__(self) -> None:
        self._lines: Lines | None = None
        self._pattern: Pattern | None = None
        self._time = (0, "")

    def response(self, environ: Mapping[str, Any], status: int, sent_bytes: int, seconds: float) -> None:
        """A response was sent, or a socket opened (101)."""
        del seconds
        if status == SWITCHING_PROTOCOLS:
            log_opened(environ)
        level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO
        self._log(environ, level, status, "%s %s", str(status), str(sent_bytes))

    def socket_closed(self, environ: Mapping[str, Any], connection: _core.Connection, seconds: float) -> None:
        """The view of a socket has ended."""
        log_ended(environ, connection, seconds)
        code, ending = ending_of(connection)
        self._log(
            environ, logging.INFO, SWITCHING_PROTOCOLS, "closed %s %s after %.1f s", code, ending, seconds
        )

    def _log(
        self, environ: Mapping[str, Any], level: int, status: int, what: str, *arguments: object
    ) -> None:
        logger = self.logger
        if not logger.isEnabledFor(level):
            return
        line, arguments = f'"%s" {what}', (_request_line(environ), *arguments)
        handler = self._plain_handler()
        if handler is None:
            logger.handle(self._record(level, status, line, arguments))
            return
        lines, pattern = self._lines_of(handler), self._pattern_of(handler)
        if pattern is None:
            lines.write(self._record(level, status, line, arguments))
        elif level >= handler.level:
            lines.write_text(pattern.line(status, self._server_time(), line % arguments))

    def _record(self, level: int, status: int, line: str, arguments: tuple[object, ...]) -> logging.LogRecord:
        extra = {"request": None, "server_time": self._server_time(), "status_code": status}
        name = self.logger.name
        return self.logger.makeRecord(name, level, __file__, 0, line, arguments, None, None, extra)

    def _plain_handler(self) -> logging.StreamHandler[Any] | None:
        """The handler that Django sets up; None: the project wants another, which is left to logging."""
        logger = self.logger
        if len(logger.handlers) != 1 or logger.propagate or logger.filters:
            return None
        handler = logger.handlers[0]
        return handler if type(handler) is logging.StreamHandler and not handler.filters else None

    def _lines_of(self, handler: logging.StreamHandler[Any]) -> Lines:
        lines = self._lines
        if lines is None or lines.handler is not handler:
            self._lines = lines = Lines(handler)
        return lines

    def _pattern_of(self, handler: logging.Handler) -> Pattern | None:
        """Of the handler's formatter; None: it may want more of a record than its line needs."""
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return None
        pattern = self._pattern
        if pattern is None or pattern.formatter is not handler.formatter:
            self._pattern = pattern = Pattern.of(handler.formatter)
        return pattern

    def _server_time(self) -> str:
        second = int(time.time())
        known, text = self._time
        if second != known:
            text = time.strftime("%d/%b/%Y %H:%M:%S", time.localtime(second))
            self._time = (second, text)
        return text


def _request_line(environ: Mapping[str, Any]) -> str:
    return f"{environ['REQUEST_METHOD']} {_target(environ)} {environ['SERVER_PROTOCOL']}"


def _target(environ: Mapping[str, Any]) -> str:
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
    return target
