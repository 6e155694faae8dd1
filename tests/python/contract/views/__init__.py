"""The views of the contract, as people write them for dwebsocket 0.5.12, and how they report.

A view runs in another process than the test that opened its socket. What it saw it sends to the mailbox, a
datagram socket, that the test named in the query.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0
"""Seconds after which what should have happened counts as a failure."""

views: dict[str, Callable[..., Any]] = {}
"""Every view by its path."""


def at(path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Puts a view under a path."""

    def put(view: Callable[..., Any]) -> Callable[..., Any]:
        assert path not in views, path
        views[path] = view
        return view

    return put


def report(request: Any, *observations: object) -> None:
    """Tells the test that opened the socket what the view saw."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
        mailbox.sendto(json.dumps(observations, default=repr).encode(), request.GET["report"])


def outcome(call: Callable[..., Any], *arguments: object) -> str:
    """What a call gave, as ``repr`` says it, or the exception it raised."""
    try:
        return repr(call(*arguments))
    except Exception as error:  # noqa: BLE001 -- whichever it is, the test looks at it
        kinds = [kind.__name__ for kind in (ConnectionError, EOFError, ValueError) if isinstance(error, kind)]
        return f"{type(error).__name__}({', '.join(kinds)}): {error}"


def until(condition: Callable[[], bool]) -> bool:
    """Waits for what has no event of its own; whether it came."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def readable(websocket: Any) -> bool:
    """Waits until a message or the end can be taken, and takes nothing; whether it came."""
    return bool(select.select([websocket.protocol.sock.fileno()], [], [], PATIENCE)[0])
