"""What can be played and what cannot: files, HTTP, RTMP, cameras."""

from __future__ import annotations

import os
import pickle
import socket
import time
from pathlib import Path

import pytest
from clip import (
    FAST,
    HTTP_REQUESTS,
    SAMPLE_FRAMES,
    digest,
    http_url,
    jpeg_size,
    refused_port,
    sample_digests,
    silent_server,
    url_of,
)
from dwebsocket.video import Frames, VideoError, video_img_base64
from rtmp import SAMPLE, RtmpServer, patient_rtmp_server, rtmp_server
from sockets import Sockets
from watching import feed, frame

Playback = pytest.importorskip(
    "dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError
).Playback

__all__ = ["http_url", "patient_rtmp_server", "refused_port", "rtmp_server", "silent_server"]


def test_a_source_is_named_by_string_path_or_index() -> None:
    for source in (str(SAMPLE), SAMPLE, SAMPLE.as_uri()):
        with FAST(source) as video:
            assert digest(next(video)) == sample_digests()[0]
    for source in (None, 1.5, True, b"clip"):
        with pytest.raises(TypeError):
            FAST(source)


def test_a_file_name_with_a_colon_or_strange_bytes_is_opened(tmp_path: Path) -> None:
    for name in ("22:30:56.mp4", "图像 ü.mp4", os.fsdecode(b"\xff.mp4")):
        path = tmp_path / name
        path.symlink_to(SAMPLE)
        with FAST(path) as video:
            assert next(video) is not None


def test_a_file_over_http_is_a_recording(http_url: str) -> None:
    with FAST(http_url) as video:
        assert (video.duration, video.live) == (10.0, False)
        assert digest(next(video)) == sample_digests()[0]
        video.seek(4.0)
        assert digest(next(video)) == sample_digests()[100]


def test_a_file_over_http_is_opened_once_for_each_who_plays_it(http_url: str) -> None:
    HTTP_REQUESTS.clear()
    alone = Playback(http_url, pace=False, open_timeout_seconds=15.0, read_timeout_seconds=5.0)
    assert alone.take(80) is not None
    alone.close()
    once = len(HTTP_REQUESTS)
    assert once > 0
    HTTP_REQUESTS.clear()
    videos = [FAST(http_url) for _ in range(3)]
    for video in videos:
        assert [digest(next(video)) for _ in range(3)] == list(sample_digests()[:3])
    assert len(HTTP_REQUESTS) == 3 * once
    for video in videos:
        video.close()


@pytest.mark.usefixtures("no_feed_runs_on", "videos_linger_no_longer")
def test_who_plays_a_file_that_is_watched_leaves_it_to_the_viewers(http_url: str, sockets: Sockets) -> None:
    ends = sockets.open()
    with feed(http_url).watch(ends.websocket), FAST(http_url) as video:
        first = frame(ends.client)
        assert digest(next(video)) == sample_digests()[0]
        while frame(ends.client)["t"] < first["t"] + 1:
            pass
        assert digest(next(video)) == sample_digests()[1]


def test_a_file_over_http_is_paced_and_sought_in_as_one_on_disk(http_url: str) -> None:
    with video_img_base64(http_url) as video:
        video.seek(8.0)
        began = time.monotonic()
        assert digest(next(video)) == sample_digests()[200]
        assert video.skip(24) == 24
        assert digest(next(video)) == sample_digests()[225]
        for _ in range(12):
            next(video)
        assert time.monotonic() - began > 0.4
        assert sum(1 for _ in video) == SAMPLE_FRAMES - 238


def test_an_unreadable_source_raises_an_error_that_names_it(tmp_path: Path, refused_port: int) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(bytes(range(256)) * 64)
    for source, shown, reason in [
        (tmp_path / "missing.mp4", f"{tmp_path}/missing.mp4", "No such file"),
        (tmp_path, str(tmp_path), "directory"),
        (garbage, str(garbage), "not a video"),
        (f"rtmp://127.0.0.1:{refused_port}/live/x", f"rtmp://127.0.0.1:{refused_port}/live/x", "refused"),
        (f"http://127.0.0.1:{refused_port}/x.mp4", f"http://127.0.0.1:{refused_port}/x.mp4", "refused"),
        (99, "camera 99", "cannot be opened"),
    ]:
        video = FAST(source)
        with pytest.raises(VideoError) as caught:
            next(video)
        assert caught.value.source == shown
        assert reason in caught.value.reason
        assert shown in str(caught.value)
        assert video.closed
        with pytest.raises(StopIteration):
            next(video)


