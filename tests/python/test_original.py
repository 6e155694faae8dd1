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
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (FOLDER / "venv" / ".ready").exists() and sys.version_info[:2] != (3, 11),
        reason="dwebsocket 0.5.12 needs a CPython 3.11, which is not on this machine",
    ),
]


def runserver(python: str | Path) -> Callable[[str], list[str]]:
    return lambda project: [str(python), "-m", "django", "runserver", "--noreload", "127.0.0.1:0"]


def gunicorn(project: str) -> list[str]:
    options = ["--worker-class", "gthread", "--threads", "64", "--bind", "127.0.0.1:0"]
    return [str(PYTHON), "-m", "gunicorn", *options, "original.site:application"]


SERVERS = {"runserver": runserver(PYTHON), "gunicorn": gunicorn, "ours": runserver(sys.executable)}


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


def listed(scenario: str, server: str) -> dict[str, tuple[Any, Any]]:
    """The values of both that the table has for a scenario, by what was seen."""
    return {
        seen["saw"]: (seen.get(server, seen["original"]), seen["ours"])
        for seen in LISTED
        if seen["scenario"] == scenario
    }


@pytest.mark.parametrize("server", ["runserver", "gunicorn"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_the_original_does_ours_does_but_for_what_is_listed(
    outcomes: dict[str, dict[str, Outcome]], scenario: str, server: str
) -> None:
    original, ours = outcomes[server][scenario], outcomes["ours"][scenario]
    for outcome in (original, ours):
        if isinstance(outcome, BaseException):
            raise outcome
    expected = listed(scenario, server)
    for saw in dict.fromkeys([*original, *ours, *expected]):
        values = (original.get(saw, NOTHING), ours.get(saw, NOTHING))
        if saw in expected:
            assert values == expected[saw], f"{saw}: the table says otherwise"
        else:
            assert agree(*values), f"{saw}: a difference that is not in the table"


def test_every_listed_difference_is_one() -> None:
    for seen in LISTED:
        values = (seen["original"], seen.get("gunicorn", seen["original"]))
        assert not all(agree(value, seen["ours"]) for value in values), seen
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
