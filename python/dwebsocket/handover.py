"""Where a request's WebSocket comes from: the only module that knows one server from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import unsupported

if TYPE_CHECKING:
    from ._core import Upgrade


def find_upgrade(environ: Mapping[str, Any]) -> Upgrade | None:
    """The WebSocket handshake of a request.

    Args:
        environ: of the WSGI request, or ``request.META``.

    Returns:
        The handshake, not accepted yet; None for plain HTTP.

    Raises:
        UnsupportedServer: it is a handshake, but the server is not ours.
    """
    upgrade: Upgrade | None = environ.get("dwebsocket.upgrade")
    if upgrade is None and is_handshake(environ):
        raise unsupported.refusal(environ)
    return upgrade


def is_handshake(environ: Mapping[str, Any]) -> bool:
    """Whether the client asks for a WebSocket (RFC 6455 section 4.2.1), be the rest right or wrong."""
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and "websocket" in _tokens(environ.get("HTTP_UPGRADE", ""))
        and "upgrade" in _tokens(environ.get("HTTP_CONNECTION", ""))
    )


def _tokens(field: str) -> list[str]:
    return [token.strip().lower() for token in field.split(",")]
