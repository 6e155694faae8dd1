"""Whether a server has stood the soak."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WARM_UP_SHARE: Final = 1 / 3
"""Of the run, at its begin, that no slope counts."""
LIMIT_PERCENT: Final = 1.0
"""How much memory, threads and descriptors may grow in an hour."""
JUDGED_FROM_MINUTES: Final = 20.0
"""A shorter run has slopes, but they are mostly noise, and nobody fails by them."""
BUCKET_SECONDS: Final = 60.0
"""The median of so much is one point of a slope: long enough for each to be news beside the one before."""
NORMAL_95: Final = 1.96
"""Standard deviations within which 95 of 100 values lie."""
LEAST_SAMPLES: Final = 3
"""With fewer nothing has a slope."""
JUDGED: Final = {"pss": "memory (PSS)", "threads": "threads", "descriptors": "descriptors"}


@dataclass(frozen=True)
class Slope:
    """How one figure develops.

    Attributes:
        level: its median behind the warm-up.
        per_hour: how much it grows in an hour, in its own unit.
        least_per_hour: the lower end of the interval that holds the true slope with 95 % probability.
        most_per_hour: the upper end.
    """

    level: float
    per_hour: float
    least_per_hour: float
    most_per_hour: float

    @property
    def grows(self) -> bool:
        """Whether it grows, and does not merely seem to on a machine with other work."""
        return self.least_per_hour > 0

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
        undecided: figures that seem to grow by more than the limit, but by less than they vary.
    """

    slopes: Mapping[str, Slope]
    judges_slopes: bool
    failures: list[str]
    undecided: list[str]


def theil_sen(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """The median of the slopes of all pairs: a fourth of the points may be anywhere and does not matter.

    Returns:
        The slope, and Sen's interval of 95 % around it (by the variance of Kendall's S).

    Raises:
        ValueError: there are not two points at different times.
    """
    slopes = sorted(
        (later - value) / (then - at)
        for index, (at, value) in enumerate(points)
        for then, later in points[index + 1 :]
        if then != at
    )
    if not slopes:
        raise ValueError("a slope needs two points at different times")
    count = len(points)
    spread = NORMAL_95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return statistics.median(slopes), slopes[low], slopes[high]


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
    slopes = theil_sen(coarse if len(coarse) >= 3 else points)
    return Slope(statistics.median(value for _, value in points), *(3600 * slope for slope in slopes))


def judge(samples: Sequence[Mapping[str, Any]], minutes: float, final: Mapping[str, Any]) -> Verdict:
    """Judges a run.

    Args:
        samples: one a second: `at` in seconds, and the figures of `JUDGED`.
        minutes: how long it was to be.
        final: `lost` and `faulty` of the clients, `wrong_lines` of the log, `status` of the server's end,
            `clients_status` of theirs, `descriptors_left` in the server between the two.
    """
    slopes = {name: slope(samples, name) for name in JUDGED} if len(samples) >= LEAST_SAMPLES else {}
    judges_slopes = minutes >= JUDGED_FROM_MINUTES
    failures, undecided = [], []
    for name, found in slopes.items():
        if judges_slopes and found.percent > LIMIT_PERCENT:
            growth = f"{JUDGED[name]} grew by {found.percent:.2f} % an hour"
            (failures if found.grows else undecided).append(growth)
    if final["lost"]:
        failures.append(f"{final['lost']} messages were lost")
    if final["faulty"]:
        failures.append(f"{final['faulty']} answers were wrong")
    if final["descriptors_left"] > 0:
        failures.append(f"{final['descriptors_left']} descriptors are left over, with all clients gone")
    if final["wrong_lines"]:
        count, first = len(final["wrong_lines"]), final["wrong_lines"][0]
        failures.append(f"the log has {count} tracebacks or errors, the first: {first}")
    for whose, what in (("status", "server"), ("clients_status", "clients")):
        if final[whose] != 0:
            failures.append(f"the {what} ended with {final[whose]}")
    if len(samples) < 0.8 * 60 * minutes:
        failures.append(f"there are only {len(samples)} samples, one a second")
    return Verdict(slopes, judges_slopes, failures, undecided)
