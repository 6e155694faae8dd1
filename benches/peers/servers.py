"""Servers as processes: started on one core, watched, and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from .environments import APPS, TARGET
from .peers import NOTHING, Peer

_STOP_SECONDS: Final = 3.0
_LAST_LINES: Final = 4


class ServerFailed(Exception):
    """A server did not start, or ended; the text says why."""


@dataclass(frozen=True)
class Usage:
    """What a process and its children have used.

    Attributes:
        cpu_seconds: of all threads, in user and in system mode.
        rss_kib: resident memory, what they share counted for each.
    """

    cpu_seconds: float
    rss_kib: float


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, parts: list[int]) -> None:
        """Watches processes that were started.

        Args:
            process: the server.
            port: where it listens.
            log: what it says.
            parts: further processes that it cannot do without.
        """
        self.port = port
        self.log = log
        self._process = process
        self._pids = [process.pid, *parts]

    def usage(self) -> Usage:
        """What it has used until now.

        Raises:
            ServerFailed: it has ended.
        """
        if self._process.poll() is not None:
            raise ServerFailed(f"ended with {self._process.returncode}: {last_lines(self.log)}")
        cpu, rss = 0.0, 0.0
        for process in self._processes():
            # A child may end while it is being looked at.
            with suppress(psutil.NoSuchProcess), process.oneshot():
                times = process.cpu_times()
                cpu += times.user + times.system
                rss += process.memory_info().rss / 1024
        return Usage(cpu, rss)

    def pss_kib(self) -> float:
        """Memory of its own, and its share of what it shares with others (proc(5): PSS)."""
        pss = 0.0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                pss += process.memory_full_info().pss / 1024
        return pss

    def _processes(self) -> Iterator[psutil.Process]:
        for pid in self._pids:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                yield process
                yield from process.children(recursive=True)


def last_lines(log: Path) -> str:
    """The end of what a server said, on one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:])


def free_port() -> int:
    """A port that nobody listens on just now; most peers cannot tell which one they have taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(
    peer: Peer,
    python: Path | None,
    limits: Path,
    cores: str,
    log_name: str,
    additions: Mapping[str, str] = NOTHING,
) -> Iterator[Server]:
    """Starts a peer; it may not be listening yet. At the end it is stopped, gently at first.

    Args:
        peer: what to start.
        python: the interpreter of its environment.
        limits: the program of the limits.
        cores: what `taskset -c` pins it to.
        log_name: of the file for what it says.
        additions: to its environment variables, of the case.
    """
    port = free_port()
    places = {"port": port, "limits": limits, "python": python, "bin": python and python.parent}
    command = [part.format(**places) for part in peer.command]
    environ = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BENCH_MODULES": str(TARGET / "node" / "node_modules"),
    }
    environ.update({**peer.environ, **additions})
    folder = APPS.parent / peer.folder
    with redis(peer, cores) as (address, parts):
        environ["BENCH_REDIS"] = address
        with running([*pinned(cores), *command], folder, environ, log_name) as (process, log):
            yield Server(process, port, log, parts)


def pinned(cores: str) -> list[str]:
    """The words before a command that pin it to cores; none to leave it where it is."""
    return ["taskset", "-c", cores] if cores else []


@contextmanager
def redis(peer: Peer, cores: str) -> Iterator[tuple[str, list[int]]]:
    """A Redis server for a peer that needs one: its address and process."""
    if not peer.needs_redis:
        yield "", []
        return
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
    command = [*pinned(cores), "redis-server", *options]
    with running(command, TARGET, dict(os.environ), "redis.log") as (process, log):
        deadline = time.monotonic() + 20
        while not accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"redis-server does not start: {last_lines(log)}")
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}", [process.pid]


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: list[str], folder: Path, environ: dict[str, str], log_name: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process with a group of its own, whose output goes to a file; the group is ended at the end."""
    log = TARGET / "logs" / log_name
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = _start(command, folder, environ, output)
    try:
        yield process, log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # What is left of the group, also where its first process has ended.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(
    command: list[str], folder: Path, environ: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - the commands are those of the table
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ServerFailed(f"does not start: {error}") from error
