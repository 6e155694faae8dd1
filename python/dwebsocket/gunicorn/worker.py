"""The worker class."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from gunicorn import SERVER_SOFTWARE
from gunicorn.workers.base import Worker as BaseWorker

from .. import conf
from . import arbiter, log, options
from .application import Application
from .succession import Succession
from .tls import Certificate

if TYPE_CHECKING:
    from ..server import Server

_LOOK_SECONDS: Final = 1.0
"""Pause between two looks at the arbiter, and two signs of life."""

_TICK_SECONDS: Final = 0.05
"""Longest time that a signal waits while the worker ends."""

_LINGER_SECONDS: Final = 2.0
"""How long an idle HTTP connection may still bring a request once the worker ends."""

_HASTE_SECONDS: Final = 1.0
"""How long a quick end may take; gunicorn itself waits for two seconds where it is in haste."""

_MARGIN_SECONDS: Final = 0.5
"""How long before gunicorn kills it the worker gives up."""


# gunicorn has no types.
class Worker(BaseWorker):  # type: ignore[misc]
    """Serves HTTP and WebSockets on gunicorn's listening sockets.

    The server's threads do the work. The main thread waits for signals, and shows gunicorn that it is alive.
    """

    def __init__(self, age: int, *arguments: Any, **keywords: Any) -> None:
        super().__init__(age, *arguments, **keywords)
        self._succession = arbiter.kept(Succession)
        self._succession.worker_comes(self.cfg, age)
        self._tls = arbiter.kept(Certificate).current(self.cfg, self.log)
        self._numbers = itertools.count(1)
        self._told = False
        self._haste = False

    @classmethod
    def check_config(cls, cfg: Any, logger: Any) -> None:
        """Refuses settings and certificates that the worker cannot do with, before anything is served.

        Raises:
            RuntimeError: names them; gunicorn prints it and ends.
        """
        if refusal := options.refusal(cfg):
            raise RuntimeError(refusal)
        try:
            arbiter.kept(Certificate).begin(cfg)
        except ValueError as error:
            raise RuntimeError(f"The certificate cannot be used: {error}.") from error
        for name in options.ignored(cfg):
            logger.warning("dwebsocket.gunicorn.Worker does not heed the setting %s.", name)

    def init_process(self) -> None:
        """Becomes the process of the worker, and runs it.

        Raises:
            RuntimeError: as ``check_config``, which gunicorn does not call after a reload.
        """
        if refusal := options.refusal(self.cfg):
            raise RuntimeError(refusal)
        if self.cfg.certfile and self._tls is None:
            raise RuntimeError("There is no certificate that can be used.")
        super().init_process()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: the worker ends without haste. A second one changes nothing."""
        self._told = True
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT and SIGINT: the worker ends in haste."""
        if not self.booted:
            super().handle_quit(sig, frame)
        self._told = True
        self.alive = False
        if not self._haste:
            self._haste = True
            self.cfg.worker_int(self)

    def count_request(self) -> None:
        """Counts one request, on any thread; the last of ``max_requests`` ends the worker."""
        # next() of a count is one step under the GIL.
        self.nr = number = next(self._numbers)
        if number == self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
            # A pipe that takes no more wakes its reader already.
            with contextlib.suppress(BlockingIOError):
                os.write(self.PIPE[1], b"1")

    def run(self) -> None:
        """Serves until the worker is to end, and ends it."""
        if not self.alive:
            return
        server = self._make_server()
        server.start()
        while self.alive:
            self.notify()
            if self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                self._told = True
                break
            self._sleep(min(_LOOK_SECONDS, self.timeout or _LOOK_SECONDS))
        self._end(server)

    def _make_server(self) -> Server:
        # Not before the project is loaded: it names Django's settings.
        from ..server import Server

        log.adopt_loggers(self.log)
        observed = log.is_observed(self.log, self.cfg)
        environ: dict[str, Any] = {
            "SERVER_SOFTWARE": SERVER_SOFTWARE,
            "wsgi.multiprocess": self.cfg.workers > 1,
        }
        config = options.server_config(self.cfg)
        if self._tls is not None:
            config["tls"] = self._tls
            environ["wsgi.url_scheme"] = "https"
        self._close_timeout: float = config["close_timeout_seconds"]
        self._drain_seconds: float = conf.get("WEBSOCKET_DRAIN_SECONDS")
        access_log = log.AccessLog(self)
        return Server(Application(self, observed), self.sockets, config, environ, access_log)

    def _sleep(self, seconds: float) -> None:
        """Waits for a signal, or for a thread that writes into the pipe."""
        if select.select([self.PIPE[0]], [], [], seconds)[0]:
            os.read(self.PIPE[0], 4096)

    def _end(self, server: Server) -> None:
        from ..server import GOING_AWAY, SERVICE_RESTART

        orphaned = self.ppid != os.getppid()
        goes_on = not orphaned and (not self._told or self._succession.goes_on(self.age))
        code = SERVICE_RESTART if goes_on else GOING_AWAY
        graceful = self.cfg.graceful_timeout
        patience = max(0.0, graceful - min(_MARGIN_SECONDS, graceful / 10))
        deadline = time.monotonic() + patience
        # The server has descriptors of its own. A socket that stays open here goes on taking connections,
        # which nobody else accepts where each worker has its own (reuse_port).
        for listener in self.sockets:
            listener.close()
        # gunicorn's reloader tells nobody, and whoever waits for it has just saved a file.
        self._haste |= self.cfg.reload and not self._told
        if not self._haste:
            room = max(patience - self._close_timeout, patience / 2)
            server.drain(code, min(self._drain_seconds, room), min(_LINGER_SECONDS, patience / 2))
        while not self._haste and time.monotonic() < deadline and not server.wait(_TICK_SECONDS):
            self.notify()
        while not server.stop(code, timeout=_TICK_SECONDS):
            self.notify()
            if self._haste:
                deadline = min(deadline, time.monotonic() + _HASTE_SECONDS)
            if time.monotonic() >= deadline:
                left = log.describe(server.counts)
                self.log.warning("Worker (pid:%s) ends and cuts off %s.", self.pid, left)
                return
