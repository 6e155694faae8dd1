"""The server under soak as processes: started, sampled from outside, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

SITE: Final = Path(__file__).resolve().parent / "site"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
LOOK_SECONDS: Final = 0.05

COMMANDS: Final = {
    "gunicorn": (
        *("-m", "gunicorn", "--worker-class", "dwebsocket.gunicorn.Worker", "--workers", "1"),
        *("--bind", "127.0.0.1:0", "--no-control-socket", "project.wsgi"),
    ),
    "runserver": ("manage.py", "runserver", "--noreload", "127.0.0.1:0"),
}
"""Arguments of Python, by what `--server` calls the server."""
STOP_SIGNALS: Final = {"gunicorn": signal.SIGTERM, "runserver": signal.SIGINT}

_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:(\d+)")
_WRONG: Final = re.compile(r"^Traceback |panicked at|\[(ERROR|CRITICAL)\]|^Exception ignored|^Fatal ")


class NotStarted(Exception):
    """The server did not come up; the text has what it said."""


@dataclass(frozen=True)
class Usage:
    """What processes have of the machine, all together.

    Attributes:
        rss: resident bytes, what they share counted for each.
        pss: resident bytes, what they share counted once.
        threads: of Python and others.
        descriptors: open ones.
    """

    rss: int
    pss: int
    threads: int
    descriptors: int


def usage(processes: list[int]) -> Usage:
    """What they have now.

    Raises:
        OSError: one of them is not there any more.
    """
    rss = pss = threads = descriptors = 0
    for process in processes:
        folder = Path(f"/proc/{process}")
        for line in (folder / "smaps_rollup").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            rss += int(rest.split()[0]) << 10 if name == "Rss" else 0
            pss += int(rest.split()[0]) << 10 if name == "Pss" else 0
        threads += len(os.listdir(folder / "task"))
        descriptors += len(os.listdir(folder / "fd"))
    return Usage(rss, pss, threads, descriptors)


def wrong_lines(log: str) -> list[str]:
    """Lines of a server's output that no client's behaviour excuses: tracebacks, panics, errors."""
    return [line for line in log.splitlines() if _WRONG.search(line)]


class Server:
    """A running server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        log: the file with all that it says.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, log: Path, stop_signal: signal.Signals
    ) -> None:
        """Takes over a process that listens, and that a signal ends in order."""
        self._process = process
        self._stop_signal = stop_signal
        self.port = port
        self.log = log

    def usage(self) -> Usage:
        """What it has now, with all its processes.

        Raises:
            OSError: one of its processes has ended.
        """
        children = psutil.Process(self._process.pid).children(recursive=True)
        return usage([self._process.pid, *(child.pid for child in children)])

    def stop(self) -> int:
        """Ends it in order; gives the exit status.

        Raises:
            TimeoutExpired: it does not end.
        """
        self._process.send_signal(self._stop_signal)
        return self._process.wait(STOP_SECONDS)


@contextlib.contextmanager
def serve(kind: str, log: Path, site: Path = SITE) -> Iterator[Server]:
    """The project under a server.

    Args:
        kind: a key of `COMMANDS`.
        log: the file for what it says; overwritten.
        site: the folder with manage.py.

    Raises:
        NotStarted: it does not listen within a minute.
    """
    environ = {
        **os.environ,
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    # A shell starts background jobs with SIGINT ignored, and the server would inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the commands are those above
            [sys.executable, *COMMANDS[kind]],
            cwd=site,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, _port(process, log), log, STOP_SIGNALS[kind])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while True:
        said = log.read_text(encoding="utf-8", errors="replace")
        found = _ADDRESS.search(said)
        # gunicorn tells its address before it has loaded the project.
        if found and _answers(int(found[1])):
            return int(found[1])
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"the server does not start: {said[-2000:]}")
        time.sleep(LOOK_SECONDS)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LOOK_SECONDS * 20)
    try:
        connection.request("GET", "/hello/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
