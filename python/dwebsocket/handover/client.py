"""A client whose socket another server has accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Client:
    """A client of another server, which is running the view of its handshake.

    Attributes:
        descriptor: of the socket. The server keeps it, and finds the end of the stream there afterwards.
        release: called once, when the handshake is accepted: gives the bytes that the server has read behind
            the handshake, and makes it forget them. It does not wait.
    """

    descriptor: int
    release: Callable[[], bytes]


def is_plain(socket: Any) -> bool:
    """Whether a socket speaks no TLS, which Python would do: there are no plain bytes below it."""
    return not hasattr(socket, "do_handshake")
