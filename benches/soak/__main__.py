"""The command line: see `--help`."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from peers import machine

from . import plot, verdict
from .clients import cast
from .server import COMMANDS, SITE, NotStarted, Server, serve, wrong_lines
from .sockets import PATIENCE_SECONDS

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target" / "soak"
PROGRESS_SECONDS = 10
SETTLE_SECONDS = 120.0
"""How long clients may take to finish what they have begun."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--server", choices=sorted(COMMANDS), default="gunicorn")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="seconds until what does not come counts as lost (%(default)s); to notice that the clients have "
        "gone the server may take twice as long, which is longer than any of its timeouts",
    )
    parser.add_argument("--site", type=Path, default=SITE, help="the folder of the project that is served")
    parser.add_argument("--folder", type=Path, default=TARGET, help="for soak.json, soak.svg and server.log")
    parser.add_argument(
        "--write", action="store_true", help="also write figures and graph into benches/soak/"
    )
    return parser.parse_args()


class Books:
    """What the clients tell, line by line, as it comes."""

    def __init__(self, pipe: IO[str]) -> None:
        """Reads the pipe to its end, in a thread."""
        self._lock = threading.Lock()
        self._latest: dict[str, Any] = {}
        self._faults: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(pipe,), name="soak-books", daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            told = json.loads(line)
            faults = told.pop("faults")
            for fault in faults:
                print(f"    {fault}", flush=True)
            with self._lock:
                self._faults += faults
                self._latest = told

    def latest(self) -> tuple[dict[str, Any], list[str]]:
        """The latest line, and all faults so far."""
        with self._lock:
            return dict(self._latest), list(self._faults)

    def join(self) -> None:
        """Waits for the end of the pipe."""
        self._thread.join()


def main() -> int:
    """Runs the soak; the status is 1 if the server did not stand it, 2 if there was none."""
    asked = arguments()
    try:
        cast(asked.sockets)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Five hundred sockets are as many descriptors for the clients, and three times as many for a server.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asked.folder.mkdir(parents=True, exist_ok=True)
    print(f"==> {asked.minutes:g} minutes with {asked.sockets} sockets under {asked.server}", flush=True)
    try:
        with serve(asked.server, asked.folder / "server.log", asked.site) as server:
            samples, final = soak(asked, server)
    except NotStarted as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = verdict.judge(samples, asked.minutes, final)
    write(asked, samples, final, found)
    tell(asked, final, found)
    return 1 if found.failures else 0


