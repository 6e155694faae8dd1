"""Packets of live streams in MPEG-TS and FLV: shown without waiting for what need not come, and followed."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest
from fragments import Player, frames, frames_of
from sockets import Sockets, until
from streams import SOUND, VIDEO, described_late, held, made, send_datagrams, without
from test_video_protocols import free_port
from watching import feed

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

pytestmark = pytest.mark.usefixtures("no_feed_runs_on")

# A parser holds the last picture back until it has seen the begin of another.
_ENOUGH = 70

_LARGE = "testsrc2=size=160x90:rate=25:duration=3"

_CODECS = {"h264": (), "h265": ("-c:v", "libx265", "-x265-params", "log-level=none:bframes=0")}


def watch(url: str, sockets: Sockets, count: int = _ENOUGH) -> Player:
    """A client's player, once so many fragments have come."""
    ends = sockets.open()
    player = Player(ends.client)
    with feed(url).watch(ends.websocket, form="mp4"):
        player.fragments(count)
    return player


def assert_plays(player: Player, clip: Path, *, first: int = 0) -> None:
    """The player shows the frames of the clip from one on."""
    (run,) = player.runs
    expected = [digest for _, digest in frames(clip)][first:]
    found = [digest for _, digest in frames_of(run, clip.parent)]
    assert found == expected[: len(found)]
    assert len(found) == len(run.fragments)


@pytest.mark.parametrize("name", ["stream.ts", "stream.flv"])
def test_a_stream_without_sound_is_shown_though_sound_might_still_come(
    sockets: Sockets, tmp_path: Path, name: str
) -> None:
    clip = made(tmp_path / name, "-g", "10")
    with held(clip.read_bytes()) as url:
        player = watch(url, sockets)
    assert_plays(player, clip)
    live = next(it for it in player.states if it["state"] == "live")
    assert (live["live"], live["fps"], live["duration"]) == (True, 25.0, None)


def test_a_stream_by_udp_without_sound_is_shown(sockets: Sockets, tmp_path: Path) -> None:
    clip = made(tmp_path / "stream.ts", "-g", "10")
    port = free_port(socket.SOCK_DGRAM)
    ends = sockets.open()
    player = Player(ends.client)
    with feed(f"udp://127.0.0.1:{port}").watch(ends.websocket, form="mp4"):
        until(lambda: any(one.laddr.port == port for one in psutil.Process().net_connections("udp4")))
        send_datagrams(clip.read_bytes(), port)
        player.fragments(_ENOUGH)
    assert_plays(player, clip)


def test_a_stream_whose_announced_sound_does_not_come_is_shown(sockets: Sockets, tmp_path: Path) -> None:
    clip = made(tmp_path / "stream.ts", "-g", "10", sound=True)
    with held(without(clip.read_bytes(), SOUND)) as url:
        assert_plays(watch(url, sockets), clip)
    clip = made(tmp_path / "stream.flv", "-g", "10")
    head = bytearray(clip.read_bytes())
    # TypeFlagsAudio (Adobe Flash Video File Format, annex E.2).
    head[4] |= 4
    with held(bytes(head)) as url:
        assert_plays(watch(url, sockets), clip)


@pytest.mark.parametrize("codec", _CODECS)
def test_a_stream_that_is_joined_long_before_its_next_key_frame_is_shown_from_there(
    sockets: Sockets, tmp_path: Path, codec: str
) -> None:
    # Its parameters come with the key frames, of which the first is missed.
    clip = made(tmp_path / "stream.ts", *_CODECS[codec], "-g", "50")
    with held(without(clip.read_bytes(), VIDEO, packets=1)) as url:
        player = watch(url, sockets, 20)
    assert_plays(player, clip, first=50)


def test_a_stream_whose_pictures_begin_long_after_its_sound_is_shown(
    sockets: Sockets, tmp_path: Path
) -> None:
    clip = made(tmp_path / "stream.flv", "-g", "10", sound=True, begins=1.5)
    with held(described_late(clip.read_bytes())) as url:
        assert_plays(watch(url, sockets), clip)


@pytest.mark.parametrize("codec", _CODECS)
def test_a_stream_that_changes_its_size_goes_on_behind_a_new_init_segment(
    sockets: Sockets, tmp_path: Path, codec: str
) -> None:
    options = (*_CODECS[codec], "-g", "10")
    small = made(tmp_path / "small.ts", *options)
    large = made(tmp_path / "large.ts", *options, "-output_ts_offset", "3", pictures=_LARGE)
    ends = sockets.open()
    player = Player(ends.client)
    with (
        held(small.read_bytes() + large.read_bytes()) as url,
        feed(url).watch(ends.websocket, form="mp4") as viewer,
    ):
        player.until(lambda: len(player.runs) == 2 and len(player.runs[1].fragments) >= _ENOUGH)
        assert viewer.stats()["skipped"] == 0
        assert viewer.stats()["state"] == "live"
    before, after = player.runs
    assert before.init != after.init
    assert [it["state"] for it in player.states if it["state"] != "connecting"] == ["live"]
    shown = [frames_of(run, tmp_path) for run in player.runs]
    for found, clip in zip(shown, (small, large), strict=True):
        assert [digest for _, digest in found] == [digest for _, digest in frames(clip)][: len(found)]
    assert len(shown[0]) == 75
    assert len(shown[1]) >= _ENOUGH
    # On one clock.
    assert after.start == pytest.approx(3.0, abs=0.05)
    assert shown[1][0][0] == pytest.approx(after.start, abs=0.001)


def test_a_recording_that_changes_its_size_comes_with_both_init_segments(
    sockets: Sockets, tmp_path: Path
) -> None:
    small = made(tmp_path / "small.ts", "-g", "10")
    large = made(tmp_path / "large.ts", "-g", "10", "-output_ts_offset", "3", pictures=_LARGE)
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    ends = sockets.open()
    player = Player(ends.client)
    with feed(both).watch(ends.websocket, form="mp4") as viewer:
        viewer.speed(20.0)
        player.until_state("ended")
        viewer.seek(1.0)
        player.until(lambda: len(player.runs) == 3 and player.runs[2].fragments)
    first, second, third = player.runs
    assert first.init == third.init != second.init
    assert len(first.fragments) == len(second.fragments) == 75
