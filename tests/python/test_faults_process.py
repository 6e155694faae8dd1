"""A server in its own process that runs out of descriptors, or whose views never come back."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from load import wait_until
from projects import Project, Running
from serving import PATIENCE

VIEWS = """
import threading
from django.http import HttpResponse
from dwebsocket import accept_websocket

@accept_websocket
def echo(request):
    if request.websocket is None:
        return HttpResponse("http")
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)

@accept_websocket
def forever(request):
    if request.websocket is not None:
        request.websocket.send("never again")
    threading.Event().wait()
"""
URLS = ('path("echo/", views.echo)', 'path("forever/", views.forever)')

FEW = 64
"""Descriptors that the process may have."""

ACCEPT_FAILED = re.compile(
    r"A connection could not be accepted(?: (\d+) times)?: the process has no descriptor .* ulimit -n "
)


@pytest.fixture
def faulty(project: Project) -> Project:
    project.write("views.py", VIEWS)
    project.urls(*URLS)
    return project


def test_accepting_pauses_while_no_descriptor_is_free_and_goes_on_when_there_is(faulty: Project):
    faulty.settings(f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW}))")
    # What takes the descriptors sends nothing, and is to keep them.
    faulty.settings("WEBSOCKET_HEADER_TIMEOUT_SECONDS = 1000")
    running = faulty.run()
    process = psutil.Process(running.process.pid)
    with running.connect("/echo/") as bystander, ExitStack() as stack:
        said_again(bystander)
        assert running.get("/echo/") == (200, b"http")
        assert wait_until(lambda: len(process.net_connections("tcp")) == 2)
        before = process.num_fds()
        begin = time.monotonic()
        for _ in range(FEW + 20):
            # The kernel completes what the server does not accept.
            stack.enter_context(socket.create_connection((running.host, running.port), PATIENCE))
        running.stderr.wait_for(ACCEPT_FAILED)
        used, lines = cpu_seconds(process), len(running.stderr.lines)
        said_again(bystander)
        # Said once, then not before five seconds have passed, with the number of attempts: ten a second.
        attempts = int(running.stderr.wait_for(ACCEPT_FAILED, after=lines)[1])
        elapsed = time.monotonic() - begin
        assert elapsed > 4
        assert attempts <= 10 * elapsed + 1
        assert cpu_seconds(process) - used < 0.1 * elapsed
        said_again(bystander)
        stack.close()
        with running.connect("/echo/", open_timeout=PATIENCE) as newcomer:
            said_again(newcomer)
        assert running.get("/echo/") == (200, b"http")
        assert wait_until(lambda: process.num_fds() <= before), "descriptors left over"
        said_again(bystander)
    assert all(ACCEPT_FAILED.search(line) for line in running.unexpected())
    assert len(running.unexpected()) <= 2 + (time.monotonic() - begin) / 5


@pytest.fixture
def stuck(faulty: Project) -> Iterator[Running]:
    """A server with a WebSocket and an HTTP request whose views wait for ever."""
    faulty.settings("WEBSOCKET_HTTP_THREADS = 2")
    running = faulty.run()
    with (
        running.connect("/forever/", close_timeout=0) as client,
        socket.create_connection((running.host, running.port), PATIENCE) as request,
    ):
        assert client.recv(PATIENCE) == "never again"
        request.sendall(b"GET /forever/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield running


def test_views_that_block_for_ever_hold_up_nobody_else(stuck: Running):
    for _ in range(3):
        assert stuck.get("/echo/") == (200, b"http")
        with stuck.connect("/echo/") as bystander:
            said_again(bystander)
    assert stuck.unexpected() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_whose_views_block_for_ever_ends_as_it_is_told(stuck: Running, number: signal.Signals):
    with stuck.connect("/echo/") as bystander:
        said_again(bystander)
        begin = time.monotonic()
        stuck.process.send_signal(number)
        status = stuck.wait(PATIENCE)
    # Django's runserver ends with 0 by Ctrl-C, and by the signal itself otherwise.
    assert status == (0 if number == signal.SIGINT else -number)
    assert time.monotonic() - begin < PATIENCE
    assert stuck.unexpected() == []


def said_again(client) -> None:
    client.send("hello")
    assert client.recv(PATIENCE) == "hello"


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
