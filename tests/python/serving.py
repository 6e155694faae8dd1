"""A pytest plugin: our server, without Django, on a free port and on daemon threads of Python."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from dwebsocket import _core

PATIENCE = 20.0
"""Seconds after which something that should have happened counts as a failure."""


@dataclass
class AccessLog:
    """Keeps what the server tells, and lets a test wait for it."""

    responses: list[tuple[dict[str, Any], int, int, float]] = field(default_factory=list)
    closed: list[tuple[dict[str, Any], _core.Connection, float]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def response(self, environ: dict[str, Any], status: int, sent_bytes: int, seconds: float) -> None:
        with self.changed:
            self.responses.append((environ, status, sent_bytes, seconds))
            self.changed.notify_all()

    def socket_closed(self, environ: dict[str, Any], connection: _core.Connection, seconds: float) -> None:
        with self.changed:
            self.closed.append((environ, connection, seconds))
            self.changed.notify_all()

    def wait(self, condition: Callable[[AccessLog], bool]) -> None:
        """Waits until the condition holds."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), PATIENCE), (self.responses, self.closed)

    def statuses(self) -> list[int]:
        return [status for _, status, _, _ in self.responses]


class Serving:
    """A running server.

    Attributes:
        host: the address to connect to.
        port: its port.
        core: the ``_core.Server``.
        log: what the server told of its exchanges.
        threads: every thread it asked for.
        thread_errors: what left ``work`` (nothing should).
    """

    def __init__(self, application: Any, base_environ: dict[str, Any] | None = None, **config: Any) -> None:
        self.log = AccessLog()
        self.threads: list[threading.Thread] = []
        self.thread_errors: list[BaseException] = []
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.host, self.port = self._listener.getsockname()
        self.core = _core.Server(
            application, [self._listener.fileno()], config, self._spawn, self.log, base_environ
        )

    def _spawn(self) -> None:
        name = f"dwebsocket-test-{next(self._numbers)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            self.core.work()
        except BaseException as error:
            self.thread_errors.append(error)
            raise

    def start(self) -> Serving:
        self.core.start()
        return self

    def stop(self, code: int = 1001, reason: str = "", timeout: float = PATIENCE) -> bool:
        """Stops the server and closes the listening socket."""
        try:
            return self.core.stop(code, reason, timeout)
        finally:
            self._listener.close()

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    def connect(self) -> socket.socket:
        """A plain TCP connection."""
        connection = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def http(self) -> http.client.HTTPConnection:
        """An HTTP/1.1 connection that is kept alive."""
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

    def get(
        self, target: str = "/", method: str = "GET", **arguments: Any
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on a connection of its own."""
        with contextlib.closing(self.http()) as connection:
            connection.request(method, target, **arguments)
            response = connection.getresponse()
            return response, response.read()

    def talk(self, request: bytes) -> bytes:
        """Sends bytes as they are and reads until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = bytearray()
    while piece := connection.recv(1 << 16):
        received += piece
    return bytes(received)


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    """Starts servers: ``serve(application, http_threads=2)``; stops them and looks that nothing is left."""
    started: list[Serving] = []

    def start(application: Any, **config: Any) -> Serving:
        serving = Serving(application, **config)
        started.append(serving)
        return serving.start()

    yield start
    ended = [serving.stop() for serving in started]
    assert all(ended), [serving.core.counts for serving in started]
    for serving in started:
        for thread in serving.threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in serving.threads)
        assert serving.thread_errors == []
        counts = serving.core.counts
        assert counts == {"http_threads": 0, "websocket_threads": 0, "idle_threads": 0, "connections": 0}


def in_child(function: Callable[[], None]) -> int:
    """The exit status of a forked child that runs the function; it is killed if that takes too long."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(PATIENCE))
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
