"""Whether a server has stood the soak."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WARM_UP_SHARE: Final = 0.2
"""Of the run, at its begin, that no slope counts."""
LIMIT_PERCENT: Final = 1.0
"""How much memory, threads and descriptors may grow in an hour."""
JUDGED_FROM_MINUTES: Final = 20.0
"""A shorter run has slopes, but they are mostly noise, and nobody fails by them."""
BUCKET_SECONDS: Final = 10.0
"""The median of so much is one point of a slope."""
LEAST_SAMPLES: Final = 3
"""With fewer nothing has a slope."""
JUDGED: Final = {"pss": "memory (PSS)", "threads": "threads", "descriptors": "descriptors"}


@dataclass(frozen=True)
class Slope:
    """How one figure develops.

    Attributes:
        level: its median behind the warm-up.
        per_hour: how much it grows in an hour, in its own unit.
    """

    level: float
    per_hour: float

    @property
    def percent(self) -> float:
        """How much it grows in an hour, in percent of its level."""
        return 100 * self.per_hour / self.level if self.level else 0.0


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        slopes: by the name of the figure.
        judges_slopes: the run was long enough for that.
        failures: why it has failed, in words; none if it has not.
    """

    slopes: Mapping[str, Slope]
    judges_slopes: bool
    failures: list[str]


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes of all pairs: a fourth of the points may be anywhere and does not matter.

    Raises:
        ValueError: there are not two points at different times.
    """
    slopes = [
        (later - value) / (then - at)
        for index, (at, value) in enumerate(points)
        for then, later in points[index + 1 :]
        if then != at
    ]
    if not slopes:
        raise ValueError("a slope needs two points at different times")
    return statistics.median(slopes)


def buckets(points: Sequence[tuple[float, float]], seconds: float) -> list[tuple[float, float]]:
    """The median of each stretch of so many seconds, at its middle."""
    found: dict[int, list[float]] = {}
    for at, value in points:
        found.setdefault(int(at // seconds), []).append(value)
    return [((number + 0.5) * seconds, statistics.median(values)) for number, values in sorted(found.items())]


def slope(samples: Sequence[Mapping[str, Any]], name: str) -> Slope:
    """How a figure of the samples develops behind the warm-up.

    Raises:
        ValueError: there are too few samples.
    """
    begin = WARM_UP_SHARE * samples[-1]["at"]
    points = [(sample["at"], float(sample[name])) for sample in samples if sample["at"] >= begin]
    # A run of seconds has too few buckets.
    coarse = buckets(points, BUCKET_SECONDS)
    per_second = theil_sen(coarse if len(coarse) >= 3 else points)
    return Slope(statistics.median(value for _, value in points), 3600 * per_second)


def judge(samples: Sequence[Mapping[str, Any]], minutes: float, final: Mapping[str, Any]) -> Verdict:
    """Judges a run.

    Args:
        samples: one a second: `at` in seconds, and the figures of `JUDGED`.
        minutes: how long it was to be.
        final: `lost` and `faulty` of the clients, `wrong_lines` of the log, `status` of the server's end,
            `clients_status` of theirs.
    """
    slopes = {name: slope(samples, name) for name in JUDGED} if len(samples) >= LEAST_SAMPLES else {}
    judges_slopes = minutes >= JUDGED_FROM_MINUTES
    failures = []
    if judges_slopes:
        failures += [
            f"{JUDGED[name]} grew by {found.percent:.2f} % an hour"
            for name, found in slopes.items()
            if found.percent > LIMIT_PERCENT
        ]
    if final["lost"]:
        failures.append(f"{final['lost']} messages were lost")
    if final["faulty"]:
        failures.append(f"{final['faulty']} answers were wrong")
    if final["wrong_lines"]:
        count, first = len(final["wrong_lines"]), final["wrong_lines"][0]
        failures.append(f"the log has {count} tracebacks or errors, the first: {first}")
    for whose, what in (("status", "server"), ("clients_status", "clients")):
        if final[whose] != 0:
            failures.append(f"the {what} ended with {final[whose]}")
    if len(samples) < 0.8 * 60 * minutes:
        failures.append(f"there are only {len(samples)} samples, one a second")
    return Verdict(slopes, judges_slopes, failures)
