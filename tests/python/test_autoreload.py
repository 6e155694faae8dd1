"""`manage.py runserver` that restarts or ends while sockets are open."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import ExitStack

import pytest
from projects import URLS, VIEWS, Project, Running
from sites import close_of

PROMPT_SECONDS = 2.0
"""Within this the server ends, or is up again, unless others keep the machine busy."""


LOG_OF_RELOADER = """
from django.utils.log import DEFAULT_LOGGING as LOGGING
LOGGING["filters"]["views"] = {
    "()": "django.utils.log.CallbackFilter",
    "callback": lambda record: "first seen" in record.msg and record.args[0] == BASE_DIR / "views.py",
}
LOGGING["handlers"]["reloader"] = {"class": "logging.StreamHandler", "filters": ["views"]}
LOGGING["loggers"]["django.utils.autoreload"] = {
    "handlers": ["reloader"],
    "level": "DEBUG",
    "propagate": False,
}
"""
WATCHED = r"/views\.py first seen with mtime"


def start_watched(project: Project) -> Running:
    """Starts with autoreload, and waits until it watches the views."""
    project.settings(LOG_OF_RELOADER)
    running = project.start().wait_until_up()
    running.stderr.wait_for(WATCHED)
    return running


def start_seconds(project: Project) -> float:
    """How long it takes to load the project: under a second, unless others keep the machine busy."""
    begin = time.monotonic()
    assert project.manage("check").returncode == 0
    return time.monotonic() - begin


def prompt_seconds(project: Project) -> float:
    """What is prompt on this machine as busy as it is."""
    return max(PROMPT_SECONDS, 1 + 2 * start_seconds(project))


@pytest.mark.alone
def test_a_change_restarts_within_two_seconds_and_clients_see_1012(echo_project: Project) -> None:
    running = start_watched(echo_project)
    took = []
    for body in ("first", "second", "third"):
        known, known_errors = len(running.stdout.lines), len(running.stderr.lines)
        with running.connect("/echo/") as client:
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
            echo_project.change("views.py", VIEWS.replace('"http"', f'"{body}"'))
            begin = time.monotonic()
            assert close_of(client) == (1012, "")
            running.wait_until_up(after=known)
            assert running.get("/echo/") == (200, body.encode())
            took.append(time.monotonic() - begin)
        running.stderr.wait_for(WATCHED, after=known_errors)
    assert min(took) < prompt_seconds(echo_project), took
    with running.connect("/echo/") as client:
        client.send("again")
        assert client.recv(timeout=10) == "again"
    assert [line for line in running.unexpected() if "first seen" not in line] == []


def test_a_syntax_error_is_shown_and_its_repair_restarts(echo_project: Project) -> None:
    running = start_watched(echo_project)
    known, known_errors = len(running.stdout.lines), len(running.stderr.lines)
    echo_project.change("views.py", "def")
    running.stderr.wait_for("SyntaxError", after=known_errors)
    running.stderr.wait_for(WATCHED, after=known_errors)
    echo_project.change("views.py", VIEWS)
    running.wait_until_up(after=known)
    assert running.get("/echo/") == (200, b"http")


@pytest.mark.alone
@pytest.mark.parametrize("reload", [False, True], ids=["noreload", "autoreload"])
@pytest.mark.parametrize("by", ["interrupt", "terminate"])
def test_an_end_with_open_sockets_is_prompt_quiet_and_says_1001(
    echo_project: Project, by: str, reload: bool
) -> None:
    running = echo_project.start(*([] if reload else ["--noreload"])).wait_until_up()
    with running.connect("/echo/") as first, running.connect("/echo/") as second:
        for client in (first, second):
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
        begin = time.monotonic()
        getattr(running, by)()
        assert close_of(first) == (1001, "")
        assert close_of(second) == (1001, "")
        status = running.wait()
    took = time.monotonic() - begin
    assert took < prompt_seconds(echo_project)
    assert status == (0 if reload or by == "interrupt" else -signal.SIGTERM)
    assert [line for line in running.unexpected() if "Watching for file changes" not in line] == []


@pytest.mark.alone
def test_an_end_with_a_view_that_never_returns_is_prompt(echo_project: Project) -> None:
    echo_project.write(
        "views.py", VIEWS + "\ndef stuck(request):\n    import threading\n    threading.Event().wait()\n"
    )
    echo_project.urls(*URLS, 'path("stuck/", views.stuck)')
    running = echo_project.run()
    with (
        socket.create_connection((running.host, running.port), timeout=10) as stuck,
        running.connect("/echo/"),
    ):
        stuck.sendall(b"GET /stuck/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begin = time.monotonic()
        running.interrupt()
        assert running.wait() == 0
    took = time.monotonic() - begin
    assert took < prompt_seconds(echo_project)
    assert running.unexpected() == []


def test_start_and_end_with_open_sockets_again_and_again(echo_project: Project) -> None:
    for number in range(4):
        running = echo_project.run()
        with ExitStack() as stack:
            clients = [stack.enter_context(running.connect("/echo/")) for _ in range(3)]
            running.interrupt() if number % 2 else running.terminate()
            assert running.wait() == (0 if number % 2 else -signal.SIGTERM)
            assert [close_of(client) for client in clients] == [(1001, "")] * 3
        assert running.unexpected() == []
