"""The side-by-side benchmark: what could be wrong in it without anybody seeing it. No peer is started."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

BENCHES = Path(__file__).parents[2] / "benches"
sys.path.insert(0, str(BENCHES))

from peers import environments, figures, machine, measure, report, rounds, servers  # noqa: E402
from peers.cases import CASES, obstacle, path_of  # noqa: E402
from peers.cases import select as cases_of  # noqa: E402
from peers.peers import PEERS, Peer  # noqa: E402
from peers.plots import Bar, bar_chart, short  # noqa: E402

ECHO = CASES["echo-100"]
IDLE = CASES["idle-1000"]


def record(peer: str, number: int, case: str = "echo-100", **measured: Any) -> dict[str, Any]:
    return {"case": case, "peer": peer, "round": number, **measured}


def test_a_figure_is_the_median_of_its_rounds_with_the_spread():
    table = figures.rows(ECHO, [record("ours", n, rate=rate) for n, rate in enumerate([30.0, 10.0, 20.0])])
    assert [(row.median, row.low, row.high, row.rounds) for row in table] == [(20.0, 10.0, 30.0, 3)]
    assert table[0].spread == 1.0


def test_ratios_are_taken_within_a_round():
    # The machine was ten times slower in round 2; the ratio of medians would be 200 / 50 = 4.
    records = [
        *(record("ours", n, rate=rate) for n, rate in [(1, 200.0), (2, 20.0), (3, 210.0)]),
        *(record("picows", n, rate=rate) for n, rate in [(1, 100.0), (2, 10.0)]),
    ]
    ratios = {row.peer: row.ratio for row in figures.rows(ECHO, records)}
    assert ratios == {"ours": 1.0, "picows": 2.0}


def test_where_less_is_better_a_ratio_above_one_still_means_ours_is_better():
    records = [
        record("ours", 1, "idle-1000", kib_per_connection=10.0),
        record("picows", 1, "idle-1000", kib_per_connection=28.0),
    ]
    table = figures.rows(IDLE, records)
    assert [(row.peer, row.ratio) for row in table] == [("ours", 1.0), ("picows", 2.8)]


def test_a_round_without_a_figure_is_not_a_zero_and_is_told():
    records = [
        record("ours", 1, rate=5.0),
        record("ours", 2, error="client 3: message 9 is wrong: its content"),
    ]
    (row,) = figures.rows(ECHO, records)
    assert (row.median, row.rounds) == (5.0, 1)
    assert row.errors == ("client 3: message 9 is wrong: its content",)


def test_a_peer_without_any_figure_stands_last_and_has_no_ratio():
    records = [record("picows", 1, error="the server ended with 1"), record("ours", 1, rate=5.0)]
    assert [(row.peer, row.median, row.ratio) for row in figures.rows(ECHO, records)] == [
        ("ours", 5.0, 1.0),
        ("picows", None, None),
    ]


def test_a_figure_at_the_ceiling_with_a_full_core_is_bound_by_the_load():
    records = [
        record("bare", 1, rate=100.0, load_cpu=0.99),
        record("picows", 1, rate=95.0, load_cpu=0.97),
        record("ours", 1, rate=95.0, load_cpu=0.50),
        record("node-ws", 1, rate=50.0, load_cpu=0.97),
    ]
    table = figures.rows(ECHO, records)
    assert [row.peer for row in table if figures.bound_by_load(row, table)] == ["picows"]


def test_only_numbers_that_every_round_has_get_a_median():
    records = [{"p99_us": 1.0, "alive": 3, "why": None}, {"p99_us": 3.0, "why": "x"}]
    assert figures.medians(records) == {"p99_us": 2.0}


def test_rounds_are_interleaved():
    results = rounds.Results()
    chosen = [PEERS["ours"], PEERS["picows"]]
    runs = rounds.plan([ECHO, IDLE], chosen, 2, results)
    assert [(run.round, run.case.name, run.peer.name) for run in runs] == [
        (number, case, peer)
        for number in (1, 2)
        for case in ("echo-100", "idle-1000")
        for peer in ("ours", "picows")
    ]


def test_who_cannot_take_part_is_noted_with_the_reason():
    results = rounds.Results(unavailable={"socketify": "not installed: no wheel"})
    chosen = [PEERS[name] for name in ("picows", "flask-sock", "socketify", "granian-wsgi", "fastwebsockets")]
    runs = rounds.plan(cases_of(["echo-1000", "echo-deflate", "broadcast-200"]), chosen, 1, results)
    assert [(run.case.name, run.peer.name) for run in runs] == [
        ("echo-1000", "picows"),
        ("echo-1000", "fastwebsockets"),
        ("echo-deflate", "flask-sock"),
        ("broadcast-200", "picows"),
        ("broadcast-200", "flask-sock"),
    ]
    assert set(results.left_out["echo-1000"]) == {"flask-sock"}
    assert set(results.left_out["echo-deflate"]) == {"picows", "fastwebsockets"}
    assert set(results.left_out["broadcast-200"]) == {"fastwebsockets"}


def test_a_failed_run_is_recorded_and_the_others_go_on():
    runs = rounds.plan([ECHO], [PEERS["picows"], PEERS["ours"]], 1, rounds.Results())
    lines: list[str] = []
    records: list[dict[str, Any]] = []

    def fake(_case: object, peer: Peer, _environment: object) -> dict[str, Any]:
        if peer.name == "picows":
            raise measure.Wrong("client 0: message 4 is wrong: its content")
        return {"rate": 7.0, "other_load": 0.25}

    nothing = environments.Environment(None, {})
    rounds.run_all(runs, {"picows": nothing, "ours": nothing}, fake, lines.append, records)
    assert records == [
        record("picows", 1, error="client 0: message 4 is wrong: its content"),
        record("ours", 1, rate=7.0, other_load=0.25),
    ]
    assert "no figure: client 0: message 4 is wrong" in lines[0]
    assert "7.0 messages/s" in lines[1]
    assert "[2/2, 0 s left]" in lines[1]


def test_what_is_left_is_told_from_what_has_been():
    times = iter([0.0, 30.0, 90.0, 90.0])
    clock = rounds.Clock(8, lambda: next(times))
    assert (clock.tick(), clock.tick()) == ("4 min", "4 min")
    assert rounds.Clock(3, iter([0.0, 40.0]).__next__).tick() == "80 s"


def test_the_ceiling_is_measured_whoever_is_asked_for():
    assert {peer.name for peer in rounds.choose(["ours", "picows"])} == {"ours", "picows", "bare"}
    assert len(rounds.choose([])) == len(PEERS)
    with pytest.raises(ValueError, match="no peer is called 'pikows'"):
        rounds.choose(["pikows"])


def test_cases_are_chosen_by_name_or_beginning():
    assert [case.name for case in cases_of(["echo-1"])] == ["echo-1"]
    assert [case.name for case in cases_of(["idle", "http"])] == ["idle-1000", "idle-10000", "http"]
    with pytest.raises(ValueError, match="no case is called 'ecko'"):
        cases_of(["ecko"])


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_every_peer_can_be_started_as_the_table_says(peer: Peer):
    assert peer.environment in {*environments.ENVIRONMENTS, "ours", "node", "limits"}
    folder = BENCHES / "peers" / peer.folder
    command = [
        part.format(port=1, limits="/limits", python="/venv/bin/python", bin="/venv/bin")
        for part in peer.command
    ]
    for part in command:
        if part.endswith((".py", ".mjs")):
            assert (folder / part).is_file()
        module, colon, _ = part.partition(":")
        if colon and module.isidentifier():
            assert (folder / f"{module}.py").is_file()
    assert peer.abilities <= {case.needs for case in CASES.values()}
    assert peer.lacks.keys().isdisjoint(peer.abilities)
    assert any(obstacle(case, peer) is None for case in CASES.values())


def test_every_case_has_a_peer_beside_ours_and_the_ceiling():
    for case in CASES.values():
        assert obstacle(case, PEERS["ours"]) is None
        assert sum(obstacle(case, peer) is None for peer in PEERS.values() if peer.environment != "ours") > 1


def test_binary_has_a_view_of_its_own_where_views_cannot_tell():
    binary = CASES["echo-binary"]
    assert (path_of(binary, PEERS["ours"]), path_of(binary, PEERS["picows"])) == ("/binary", "/echo")
    assert path_of(ECHO, PEERS["ours"]) == "/echo"


def test_what_the_load_reports_is_taken_from_its_last_line():
    assert measure.report_of('{"opened": 3}\n{"rate": 2.5}\n', "", 0) == {"rate": 2.5}
    with pytest.raises(measure.Wrong, match="client 1: closed by the server"):
        measure.report_of('{"error": "client 1: closed by the server (None)"}\n', "", 1)
    with pytest.raises(measure.Wrong, match="the load ended with -11: boom"):
        measure.report_of("", "boom\n", -11)


WRK = """Running 4s test @ http://127.0.0.1:1/hello
  1 threads and 32 connections
  Latency Distribution
     50%    3.70ms
     75%    3.99ms
     90%    4.43ms
     99%  512.00us
  33724 requests in 4.00s, 9.52MB read
