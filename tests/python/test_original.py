"""dwebsocket 0.5.12 and ours play the same scenarios: what differs is listed with its reason, or fails.

The servers of both write what they log, and what was seen, into target/original/observed.
"""

from __future__ import annotations

import runpy
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from original.player import Outcome, play_all
from original.scenario import SCENARIOS

TOP = Path(__file__).parents[2]
FOLDER = TOP / "target" / "original"
PYTHON = FOLDER / "venv" / "bin" / "python"
TABLE = tomllib.loads((Path(__file__).parent / "original" / "differences.toml").read_text(encoding="utf-8"))
LISTED: list[dict[str, Any]] = [seen for difference in TABLE["difference"] for seen in difference["seen"]]
NOTHING = "nothing"
"""What one side of a comparison sees where only the other sees something."""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (FOLDER / "venv" / ".ready").exists() and sys.version_info[:2] != (3, 11),
        reason="dwebsocket 0.5.12 needs a CPython 3.11, which is not on this machine",
    ),
]


def runserver(python: str | Path) -> Callable[[str], list[str]]:
    return lambda project: [str(python), "-m", "django", "runserver", "--noreload", "127.0.0.1:0"]


def gunicorn(python: str | Path) -> Callable[[str], list[str]]:
    options = ["--worker-class", "gthread", "--threads", "64", "--bind", "127.0.0.1:0", "--no-control-socket"]
    return lambda project: [str(python), "-m", "gunicorn", *options, "original.site:application"]


SERVERS = {
    "runserver": runserver(PYTHON),
    "gunicorn": gunicorn(PYTHON),
    "ours under runserver": runserver(sys.executable),
    "ours under gunicorn": gunicorn(sys.executable),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Outcome]]:
    """What was seen, by server and scenario."""
    assert PYTHON.exists(), "run `make original` first"
    return play_all(SERVERS, FOLDER / "observed")


def agree(original: Any, ours: Any) -> bool:
    """Whether it is the same value, or an exception that is caught by the original's name."""
    if isinstance(original, list) and isinstance(ours, list) and original:
        return original[0] in ours
    return bool(original == ours)


def values(seen: dict[str, Any], server: str) -> tuple[Any, Any]:
    """What the table has for the original and for ours under a server."""
    if server == "runserver":
        return seen["original"], seen["ours"]
    return seen.get("gunicorn", seen["original"]), seen.get("ours_gunicorn", seen["ours"])


@pytest.mark.parametrize("server", ["runserver", "gunicorn"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_the_original_does_ours_does_but_for_what_is_listed(
    outcomes: dict[str, dict[str, Outcome]], scenario: str, server: str
) -> None:
    original, ours = outcomes[server][scenario], outcomes[f"ours under {server}"][scenario]
    for outcome in (original, ours):
        if isinstance(outcome, BaseException):
            raise outcome
    expected = {seen["saw"]: values(seen, server) for seen in LISTED if seen["scenario"] == scenario}
    for saw in dict.fromkeys([*original, *ours, *expected]):
        both = (original.get(saw, NOTHING), ours.get(saw, NOTHING))
        if saw in expected:
            assert both == expected[saw], f"{saw}: the table says otherwise"
        else:
            assert agree(*both), f"{saw}: a difference that is not in the table"


def test_ours_logs_what_a_view_raises_and_nothing_else(outcomes: dict[str, dict[str, Outcome]]) -> None:
    logs = {log.stem: log.read_text(errors="replace") for log in (FOLDER / "observed").glob("*.log")}
    # The original's gunicorn finds its socket closed after every view.
    assert logs["gunicorn-plain"].count("Bad file descriptor") > 50
    for server in ("runserver", "gunicorn"):
        ours = logs[f"ours-under-{server}-plain"]
        assert ours.count("Traceback (most recent call last)") == 1
        assert "LookupError: in the view" in ours
        assert "Bad file descriptor" not in ours
        for project in ("middleware", "accept_all"):
            assert "Traceback" not in logs[f"ours-under-{server}-{project}"]


def test_every_listed_difference_is_one() -> None:
    for seen in LISTED:
        assert not (agree(*values(seen, "runserver")) and agree(*values(seen, "gunicorn"))), seen
        assert seen["scenario"] in SCENARIOS


def test_each_difference_is_listed_once() -> None:
    keys = [(seen["scenario"], seen["saw"]) for seen in LISTED]
    assert len(keys) == len(set(keys))


def test_every_scenario_has_its_client() -> None:
    assert [one.name for one in SCENARIOS.values() if one.client is None] == []


def test_the_page_is_made_of_the_table() -> None:
    page = runpy.run_path(str(TOP / "scripts" / "differences.py"))["page"](len(SCENARIOS))
    assert page == (TOP / "DIFFERENCES.md").read_text(encoding="utf-8"), (
        "run `.venv/bin/python scripts/differences.py > DIFFERENCES.md`"
    )
