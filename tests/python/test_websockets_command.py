"""``manage.py websockets``: what it shows, how it reaches the servers, and who is kept out."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from descriptors import open_descriptors
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject
from dwebsocket import accept_websocket, control, introspection, watch
from dwebsocket.management.commands.websockets import duration, quantity, table
from foreign import Start as Serve
from projects import Project
from serving import PATIENCE
from sites import Site
from sockets import until
from test_fork import in_child

Start = Callable[..., Site]


@accept_websocket
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


@accept_websocket
def deaf(request: Any, name: str) -> None:
    """Takes nothing until it is told to stop."""
    request.user = User(username="änne")
    request.websocket.send("open")
    while request.websocket.close_code is None:
        request.websocket._connection.wait_closed(0.01)


VIEWS = (path("echo/", echo), path("deaf/<str:name>/", deaf))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A control folder, with a name too long for the address of a socket."""
    chosen = tmp_path / ("control-" + 100 * "x")
    with override_settings(WEBSOCKET_CONTROL_DIR=str(chosen)):
        yield chosen


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("websockets", *arguments, stdout=output, stderr=output)
    return output.getvalue()


def listed() -> list[dict[str, Any]]:
    return json.loads(run("--json"))


def test_each_socket_is_a_line_with_what_it_did(folder: Path, site: Start) -> None:
    here = site(*VIEWS)
    pid = os.getpid()
    assert run() == f"0 WebSockets in 1 process ({pid})\n"
    assert listed() == []
    with here.connect("/echo/") as echoing, here.connect("/deaf/one/") as sending:
        for message in ("12345", "123"):
            echoing.send(message)
            assert echoing.recv(timeout=PATIENCE) == message
        assert sending.recv(timeout=PATIENCE) == "open"
        for _ in range(3):
            sending.send(bytes(1000))
        until(lambda: listed()[1]["inbox_messages"] == 3)
        until(lambda: [here["sent_messages"] for here in listed()] == [2, 1])
        first, second = listed()
        ages = [first.pop("age_seconds"), second.pop("age_seconds")]
        assert PATIENCE > ages[0] >= ages[1] > 0
        ports = [client.socket.getsockname()[1] for client in (echoing, sending)]
        identities = [first.pop("identity"), second.pop("identity")]
        assert identities[0] < identities[1]
        nothing = {"dropped_messages": 0, "outbox_messages": 0, "outbox_bytes": 0, "closing": None}
        assert first == nothing | {
            "pid": pid,
            "path": "/echo/",
            "user": None,
            "peer": f"127.0.0.1:{ports[0]}",
            "received_messages": 2,
            "received_bytes": 8,
            "sent_messages": 2,
            "sent_bytes": 12,
            "inbox_messages": 0,
            "inbox_bytes": 0,
        }
        assert second == nothing | {
            "pid": pid,
            "path": "/deaf/one/",
            "user": "änne",
            "peer": f"127.0.0.1:{ports[1]}",
            "received_messages": 3,
            "received_bytes": 3000,
            "sent_messages": 1,
            "sent_bytes": 6,
            "inbox_messages": 3,
            "inbox_bytes": 3000,
        }
        lines = run().splitlines()
        assert lines[0].split() == ["PID", "PATH", "USER", "PEER", "AGE", "IN", "OUT", "QUEUED"]
        row = [str(pid), "/echo/", "-", f"127.0.0.1:{ports[0]}", "2", "2", "0B"]
        assert [cell for cell in lines[1].split() if not re.fullmatch(r"\d+s", cell)] == row
        row = [str(pid), "/deaf/one/", "änne", f"127.0.0.1:{ports[1]}", "3", "1", "2.9K"]
        assert [cell for cell in lines[2].split() if not re.fullmatch(r"\d+s", cell)] == row
        assert lines[3:] == ["", f"2 WebSockets in 1 process ({pid})"]
        array = run("--json").splitlines()
        assert (array[0], array[-1], len(array)) == ("[", "]", 4), "one object a line"
    until(lambda: listed() == [])


def test_a_path_cannot_steer_the_terminal(folder: Path, site: Start) -> None:
    here = site(*VIEWS)
    with here.connect("/deaf/%1b%5b31m%0a/"):
        assert "/deaf/\\x1b[31m\\n/  " in run().splitlines()[1]


