"""Feeds of recordings: what every viewer gets, and the controls of each."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from clip import digest, jpeg_size, sample_digests, short_clip
from dwebsocket.exceptions import ConnectionClosed
from dwebsocket.video import Feed, VideoError, Viewer
from dwebsocket.websocket import WebSocket
from rtmp import SAMPLE
from serving import PATIENCE
from sockets import PING, PONG, Ends, Sockets, until
from test_websocket import Handshake
from watching import captures, feed, frame, message, state, threads, watch_together

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)


pytestmark = pytest.mark.usefixtures("no_feed_runs_on")


def test_the_frames_of_a_file_come_as_json_with_position_and_number(sockets: Sockets) -> None:
    ends = sockets.open()
    with feed().watch(ends.websocket) as viewer:
        assert state(ends.client, "connecting")["error"] is None
        live = state(ends.client, "live")
        assert (live["live"], live["fps"], live["duration"]) == (False, 25.0, 10.0)
        first = frame(ends.client)
        second = frame(ends.client)
        for received in (first, second):
            assert digest(received["img_base64"]) == sample_digests()[round(received["t"] * 25)]
        # A busy machine is late for the first of them, at worst.
        assert first["t"] < 5.0
        assert second["t"] > first["t"]
        assert second["n"] > first["n"] >= 0
        assert viewer.stats()["state"] == "live"


def test_the_same_frame_comes_as_base64_and_as_a_binary_message(sockets: Sockets) -> None:
    one, two = sockets.open(), sockets.open()
    shared = feed()
    with shared.watch(one.websocket, form="base64"), shared.watch(two.websocket, form="binary"):
        texts: set[str] = set()
        jpegs: set[str] = set()
        # Each may miss some, but not always those of the other.
        while not texts & jpegs:
            text = one.client.recv(timeout=PATIENCE)
            if not text.startswith("{"):
                texts.add(text)
            jpeg = two.client.recv(timeout=PATIENCE)
            if isinstance(jpeg, bytes):
                jpegs.add(base64.b64encode(jpeg).decode())
    text = (texts & jpegs).pop()
    jpeg = base64.b64decode(text)
    assert digest(text) in sample_digests()
    assert jpeg[:2] == b"\xff\xd8"
    assert jpeg[-2:] == b"\xff\xd9"
    with pytest.raises(ValueError, match="json, base64, binary or mp4"):
        shared.watch(one.websocket, form="mp3")


def test_viewers_of_the_same_source_and_options_share_one_capture(sockets: Sockets) -> None:
    all_ends: list[Ends] = []

    def watch() -> list[Viewer]:
        all_ends[:] = [sockets.open() for _ in range(5)]
        return [feed().watch(ends.websocket) for ends in all_ends]

    viewers = watch_together(watch)
    seen: dict[int, set[str]] = {}
    for ends in all_ends:
        for _ in range(10):
            received = frame(ends.client)
            seen.setdefault(received["n"], set()).add(received["img_base64"])
    assert captures(SAMPLE) == threads("video-feed") == 1
    assert feed().viewers == 5
    assert all(len(pictures) == 1 for pictures in seen.values())
    with feed(quality=30).watch(all_ends[0].websocket):
        until(lambda: captures(SAMPLE) == 2)
    for viewer in viewers:
        viewer.close()
        viewer.close()
    assert all(viewer.closed for viewer in viewers)


def test_who_comes_later_sees_a_recording_from_its_start(sockets: Sockets) -> None:
    early, late = sockets.open(), sockets.open()
    with feed().watch(early.websocket):
        while frame(early.client)["t"] < 1.2:
            pass
        began = time.monotonic()
        with feed().watch(late.websocket):
            received = frame(late.client)
            assert received["t"] < time.monotonic() - began + 0.2


def test_a_recording_is_played_at_its_own_rate_and_ends_once(sockets: Sockets, tmp_path: Path) -> None:
    ends = sockets.open()
    began = time.monotonic()
    with feed(short_clip(tmp_path)).watch(ends.websocket) as viewer:
        assert viewer.wait(PATIENCE)
        assert time.monotonic() - began > 0.9
        ended = state(ends.client, "ended")
        assert ended["error"] is None
        began = time.monotonic()
        viewer.play()
        received = frame(ends.client)
        assert received["t"] < time.monotonic() - began + 0.1
        assert viewer.wait(PATIENCE)
    # The view may go at once: what it was the last to be told is sent.
    state(ends.client, "ended")


def test_pause_and_play_and_step(sockets: Sockets) -> None:
    ends = sockets.open()
    with feed().watch(ends.websocket) as viewer:
        frame(ends.client)
        viewer.pause()
        while not state(ends.client, "live")["paused"]:
            pass
        until(lambda: _is_quiet(viewer))
        before = viewer.stats()["position"]
        viewer.step()
        stepped = frame(ends.client)
        while stepped["t"] < before + 0.039:
            stepped = frame(ends.client)
        assert stepped["t"] == pytest.approx(before + 0.04, abs=0.001)
        assert _is_quiet(viewer)
        began = time.monotonic()
        viewer.play()
        played = frame(ends.client)["t"] - before
        assert 0.079 < played < time.monotonic() - began + 0.081
        assert captures(SAMPLE) == 1


def _is_quiet(viewer: object) -> bool:
    """Whether nothing is sent for some frames' time."""
    sent = viewer.stats()["sent"]
    time.sleep(0.2)
    return viewer.stats()["sent"] == sent


