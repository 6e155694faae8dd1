"""What the server under attack logs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING")
"""What the log may say while strangers do what they like."""


class Log:
    """The log of the server as it grows: one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(encoding="utf-8")
        self._lock = threading.Lock()
        self._rest = ""
        self.records: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Every record so far."""
        with self._lock:
            *lines, self._rest = (self._rest + self._file.read()).split("\n")
            self.records += [json.loads(line) for line in lines]
            return list(self.records)

    def wait_for(self, found: Callable[[str], bool], seconds: float) -> bool:
        """Whether a line that will do is there, or comes in time; a line is its level and its message."""
        deadline = time.monotonic() + seconds
        at = 0
        while True:
            records = self.read()
            if any(found(line_of(record)) for record in records[at:]):
                return True
            at = len(records)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def line_of(record: dict[str, Any]) -> str:
    """A record in the words that attacks are described in."""
    return f"{record['level']} {record['message']}"
