"""Prints the table of settings as the README has it."""

from __future__ import annotations

from dwebsocket.conf import SETTINGS


def shown(value: object) -> str:
    """A default as a reader of the table reads it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 16 and value % 1024 == 0:
        return f"{value >> 20} MiB" if value % (1 << 20) == 0 else f"{value >> 10} KiB"
    return f"`{value!r}`"


def table() -> str:
    """The whole table, in Markdown."""
    rows = [f"| `{item.name}` | {shown(item.default)} | {item.meaning} |" for item in SETTINGS.values()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
