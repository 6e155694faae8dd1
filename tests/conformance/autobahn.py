"""Runs the Autobahn test suite against the example project under ``manage.py runserver``.

The suite is a program for Python 2.7; this one makes its environment under ``target/autobahn`` from the pins
in ``requirements-py27.txt``. The result of each case is compared with ``expected.json``; a difference is an
error, and so is a result that is not good, expected or not.

The cases are cut into parts, and as many processes of the suite as there are processors take one part after
the other, against one and the same server.

    python tests/conformance/autobahn.py [--update] [--cases 5.* 6.*] [--without-python-2 skip]
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target" / "autobahn"
REPORTS = FOLDER / "reports"
EXPECTED = HERE / "expected.json"
REQUIREMENTS = HERE / "requirements-py27.txt"

PARTS = [
    # Of large messages, and of a thousand compressed ones each, from which nearly all the time goes.
    *([f"{section}.*"] for section in ("9", *(f"12.{part}" for part in range(1, 6)))),
    *([f"13.{part}.*"] for part in range(1, 8)),
    [f"{section}.*" for section in (1, 2, 3, 4, 5, 6, 7, 10)],
]
"""The cases that are run by default, all 517: the patterns of each part."""

GOOD = {"OK", "INFORMATIONAL"}
SERVER_START_SECONDS = 60
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")

Results = dict[str, list[str]]
"""By case: what the suite says of its behavior, and of its close."""


class CannotRun(Exception):
    """The suite cannot be run here; the text says what to do."""


def main() -> int:
    """Runs the suite and prints what it found.

    Returns:
        The exit status: 0 when every result is the expected one.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", help="cases or patterns such as 5.*; without it, all")
    parser.add_argument("--update", action="store_true", help="write the results to expected.json")
    parser.add_argument(
        "--without-python-2",
        choices=["fail", "skip"],
        default="fail",
        help="what to do on a machine that has no Python 2.7",
    )
    options = parser.parse_args()
    try:
        wstest = installed_suite()
    except CannotRun as reason:
        print(f"conformance: {reason}", file=sys.stderr)
        return 1 if options.without_python_2 == "fail" else 0
    with example_server() as port:
        results = run_parts(wstest, port, [[case] for case in options.cases] if options.cases else PARTS)
    if options.update:
        update(results)
    return report(results, whole=not options.cases)


def installed_suite() -> Path:
    """The suite's program, installed when it is not there yet.

    Raises:
        CannotRun: no Python 2.7.
    """
    wstest = FOLDER / "python2.7" / "bin" / "wstest"
    stamp = FOLDER / "installed.txt"
    pins = REQUIREMENTS.read_text(encoding="ascii")
    if wstest.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == pins:
        return wstest
    python2 = find_python2()
    print(f"==> Installing the Autobahn test suite into {FOLDER.relative_to(ROOT)}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    tool = FOLDER / "virtualenv"
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "venv", tool], check=True)
    # The last line of virtualenv that makes environments of Python 2.7.
    subprocess.run([tool / "bin" / "python", *pip, "virtualenv<20.22"], check=True)
    subprocess.run([tool / "bin" / "virtualenv", "--quiet", "-p", python2, FOLDER / "python2.7"], check=True)
    # pip for Python 2.7 tells that its time is over, on every run.
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([FOLDER / "python2.7" / "bin" / "python", *pip, "-r", REQUIREMENTS], check=True, env=quiet)
    stamp.write_text(pins, encoding="ascii")
    return wstest


def find_python2() -> str:
    """The path of a Python 2.7: on PATH, or of pyenv.

    Raises:
        CannotRun: there is none.
    """
    candidates = [shutil.which("python2.7"), shutil.which("python2")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted(map(str, pyenv.glob("versions/2.7.*/bin/python2.7")), reverse=True)
    for candidate in candidates:
        if candidate is None:
            continue
        version = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if "Python 2.7" in version.stdout + version.stderr:
            return candidate
    raise CannotRun(
        "the Autobahn test suite needs Python 2.7, which is not on this machine. "
        "Install it with `pyenv install 2.7.18` and try again."
    )


@contextmanager
def example_server() -> Iterator[int]:
    """The example project on a free port, which is given.

    Raises:
        CannotRun: it does not start, or has something to say on standard error.
    """
    # A shell starts background jobs with SIGINT ignored, and the server would inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "conformance_settings",
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        "PYTHONUNBUFFERED": "1",
    }
    log = FOLDER / "server.log"
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", "127.0.0.1:0"],
            cwd=ROOT / "examples" / "article",
            env=environ,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            port = port_of(server.stdout)
            if port is None:
                raise CannotRun(f"the example project did not start; see {log}")
            yield port
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def port_of(output: IO[str]) -> int | None:
    """The port in the server's banner; what comes behind it is read and dropped. None: it ended before."""
    found: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def read() -> None:
        for line in output:
            if match := ADDRESS.search(line):
                found.put(int(match[1]))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        return found.get(timeout=SERVER_START_SECONDS)
    except queue.Empty:
        return None


