"""What a benchmark side by side does, whatever it measures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import rounds
from .cases import Case
from .environments import Environment, NotInstalled
from .peers import Peer
from .rounds import Results, Run


def words(text: str) -> list[str]:
    """The names in an argument, which have commas between them."""
    return [word for word in text.split(",") if word]


def say(line: str) -> None:
    """Prints a line that is seen at once."""
    print(line, flush=True)


def listing(cases: Iterable[Case], peers: Iterable[Peer], width: int) -> str:
    """What can be asked for, a line each; names take so many columns."""
    rows = [("cases", cases), ("peers", peers)]
    return "\n".join(
        line
        for kind, those in rows
        for line in (f"{kind}:", *(f"  {each.name:<{width}} {each.title}" for each in those))
    )


def prepare_all(
    peers: list[Peer], results: Results, prepare: Callable[[str], Environment]
) -> dict[str, Environment]:
    """Prepares the environments of all peers, each once; notes the versions, and who cannot be installed."""
    environments: dict[str, Environment] = {}
    reasons: dict[str, str] = {}
    for peer in peers:
        name = peer.environment
        if name not in environments and name not in reasons:
            try:
                environments[name] = prepare(name)
            except NotInstalled as error:
                reasons[name] = str(error)
        if name in reasons:
            results.unavailable[peer.name] = f"not installed: {reasons[name]}"
        else:
            results.versions[peer.name] = environments[name].versions
    return environments


def measure_all(
    runs: list[Run],
    environments: Mapping[str, Environment],
    measure: Callable[[Case, Peer, Environment], dict[str, Any]],
    results: Results,
    folder: Path,
    duration: str,
) -> None:
    """Measures all runs, and keeps the results in a JSON file in the folder, also when it is interrupted.

    Args:
        runs: as planned.
        environments: by name.
        measure: as of ``rounds.run_all``.
        results: get the records.
        folder: for the file.
        duration: what all of it will take, in words.
    """
    for name, reason in results.unavailable.items():
        print(f"==> Not measured: {name}: {reason}")
    target = folder / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    say(f"==> {len(runs)} runs{duration}; {target}")
    try:
        rounds.run_all(runs, environments, measure, say, results.records)
    finally:
        target.write_text(json.dumps(asdict(results), indent=1) + "\n")
