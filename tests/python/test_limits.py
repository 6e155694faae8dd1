"""Limits of the server: each refuses with the right status, and the log names the setting that changes it."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.http import HttpResponse
from django.urls import path, re_path
from dwebsocket import accept_websocket
from serving import PATIENCE, read_to_end
from sites import Site
from sockets import until


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


def request_line(length: int) -> bytes:
    """A request whose first line, without its end, has so many bytes."""
    return b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % (
        b"x" * (length - len("GET / HTTP/1.1"))
    )


def header_section(length: int) -> bytes:
    """A request with so many bytes, the empty line included."""
    start = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: "
    return start + b"x" * (length - len(start) - 4) + b"\r\n\r\n"


def fields(number: int) -> bytes:
    more = b"X: y\r\n" * (number - 2)
    return b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + more + b"\r\n"


def body(length: int) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length
    return head + b"x" * length


def chunked(length: int) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (length, b"x" * length)


def upload(request):
    return HttpResponse(f"{len(request.environ['wsgi.input'].read())} bytes")


def answer_to(site: Site, request: bytes) -> bytes:
    with connect(site) as client:
        client.sendall(request)
        return read_to_end(client)


@pytest.mark.parametrize(
    ("setting", "value", "at", "past", "status"),
    [
        (
            "WEBSOCKET_MAX_REQUEST_LINE_BYTES",
            128,
            request_line(128),
            request_line(129),
            b"414 URI Too Long",
        ),
        (
            "WEBSOCKET_MAX_HEADER_BYTES",
            8192,
            header_section(8192),
            header_section(8193),
            b"431 Request Header Fields Too Large",
        ),
        ("WEBSOCKET_MAX_HEADERS", 5, fields(5), fields(6), b"431 Request Header Fields Too Large"),
        (
            "WEBSOCKET_HEADER_TIMEOUT_SECONDS",
            3.0,
            fields(5),
            fields(5)[:-1],
            b"408 Request Timeout",
        ),
        ("WEBSOCKET_MAX_BODY_BYTES", 10, body(10), body(11), b"413 Payload Too Large"),
        ("WEBSOCKET_MAX_BODY_BYTES", 10, chunked(10), chunked(11), b"413 Payload Too Large"),
    ],
    ids=["request line", "header section", "fields", "time", "body", "chunked body"],
)
def test_a_request_at_the_limit_is_answered_and_one_past_it_is_refused_and_told_of(
    site, told, *, setting, value, at, past, status
):
    running = site(re_path("", upload), **{setting: value})
    assert answer_to(running, at).startswith(b"HTTP/1.1 200 OK\r\n")
    refusal = answer_to(running, past)
    assert refusal.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"\r\nconnection: close\r\n" in refusal
    record = told.get(timeout=PATIENCE)
    assert record.levelname == "WARNING"
    message = record.getMessage()
    assert message.startswith(f"A request was refused with {status[:3].decode()} (last from 127.0.0.1")
    assert f"{setting} sets the" in message
    assert answer_to(running, at).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_request_that_is_none_is_the_clients_mistake_and_told_of_for_debugging_only(site, told):
    running = site(path("", echo))
    logging.getLogger("dwebsocket.server").setLevel(logging.DEBUG)
    try:
        assert answer_to(running, b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        record = told.get(timeout=PATIENCE)
    finally:
        logging.getLogger("dwebsocket.server").setLevel(logging.NOTSET)
    assert record.levelname == "DEBUG"
    assert record.getMessage() == (
        "A request was refused (last from 127.0.0.1, /\\xe4 with 400: This is no address of a request.): "
        "the client's mistake"
    )


@pytest.mark.parametrize(
    ("fields", "status", "demanded"),
    [
        ({"Sec-WebSocket-Version": "8"}, b"426 Upgrade Required", b"sec-websocket-version: 13\r\n"),
        ({"Sec-WebSocket-Key": "short"}, b"400 Bad Request", b""),
        ({"Connection": "keep-alive"}, b"400 Bad Request", b""),
    ],
)
def test_a_handshake_that_will_not_do_is_refused_as_the_rfc_says(site, fields, status, demanded):
    running = site(path("", echo))
    head = "".join(f"{name}: {value}\r\n" for name, value in {**running.HANDSHAKE, **fields}.items())
    answer = answer_to(running, f"GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert demanded in answer


def test_a_handshake_waits_while_as_many_run_as_may_and_is_not_refused(site):
    entered, go_on = queue.SimpleQueue[str](), threading.Event()

    def gate(request, name):
        entered.put(name)
        assert go_on.wait(PATIENCE)
        return echo(request)

    running = site(path("<name>/", gate), WEBSOCKET_HANDSHAKE_THREADS=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(running.connect, "/first/", open_timeout=PATIENCE)
        assert entered.get(timeout=PATIENCE) == "first"
        second = pool.submit(running.connect, "/second/", open_timeout=PATIENCE)
        # One more than may run: it has come, and has not begun.
        until(lambda: running.server.counts["websocket_threads"] == 2)
        assert entered.empty()
        go_on.set()
        for client in (first.result(PATIENCE), second.result(PATIENCE)):
            with client:
                client.send("open")
                assert client.recv(PATIENCE) == "open"


@pytest.mark.alone
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