def run_parts(wstest: Path, port: int, parts: list[list[str]]) -> Results:
    """Runs the parts, as many at once as there are processors, telling how far they are.

    Raises:
        CannotRun: the suite ended with an error of its own, or ran a case twice.
    """
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir()
    processes = os.cpu_count() or 2
    print(f"==> Autobahn: {processes} times the suite against the example project on port {port}", flush=True)
    begin = time.monotonic()
    results: Results = {}
    with ThreadPoolExecutor(processes) as pool:
        running = {pool.submit(run_part, wstest, port, part): part for part in parts}
        try:
            for future in as_completed(running):
                found = future.result()
                if twice := results.keys() & found.keys():
                    raise CannotRun(f"these cases are in two parts: {', '.join(sorted(twice))}")
                results |= found
                name = " ".join(running[future])
                print(f"    {name}: {len(found)} cases, at {time.monotonic() - begin:.0f} s", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    return {case: results[case] for case in sorted(results, key=by_number)}


def run_part(wstest: Path, port: int, cases: list[str]) -> Results:
    """Runs the suite on some cases.

    Raises:
        CannotRun: it ended with an error of its own.
    """
    name = cases[0].replace(".*", "").replace("*", "all")
    folder = REPORTS / name
    folder.mkdir()
    server = {"agent": "dwebsocket", "url": f"ws://127.0.0.1:{port}/echo/", "options": {"version": 18}}
    spec = {
        "outdir": str(folder),
        "servers": [server],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec), encoding="ascii")
    log = folder / "wstest.log"
    with log.open("w", encoding="utf-8") as output:
        command = [wstest, "-m", "fuzzingclient", "-s", "spec.json"]
        suite = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=False)
    index = folder / "index.json"
    if suite.returncode != 0 or not index.exists():
        raise CannotRun(f"the suite ended with status {suite.returncode}; see {log}")
    found = json.loads(index.read_text(encoding="utf-8"))["dwebsocket"]
    return {case: [found[case]["behavior"], found[case]["behaviorClose"]] for case in found}


def by_number(case: str) -> list[int]:
    """Sorts 9.1.10 behind 9.1.9."""
    return [int(part) for part in case.split(".")]


def update(results: Results) -> None:
    """Writes the results down as the expected ones; those of cases that were not run stay."""
    expected: Results = json.loads(EXPECTED.read_text(encoding="ascii")) if EXPECTED.exists() else {}
    expected.update(results)
    lines = [
        f"  {json.dumps(case)}: {json.dumps(expected[case])}" for case in sorted(expected, key=by_number)
    ]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")
    print(f"==> Written to {EXPECTED.relative_to(ROOT)}")


def report(results: Results, whole: bool) -> int:
    """Prints the sums, every case that is not as expected, and every one that is not good.

    Returns:
        The exit status.
    """
    expected: Results = json.loads(EXPECTED.read_text(encoding="ascii"))
    different = {case for case, result in results.items() if expected.get(case) != result}
    missing = set(expected) - set(results) if whole else set()
    sums = collections.Counter(behavior for behavior, _ in results.values())
    print(
        f"==> Autobahn: {len(results)} cases: " + ", ".join(f"{sums[name]} {name}" for name in sorted(sums))
    )
    for case in sorted(different, key=by_number):
        print(f"error: case {case} gave {results[case]}, expected {expected.get(case)}", file=sys.stderr)
    for case in sorted(missing, key=by_number):
        print(f"error: case {case} was not run", file=sys.stderr)
    bad = [case for case, result in results.items() if not GOOD.issuperset(result)]
    for case in bad:
        print(f"error: case {case} is {results[case]}", file=sys.stderr)
    if different or missing or bad:
        print(f"The reports: {REPORTS}/*/index.html", file=sys.stderr)
    return 1 if different or missing or bad else 0


if __name__ == "__main__":
    sys.exit(main())
