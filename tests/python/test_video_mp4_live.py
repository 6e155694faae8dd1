"""Packets of live streams, from a real RTMP server: shared, joined late, lost and found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from dwebsocket.video import VideoError
from fragments import Player, frames_of
from rtmp import RtmpServer, patient_rtmp_server, rtmp_server
from sockets import Sockets, until
from test_video_live import connections_to
from watching import feed, threads

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["patient_rtmp_server", "rtmp_server"]

pytestmark = pytest.mark.usefixtures("no_feed_runs_on")


def test_who_comes_late_or_was_paused_gets_the_group_under_way_and_all_share_one_connection(
    rtmp_server: RtmpServer, sockets: Sockets, tmp_path: Path
) -> None:
    early, late = sockets.open(), sockets.open()
    first, second = Player(early.client), Player(late.client)
    with feed(rtmp_server.url).watch(early.websocket, form="mp4") as early_one:
        first.until(lambda: first.runs and len(first.runs[0].fragments) > 5, 60)
        early_one.pause()
        assert early_one.stats()["paused"] is True
        sent, paused_at = early_one.stats()["sent"], early_one.stats()["position"]
        # The next group has begun.
        until(lambda: early_one.stats()["position"] > paused_at + 2.1)
        assert early_one.stats()["sent"] <= sent + 1
        with feed(rtmp_server.url).watch(late.websocket, form="mp4") as late_one:
            newest = late_one.stats()["position"]
            second.fragments(10)
            assert connections_to(rtmp_server.port) == threads("video-remux") == 1
            with pytest.raises(VideoError, match="live source cannot be sought in"):
                late_one.seek(1)
            early_one.play()
            first.until(lambda: len(first.runs) == 2 and first.runs[1].fragments)
            assert late_one.stats()["skipped"] == early_one.stats()["skipped"] == 0
    assert first.states[-1]["live"] is True
    assert first.runs[0].start == pytest.approx(0.0, abs=0.2)
    assert first.runs[1].start > paused_at
    (run,) = second.runs
    assert 0 < run.start < newest
    shown = frames_of(run, tmp_path)
    assert len(shown) == len(run.fragments)
    assert shown[0][0] == pytest.approx(run.start, abs=0.001)


def test_a_server_that_is_killed_and_comes_back_is_found_again(
    rtmp_server: RtmpServer, sockets: Sockets, tmp_path: Path
) -> None:
    ends = sockets.open()
    player = Player(ends.client)
    with feed(rtmp_server.url).watch(ends.websocket, form="mp4"):
        player.until(lambda: player.runs and len(player.runs[-1].fragments) > 10, 60)
        rtmp_server.stop()
        player.until_state("lost", 30)
        rtmp_server.restart()
        player.until_state("live", 60)
        player.until(lambda: len(player.runs) == 2 and len(player.runs[1].fragments) > 10, 60)
    before, after = (frames_of(run, tmp_path) for run in player.runs)
    # One clock: a player may append what comes after to what came before.
    assert before[-1][0] < after[0][0] < before[-1][0] + 0.5


def test_a_publisher_that_freezes_is_lost_after_the_read_timeout(
    patient_rtmp_server: RtmpServer, sockets: Sockets
) -> None:
    ends = sockets.open()
    player = Player(ends.client)
    with feed(patient_rtmp_server.url, read_timeout_seconds=1).watch(ends.websocket, form="mp4"):
        player.until(lambda: player.runs and player.runs[0].fragments, 60)
        patient_rtmp_server.freeze_publisher()
        assert player.until_state("lost", 30)["error"] == "gave no picture for 1 s"
