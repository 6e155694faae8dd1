"""A pytest plugin: projects without our app, under servers that are not ours."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from projects import ADDRESS, START_SECONDS, Project, Running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

VIEWS = """
import logging
import os
import threading
from django.http import HttpResponse
from dwebsocket import accept_websocket, require_websocket

logger = logging.getLogger("views")
sockets = []

@accept_websocket
def echo(request):
    if request.websocket is None:
        return HttpResponse("http")
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)

@require_websocket
def say(request):
    request.websocket.send("all")

@require_websocket
def broken(request):
    request.websocket.wait()
    raise LookupError("in the socket's view")

def undecorated(request):
    return HttpResponse("http")

def descriptors(request):
    return HttpResponse(len(os.listdir("/proc/self/fd")))
"""
URLS = tuple(
    f'path("{name}/", views.{name})' for name in ("echo", "say", "broken", "undecorated", "descriptors")
)

_GUNICORN: Final = (
    sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket", "project.wsgi"
)  # fmt: skip


UWSGI: Final = (
    str(Path(sys.executable).with_name("uwsgi")), "--module", "project.wsgi", "--threads", "16"
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A server that is not ours.

    Attributes:
        command: starts it in the project's folder, on a free port.
        own_lines: what it says of itself and of requests.
        side_by_side: whether several views run at a time.
        app: the one its command comes from.
    """

    command: tuple[str, ...]
    own_lines: re.Pattern[str]
    side_by_side: bool = True
    app: str = ""


_OF_GUNICORN: Final = re.compile(r"^\[[-\d]+ [:\d]+ \+\d{4}\] \[\d+\] \[INFO\] ")
OF_UWSGI: Final = re.compile(
    r"\*\*\* |!!! |\.\.\.|\[pid: \d+\|app: |os: |machine: |nodename: |clock source: |compiled with "
    r"|detected |current working |uwsgi s|uWSGI |your |lock engine: |thunder lock: |[Pp]ython |mapped "
    r"|WSGI app 0 |spawned |worker \d |gateway |SIGINT/SIGTERM|[Gg]racefully |binary reloading |closing all "
    r"|chdir|goodbye |$"
)
_OF_DJANGO: Final = re.compile(r'^\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "(?:GET|OPTIONS) /')
_OF_WERKZEUG: Final = re.compile(
    r'^ \* |^127\.0\.0\.1 - - \[[^]]+\] "|.*WARNING: This is a development server|.*Press CTRL\+C to quit'
)

UWSGI_ADDRESS: Final = r"(?:http|socket \d) bound (?:on|to TCP address) 127\.0\.0\.1:(\d+)"
"""Of the socket that clients connect to, which is named first."""

SERVERS: Final = {
    "runserver": Server((sys.executable, "manage.py", "runserver", "127.0.0.1:0", "--noreload"), _OF_DJANGO),
    "sync": Server((*_GUNICORN, "--worker-class", "sync"), _OF_GUNICORN, side_by_side=False),
    "gthread": Server((*_GUNICORN, "--worker-class", "gthread", "--threads", "64"), _OF_GUNICORN),
    "uwsgi": Server((*UWSGI, "--http-socket", "127.0.0.1:0", "--master", "--die-on-term"), OF_UWSGI),
    "gevent": Server((*_GUNICORN, "--worker-class", "gevent"), _OF_GUNICORN),
    "pywsgi": Server((*_GUNICORN, "--worker-class", "gevent_pywsgi"), _OF_GUNICORN),
    "werkzeug": Server(
        (sys.executable, "manage.py", "runserver_plus", "127.0.0.1:0", "--nopin"),
        _OF_WERKZEUG,
        app="django_extensions",
    ),
}


