"""Ways of waiting: as a thread of the operating system does, or as a greenlet of gevent.

Where gevent has patched threads, what looks like a thread is a greenlet, and many of them share one thread
with the hub that switches between them. One that blocked that thread would stop them all: it has to let the
hub wait for a descriptor. Which way a call waits is decided at the call, so that it does not matter when
gevent patches, and gevent is never imported for it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import conf
from ._core import Bell

if TYPE_CHECKING:
    from ._core import Connection

    Message = bytes | str


class Way(ABC):
    """How the calling thread or greenlet waits.

    Attributes:
        local: what is known of the caller alone, like a ``threading.local``.
    """

    local: Any

    @abstractmethod
    def receive(self, connection: Connection, timeout: float | None) -> Message:
        """``Connection.receive``."""

    @abstractmethod
    def wait_readable(self, connection: Connection, timeout: float) -> bool:
        """``Connection.wait_readable``."""

    @abstractmethod
    def send(self, connection: Connection, message: object, binary: bool) -> None:
        """``Connection.send`` by the owner."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """``time.sleep``."""

    @abstractmethod
    def give_way(self) -> None:
        """Lets others run, if the caller has kept them from it for long."""

    @abstractmethod
    def forget(self, descriptor: int) -> None:
        """The descriptor is about to stand for another file; whoever watches it stops that."""


class ThreadWay(Way):
    """A thread waits below Python, without the GIL."""

    def __init__(self) -> None:
        self.local = threading.local()

    def receive(self, connection: Connection, timeout: float | None) -> Message:
        """See ``Way``."""
        return connection.receive(timeout)

    def wait_readable(self, connection: Connection, timeout: float) -> bool:
        """See ``Way``."""
        return connection.wait_readable(timeout)

    def send(self, connection: Connection, message: object, binary: bool) -> None:
        """See ``Way``."""
        connection.send(message, binary, True)

    def sleep(self, seconds: float) -> None:
        """See ``Way``."""
        time.sleep(seconds)

    def give_way(self) -> None:
        """See ``Way``; the interpreter switches threads by itself."""

    def forget(self, descriptor: int) -> None:
        """See ``Way``; a thread watches no descriptor."""


class GeventWay(Way):
    """A greenlet lets its hub wait for a descriptor."""

    def __init__(self) -> None:
        gevent = import_module("gevent")
        self.local = import_module("gevent.local").local()
        self._get_hub = gevent.get_hub
        self._sleep = gevent.sleep
        self._wait_read = import_module("gevent.socket").wait_read
        # The patches take it away from where it was.
        self._epoll = import_module("gevent.monkey").get_original("select", "epoll")
        self._switched = 0.0

    def receive(self, connection: Connection, timeout: float | None) -> Message:
        """See ``Way``."""
        if timeout is not None and timeout != timeout:  # noqa: PLR0124 -- the one number unequal to itself
            raise ValueError("a timeout that is not a number")
        deadline = _deadline(timeout)
        while (message := connection.receive_now()) is None:
            connection.ring_when_readable(self._bell())
            if not self._wait(deadline):
                raise TimeoutError("no message arrived in time")
        return message

    def wait_readable(self, connection: Connection, timeout: float) -> bool:
        """See ``Way``."""
        deadline = _deadline(timeout)
        while not connection.wait_readable(0):
            connection.ring_when_readable(self._bell())
            if not self._wait(deadline):
                return False
        return True

    def send(self, connection: Connection, message: object, binary: bool) -> None:
        """See ``Way``."""
        if connection.send_now(message, binary):
            return
        deadline = _deadline(conf.get("WEBSOCKET_SEND_TIMEOUT_SECONDS"))
        while True:
            connection.ring_when_room(self._bell())
            if connection.send_now(message, binary):
                return
            if not self._wait(deadline):
                connection.send_now(message, binary, last=True)
                return

    def sleep(self, seconds: float) -> None:
        """See ``Way``."""
        self._sleep(seconds)
        self._switched = time.monotonic()

    def give_way(self) -> None:
        """See ``Way``."""
        if time.monotonic() - self._switched >= sys.getswitchinterval():
            self.sleep(0)

    def forget(self, descriptor: int) -> None:
        """See ``Way``.

        libev leaves a descriptor it has once waited for in its epoll set. The set keeps the file, not the
        number: told of the client's next bytes under a number that stands for another file by then, libev
        would build its whole set anew, for each socket. It notes what is watched no more when it goes round
        next; until then the number must not be waited for again, and it is not, since an adopted socket's
        number gives the end of the stream at once.
        """
        loop = self._get_hub().loop
        if loop.backend != "epoll":
            return
        # A duplicate, for the object closes what it is made of.
        with self._epoll.fromfd(os.dup(loop.fileno())) as epoll, suppress(FileNotFoundError):
            epoll.unregister(descriptor)

    def _bell(self) -> Bell:
        """The calling greenlet's own: its descriptor goes with the greenlet, not with its last socket."""
        try:
            bell: Bell = self.local.bell
        except AttributeError:
            bell = self.local.bell = Bell()
        return bell

    def _wait(self, deadline: float | None) -> bool:
        """Lets the hub run until the greenlet's bell rings. False: the deadline has passed."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        expired = _Expired()
        try:
            self._wait_read(self._bell().fileno(), left, expired)
        except _Expired as error:
            if error is not expired:
                raise
            return False
        finally:
            self._switched = time.monotonic()
        return True


class _Expired(Exception):
    """The time of a wait has run out."""


_threads = ThreadWay()
_greenlets: GeventWay | None = None


def way() -> Way:
    """The way in which the caller waits."""
    global _greenlets  # noqa: PLW0603 -- made when it is first needed, which is where gevent is
    if _greenlets is not None:
        return _greenlets
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return _threads
    _greenlets = GeventWay()
    return _greenlets


def is_thread() -> bool:
    """Whether the caller waits as a thread does."""
    return way() is _threads


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None or timeout < 0 else time.monotonic() + timeout
