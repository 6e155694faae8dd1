"""Attacks the example project under ``manage.py runserver`` while fifty clients with manners talk to it.

Each attack has to get its documented answer; none of the fifty may lose, double or reorder a message, or wait
for one; in the end the server has no more memory, descriptors and threads than before, and logged no error.

    python tests/hostile/run.py [--only NAME …] [--list] [--table] [--port PORT]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "python"))

import bodies
import connections
import deflate
import frames
import handshake
import http_abuse
import table
from attack import PATIENCE, Attack, Target
from log import LEVELS, Log, line_of

from server import NotStarted, Server, Usage, example_server
from wire import TEXT, close, frame

THEMES: dict[str, tuple[Attack, ...]] = {
    "Frames": frames.ATTACKS,
    "Compression": deflate.ATTACKS,
    "Handshakes": handshake.ATTACKS,
    "Connections": connections.ATTACKS,
    "HTTP": (*http_abuse.ATTACKS, *bodies.ATTACKS),
}
ATTACKS = [attack for attacks in THEMES.values() for attack in attacks]

HERE = Path(__file__).resolve().parent
CLIENTS = 50
AT_ONCE = 12
"""Attacks under way at the same time, but for those that want to be alone."""

MOST_MILLISECONDS = 100.0
"""The 99th percentile of the clients' round trips, over the whole run."""

LINGER_SECONDS = 10.0
"""How long the server keeps a thread that has nothing to do."""

MEMORY_SLACK = 15 << 20
"""Resident bytes that may be more in the end than before.

What threads have freed of small objects stays in heaps of theirs, more or less of it, and is used again: from
one round of attacks to the next it is some MiB more, or less. A single message of the largest size, if it
were kept, would be more than this.
"""


