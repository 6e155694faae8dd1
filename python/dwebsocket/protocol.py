"""The names of dwebsocket 0.5.12's protocol object, over a websocket of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .websocket import WebSocket


_CODES_OF_NO_CLOSE: Final = (1005, 1006)


class WebSocketProtocol13:
    """``request.websocket.protocol``. The constants are those of RFC 6455 sections 5.2 and 7.4.1.

    It holds nothing of its own: it may be kept or made anew.
    """

    OPCODE_TEXT: Final = 0x1
    OPCODE_BINARY: Final = 0x2
    OPCODE_CLOSE: Final = 0x8
    OPCODE_PING: Final = 0x9
    OPCODE_PONG: Final = 0xA
    STATUS_NORMAL: Final = 1000
    STATUS_GOING_AWAY: Final = 1001
    STATUS_PROTOCOL_ERROR: Final = 1002
    STATUS_UNSUPPORTED_DATA_TYPE: Final = 1003
    STATUS_STATUS_NOT_AVAILABLE: Final = 1005
    STATUS_ABNORMAL_CLOSED: Final = 1006
    STATUS_INVALID_PAYLOAD: Final = 1007
    STATUS_POLICY_VIOLATION: Final = 1008
    STATUS_MESSAGE_TOO_BIG: Final = 1009
    STATUS_INVALID_EXTENSION: Final = 1010
    STATUS_UNEXPECTED_CONDITION: Final = 1011
    STATUS_TLS_HANDSHAKE_ERROR: Final = 1015

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    @property
    def sock(self) -> WebSocket:
        """What stands for the TCP socket: its ``fileno()`` is for ``select``, see ``WebSocket.fileno``."""
        return self._websocket

    @property
    def close_code(self) -> int | None:
        """The code that stood in the Close; None where none did, and while the socket is open."""
        code = self._websocket.close_code
        return None if code in _CODES_OF_NO_CLOSE else code

    @property
    def close_reason(self) -> bytes | None:
        """The reason of the close as bytes; None without one."""
        reason = self._websocket.close_reason
        return reason.encode() if reason else None

    def is_closed(self) -> bool:
        """Whether a Close was seen or sent or the client is lost, whatever is left unread."""
        return self._websocket.close_code is not None

    def write(self, message: object, binary: bool = False) -> None:
        """Sends a message, see ``WebSocket.send``."""
        self._websocket.send(message, binary)

    def write_ping(self, payload: bytes | str = "") -> None:
        """Sends a Ping of at most 125 bytes."""
        self._websocket.ping(payload)

    def write_pong(self, data: bytes | str) -> None:
        """Sends a Pong of at most 125 bytes."""
        self._websocket.pong(data)

    def write_close(self, code: int | None = None, reason: bytes | str | None = None) -> None:
        """Closes the socket, see ``WebSocket.close``."""
        self._websocket.close(code, reason)

    def close(self, code: int | None = None, reason: bytes | str | None = None) -> None:
        """The same as ``write_close``."""
        self._websocket.close(code, reason)