def test_a_server_has_a_socket_of_its_user_alone_while_it_runs(folder: Path, site: Start) -> None:
    here, other = site(*VIEWS), site(*VIEWS)
    assert [thread.name for thread in threading.enumerate()].count("dwebsocket-control") == 1
    (path,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    here.stop()
    assert run() == f"0 WebSockets in 1 process ({os.getpid()})\n", "another server of the process still runs"
    other.stop()
    assert list(folder.iterdir()) == []
    assert "dwebsocket-control" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(CommandError, match="No server of this project runs here"):
        run()
    with site(*VIEWS).connect("/echo/"):
        assert len(listed()) == 1, "a server that starts later is seen"


def test_a_setting_that_will_not_do_keeps_no_server_from_serving(
    site: Start, caplog: pytest.LogCaptureFixture
) -> None:
    here = site(*VIEWS, WEBSOCKET_CONTROL_DIR="here")
    (record,) = caplog.records
    assert record.getMessage() == (
        "manage.py websockets will not see this process: WEBSOCKET_CONTROL_DIR must be the absolute path of "
        "a folder, 'auto', or None, not 'here'."
    )
    with here.connect("/echo/"):
        pass


def test_without_a_folder_there_is_no_socket_and_the_command_says_so(site: Start) -> None:
    site(*VIEWS, WEBSOCKET_CONTROL_DIR=None)
    assert "dwebsocket-control" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(CommandError, match="WEBSOCKET_CONTROL_DIR is None"):
        run()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(
    folder: Path, site: Start, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    folder.chmod(mode)
    here = site(*VIEWS)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("dwebsocket.server", logging.WARNING)
    assert record.getMessage() == (
        f"manage.py websockets will not see this process: {folder} belongs to another user, or others may "
        "write to it"
    )
    assert list(folder.iterdir()) == []
    with here.connect("/echo/") as client:
        client.send("served all the same")
        assert client.recv(timeout=PATIENCE) == "served all the same"
    with pytest.raises(CommandError, match="belongs to another user, or others may write to it"):
        run()


def test_a_folder_of_another_user_is_not_used(
    folder: Path, site: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    site(*VIEWS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert list(folder.iterdir()) == []


def test_a_link_in_place_of_the_folder_is_not_followed(
    folder: Path, tmp_path: Path, site: Start, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    site(*VIEWS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert list(elsewhere.iterdir()) == []


def test_where_the_first_place_will_not_do_the_second_is_used(
    tmp_path: Path, site: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(control.tempfile, "gettempdir", lambda: str(tmp_path))
    here = site(*VIEWS, WEBSOCKET_CONTROL_DIR="auto")
    (folder,) = tmp_path.glob("dwebsocket-*")
    assert re.fullmatch(rf"dwebsocket-{os.getuid()}-[0-9a-f]{{12}}", folder.name)
    assert run() == f"0 WebSockets in 1 process ({os.getpid()})\n"
    here.stop()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    here = site(*VIEWS, WEBSOCKET_CONTROL_DIR="auto")
    assert len(list(tmp_path.glob("dwebsocket-*"))) == 2
    assert run() == f"0 WebSockets in 1 process ({os.getpid()})\n"
    folder.chmod(0o777)
    assert run().splitlines() == [
        f"{folder} belongs to another user, or others may write to it",
        f"0 WebSockets in 1 process ({os.getpid()})",
    ], "the other place is looked into all the same"


def test_the_folder_is_that_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(WEBSOCKET_CONTROL_DIR="auto", BASE_DIR="/srv/one"):
        one = control.folders()
    with override_settings(WEBSOCKET_CONTROL_DIR="auto", BASE_DIR="/srv/two"):
        two = control.folders()
    assert not set(one) & set(two)


def test_a_socket_that_a_killed_process_has_left_is_removed(folder: Path, site: Start) -> None:
    here = site(*VIEWS)
    left = folder / "1-1.socket"
    with socket.socket(socket.AF_UNIX) as dead, control.opened(str(folder)) as short:
        dead.bind(f"{short}/{left.name}")
    assert run() == f"0 WebSockets in 1 process ({os.getpid()})\n"
    assert not left.exists()
    here.stop()
    with socket.socket(socket.AF_UNIX) as dead, control.opened(str(folder)) as short:
        dead.bind(f"{short}/{left.name}")
    site(*VIEWS)
    assert not left.exists(), "the next server removes it as well"


def test_who_asks_and_leaves_at_once_brings_no_sigpipe(folder: Path, site: Start) -> None:
    # uWSGI handles the signal, and logs it.
    heard: list[int] = []
    before = signal.signal(signal.SIGPIPE, lambda number, _: heard.append(number))
    try:
        site(*VIEWS)
        with control.opened(str(folder)) as here:
            for _ in range(20):
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.connect(f"{here}/{next(folder.iterdir()).name}")
        assert listed() == [], "it has answered all those before"
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert heard == []


def test_a_process_that_does_not_answer_is_named(
    folder: Path, site: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(*VIEWS)
    with socket.socket(socket.AF_UNIX) as silent, control.opened(str(folder)) as short:
        silent.bind(f"{short}/4711-1.socket")
        silent.listen()
        monkeypatch.setattr(control, "ANSWER_SECONDS", 2.0)
        lines = run().splitlines()
        (folder / "4711-1.socket").unlink()
    assert lines == [
        "Process 4711 did not answer within 2 s.",
        f"0 WebSockets in 1 process ({os.getpid()})",
    ]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_neither_answers_nor_removes_the_parents_socket(folder: Path, site: Start) -> None:
    site(*VIEWS)
    (path,) = folder.iterdir()
    inode = path.stat().st_ino

    def look() -> None:
        with open("/proc/self/net/unix", encoding="utf-8") as table:
            bound = {f"socket:[{line.split()[6]}]" for line in table if f"/{os.getppid()}-" in line}
        assert bound
        assert not bound & {target for _, target in open_descriptors()}
        watch.begin(watch.ADOPTED)
        assert len(list(folder.iterdir())) == 2
        watch.end(watch.ADOPTED)
        assert [left.stat().st_ino for left in folder.iterdir()] == [inode]

    assert in_child(look) == 0
    assert run() == f"0 WebSockets in 1 process ({os.getpid()})\n"


class Request:
    """As much of a request as a label looks at."""

    path = "/"

    def __init__(self, **known: Any) -> None:
        self.__dict__.update(known)


def never() -> None:
    raise AssertionError("the user was loaded")


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({}, None),
        ({"user": SimpleLazyObject(never)}, None),
        ({"user": SimpleLazyObject(never), "_cached_user": User(username="bob")}, "bob"),
        ({"user": User(username="bob")}, "bob"),
        ({"user": AnonymousUser()}, None),
        ({"user": Request(username="bob")}, "bob"),
        ({"user": None}, None),
    ],
)
def test_a_user_is_named_only_where_the_request_knows_it(known: dict[str, Any], name: str | None) -> None:
    request = Request(**known)
    label = introspection.Label(request)
    assert label.user == name


def test_a_user_who_has_been_loaded_lazily_is_named_and_the_request_is_not_kept() -> None:
    request = Request(user=SimpleLazyObject(lambda: User(username="bob")))
    label = introspection.Label(request)
    assert label.user is None
    assert request.user.is_authenticated
    assert label.user == "bob"
    del request
    assert (label.user, label.path) == (None, "/")


def row(**values: Any) -> dict[str, Any]:
    return {
        "pid": 4711,
        "path": "/chat/rooms/a-room-with-a-long-name/",
        "user": "somebody@example.com",
        "peer": "[2001:db8:85a3::8a2e:370:7334]:60124",
        "age_seconds": 7500.0,
        "received_messages": 1234,
        "sent_messages": 56_789,
        "inbox_bytes": 0,
        "outbox_bytes": 5 << 20,
    } | values


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_lines_fit_into_the_terminal(width: int) -> None:
    lines = table([row(), row(path="/", user=None), row(user="山田太郎" * 5)], width)
    cells = [sum(2 if ord(letter) > 0x2E80 else 1 for letter in line) for line in lines]
    assert max(cells) <= width
    assert len(set(cells)) == 1, "the last column is flush"
    assert lines[1].endswith(" 2h05m  1.2k  56k    5.0M")


def test_lines_for_a_program_are_not_cut() -> None:
    lines = table([row()], None)
    assert lines[1].split() == [
        "4711",
        "/chat/rooms/a-room-with-a-long-name/",
        "somebody@example.com",
        "[2001:db8:85a3::8a2e:370:7334]:60124",
        "2h05m",
        "1.2k",
        "56k",
        "5.0M",
    ]


def test_times_and_quantities_are_short() -> None:
    times = {0.9: "0s", 59: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 86_399: "23h59m"}
    assert {seconds: duration(seconds) for seconds in times} == times
    assert duration(5 * 86_400 + 3 * 3600) == "5d03h"
    numbers = {0: "0", 999: "999", 1000: "1.0k", 9999: "9.9k", 10_000: "10k", 999_999: "999k", 10**6: "1.0M"}
    assert {number: quantity(number) for number in numbers} == numbers
    sizes = {0: "0B", 1023: "1023B", 1024: "1.0K", 4 << 20: "4.0M", 3 << 40: "3.0T"}
    assert {size: quantity(size, "B") for size in sizes} == sizes


def command(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return project.manage("websockets", *arguments)


def sockets_of(project: Project) -> list[dict[str, Any]]:
    told = command(project, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    return json.loads(told.stdout)


def test_runserver_with_autoreload_is_seen_until_it_ends(echo_project: Project) -> None:
    none = command(echo_project)
    assert (none.returncode, none.stdout) == (1, "")
    assert re.match(
        "CommandError: No server of this project runs here .settings project.settings,", none.stderr
    )
    running = echo_project.start().wait_until_up()
    with running.connect("/echo/"), running.connect("/push/"):
        told = command(echo_project)
        assert (told.returncode, told.stderr) == (0, "")
        rows = [line.split() for line in told.stdout.splitlines()]
        assert [row[1] for row in rows[1:3]] == ["/echo/", "/push/"]
        assert rows[1][0] == rows[2][0] != str(running.process.pid), "it is the child that serves"
    until(lambda: sockets_of(echo_project) == [])
    running.interrupt()
    running.wait()
    assert command(echo_project).returncode == 1
    (folder,) = echo_project.folder.parent.glob("dwebsocket-*")
    assert list(folder.iterdir()) == []


PID_VIEW = """
import os
from dwebsocket import require_websocket

@require_websocket
def who(request):
    request.websocket.send(str(os.getpid()))
    request.websocket.wait()
"""


def test_every_worker_of_gunicorn_is_asked_and_one_that_was_killed_is_forgotten(
    foreign_project: Project, serve_with: Serve
) -> None:
    foreign_project.settings('INSTALLED_APPS.insert(0, "dwebsocket")')
    foreign_project.write("who.py", PID_VIEW)
    foreign_project.urls('path("who/", __import__("who").who)')
    running = serve_with("gthread", "--workers", "2", "--threads", "30")
    clients: dict[int, Any] = {}
    with ExitStack() as stack:
        # The kernel gives a connection to whichever worker asks first, and there may be only one yet:
        # of each the first is kept, so that its threads are never all taken.
        while len(clients) < 2:
            client = stack.enter_context(running.connect("/who/"))
            if clients.setdefault(int(client.recv(timeout=PATIENCE)), client) is not client:
                client.close()
        pids = list(clients)
        until(lambda: sorted(socket["pid"] for socket in sockets_of(foreign_project)) == sorted(pids))
        told = sockets_of(foreign_project)
        ports = {client.socket.getsockname()[1] for client in clients.values()}
        assert {int(socket["peer"].rpartition(":")[2]) for socket in told} == ports
        assert {socket["path"] for socket in told} == {"/who/"}
        assert f"in 2 processes ({min(pids)}, {max(pids)})" in command(foreign_project).stdout
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: {socket["pid"] for socket in sockets_of(foreign_project)} == {pids[-1]})
    running.stop()
    (folder,) = foreign_project.folder.parent.glob("dwebsocket-*")
    assert list(folder.iterdir()) == []
