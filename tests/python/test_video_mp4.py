"""Feeds whose packets are sent as they are: what every viewer gets, and the controls of each."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from clip import refused_port, silent_server, url_of
from dwebsocket.video import Feed, VideoError, Viewer
from fragments import Player, assert_same, encode, frames, frames_of
from rtmp import SAMPLE
from serving import PATIENCE
from sockets import BINARY, PING, PONG, Ends, Sockets, until
from watching import captures, feed, message, state, threads, watch_together

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["refused_port", "silent_server"]

pytestmark = pytest.mark.usefixtures("no_feed_runs_on")

_QUICK = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10")
_FAST = 20.0
_SECOND = "testsrc2=size=96x54:rate=25:duration=1"


def play_all(sockets: Sockets, source: object = SAMPLE) -> tuple[Player, dict[str, Any]]:
    """A player that got all of a recording, and what the viewer counted."""
    for _ in range(10):
        ends = sockets.open()
        player = Player(ends.client)
        began = time.monotonic()
        with feed(source).watch(ends.websocket, form="mp4") as viewer:
            viewer.speed(_FAST)
            player.until_state("ended")
            counts = viewer.stats()
        if counts["skipped"] == 0:
            return player, counts
        # Nobody is moved on who is less than a second late; on a busy machine somebody may be.
        assert time.monotonic() - began > 1.0
    raise AssertionError("it is always late")


def test_a_file_comes_as_its_own_frames_at_its_own_times(sockets: Sockets, tmp_path: Path) -> None:
    player, counts = play_all(sockets)
    assert counts["sent"] == 250
    # A notice that waits is replaced by the next, so "connecting" need not be seen.
    live = next(it for it in player.states if it["state"] != "connecting")
    assert live["state"] == "live"
    assert (live["live"], live["fps"], live["duration"]) == (False, 25.0, 10.0)
    (run,) = player.runs
    described = SAMPLE.read_bytes().partition(b"avcC")[2]
    assert run.mime_type == f'video/mp4; codecs="avc1.{described[1:4].hex()}"'
    assert run.start == 0.0
    assert len(run.fragments) == 250
    assert_same(frames_of(run, tmp_path), frames(SAMPLE))


@pytest.mark.parametrize(
    ("name", "options", "codecs"),
    [
        ("clip.ts", ("-c:v", "libx264", "-g", "10", "-bf", "2"), "avc1.64000a"),
        ("clip.mkv", ("-c:v", "libx264", "-profile:v", "baseline"), "avc1.42c00a"),
        ("clip.mp4", ("-c:v", "libx265", "-x265-params", "log-level=none:bframes=2"), "hvc1.1.6.L30.90"),
        ("hevc.ts", ("-c:v", "libx265", "-x265-params", "log-level=none"), "hvc1.1.6.L30.90"),
        ("clip.ivf", ("-c:v", "libaom-av1", "-cpu-used", "8", "-g", "10"), "av01.0.00M.08"),
    ],
)
def test_each_codec_that_browsers_take_in_mp4_passes_through(
    sockets: Sockets, tmp_path: Path, name: str, options: tuple[str, ...], codecs: str
) -> None:
    clip = encode(tmp_path / name, *options, video=_SECOND)
    player, _ = play_all(sockets, clip)
    (run,) = player.runs
    assert run.mime_type == f'video/mp4; codecs="{codecs}"'
    expected = frames(clip)
    first = expected[0][0]
    relative = [(shown - first, digest) for shown, digest in expected]
    assert len(expected) == 25
    assert_same(frames_of(run, tmp_path), relative)


@pytest.mark.parametrize(
    ("name", "options", "codec"),
    [
        ("clip.avi", ("-c:v", "mjpeg"), "mjpeg"),
        ("clip.mp4", ("-c:v", "mpeg4"), "mpeg4"),
        ("clip.webm", ("-c:v", "libvpx", "-deadline", "realtime"), "vp8"),
    ],
)
def test_any_other_codec_is_refused_and_the_way_out_named(
    sockets: Sockets, tmp_path: Path, name: str, options: tuple[str, ...], codec: str
) -> None:
    clip = encode(tmp_path / name, *options, video=_SECOND)
    ends = sockets.open()
    with feed(clip).watch(ends.websocket, form="mp4") as viewer:
        error = state(ends.client, "ended")["error"]
        with pytest.raises(VideoError, match='Use form="json"') as caught:
            viewer.wait(PATIENCE)
    assert f"its video is {codec}," in error
    assert str(caught.value) == f"{clip}: {error}"


def test_what_is_no_video_is_told_as_it_is(sockets: Sockets, tmp_path: Path) -> None:
    sound, text = tmp_path / "sound.wav", tmp_path / "text.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", sound], check=True)
    text.write_text("no video at all\n" * 1000)
    for source, expected in [
        (sound, "no video in it"),
        (text, "not a video"),
        (tmp_path / "none.mp4", "No such file"),
        (tmp_path, "directory"),
        (0, 'form="json"'),
    ]:
        ends = sockets.open()
        with feed(source, reconnect=False).watch(ends.websocket, form="mp4"):
            assert expected in state(ends.client, "ended")["error"]
    ends = sockets.open()
    with pytest.raises(ValueError, match="pushed frames have no form mp4"):
        Feed.from_frames([]).watch(ends.websocket, form="mp4")


def test_viewers_share_one_demuxer_whatever_the_pictures_are_to_be_like(sockets: Sockets) -> None:
    all_ends: list[Ends] = []
    feeds = [feed(quality=30 + number) for number in range(10)]

    def watch() -> list[Viewer]:
        all_ends[:] = [sockets.open() for _ in range(10)]
        return [one.watch(ends.websocket, form="mp4") for one, ends in zip(feeds, all_ends, strict=True)]

    viewers = watch_together(watch)
    players = [Player(ends.client) for ends in all_ends]
    for player in players:
        player.fragments(20)
    assert threads("video-remux") == captures(SAMPLE) == 1
    assert threads("video-feed") == threads("video-capture") == 0
    assert feeds[0].viewers == 10
    assert len({player.runs[0].file[:10_000] for player in players}) == 1
    for viewer in viewers:
        viewer.close()


def test_a_slow_viewer_is_moved_on_to_a_key_frame_and_others_do_not_notice(
    sockets: Sockets, tmp_path: Path
) -> None:
    noise = "nullsrc=size=320x180:rate=25:duration=12,geq=random(1)*255:128:128"
    clip = encode(tmp_path / "noise.mp4", *_QUICK, "-qp", "12", video=noise)
    slow, fast = sockets.open(raw=True), sockets.open()
    slow.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    with (
        feed(clip).watch(slow.websocket, form="mp4") as slow_one,
        feed(clip).watch(fast.websocket, form="mp4") as fast_one,
    ):
        player = Player(fast.client)
        while slow_one.stats()["skipped"] < 20:
            player.take()
        newest = player.runs[-1].fragments[-1].number
        # From here on nobody reads at the fast one, who would be slow then.
        assert fast_one.stats()["skipped"] == 0
        late = Player(None)
        while not late.runs or not late.runs[-1].fragments or late.runs[-1].fragments[-1].number <= newest:
            first, payload = slow.client.receive()
            if first & 0xF == PING:
                slow.client.send(PONG, payload)
            else:
                late.put(payload if first & 0xF == BINARY else payload.decode())
        counts = slow_one.stats()
    assert len(player.runs) == 1
    assert len(late.runs) > 1
    last, first = late.runs[-2].fragments[-1], late.runs[-1].fragments[0]
    assert first.number > last.number + 10
    received = sum(len(run.fragments) for run in late.runs)
    assert counts["sent"] >= received
    assert counts["sent"] + counts["skipped"] >= newest
    # What it has got it could play: every run by itself.
    for run in late.runs:
        assert len(frames_of(run, tmp_path)) == len(run.fragments)


def test_seek_begins_at_the_key_frame_before_and_hurries_to_the_position(
    sockets: Sockets, tmp_path: Path
) -> None:
    ends = sockets.open()
    player = Player(ends.client)
    with feed().watch(ends.websocket, form="mp4") as viewer:
        player.fragments(3)
        viewer.pause()
        viewer.seek(7.0)
        player.until(lambda: player.runs[-1].start == 7.0)
        # Frames 150 to 175, and those that 175 refers to and which come before it.
        player.fragments(26)
        until(lambda: viewer.stats()["position"] >= 7.0 and _is_quiet(viewer))
        quiet = viewer.stats()["sent"]
        viewer.step()
        until(lambda: viewer.stats()["sent"] == quiet + 1)
        assert viewer.stats()["paused"] is True
        viewer.speed(_FAST)
        viewer.play()
        player.until_state("ended")
        assert_same(frames_of(player.runs[-1], tmp_path), frames(SAMPLE)[150:])
        viewer.play()
        player.until(lambda: player.runs[-1].start == 0.0)
        assert viewer.handle('{"command": "seek", "position": 4}')
        player.until(lambda: player.runs[-1].start == 4.0 and player.runs[-1].init)
    assert all(run.init == player.runs[0].init for run in player.runs)


def _is_quiet(viewer: Viewer) -> bool:
    """Whether nothing is sent for some frames' time."""
    sent = viewer.stats()["sent"]
    time.sleep(0.2)
    return viewer.stats()["sent"] == sent