def test_seek_shows_the_frame_there_also_while_paused(sockets: Sockets) -> None:
    ends = sockets.open()
    with feed().watch(ends.websocket) as viewer:
        viewer.pause()
        viewer.seek(4.0)
        received = frame(ends.client)
        while received["t"] != 4.0:
            received = frame(ends.client)
        assert digest(received["img_base64"]) == sample_digests()[100]
        assert viewer.stats()["paused"] is True
        for wrong in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="seconds"):
                viewer.seek(wrong)
        viewer.seek(99.0)
        state(ends.client, "ended")
        viewer.seek(9.0)
        assert message(ends.client, lambda it: it.get("t") == 9.0 and "img_base64" in it)


def test_speed_plays_faster(sockets: Sockets) -> None:
    ends = sockets.open()
    started = time.monotonic()
    with feed(width=64).watch(ends.websocket) as viewer:
        viewer.speed(4.0)
        first, began = frame(ends.client), time.monotonic()
        while frame(ends.client)["t"] < first["t"] + 4.0:
            pass
        assert time.monotonic() - started > 0.9
        assert time.monotonic() - began < 3.9
        for wrong in (0.0, -1.0, 21.0, float("nan")):
            with pytest.raises(ValueError, match="speed"):
                viewer.speed(wrong)


def test_who_takes_the_controls_goes_on_alone_and_the_others_do_not_notice(sockets: Sockets) -> None:
    calm, restless = sockets.open(), sockets.open()
    shared = feed()
    with shared.watch(calm.websocket) as calm_one, shared.watch(restless.websocket) as restless_one:
        frame(calm.client)
        frame(restless.client)
        # Paused, neither comes to the end, where its capture would be closed.
        restless_one.pause()
        restless_one.seek(8.0)
        message(restless.client, lambda it: (it.get("t") or 0) >= 8.0 and "img_base64" in it)
        until(lambda: captures(SAMPLE) == 2)
        assert frame(calm.client)["t"] < 8
        # The other is alone now, so its controls need no capture of their own.
        calm_one.pause()
        calm_one.seek(6.0)
        message(calm.client, lambda it: (it.get("t") or 0) >= 6.0 and "img_base64" in it)
        assert captures(SAMPLE) == 2
        assert restless_one.stats()["sent"] > 1


def test_handle_carries_out_the_commands_of_a_page(sockets: Sockets) -> None:
    ends = sockets.open()
    with feed().watch(ends.websocket) as viewer:
        frame(ends.client)
        assert viewer.handle(b'{"command": "pause"}')
        assert viewer.stats()["paused"] is True
        assert viewer.handle('{"command": "seek", "position": 7}')
        message(ends.client, lambda it: it.get("t") == 7.0 and "img_base64" in it)
        assert viewer.handle('{"command": "step"}')
        assert viewer.handle('{"command": "speed", "speed": 2}')
        assert viewer.stats()["speed"] == 2.0
        assert viewer.handle('{"command": "play"}')
        assert viewer.stats()["paused"] is False
        assert viewer.handle('{"command": "seek", "position": -7}')
        assert (
            "seconds must be 0 or more"
            in message(ends.client, lambda it: "error" in it and "state" not in it)["error"]
        )
        for other in (b"", None, b"hello", '"play"', '{"command": "dance"}', '{"command": "seek"}', "[1]"):
            assert viewer.handle(other) is False


