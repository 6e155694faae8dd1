"""The servers under contract: each is started once, and its cases run one after the other."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import re
import shutil
import socket
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import psutil
import pytest
from projects import Project, Running, Stream, free_port, wait_until_it_listens
from servers import SCRIPTS, SERVERS, Server
from serving import PATIENCE
from sockets import RawClient, until
from websockets.sync.client import ClientConnection, connect

VIEWS = Path(__file__).parent / "views"
SETTINGS = """
MIDDLEWARE = [*MIDDLEWARE, "dwebsocket.middleware.WebSocketMiddleware"]
INSTALLED_APPS = [*{apps}, *(app for app in INSTALLED_APPS if app != "dwebsocket")]
"""
URLS = """
from django.urls import path

from views import ends, habits, members, requests, views

urlpatterns = [path(f"{where}/", view) for where, view in views.items()]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tells the report which server a test is for; ``scripts/contract_table.py`` reads it."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            server = item.callspec.params.get("served")
            if isinstance(server, Server):
                item.user_properties.append(("server", server.name))


class Served:
    """A project under one server.

    Attributes:
        server: which.
        running: its process.
        expected: lines on stderr that a case looked at and found right.
    """

    def __init__(self, server: Server, project: Project, folder: Path) -> None:
        self.server = server
        shutil.copytree(project.folder, folder)
        with (folder / "project" / "settings.py").open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS.format(apps=[*(["dwebsocket"] if server.app else []), *server.apps]))
        values = {
            "python": sys.executable,
            "bin": SCRIPTS,
            # Django before 4.2 says the port it was told, not the one it got.
            "port": free_port() if django.VERSION < (4, 2) else 0,
        }
        command = [part.format(**values) for part in server.command]
        self.running = Running(command, folder, project._environ())
        self.streams: tuple[Stream, Stream] = (self.running.stdout, self.running.stderr)
        self.expected: list[str] = []

    def wait_until_up(self) -> None:
        """Takes host and port from what the server says."""
        match = self.wait_for_line(self.server.address)
        self.host, self.port = match[1], int(match[2])
        if django.VERSION < (4, 2):
            wait_until_it_listens(self.host, self.port)

    def wait_for_line(self, pattern: str, after: tuple[int, int] = (0, 0)) -> re.Match[str]:
        """The first match on stdout or stderr."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            for stream, first in zip(self.streams, after, strict=True):
                found.extend(filter(None, (re.search(pattern, line) for line in stream.lines[first:])))
            return bool(found) or self.running.process.poll() is not None

        until(look)
        assert found, f"{self.server.name} did not say {pattern!r}: {[each.lines for each in self.streams]}"
        return found[0]

    def lines_so_far(self) -> tuple[int, int]:
        """How many lines stdout and stderr have."""
        return len(self.running.stdout.lines), len(self.running.stderr.lines)

    def unexpected(self) -> list[str]:
        """Lines on stderr that are neither the server's own nor expected."""
        left = [line for line in self.running.stderr.lines if not self.server.is_own(line)]
        for line in self.expected:
            if line in left:
                left.remove(line)
        return left

    def descriptors(self) -> int:
        """How many descriptors its processes have open."""
        process = psutil.Process(self.running.process.pid)
        return sum(each.num_fds() for each in (process, *process.children(recursive=True)))

    def stop(self) -> None:
        """Ends it as a supervisor does, or else by force."""
        self.running.terminate()
        with contextlib.suppress(Exception):
            self.running.process.wait(PATIENCE)
        self.running.end()


