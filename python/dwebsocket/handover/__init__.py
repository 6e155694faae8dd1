"""Where a request's WebSocket comes from: the only modules that know one server from another."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .. import _core, conf, unsupported, waiting, watch
from . import gunicorn, standard, uwsgi
from .client import Client

if TYPE_CHECKING:
    from .._core import Upgrade

__all__ = ("FINDERS", "Client", "find_upgrade", "is_handshake")

FINDERS: Final[tuple[Callable[[Mapping[str, Any]], Client | None], ...]] = (
    gunicorn.find,
    uwsgi.find,
    standard.find,
)
"""Each gives the client of a request that came by its server, None for any other request."""

# From then on no thread that waits in Rust comes back to an interpreter that is being taken down.
atexit.register(_core.shutdown)


def find_upgrade(environ: dict[str, Any]) -> Upgrade | None:
    """The WebSocket handshake of a request: that of our server, or one on the socket of another server.

    Until it is accepted the other server can answer as for any request.

    Args:
        environ: of the WSGI request, or ``request.META``.

    Returns:
        The handshake, not accepted yet; the same one for the same environ; None for plain HTTP.

    Raises:
        UnsupportedServer: it is a handshake, but the server does not show its socket.
        ValueError: it is none that RFC 6455 allows.
    """
    upgrade: Upgrade | None = environ.get("dwebsocket.upgrade")
    if upgrade is not None or "websocket" not in _tokens(environ.get("HTTP_UPGRADE", "")):
        return upgrade
    client = next(filter(None, (find(environ) for find in FINDERS)), None)
    if client is not None:
        watch.begin(watch.ADOPTED)
        upgrade = _core.adopt(environ, client.descriptor, partial(_release, client), conf.server_config())
        environ["dwebsocket.upgrade"] = upgrade
        return upgrade
    if is_handshake(environ):
        raise unsupported.refusal(environ)
    return None


def is_handshake(environ: Mapping[str, Any]) -> bool:
    """Whether the client asks for a WebSocket (RFC 6455 section 4.2.1), be the rest right or wrong."""
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and "websocket" in _tokens(environ.get("HTTP_UPGRADE", ""))
        and "upgrade" in _tokens(environ.get("HTTP_CONNECTION", ""))
    )


def _release(client: Client) -> bytes:
    early = client.release()
    waiting.way().forget(client.descriptor)
    return early


def _tokens(field: str) -> list[str]:
    return [token.strip().lower() for token in field.split(",")]
