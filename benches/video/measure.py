"""One case at one peer, once."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Timer
from typing import IO, Any, Final
from urllib.request import urlopen

import psutil
from peers import machine
from peers.cases import Case
from peers.environments import ROOT, Environment
from peers.measure import Wrong, listens, report_of, wait_until_up
from peers.peers import Peer
from peers.servers import Server, ServerFailed, pinned, serve

from .cases import form_of, path_of
from .clips import FPS

QUICK_PROBING: Final = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "analyzeduration;1000000"}
"""FFmpeg looks at one second of the stream, and not at five, for the sound that the camera has not."""
_EXTRA_SECONDS: Final = 60.0
_ALONE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        load: the program of the load generator.
        clips: what the camera shows, by name.
        seconds: how long, after the warm-up.
        warm_up_seconds: how long not to measure at first.
        limit_seconds: how long all viewers may take to get their first picture.
        server_cores: what the server is pinned to; empty: to nothing.
        load_cores: the same of the load and of the camera.
    """

    load: Path
    clips: dict[str, Path]
    seconds: float = 8.0
    warm_up_seconds: float = 3.0
    limit_seconds: float = 60.0
    server_cores: str = ""
    load_cores: str = ""


@dataclass
class Camera:
    """A source that runs.

    Attributes:
        url: where its pictures are.
        frames: how many pictures its clip has; known once it has ended.
        sent: when each picture was sent; known once it has ended.
    """

    url: str
    process: psutil.Process
    frames: int = 0
    sent: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """What it has used until now."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def camera(clip: Path, cores: str) -> Iterator[Camera]:
    """A source in a process of its own; at the end it tells what it sent, unless that comes with an error."""
    command = [*pinned(cores), sys.executable, "-m", "video.source", str(clip), str(FPS)]
    with subprocess.Popen(  # noqa: S603 - our own
        command, cwd=ROOT / "benches", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise Wrong(f"the camera ended with {process.wait()}")
            shown = Camera(f"http://127.0.0.1:{port}/live.flv", psutil.Process(process.pid))
            yield shown
            output, _ = process.communicate(timeout=_EXTRA_SECONDS)
            told = json.loads(output)
            shown.frames, shown.sent = told["frames"], told["sent"]
        finally:
            process.kill()


def measure(case: Case, peer: Peer, environment: Environment, settings: Settings) -> dict[str, Any]:
    """Starts camera and peer anew, measures, and stops them.

    Raises:
        Wrong: one of them does not start, or what comes is wrong.
    """
    log = f"{peer.name}-{case.name}.log"
    try:
        with camera(settings.clips[case.options["clip"]], settings.load_cores) as source:
            additions = {"BENCH_SOURCE": source.url, **QUICK_PROBING}
            started = serve(peer, environment.python, Path(), settings.server_cores, log, additions)
            with started as server:
                wait_until_up(server, partial(listens, server))
                measured = _measure(case, peer, server, source, settings)
    except ServerFailed as error:
        raise Wrong(f"the server {error}") from error
    summarise(case, measured, source)
    return measured


def load_options(case: Case, peer: Peer, port: int, settings: Settings) -> dict[str, Any]:
    """What the load generator is told."""
    form = form_of(case, peer)
    return {
        "target": {
            "address": f"127.0.0.1:{port}",
            "path": path_of(case, peer),
            "is_stream": form == "multipart",
        },
        "form": form,
        "viewers": case.options["viewers"],
        "samplers": min(case.options["samplers"], case.options["viewers"]),
        "sample_every": 3,
        "slow_bytes_per_second": case.options.get("slow_bytes_per_second", 0.0),
        "seconds": settings.seconds,
        "warm_up_seconds": settings.warm_up_seconds,
        "limit_seconds": settings.limit_seconds,
    }


def _measure(case: Case, peer: Peer, server: Server, source: Camera, settings: Settings) -> dict[str, Any]:
    counts = case.options.get("counts", False)
    alone = [_count(server, _ALONE_SECONDS)] if counts else []
    beside: dict[str, float] = {}
    idle_kib = server.pss_kib()
    options = json.dumps(load_options(case, peer, server.port, settings))
    with subprocess.Popen(  # noqa: S603 - the load generator
        [*pinned(settings.load_cores), str(settings.load), "video", options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as load:
        try:
            _expect(load, '{"measures": true}')
            before, camera_before, begin = server.usage(), source.cpu_seconds(), machine.now()
            if counts:
                beside = _count(server, settings.seconds)
            _expect(load, '{"measures": false}')
            after, camera_after, end = server.usage(), source.cpu_seconds(), machine.now()
            pss_kib = server.pss_kib()
            measured = _end(load, settings.limit_seconds + _EXTRA_SECONDS)
        finally:
            load.kill()
    if counts:
        alone.append(_count(server, _ALONE_SECONDS))
        measured.update(beside)
        usual = statistics.mean(one["rate"] for one in alone)
        measured["counts_less_percent"] = 100 * (1 - beside["rate"] / usual)
    seconds = end.at - begin.at
    server_seconds = after.cpu_seconds - before.cpu_seconds
    own = server_seconds + camera_after - camera_before + measured["load_cpu"] * seconds
    measured["cpu_percent"] = 100 * server_seconds / seconds
    # Of the server by itself, not of the thread that counts in it.
    if counts:
        measured["cpu_percent"] -= 100 - beside["waited_percent"] - beside["preempted_percent"]
    if measured["pictures"] > 0:
        measured["cpu_us_each"] = 1e6 * server_seconds / measured["pictures"]
    measured["pss_mib"] = pss_kib / 1024
    measured["pss_kib_each"] = (pss_kib - idle_kib) / case.options["viewers"]
    measured["other_load"] = machine.other_load(begin, end, own)
    return measured


def _expect(load: subprocess.Popen[str], wanted: str) -> None:
    """Waits for a line of the load.

    Raises:
        Wrong: it says something else.
    """
    output: IO[str] | None = load.stdout
    assert output is not None
    line = output.readline()
    if line.strip() != wanted:
        _end(load, _EXTRA_SECONDS, line)
        raise Wrong(f"the load said {line!r}")


def _end(load: subprocess.Popen[str], seconds: float, line: str = "") -> dict[str, Any]:
    """What the load reports when it ends, which it does within so many seconds; `line` was read of it before.

    Raises:
        Wrong: as `report_of`.
    """
    assert load.stdout is not None
    assert load.stderr is not None
    late = Timer(seconds, load.kill)
    late.start()
    try:
        # Not by communicate(), which loses what the reading of a line has already taken from the pipe.
        output, errors = line + load.stdout.read(), load.stderr.read()
        return report_of(output, errors, load.wait())
    finally:
        late.cancel()


def _count(server: Server, seconds: float) -> dict[str, float]:
    """What a thread counts in the server within some seconds."""
    url = f"http://127.0.0.1:{server.port}/count?seconds={seconds}"
    with urlopen(url, timeout=seconds + _EXTRA_SECONDS) as response:
        counted: dict[str, float] = json.load(response)
    return counted


def summarise(case: Case, measured: dict[str, Any], source: Camera) -> None:
    """Puts latencies in place of samples.

    Raises:
        Wrong: as `latencies`; or the slow viewer got nothing.
    """
    ages = latencies(measured.pop("samples"), source)
    if ages:
        measured["samples"] = len(ages)
        measured["p50_ms"], measured["p99_ms"] = 1e3 * percentile(ages, 50), 1e3 * percentile(ages, 99)
    slow = latencies(measured.pop("slow_samples"), source)
    if "slow_bytes_per_second" in case.options and not slow:
        raise Wrong("the slow viewer got no picture")
    if slow:
        measured["slow_pictures"] = len(slow)
        measured["slow_p50_ms"], measured["slow_most_ms"] = 1e3 * percentile(slow, 50), 1e3 * max(slow)


def latencies(samples: Sequence[dict[str, Any]], source: Camera) -> list[float]:
    """How long after it was sent by the camera each picture had come, in seconds.

    A number comes again with each turn of the clip: it is of the last turn that had been sent by then.

    Raises:
        Wrong: a picture came that had not been sent.
    """
    ages = []
    for sample in samples:
        sent = [moment for moment in source.sent[sample["number"] :: source.frames] if moment <= sample["at"]]
        if not sent or sample["number"] >= source.frames:
            raise Wrong(f"picture {sample['number']} came, which was not sent yet")
        ages.append(sample["at"] - sent[-1])
    return ages


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
