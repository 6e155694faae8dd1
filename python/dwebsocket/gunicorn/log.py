"""gunicorn's logs for what our server tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from gunicorn import config as gunicorn_config
from gunicorn import glogging

from .. import _core
from .exchange import KEY, SWITCHING_PROTOCOLS, Exchange

_CLOSED: Final = (
    '%(h)s %(l)s %(u)s %(t)s "%(r)s" closed %(s)s %({dwebsocket.closed_by}e)s after %(L)s s, received '
    "%({dwebsocket.received_messages}e)s messages %({dwebsocket.received_bytes}e)s bytes, sent "
    "%({dwebsocket.sent_messages}e)s messages %({dwebsocket.sent_bytes}e)s bytes"
)
"""The line at the end of a socket, where the project has no format of its own for the access log."""


def is_observed(log: Any, config: Any) -> bool:
    """Whether a hook or a log wants to know of each exchange."""
    hooks = ("pre_request", "post_request")
    logs = (config.accesslog, config.logconfig, config.logconfig_dict, config.logconfig_json, config.syslog)
    return (
        any(logs)
        # statsd's, or the project's own, which may count what it does not write.
        or type(log).access is not glogging.Logger.access
        or any(getattr(config, name) is not config.settings[name].default for name in hooks)
    )


class AccessLog:
    """Writes gunicorn's access log, and calls its ``post_request`` hook."""

    def __init__(self, worker: Any) -> None:
        # Not before the project is loaded: it names Django's settings.
        from .. import server

        self._server = server
        self._worker = worker
        self._log = worker.log
        # A class of the project's own may have nothing but what gunicorn calls.
        is_gunicorns = isinstance(worker.log, glogging.Logger)
        self._access_log: logging.Logger | None = worker.log.access_log if is_gunicorns else None
        own = worker.cfg.access_log_format
        self._closed_format = _CLOSED if own == gunicorn_config.AccessLogFormat.default else own

    def response(self, environ: dict[str, Any], status: int, sent_bytes: int, seconds: float) -> None:
        """A response was sent, or a socket opened (101)."""
        if status == SWITCHING_PROTOCOLS:
            self._server.log_opened(environ)
        exchange: Exchange | None = environ.get(KEY)
        if exchange is None:
            return
        exchange.response.end(status, sent_bytes)
        took = timedelta(seconds=seconds)
        self._log.access(exchange.response, exchange.request, environ, took)
        if status != SWITCHING_PROTOCOLS:
            self._end(exchange, environ)

    def socket_closed(self, environ: dict[str, Any], connection: _core.Connection, seconds: float) -> None:
        """The view of a socket has ended."""
        self._server.log_ended(environ, connection, seconds)
        exchange: Exchange | None = environ.get(KEY)
        if exchange is None:
            return
        code, ending = self._server.ending_of(connection)
        counts = connection.counts
        if self._access_log is not None and self._access_log.hasHandlers():
            environ["dwebsocket.closed_by"] = ending
            environ.update({f"dwebsocket.{name}": count for name, count in counts.items()})
            opened, exchange.response.status = exchange.response.status, str(code)
            exchange.response.sent = counts["sent_bytes"]
            atoms = self._log.atoms(exchange.response, exchange.request, environ, timedelta(seconds=seconds))
            self._access_log.info(self._closed_format, self._log.atoms_wrapper_class(atoms))
            exchange.response.status = opened
        self._end(exchange, environ)

    def _end(self, exchange: Exchange, environ: dict[str, Any]) -> None:
        try:
            self._worker.cfg.post_request(self._worker, exchange.request, environ, exchange.response)
        except Exception:  # noqa: BLE001 -- the hook is the project's
            self._log.exception("Exception in post_request hook")
        # The exchange holds the environ as well: apart, they need no garbage collector.
        del environ[KEY]


def adopt_loggers(log: Any) -> None:
    """Lets our loggers write where gunicorn writes its errors, unless the project has said where."""
    handlers = getattr(getattr(log, "error_log", None), "handlers", None)
    logger = logging.getLogger("dwebsocket")
    if not handlers or logging.getLogger("dwebsocket.server").hasHandlers():
        return
    logger.handlers.extend(handlers)
    logger.propagate = False
    if logger.level == logging.NOTSET:
        logger.setLevel(log.error_log.level)


def describe(counts: Mapping[str, int]) -> str:
    """What is left of a server, in words."""
    threads = counts["http_threads"] + counts["websocket_threads"]
    return f"{counts['connections']} connections and {threads} views"
