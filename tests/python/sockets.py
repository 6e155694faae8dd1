"""A pytest plugin: live WebSockets on our own server, both ends in the hands of a test."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websockets.sync.client
from dwebsocket import conf
from dwebsocket.websocket import WebSocket
from serving import PATIENCE, Serving

HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def masked(opcode: int, payload: bytes = b"") -> bytes:
    """A frame of a client, masked with zeros, so that the payload stands in it as it is."""
    length = len(payload)
    if length < 126:
        header = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 1 << 16:
        header = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        header = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return header + bytes(4) + payload


class RawClient:
    """A client that sends what it is told, byte by byte, and answers nothing by itself."""

    def __init__(self, serving: Any, path: str = "/", behind_handshake: bytes = b"") -> None:
        self.socket = serving.connect()
        self.socket.sendall(HANDSHAKE % path.encode() + behind_handshake)
        self._stream = self.socket.makefile("rb")
        status = self._stream.readline()
        assert status.startswith(b"HTTP/1.1 101 "), status
        while self._stream.readline() != b"\r\n":
            pass

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.socket.sendall(masked(opcode, payload))

    def receive(self) -> tuple[int, bytes] | None:
        """The next frame: first byte and payload; None at the end of the stream."""
        head = self._stream.read(2)
        if len(head) < 2:
            return None
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._stream.read(8))
        return head[0], self._stream.read(length)

    def reset(self) -> None:
        """Goes away with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Goes away without a Close frame."""
        self._stream.close()
        self.socket.close()


class Ends:
    """A WebSocket that is open.

    Attributes:
        websocket: the server's end.
        client: the other one, of the `websockets` package or raw.
        view: the future of what the view returns.
    """

    def __init__(self, websocket: WebSocket, client: Any, view: concurrent.futures.Future[Any]) -> None:
        self.websocket = websocket
        self.client = client
        self.view = view

    def arrives(self) -> None:
        """Waits until a message, or the end, can be taken; takes nothing."""
        assert self.websocket._connection.wait_readable(PATIENCE)

    def ends(self) -> None:
        """Waits until the server knows that the socket has ended."""
        until(lambda: self.websocket.close_code is not None)

    def say(self, *messages: str | bytes) -> None:
        """The client sends messages; returns when they all wait to be taken."""
        connection = self.websocket._connection
        before = connection.pending
        for message in messages:
            if isinstance(self.client, RawClient):
                opcode = TEXT if isinstance(message, str) else BINARY
                self.client.send(opcode, message.encode() if isinstance(message, str) else message)
            else:
                self.client.send(message)
        until(lambda: connection.pending >= before + len(messages))

    def result(self) -> Any:
        """What the view returned; raises what it raised."""
        return self.view.result(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that has no event of its own."""
    tick = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if condition():
            return
        tick.wait(0.002)
    raise AssertionError("it did not happen")


class Sockets:
    """Opens WebSockets on one server."""

    def __init__(self, serve: Callable[..., Serving], closing: contextlib.ExitStack) -> None:
        self._serve = serve
        self._closing = closing
        self._over = threading.Event()
        self._views: dict[str, Callable[[WebSocket], Any]] = {}
        self._opened: dict[str, concurrent.futures.Future[WebSocket]] = {}
        self._results: dict[str, concurrent.futures.Future[Any]] = {}
        self.serving: Serving | None = None
        self.configure: Callable[[WebSocket], Any] | None = None
        self.accept: dict[str, Any] = {}

    def start(self, **config: Any) -> Serving:
        """Starts the server, with limits of the test's own; ``open`` does it otherwise."""
        self.serving = self._serve(self._application, **{"close_timeout_seconds": 1.0} | config)
        # The log would keep every connection, and with it its descriptor, beyond the test.
        self.serving.log.response = lambda *_: None  # type: ignore[method-assign]
        self.serving.log.socket_closed = lambda *_: None  # type: ignore[method-assign]
        return self.serving

    def open(
        self, view: Callable[[WebSocket], Any] | None = None, *, raw: bool = False, **arguments: Any
    ) -> Ends:
        """Opens one.

        Args:
            view: runs on the thread that owns the socket; by default it waits for the end of the test.
            raw: the client is a ``RawClient``.
            **arguments: of the client.
        """
        serving = self.serving or self.start()
        path = f"/{len(self._views)}"
        self._views[path] = view or (lambda _: self._over.wait(PATIENCE))
        self._opened[path] = concurrent.futures.Future()
        self._results[path] = concurrent.futures.Future()
        client: Any
        if raw:
            client = RawClient(serving, path, **arguments)
            self._closing.callback(client.close)
        else:
            quiet = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 1}
            connecting = websockets.sync.client.connect(f"{serving.url}{path}", **quiet | arguments)
            client = self._closing.enter_context(connecting)
        return Ends(self._opened[path].result(PATIENCE), client, self._results[path])

    def finish(self) -> None:
        """Lets the default views return, and keeps no socket alive."""
        self._over.set()
        for kept in (self._views, self._opened, self._results):
            kept.clear()
        # An exception that a test looked at keeps the frames it passed through, and they the socket.
        gc.collect()

    def _application(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        websocket = WebSocket(environ["dwebsocket.upgrade"])
        if self.configure is not None:
            self.configure(websocket)
        websocket.accept_connection(**self.accept)
        view, result = self._views[path], self._results[path]
        self._opened[path].set_result(websocket)
        try:
            result.set_result(view(websocket))
        except BaseException as error:  # noqa: BLE001 -- the test looks at it
            result.set_exception(error)
        start_response("200 OK", [])
        return [b""]


@pytest.fixture
def sockets(serve: Callable[..., Serving]) -> Iterator[Sockets]:
    """Opens WebSockets; at the end of the test closes what is left."""
    with contextlib.ExitStack() as closing:
        opener = Sockets(serve, closing)
        yield opener
        opener.finish()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., concurrent.futures.Future[Any]]]:
    """Runs a function on a thread: ``in_thread(websocket.wait).result(PATIENCE)``."""
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        yield pool.submit


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Sets a setting for one test: ``setting("WEBSOCKET_TEXT_AS_STR", True)``."""
    return lambda name, value: monkeypatch.setitem(conf._values, name, value)
