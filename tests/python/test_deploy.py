"""The files of examples/deploy are those of the README, and do what they are for."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from gunicorns import Gunicorn, Start, talk_over_unix
from nginx import TOP, blocks
from projects import START_SECONDS, Project

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

DEPLOY = TOP / "examples" / "deploy"
GUNICORN = str(Path(sys.executable).with_name("gunicorn"))


def unit() -> configparser.SectionProxy:
    """The section Service of the unit, its lines joined."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(re.sub(r"\\\n\s*", "", (DEPLOY / "project.service").read_text()))
    return parser["Service"]


def commands() -> dict[str, list[str]]:
    """The gunicorn command lines, by file."""
    dockerfile = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    (command,) = re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE)
    return {"project.service": shlex.split(unit()["ExecStart"]), "Dockerfile": json.loads(command)}


@pytest.mark.parametrize(
    ("language", "name"),
    [("nginx", "nginx.conf"), ("ini", "project.service"), ("dockerfile", "Dockerfile")],
)
def test_the_readme_shows_the_file(language: str, name: str) -> None:
    assert blocks(language) == [(DEPLOY / name).read_text()]


@pytest.mark.parametrize("name", ["project.service", "Dockerfile"])
def test_gunicorn_takes_the_command_line(project: Project, name: str) -> None:
    command = commands()[name]
    assert Path(command[0]).name == "gunicorn"
    assert "dwebsocket.gunicorn.Worker" in command
    outcome = subprocess.run(
        [GUNICORN, *command[1:], "--check-config"],
        cwd=project.folder,
        env=project._environ(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_unit_leaves_time_to_drain() -> None:
    service, command = unit(), commands()["project.service"]
    graceful = int(command[command.index("--graceful-timeout") + 1])
    assert int(service["TimeoutStopSec"]) > graceful
    # Otherwise systemd would send the workers SIGTERM as well, from whom they would take it for a stop.
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    folder = f"/run/{service['RuntimeDirectory']}/"
    assert f"unix:{folder}gunicorn.sock" in command


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs the Debian package systemd")
    text = (DEPLOY / "project.service").read_text()
    installed = "/srv/project/.venv/bin/gunicorn"
    assert installed in text
    path = tmp_path / "project.service"
    path.write_text(text.replace(installed, GUNICORN))
    outcome = subprocess.run(
        [program, "verify", str(path)], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_gunicorn_tells_systemd_when_it_is_up(gunicorn: Start, project: Project) -> None:
    assert unit()["Type"] == "notify"
    _, *options, _ = commands()["project.service"]
    with (
        tempfile.TemporaryDirectory(prefix="gunicorn-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(f"{folder}/notify")
        systemd.settimeout(START_SECONDS)
        path = f"{folder}/gunicorn.sock"
        options = [option.replace("/run/project/gunicorn.sock", path) for option in options]
        running: Gunicorn = gunicorn(*options, wait=False, NOTIFY_SOCKET=f"{folder}/notify")
        told = systemd.recv(4096).decode()
        assert "READY=1" in told
        assert f"unix:{path}" in running.stderr.wait_for("Listening at").string
        # It listens then, though its workers may still be starting.
        request = b"GET /echo/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert talk_over_unix(path, request).endswith(b"\r\n\r\nhttp")
        running.stop()
