"""One case at one peer, once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from . import machine
from .cases import Case, path_of
from .environments import Environment
from .peers import Peer
from .servers import Server, ServerFailed, accepts, last_lines, pinned, serve

START_SECONDS: Final = 60.0
PROBE: Final = {"clients": 1, "depth": 1, "size": 64, "kind": "text", "seconds": 0.02, "warm_up_seconds": 0.0}
_POLL_SECONDS: Final = 0.05
_EXTRA_SECONDS: Final = 120.0


class Wrong(Exception):
    """There is no figure; the text says why."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        load: the program of the load generator.
        limits: that of the limits.
        seconds: how long, after the warm-up.
        warm_up_seconds: how long not to measure at first.
        hold_seconds: how long connections are held idle.
        limit_seconds: how long clients may take to open, and answers to come.
        server_cores: what the server is pinned to; empty: to nothing.
        load_cores: the same of the load.
    """

    load: Path
    limits: Path
    seconds: float = 4.0
    warm_up_seconds: float = 1.0
    hold_seconds: float = 5.0
    limit_seconds: float = 40.0
    server_cores: str = "0"
    load_cores: str = "1"


def measure(case: Case, peer: Peer, environment: Environment, settings: Settings) -> dict[str, Any]:
    """Starts the peer anew, measures, and stops it.

    Raises:
        Wrong: the peer does not start, answers wrongly or not at all.
    """
    try:
        log = f"{peer.name}-{case.name}.log"
        started = serve(peer, environment.python, settings.limits, settings.server_cores, log, case.environ)
        with started as server:
            _wait_until_up(case, server, settings)
            before, moment = server.usage(), machine.now()
            load_before = _children_cpu()
            measured = _load(case, peer, server, settings)
            after, end = server.usage(), machine.now()
            # Before the server has ended and counts among the children as well.
            load_seconds = _children_cpu() - load_before
    except ServerFailed as error:
        raise Wrong(f"the server {error}") from error
    server_seconds = after.cpu_seconds - before.cpu_seconds
    measured["other_load"] = machine.other_load(moment, end, server_seconds + load_seconds)
    measured.setdefault("server_cpu", server_seconds / (end.at - moment.at))
    measured.setdefault("rss_growth_kib", after.rss_kib - before.rss_kib)
    return measured


def _children_cpu() -> float:
    """CPU time of processes that have ended and been waited for: of the load, as long as the server lives."""
    times = os.times()
    return times.children_user + times.children_system


def _wait_until_up(case: Case, server: Server, settings: Settings) -> None:
    """Waits until the server answers rightly, which also brings it to load what it needs."""

    def answers() -> None:
        if case.load == "wrk":
            _hello(server)
        else:
            listens(server)
            path = case.path if case.path == "/polling" else "/echo"
            _run_load("echo", {**_target(server, path), **PROBE, "limit_seconds": 10.0}, settings)

    wait_until_up(server, answers)


def listens(server: Server) -> None:
    """Looks whether the server takes connections.

    Raises:
        Wrong: it does not.
    """
    if not accepts(server.port):
        raise Wrong("nobody listens")


def wait_until_up(server: Server, look: Callable[[], None]) -> None:
    """Looks again and again until nothing is wrong.

    Raises:
        Wrong: it was for too long.
        ServerFailed: the server has ended.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        server.usage()
        try:
            look()
        except Wrong as error:
            if time.monotonic() > deadline:
                raise Wrong(f"not up in {START_SECONDS:.0f} s: {error}; {last_lines(server.log)}") from error
            time.sleep(_POLL_SECONDS)
        else:
            return


def _hello(server: Server) -> None:
    try:
        with urlopen(f"http://127.0.0.1:{server.port}/hello", timeout=10) as response:
            body = response.read()
    except (URLError, OSError) as error:
        raise Wrong(str(error)) from error
    if body != b"hello":
        raise Wrong(f"the page is {body[:100]!r}")


def _target(server: Server, path: str, is_compressed: bool = False) -> dict[str, Any]:
    return {"target": {"address": f"127.0.0.1:{server.port}", "path": path, "is_compressed": is_compressed}}


def _load(case: Case, peer: Peer, server: Server, settings: Settings) -> dict[str, Any]:
    if case.load == "wrk":
        return _wrk(case, server, settings)
    durations = {
        "seconds": settings.seconds,
        "warm_up_seconds": settings.warm_up_seconds,
        "limit_seconds": settings.limit_seconds,
    }
    target = _target(server, path_of(case, peer), case.needs == "deflate")
    options = {**target, **durations, **case.options}
    if case.load == "idle":
        return _idle(case, options, server, settings)
    measured = _run_load(case.load, options, settings)
    if measured["count"] == 0:
        raise Wrong(f"not one within {settings.seconds:g} s")
    if case.load == "slow":
        measured["delivered_percent"] = 100 * measured["delivered_share"]
        measured["sent_percent"] = 100 * measured["sent_share"]
    return measured


