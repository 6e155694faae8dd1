"""The websocket of the default backend, under its old name."""

from __future__ import annotations

from dwebsocket.websocket import WebSocket

DefaultWebSocket = WebSocket
"""There is one class for every server: what is an instance of one name is an instance of the other."""
