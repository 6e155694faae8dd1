"""A pytest plugin: projects under gunicorn with our worker."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from projects import START_SECONDS, Project, Running
from sockets import HANDSHAKE, until
from websockets.sync.client import ClientConnection

VIEWS = """
import json
import os
import sys
from django.http import HttpResponse, JsonResponse
from dwebsocket import accept_websocket

@accept_websocket
def echo(request):
    if request.websocket is None:
        return HttpResponse("http")
    request.websocket.send(str(os.getpid()))
    try:
        for message in request.websocket:
            if message is not None:
                request.websocket.send(message)
    finally:
        sys.stderr.write("the view has ended\\n")

@accept_websocket
def burst(request):
    for number in range(500):
        request.websocket.send(f"{number:04}" * 256)
    sys.stderr.write("the burst is queued\\n")
    request.websocket.wait()

@accept_websocket
def late(request):
    request.websocket.wait(7)
    request.websocket.send("late")

def environ(request):
    return JsonResponse({key: value for key, value in request.META.items() if isinstance(value, str | bool)})

def slow(request):
    # Both are FIFOs: each is opened when the test opens its other end.
    with open("started", "w") as started:
        started.write(str(os.getpid()))
    with open("go") as go:
        return HttpResponse(go.read())

def stuck(request):
    with open("started", "w") as started:
        started.write(str(os.getpid()))
    while True:
        sys.stdin.read()
"""
NAMES = ("echo", "burst", "late", "environ", "slow", "stuck")


class Gunicorn(Running):
    """A project under gunicorn with our worker."""

    def __init__(self, project: Project, options: tuple[str, ...], environ: dict[str, str]) -> None:
        from gunicorn.config import make_settings

        # Before 25 there was none.
        quiet = ("--no-control-socket",) if "control_socket_disable" in make_settings() else ()
        worker = ("--worker-class", "dwebsocket.gunicorn.Worker", *quiet)
        # SIGUSR2 starts the same command again, for which `python -m` leaves the wrong path.
        script = str(Path(sys.executable).with_name("gunicorn"))
        command = [script, *worker, *options, "project.wsgi"]
        super().__init__(command, project.folder, environ)
        self.folder = project.folder
        self.clients = ExitStack()

    def wait_until_up(self, after: int = 0, workers: int = 1) -> Gunicorn:
        """Waits until it listens and its workers are being booted."""
        match = self.stderr.wait_for(r"Listening at: (\S*)", after)
        if tcp := re.match(r"https?://(.+):(\d+)", match[1]):
            self.url, self.host, self.port = tcp[0], tcp[1], int(tcp[2])
        self.wait_for_workers(workers)
        return self

    def wait_for_workers(self, count: int) -> list[int]:
        """Waits until so many have been booted in all, and gives the processes in that order."""
        until(lambda: len(self.booted()) >= count or self.process.poll() is not None)
        assert len(self.booted()) >= count, self.stderr.lines
        return self.booted()

    def booted(self) -> list[int]:
        """The processes of all workers so far, those that have ended too, in the order of their ages."""
        found = (re.search(r"Booting worker with pid: (\d+)", line) for line in list(self.stderr.lines))
        return [int(match[1]) for match in found if match]

    def wait_for_end_of(self, process: int) -> None:
        """Waits until a process is gone."""
        until(lambda: not psutil.pid_exists(process))

    def signal(self, number: signal.Signals, process: int | None = None) -> None:
        """Sends the arbiter, or another process, a signal."""
        os.kill(process or self.process.pid, number)

    def socket(self, path: str, **options: object) -> ClientConnection:
        """A WebSocket, which is closed with the server at the latest."""
        quiet = {"close_timeout": 10, "ping_interval": None}
        return self.clients.enter_context(self.connect(path, **quiet | options))

    def open(self) -> tuple[ClientConnection, int]:
        """A WebSocket that echoes, and the process of the worker that serves it."""
        client = self.socket("/echo/")
        return client, int(client.recv(timeout=20))

    def tcp(self) -> socket.socket:
        """A connection without TLS."""
        return socket.create_connection((self.host, self.port), timeout=20)

    def raw_handshake(self, fields: bytes = b"") -> socket.socket:
        """A client that has sent a handshake and has read nothing."""
        client = socket.create_connection((self.host, self.port), timeout=20)
        host = f"{self.host}:{self.port}".encode()
        handshake = HANDSHAKE.replace(b"Host: localhost", b"Host: " + host) % b"/echo/"
        client.sendall(handshake.removesuffix(b"\r\n") + fields + b"\r\n")
        return client

    def open_at(self, process: int) -> ClientConnection:
        """A socket of one worker."""
        for _ in range(500):
            client, serving = self.open()
            if serving == process:
                return client
            client.close()
        raise AssertionError(f"worker {process} accepts nothing")

    def fifo(self, name: str) -> Path:
        """What ``slow`` and ``stuck`` wait for."""
        path = self.folder / name
        if not path.exists():
            os.mkfifo(path)
        return path

    def end(self) -> None:
        """Ends it and its clients whatever state they are in."""
        super().end()
        self.clients.close()

    def stop(self) -> list[str]:
        """Ends it in order; gives the lines on stderr."""
        self.terminate()
        assert self.wait(40) == 0, self.stderr.lines
        return self.stderr.lines


Start = Callable[..., Gunicorn]


@pytest.fixture
def gunicorn(project: Project) -> Iterator[Start]:
    """`gunicorn("--workers", "2")` starts the project, on a free port unless it is told where to listen."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    project.write("views.py", VIEWS)
    project.urls(*(f'path("{name}/", views.{name})' for name in NAMES))
    started: list[Gunicorn] = []

    def run(*options: str, workers: int = 1, wait: bool = True, **environ: str) -> Gunicorn:
        bind = () if "--bind" in options else ("--bind", "127.0.0.1:0")
        many = ("--workers", str(workers)) if workers > 1 else ()
        running = Gunicorn(project, (*bind, *many, *options), {**project._environ(), **environ})
        started.append(running)
        return running.wait_until_up(workers=workers) if wait else running

    yield run
    for running in started:
        running.end()


def talk_over_unix(path: str, request: bytes) -> bytes:
    """Sends bytes over a Unix socket and reads to the end."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(START_SECONDS)
        client.connect(path)
        client.sendall(request)
        received = b""
        while piece := client.recv(1 << 16):
            received += piece
    return received
