"""What the clients have seen, told once a second."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from load import percentile

SHOWN_FAULTS: Final = 100
"""The texts of more are not kept; they are counted all the same."""


class Tally:
    """The books of all clients.

    Attributes:
        open: sockets that are open.
        counts: what was done, by its name, since the begin.
        lost: messages that had to come and did not.
        faulty: how many answers were wrong in another way.
    """

    def __init__(self) -> None:
        """Everything is zero."""
        self.open = 0
        self.counts: Counter[str] = Counter()
        self.lost = 0
        self.faulty = 0
        self._faults: list[str] = []
        self._round_trips: list[float] = []
        self._late: list[float] = []

    def lose(self, count: int, text: str) -> None:
        """So many messages did not come."""
        self.lost += count
        self.fault(text)

    def fault(self, text: str) -> None:
        """Something is wrong that has to be right."""
        self.faulty += 1
        if self.faulty <= SHOWN_FAULTS:
            self._faults.append(text)

    def echoed(self, seconds: float) -> None:
        """An echo has come, so long after its message was sent."""
        self.counts["echoes"] += 1
        self._round_trips.append(seconds)

    def late(self, seconds: float) -> None:
        """A message was sent so much later than it should have been, which is no fault of the server."""
        self._late.append(seconds)

    def take(self) -> dict[str, Any]:
        """The books, and the round trips and the faults since the last call; times in milliseconds."""
        times = {"p50": (self._round_trips, 50), "p99": (self._round_trips, 99), "late": (self._late, 99)}
        taken = {
            "open": self.open,
            "counts": dict(self.counts),
            "lost": self.lost,
            "faulty": self.faulty,
            "faults": self._faults,
            **{name: 1000 * percentile(*what) if what[0] else None for name, what in times.items()},
        }
        self._faults, self._round_trips, self._late = [], [], []
        return taken
