"""The base of what ``WEBSOCKET_FACTORY_CLASS`` names."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


class WebSocketFactory:
    """Makes the ``request.websocket`` of one request; subclasses define ``create_websocket``."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def is_websocket(self) -> bool:
        """Whether the request asks to become a WebSocket."""
        upgrade: str = self.request.META.get("HTTP_UPGRADE", "")
        return upgrade.lower() == "websocket"

    def get_websocket_version(self) -> str:
        """The protocol version the client speaks: "13", the one of RFC 6455.

        Raises:
            ValueError: the request speaks a draft from before the RFC, or is no handshake.
        """
        if "HTTP_SEC_WEBSOCKET_KEY" not in self.request.META:
            raise ValueError("the request has no Sec-WebSocket-Key")
        return "13"

    def create_websocket(self) -> Any:
        """The websocket, not open yet; None for plain HTTP.

        Raises:
            ValueError: the handshake is refused with 400.
        """
        raise NotImplementedError
