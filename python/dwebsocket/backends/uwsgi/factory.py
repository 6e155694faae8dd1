"""A name that old settings use; it needs no uWSGI."""

from __future__ import annotations

from dwebsocket.backends.default.factory import WebSocketFactory


class uWsgiWebSocketFactory(WebSocketFactory):  # noqa: N801 -- the name that settings of dwebsocket 0.5.12 use
    """The default factory under its old uWSGI name."""
