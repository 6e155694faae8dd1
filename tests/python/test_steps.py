"""scripts/steps.sh, which `make check` is made of, with a make of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sockets import until

STEPS = Path(__file__).parents[2] / "scripts" / "steps.sh"

MAKE = """#!/usr/bin/env bash
echo "$*" >>calls
step=${!#}
echo "$step begins"
%s
echo "$step ends"
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Runs steps in a folder with two FIFOs: ``start(script, "one", "left+right")``."""
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "done")

    def run(script: str, *steps: str) -> subprocess.Popen[str]:
        make = tmp_path / "make"
        make.write_text(MAKE % script)
        make.chmod(0o755)
        return subprocess.Popen(
            # What is ignored stays ignored in a shell, as SIGHUP is below nohup.
            ["env", "--default-signal=HUP,INT,TERM", STEPS, make, *steps],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return run


def rows(output: str) -> list[str]:
    """What the table at the end names."""
    return re.findall(r"^==> +\d+  (.*)$", output, re.MULTILINE)


def test_steps_follow_each_other_and_take_the_core_as_the_first_has_built_it(
    start: Start, tmp_path: Path
) -> None:
    with start("", "build", "lint", "test") as steps:
        output, _ = steps.communicate(timeout=60)
    assert steps.returncode == 0
    assert output.startswith("build begins\nbuild ends\nlint begins\nlint ends\ntest begins\ntest ends\n==> ")
    assert rows(output) == ["build", "lint", "test", "in all"]
    assert (tmp_path / "calls").read_text() == "build\n-o core lint\n-o core test\n"


def test_no_step_follows_one_that_fails(start: Start, tmp_path: Path) -> None:
    with start('[ "$step" = build ] || exit 3', "build", "lint", "test") as steps:
        output, _ = steps.communicate(timeout=60)
    assert steps.returncode == 3
    assert rows(output) == ["build", "lint", "in all"]
    assert (tmp_path / "calls").read_text() == "build\n-o core lint\n"


# Each end of a FIFO waits until somebody opens the other: the right step begins and ends within the left one.
MEETING = """
case $step in
left) echo >begun; read -r <done ;;
right) read -r <begun; echo "right is within left"; %s ;;
esac
"""


def test_steps_side_by_side_run_at_once_and_are_shown_one_after_the_other(start: Start) -> None:
    with start(MEETING % "echo >done", "build", "left+right", "last") as steps:
        output, _ = steps.communicate(timeout=60)
    assert steps.returncode == 0, output
    assert "target/steps/left.log target/steps/right.log\n" in output
    assert "left begins\nleft ends\n" in output
    assert "right begins\nright is within left\nright ends\n" in output
    assert output.index("last begins") > max(output.index("left ends"), output.index("right ends"))
    assert sorted(rows(output)) == ["build", "in all", "last", "left, side by side", "right, side by side"]


def test_a_step_that_fails_side_by_side_fails_all_when_the_other_has_ended(start: Start) -> None:
    with start(MEETING % "echo >done; exit 4", "build", "left+right", "last") as steps:
        output, _ = steps.communicate(timeout=60)
    assert steps.returncode == 4, output
    assert "left begins\nleft ends\n" in output
    assert "right ends" not in output
    assert sorted(rows(output)) == ["build", "in all", "left, side by side", "right, side by side"]


@pytest.mark.parametrize(("name", "status"), [("SIGHUP", 129), ("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_steps_side_by_side(start: Start, tmp_path: Path, name: str, status: int) -> None:
    jobs = tmp_path / "jobs"
    jobs.touch()
    hang = '[ "$step" = build ] || { echo $$ >>jobs; exec sleep 600; }'
    with start(hang, "build", "left+right", "last") as steps:
        until(lambda: jobs.read_text().count("\n") == 2)
        # As a terminal does, to whose process group the steps side by side do not belong.
        os.killpg(steps.pid, signal.Signals[name])
        output, _ = steps.communicate(timeout=60)
    assert steps.returncode == status, output
    assert sorted(rows(output)) == ["build", "in all", "left, side by side", "right, side by side"]
    for job in jobs.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(job), 0)