def main() -> int:
    """Runs what the command line asks for.

    Returns:
        The exit status: 0 when everything held.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these attacks")
    parser.add_argument("--list", action="store_true", help="print the attacks and their answers")
    parser.add_argument("--table", action="store_true", help="write the table of README.md")
    parser.add_argument("--port", type=int, help="attack what listens there on 127.0.0.1; only answers count")
    options = parser.parse_args()
    if options.table:
        table.write(THEMES)
        return 0
    chosen = [(n, a) for n, a in enumerate(ATTACKS) if not options.only or a.name in options.only]
    if missing := set(options.only or ()) - {attack.name for _, attack in chosen}:
        parser.error(f"no such attack: {', '.join(sorted(missing))}")
    if options.list:
        for _, attack in chosen:
            print(f"{attack.name}: {attack.what} → {attack.answer}")
        return 0
    begin = time.monotonic()
    faults = faults_of_the_suite()
    if options.port:
        faults += attack_all(chosen, options.port, None)
    else:
        try:
            with example_server() as server:
                faults += besiege(server, chosen)
        except NotStarted as reason:
            faults.append(str(reason))
    for fault in faults:
        print(f"FAILED: {fault}", flush=True)
    print(f"==> {len(chosen)} attacks, {len(faults)} failures, {time.monotonic() - begin:.0f} s")
    return 1 if faults else 0


def faults_of_the_suite() -> list[str]:
    """Names that are there twice, and a table that is not up to date."""
    names = [attack.name for attack in ATTACKS]
    faults = [f"two attacks are named {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    if not table.is_up_to_date(THEMES):
        faults.append("the table of tests/hostile/README.md is not up to date: run.py --table writes it")
    return faults


def besiege(server: Server, chosen: Sequence[tuple[int, Attack]]) -> list[str]:
    """Lets the neighbours talk, attacks, and looks at what is left."""
    warm_up(server.port)
    with neighbours(server.port) as clients:
        begin_period(clients, "before")
        # Not a wait for something: the time in which the round trips without attacks are measured.
        time.sleep(LINGER_SECONDS + 2)
        before = server.usage()
        print(f"==> Before: {before}", flush=True)
        # The attacker's own work is not the server's: elsewhere it would be another machine's.
        os.nice(10)
        begin_period(clients, "attack")
        faults = attack_all(chosen, server.port, server.log)
        begin_period(clients, "after")
        faults += not_given_back(server, before)
        report, _ = clients.communicate(timeout=2 * PATIENCE)
    faults += faults_of_neighbours(json.loads(report))
    if (status := server.stop()) != 0:
        faults.append(f"the server ended with status {status}")
    if errors := server.errors():
        faults.append(f"on standard error: {errors[-2000:]}")
    return faults + faults_in_log([line_of(record) for record in server.log.read()], chosen)


def warm_up(port: int) -> None:
    """Ordinary traffic: what the process takes once, and keeps, is not a leak."""

    def page(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/static/scenes/page.css" if number % 2 else "/chat/oneself/")
        connection.getresponse().read()
        connection.close()

    target = Target(port, "warm-up", 0)
    with contextlib.ExitStack() as closing:
        peers = [closing.enter_context(target.open(further=number % 10)) for number in range(300)]
        for size in (10, 1_000, 100_000):
            for peer in peers:
                peer.send(frame(0x80 | TEXT, b"x" * size))
            for peer in peers:
                peer.messages(1)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(page, range(200)))
        for peer in peers:
            peer.send(close(1000))
            peer.ending()


@contextlib.contextmanager
def neighbours(port: int) -> Iterator[subprocess.Popen[str]]:
    """The clients with manners, once all are connected."""
    command = [sys.executable, str(HERE / "neighbours.py"), str(port), "--clients", str(CLIENTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def begin_period(clients: subprocess.Popen[str], name: str) -> None:
    """Lets the neighbours count by another name from now on."""
    assert clients.stdin is not None
    clients.stdin.write(f"{name}\n")
    clients.stdin.flush()


def attack_all(chosen: Sequence[tuple[int, Attack]], port: int, log: Log | None) -> list[str]:
    """Runs the attacks, those that may be many at once first. Prints a line for each."""
    faults: list[str] = []

    def carry_out(numbered: tuple[int, Attack]) -> None:
        number, attack = numbered
        begin = time.monotonic()
        fault = fault_of(attack, Target(port, attack.name, number, log), log)
        seconds = time.monotonic() - begin
        outcome = f"FAILED, {fault}" if fault else "ok"
        # One write, since others write at the same time.
        sys.stdout.write(f"{attack.name}: {attack.what} → {attack.answer}: {outcome} ({seconds:.1f} s)\n")
        sys.stdout.flush()
        if fault:
            faults.append(f"{attack.name}: {fault}")

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        # The slow ones wait for time-outs, and are best begun first.
        list(pool.map(carry_out, reversed([each for each in chosen if not each[1].alone])))
    for numbered in chosen:
        if numbered[1].alone:
            carry_out(numbered)
    return faults


def fault_of(attack: Attack, target: Target, log: Log | None) -> str | None:
    """What is wrong with the answer, or with what the log says of it; None: nothing."""
    try:
        answer = attack.run(target)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this attack's answer
        return f"{type(error).__name__}: {error}"
    if answer != attack.answer:
        return f"the answer was {answer!r}"
    if log and attack.log and not log.wait_for(lambda line: tells(line, attack, target), PATIENCE):
        return f"the log does not say {attack.log!r}"
    return None


def tells(line: str, attack: Attack, target: Target) -> bool:
    """Whether a line of the log says what the attack is to be known by."""
    level, _, words = attack.log.partition(" ")
    of_this = target.owns(line) or is_of_several(line) or not re.search(r"\?[a-z]|127\.\d+\.[1-9]", line)
    return line.startswith(f"{level} ") and words in line and of_this


def is_of_several(line: str) -> bool:
    """Whether a line counts refusals of several attacks together, though it names only the last address."""
    return "(last from" in line


def faults_in_log(lines: Sequence[str], chosen: Sequence[tuple[int, Attack]]) -> list[str]:
    """Lines above WARNING, warnings that no attack explains, and lines on attacks that are to leave none."""
    faults = []
    targets = [(attack, Target(0, attack.name, number)) for number, attack in chosen]
    for line in lines:
        level = line.partition(" ")[0]
        about = next((attack for attack, target in targets if target.owns(line)), None)
        about = None if is_of_several(line) else about
        if level not in LEVELS:
            faults.append(f"in the log: {line}")
        elif about is not None and not about.log:
            faults.append(f"{about.name} is to leave no line in the log, but: {line}")
        elif level == "WARNING":
            explained = (
                about.log.startswith(level)
                if about
                else any(
                    attack.log.startswith(level) and tells(line, attack, target) for attack, target in targets
                )
            )
            if not explained:
                faults.append(f"no attack explains: {line}")
    return faults


def not_given_back(server: Server, before: Usage) -> list[str]:
    """Waits for the server to have no more than before; gives what it does not give back."""
    deadline = time.monotonic() + LINGER_SECONDS + PATIENCE
    while True:
        now = server.usage()
        kept = {
            "memory": now.memory > before.memory + MEMORY_SLACK,
            "descriptors": now.descriptors > before.descriptors,
            "threads": now.threads > before.threads,
        }
        if not any(kept.values()) or time.monotonic() > deadline:
            print(f"==> After: {now}", flush=True)
            return [f"{name} not given back: {before} before, {now} after" for name in kept if kept[name]]
        time.sleep(0.25)


def faults_of_neighbours(report: dict[str, Any]) -> list[str]:
    """Prints the round trips of the clients with manners; gives what was wrong with them."""
    for period, figures in report["periods"].items():
        milliseconds = ", ".join(f"{name} {figures[name]:.1f} ms" for name in figures if name != "count")
        print(f"==> {CLIENTS} clients, {period}: {figures['count']} round trips, {milliseconds}")
    late = report["late"]
    # What no server is to blame for: how late their own timers rang.
    print(f"==> They were late to send by: p99 {late['p99']:.1f} ms, p100 {late['p100']:.1f} ms")
    faults = list(report["faults"])
    most = MOST_MILLISECONDS + late["p99"]
    if (p99 := report["periods"]["whole"]["p99"]) >= most:
        faults.append(f"the p99 of the clients' round trips was {p99:.1f} ms, not below {most:.1f}")
    return faults


if __name__ == "__main__":
    sys.exit(main())
