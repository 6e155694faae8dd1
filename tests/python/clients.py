"""Clients that three independent libraries make: `websockets`, `wsproto` and, in a process of Node, `ws`."""

from __future__ import annotations

import base64
import json
import os
import queue
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self

import pytest
from serving import PATIENCE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection, connect
from wsproto import ConnectionType, WSConnection, events
from wsproto.extensions import PerMessageDeflate

ROOT: Final = Path(__file__).resolve().parents[2]
NODE_MODULES: Final = ROOT / "target" / "node" / "node_modules"

Event = tuple[Any, ...]
"""``("text", str)``, ``("binary", bytes)``, ``("pong", bytes)`` or ``("close", code, reason)``."""


class Refused(Exception):
    """The server answered the handshake with something else than 101.

    Attributes:
        status: the status of the response.
        headers: its headers, their names in small letters.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


@dataclass(frozen=True)
class Opening:
    """What a client asks for.

    Attributes:
        port: of the server, on 127.0.0.1.
        path: of the view.
        subprotocols: those to offer.
        headers: of the handshake, beside the client's own.
        version: of the protocol; 13 is the only one there is.
        forgetful: whether neither side shall keep its context from one compressed message to the next; None
            offers no compression.
    """

    port: int
    path: str = "/"
    subprotocols: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    version: int = 13
    forgetful: bool | None = None


class Client(Protocol):
    """An open WebSocket; Pings of the server are answered while it waits for something, or at once.

    Attributes:
        subprotocol: the one that the server chose, "" for none.
        extensions: what the server answered to the client's offers, "" for nothing.
    """

    subprotocol: str
    extensions: str

    def __init__(self, opening: Opening) -> None:
        """Opens it.

        Raises:
            Refused: the server does not want it.
        """

    def send(self, message: str | bytes) -> None:
        """Sends text or a binary message, in one frame."""

    def send_fragments(self, pieces: Sequence[str] | Sequence[bytes], ping: bytes) -> None:
        """Sends the pieces as fragments of one message, a Ping behind the first."""

    def ping(self, data: bytes) -> None:
        """Sends a Ping."""

    def receive(self) -> Event:
        """Waits for the next event."""

    def close(self, code: int, reason: str) -> Event:
        """Closes the socket; gives the event of the server's Close."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Websockets:
    """A client of `websockets`, its threaded one. Pongs come before the messages that arrived with them."""

    def __init__(self, opening: Opening) -> None:
        def make(connection: socket.socket, protocol: Any, **options: Any) -> ClientConnection:
            if opening.version != 13:
                request = protocol.connect()
                del request.headers["Sec-WebSocket-Version"]
                request.headers["Sec-WebSocket-Version"] = str(opening.version)
                protocol.connect = lambda: request
            return ClientConnection(connection, protocol, **options)

        self._closing = ExitStack()
        extensions = None
        if opening.forgetful is not None:
            extensions = [
                ClientPerMessageDeflateFactory(
                    client_no_context_takeover=opening.forgetful,
                    server_no_context_takeover=opening.forgetful,
                )
            ]
        try:
            connecting = connect(
                f"ws://127.0.0.1:{opening.port}{opening.path}",
                subprotocols=opening.subprotocols or None,  # type: ignore[arg-type]
                additional_headers=opening.headers,
                compression=None,
                extensions=extensions,
                max_size=None,
                ping_interval=None,
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
                create_connection=make,
            )
            self._connection = self._closing.enter_context(connecting)
        except InvalidStatus as refused:
            answer = refused.response
            lower = {name.lower(): value for name, value in answer.headers.raw_items()}
            raise Refused(answer.status_code, lower) from refused
        assert self._connection.response is not None
        self.subprotocol = self._connection.subprotocol or ""
        self.extensions = self._connection.response.headers.get("Sec-WebSocket-Extensions", "")
        self._pings: list[tuple[bytes, threading.Event]] = []

    def send(self, message: str | bytes) -> None:
        self._connection.send(message)

    def send_fragments(self, pieces: Sequence[str] | Sequence[bytes], ping: bytes) -> None:
        def each() -> Any:
            yield pieces[0]
            self.ping(ping)
            yield from pieces[1:]

        self._connection.send(each())

    def ping(self, data: bytes) -> None:
        self._pings.append((data, self._connection.ping(data)))

    def receive(self) -> Event:
        if self._pings:
            data, answered = self._pings.pop(0)
            assert answered.wait(PATIENCE), "no Pong with the data of the Ping"
            return ("pong", data)
        try:
            message = self._connection.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise
            return ("close", closed.rcvd.code, closed.rcvd.reason)
        return ("text" if isinstance(message, str) else "binary", message)

    def close(self, code: int, reason: str) -> Event:
        self._connection.close(code, reason)
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


