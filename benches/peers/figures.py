"""From records to figures: medians, spreads, and ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .cases import Case
from .peers import CEILING, SUBJECT

BOUND_BY_LOAD = 0.9
"""From this share of its core on, and at nearly the ceiling's rate, the load is what limits."""


@dataclass(frozen=True)
class Row:
    """One peer in one case.

    Attributes:
        peer: its name.
        median: of its rounds that have a figure; None: there is none.
        low: the smallest.
        high: the greatest.
        rounds: how many have a figure.
        ratio: how many times better ours is, the median of what it is in each round; None: not in any round.
        errors: what was said in the rounds without a figure, each once.
        other: medians of what else was measured.
    """

    peer: str
    median: float | None
    low: float = 0.0
    high: float = 0.0
    rounds: int = 0
    ratio: float | None = None
    errors: tuple[str, ...] = ()
    other: Mapping[str, float] = field(default_factory=dict)

    @property
    def spread(self) -> float:
        """From the smallest to the greatest, as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def rows(case: Case, records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The peers of a case, the best first, those without a figure last."""
    of_peer: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if record["case"] == case.name:
            of_peer.setdefault(record["peer"], []).append(record)
    subject = by_round(case, of_peer.get(SUBJECT, []))
    made = [_row(case, peer, own, subject) for peer, own in of_peer.items()]
    sign = 1 if case.less_is_better else -1
    return sorted(made, key=lambda row: (row.median is None, sign * (row.median or 0.0), row.peer))


def by_round(case: Case, records: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """The figure of each round that has one."""
    return {record["round"]: float(record[case.figure]) for record in records if "error" not in record}


def _row(case: Case, peer: str, records: list[Mapping[str, Any]], subject: Mapping[int, float]) -> Row:
    figures = by_round(case, records)
    errors = tuple(dict.fromkeys(str(record["error"]) for record in records if "error" in record))
    if not figures:
        return Row(peer, None, errors=errors)
    good = [record for record in records if "error" not in record]
    return Row(
        peer,
        statistics.median(figures.values()),
        min(figures.values()),
        max(figures.values()),
        len(figures),
        ratio(case, figures, subject),
        errors,
        medians(good),
    )


def ratio(case: Case, figures: Mapping[int, float], subject: Mapping[int, float]) -> float | None:
    """How many times better the subject is: only rounds in which both have a figure are compared."""
    quotients = []
    for number, figure in figures.items():
        ours = subject.get(number)
        if ours is None:
            continue
        better, worse = (figure, ours) if case.less_is_better else (ours, figure)
        if worse > 0:
            quotients.append(better / worse)
    return statistics.median(quotients) if quotients else None


def medians(records: list[Mapping[str, Any]]) -> dict[str, float]:
    """The median of each number that all of the records have."""
    keys = set.intersection(*(set(record) for record in records)) if records else set()
    found = {}
    for key in keys:
        values = [record[key] for record in records]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found[key] = float(statistics.median(values))
    return found


def bound_by_load(row: Row, table: Iterable[Row]) -> bool:
    """Whether a figure says more of the load than of the server: its core is full, as at the ceiling."""
    ceiling = next((other for other in table if other.peer == CEILING), None)
    if row.peer == CEILING or row.median is None or ceiling is None or not ceiling.median:
        return False
    return row.other.get("load_cpu", 0.0) >= BOUND_BY_LOAD and row.median >= BOUND_BY_LOAD * ceiling.median
