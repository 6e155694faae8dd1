"""WebSockets for ordinary synchronous Django views."""

from .decorators import accept_websocket, require_websocket

__all__ = ("accept_websocket", "require_websocket")