class Talk:
    """What one case does to a server: connections to it, and the reports of its views."""

    def __init__(self, served: Served, folder: Path, closing: ExitStack) -> None:
        self.served = served
        self._closing = closing
        self._address = str(folder / "reports")
        self._mailbox = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._mailbox.bind(self._address)
        self._mailbox.settimeout(PATIENCE)
        self.before = served.lines_so_far()

    def elsewhere(self, served: Served) -> Talk:
        """The same case, on another process."""
        other = copy.copy(self)
        other.served, other.before = served, served.lines_so_far()
        return other

    def needs(self, feature: str) -> None:
        """Ends the case under a server that truly cannot do something."""
        if feature in self.served.server.lacks:
            pytest.skip(f"{self.served.server.name}: {self.served.server.lacks[feature]}")

    def path(self, view: str, **query: object) -> str:
        """Path and query of a view."""
        return f"/{view}/?{urllib.parse.urlencode({'report': self._address, **query})}"

    def open(
        self, view: str, *, headers: Mapping[str, str] | None = None, **query: object
    ) -> ClientConnection:
        """Opens a socket with a client that follows the protocol."""
        host, port = self.served.host, self.served.port
        connecting = connect(
            f"ws://{host}:{port}{self.path(view, **query)}",
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=PATIENCE,
            close_timeout=PATIENCE,
            additional_headers=headers,
        )
        return self._closing.enter_context(connecting)

    def open_raw(self, view: str, behind_handshake: bytes = b"", **query: object) -> RawClient:
        """Opens a socket with a client that sends bytes."""
        client = RawClient(self, self.path(view, **query), behind_handshake)  # type: ignore[arg-type]
        self._closing.callback(client.close)
        return client

    def connect(self) -> socket.socket:
        """A TCP connection."""
        return socket.create_connection((self.served.host, self.served.port), PATIENCE)

    def get(self, view: str, headers: Mapping[str, str] | None = None, **query: object) -> Any:
        """A plain GET on a connection of its own: the response, read, with its body in ``text``."""
        connection = http.client.HTTPConnection(self.served.host, self.served.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", self.path(view, **query), headers=dict(headers or {}))
            response: Any = connection.getresponse()
            response.text = response.read().decode()
        return response

    def report(self) -> list[Any]:
        """The next report of the case's views."""
        observations: list[Any] = json.loads(self._mailbox.recv(1 << 20))
        return observations

    def may_say(self, line: str) -> None:
        """A line on stderr that would be right."""
        self.served.expected.append(line)

    def expect_lines(self, first: str, last: str) -> list[str]:
        """The lines on stderr from one that contains ``first`` to the next with ``last``, which are right."""
        stderr = self.served.running.stderr
        start = stderr.wait_for(re.escape(first), self.before[1], PATIENCE).string
        begin = stderr.lines.index(start, self.before[1])
        end = stderr.lines.index(stderr.wait_for(re.escape(last), begin, PATIENCE).string, begin)
        lines = stderr.lines[begin : end + 1]
        self.served.expected += lines
        return lines


@pytest.fixture(scope="session")
def contract_project() -> Iterator[Project]:
    """The project before it is put under a server, with its database."""
    # Unlike pytest's own folders one whose name is short enough for the address of a unix socket.
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        project = Project(Path(folder) / "template")
        shutil.copytree(VIEWS, project.folder / "views")
        project.write("project/urls.py", URLS)
        migrated = project.manage("migrate", "--verbosity", "0")
        assert migrated.returncode == 0, migrated.stderr
        yield project
        project.close()


def serve(server: Server, project: Project, number: int) -> Served:
    """Starts a server."""
    if missing := server.missing():
        pytest.skip(f"{server.name}: {', '.join(missing)} is not installed")
    served = Served(server, project, project.folder.parent / str(number))
    try:
        served.wait_until_up()
    except BaseException:
        served.running.end()
        raise
    return served


@pytest.fixture(scope="session", params=SERVERS, ids=lambda server: server.name.replace(" ", "-"))
def served(request: pytest.FixtureRequest, contract_project: Project) -> Iterator[Served]:
    """The project under each server in turn."""
    running = serve(request.param, contract_project, SERVERS.index(request.param))
    yield running
    running.stop()
    assert running.unexpected() == []


@pytest.fixture
def talk(served: Served) -> Iterator[Talk]:
    """Connections to a server; afterwards the server has said nothing that a case did not expect."""
    with tempfile.TemporaryDirectory(prefix="talk-") as folder, ExitStack() as closing:
        yield Talk(served, Path(folder), closing)
    lines = served.unexpected()
    # One case answers for a line, not each that follows.
    served.expected += lines
    assert lines == []


@pytest.fixture
def another(served: Served, contract_project: Project) -> Iterator[Served]:
    """A second process of the same server, for a case that ends it."""
    more = serve(served.server, contract_project, len(SERVERS) + SERVERS.index(served.server))
    yield more
    more.running.end()
    shutil.rmtree(contract_project.folder.parent / str(len(SERVERS) + SERVERS.index(served.server)))
