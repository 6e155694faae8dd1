"""What a scenario is: a view, a client, and what both saw."""

from __future__ import annotations

import fcntl
import select
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 20.0
"""Seconds after which something that should have happened counts as a failure."""

SCENARIOS: dict[str, Scenario] = {}


class See:
    """Writes down what one side of a scenario sees, in order, in a form that JSON can say."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def __call__(self, what: str, value: Any, *arguments: Any) -> Any:
        """Writes a value down, or what calling it gives or raises.

        Returns:
            The value; None after an exception.
        """
        if not callable(value):
            self.write(what, shown(value))
            return value
        try:
            result = value(*arguments)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is what was seen
            self.write(what, raised(error))
            return None
        self.write(what, shown(result))
        return result

    def write(self, what: str, value: Any) -> None:
        """Writes down what is shown already."""
        assert what not in self.seen, f"{what!r} was seen before"
        self.seen[what] = value


def shown(value: Any) -> str:
    """A value with its type; what is long by its length and its ends."""
    if isinstance(value, bytes | str) and len(value) > 80:
        return f"{value[:8]!r} ... {value[-8:]!r}, {len(value)} long"
    return repr(value)


def raised(error: BaseException) -> list[str]:
    """The names of all classes an ``except`` could catch the exception by, the narrowest first."""
    return [
        kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        for kind in type(error).__mro__
        if kind not in (Exception, BaseException, object)
    ]


class Scenario:
    """One scenario.

    Attributes:
        name: a sentence; the path of the view.
        project: which settings it needs.
        decorate: what is put around the view.
        client: what the other end of the wire does, called with the stage and its ``See``.
    """

    def __init__(self, view: Callable[..., Any], project: str, decorate: Callable[..., Any] | None) -> None:
        self.name = view.__name__
        self.project = project
        self.decorate = decorate
        self._view = view
        self.client: Callable[..., Any] | None = None
        self.see = See()
        self.errors: list[str] = []
        self._finished = 0
        self._words: set[str] = set()
        self._changed = threading.Condition()
        assert self.name not in SCENARIOS, f"there are two scenarios {self.name}"
        SCENARIOS[self.name] = self

    def played_by(self, client: Callable[..., Any]) -> None:
        """Names the other half."""
        self.client = client

    def view(self) -> Callable[..., Any]:
        """The view as a project would have it."""

        def view(request: Any, *arguments: Any, **keywords: Any) -> Any:
            who = request.GET.get("who", "")
            try:
                response = self._view(request, self.see, *arguments, **keywords)
            except BaseException as error:
                self.see.write(f"{who}the view ends", raised(error))
                raise
            self.see.write(f"{who}the view ends", "by itself")
            return response

        decorated: Callable[..., Any] = (self.decorate or (lambda undecorated: undecorated))(view)
        return decorated

    def say(self, word: str) -> None:
        """Tells whoever waits for the word; from either side."""
        with self._changed:
            self._words.add(word)
            self._changed.notify_all()

    def hear(self, word: str) -> None:
        """Waits for the word of the other side."""
        self._wait(lambda: word in self._words, word)

    def request_is_over(self) -> None:
        """Counts a request that left Django."""
        with self._changed:
            self._finished += 1
            self._changed.notify_all()

    def result(self, requests: int) -> dict[str, Any]:
        """What the views saw, after that many requests are over."""
        self._wait(lambda: self._finished >= requests, f"{requests} requests to be over")
        return {**self.see.seen, "what Django logs": self.errors}

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, PATIENCE):
                raise AssertionError(f"{self.name} waited in vain for {what}")


def scenario(
    *, project: str = "plain", decorate: Callable[..., Any] | None
) -> Callable[[Callable[..., Any]], Scenario]:
    """Makes a scenario of a view; ``@….played_by`` names its client."""
    return lambda view: Scenario(view, project, decorate)


def arrived(websocket: Any, count: int = 1, size: int = 1) -> None:
    """Waits until the client's frames can be taken; takes nothing.

    The original takes from the kernel, whose buffer tells how many bytes wait; dwebsocket-rs has taken the
    messages already, and counts them. Looking into both is what makes the scenarios free of races.

    Args:
        websocket: the view's.
        count: messages the client has sent since the socket was opened.
        size: bytes of the frames that are not taken yet.
    """
    connection = getattr(websocket, "_connection", None)
    if connection is not None:
        until(lambda: connection.counts["received_messages"] >= count)
        return
    until(lambda: waiting_bytes(websocket.protocol.sock) >= size)


def ended(websocket: Any) -> None:
    """Waits until the library can know that the client is gone; takes nothing."""
    if getattr(websocket, "_connection", None) is not None:
        until(lambda: websocket.close_code is not None)
        return
    assert select.select([websocket.protocol.sock], [], [], PATIENCE)[0], "the client's end did not arrive"


def waiting_bytes(sock: Any) -> int:
    """How many bytes a read would get at once."""
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4))
    (size,) = struct.unpack("i", answer)
    return int(size)


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits for something that has no event of its own."""
    tick = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        tick.wait(0.002)


@contextmanager
def running(*functions: Callable[[], Any]) -> Iterator[None]:
    """Runs functions on threads of their own, and waits for them at the end."""
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread did not end"
