"""What must hold, and whether it does."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .cases import PYTHON_WAY, SUBJECT

Records = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Bound:
    """A promise.

    Attributes:
        text: what must hold.
        limit: of the figure.
        unit: of both.
        figure: what was measured in a round; None: not what it takes.
        cases: whose records it takes.
        at_least: the figure must not be smaller than the limit; otherwise not greater.
    """

    text: str
    limit: float
    unit: str
    figure: Callable[[Mapping[tuple[str, str], Mapping[str, Any]]], float | None]
    cases: tuple[tuple[str, str], ...]
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of a promise.

    Attributes:
        bound: the promise.
        figure: the median of the rounds; None: it was not measured.
        low: the smallest of the rounds.
        high: the greatest.
        reason: why it was not measured.
    """

    bound: Bound
    figure: float | None
    low: float = 0.0
    high: float = 0.0
    reason: str = ""

    @property
    def word(self) -> str:
        """Whether it holds."""
        if self.figure is None:
            return "not measured"
        holds = self.figure >= self.bound.limit if self.bound.at_least else self.figure <= self.bound.limit
        return "holds" if holds else "does not hold"


def _one(case: str, key: str, factor: float = 1.0) -> dict[str, Any]:
    """A figure of ours."""

    def figure(records: Mapping[tuple[str, str], Mapping[str, Any]]) -> float | None:
        value = records[case, SUBJECT].get(key)
        return None if value is None else factor * float(value)

    return {"figure": figure, "cases": ((case, SUBJECT),)}


def _ratio(dividend: tuple[str, str], divisor: tuple[str, str], key: str) -> dict[str, Any]:
    """A quotient of two figures of one round."""

    def figure(records: Mapping[tuple[str, str], Mapping[str, Any]]) -> float | None:
        above, below = records[dividend].get(key), records[divisor].get(key)
        return above / below if above is not None and below else None

    return {"figure": figure, "cases": (dividend, divisor)}


JSON_1, JSON_10 = ("json-1", SUBJECT), ("json-10", SUBJECT)

BOUNDS: Final = (
    Bound("CPU for 10 viewers, of that for one (JSON)", 1.5, "×", **_ratio(JSON_10, JSON_1, "cpu_percent")),
    # A picture more or less falls into the time that is measured.
    Bound(
        "pictures a second of each of 50 viewers (JSON; of 30, less the one at the edge)",
        29.7,
        "fps",
        **_one("json-50", "fps_least"),
        at_least=True,
    ),
    Bound(
        "the Python way's CPU, of ours, at 10 viewers (JSON)",
        6.0,
        "×",
        **_ratio(("json-10", PYTHON_WAY), JSON_10, "cpu_percent"),
        at_least=True,
    ),
    Bound(
        "time that a Python thread is kept off the GIL beside 10 viewers",
        1.0,
        "%",
        **_one("gil-10", "waited_percent"),
    ),
    Bound("CPU for 100 viewers of 1080p (MP4)", 50.0, "% of a core", **_one("mp4-100", "cpu_percent")),
    Bound("latency at 10 viewers, p50", 60.0, "ms", **_one("json-10", "p50_ms")),
    Bound("latency at 10 viewers, p99", 150.0, "ms", **_one("json-10", "p99_ms")),
    Bound("the oldest picture of a viewer with 1 Mbit/s", 500.0, "ms", **_one("slow-10", "slow_most_ms")),
)


def judge(records: Records) -> list[Verdict]:
    """What became of each promise: figures are compared within a round, and the median counts."""
    rounds: dict[int, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for record in records:
        rounds.setdefault(record["round"], {})[record["case"], record["peer"]] = record
    return [_verdict(bound, rounds.values()) for bound in BOUNDS]


def _verdict(bound: Bound, rounds: Iterable[Mapping[tuple[str, str], Mapping[str, Any]]]) -> Verdict:
    figures: list[float] = []
    reasons: list[str] = []
    for records in rounds:
        missing = [key for key in bound.cases if key not in records]
        wrong = [str(records[key]["error"]) for key in bound.cases if "error" in records.get(key, {})]
        if missing or wrong:
            reasons += wrong or [f"{case} of {peer} was not asked for" for case, peer in missing]
            continue
        figure = bound.figure(records)
        if figure is not None:
            figures.append(figure)
    if not figures:
        return Verdict(bound, None, reason="; ".join(dict.fromkeys(reasons)))
    return Verdict(bound, statistics.median(figures), min(figures), max(figures))
