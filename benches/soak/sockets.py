"""A client's side of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final

from load import Client

from wire import BINARY, CLOSE, PING, PONG, TEXT, frame

from .tally import Tally

HOST: Final = "127.0.0.1"
FIN: Final = 0x80
CLOSE_1000: Final = frame(FIN | CLOSE, b"\x03\xe8")
PATIENCE_SECONDS: Final = 20.0
"""Until what does not come counts as lost: more than any limit of the server. A run may have another."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection."""


class Closed(Exception):
    """The server has closed the socket.

    Attributes:
        code: of its Close.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Socket:
    """A WebSocket whose Pings are answered as long as somebody reads."""

    def __init__(self, client: Client, patience: float) -> None:
        self._client = client
        self._patience = patience

    def send(self, payload: bytes) -> None:
        """Sends a text message."""
        self.write(frame(FIN | TEXT, payload))

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._client.writer.write(data)

    async def message(self) -> bytes:
        """The next message.

        Raises:
            Closed: the server has sent a Close.
            ConnectionError: the connection has ended without one.
            TimeoutError: nothing comes, not even a Ping.
        """
        while True:
            try:
                opcode, payload = await asyncio.wait_for(self._client.receive(), self._patience)
            except EOFError:
                raise ConnectionError("the connection has ended without a Close") from None
            if opcode in (TEXT, BINARY):
                return payload
            if opcode == PING:
                self.write(frame(FIN | PONG, payload))
            elif opcode == CLOSE:
                raise Closed(int.from_bytes(payload[:2], "big"))

    async def close(self) -> None:
        """The closing handshake.

        Raises:
            ConnectionError: the server's Close is not what it should be.
        """
        self.write(CLOSE_1000)
        try:
            message = await self.message()
        except Closed as closed:
            if closed.code != 1000:
                raise ConnectionError(f"Close 1000 was answered with {closed.code}") from None
        else:
            raise ConnectionError(f"{message[:40]!r} came in place of a Close")

    def stall(self, is_stalled: bool) -> None:
        """Stops reading, or reads on."""
        transport = self._client.writer.transport
        if is_stalled:
            transport.pause_reading()  # type: ignore[attr-defined]
        elif not transport.is_closing():
            transport.resume_reading()  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Goes away with an RST."""
        own = self._client.writer.get_extra_info("socket")
        # Who was reset first has no socket any more.
        with contextlib.suppress(OSError):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def abort(self) -> None:
        """Goes away with a FIN, or with an RST where something is unread."""
        self._client.writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(tally: Tally, port: int, path: str, patience: float) -> AsyncIterator[Socket]:
    """An open WebSocket, which is aborted at the end, if it has not been closed.

    Args:
        tally: where it is counted.
        port: where the server listens.
        path: of the view.
        patience: seconds that the server may take for an answer.

    Raises:
        ConnectionError: the server does not take it.
        TimeoutError: the server does not answer.
    """
    client = await asyncio.wait_for(Client.open(HOST, port, path), patience)
    tally.open += 1
    tally.counts["opened"] += 1
    made = Socket(client, patience)
    try:
        yield made
    finally:
        tally.open -= 1
        made.abort()