def test_a_slow_viewer_skips_and_gets_the_newest_and_others_do_not_notice(sockets: Sockets) -> None:
    slow, fast = sockets.open(raw=True), sockets.open()
    shared = feed(width=1280, height=720, quality=100)
    with shared.watch(slow.websocket) as slow_one, shared.watch(fast.websocket) as fast_one:
        frame(fast.client)
        newest = frame(fast.client)
        # The slow client says nothing of what it got, so it is sent no more, though its socket has room.
        while slow_one.stats()["skipped"] < 20:
            newest = frame(fast.client)
        assert fast_one.stats()["skipped"] < slow_one.stats()["skipped"]
        assert slow_one.stats()["sent"] == 1
        positions = []
        while not positions or positions[-1] < newest["t"]:
            first, payload = slow.client.receive()
            if first == 0x80 | PING:
                slow.client.send(PONG, payload)
            elif payload.startswith(b'{"img_base64"'):
                positions.append(float(payload[-40:].split(b'"t": ')[1].split(b",")[0]))
        # Nothing was in between.
        assert len(positions) == 2
        assert positions[1] - positions[0] > 0.5


def test_what_the_view_sends_keeps_its_order_among_the_frames(sockets: Sockets) -> None:
    ends = sockets.open()
    with feed().watch(ends.websocket) as viewer:
        frame(ends.client)
        for number in range(200):
            ends.websocket.send({"number": number})
            if number % 50 == 0:
                viewer.stats()
        numbers = [message(ends.client, lambda it: "number" in it)["number"] for _ in range(200)]
        frame(ends.client)
    assert numbers == list(range(200))


def test_size_and_rate_of_the_frames(sockets: Sockets) -> None:
    for size, expected in [
        ({"width": 320}, (320, 180)),
        ({"height": 90}, (160, 90)),
        ({"width": 100, "height": 100}, (100, 100)),
    ]:
        ends = sockets.open()
        with feed(**size).watch(ends.websocket):
            assert jpeg_size(frame(ends.client)["img_base64"]) == expected
    ends = sockets.open()
    with feed(fps=5).watch(ends.websocket):
        first = frame(ends.client)
        while (received := frame(ends.client))["t"] < first["t"] + 2:
            pass
        # Fewer, if the machine is too busy for some.
        assert 1 <= received["n"] - first["n"] <= 12


def test_the_feed_stops_when_its_last_viewer_goes_and_lingers(sockets: Sockets) -> None:
    ends = sockets.open()
    with Feed(SAMPLE, linger_seconds=1.0).watch(ends.websocket) as viewer:
        frame(ends.client)
        began = time.monotonic()
        ends.client.close()
        until(lambda: viewer.closed)
        assert viewer.wait(0)
    until(lambda: threads("video-feed") == threads("video-capture") == 0)
    assert time.monotonic() - began > 0.99


def test_a_websocket_that_is_not_open_cannot_watch(sockets: Sockets) -> None:
    with pytest.raises(RuntimeError, match="accept_connection"):
        feed().watch(WebSocket(Handshake()))
    refused = WebSocket(Handshake())
    refused.close()
    with pytest.raises(ConnectionClosed):
        feed().watch(refused)
    ends = sockets.open()
    ends.client.close()
    ends.ends()
    with feed().watch(ends.websocket) as viewer:
        assert viewer.closed
        assert viewer.wait(PATIENCE)


def test_a_source_that_does_not_exist_is_told_to_the_client_and_the_view(sockets: Sockets) -> None:
    ends = sockets.open()
    with feed("/no/such/clip.mp4").watch(ends.websocket) as viewer:
        assert "No such file" in state(ends.client, "ended")["error"]
        with pytest.raises(VideoError, match=r"clip\.mp4: No such file"):
            viewer.wait(PATIENCE)


@pytest.mark.parametrize(
    "option",
    [
        {"quality": 0},
        {"quality": 101},
        {"fps": 0},
        {"fps": -1.0},
        {"width": 0},
        {"linger_seconds": -1},
        {"open_timeout_seconds": 0},
        {"read_timeout_seconds": float("nan")},
    ],
)
def test_an_option_out_of_range_is_refused(option: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        Feed(SAMPLE, **option)


def test_a_source_is_a_string_a_path_or_an_index() -> None:
    for source in (None, 1.5, True, b"clip"):
        with pytest.raises(TypeError):
            Feed(source)
    assert Feed("rtsp://u:p@host/1").source == "rtsp://***@host/1"
    assert "u:p" not in repr(Feed("rtsp://u:p@host/1"))
