"""The command line: see `--help`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from peers import bench, machine, rounds
from peers.cases import Case, select
from peers.environments import Environment, NotInstalled, build_load, install_debian, prepare
from peers.peers import Peer
from peers.rounds import Results

from . import report
from .bounds import judge
from .cases import CASES, PEERS, SUBJECT
from .clips import SIZES, TARGET, NotMade, make
from .measure import Settings, measure

DEBIAN_PACKAGES = ("ffmpeg", "util-linux")
NO_SUCH_FORM = "form must be"
"""What a Feed says of a form that it has not."""
CLIP_SECONDS = 30.0
"""Longer than any picture may be on its way, or it could not be told of which turn of the clip it is."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make bench-video ARGS=…", description=__doc__)
    names = parser.add_argument
    names("--only", default="", help="cases, or what their names begin with, with commas: json,gil")
    names("--peers", default="", help="peers, with commas: ours,python")
    names("--rounds", type=int, default=5)
    names("--quick", action="store_true", help="one round of two seconds: shows that it runs, and no figures")
    names("--seconds", type=float, default=8.0, help="that a run is measured")
    names("--warm-up", type=float, default=3.0, help="seconds before that")
    names("--limit", type=float, default=90.0, help="seconds for all viewers to get their first picture")
    names("--server-cores", default="", help="what the server is pinned to, as taskset takes it: 0, or 0,1")
    names("--load-cores", default="", help="the same of the load and of the camera")
    names("--write", action="store_true", help="write RESULTS.md and the plots into benches/video/")
    names("--from", dest="source", type=Path, help="measure nothing: report on this JSON file")
    names("--list", action="store_true", help="the cases and the peers")
    return parser.parse_args()


def main() -> int:
    """Measures and reports; the status is 1 if a run of ours has no figure, and not for want of a form."""
    asked = arguments()
    if asked.list:
        print(bench.listing(CASES.values(), PEERS.values(), 12))
        return 0
    if asked.source:
        results = Results(**json.loads(asked.source.read_text()))
    else:
        try:
            results = benchmark(asked)
        except (ValueError, NotInstalled, NotMade) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    print(report.must_hold(judge(results.records)))
    print(f"==> {report.write(results, Path(__file__).parent if asked.write else TARGET)}")
    return 1 if any(map(is_failure, results.records)) else 0


def is_failure(record: dict[str, Any]) -> bool:
    """Whether ours has no figure, and not because it lacks a form."""
    error = record.get("error")
    return record["peer"] == SUBJECT and error is not None and NO_SUCH_FORM not in error


def benchmark(asked: argparse.Namespace) -> Results:
    """Installs, measures round by round, and keeps the results in a JSON file."""
    cases = select(bench.words(asked.only), CASES)
    peers = rounds.choose(bench.words(asked.peers), PEERS, SUBJECT)
    seconds, warm_up, count = (2.0, 1.0, 1) if asked.quick else (asked.seconds, asked.warm_up, asked.rounds)
    load, _ = build_load()
    install_debian(DEBIAN_PACKAGES, "the benchmark of video")
    print("==> Making the clips (the first time takes a minute)", flush=True)
    clips = {
        name: make(SIZES[name], CLIP_SECONDS)
        for name in dict.fromkeys(case.options["clip"] for case in cases)
    }
    settings = Settings(load, clips, seconds, warm_up, asked.limit, asked.server_cores, asked.load_cores)
    command = "make bench-video ARGS='" + " ".join(sys.argv[1:]) + "'"
    cores = f"server {asked.server_cores or 'all'}, load and camera {asked.load_cores or 'all'}"
    results = Results(about={**machine.describe(), "cores": cores, "command": command})
    environments = bench.prepare_all(peers, results, _prepare)
    runs = rounds.plan(cases, peers, count, results)
    duration = f" of some {seconds + warm_up + 5:.0f} s"
    bench.measure_all(runs, environments, partial(_measure, settings), results, TARGET, duration)
    return results


def _measure(settings: Settings, case: Case, peer: Peer, environment: Environment) -> dict[str, Any]:
    measured = measure(case, peer, environment, settings)
    bench.say(f"    {report.line_of(measured)}")
    return measured


def _prepare(name: str) -> Environment:
    """An environment; that of the Python way adds cv2 to ours, so that the rest is the same."""
    ours = prepare("ours")
    if name == "ours":
        done = subprocess.run(
            ["pkg-config", "--modversion", "opencv4"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        return Environment(ours.python, {**ours.versions, "OpenCV": done.stdout.strip() or "unknown"})
    if name == "cv2":
        return Environment(ours.python, {**ours.versions, **prepare("cv2").versions})
    return prepare(name)


if __name__ == "__main__":
    sys.exit(main())
