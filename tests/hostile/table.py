"""The table of attacks in README.md, made of the attacks themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attack import Attack

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- the table: `run.py --table` writes it -->\n", "<!-- end of the table -->\n"


def table(themes: Mapping[str, Sequence[Attack]]) -> str:
    """The Markdown of it."""
    parts = []
    for theme, attacks in themes.items():
        rows = [f"| `{a.name}` | {a.what} | {cell(a.answer)} | {cell(a.log)} |" for a in attacks]
        head = [
            "",
            f"### {theme} ({len(attacks)})",
            "",
            "| attack | what it does | answer | log |",
            "|---|---|---|---|",
        ]
        parts += [*head, *rows]
    return "\n".join([*parts, "", ""])


def cell(words: str) -> str:
    """Code, or nothing."""
    return f"`{words}`" if words else ""


def write(themes: Mapping[str, Sequence[Attack]]) -> None:
    """Puts it into the README."""
    before, _, after = split()
    README.write_text(before + table(themes) + after, encoding="utf-8")


def is_up_to_date(themes: Mapping[str, Sequence[Attack]]) -> bool:
    """Whether the README has it."""
    return split()[1] == table(themes)


def split() -> tuple[str, str, str]:
    """The README in front of the table, the table, and what is behind."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    inside, end, after = rest.partition(END)
    assert begin, f"{README} has no line {BEGIN!r}"
    assert end, f"{README} has no line {END!r}"
    return before + begin, inside, end + after
