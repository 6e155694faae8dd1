"""Feeds of live streams, from a real RTMP server: shared, lost and found again."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from clip import refused_port, silent_server, url_of
from dwebsocket.video import VideoError, video_img_base64
from rtmp import RtmpServer, patient_rtmp_server, rtmp_server
from serving import PATIENCE
from sockets import Sockets, until
from watching import feed, frame, message, state, threads

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["patient_rtmp_server", "refused_port", "rtmp_server", "silent_server"]


@pytest.fixture(autouse=True)
def quick_probing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """FFmpeg does not wait for the sound that the sample has not. Afterwards no feed runs on."""
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|analyzeduration;1000000")
    yield
    until(lambda: threads("video-feed") == 0)


def test_viewers_and_readers_of_a_stream_share_one_connection_to_it(
    rtmp_server: RtmpServer, sockets: Sockets
) -> None:
    all_ends = [sockets.open() for _ in range(3)]
    viewers = [feed(rtmp_server.url).watch(ends.websocket) for ends in all_ends]
    reading = feed(rtmp_server.url).frames("base64")
    for ends in all_ends:
        live = state(ends.client, "live", 60)
        assert (live["live"], live["duration"]) == (True, None)
        assert frame(ends.client)["n"] >= 0
    assert next(reading)
    assert connections_to(rtmp_server.port) == 1
    assert threads("video-feed") == 1
    reading.close()
    for viewer in viewers:
        viewer.close()


def test_ten_scene_3_views_of_one_url_share_one_capture(rtmp_server: RtmpServer) -> None:
    videos = [video_img_base64(rtmp_server.url) for _ in range(10)]
    for _ in range(3):
        assert all(isinstance(next(video), str) for video in videos)
    assert connections_to(rtmp_server.port) == 1
    assert threads("video-feed") == 1
    videos[0].quality = 30
    assert len(next(videos[0])) < len(next(videos[1]))
    for video in videos:
        video.close()


def test_a_live_viewer_pauses_and_goes_on_while_others_watch(
    rtmp_server: RtmpServer, sockets: Sockets
) -> None:
    still, moving = sockets.open(), sockets.open()
    with feed(rtmp_server.url).watch(still.websocket) as one, feed(rtmp_server.url).watch(moving.websocket):
        before = frame(still.client)
        one.pause()
        assert one.stats()["paused"] is True
        while (others := frame(moving.client))["n"] < before["n"] + 40:
            pass
        sent = one.stats()["sent"]
        frame(moving.client)
        assert one.stats()["sent"] == sent
        one.play()
        after = message(still.client, lambda it: it.get("n", 0) >= others["n"])
        assert after["n"] >= others["n"]
        for refused in (lambda: one.seek(1), lambda: one.speed(2), one.step):
            with pytest.raises(VideoError, match="live source cannot be sought in"):
                refused()
        assert one.handle('{"command": "seek", "position": 1}')
        assert "live source" in message(still.client, lambda it: "error" in it and "state" not in it)["error"]


def test_a_server_that_is_killed_and_comes_back_is_found_again(
    rtmp_server: RtmpServer, sockets: Sockets
) -> None:
    ends = sockets.open()
    with feed(rtmp_server.url).watch(ends.websocket) as viewer:
        frame(ends.client)
        for _ in range(2):
            rtmp_server.stop()
            state(ends.client, "lost", 30)
            state(ends.client, "connecting", 30)
            rtmp_server.restart()
            back = time.monotonic()
            state(ends.client, "live", 60)
            frame(ends.client)
            print("pictures again after", time.monotonic() - back)
        assert viewer.stats()["state"] == "live"


def test_a_publisher_that_freezes_is_lost_after_the_read_timeout(
    patient_rtmp_server: RtmpServer, sockets: Sockets
) -> None:
    ends = sockets.open()
    with feed(patient_rtmp_server.url, read_timeout_seconds=1).watch(ends.websocket):
        frame(ends.client)
        patient_rtmp_server.freeze_publisher()
        assert "gave no picture for 1 s" in state(ends.client, "lost", 30)["error"]


def test_a_stream_that_was_never_there_is_told_and_looked_for_again(
    sockets: Sockets, refused_port: int
) -> None:
    ends = sockets.open()
    url = f"rtmp://admin:hunter2@127.0.0.1:{refused_port}/live/x?token=hunter3"
    with feed(url).watch(ends.websocket) as viewer:
        for _ in range(3):
            assert "cannot be opened: refused" in state(ends.client, "lost")["error"]
        assert viewer.stats()["state"] in ("lost", "connecting")
    with feed(url, reconnect=False).watch(ends.websocket) as viewer:
        assert "refused" in state(ends.client, "ended")["error"]
        with pytest.raises(VideoError) as caught:
            viewer.wait(PATIENCE)
    assert "127.0.0.1" in str(caught.value)
    for shown in (str(caught.value), repr(feed(url)), feed(url).source):
        assert "hunter" not in shown
        assert "admin" not in shown


def test_a_source_that_says_nothing_holds_nobody_up(silent_server: socket.socket, sockets: Sockets) -> None:
    ends = sockets.open()
    began = time.monotonic()
    with feed(url_of(silent_server), open_timeout_seconds=1, reconnect=False).watch(ends.websocket) as viewer:
        connection, _ = silent_server.accept()
        for command in (viewer.pause, viewer.play, lambda: viewer.seek(1)):
            command()
        assert time.monotonic() - began < 10
        assert "within 1 s" in state(ends.client, "ended", 30)["error"]
    began = time.monotonic()
    with feed(url_of(silent_server), open_timeout_seconds=60).watch(ends.websocket):
        state(ends.client, "connecting")
    assert time.monotonic() - began < 10
    # The view is through, and so is the feed, though its capture thread still hangs in the source.
    until(lambda: threads("video-feed") == 0)
    connection.close()


def test_ones_early_commands_are_refused_when_the_source_turns_out_live(
    rtmp_server: RtmpServer, sockets: Sockets
) -> None:
    ends = sockets.open()
    with feed(rtmp_server.url).watch(ends.websocket) as viewer:
        viewer.seek(3)
        assert (
            "live source" in message(ends.client, lambda it: "error" in it and "state" not in it, 60)["error"]
        )


def connections_to(port: int) -> int:
    """Established TCP connections of this process to a port of this machine."""
    import psutil

    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.raddr.port == port
        for connection in psutil.Process().net_connections("tcp")
    )