class Foreign(Running):
    """A project under a server that is not ours."""

    def __init__(self, server: Server, project: Project, options: tuple[str, ...], environ: dict[str, str]):
        super().__init__([*server.command, *options], project.folder, environ)
        self.server = server
        self._said = 0

    def wait_until_up(self, after: int = 0) -> Foreign:
        """Waits until the server tells its address."""
        if self.server.own_lines is OF_UWSGI:
            self.wait_for_port(UWSGI_ADDRESS)
            return self
        if self.server.own_lines is _OF_DJANGO:
            match = self.stdout.wait_for(ADDRESS, after)
        else:
            match = self.stderr.wait_for(r"(?:Listening at:|Running on) (http://(.+):(\d+))", after)
        if self.server.own_lines is _OF_WERKZEUG:
            # Until then it is the reloader that listens.
            self.stderr.wait_for("Debugger PIN", after)
        self.url, self.host, self.port = match[1], match[2], int(match[3])
        return self

    def signal(self, number: signal.Signals) -> None:
        """What a terminal or a supervisor sends: to all its processes, where it starts others by itself."""
        if self.server.own_lines is _OF_WERKZEUG:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def unexpected(self) -> list[str]:
        """Lines on stderr that the server does not say of itself, since `expect`."""
        return [line for line in self.stderr.lines[self._said :] if not self.server.own_lines.match(line)]

    def expect(self) -> None:
        """What was said until now was expected."""
        self._said = len(self.stderr.lines)

    def stop(self) -> None:
        """Lets it end as it does when nothing is open."""
        # SIGINT makes gunicorn's gthread worker wait for itself if it comes while a thread is being started.
        by_term = self.server.own_lines in (_OF_GUNICORN, OF_UWSGI)
        self.signal(signal.SIGTERM if by_term else signal.SIGINT)
        assert self.wait() == 0

    def raw(self, path: str = "/echo/", behind: bytes = b"", head: bytes = b"") -> socket.socket:
        """A client that has sent a handshake, with bytes in the same packet; gives its socket."""
        client = socket.create_connection((self.host, self.port), timeout=START_SECONDS)
        handshake = (
            f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n"
        )
        client.sendall(handshake.encode() + head + b"\r\n" + behind)
        return client


HANDSHAKE_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def read_exactly(client: socket.socket, expected: bytes) -> None:
    """Reads as many bytes as expected, which have to be those."""
    received = b""
    while len(received) < len(expected) and (piece := client.recv(len(expected) - len(received))):
        received += piece
    assert received == expected


def echoes(client: ClientConnection, *messages: str | bytes) -> None:
    for message in messages:
        client.send(message)
        received = client.recv(timeout=START_SECONDS)
        assert received == (message if isinstance(message, str) else message.decode())


def end_of(client: ClientConnection) -> tuple[int, str] | None:
    """Code and reason of the server's Close, or None without one; it has to be the next thing to arrive."""
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=20)
    return closed.value.rcvd and (closed.value.rcvd.code, closed.value.rcvd.reason)


Start = Callable[..., Foreign]


def make_foreign(project: Project) -> Project:
    """Makes the project one as `startproject` leaves it, but for VIEWS."""
    project.settings('INSTALLED_APPS.remove("dwebsocket")')
    project.write("views.py", VIEWS)
    project.urls(*URLS)
    return project


def start(project: Project, name: str | Server, *options: str, **environ: str) -> Foreign:
    """Starts the project under a server; returns at once."""
    server = SERVERS[name] if isinstance(name, str) else name
    if not shutil.which(server.command[0]):
        pytest.skip(f"{server.command[0]} is not installed")
    if server.app:
        pytest.importorskip(server.app, reason=f"{server.app} is not installed")
        project.settings(f'INSTALLED_APPS.append("{server.app}")')
    return Foreign(server, project, options, {**project._environ(), **environ})


@pytest.fixture
def foreign_project(project: Project) -> Project:
    """A project that does not know of us, but for VIEWS."""
    return make_foreign(project)


@pytest.fixture
def serve_with(foreign_project: Project) -> Iterator[Start]:
    """`serve_with("gthread", "--threads", "2")` starts the project under a server."""
    started: list[Foreign] = []

    def run(name: str | Server, *options: str, **environ: str) -> Foreign:
        running = start(foreign_project, name, *options, **environ)
        started.append(running)
        return running.wait_until_up()

    yield run
    for running in started:
        running.end()


@pytest.fixture(scope="module", params=SERVERS)
def _running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """One server after the other, each for all tests of a module; it ends as silently as it ran."""
    project = make_foreign(Project(tmp_path_factory.mktemp(request.param) / "site"))
    running = start(project, request.param)
    try:
        yield running.wait_until_up()
        running.stop()
        assert running.unexpected() == []
    finally:
        running.end()


@pytest.fixture
def foreign(_running: Foreign) -> Iterator[Foreign]:
    """Each of the servers, shared by the tests of a module; none of these makes it say the unexpected."""
    yield _running
    # The sync worker answers this when the view of the test's last socket has ended.
    assert _running.get("/echo/") == (200, b"http")
    assert _running.unexpected() == []


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Paths of a certificate of its own making and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the Debian package openssl")
    paths = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*command, "-subj", "/CN=localhost", "-days", "2", "-out", paths[0], "-keyout", paths[1]],
        check=True,
        capture_output=True,
        timeout=START_SECONDS,
    )
    return paths


def raise_descriptor_limit(least: int) -> None:
    """Allows this process, and those it starts, so many open descriptors, or skips the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < least:
        pytest.skip(f"needs {least} open descriptors; the system allows {hard}")
    if soft != resource.RLIM_INFINITY and soft < least:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
