"""Projects made by `startproject`, served by `manage.py runserver` or another server, in its own process."""

from __future__ import annotations

import functools
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import django
import pytest
from websockets.sync.client import ClientConnection, connect

START_SECONDS = 60
ADDRESS = re.compile(r"Starting (?:WSGI )?development server at (http://(.+):(\d+)/)")
FOREIGN_ADDRESS = re.compile(r"\b127\.0\.0\.1:([1-9]\d*)")
"""How a server that is not ours tells where it listens."""

VIEWS = """
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
def push(request):
    request.websocket.send("open")
    request.websocket.wait()
    raise LookupError("in the socket's view")

def broken(request):
    raise LookupError("in the plain view")
"""
URLS = ('path("echo/", views.echo)', 'path("push/", views.push)', 'path("broken/", views.broken)')
"""What the `site` fixture of several test files serves."""

REQUEST_LINE = re.compile(r'^\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "')


class Stream:
    """The lines of a pipe, as they come."""

    def __init__(self, pipe: IO[str]) -> None:
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), name="test-stream", daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._more:
                    self.lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(
        self, pattern: str | re.Pattern[str], after: int = 0, timeout: float = START_SECONDS
    ) -> re.Match[str]:
        """The first match in a line whose index is at least `after`, which may still be to come."""
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                for line in self.lines[after:]:
                    if match := re.search(pattern, line):
                        return match
                after = max(after, len(self.lines))
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise AssertionError(f"no line like {pattern!r} in {self.lines[-30:]}")
                self._more.wait(left)

    def join(self) -> None:
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive(), "somebody still holds the pipe open"


class Running:
    """A server of a project, most often `manage.py runserver`."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        # A session of its own: what a terminal's Ctrl-C reaches can be reached by its process group.
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Stream(self.process.stdout)
        self.stderr = Stream(self.process.stderr)
        self.url = ""
        self.host = ""
        self.port = 0

    def wait_until_up(self, after: int = 0) -> Running:
        """Waits for Django's banner (in lines from `after` on) and takes the address from it."""
        match = self.stdout.wait_for(ADDRESS, after)
        self.url, self.host, self.port = match[1], match[2], int(match[3])
        if django.VERSION < (4, 2):
            wait_until_it_listens(self.host, self.port)
        return self

    def wait_for_port(self, address: str | re.Pattern[str]) -> Running:
        """Waits for a line on stderr in which the pattern's first group is a port on 127.0.0.1."""
        match = self.stderr.wait_for(address)
        self.host, self.port = "127.0.0.1", int(match[1])
        self.url = f"http://{self.host}:{self.port}/"
        return self

    def connect(self, path: str, **options: object) -> ClientConnection:
        url = self.url.replace("http", "ws", 1).rstrip("/")
        return connect(f"{url}{path}", **{"compression": None, "open_timeout": START_SECONDS, **options})

    def get(self, path: str) -> tuple[int, bytes]:
        """A plain GET on a connection of its own: status and body."""
        connection = http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=START_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def unexpected(self) -> list[str]:
        """Lines on stderr that are no request lines."""
        return [line for line in self.stderr.lines if not REQUEST_LINE.match(line)]

    def interrupt(self) -> None:
        """What Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def terminate(self) -> None:
        """What a supervisor does: SIGTERM for the process it started."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = START_SECONDS) -> int:
        """The exit status, once every line has been read."""
        status = self.process.wait(timeout)
        self.stdout.join()
        self.stderr.join()
        return status

    def end(self) -> None:
        """Ends it whatever state it is in."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.stdout.join()
        self.stderr.join()


@functools.cache
def started_project() -> dict[str, tuple[bytes, int]]:
    """What `startproject` makes, once for all tests of a process: content and mode of each file."""
    environ = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    with tempfile.TemporaryDirectory(prefix="dwebsocket-project-") as folder:
        command = [sys.executable, "-m", "django", "startproject", "project", folder]
        subprocess.run(command, env=environ, check=True, timeout=60)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files}


class Project:
    """A project as `startproject` leaves it, with our app first in INSTALLED_APPS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        for name, (content, mode) in started_project().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
        self.settings('INSTALLED_APPS = ["dwebsocket", *INSTALLED_APPS]')

    def settings(self, source: str) -> None:
        """Adds lines to settings.py."""
        with (self.folder / "project" / "settings.py").open("a", encoding="utf-8") as file:
            file.write(f"\n{source}\n")

    def write(self, name: str, source: str) -> Path:
        """Writes a module beside manage.py."""
        path = self.folder / name
        path.write_text(source, encoding="utf-8")
        return path

    def change(self, name: str, source: str) -> None:
        """Replaces a module at one stroke, by one that even a coarse clock shows to be newer."""
        path = self.folder / name
        newer = path.with_suffix(".new")
        newer.write_text(source, encoding="utf-8")
        modified = path.stat().st_mtime + 10
        os.utime(newer, (modified, modified))
        newer.replace(path)

    def urls(self, *entries: str, imports: str = "import views") -> None:
        """Makes urls.py of entries such as `path("echo/", views.echo)`."""
        lines = [
            imports,
            "from django.urls import path",
            "urlpatterns = [",
            *(f"    {entry}," for entry in entries),
            "]",
        ]
        self.write("project/urls.py", "\n".join(lines) + "\n")

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `manage.py` to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self._environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )

    def start(self, *options: str, address: str = "127.0.0.1:0", **environ: str) -> Running:
        """Starts runserver and returns at once."""
        if django.VERSION < (4, 2) and address.endswith(":0"):
            # Older ones print the address before they bind.
            address = f"{address[:-1]}{free_port()}"
        command = [sys.executable, "manage.py", "runserver", address, *options]
        running = Running(command, self.folder, {**self._environ(), **environ})
        self._stack.callback(running.end)
        return running

    def run(self, *options: str, **environ: str) -> Running:
        """Starts runserver without autoreload and waits until it is up."""
        return self.start("--noreload", *options, **environ).wait_until_up()

    def serve(self, *command: str, address: str | re.Pattern[str] = FOREIGN_ADDRESS) -> Running:
        """Starts a server that is not ours, on 127.0.0.1, and waits for the port that it tells of."""
        running = Running([*command], self.folder, self._environ())
        self._stack.callback(running.end)
        return running.wait_for_port(address)

    def close(self) -> None:
        self._stack.close()

    def _environ(self) -> dict[str, str]:
        ours = {"DJANGO_SETTINGS_MODULE", "RUN_MAIN"}
        return {
            **{name: value for name, value in os.environ.items() if name not in ours},
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_RUNSERVER_HIDE_WARNING": "true",
            # Where its servers have their control sockets.
            "XDG_RUNTIME_DIR": str(self.folder.parent),
        }


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A new project; its servers are ended after the test."""
    made = Project(tmp_path / "site")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def echo_project(project: Project) -> Project:
    """A project that serves VIEWS under URLS."""
    project.write("views.py", VIEWS)
    project.urls(*URLS)
    return project


def wait_until_it_listens(host: str, port: int) -> None:
    """For Django before 4.2, which says its address before it has bound it."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), port), 1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nothing listens on {host}:{port}"
            time.sleep(0.02)
        else:
            return


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
