"""The comparison of instruction counts: nothing is counted here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "bench_instructions", Path(__file__).parents[2] / "benches" / "instructions.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
instructions = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(instructions)

HERE = {"rustc": "1.95.0", "target": "x86_64-unknown-linux-gnu"}
COMMITTED = {**HERE, "instructions_per_message": {"single": 1000.0, "burst": 500.0}}


@pytest.mark.parametrize("single", [950.0, 1000.0, 1050.0])
def test_a_count_within_five_per_cent_is_right(single: float):
    lines, is_right = instructions.compare(COMMITTED, {"single": single, "burst": 500.0}, HERE)
    assert is_right
    assert len(lines) == 2


@pytest.mark.parametrize(("single", "change"), [(949.0, "-5.1%"), (1051.0, "+5.1%")])
def test_a_count_beyond_that_is_wrong_slower_or_faster(single: float, change: str):
    lines, is_right = instructions.compare(COMMITTED, {"single": single, "burst": 500.0}, HERE)
    assert not is_right
    assert f"{change} of the 1,000.0 committed: NOT within 5 %" in lines[0]
    assert "NOT" not in lines[1]
    assert "ARGS=--update" in lines[2]


def test_a_case_without_a_committed_figure_is_wrong():
    assert not instructions.compare(COMMITTED, {"long": 1.0}, HERE)[1]


@pytest.mark.parametrize("other", [{"rustc": "1.96.0"}, {"target": "aarch64-unknown-linux-gnu"}])
def test_another_compiler_is_told_and_not_compared(other: dict[str, str]):
    lines, is_right = instructions.compare(COMMITTED, {"single": 9.0}, {**HERE, **other})
    assert is_right
    assert lines[-1].startswith("Not compared: the committed figures are of rustc 1.95.0 for x86_64")


def test_what_callgrind_says_is_read():
    assert instructions.collected("==12== \n==12== Events    : Ir\n==12== Collected : 123456\n") == 123456
    with pytest.raises(instructions.Failed):
        instructions.collected("==12== Process terminating")


def test_every_case_has_a_committed_figure_of_one_compiler():
    import json

    committed = json.loads(instructions.COMMITTED.read_text())
    assert committed.keys() == {"rustc", "target", "instructions_per_message"}
    assert committed["instructions_per_message"].keys() == instructions.CASES.keys()
    assert all(figure > 0 for figure in committed["instructions_per_message"].values())
