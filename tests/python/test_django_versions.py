"""Whatever Django is installed: nothing of ours is deprecated there, and a new project needs one line."""

from __future__ import annotations

import subprocess
import sys

import django
import pytest
from projects import Project
from sites import close_of

MODULES = """
import dwebsocket.apps, dwebsocket.checks, dwebsocket.conf, dwebsocket.decorators, dwebsocket.factory
import dwebsocket.handover, dwebsocket.middleware, dwebsocket.server, dwebsocket.websocket
import dwebsocket.backends.default.factory, dwebsocket.backends.default.protocols
import dwebsocket.backends.default.websocket, dwebsocket.backends.uwsgi.factory
"""


def test_every_module_is_imported_without_a_warning() -> None:
    command = [sys.executable, "-W", "error", "-c", MODULES]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_new_project_passes_djangos_checks_with_one_line_more(project: Project) -> None:
    result = project.manage("check", "--fail-level", "WARNING")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "System check identified no issues (0 silenced).\n"


def test_no_migration_is_missing(project: Project) -> None:
    result = project.manage("makemigrations", "--check", "--dry-run")
    assert (result.returncode, result.stdout) == (0, "No changes detected\n")


def test_a_handshake_passes_through_every_middleware_of_a_new_project(echo_project: Project) -> None:
    echo_project.settings('MIDDLEWARE = [*MIDDLEWARE, "dwebsocket.middleware.WebSocketMiddleware"]')
    running = echo_project.run()
    with running.connect("/echo/") as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"
    running.stderr.wait_for("closed 1000 by the client")
    assert running.unexpected() == []


def test_a_socket_that_its_view_leaves_closes_with_1000(echo_project: Project) -> None:
    echo_project.write(
        "views.py",
        "from dwebsocket import require_websocket\n\n@require_websocket\ndef echo(request):\n    pass\n",
    )
    echo_project.urls('path("echo/", views.echo)')
    running = echo_project.run()
    with running.connect("/echo/") as client:
        assert close_of(client) == (1000, "")
    assert running.get("/echo/")[0] == 400
    running.stderr.wait_for("closed 1000 by the server")
    running.stderr.wait_for("Bad Request")
    assert running.unexpected() == ["Bad Request: /echo/"]


@pytest.mark.skipif(
    django.VERSION < (4, 2), reason="the warning came with Django 5.2, its switch does no harm"
)
def test_djangos_own_warning_about_production_is_kept(echo_project: Project) -> None:
    running = echo_project.start("--noreload", DJANGO_RUNSERVER_HIDE_WARNING="").wait_until_up()
    running.stdout.wait_for("^WebSockets are served by")
    warned = any("This is a development server" in line for line in running.stdout.lines)
    assert warned is (django.VERSION >= (5, 2))
