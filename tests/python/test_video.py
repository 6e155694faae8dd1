"""Video as its reader sees it: the manners of a generator, and the controls."""

from __future__ import annotations

import base64
import socket
import subprocess
import time

import pytest
from clip import FAST, SAMPLE_FRAMES, digest, jpeg_size, sample_digests, silent_server, url_of
from dwebsocket.video import video_img_base64
from rtmp import SAMPLE

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["silent_server"]


def test_every_frame_of_a_file_is_a_jpeg_and_then_none_comes_once() -> None:
    video = FAST(str(SAMPLE))
    frames = 0
    frame = next(video)
    while frame is not None:
        assert jpeg_size(frame) == (640, 360)
        frames += 1
        frame = video.send(None)
    assert frames == SAMPLE_FRAMES
    for _ in range(2):
        with pytest.raises(StopIteration):
            video.send(None)


def test_for_gives_the_frames_and_not_the_none() -> None:
    video = FAST(SAMPLE)
    assert next(video) is not None
    assert sum(isinstance(frame, str) for frame in video) == SAMPLE_FRAMES - 1
    assert list(video) == []
    with pytest.raises(StopIteration):
        next(video)


def test_a_loop_can_be_left_and_taken_up_again() -> None:
    with FAST(SAMPLE) as video:
        for _ in video:
            break
        assert digest(next(iter(video))) == sample_digests()[1]


def test_colours_are_not_swapped() -> None:
    with FAST(SAMPLE) as video:
        video.seek(9.8)
        picture = base64.b64decode(next(video))
    # The bar at the bottom is full by then, and orange.
    command = "ffmpeg -v error -f mjpeg -i - -vf crop=600:4:0:354,scale=1:1 -f rawvideo -pix_fmt rgb24 -"
    red, green, blue = subprocess.run(command.split(), input=picture, capture_output=True, check=True).stdout
    assert red > 240
    assert 180 < green < 210
    assert 75 < blue < 110


def test_send_of_a_value_works_after_the_first_frame_only_as_with_a_generator() -> None:
    with FAST(SAMPLE) as video:
        with pytest.raises(TypeError, match="just-started generator"):
            video.send("value")
        assert video.send(None) is not None
        assert video.send("value") is not None


def test_throw_raises_what_it_is_given_and_ends_the_video() -> None:
    for arguments in [(KeyError("why"),), (KeyError, "why"), (KeyError, KeyError("why"), None)]:
        video = FAST(SAMPLE)
        next(video)
        with pytest.raises(KeyError, match="why"):
            video.throw(*arguments)
        assert video.closed
        with pytest.raises(StopIteration):
            next(video)


def test_close_ends_the_video_and_may_be_called_again() -> None:
    with FAST(SAMPLE) as video:
        next(video)
        video.close()
        with pytest.raises(StopIteration):
            next(video)
        assert list(video) == []
        with pytest.raises(ValueError, match="closed"):
            video.seek(0)
    assert video.closed


def test_nothing_is_opened_before_the_first_frame_is_asked_for(silent_server: socket.socket) -> None:
    silent_server.settimeout(0)
    with video_img_base64(url_of(silent_server)):
        pass
    with pytest.raises(BlockingIOError):
        silent_server.accept()


# -- the controls


def test_seek_is_exact_to_the_frame() -> None:
    with FAST(SAMPLE) as video:
        for position in (4.0, 0.0, 9.96, 2.52):
            video.seek(position)
            assert digest(next(video)) == sample_digests()[round(position * 25)]
            assert video.position == pytest.approx(position)


def test_seek_before_the_first_frame_starts_there() -> None:
    with FAST(SAMPLE) as video:
        video.seek(4.0)
        assert digest(next(video)) == sample_digests()[100]


def test_seek_past_the_end_is_the_end_and_seek_back_plays_again() -> None:
    video = FAST(SAMPLE)
    video.seek(99)
    assert next(video) is None
    video.seek(9.8)
    assert len(list(video)) == 5
    video.close()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seek_refuses_what_is_no_position(seconds: float) -> None:
    with FAST(SAMPLE) as video, pytest.raises(ValueError, match="0 or more"):
        video.seek(seconds)


def test_skip_passes_over_frames_and_tells_how_many_there_were() -> None:
    with FAST(SAMPLE) as video:
        assert video.skip(100) == 100
        assert digest(next(video)) == sample_digests()[100]
        assert video.skip(1000) == 149
        assert next(video) is None


def test_position_duration_fps_and_live_of_a_file() -> None:
    with FAST(SAMPLE) as video:
        assert video.position is None
        assert (video.duration, video.fps, video.live) == (10.0, 25.0, False)
        positions = [video.position for _ in video]
    assert positions == pytest.approx([n / 25 for n in range(SAMPLE_FRAMES)])


def test_quality_changes_the_size_from_the_next_frame_on() -> None:
    with FAST(SAMPLE, quality=95) as video:
        best = len(next(video))
        video.quality = 10
        worst = len(next(video))
    assert worst < best / 2


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        FAST(SAMPLE, quality=quality)
    with FAST(SAMPLE, quality=1) as video, pytest.raises(ValueError, match="1 to 100"):
        video.quality = quality


def test_a_file_is_played_at_its_own_pace() -> None:
    with video_img_base64(SAMPLE) as video:
        began = time.monotonic()
        for _ in range(11):
            next(video)
        assert time.monotonic() - began >= 0.39
