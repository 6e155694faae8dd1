"""The example project in a process of its own: what it logs, and what it takes of the machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from log import Log

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target" / "hostile"
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")
START_SECONDS = 60


class NotStarted(Exception):
    """The server did not come up; the text says where it tells why."""


@dataclass(frozen=True)
class Usage:
    """What a process has of the machine.

    Attributes:
        memory: resident bytes.
        peak: the most resident bytes so far.
        descriptors: open ones.
        threads: of Python and others.
    """

    memory: int
    peak: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        mebibytes = f"{self.memory / 2**20:.1f} MiB (peak {self.peak / 2**20:.1f})"
        return f"{mebibytes}, {self.descriptors} descriptors, {self.threads} threads"


class Server:
    """The running server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        log: what it logs.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, log: Log, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self.port = port
        self.log = log

    def usage(self) -> Usage:
        """What the process has now."""
        folder = Path(f"/proc/{self._process.pid}")
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text(encoding="ascii").splitlines()
        )
        memory, peak = (int(status[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))
        return Usage(memory, peak, len(os.listdir(folder / "fd")), int(status["Threads"]))

    def errors(self) -> str:
        """What came on standard error, where the log does not go."""
        return self._errors.read_text(encoding="utf-8")

    def stop(self) -> int:
        """Ends it as Ctrl-C does; gives the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(30)


@contextmanager
def example_server() -> Iterator[Server]:
    """The example project on a free port, with the settings of the suite.

    Raises:
        NotStarted: it did not come up.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    # A shell starts background jobs with SIGINT ignored, and the server would inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    log, errors = FOLDER / "log.jsonl", FOLDER / "stderr.txt"
    log.write_text("")
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "hostile_settings",
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        "PYTHONUNBUFFERED": "1",
        "HOSTILE_LOG": str(log),
        # By itself the C library raises this bound to the largest piece freed so far, and keeps what is less.
        # Then resident memory would say how much was needed once, and not how much is still held.
        "MALLOC_MMAP_THRESHOLD_": str(128 << 10),
    }
    command = [sys.executable, "manage.py", "runserver", "--noreload", "127.0.0.1:0"]
    folder = ROOT / "examples" / "article"
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            yield Server(process, port_of(process), Log(log), errors)
        finally:
            if process.poll() is None:
                process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    """The port in the banner, which is all that comes on standard output.

    Raises:
        NotStarted: no banner came.
    """
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            if match := ADDRESS.search(line):
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return int(match[1])
    finally:
        timer.cancel()
    raise NotStarted(f"the example project did not start; see {FOLDER / 'stderr.txt'}")
