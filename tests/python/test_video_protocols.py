"""Live streams by protocols other than RTMP: shared by all who watch, and found again."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clip import jpeg_size
from dwebsocket.video import video_img_base64
from rtsp import RtspServer, made_by_ffmpeg, rtsp_server
from sockets import Sockets, until
from watching import feed, frame, state, threads

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["rtsp_server"]

pytestmark = pytest.mark.usefixtures("no_feed_runs_on")

Publish = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def publish() -> Iterator[Publish]:
    """Starts ffmpeg, and ends it after the test."""
    started = []

    def start(*target: str) -> subprocess.Popen[bytes]:
        started.append(made_by_ffmpeg(*target))
        return started[-1]

    yield start
    for ffmpeg in started:
        ffmpeg.kill()
        ffmpeg.wait()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def watch_together(url: str, sockets: Sockets) -> None:
    """Three viewers watch the url, and all get pictures of one capture."""
    all_ends = [sockets.open() for _ in range(3)]
    viewers = [feed(url, width=160).watch(ends.websocket) for ends in all_ends]
    for ends in all_ends:
        assert state(ends.client, "live", 60)["live"] is True
        assert jpeg_size(frame(ends.client)["img_base64"]) == (160, 90)
    assert threads("video-feed") == 1
    for viewer in viewers:
        viewer.close()
    # While the stream still comes: a read that waits for it cannot be interrupted.
    until(no_feed_runs)


def no_feed_runs() -> bool:
    return threads("video-feed") == threads("video-capture") == 0


def test_a_stream_by_http_is_opened_once_for_all(sockets: Sockets, publish: Publish) -> None:
    url = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/stream.ts"
    # It serves a single client, and ends after that.
    ffmpeg = publish("-f", "mpegts", "-listen", "1", url)
    watch_together(url, sockets)
    assert ffmpeg.wait(60) is not None


def test_a_stream_by_udp_is_received_once_for_all(sockets: Sockets, publish: Publish) -> None:
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    # A second receiver on this port would be refused.
    publish("-f", "mpegts", f"{url}?pkt_size=1316")
    watch_together(url, sockets)


def test_a_stream_by_udp_that_stops_is_lost_and_found_again(sockets: Sockets, publish: Publish) -> None:
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    ends = sockets.open()
    ffmpeg = publish("-f", "mpegts", f"{url}?pkt_size=1316")
    with feed(url, read_timeout_seconds=1).watch(ends.websocket):
        frame(ends.client)
        ffmpeg.kill()
        assert "gave no picture for 1 s" in state(ends.client, "lost", 30)["error"]
        publish("-f", "mpegts", f"{url}?pkt_size=1316")
        state(ends.client, "live", 60)
        frame(ends.client)
    until(no_feed_runs)


@pytest.mark.usefixtures("videos_linger_no_longer")
def test_a_stream_by_rtsp_is_opened_once_for_all(
    rtsp_server: RtspServer, sockets: Sockets, tmp_path: Path
) -> None:
    until((tmp_path / "stream.sdp").exists)
    watch_together(rtsp_server.url, sockets)
    assert rtsp_server.connections == 1
    videos = [video_img_base64(rtsp_server.url) for _ in range(3)]
    for video in videos:
        assert jpeg_size(next(video)) == (320, 180)
    assert rtsp_server.connections == 2
    for video in videos:
        video.close()
    until(no_feed_runs)
