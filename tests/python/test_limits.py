"""Limits of the server: each refuses with the right status, and the log names the setting that changes it."""

from __future__ import annotations

import logging
import queue
import socket
import time
from collections.abc import Iterator

import pytest
from django.http import HttpResponse
from django.urls import path
from dwebsocket import accept_websocket
from serving import PATIENCE, read_to_end
from sites import Site


@pytest.fixture
def told() -> Iterator[queue.SimpleQueue[logging.LogRecord]]:
    """What the server tells the operator, as it comes."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.Handler()
    handler.emit = records.put  # type: ignore[method-assign]
    logger = logging.getLogger("dwebsocket.server")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@accept_websocket
def echo(request):
    if request.websocket is None:
        return HttpResponse("hello")
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)
    return None


def connect(site: Site) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE)


def refused_handshake(site: Site) -> bytes:
    with connect(site) as client:
        fields = "".join(f"{name}: {value}\r\n" for name, value in site.HANDSHAKE.items())
        client.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
        return client.recv(1 << 16)


def refused_connection(site: Site) -> bytes:
    with connect(site) as client:
        return read_to_end(client)


def long_request_line(site: Site) -> bytes:
    with connect(site) as client:
        client.sendall(b"GET /?%b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (b"x" * 200))
        return read_to_end(client)


@pytest.mark.parametrize(
    ("setting", "value", "refused", "status"),
    [
        ("WEBSOCKET_MAX_CONNECTIONS", 1, refused_handshake, b"503 Service Unavailable"),
        ("WEBSOCKET_MAX_TCP_CONNECTIONS", 1, refused_connection, b"503 Service Unavailable"),
        ("WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS", 1, refused_connection, b"503 Service Unavailable"),
        ("WEBSOCKET_MAX_REQUEST_LINE_BYTES", 128, long_request_line, b"414 URI Too Long"),
    ],
)
def test_one_past_the_limit_is_refused_and_the_log_names_the_setting(
    site, told, setting, value, refused, status
):
    running = site(path("", echo), **{setting: value})
    with running.connect() as client:
        client.send("one is open")
        assert client.recv(PATIENCE) == "one is open"
        head = refused(running)
        assert head.startswith(b"HTTP/1.1 " + status)
        assert (b"retry-after: 1\r\n" in head) == status.startswith(b"503")
        record = told.get(timeout=PATIENCE)
        assert record.levelname == "WARNING"
        assert f"{setting} sets the" in record.getMessage()
        assert "127.0.0.1" in record.getMessage()
        client.send("and undisturbed")
        assert client.recv(PATIENCE) == "and undisturbed"


def test_what_repeats_itself_is_told_with_its_count(site, told):
    running = site(path("", echo), WEBSOCKET_MAX_TCP_CONNECTIONS=1)
    with running.connect():
        assert refused_connection(running).startswith(b"HTTP/1.1 503 ")
        first = told.get(timeout=PATIENCE)
        for _ in range(3):
            assert refused_connection(running).startswith(b"HTTP/1.1 503 ")
        assert first.getMessage().startswith("A connection was refused with 503 (last from 127.0.0.1): ")
    # The end of the server cuts the pause of five seconds short.
    begin = time.monotonic()
    running.stop()
    more = told.get(timeout=PATIENCE)
    assert more.getMessage().startswith("A connection was refused with 503 3 times (last")
    assert time.monotonic() - begin < 4
