"""One thread for everybody: under gunicorn's gevent worker no socket stops the hub."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import load
import pytest
from foreign import VIEWS, Foreign, Start, echoes, raise_descriptor_limit
from projects import Project
from sockets import until

pytest.importorskip("gevent", reason="gevent is not installed")
pytestmark = pytest.mark.alone

CLIENTS = 1_000
HTTP_SECONDS = 20.0
"""Longest answer of a plain view on a machine that is busy with many tests; a stopped hub gives none."""

GEVENT_VIEWS = """
import json, time
import gevent

def timed(call):
    begin = time.monotonic()
    try:
        value = call()
    except Exception as error:
        value = type(error).__name__
    return [value.decode() if isinstance(value, bytes) else value, time.monotonic() - begin]

@require_websocket
def waits(request):
    socket = request.websocket
    socket.send("open")
    results = [timed(lambda: socket.wait(0.2))]
    ended.append("timed out")
    results += [timed(lambda: socket.wait(60)), timed(lambda: socket.wait(60))]
    socket.send(results)
    results = [timed(lambda: socket.wait(60)), timed(lambda: socket.wait(60))]
    ended.append(results)

ended = []

def endings(request):
    return HttpResponse(json.dumps(ended))

@require_websocket
def polls(request):
    socket = request.websocket
    while True:
        message = socket.read()
        if message is not None:
            socket.send(message)

@require_websocket
def floods(request):
    while True:
        request.websocket.send(bytes(100_000), binary=True)

@require_websocket
def swallows(request):
    while request.websocket.wait() is not None:
        # Slower than messages come: there is always one.
        sum(range(1_000))

@require_websocket
def delegates(request):
    socket = request.websocket
    outcome = []

    def fill():
        begin = time.monotonic()
        for _ in range(300):
            socket.send(bytes(100_000), binary=True)
        outcome.append(time.monotonic() - begin)

    gevent.spawn(fill).join()
    outcome.append(socket.close_code)
    ended.append(outcome)
"""
NAMES = ("echo", "descriptors", "waits", "endings", "polls", "floods", "swallows", "delegates")


@pytest.fixture
def gevent_project(foreign_project: Project) -> Project:
    foreign_project.write("views.py", VIEWS + GEVENT_VIEWS)
    foreign_project.urls(*(f'path("{name}/", views.{name})' for name in NAMES))
    return foreign_project


@pytest.fixture
def running(gevent_project: Project, serve_with: Start) -> Iterator[Foreign]:
    started = serve_with("gevent", "--worker-connections", "4000")
    yield started
    started.stop()
    assert started.unexpected() == []


def answers(running: Foreign) -> None:
    """A plain view answers, and soon."""
    begin = time.monotonic()
    assert running.get("/echo/") == (200, b"http")
    assert time.monotonic() - begin < HTTP_SECONDS


def endings(running: Foreign) -> list[Any]:
    status, body = running.get("/endings/")
    assert status == 200
    told: list[Any] = json.loads(body)
    return told


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_thousand_sockets_echo_while_plain_http_is_answered(running: Foreign) -> None:
    raise_descriptor_limit(4 * CLIENTS + 500)
    address = (running.host, running.port)

    async def scenario() -> None:
        clients = await load.open_many(address, "/echo/", CLIENTS)
        report = load.Report()
        await load.echo(clients, 5, report)
        assert (report.replies, report.wrong) == (5 * CLIENTS, 0)
        ends = await asyncio.gather(*(client.close() for client in clients))
        assert set(ends) == {(8, b"\x03\xe8")}

    # The first socket brings what the process keeps: the runtime, and the socket of manage.py websockets.
    with running.connect("/echo/") as first:
        echoes(first, "one")
    before = int(running.get("/descriptors/")[1])
    with load.http_beside(address, "/echo/") as seconds:
        asyncio.run(scenario())
    assert seconds
    assert max(seconds) < HTTP_SECONDS
    # Each socket had four; none may stay until the garbage collector comes by.
    until(lambda: int(running.get("/descriptors/")[1]) <= before)


def test_each_wait_ends_as_it_does_on_a_thread(running: Foreign) -> None:
    with running.connect("/waits/") as client:
        assert client.recv(timeout=10) == "open"
        # Answered while the view waits; its first wait is over when this is.
        answers(running)
        until(lambda: endings(running) == ["timed out"])
        client.send("arrives later")
        client.send("was there")
        results = json.loads(client.recv(timeout=10))
    (timed_out, waited), (later, _), (there, at_once) = results
    assert (timed_out, later, there) == (None, "arrives later", "was there")
    assert waited >= 0.2
    assert at_once < HTTP_SECONDS
    until(lambda: len(endings(running)) == 2)
    (end, soon), (raised, _) = endings(running)[1]
    assert (end, raised) == (None, "ConnectionClosed")
    assert soon < HTTP_SECONDS


def test_a_view_that_polls_lets_others_run(running: Foreign) -> None:
    with running.connect("/polls/") as client, running.connect("/echo/") as other:
        for _ in range(3):
            answers(running)
            echoes(client, "polled")
            echoes(other, "waited for")


def test_a_full_outbox_stops_nobody_but_its_view(gevent_project: Project, serve_with: Start) -> None:
    gevent_project.settings("WEBSOCKET_SEND_TIMEOUT_SECONDS = 2\nWEBSOCKET_PING_INTERVAL_SECONDS = None")
    running = serve_with("gevent")
    with running.raw("/floods/") as client, running.connect("/echo/") as other:
        client.recv(1_000)
        # The client reads no more: in a moment all buffers are full, until the timeout has run out.
        running.stderr.wait_for("reads too slowly: closed with 1013", timeout=30)
        answers(running)
        echoes(other, "still here")
    running.stop()
    assert len(running.unexpected()) == 1


def test_other_views_answer_while_an_outbox_is_full(running: Foreign) -> None:
    with running.raw("/floods/") as client, running.connect("/echo/") as other:
        received = 0
        for _ in range(20):
            received += len(client.recv(1_000))
            answers(running)
            echoes(other, "still here")
        # It goes on where it stopped, as soon as the client reads again.
        while received < 20_000_000:
            received += len(client.recv(1 << 20))


def test_a_client_that_never_pauses_starves_nobody(running: Foreign) -> None:
    frames = load.text_frame(b"x") * 10_000

    def flood(client: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client.sendall(frames)

    with ThreadPoolExecutor(1) as pool, running.raw("/swallows/") as client:
        flooding = pool.submit(flood, client)
        try:
            for _ in range(3):
                answers(running)
                with running.connect("/echo/") as other:
                    echoes(other, "between")
            assert not flooding.done()
        finally:
            client.shutdown(socket.SHUT_RDWR)
        flooding.result(10)


def test_a_greenlet_that_the_view_started_is_not_the_owner(
    gevent_project: Project, serve_with: Start
) -> None:
    running = serve_with("gevent")
    with running.raw("/delegates/") as client:
        client.recv(1_000)
        # The outbox fills, and who does not own the socket is not made to wait: it is closed with 1013.
        until(lambda: endings(running) != [])
    ((seconds, code),) = endings(running)
    assert seconds < HTTP_SECONDS
    assert code == 1013
