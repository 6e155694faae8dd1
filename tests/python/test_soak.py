"""The soak: that it stands a good server, and that each thing it looks for is found where it is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

BENCHES = Path(__file__).parents[2] / "benches"
sys.path.insert(0, str(BENCHES))

from soak import plot, verdict  # noqa: E402
from soak.clients import cast  # noqa: E402
from soak.server import SITE, usage, wrong_lines  # noqa: E402

GOOD_END: dict[str, Any] = {
    "lost": 0,
    "faulty": 0,
    "wrong_lines": [],
    "status": 0,
    "clients_status": 0,
    "descriptors_left": 0,
}


def samples(minutes: float = 30, **per_hour: float) -> list[dict[str, Any]]:
    """A sample each second; figures at 1,000 that grow by so much an hour, with a ripple besides."""
    return [
        {
            "at": at,
            **{
                name: 1000 + per_hour.get(name, 0.0) * at / 3600 + (at % 7)
                for name in ("pss", "threads", "descriptors")
            },
            "rss": 2000,
            "open": 10,
            "p50": 1.0,
            "p99": None if at % 60 == 0 else 2.0,
        }
        for at in range(1, int(60 * minutes) + 1)
    ]


def test_flat_figures_stand() -> None:
    found = verdict.judge(samples(), 30, GOOD_END)
    assert (found.judges_slopes, found.failures) == (True, [])


@pytest.mark.parametrize(
    ("name", "told"), [("pss", "memory"), ("threads", "threads"), ("descriptors", "descriptors")]
)
def test_growth_of_more_than_one_percent_an_hour_fails(name: str, told: str) -> None:
    found = verdict.judge(samples(**{name: 15.0}), 30, GOOD_END)
    [failure] = found.failures
    assert re.match(rf"{told}.* grew by 1\.[45]\d % an hour", failure)
    assert verdict.judge(samples(**{name: 5.0}), 30, GOOD_END).failures == []


def test_growth_of_a_short_run_is_told_and_not_judged() -> None:
    found = verdict.judge(samples(19, threads=500.0), 19, GOOD_END)
    assert (found.judges_slopes, found.failures) == (False, [])
    assert found.slopes["threads"].percent > 40
    assert verdict.judge(samples(20, threads=500.0), 20, GOOD_END).failures != []


def test_what_grows_in_the_warm_up_alone_is_no_growth() -> None:
    steep = samples()
    for sample in steep:
        sample["pss"] = min(sample["at"], 300.0) * 1000
    assert verdict.judge(steep, 30, GOOD_END).failures == []


def test_a_slope_is_not_moved_by_wild_points() -> None:
    points = [(float(at), 2.0 * at) for at in range(40)]
    points[5], points[20], points[39] = (5.0, 9e9), (20.0, -9e9), (39.0, 9e9)
    slope, least, most = verdict.theil_sen(points)
    assert slope == pytest.approx(2.0)
    assert 1.9 < least <= slope <= most < 2.1


def test_growth_that_is_less_than_the_noise_is_undecided() -> None:
    noisy = samples(pss=15.0)
    for number, sample in enumerate(noisy):
        sample["pss"] += 40 * ((number // 60) * 7919 % 13 - 6)
    found = verdict.judge(noisy, 30, GOOD_END)
    slope = found.slopes["pss"]
    assert slope.least_per_hour < 0 < slope.most_per_hour
    assert found.failures == []
    assert len(found.undecided) == (slope.percent > verdict.LIMIT_PERCENT)
    for sample in noisy:
        sample["pss"] += 2000 * sample["at"] / 3600
    [failure] = verdict.judge(noisy, 30, GOOD_END).failures
    assert failure.startswith("memory (PSS) grew by")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ({"lost": 1}, "1 messages were lost"),
        ({"faulty": 2}, "2 answers were wrong"),
        ({"wrong_lines": ["Traceback (most recent call last):"]}, "the log has 1 tracebacks or errors"),
        ({"descriptors_left": 3}, "3 descriptors are left over"),
        ({"status": -11}, "the server ended with -11"),
        ({"clients_status": 1}, "the clients ended with 1"),
    ],
)
def test_each_kind_of_bad_end_fails(end: dict[str, Any], told: str) -> None:
    [failure] = verdict.judge(samples(1), 1, GOOD_END | end).failures
    assert failure.startswith(told)


def test_a_run_that_broke_off_fails() -> None:
    [failure] = verdict.judge(samples(3), 5, GOOD_END).failures
    assert failure == "there are only 180 samples, one a second"


def test_only_what_no_client_can_cause_is_wrong_in_a_log() -> None:
    log = [
        "[2026-01-01 00:00:00 +0000] [7] [INFO] Booting worker with pid: 7",
        "[2026-01-01 00:00:00 +0000] [7] [WARNING] WebSocket /room/1/: reads too slowly: closed with 1013",
        "[2026-01-01 00:00:00 +0000] [7] [ERROR] Exception in worker process",
        "Traceback (most recent call last):",
        "thread 'dwebsocket-io' panicked at src/x.rs:1:1:",
        "Exception ignored in: <function>",
    ]
    assert wrong_lines("\n".join(log)) == log[2:]


def test_usage_sees_memory_threads_and_descriptors() -> None:
    hold = (
        "import os, sys, threading\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "memory = b'x' * (64 << 20); files = [os.dup(0) for _ in range(10)]; event = threading.Event()\n"
        "[threading.Thread(target=event.wait, daemon=True).start() for _ in range(5)]\n"
        "print('held', flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = usage([process.pid])
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        after = usage([process.pid])
        process.communicate("\n")
    assert after.threads - before.threads == 5
    assert after.descriptors - before.descriptors == 10
    for grown in (after.rss - before.rss, after.pss - before.pss):
        assert 60 << 20 < grown < 80 << 20


def test_the_graph_has_a_line_for_each_figure() -> None:
    root = ElementTree.fromstring(plot.graph("A <soak>", "a note", samples(30)))
    space = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{space}polyline")
    assert len(lines) == sum(len(panel.lines) for panel in plot.PANELS)
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert 100 < len(points) <= plot.POINTS + 1
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        assert all(0 <= x <= plot.WIDTH and 0 <= y <= float(root.attrib["height"]) for x, y in points)
    assert [text.text for text in root.findall(f"{space}text")][:2] == ["A <soak>", "a note"]


def test_everybody_has_a_part() -> None:
    parts = cast(20)
    assert sum(parts.values()) == 20
    assert min(parts.values()) >= 1
    assert sum(cast(500).values()) == 500
    with pytest.raises(ValueError, match="at least"):
        cast(5)


def soak(
    folder: Path, site: Path = SITE, server: str = "gunicorn", seconds: int = 6, patience: int = 20
) -> tuple[int, Any, str]:
    """A short run with twenty sockets: its status, what it has written, and what it has printed."""
    command = [sys.executable, "-m", "soak", "--minutes", str(seconds / 60), "--sockets", "20"]
    command += ["--patience", str(patience)]
    done = subprocess.run(
        [*command, "--server", server, "--site", str(site), "--folder", str(folder)],
        cwd=BENCHES,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    written = folder / "soak.json"
    return (
        done.returncode,
        json.loads(written.read_text()) if written.exists() else {},
        done.stdout + done.stderr,
    )


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize(("server", "seconds"), [("gunicorn", 15), ("runserver", 6)])
def test_our_server_stands_a_short_one(tmp_path: Path, server: str, seconds: int) -> None:
    status, found, output = soak(tmp_path, server=server, seconds=seconds)
    assert status == 0, output
    assert found["lost"] == found["faulty"] == 0
    done = found["counts"]
    assert {"echoes", "deliveries", "requests", "garbage", "vanished", "closed"} <= set(done)
    assert any(name.startswith("slow") for name in done)
    assert len(found["samples"]) >= seconds - 1
    for name, least in {"threads": 20, "descriptors": 20, "pss": 10 << 20, "open": 10}.items():
        # One has no count of sockets when the server was too busy to answer in time.
        assert max(sample[name] or 0 for sample in found["samples"]) > least, name
    ElementTree.parse(tmp_path / "soak.svg")


WRONG = {
    "an echo is lost": (
        "if message is not None:\n            request.websocket.send(message)",
        "if message is not None and b'/1 ' not in message:\n            request.websocket.send(message)",
        r"echo \d+: .*/2 .* came in place of",
    ),
    "an echo comes twice": (
        "if message is not None:\n            request.websocket.send(message)",
        "if message is not None:\n            request.websocket.send(message)\n"
        "            if b'/1 ' in message:\n                request.websocket.send(message)",
        r"echo \d+: .*/1 .* came in place of .*/2 ",
    ),
    "a member of a room is left out now and then": (
        "list(members.values()):",
        "list(members.values())[: -1 if b'3 ' in message else None]:",
        r"room \d+: .*(came in place of|are lost)",
    ),
    "a view raises": (
        'return HttpResponse(f"hello',
        'raise LookupError("wrong")\n    return HttpResponse(f"hello',
        r"FAILED: the log has \d+ tracebacks",
    ),
    "descriptors are not closed": (
        'return HttpResponse(f"hello',
        'import os; os.dup(0)\n    return HttpResponse(f"hello',
        r"FAILED: \d+ descriptors are left over",
    ),
    "pieces come in the wrong order": (
        'b"%d " % piece',
        'b"%d " % (piece ^ 1 if piece > 5 else piece)',
        r"flood \d+: .* came in place of piece 6",
    ),
}


# Each in a group of its own, since they wait most of their time; a busy machine finds what is wrong as well.
@pytest.mark.slow
@pytest.mark.parametrize("what", [pytest.param(what, marks=pytest.mark.xdist_group(what)) for what in WRONG])
def test_a_server_that_is_wrong_is_found_out(tmp_path: Path, what: str) -> None:
    right, wrong, told = WRONG[what]
    site = tmp_path / "site"
    shutil.copytree(SITE, site)
    views = site / "project" / "views.py"
    source = views.read_text()
    assert source.count(right) == 1 or what.startswith("an echo")
    views.write_text(source.replace(right, wrong, 1))
    # What is wrong is not to be waited for as long as on a busy machine what is right.
    status, found, output = soak(tmp_path / "run", site, patience=5)
    assert status == 1, output
    assert found["failures"]
    assert re.search(told, output), output


def test_no_server_is_no_verdict(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(SITE, site)
    (site / "project" / "urls.py").write_text("import nowhere\n")
    (site / "project" / "settings.py").write_text("raise RuntimeError('no settings')\n")
    status, found, output = soak(tmp_path / "run", site)
    assert (status, found) == (2, {}), output
    assert "the server does not start" in output