def test_pause_and_play_leave_nothing_out(sockets: Sockets) -> None:
    ends = sockets.open()
    player = Player(ends.client)
    with feed().watch(ends.websocket, form="mp4") as viewer:
        player.fragments(5)
        viewer.pause()
        assert message(_Notices(player), lambda it: it.get("paused") is True)
        until(lambda: _is_quiet(viewer))
        viewer.play()
        player.fragments(viewer.stats()["sent"] + 10)
    assert len(player.runs) == 1


class _Notices:
    """A client whose fragments go to a player."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def recv(self, timeout: float) -> str:
        while not isinstance(text := self._player.take(timeout), str):
            pass
        return text


def test_a_recording_is_played_at_its_own_pace(sockets: Sockets, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", *_QUICK, video=_SECOND)
    ends = sockets.open()
    player = Player(ends.client)
    began = time.monotonic()
    with feed(clip).watch(ends.websocket, form="mp4") as viewer:
        player.fragments(1)
        assert viewer.wait(PATIENCE)
        # A second, less what is sent ahead.
        assert time.monotonic() - began > 0.7


def test_who_pauses_while_others_watch_goes_on_alone(sockets: Sockets) -> None:
    calm, restless = sockets.open(), sockets.open()
    shared, player, other = feed(), Player(calm.client), Player(restless.client)
    with (
        shared.watch(calm.websocket, form="mp4"),
        shared.watch(restless.websocket, form="mp4") as restless_one,
    ):
        player.fragments(3)
        other.fragments(3)
        restless_one.seek(8.0)
        other.until(lambda: other.runs[-1].start == 8.0)
        assert threads("video-remux") == 2
        player.fragments(30)
    assert len(player.runs) == 1


def test_a_source_that_says_nothing_holds_nobody_up(silent_server: socket.socket, sockets: Sockets) -> None:
    ends = sockets.open()
    source = feed(url_of(silent_server), open_timeout_seconds=1, reconnect=False)
    with source.watch(ends.websocket, form="mp4"):
        connection, _ = silent_server.accept()
        assert "within 1 s" in state(ends.client, "ended", 30)["error"]
    connection.close()
    began = time.monotonic()
    with feed(url_of(silent_server), open_timeout_seconds=60).watch(ends.websocket, form="mp4"):
        state(ends.client, "connecting")
        connection, _ = silent_server.accept()
    # Nobody watches, so libavformat is interrupted, though the source still says nothing.
    until(lambda: threads("video-remux") == 0)
    assert time.monotonic() - began < 20
    connection.close()


def test_a_source_that_does_not_exist_is_told_without_its_credentials(
    sockets: Sockets, refused_port: int
) -> None:
    ends = sockets.open()
    url = f"rtmp://admin:hunter2@127.0.0.1:{refused_port}/live/x?token=hunter3"
    with feed(url).watch(ends.websocket, form="mp4"):
        for _ in range(3):
            assert state(ends.client, "lost")["error"] == "cannot be opened: Connection refused"
    with (
        feed(url, reconnect=False).watch(ends.websocket, form="mp4") as viewer,
        pytest.raises(VideoError) as caught,
    ):
        viewer.wait(PATIENCE)
    assert "hunter" not in str(caught.value)
