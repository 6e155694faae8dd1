"""Prints DIFFERENCES.md, made of the table that the tests compare with what they see."""

from __future__ import annotations

import tomllib
from pathlib import Path

TABLE = Path(__file__).parents[1] / "tests" / "python" / "original" / "differences.toml"
HEAD = """# What is different from dwebsocket 0.5.12

The two play the same {scenarios} scenarios, each a view and its clients: dwebsocket 0.5.12 with
Django 3.0, and dwebsocket-rs, both under `runserver` and under gunicorn. Everything that both sides
see is compared: messages, types, return values, exceptions, close codes, their order. What differs
stands here with its reason; any other difference fails the tests. The scenarios are in
`tests/python/original/`. An exception counts as the same when an `except` that names the original's
class catches ours.

| | dwebsocket 0.5.12 | dwebsocket-rs | why |
|---|---|---|---|
"""


def page(scenarios: int) -> str:
    """The whole page, in Markdown.

    Args:
        scenarios: how many there are.
    """
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["difference"]
    return HEAD.format(scenarios=scenarios) + "".join(
        f"| {row['what']} | {row['original']} | {row['ours']} | {row['why']} |\n" for row in rows
    )


def count_scenarios() -> int:
    """How many scenarios there are."""
    return sum(file.read_text(encoding="utf-8").count("\n@scenario(") for file in TABLE.parent.glob("*.py"))


if __name__ == "__main__":
    print(page(count_scenarios()), end="")
