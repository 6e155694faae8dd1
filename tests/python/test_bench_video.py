"""The benchmark of video: what could be wrong in it without anybody seeing it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import RequestFactory

TOP = Path(__file__).parents[2]
BENCHES = TOP / "benches"
sys.path[:0] = [str(BENCHES), str(BENCHES / "video" / "apps")]

import counting  # noqa: E402
from peers import environments, rounds, servers  # noqa: E402
from peers.cases import Case, obstacle, select  # noqa: E402
from peers.measure import Wrong  # noqa: E402
from video.__main__ import is_failure  # noqa: E402
from video.cases import CASES, PEERS, form_of, path_of  # noqa: E402

from video import bounds, clips, flv, measure, report, source  # noqa: E402

SMALL = clips.Size(320, 180, 0.4)
SECONDS = 1.2
KEY, OTHER = flv.Picture(b"\x17\x01key", is_key=True), flv.Picture(b"\x27\x01other", is_key=False)


def record(case: str, peer: str, number: int, **measured: Any) -> dict[str, Any]:
    return {"case": case, "peer": peer, "round": number, **measured}


# -- the camera


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the Debian package ffmpeg")
    return clips.make(SMALL, SECONDS, tmp_path_factory.mktemp("clips"))


def test_each_picture_of_a_clip_shows_its_number(clip: Path):
    command = f"ffmpeg -v error -i {clip} -vf scale=40:-1:flags=area,crop=32:1:0:0,format=gray -f rawvideo -"
    done = subprocess.run(command.split(), capture_output=True, check=True)
    rows = [done.stdout[at : at + 32] for at in range(0, len(done.stdout), 32)]
    numbers = [sum((pixel >= 128) << bit for bit, pixel in enumerate(row[:16])) for row in rows]
    inverted = [sum((pixel < 128) << bit for bit, pixel in enumerate(row[16:])) for row in rows]
    assert numbers == inverted == list(range(36))


def test_a_clip_has_a_key_frame_a_second_and_tells_no_duration(clip: Path):
    taken_apart = flv.read(clip)
    keys = [number for number, picture in enumerate(taken_apart.pictures) if picture.is_key]
    assert (len(taken_apart.pictures), keys) == (36, [0, 30])
    assert taken_apart.opening.startswith(b"FLV\x01\x01")
    # A player would take it for a recording.
    assert b"duration" not in taken_apart.opening
    # Script data and the decoder's configuration.
    assert [tag[0] for tag in tags(taken_apart.opening[13:])] == [18, 9]
    assert clips.make(SMALL, SECONDS, clip.parent) == clip


def test_what_is_no_clip_is_refused(tmp_path: Path):
    path = tmp_path / "x.flv"
    for data in (b"RIFF", b"FLV\x01\x01\x00\x00\x00\x09" + bytes(4)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"is no FLV|does not begin with a key frame"):
            flv.read(path)


def test_no_picture_is_sent_before_it_is_due(clip: Path):
    camera = source.Camera(flv.read(clip), 100.0)
    reading, writing = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=camera.run, args=(listener, reading))
        thread.start()
        with socket.create_connection(listener.getsockname()[:2], 30) as viewer:
            viewer.sendall(b"GET / HTTP/1.1\r\n\r\n")
            received = 0
            while received < 20_000:
                received += len(viewer.recv(65536))
        os.close(writing)
        thread.join()
    os.close(reading)
    camera.close()
    assert all(moment >= camera.began + n / 100 for n, moment in enumerate(camera.sent))


def test_the_camera_tells_when_it_sent_each_picture(clip: Path):
    with measure.camera(clip, "") as camera:
        address = ("127.0.0.1", int(camera.url.split(":")[2].split("/")[0]))
        with socket.create_connection(address, 30) as viewer:
            viewer.sendall(b"GET /live.flv HTTP/1.1\r\n\r\n")
            received = b""
            while len(received) < 70_000:
                received += viewer.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    opening = flv.read(clip).opening
    assert body.startswith(opening)
    pictures = tags(body[len(opening) :])
    # It begins with a key frame, goes on without a gap, and past the end of the clip.
    assert pictures[0][11] == 0x17
    times = [int.from_bytes(tag[4:7]) + (tag[7] << 24) for tag in pictures]
    first = round(times[0] * 30 / 1000)
    assert times == [round(1000 * (first + number) / 30) for number in range(len(times))]
    assert camera.frames == 36
    assert len(camera.sent) >= first + len(times)
    assert camera.sent == sorted(camera.sent)


def test_who_reads_too_slowly_goes_on_with_a_key_frame():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        viewer = source.Viewer.__new__(source.Viewer)
        ours.setblocking(False)
        viewer.connection, viewer._request, viewer._backlog = ours, b"", bytearray()
        viewer._asked, viewer._waits_for_key = True, True
        assert viewer.show(OTHER, b"too early")
        assert viewer.show(KEY, b"key")
        while len(viewer._backlog) <= source._MOST_BACKLOG_BYTES:
            assert viewer.show(OTHER, bytes(200_000))
        assert viewer.show(OTHER, b"lost")
        assert viewer._waits_for_key
        viewer._backlog.clear()
        assert viewer.show(OTHER, b"lost")
        assert viewer.show(KEY, b"key again")
        assert bytes(viewer._backlog) == b"key again"
        assert theirs.recv(3) == b"key"
        theirs.close()
        assert not viewer.flush()


def tags(data: bytes) -> list[bytes]:
    """The whole tags."""
    found, at = [], 0
    while at + 11 <= len(data):
        end = at + 11 + int.from_bytes(data[at + 1 : at + 4])
        if end + 4 > len(data):
            break
        assert int.from_bytes(data[end : end + 4]) == end - at
        found.append(data[at:end])
        at = end + 4
    return found


# -- what was measured


def test_a_latency_is_since_the_last_time_that_the_picture_was_sent():
    camera = measure.Camera("", None, frames=3, sent=[10.0, 11.0, 12.0, 13.0, 14.0, 15.0])
    samples = [{"number": 1, "at": 11.5}, {"number": 1, "at": 14.25}, {"number": 0, "at": 12.9}]
    assert measure.latencies(samples, camera) == [0.5, 0.25, 2.9000000000000004]
    for wrong in ({"number": 2, "at": 11.9}, {"number": 3, "at": 20.0}):
        with pytest.raises(Wrong, match="which was not sent yet"):
            measure.latencies([wrong], camera)


def test_percentiles_are_values_that_were_measured():
    values = [float(value) for value in range(100, 0, -1)]
    assert [measure.percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert measure.percentile([3.0], 99) == 3.0


def test_a_slow_viewer_without_a_picture_has_no_figure():
    camera = measure.Camera("", None, frames=1, sent=[1.0])
    with pytest.raises(Wrong, match="the slow viewer got no picture"):
        measure.summarise(CASES["slow-10"], {"samples": [], "slow_samples": []}, camera)
    measured = {"samples": [], "slow_samples": [{"number": 0, "at": 1.25}]}
    measure.summarise(CASES["slow-10"], measured, camera)
    assert measured == {"slow_pictures": 1, "slow_p50_ms": 250.0, "slow_most_ms": 250.0}


def test_a_report_that_comes_with_the_line_before_it_is_not_lost():
    script = 'print(\'{"measures": false}\\n{"pictures": 3}\', flush=True)'
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as load:
        measure._expect(load, '{"measures": false}')
        assert measure._end(load, 60.0) == {"pictures": 3}


def test_the_thread_that_counts_tells_waits_for_the_lock():
    ends = threading.Event()

    def hold() -> None:
        while not ends.is_set():
            pass

    def counted() -> dict[str, float]:
        return json.loads(counting.count(RequestFactory().get("/count?seconds=0.4")).content)

    thread = threading.Thread(target=hold)
    thread.start()
    beside = counted()
    ends.set()
    thread.join()
    alone = counted()
    assert alone["waited_percent"] < 10
    assert 15 < beside["waited_percent"] < 100
    assert beside["waits"] > 0
    assert beside["longest_wait_ms"] >= beside["mean_wait_ms"] > 1


# -- the cases


def test_every_peer_is_there_and_has_what_it_takes():
    for peer in PEERS.values():
        assert peer.environment in {*environments.ENVIRONMENTS, "ours"}
        files = [part for part in peer.command if part.endswith(".py")]
        files += [f"{part}.py" for part in peer.command if part.endswith("_views")]
        assert all((BENCHES / "peers" / peer.folder / file).is_file() for file in files)
        assert any(obstacle(case, peer) is None for case in CASES.values())
    assert all(obstacle(case, PEERS["ours"]) is None for case in CASES.values())
    chosen = [case.name for case in select(["json", "gil-10"], CASES)]
    assert chosen == ["json-1", "json-10", "json-50", "gil-10"]
    assert [peer.name for peer in rounds.choose(["webgear"], PEERS, "ours")] == ["ours", "webgear"]


def test_webgear_is_asked_for_parts_and_others_for_messages():
    settings = measure.Settings(Path(), {})
    case = CASES["json-1"]
    assert (form_of(case, PEERS["webgear"]), path_of(case, PEERS["webgear"])) == ("multipart", "/video")
    assert measure.load_options(case, PEERS["webgear"], 1, settings)["target"]["is_stream"]
    options = measure.load_options(case, PEERS["python"], 1, settings)
    assert (options["form"], options["target"]["path"]) == ("json", "/show/full/json")
    assert (options["samplers"], options["viewers"]) == (1, 1)


def test_what_must_hold_is_judged_within_a_round():
    records = [
        record("json-1", "ours", 1, cpu_percent=20.0),
        record("json-10", "ours", 1, cpu_percent=28.0, p50_ms=61.0, p99_ms=149.0),
        record("json-10", "python", 1, cpu_percent=140.0),
        # Twice as slow, both of them.
        record("json-1", "ours", 2, cpu_percent=40.0),
        record("json-10", "ours", 2, cpu_percent=56.0, p50_ms=61.0, p99_ms=149.0),
        record("json-50", "ours", 1, error="client 3: closed"),
    ]
    verdicts = {verdict.bound.text.partition(" ")[0]: verdict for verdict in bounds.judge(records)}
    assert (verdicts["CPU"].word, verdicts["CPU"].reason) == (
        "not measured",
        "mp4-100 of ours was not asked for",
    )
    words = [(verdict.figure, verdict.word, verdict.reason) for verdict in bounds.judge(records)]
    assert words[:3] == [
        (1.4, "holds", ""),
        (None, "not measured", "client 3: closed; json-50 of ours was not asked for"),
        (5.0, "does not hold", ""),
    ]
    assert words[5:7] == [(61.0, "does not hold", ""), (149.0, "holds", "")]


def test_a_form_that_is_not_there_is_no_failure():
    missing = "client 0: the server says {'error': 'form must be json, base64 or binary, not mp4'}"
    assert not is_failure(record("mp4-10", "ours", 1, error=missing))
    assert is_failure(record("json-10", "ours", 1, error="client 0: closed"))
    assert not is_failure(record("json-10", "webgear", 1, error="client 0: closed"))
    assert not is_failure(record("json-10", "ours", 1, cpu_percent=1.0))


# -- the report


def results() -> rounds.Results:
    measured = {
        "fps_median": 29.9,
        "fps_least": 29.5,
        "p50_ms": 41.0,
        "later_first_ms": None,
        "other_load": 0.4,
    }
    return rounds.Results(
        about={"processor": "2 × Pro<cessor>"},
        versions={"ours": {"OpenCV": "4.6.0"}},
        unavailable={"webgear": "not installed: no | wheel"},
        records=[
            record("json-10", "ours", 1, cpu_percent=25.0, **measured),
            record("json-10", "python", 1, cpu_percent=175.0, **measured),
            record("json-10", "ours", 2, cpu_percent=35.0, **measured),
            record("json-50", "python", 1, error="client 0: 50 of 50 first pictures did not come"),
        ],
    )


def test_the_report_names_figures_ratios_reasons_and_promises(tmp_path: Path):
    text = report.write(results(), tmp_path).read_text()
    assert "| **dwebsocket-rs, Feed** | 30.0 | 25.0–35.0 |  | 29.9 | 29.5 | 41 | 40% |" in text
    assert "| 175 |  | 7.00 | 29.9 | 29.5 | 41 | 40% |" in text
    assert "json in a thread for each viewer: client 0: 50 of 50 first pictures did not come" in text
    assert "- vidgear WebGear, multipart JPEG by HTTP: not installed: no \\| wheel" in text
    assert "| dwebsocket-rs, Feed | OpenCV 4.6.0 |" in text
    assert "too much to quote any figure" in text
    assert "CPU, of ours, at 10 viewers (JSON) | ≥ 6 × | 7.00 | 7.00–7.00 | holds |" in text
    assert "not measured: gil-10 of ours was not asked for |" in text
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["cpu.svg", "fps.svg"]
    root = ElementTree.parse(tmp_path / "plots" / "cpu.svg").getroot()
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"dwebsocket-rs, 10 viewers", "the Python way, 10 viewers", "30.0", "175"} <= set(labels)


def test_results_survive_the_json_file():
    assert rounds.Results(**json.loads(json.dumps(asdict(results())))) == results()


# -- all of it, once and short


def test_a_feed_is_measured_from_camera_to_client(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reason = "dwebsocket-rs-video is not built here"
    pytest.importorskip("dwebsocket_video", reason=reason, exc_type=ImportError)
    programs = [environments.TARGET / "cargo" / kind / "load" for kind in ("debug", "release")]
    load = next((program for program in programs if program.exists()), None)
    if load is None:
        pytest.skip("needs the load generator: make test-bench")
    monkeypatch.setattr(servers, "TARGET", tmp_path)
    monkeypatch.setattr(measure, "_ALONE_SECONDS", 0.2)
    options = {**CASES["gil-10"].options, "viewers": 3}
    case = Case("x", "X", "count", "video", options, path="/show/full/json")
    settings = measure.Settings(load, {"720p": clip}, seconds=1.0, warm_up_seconds=0.2)
    ours = environments.Environment(Path(sys.executable), {})
    measured = measure.measure(case, PEERS["ours"], ours, settings)
    assert measured["pictures"] > 0
    assert measured["samples"] > 0
    assert 0 < measured["p50_ms"] <= measured["p99_ms"]
    assert measured["first_ms"] > 0
    assert measured["cpu_us_each"] > 0
    assert measured["pss_mib"] > 10
    assert measured["rate"] > 0
    refused = Case("y", "Y", "json", "video", CASES["json-1"].options, path="/show/full/none")
    with pytest.raises(Wrong, match=r"the server says .*form must be .* not none"):
        measure.measure(refused, PEERS["ours"], ours, settings)


def test_a_camera_that_ends_is_told(tmp_path: Path):
    broken = tmp_path / "x.flv"
    broken.write_bytes(b"RIFF")
    with pytest.raises(Wrong, match="the camera ended with 1"), measure.camera(broken, ""):
        pass
