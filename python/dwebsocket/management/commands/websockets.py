"""``manage.py websockets``: what is open in the servers of this project that run on this machine."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from dwebsocket import conf, control

_GAP: Final = "  "
_CUT: Final = "…"
_LEAST_WIDTH: Final = 8
"""To which a column may shrink where the terminal is narrow."""

COLUMNS: Final = ("PID", "PATH", "USER", "PEER", "AGE", "IN", "OUT", "QUEUED")
_NUMBERS: Final = frozenset({"PID", "AGE", "IN", "OUT", "QUEUED"})
_SHRINKING: Final = ("PATH", "USER", "PEER")


class Command(BaseCommand):
    """Lists the open WebSockets, one a line."""

    help = "Lists the WebSockets that are open in the running servers of this project, oldest first."
    requires_system_checks: list[str] = []  # noqa: RUF012 -- as Django declares it

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds ``--json``."""
        parser.add_argument("--json", action="store_true", help="a JSON array, one object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the list.

        Raises:
            CommandError: no server of this project runs.
        """
        del args
        if conf.get(control.SETTING) is None:
            raise CommandError(f"{control.SETTING} is None: the servers of this project listen to nobody.")
        answers = control.ask()
        silent = [
            f"Process {pid} did not answer within {control.ANSWER_SECONDS:.0f} s." for pid in answers.silent
        ]
        faults = [*silent, *answers.faults]
        if not answers.processes:
            raise CommandError("\n".join(faults) or _nobody())
        for fault in faults:
            self.stderr.write(fault)
        sockets = [
            {"pid": process["pid"], **socket}
            for process in answers.processes
            for socket in process["sockets"]
        ]
        if options["json"]:
            lines = ",\n".join(json.dumps(socket) for socket in sockets)
            self.stdout.write(f"[\n{lines}\n]" if sockets else "[]")
            return
        if sockets:
            # Where the list goes on to a program, nothing is cut.
            width = shutil.get_terminal_size().columns if self.stdout.isatty() else None
            self.stdout.write("\n".join(table(sockets, width)) + "\n\n")
        pids = [str(process["pid"]) for process in answers.processes]
        self.stdout.write(
            f"{_count(len(sockets), 'WebSocket')} in {_count(len(pids), 'process')} ({', '.join(pids)})"
        )


def table(sockets: Sequence[dict[str, Any]], width: int | None) -> list[str]:
    """The list as lines of text.

    Args:
        sockets: as ``introspection.open_sockets`` gives them, with ``pid``.
        width: cells of the terminal, into which the lines are fitted; None: as long as they are.

    Returns:
        The heading and a line for each.
    """
    rows = [COLUMNS, *(_cells(socket) for socket in sockets)]
    widths = [max(_width(row[index]) for row in rows) for index in range(len(COLUMNS))]
    if width is not None:
        excess = sum(widths) + len(_GAP) * (len(COLUMNS) - 1) - width
        while excess > 0:
            widest = max((COLUMNS.index(name) for name in _SHRINKING), key=lambda index: widths[index])
            if widths[widest] <= _LEAST_WIDTH:
                break
            widths[widest] -= 1
            excess -= 1
    lines = []
    for row in rows:
        cells = [
            _fitted(text, cells, right=name in _NUMBERS)
            for name, text, cells in zip(COLUMNS, row, widths, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def _cells(socket: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(socket["pid"]),
        _shown(socket["path"] or "-"),
        _shown(socket["user"] or "-"),
        _shown(socket["peer"]),
        duration(socket["age_seconds"]),
        quantity(socket["received_messages"]),
        quantity(socket["sent_messages"]),
        quantity(socket["inbox_bytes"] + socket["outbox_bytes"], "B"),
    )


def duration(seconds: float) -> str:
    """A time in its two largest units: ``12s``, ``3m07s``, ``2h05m``, ``4d03h``."""
    whole = int(seconds)
    for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small:02}{part}"
    return f"{whole}s"


def quantity(number: int, unit: str = "") -> str:
    """A number of few digits, rounded down: ``999``, ``1.2k``, ``35k``, ``4.0M``."""
    step, scale = (1024, "KMGT") if unit else (1000, "kMGT")
    if number < step:
        return f"{number}{unit}"
    for power, letter in enumerate(scale, 1):
        if number < step ** (power + 1) or letter == scale[-1]:
            tenths = number * 10 // step**power
            return f"{tenths // 10}.{tenths % 10}{letter}" if tenths < 100 else f"{tenths // 10}{letter}"
    raise AssertionError("the last letter takes every number")


def _shown(text: str) -> str:
    """What a client chose, without what would steer the terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def _width(text: str) -> int:
    """Cells that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _fitted(text: str, cells: int, *, right: bool) -> str:
    if _width(text) > cells:
        while text and _width(text) > cells - 1:
            text = text[:-1]
        text += _CUT
    padding = " " * (cells - _width(text))
    return padding + text if right else text + padding


def _count(number: int, noun: str) -> str:
    plural = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{plural}"


def _nobody() -> str:
    places = " and ".join(control.folders()) or "no place"
    module = conf.project_value("SETTINGS_MODULE")
    return (
        f"No server of this project runs here (settings {module}, user {os.geteuid()}; looked in {places}). "
        "Under a server other than ours a process is seen once a client has asked it for a WebSocket."
    )
