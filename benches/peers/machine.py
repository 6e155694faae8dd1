"""What machine this is, and what else it does meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from .environments import ROOT


def describe() -> dict[str, str]:
    """Processor, memory, system and the commit that is measured."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{os.cpu_count()} × {model}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit, and whether files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


@dataclass(frozen=True)
class Moment:
    """The processors at one moment.

    Attributes:
        busy_seconds: what all of them have worked, for anybody.
        at: the time on a clock that only goes forward.
    """

    busy_seconds: float
    at: float


def now() -> Moment:
    """This moment."""
    times = psutil.cpu_times()
    return Moment(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice, time.monotonic())


def other_load(before: Moment, after: Moment, own_seconds: float) -> float:
    """The share of all processors that went to others: to other programs, or (stolen) to other machines.

    Args:
        before: when the work began.
        after: when it ended.
        own_seconds: CPU time of the server and of the load in between.
    """
    capacity = (after.at - before.at) * (os.cpu_count() or 1)
    return max(0.0, (after.busy_seconds - before.busy_seconds - own_seconds) / capacity)
