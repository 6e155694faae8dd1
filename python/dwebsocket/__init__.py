"""WebSockets for ordinary synchronous Django views."""

from .decorators import accept_websocket, require_websocket
from .introspection import Stats, stats

__all__ = ("Stats", "accept_websocket", "require_websocket", "stats")
