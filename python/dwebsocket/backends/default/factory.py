"""The factory that is used unless ``WEBSOCKET_FACTORY_CLASS`` names another."""

from __future__ import annotations

from dwebsocket import factory, handover

from .websocket import DefaultWebSocket


class WebSocketFactory(factory.WebSocketFactory):
    """Makes the websocket from the handshake that the server hands over."""

    def create_websocket(self) -> DefaultWebSocket | None:
        """The websocket, not open yet; None for plain HTTP.

        Raises:
            UnsupportedServer: the request is a handshake, but the server cannot hand it over.
        """
        upgrade = handover.find_upgrade(self.request.META)
        return None if upgrade is None else DefaultWebSocket(upgrade, request=self.request)