class Wsproto:
    """A client of `wsproto`, which knows the protocol alone: the socket is the test's."""

    def __init__(self, opening: Opening) -> None:
        self._protocol = WSConnection(ConnectionType.CLIENT)
        extensions: list[Any] = []
        if opening.forgetful is not None:
            extensions.append(
                PerMessageDeflate(
                    client_no_context_takeover=opening.forgetful, server_no_context_takeover=opening.forgetful
                )
            )
        request = events.Request(
            host=f"127.0.0.1:{opening.port}",
            target=opening.path,
            subprotocols=list(opening.subprotocols),
            extensions=extensions,
            extra_headers=[(name.encode(), value.encode()) for name, value in opening.headers.items()],
        )
        head = self._protocol.send(request)
        if opening.version != 13:
            assert b"sec-websocket-version: 13\r\n" in head.lower()
            head = head.replace(b"ersion: 13\r\n", b"ersion: %d\r\n" % opening.version)
        self._socket = socket.create_connection(("127.0.0.1", opening.port), timeout=PATIENCE)
        try:
            self._socket.sendall(head)
            received = b""
            while b"\r\n\r\n" not in received:
                data = self._socket.recv(1 << 16)
                assert data, f"the server closed the connection after {received!r}"
                received += data
            self._protocol.receive_data(received)
            answer = self._next()
            if isinstance(answer, events.RejectConnection):
                lower = {name.decode().lower(): value.decode() for name, value in answer.headers}
                raise Refused(answer.status_code, lower)
            assert isinstance(answer, events.AcceptConnection), answer
        except BaseException:
            self._socket.close()
            raise
        self.subprotocol = answer.subprotocol or ""
        # The library tells what it made of the answer together with its own offer.
        answered = re.search(rb"(?im)^sec-websocket-extensions: *(.*)\r$", received)
        assert bool(answered) is bool(answer.extensions)
        self.extensions = answered[1].decode() if answered else ""

    def _next(self) -> events.Event:
        """The next event of the library. What it does not do by itself (Pongs) is done here."""
        while True:
            for event in self._protocol.events():
                if isinstance(event, events.Ping):
                    self._say(event.response())
                    continue
                return event
            data = self._socket.recv(1 << 16)
            self._protocol.receive_data(data or None)

    def _say(self, event: events.Event) -> None:
        self._socket.sendall(self._protocol.send(event))

    def send(self, message: str | bytes) -> None:
        self._say(events.Message(data=message))

    def send_fragments(self, pieces: Sequence[str] | Sequence[bytes], ping: bytes) -> None:
        for index, piece in enumerate(pieces):
            self._say(events.Message(data=piece, message_finished=index == len(pieces) - 1))
            if index == 0:
                self.ping(ping)

    def ping(self, data: bytes) -> None:
        self._say(events.Ping(payload=data))

    def receive(self) -> Event:
        pieces: list[Any] = []
        while True:
            event = self._next()
            if isinstance(event, events.TextMessage | events.BytesMessage):
                pieces.append(event.data)
                if event.message_finished:
                    is_text = isinstance(event, events.TextMessage)
                    return ("text", "".join(pieces)) if is_text else ("binary", b"".join(pieces))
                continue
            # Control frames may stand between the frames of a message, which the server does not cut.
            assert not pieces or isinstance(event, events.Pong)
            if isinstance(event, events.Pong):
                return ("pong", bytes(event.payload))
            assert isinstance(event, events.CloseConnection), event
            if self._protocol.state.name == "REMOTE_CLOSING":
                self._say(event.response())
            # RFC 6455 section 7.1.1: the server is the first to close the TCP connection.
            assert self._socket.recv(1) == b""
            self._socket.close()
            return ("close", int(event.code), event.reason or "")

    def close(self, code: int, reason: str) -> Event:
        self._say(events.CloseConnection(code=code, reason=reason))
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class Ws:
    """A client of `ws`, in a process of Node that ``tests/node/client.js`` runs in."""

    def __init__(self, opening: Opening) -> None:
        options: Any = False
        if opening.forgetful is not None:
            # False would mean that the server must not ask for it either.
            names = ("clientNoContextTakeover", "serverNoContextTakeover") if opening.forgetful else ()
            options = dict.fromkeys(names, True)
        given = {
            "url": f"ws://127.0.0.1:{opening.port}{opening.path}",
            "protocols": list(opening.subprotocols),
            "headers": dict(opening.headers),
            "version": opening.version,
            "deflate": options,
        }
        self._node = subprocess.Popen(
            [node(), str(ROOT / "tests" / "node" / "client.js"), json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        )
        self._told: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        first = self._next()
        if first[0] != "open":
            self.__exit__()
            assert first[0] == "refused", first
            raise Refused(first[1], first[2])
        _, self.subprotocol, self.extensions = first

    def _read(self) -> None:
        assert self._node.stdout is not None
        for line in self._node.stdout:
            self._told.put(tuple(json.loads(line)))
        self._told.put(None)

    def _next(self) -> Event:
        event = self._told.get(timeout=PATIENCE)
        assert event is not None, "Node ended"
        return event

    def _order(self, **order: Any) -> None:
        assert self._node.stdin is not None
        self._node.stdin.write(json.dumps(order) + "\n")
        self._node.stdin.flush()

    def _send(self, message: str | bytes, fin: bool = True) -> None:
        data = message.encode() if isinstance(message, str) else message
        self._order(send={"data": _encoded(data), "binary": isinstance(message, bytes), "fin": fin})

    def send(self, message: str | bytes) -> None:
        self._send(message)

    def send_fragments(self, pieces: Sequence[str] | Sequence[bytes], ping: bytes) -> None:
        for index, piece in enumerate(pieces):
            self._send(piece, fin=index == len(pieces) - 1)
            if index == 0:
                self.ping(ping)

    def ping(self, data: bytes) -> None:
        self._order(ping=_encoded(data))

    def receive(self) -> Event:
        event = self._next()
        while event[0] == "ping":
            # ws has answered it.
            event = self._next()
        if event[0] == "close":
            return event
        kind, data = event
        assert kind != "error", data
        decoded = base64.b64decode(data)
        return (kind, decoded.decode() if kind == "text" else decoded)

    def close(self, code: int, reason: str) -> Event:
        self._order(close=[code, reason])
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.kill()
        self._node.wait()
        self._reader.join()
        self._node.stdin.close()
        self._node.stdout.close()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def node() -> str:
    """The path of Node, where `ws` is there as well; skips the test otherwise."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("Node is not on PATH: install it, and run `make node`")
    if not (NODE_MODULES / "ws").is_dir():
        pytest.skip("Node's package ws is not installed: run `make node`")
    return path


CLIENTS: Final[dict[str, type[Client]]] = {"websockets": Websockets, "wsproto": Wsproto, "ws": Ws}
