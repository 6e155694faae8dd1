"""``dwebsocket.stats()``: every figure, by what really happens on sockets."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable
from typing import Any

import dwebsocket
import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from dwebsocket import _core
from dwebsocket.exceptions import SlowClient
from serving import PATIENCE, Serving
from sites import Site
from sockets import BINARY, CLOSE, HANDSHAKE, TEXT, Sockets, until
from test_adoption_process import outcome
from test_fork import in_child

Figures = dict[str, Any]


class Since:
    """What has been counted since it was made: the figures of a process go on from test to test."""

    def __init__(self) -> None:
        figures = dwebsocket.stats()
        self._before = {field.name: getattr(figures, field.name) for field in dataclasses.fields(figures)}

    def __getattr__(self, name: str) -> Any:
        now, before = getattr(dwebsocket.stats(), name), self._before[name]
        if name not in ("closed", "refused"):
            return now - before
        grown = {key: count - before.get(key, 0) for key, count in now.items()}
        return {key: count for key, count in grown.items() if count}

    def sums(self) -> Figures:
        names = ("opened", "received_messages", "received_bytes", "sent_messages", "sent_bytes")
        return {name: getattr(self, name) for name in (*names, "dropped_messages", "slow_clients")}


@pytest.fixture
def since() -> Since:
    return Since()


def test_what_three_sockets_do_is_summed_and_stays_when_they_have_ended(
    since: Since, sockets: Sockets
) -> None:
    ends = [sockets.open() for _ in range(3)]
    assert (since.open, since.opened, since.view_threads, since.tcp_connections) == (3, 3, 3, 3)
    ends[0].say(b"12345", b"12345", b"12345")
    ends[1].say("héllo", b"")
    for end, text in zip(ends, ("one", "three", "seventeen letters"), strict=True):
        end.websocket.send(text)
        assert end.client.recv(timeout=PATIENCE) == text
    expected = {
        "opened": 3,
        "received_messages": 5,
        "received_bytes": 3 * 5 + 6,
        "sent_messages": 3,
        # Each with two bytes of header.
        "sent_bytes": 5 + 7 + 19,
        "dropped_messages": 0,
        "slow_clients": 0,
    }
    assert since.sums() == expected
    assert (since.inbox_messages, since.inbox_bytes, since.outbox_bytes) == (5, 21, 0)
    assert ends[0].websocket.read() == b"12345"
    assert (since.inbox_messages, since.inbox_bytes) == (4, 16)
    for end in ends:
        end.client.close()
    until(lambda: since.open == 0)
    assert since.closed == {1000: 3}
    assert since.sums() == expected
    assert (since.inbox_messages, since.inbox_bytes) == (0, 0)
    sockets.finish()
    assert sockets.serving is not None
    assert sockets.serving.stop()
    del ends, end
    assert since.sums() == expected
    assert (since.view_threads, since.idle_threads, since.tcp_connections) == (0, 0, 0)


def closes(code: int, reason: str = "") -> Callable[[Any], None]:
    return lambda websocket: websocket.close(code, reason)


def wait(websocket: Any) -> None:
    """A view that ends with its socket, for which a server that stops waits."""
    websocket.wait()


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (1000, lambda sockets: sockets.open().client.close()),
        (1001, lambda sockets: [sockets.open(wait), sockets.serving.stop()]),
        (1005, lambda sockets: sockets.open(raw=True).client.send(CLOSE)),
        (1006, lambda sockets: sockets.open(raw=True).client.reset()),
        (1007, lambda sockets: sockets.open(raw=True).client.send(TEXT, b"\xff")),
        (1009, lambda sockets: sockets.open(raw=True).client.send(BINARY, bytes(101))),
        (1012, lambda sockets: [sockets.open(wait), sockets.serving.stop(1012)]),
        (4001, lambda sockets: sockets.open(closes(4001))),
    ],
)
def test_each_end_is_counted_by_its_code(
    since: Since, sockets: Sockets, code: int, end: Callable[[Sockets], object]
) -> None:
    sockets.start(max_message_bytes=100)
    end(sockets)
    until(lambda: since.open == 0)
    assert since.closed == {code: 1}


def test_messages_to_a_socket_that_has_ended_are_counted_as_dropped(since: Since, sockets: Sockets) -> None:
    ends = sockets.open()
    ends.client.close()
    until(lambda: since.open == 0)
    for _ in range(3):
        ends.websocket.send("too late")
    assert (since.dropped_messages, since.sent_messages) == (3, 0)


def test_a_client_that_reads_too_slowly_is_counted_once(since: Since, sockets: Sockets) -> None:
    sockets.start(outbox_bytes=1000)
    ends = sockets.open(raw=True)
    connection = ends.websocket._connection
    sent = 0
    slow = False
    while not slow:
        # Until the buffers of the two sockets are full as well.
        try:
            connection.send(bytes(100_000), binary=True)
            sent += 1
        except SlowClient:
            slow = True
    assert (since.slow_clients, since.dropped_messages, since.sent_messages) == (1, 1, sent)
    # The last one waits, unless the system has found room for it by now.
    assert since.outbox_bytes in (100_010, 0)
    ends.client.reset()
    until(lambda: since.open == 0)
    assert (since.closed, since.slow_clients, since.outbox_bytes) == ({1013: 1}, 1, 0)


def test_requests_of_http_are_in_flight_from_the_first_line_to_the_end_of_the_view(
    since: Since, serve: Callable[..., Serving]
) -> None:
    running, go = threading.Semaphore(0), threading.Event()

    def view(environ: Any, start_response: Any) -> list[bytes]:
        running.release()
        assert go.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    serving = serve(view, http_threads=1)
    clients = [serving.connect() for _ in range(2)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert running.acquire(timeout=PATIENCE)
    until(lambda: since.http_in_flight == 2)
    assert (since.view_threads, since.tcp_connections, since.open) == (1, 2, 0)
    go.set()
    for client in clients:
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        client.close()
    until(lambda: (since.http_in_flight, since.view_threads, since.tcp_connections) == (0, 0, 0))


@dwebsocket.accept_websocket
def echo(request: Any) -> HttpResponse | None:
    if request.websocket is None:
        return HttpResponse("http")
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)
    return None


def plain(request: Any) -> HttpResponse:
    return HttpResponse("http")


VIEWS = (path("", echo), path("plain", plain))
Start = Callable[..., Site]


def test_handshakes_that_python_refuses_are_counted_by_the_reason(since: Since, site: Start) -> None:
    here = site(*VIEWS, MIDDLEWARE=["dwebsocket.middleware.WebSocketMiddleware"])
    assert here.get("/", {**here.HANDSHAKE, "Origin": "https://evil.example"})[0] == 403
    assert since.refused == {"origin": 1}
    assert here.get("/plain", here.HANDSHAKE)[0] == 400
    assert since.refused == {"origin": 1, "not_for_view": 1}
    with here.connect():
        assert since.refused == {"origin": 1, "not_for_view": 1}


def test_a_handshake_under_a_server_that_hides_its_socket_is_counted(since: Since, site: Start) -> None:
    site(*VIEWS)
    fields = {name.replace("-", "_").upper(): value for name, value in Site.HANDSHAKE.items()}
    handshake = {f"HTTP_{name}": value for name, value in fields.items()}
    assert Client().get("/", **handshake).status_code == 501
    assert since.refused == {"unsupported_server": 1}


def test_what_the_core_refuses_is_counted_by_the_reason(since: Since, site: Start) -> None:
    here = site(*VIEWS, WEBSOCKET_MAX_REQUEST_LINE_BYTES=200)
    assert here.get("/" + 200 * "x")[0] == 414
    assert since.refused == {"request_line_too_long": 1}
    assert here.get("/", {**here.HANDSHAKE, "Sec-WebSocket-Version": "12"})[0] == 426
    assert here.get("/", {"X": 70_000 * "x"})[0] == 431
    until(lambda: len(since.refused) == 3)
    assert since.refused == {"request_line_too_long": 1, "bad_request": 1, "header_too_large": 1}


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("WEBSOCKET_MAX_CONNECTIONS", "websockets_full"),
        ("WEBSOCKET_MAX_TCP_CONNECTIONS", "connections_full"),
        ("WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS", "address_full"),
    ],
)
def test_one_too_many_is_counted_by_the_limit_that_it_meets(
    since: Since, site: Start, setting: str, reason: str
) -> None:
    here = site(*VIEWS, **{setting: 1})
    with here.connect() as client:
        with socket.create_connection(("127.0.0.1", here.port), timeout=PATIENCE) as refused:
            # A connection too many is answered before it has said anything.
            if reason == "websockets_full":
                refused.sendall(HANDSHAKE % b"/")
            assert refused.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 503"
        assert since.refused == {reason: 1}
        assert (since.open, since.opened) == (1, 1)
        client.send("still here")
        assert client.recv(timeout=PATIENCE) == "still here"


def test_every_reason_is_there_from_the_beginning() -> None:
    assert set(dwebsocket.stats().refused) == {
        "preface",
        "connections_full",
        "address_full",
        "websockets_full",
        "http_busy",
        "stopping",
        "request_line_too_long",
        "header_too_large",
        "too_many_headers",
        "header_timed_out",
        "body_too_large",
        "bad_request",
        "origin",
        "not_for_view",
        "unsupported_server",
    }
    with pytest.raises(ValueError, match='"because" is no reason'):
        _core.count_refusal("because")


def test_figures_cannot_be_changed() -> None:
    figures = dwebsocket.stats()
    with pytest.raises(dataclasses.FrozenInstanceError):
        figures.open = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        figures.refused["origin"] = 1  # type: ignore[index]


def test_an_adopted_socket_counts_as_one_of_our_server() -> None:
    assert outcome(
        """
from dwebsocket import stats

def figures():
    now = stats()
    # There is no thread of ours behind such a socket.
    return [now.open, now.opened, now.received_messages, now.received_bytes, now.view_threads]

connection, server, client = adopt()
seen = [figures()]
client.sendall(b"\\x81\\x85\\0\\0\\0\\0hello")
client.recv(1000)
connection.receive(20)
seen.append(figures())
client.sendall(b"\\x88\\x82\\0\\0\\0\\0\\x03\\xe8")
client.shutdown(socket.SHUT_WR)
assert connection.wait_closed(20)
seen.append(figures())
del connection
seen.append(figures())
print(json.dumps([seen, dict(stats().closed), stats().refused["websockets_full"]]))
"""
    ) == [
        [[1, 1, 0, 0, 0], [1, 1, 1, 5, 0], [0, 1, 1, 5, 0], [0, 1, 1, 5, 0]],
        {"1000": 1},
        0,
    ]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_counts_anew(sockets: Sockets) -> None:
    sockets.open()

    def look() -> None:
        figures = dwebsocket.stats()
        assert (figures.open, figures.opened, figures.tcp_connections) == (0, 0, 0)

    assert in_child(look) == 0
    assert dwebsocket.stats().open == 1
