"""All runs, round by round, so that what else the machine does meets every peer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .cases import Case, obstacle
from .environments import Environment
from .measure import Wrong
from .peers import CEILING, PEERS, Peer


@dataclass(frozen=True)
class Run:
    """One case at one peer in one round, counted from 1."""

    round: int
    case: Case
    peer: Peer


@dataclass
class Results:
    """What is written to the JSON file.

    Attributes:
        about: machine, date, settings.
        versions: of what is installed, by peer.
        unavailable: why a peer was not measured at all, by peer.
        left_out: why a peer that has to do with a case was not measured there, by case and peer.
        records: one for each run: `case`, `peer`, `round`, and what was measured or `error`.
    """

    about: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)


SAME: Final = ("processor", "memory", "system")
"""Of `Results.about`: where it differs, figures cannot stand side by side."""


def joined(parts: list[Results]) -> Results:
    """The rounds of several sittings, numbered as those of one; a sitting may have had some of the peers.

    Raises:
        ValueError: they are of different machines, or what was measured had other versions.
    """
    whole = Results()
    for part in parts:
        different = [key for key in SAME if part.about.get(key) != parts[0].about.get(key)]
        different += [
            peer for peer, versions in part.versions.items() if versions != whole.versions.get(peer, versions)
        ]
        if different:
            raise ValueError(f"{', '.join(different)} differ between the files, which cannot be one report")
        whole.versions.update(part.versions)
        whole.unavailable.update(part.unavailable)
        for case, reasons in part.left_out.items():
            whole.left_out.setdefault(case, {}).update(reasons)
        before = max((record["round"] for record in whole.records), default=0)
        whole.records += [{**record, "round": before + record["round"]} for record in part.records]
    # What could not be installed for one sitting may have been measured in another.
    whole.unavailable = {peer: why for peer, why in whole.unavailable.items() if peer not in whole.versions}
    for key in parts[0].about:
        values = dict.fromkeys(str(part.about.get(key)) for part in parts)
        whole.about[key] = "; ".join(values)
    return whole


def choose(names: list[str], known: Mapping[str, Peer] = PEERS, always: str = CEILING) -> list[Peer]:
    """The peers that are called so, all without a name; one of them, here the load's ceiling, always.

    Raises:
        ValueError: for a name that nobody has.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no peer is called {unknown[0]!r}: {', '.join(known)}")
    wanted = {*(names or known), always}
    return [peer for peer in known.values() if peer.name in wanted]


def plan(cases: list[Case], peers: list[Peer], rounds: int, results: Results) -> list[Run]:
    """Every run in its order: rounds, in them cases, in them peers. Who is left out, and why, is noted."""
    taking_part: dict[str, list[Peer]] = {}
    for case in cases:
        taking_part[case.name] = []
        for peer in peers:
            reason = results.unavailable.get(peer.name)
            if reason is None:
                reason = obstacle(case, peer)
            if reason is None:
                taking_part[case.name].append(peer)
            elif reason and peer.name not in results.unavailable:
                results.left_out.setdefault(case.name, {})[peer.name] = reason
    return [
        Run(number, case, peer)
        for number in range(1, rounds + 1)
        for case in cases
        for peer in taking_part[case.name]
    ]


def run_all(
    runs: list[Run],
    environments: Mapping[str, Environment],
    measure: Callable[[Case, Peer, Environment], dict[str, Any]],
    say: Callable[[str], None],
    records: list[dict[str, Any]],
) -> None:
    """Measures every run and appends what came of it to the records.

    Args:
        runs: as planned.
        environments: by name.
        measure: one run; raises `Wrong` where there is no figure.
        say: takes a line of progress.
        records: appended to after each run, so that an interrupted benchmark keeps what it has.
    """
    clock = Clock(len(runs))
    for number, run in enumerate(runs, 1):
        record: dict[str, Any] = {"case": run.case.name, "peer": run.peer.name, "round": run.round}
        try:
            record.update(measure(run.case, run.peer, environments[run.peer.environment]))
        except Wrong as error:
            record["error"] = str(error)
        records.append(record)
        left = clock.tick()
        say(f"[{number}/{len(runs)}, {left} left] {line_of(run, record)}")


def line_of(run: Run, record: Mapping[str, Any]) -> str:
    """One run in a line."""
    front = f"{run.case.name:<14} {run.peer.name:<24}"
    if "error" in record:
        return f"{front} no figure: {record['error']}"
    parts = [f"{front} {record[run.case.figure]:>12,.1f} {run.case.unit}"]
    if "p99_us" in record:
        parts.append(f"p99 {record['p99_us'] / 1000:,.2f} ms")
    if "server_us" in record:
        parts.append(f"server's CPU {record['server_us']:,.0f} µs each")
    if "load_cpu" in record:
        parts.append(f"load's core {record['load_cpu']:.0%}")
    if "opened" in record:
        parts.append(
            f"{record['opened']:,} opened in {record['open_seconds']:.1f} s, {record['alive']:,} alive"
        )
    parts.append(f"other load {record['other_load']:.0%}")
    return ", ".join(parts)


class Clock:
    """Tells how long it will still take, from how long it has taken."""

    def __init__(self, total: int, now: Callable[[], float] = time.monotonic) -> None:
        """Starts now; `total` runs are to come."""
        self._total = total
        self._done = 0
        self._now = now
        self._began = now()

    def tick(self) -> str:
        """One more run is over; the time for the others, as text."""
        self._done += 1
        seconds = (self._now() - self._began) / self._done * (self._total - self._done)
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