Requests/sec:   8424.31
"""


def test_what_wrk_prints_is_read():
    report = {"rate": 8424.31, "count": 33724, "p50_us": 3700.0, "p99_us": 512.0}
    assert measure.wrk_report(WRK) == report
    # Seconds have one letter and are filled up.
    slow = WRK.replace("512.00us", "1.26s ")
    assert measure.wrk_report(slow) == {**report, "p99_us": 1.26e6}


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 12", "  Socket errors: connect 0, read 3, write 0, timeout 0"]
)
def test_wrk_with_wrong_answers_has_no_figure(line: str):
    with pytest.raises(measure.Wrong, match=re.escape(line.strip())):
        measure.wrk_report(WRK + line)
    with pytest.raises(measure.Wrong, match="not one answer"):
        measure.wrk_report(WRK.replace("8424.31", "0.00"))
    with pytest.raises(measure.Wrong, match="wrk printed"):
        measure.wrk_report("")


def test_other_load_is_what_is_busy_and_not_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    before, after = machine.Moment(100.0, 10.0), machine.Moment(112.0, 20.0)
    assert machine.other_load(before, after, own_seconds=8.0) == pytest.approx(0.2)
    assert machine.other_load(before, after, own_seconds=12.5) == 0.0


def test_a_case_may_add_to_the_environment_of_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(servers, "TARGET", tmp_path)
    bare = CASES["http-bare"]
    script = "import os; print(os.environ['A'], os.environ['BENCH_MIDDLEWARE'])"
    peer = Peer("x", "X", "ours", ("{python}", "-c", script), frozenset(), environ={"A": "1"})
    python = Path(sys.executable)
    with servers.serve(peer, python, python, "", "x.log", bare.environ) as server:
        with contextlib.suppress(servers.ServerFailed):
            while True:
                server.usage()
        assert server.log.read_text() == "1 none\n"


def test_the_case_without_middleware_is_for_django_alone():
    bare = CASES["http-bare"]
    assert obstacle(bare, PEERS["ours-gunicorn"]) is None
    assert obstacle(bare, PEERS["granian-wsgi"]) is None
    assert obstacle(bare, PEERS["aiohttp"]) is not None


def test_a_server_that_ends_is_told_with_what_it_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(servers, "TARGET", tmp_path)
    script = "import sys; print('no such layer', file=sys.stderr); raise SystemExit(3)"
    command = [sys.executable, "-c", script]
    with servers.running(command, tmp_path, {}, "x.log") as (process, log):
        process.wait(60)
        with pytest.raises(servers.ServerFailed, match="ended with 3: no such layer"):
            servers.Server(process, 1, log, []).usage()
    with (
        pytest.raises(servers.ServerFailed, match="does not start"),
        servers.running([str(tmp_path / "missing")], tmp_path, {}, "x.log"),
    ):
        pass


def test_a_server_is_measured_with_its_children_and_all_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(servers, "TARGET", tmp_path)
    script = (
        "import os, sys, time\nif os.fork() == 0:\n    keep = bytearray(64 << 20)\n"
        "    open('ready', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    )
    with servers.running([sys.executable, "-c", script], tmp_path, {}, "x.log") as (process, log):
        ready = tmp_path / "ready"
        while not (ready.exists() and ready.read_text()):
            assert process.poll() is None
        child = os.pidfd_open(int(ready.read_text()))
        assert servers.Server(process, 1, log, []).usage().rss_kib > 64 << 10
    assert process.returncode is not None
    # Readable once the child has ended (pidfd_open(2)).
    assert select.select([child], [], [], 60)[0]
    os.close(child)


def results() -> rounds.Results:
    return rounds.Results(
        about={"processor": "2 × Pro<cessor>", "date": "2026-01-02 03:04 UTC"},
        versions={"ours": {"python": "3.11.7"}, "picows": {"picows": "1.2"}},
        unavailable={"socketify": "not installed: no | wheel"},
        left_out={"echo-100": {"flask-sock": "has 200 threads, one for each client"}},
        records=[
            record("ours", 1, rate=123456.0, p99_us=1500.0, load_cpu=0.5, other_load=0.01),
            record("picows", 1, rate=61728.0, p99_us=2500.0, load_cpu=0.5, other_load=0.01),
            record("bare", 1, error="the server ended with 1: address in use"),
        ],
    )


def test_the_report_names_figures_ratios_reasons_and_versions(tmp_path: Path):
    text = report.write(results(), tmp_path).read_text()
    assert "| **dwebsocket-rs, runserver** | 123k |  |  | 1.50 | 50% | 1% |" in text
    assert "| picows, uvloop | 61.7k |  | 2.00 | 2.50 | 50% | 1% |" in text
    assert "Not here: flask-sock, gunicorn gthread, which has 200 threads" in text
    assert "Without a figure: limit: bare framing: the server ended with 1: address in use" in text
    assert "- socketify (uWebSockets): not installed: no \\| wheel" in text
    assert "| picows | picows 1.2 |" in text
    assert "2 × Pro<cessor>" in text
    assert "| others' share of the machine | 1%, at most 1% |" in text
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["echo-100.svg"]


def test_a_busy_machine_is_told_and_old_plots_go(tmp_path: Path):
    busy = results()
    for measured in busy.records[:2]:
        measured["other_load"] = 0.4
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "http.svg").write_text("of last time")
    text = report.write(busy, tmp_path).read_text()
    assert "| others' share of the machine | 40%, at most 40%: too much to quote any figure |" in text
    assert not (tmp_path / "plots" / "http.svg").exists()


def test_results_survive_the_json_file():
    from dataclasses import asdict

    assert rounds.Results(**json.loads(json.dumps(asdict(results())))) == results()


def test_sittings_are_joined_round_by_round():
    later = results()
    later.about["date"] = "2026-01-03 03:04 UTC"
    later.left_out = {"idle-10000": {"gthread": "has 200 threads"}}
    later.records = [{**record, "round": number} for record in later.records for number in (1, 2)]
    whole = rounds.joined([results(), later])
    assert [record["round"] for record in whole.records if record["peer"] == "ours"] == [1, 2, 3]
    assert whole.about == {
        "processor": "2 × Pro<cessor>",
        "date": "2026-01-02 03:04 UTC; 2026-01-03 03:04 UTC",
    }
    assert (whole.versions, whole.unavailable) == (results().versions, results().unavailable)
    assert whole.left_out == {**results().left_out, **later.left_out}
    assert rounds.joined([results()]) == results()


def test_a_sitting_of_fewer_peers_adds_its_rounds():
    fewer = results()
    del fewer.versions["picows"]
    fewer.records = [record for record in fewer.records if record["peer"] == "ours"]
    fewer.left_out = {case: {"one-more": "has its reason"} for case in fewer.left_out}
    for parts in ([results(), fewer], [fewer, results()]):
        whole = rounds.joined(parts)
        assert whole.versions == results().versions
        assert len(whole.records) == len(results().records) + len(fewer.records)
        for case, reasons in results().left_out.items():
            assert whole.left_out[case] == {**reasons, "one-more": "has its reason"}


def test_a_peer_that_one_sitting_could_not_install_is_measured_by_another():
    installed = results()
    installed.unavailable = {}
    installed.versions["socketify"] = {"socketify": "0.1"}
    for parts in ([results(), installed], [installed, results()]):
        whole = rounds.joined(parts)
        assert "socketify" in whole.versions
        assert whole.unavailable == {}


def test_sittings_that_say_nothing_of_each_other_are_not_joined():
    elsewhere, newer = results(), results()
    elsewhere.about["processor"] = "64 × another"
    newer.versions["picows"] = {"picows": "2.0"}
    for other, named in [(elsewhere, "processor"), (newer, "picows")]:
        with pytest.raises(ValueError, match=f"{named} differ between the files"):
            rounds.joined([results(), other])


def test_a_plot_is_well_formed_and_to_scale():
    bars = [Bar("ours & co", 100.0, 90.0, 200.0, "ours"), Bar("<peer>", 50.0, 50.0, 50.0)]
    root = ElementTree.fromstring(bar_chart('a "title"', "note", bars))
    svg = "{http://www.w3.org/2000/svg}"
    widths = {rect.get("class"): float(rect.get("width", 0)) for rect in root.iter(f"{svg}rect")}
    assert widths["ours"] == pytest.approx(2 * widths["peer"], rel=1e-3)
    texts = [text.text for text in root.iter(f"{svg}text")]
    assert {"ours & co", "<peer>", "100", "50.0"} <= set(texts)
    ends = [float(line.get("x2", 0)) for line in root.iter(f"{svg}line")]
    assert max(ends) < float(root.get("width", 0))


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (0.416, "0.42"),
        (17.34, "17.3"),
        (861.2, "861"),
        (9999.0, "9999"),
        (12400.0, "12.4k"),
        (2310000.0, "2.31M"),
    ],
)
def test_figures_are_short(figure: float, text: str):
    assert short(figure) == text