def _run_load(name: str, options: dict[str, Any], settings: Settings) -> dict[str, Any]:
    command = [*pinned(settings.load_cores), str(settings.load), name, json.dumps(options)]
    longest = 3 * settings.limit_seconds + settings.seconds + settings.warm_up_seconds + _EXTRA_SECONDS
    try:
        done = subprocess.run(  # noqa: S603 - the load generator
            command, capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Wrong(f"the load did not end within {longest:.0f} s") from error
    return report_of(done.stdout, done.stderr, done.returncode)


def report_of(output: str, errors: str, status: int) -> dict[str, Any]:
    """What the load generator printed.

    Raises:
        Wrong: it says so, or it did not come to its end.
    """
    lines = output.splitlines()
    report: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if "error" in report:
        raise Wrong(str(report["error"]))
    if status != 0 or not report:
        raise Wrong(f"the load ended with {status}: {errors.strip()[-300:]}")
    return report


def _idle(case: Case, options: dict[str, Any], server: Server, settings: Settings) -> dict[str, Any]:
    """Memory and CPU of the server while clients hold their connections and say nothing."""
    before = server.usage()
    command = [*pinned(settings.load_cores), str(settings.load), "idle", json.dumps(options)]
    with subprocess.Popen(  # noqa: S603 - the load generator
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as load:
        assert load.stdout is not None
        first = load.stdout.readline()
        if '"opened"' not in first:
            output, errors = load.communicate()
            report_of(first + output, errors, load.returncode)
            raise Wrong(f"the load said {first!r}")
        held = json.loads(first)
        usage, begin = server.usage(), time.monotonic()
        time.sleep(settings.hold_seconds)
        seconds = time.monotonic() - begin
        after = server.usage()
        output, errors = load.communicate("\n", timeout=2 * settings.limit_seconds + _EXTRA_SECONDS)
    end = report_of(output, errors, load.returncode)
    if held["opened"] == 0:
        raise Wrong(f"no connection was opened: {held['reason']}")
    return {
        "opened": held["opened"],
        "open_seconds": held["seconds"],
        "not_all_because": held["reason"],
        "alive": end["alive"],
        "of": case.clients,
        "held_seconds": seconds,
        "kib_per_connection": (after.rss_kib - before.rss_kib) / held["opened"],
        "cpu_percent": 100 * (after.cpu_seconds - usage.cpu_seconds) / seconds,
    }


def _wrk(case: Case, server: Server, settings: Settings) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.port}{case.path}"
    measured: dict[str, Any] = {}
    for seconds in (settings.warm_up_seconds, settings.seconds):
        options = [
            "-t1",
            f"-c{case.clients}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "--timeout",
            "10s",
        ]
        began, cpu, before = time.monotonic(), _children_cpu(), server.usage()
        done = subprocess.run(  # noqa: S603
            [*pinned(settings.load_cores), "wrk", *options, url],
            capture_output=True,
            text=True,
            timeout=seconds + _EXTRA_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise Wrong(f"wrk: {(done.stderr or done.stdout).strip()[-300:]}")
        measured = wrk_report(done.stdout)
        measured["load_cpu"] = (_children_cpu() - cpu) / (time.monotonic() - began)
        server_seconds = server.usage().cpu_seconds - before.cpu_seconds
        measured["server_us"] = 1e6 * server_seconds / measured["count"]
    return measured


_MICROSECONDS: Final = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def wrk_report(text: str) -> dict[str, Any]:
    """The figures in what wrk prints.

    Raises:
        Wrong: a figure is missing, or some answers were no 2xx or 3xx or did not come.
    """
    spoilt = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text)
    if spoilt:
        raise Wrong(f"wrk: {spoilt[0]}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in ", text)
    latencies = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m)) *$", text, re.MULTILINE))
    if rate is not None and float(rate[1]) == 0:
        raise Wrong("wrk: not one answer")
    if rate is None or count is None or set(latencies) != {"50", "99"}:
        raise Wrong(f"wrk printed {text[-300:]!r}")
    report: dict[str, Any] = {"rate": float(rate[1]), "count": int(count[1])}
    for percent, latency in latencies.items():
        number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", latency).groups()  # type: ignore[union-attr]
        report[f"p{percent}_us"] = float(number) * _MICROSECONDS[unit]
    return report