@pytest.mark.parametrize("member", ["duration", "fps", "live"])
def test_asking_an_unreadable_source_for_facts_raises_too(member: str) -> None:
    with pytest.raises(VideoError, match="No such file"):
        getattr(FAST("/no/such/clip.mp4"), member)


def test_credentials_are_masked_wherever_the_source_is_shown(refused_port: int) -> None:
    video = FAST(f"rtmp://admin:hunter2@127.0.0.1:{refused_port}/live/x?token=hunter3")
    with pytest.raises(VideoError) as caught:
        next(video)
    for shown in (repr(video), video.source, repr(caught.value), str(caught.value), caught.value.source):
        assert "127.0.0.1" in shown
        assert "hunter" not in shown
        assert "admin" not in shown


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(VideoError("camera 0", "is gone")))
    assert (error.source, error.reason, str(error)) == ("camera 0", "is gone", "camera 0: is gone")


def test_a_damaged_file_gives_what_it_has_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], refused_port: int
) -> None:
    damaged = tmp_path / "damaged.mp4"
    data = bytearray(SAMPLE.read_bytes()[: SAMPLE.stat().st_size // 2])
    data[40_000:42_000] = os.urandom(2000)
    damaged.write_bytes(data)
    with FAST(damaged) as video:
        assert 0 < len(list(video)) < SAMPLE_FRAMES
    with pytest.raises(VideoError):
        next(FAST(f"rtmp://127.0.0.1:{refused_port}/live/x"))
    with pytest.raises(VideoError):
        next(FAST(99))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["open_timeout_seconds", "read_timeout_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 86_401])
def test_a_timeout_out_of_range_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=name):
        FAST(SAMPLE, **{name: seconds})


def test_a_silent_server_is_given_up_after_the_open_timeout(silent_server: socket.socket) -> None:
    video = video_img_base64(url_of(silent_server), open_timeout_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(VideoError, match=r"within 0\.5 s"):
        next(video)
    assert 0.4 < time.monotonic() - began < 10


# -- streams


@pytest.fixture
def quick_probing(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg does not wait for the sound that the sample has not."""
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|analyzeduration;1000000")


def test_a_live_stream_gives_frames_has_no_end_and_cannot_be_sought_in(
    rtmp_server: RtmpServer, quick_probing: None
) -> None:
    with video_img_base64(rtmp_server.url) as video:
        assert jpeg_size(next(video)) == (640, 360)
        assert (video.live, video.duration, video.fps) == (True, None, 25.0)
        with pytest.raises(VideoError, match="live"):
            video.seek(1)
        for _ in range(10):
            assert next(video) is not None


def test_a_live_stream_is_never_behind_its_reader(rtmp_server: RtmpServer, quick_probing: None) -> None:
    with video_img_base64(rtmp_server.url) as fast, video_img_base64(rtmp_server.url) as slow:
        next(slow)
        next(fast)
        before = fast.position
        while fast.position < before + 2:
            next(fast)
        behind = slow.position
        next(slow)
        # The slow reader took nothing for two seconds, and is given not the next frame but the newest.
        assert slow.position > behind + 1.5


def test_a_stream_whose_server_is_killed_ends_with_none(rtmp_server: RtmpServer, quick_probing: None) -> None:
    with video_img_base64(rtmp_server.url) as video:
        next(video)
        rtmp_server.kill()
        assert _frames_until_none(video) < 1000


def test_a_stream_whose_publisher_is_killed_ends_with_none(
    rtmp_server: RtmpServer, quick_probing: None
) -> None:
    with video_img_base64(rtmp_server.url) as video:
        next(video)
        rtmp_server.kill_publisher()
        assert _frames_until_none(video) < 1000


def test_a_stream_that_falls_silent_raises_after_the_read_timeout(
    patient_rtmp_server: RtmpServer, quick_probing: None
) -> None:
    with video_img_base64(patient_rtmp_server.url, read_timeout_seconds=1) as video:
        next(video)
        patient_rtmp_server.freeze_publisher()
        with pytest.raises(VideoError, match="gave no picture for 1 s"):
            _frames_until_none(video)


def _frames_until_none(video: Frames) -> int:
    frames = 0
    while next(video) is not None:
        frames += 1
    return frames
