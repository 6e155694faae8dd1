"""What dwebsocket raises. The Rust core imports these."""

from __future__ import annotations

from collections.abc import Mapping


class ConnectionClosed(ConnectionError, EOFError, ValueError):
    """The WebSocket is closed or lost, and every message that came before has been taken.

    It is each of the three because views written for dwebsocket 0.5.12 caught one or another.

    Attributes:
        code: the close code of RFC 6455 section 7.4; 1005 when the Close had none, 1006 when there was none.
        reason: the reason given with it, or "".
    """

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the WebSocket is closed ({code}{' ' + reason if reason else ''})")

    def __reduce__(self) -> tuple[type[ConnectionClosed], tuple[int, str]]:
        """For pickle, which by default would take the text for the code."""
        return type(self), (self.code, self.reason)


class InvalidHandshake(ValueError):
    """An upgrade to ``websocket`` that RFC 6455 forbids.

    Attributes:
        status: of the HTTP response to refuse it with: 400, 405 or 426.
        fields: header fields that this response has to have.
    """

    def __init__(self, reason: str, status: int = 400, fields: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.fields = dict(fields or {})
        super().__init__(reason)


class TooManyConnections(Exception):
    """``WEBSOCKET_MAX_CONNECTIONS`` are open already: the handshake is answered with 503."""


class SlowClient(ConnectionClosed):
    """The client reads too slowly: its outbox stayed full, and the connection is closed with 1013."""
