"""The command line: see `--help`."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from functools import partial
from pathlib import Path

from . import bench, machine, report, rounds
from .cases import CASES, Case, select
from .environments import (
    DEBIAN_PACKAGES,
    TARGET,
    Environment,
    NotInstalled,
    build_load,
    install_debian,
    prepare,
)
from .measure import Settings, measure
from .peers import PEERS, SUBJECT, Peer
from .rounds import Results


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make bench-peers ARGS=…", description=__doc__)
    names = parser.add_argument
    names("--only", default="", help="cases, or what their names begin with, with commas: echo,http")
    names("--peers", default="", help="peers, with commas: ours,picows")
    names("--rounds", type=int, default=5)
    names(
        "--seconds",
        type=float,
        default=4.0,
        help="that a run is measured, after a quarter of that to warm up",
    )
    names("--hold", type=float, default=10.0, help="seconds that idle connections are held")
    names("--limit", type=float, default=40.0, help="seconds for clients to open and for late answers")
    names("--write", action="store_true", help="write RESULTS.md and the plots into benches/peers/")
    names(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        help="measure nothing: report on these JSON files, of several as one",
    )
    names("--list", action="store_true", help="the cases and the peers")
    return parser.parse_args()


def main() -> int:
    """Measures and reports; the status is 1 if a run of our own server has no figure."""
    asked = arguments()
    if asked.list:
        print(bench.listing(CASES.values(), PEERS.values(), 24))
        return 0
    try:
        if asked.sources:
            parts = [Results(**json.loads(source.read_text())) for source in asked.sources]
            results = rounds.joined(parts)
        else:
            cases, peers = select(bench.words(asked.only)), rounds.choose(bench.words(asked.peers))
            results = benchmark(asked, cases, peers)
    except (ValueError, NotInstalled) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = Path(__file__).parent if asked.write else TARGET
    print(f"==> {report.write(results, folder)}")
    failed = [record for record in results.records if "error" in record and record["peer"] == SUBJECT]
    return 1 if failed else 0


def benchmark(asked: argparse.Namespace, cases: list[Case], peers: list[Peer]) -> Results:
    """Installs, measures round by round, and keeps the results in a JSON file."""
    # Ten thousand connections are ten thousand descriptors, in the server and in the load.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load, limits = build_load()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("==> One core only: server and load share it, and figures say little")
    settings = Settings(
        load,
        limits,
        seconds=asked.seconds,
        warm_up_seconds=asked.seconds / 4,
        hold_seconds=asked.hold,
        limit_seconds=asked.limit,
        server_cores=str(cores[0]),
        load_cores=str(cores[-1]),
    )
    results = Results(
        about={**machine.describe(), "command": "make bench-peers ARGS='" + " ".join(sys.argv[1:]) + "'"}
    )
    install_debian(DEBIAN_PACKAGES, "the benchmark")
    environments = bench.prepare_all(peers, results, prepare)
    runs = rounds.plan(cases, peers, asked.rounds, results)
    duration = f", about {_minutes(runs, settings):.0f} min"
    bench.measure_all(runs, environments, partial(_measure, settings), results, TARGET, duration)
    return results


def _measure(settings: Settings, case: Case, peer: Peer, environment: Environment) -> dict[str, object]:
    return measure(case, peer, environment, settings)


def _minutes(runs: list[rounds.Run], settings: Settings) -> float:
    """What all of it will take, before anything is known of it."""
    seconds = sum(
        3
        + (
            settings.hold_seconds + 5
            if run.case.load == "idle"
            else settings.seconds + settings.warm_up_seconds
        )
        for run in runs
    )
    return seconds / 60


if __name__ == "__main__":
    sys.exit(main())
