"""Views served in this process by our server, through all of Django."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from dwebsocket import conf
from dwebsocket.server import Server
from serving import PATIENCE
from sockets import RawClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

urlpatterns: list[Any] = []


@dataclass
class Site:
    """A running server."""

    server: Server
    port: int

    HANDSHAKE: ClassVar = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """A GET, plain unless `headers` says otherwise: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connect(self, path: str = "/", **options: Any) -> ClientConnection:
        """Opens a WebSocket; `with` closes it."""
        return connect(
            f"ws://127.0.0.1:{self.port}{path}", **{"compression": None, "open_timeout": PATIENCE, **options}
        )

    def raw(self, path: str = "/") -> RawClient:
        """Opens a WebSocket whose client answers nothing by itself."""
        address = ("127.0.0.1", self.port)
        return RawClient(SimpleNamespace(connect=lambda: socket.create_connection(address, PATIENCE)), path)

    def stop(self) -> None:
        """Ends every request, so that what it logged has been logged."""
        stop(self.server)


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    """`site(path("", view), …, SETTING=value)` serves the views until the test is over."""
    with ExitStack() as stack:

        def start(*patterns: Any, **overrides: Any) -> Site:
            urls = type("urls", (), {"urlpatterns": list(patterns)})
            stack.enter_context(override_settings(**{"ROOT_URLCONF": urls, **overrides}))
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = Server(WSGIHandler(), [listener], conf.server_config())
            server.start()
            stack.callback(stop, server)
            return Site(server, listener.getsockname()[1])

        yield start


def stop(server: Server) -> None:
    assert server.stop(timeout=PATIENCE), f"threads or connections did not end: {server.counts}"


def close_of(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the server's Close, which has to be the next thing to arrive."""
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None, "the connection broke off without a Close"
    return closed.value.rcvd.code, closed.value.rcvd.reason


def address_of(client: ClientConnection | RawClient) -> str:
    """Of the client's end, as the server sees it."""
    host, port = client.socket.getsockname()
    return f"{host}:{port}"


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What the logger `dwebsocket` was told at a level."""
    records = [record for record in caplog.records if record.name == "dwebsocket"]
    return [record.getMessage() for record in records if record.levelno == level]


def refusal_of(attempt: Callable[[], object]) -> tuple[int, str]:
    """Status and body of the HTTP response that refuses a handshake."""
    with pytest.raises(InvalidStatus) as refused:
        attempt()
    response = refused.value.response
    return response.status_code, (response.body or b"").decode()
