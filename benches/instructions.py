"""How many instructions the echo path executes for a message, beside the committed figures.

`make bench-instructions` compares and fails where a case differs by more than 5 %, slower or faster, so that
a slow-down is seen without a clock and a gain becomes what is defended; with `--update` it writes the figures
instead.

The figures hold for the compiler they were made with: with another one they are printed and not compared,
since the same code may well come to a few per cent more or less.

A copy of some KiB is one instruction to a processor (`rep movsb`), and one for each byte to callgrind, which
would make copies nearly all there is to a long message. So the C library is told to copy and to fill memory
in a loop, a vector at a time, as it does with fewer bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
COMMITTED: Final = Path(__file__).with_suffix(".json")
TOLERANCE: Final = 0.05
CASES: Final = {
    "single": (3200, "text of 125 bytes, one at a time"),
    "burst": (9600, "text of 125 bytes, 32 at a time"),
    "long": (640, "binary of 16 KiB, one at a time"),
}
"""By name: how many messages are counted, and what they are."""

_SECONDS: Final = 300
_NEVER: Final = str(1 << 30)
_TUNABLES: Final = f"glibc.cpu.x86_rep_movsb_threshold={_NEVER}:glibc.cpu.x86_rep_stosb_threshold={_NEVER}"


class Failed(Exception):
    """Nothing can be counted; the text says why."""


def build() -> Path:
    """Builds the program that is counted, with the profile of a release, and gives its path."""
    command = ["cargo", "bench", "--no-run", "--quiet", "--no-default-features", "--bench", "instructions"]
    for line in _run([*command, "--message-format=json"]).stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return Path(message["executable"])
    raise Failed("cargo built no program")


def compiler() -> dict[str, str]:
    """Version and target of the compiler."""
    text = _run(["rustc", "--version", "--verbose"]).stdout
    fields = dict(re.findall(r"^(release|host): (.+)$", text, re.MULTILINE))
    return {"rustc": fields["release"], "target": fields["host"]}


def collected(text: str) -> int:
    """The instructions in what callgrind says at its end.

    Raises:
        Failed: it says nothing of them.
    """
    found = re.search(r"^==\d+== Collected : (\d+)$", text, re.MULTILINE)
    if found is None:
        raise Failed(f"callgrind said {text[-300:]!r}")
    return int(found[1])


def count(program: Path) -> dict[str, float]:
    """Instructions a message, by case: of twice as many messages less those of the single number."""
    counted = {}
    for name, (messages, _) in CASES.items():
        once, twice = (_callgrind(program, name, number) for number in (messages, 2 * messages))
        counted[name] = round((twice - once) / messages, 1)
    return counted


def _callgrind(program: Path, case: str, messages: int) -> int:
    options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = ["valgrind", *options, str(program), case, str(messages)]
    return collected(_run(command, GLIBC_TUNABLES=_TUNABLES).stderr)


def compare(
    committed: dict[str, Any], counted: dict[str, float], own_compiler: dict[str, str]
) -> tuple[list[str], bool]:
    """The lines to print, and whether everything is as it should be."""
    theirs = {key: committed[key] for key in own_compiler}
    is_comparable = theirs == own_compiler
    lines, is_right = [], True
    for name, instructions in counted.items():
        line = f"{name:<8} {instructions:>10,.1f} instructions a message ({CASES[name][1]})"
        if is_comparable:
            expected = committed["instructions_per_message"].get(name, 0.0)
            change = instructions / expected - 1 if expected else float("inf")
            is_near = abs(instructions - expected) <= TOLERANCE * expected
            is_right &= is_near
            line += f", {change:+.1%} of the {expected:,.1f} committed" + (
                "" if is_near else ": NOT within 5 %"
            )
        lines.append(line)
    if not is_comparable:
        made, here = (" for ".join(known.values()) for known in (theirs, own_compiler))
        lines.append(f"Not compared: the committed figures are of rustc {made}, and this is {here}.")
    elif not is_right:
        lines.append("If the change is meant: make bench-instructions ARGS=--update, and commit the file.")
    return lines, is_right


def main() -> int:
    """Counts, and compares or updates."""
    parser = argparse.ArgumentParser(prog="make bench-instructions ARGS=…", description=__doc__)
    parser.add_argument(
        "--update", action="store_true", help="write the figures into benches/instructions.json"
    )
    asked = parser.parse_args()
    try:
        own_compiler = compiler()
        counted = count(build())
        if asked.update:
            figures = {**own_compiler, "instructions_per_message": counted}
            COMMITTED.write_text(json.dumps(figures, indent=4) + "\n")
            print(f"==> {COMMITTED.relative_to(ROOT)}: {counted}")
            return 0
        lines, is_right = compare(json.loads(COMMITTED.read_text()), counted, own_compiler)
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if is_right else 1


def _run(command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # noqa: S603 - the commands are those above
        command,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()[-1000:]}")
    return done


if __name__ == "__main__":
    sys.exit(main())
