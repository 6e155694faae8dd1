"""TLS below HTTP, where only a server in the test's own process shows it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dwebsocket import _core
from serving import PATIENCE, Serving
from tls import HOST, Authority

GET = b"GET /%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
STEP = 4096


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> _core.Tls:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    authority.issue(certificate, key)
    return _core.Tls(certificate.read_bytes(), key.read_bytes())


def connect(serving: Serving, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.socket()
    # Little room, so that a response fills it soon.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    plain.settimeout(PATIENCE)
    plain.connect((serving.host, serving.port))
    return context.wrap_socket(plain, server_hostname=HOST)


def test_a_client_that_takes_nothing_is_given_up_whatever_tls_still_holds(
    serve: Callable[..., Serving], authority: Authority, tls: _core.Tls
) -> None:
    written = 0

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        nonlocal written
        length = int(environ["PATH_INFO"][1:])
        start_response("200 OK", [("Content-Length", str(length))])
        for _ in range(0, length, STEP):
            written += STEP
            yield bytes(STEP)

    serving = serve(application, tls=tls, write_timeout_seconds=0.5, http_threads=64)
    context = authority.client()
    # What the sockets between them take; what the view had written beyond it waited in the server.
    with connect(serving, context) as client:
        client.sendall(GET % (1 << 30))
        serving.log.wait(lambda log: bool(log.responses))
    most = written
    with ExitStack() as clients:
        for length in range(most - 64 * 4 * STEP, most, 4 * STEP):
            client = clients.enter_context(connect(serving, context))
            client.sendall(GET % max(length, STEP))
        serving.log.wait(lambda log: len(log.responses) == 65)
        # The end of each is somewhere: in a socket, in TLS, in the server. None of them waits for ever.
        assert serving.core.drain(1001) is None
        assert serving.core.wait(PATIENCE)


def test_an_object_that_is_no_tls_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^tls must be a Tls or None, not 'certificate\.pem'$"):
        _core.Server(lambda environ, start_response: [], [], {"tls": "certificate.pem"}, lambda: None)
