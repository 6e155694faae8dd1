"""The protocol object of the default backend, under its old name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dwebsocket.protocol import WebSocketProtocol13

__all__ = ("WebSocketProtocol13", "get_websocket_protocol", "protocols")

protocols: Final[Mapping[str, type[WebSocketProtocol13]]] = MappingProxyType({"13": WebSocketProtocol13})
"""The protocol by the value of ``Sec-WebSocket-Version``."""

get_websocket_protocol = protocols.get