def soak(asked: argparse.Namespace, server: Server) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Lets the clients loose, samples each second, and ends everything in order."""
    command = [sys.executable, "-m", "soak.clients", str(server.port), "--sockets", str(asked.sockets)]
    command += ["--patience", str(asked.patience)]
    with subprocess.Popen(  # noqa: S603 - made of numbers
        command,
        cwd=HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as clients:
        assert clients.stdin is not None
        assert clients.stdout is not None
        books = Books(clients.stdout)
        # Nobody has opened anything yet: the clients are still being loaded.
        before = server.usage().descriptors
        try:
            samples = sample(60 * asked.minutes, server, books)
            clients.stdin.close()
            clients_status = clients.wait(SETTLE_SECONDS)
            books.join()
            left = descriptors_left(server, before, 2 * asked.patience)
            status = server.stop()
        finally:
            clients.kill()
    latest, faults = books.latest()
    final = {
        "status": status,
        "clients_status": clients_status,
        "descriptors_left": left,
        "counts": latest.get("counts", {}),
        "lost": latest.get("lost", 0),
        "faulty": latest.get("faulty", 0),
        "faults": faults,
        "wrong_lines": wrong_lines(server.log.read_text(encoding="utf-8", errors="replace")),
    }
    return samples, final


def descriptors_left(server: Server, before: int, patience: float) -> int:
    """How many descriptors more than before the server has, once it has noticed that everybody has gone.

    It is given ``patience`` seconds for that.
    """
    deadline = time.monotonic() + patience
    try:
        while (left := server.usage().descriptors - before) > 0 and time.monotonic() < deadline:
            time.sleep(0.1)
    except OSError:
        # It has ended, which its status tells.
        return 0
    return left


def sample(seconds: float, server: Server, books: Books) -> list[dict[str, Any]]:
    """The figures of each second; ends early where the server does."""
    samples: list[dict[str, Any]] = []
    begin = time.monotonic()
    due = begin
    while (due := due + 1) <= begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            used = server.usage()
        except OSError as error:
            print(f"==> The server is not there any more: {error}", flush=True)
            break
        told, _ = books.latest()
        samples.append(
            {
                "at": round(time.monotonic() - begin, 2),
                **asdict(used),
                **{name: told.get(name) for name in ("open", "p50", "p99", "late")},
            }
        )
        if len(samples) % PROGRESS_SECONDS == 0:
            print(progress(samples[-1], told), flush=True)
    return samples


def progress(latest: dict[str, Any], told: dict[str, Any]) -> str:
    """A line for the terminal."""
    counts = told.get("counts", {})
    p50, p99 = (f"{told[name]:.1f}" if told.get(name) is not None else "-" for name in ("p50", "p99"))
    return (
        f"{latest['at'] / 60:5.1f} min  {latest['pss'] / 2**20:6.1f} MiB  {latest['threads']:4} threads  "
        f"{latest['descriptors']:4} descriptors  {latest['open'] or 0:4} open  p50 {p50} ms  p99 {p99} ms  "
        f"{counts.get('echoes', 0):,} echoes  {counts.get('deliveries', 0):,} deliveries  "
        f"{told.get('lost', 0)} lost  {told.get('faulty', 0)} wrong"
    )


def write(
    asked: argparse.Namespace, samples: list[dict[str, Any]], final: dict[str, Any], found: verdict.Verdict
) -> None:
    """Keeps everything in soak.json, and draws soak.svg; what is to be committed has no samples."""
    about = {
        **machine.describe(),
        "minutes": asked.minutes,
        "sockets": asked.sockets,
        "server": asked.server,
        "warm_up_share": verdict.WARM_UP_SHARE,
    }
    percents = {name: slope.percent for name, slope in found.slopes.items()}
    result = {
        "about": about,
        "percent_an_hour": percents,
        "failures": found.failures,
        "undecided": found.undecided,
        **final,
    }
    title = f"{asked.sockets} sockets for {asked.minutes:g} minutes under {asked.server}"
    note = f"{about['date']}, {about['processor']}, commit {about['commit']}"
    drawing = plot.graph(title, note, samples)
    kept = {asked.folder: {**result, "samples": samples}, **({HERE: result} if asked.write else {})}
    for folder, content in kept.items():
        (folder / "soak.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (folder / "soak.svg").write_text(drawing, encoding="utf-8")


def tell(asked: argparse.Namespace, final: dict[str, Any], found: verdict.Verdict) -> None:
    """Prints the verdict."""
    print("==> " + ", ".join(f"{count:,} {name}" for name, count in sorted(final["counts"].items())))
    print(f"==> Slopes without the first {verdict.WARM_UP_SHARE:.0%} (Theil-Sen, medians of a minute):")
    for name, slope in found.slopes.items():
        divisor = 2**20 if name == "pss" else 1
        print(
            f"    {verdict.JUDGED[name]:<14} {slope.level / divisor:9.1f}  {slope.per_hour / divisor:+9.2f} "
            f"an hour ({slope.least_per_hour / divisor:+.2f} to {slope.most_per_hour / divisor:+.2f})  "
            f"{slope.percent:+7.2f} %"
        )
    if not found.judges_slopes:
        least = verdict.JUDGED_FROM_MINUTES
        print(f"    (not judged: in less than {least:g} minutes they are mostly noise)")
    folder = HERE if asked.write else asked.folder
    print(f"==> {folder / 'soak.json'}, {folder / 'soak.svg'}")
    for growth in found.undecided:
        print(
            f"==> UNDECIDED: {growth}, which is less than it varies: run it longer, or on a quieter machine"
        )
    for failure in found.failures:
        print(f"==> FAILED: {failure}")
    if not found.failures:
        print("==> Stood: no message lost, no answer wrong, no traceback")


if __name__ == "__main__":
    sys.exit(main())
