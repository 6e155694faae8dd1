"""Video: frames of files, streams and cameras, with real OpenCV, real servers and no mocks."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dwebsocket.video import Frames, VideoError, video_img_base64
from rtmp import SAMPLE, RtmpServer, patient_rtmp_server, rtmp_server

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["patient_rtmp_server", "rtmp_server"]

SAMPLE_FRAMES = 250
FAST = functools.partial(video_img_base64, pace=False)


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A listener that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def http_url(tmp_path: Path) -> Iterator[str]:
    """The sample clip by HTTP."""
    handler = functools.partial(_QuietHandler, directory=str(SAMPLE.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{SAMPLE.name}"
        server.shutdown()
        thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def copyfile(self, source: object, outputfile: object) -> None:
        # A player that has seen enough hangs up in the middle.
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@functools.cache
def sample_digests() -> tuple[bytes, ...]:
    """What each frame of the sample is at the default quality."""
    with FAST(SAMPLE) as video:
        return tuple(digest(frame) for frame in video)


def digest(frame: str) -> bytes:
    return hashlib.sha256(frame.encode()).digest()


def jpeg_size(frame: str) -> tuple[int, int]:
    """Width and height of a base64 JPEG, after checking that it is one from its first marker to its last."""
    data = base64.b64decode(frame, validate=True)
    assert data[:2] == b"\xff\xd8"
    assert data[-2:] == b"\xff\xd9"
    at = 2
    while data[at + 1] != 0xC0:
        assert data[at] == 0xFF
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])


def url_of(listener: socket.socket) -> str:
    return f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/nothing"


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until(condition: Callable[[], bool]) -> None:
    """For what gives no event: the end of a thread of the operating system."""
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        os.sched_yield()


def run_python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        env=os.environ | {"SAMPLE": str(SAMPLE)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- the generator


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


# -- sources


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


def test_an_unreadable_source_raises_an_error_that_names_it(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(bytes(range(256)) * 64)
    port = refused_port()
    for source, shown, reason in [
        (tmp_path / "missing.mp4", f"{tmp_path}/missing.mp4", "No such file"),
        (tmp_path, str(tmp_path), "directory"),
        (garbage, str(garbage), "not a video"),
        (f"rtmp://127.0.0.1:{port}/live/x", f"rtmp://127.0.0.1:{port}/live/x", "refused"),
        (f"http://127.0.0.1:{port}/x.mp4", f"http://127.0.0.1:{port}/x.mp4", "refused"),
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


def test_credentials_are_masked_wherever_the_source_is_shown() -> None:
    video = FAST(f"rtmp://admin:hunter2@127.0.0.1:{refused_port()}/live/x?token=hunter3")
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
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.mp4"
    data = bytearray(SAMPLE.read_bytes()[: SAMPLE.stat().st_size // 2])
    data[40_000:42_000] = os.urandom(2000)
    damaged.write_bytes(data)
    with FAST(damaged) as video:
        assert 0 < len(list(video)) < SAMPLE_FRAMES
    with pytest.raises(VideoError):
        next(FAST(f"rtmp://127.0.0.1:{refused_port()}/live/x"))
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


# -- threads


def test_a_python_thread_runs_while_a_frame_is_waited_for(silent_server: socket.socket) -> None:
    video = video_img_base64(url_of(silent_server), open_timeout_seconds=60)
    counted = 0

    def count() -> None:
        nonlocal counted
        connection, _ = silent_server.accept()
        with connection:
            for counted in range(100_000):  # noqa: B007
                pass
            video.close()

    thread = threading.Thread(target=count)
    thread.start()
    # Were the interpreter held here, the thread could not end the wait.
    assert next(video) is None
    thread.join()
    assert counted == 99_999


def test_close_from_another_thread_gives_none_once_and_then_the_end(silent_server: socket.socket) -> None:
    video = video_img_base64(url_of(silent_server), open_timeout_seconds=60)
    got: list[object] = []

    def watch() -> None:
        got.append(next(video))
        with pytest.raises(StopIteration):
            next(video)
        got.append("stopped")

    thread = threading.Thread(target=watch)
    thread.start()
    connection, _ = silent_server.accept()
    video.close()
    thread.join(timeout=10)
    connection.close()
    assert got == [None, "stopped"]


def test_a_signal_handler_runs_while_a_frame_is_waited_for(silent_server: socket.socket) -> None:
    class Alarm(Exception):
        pass

    def ring(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with video_img_base64(url_of(silent_server), open_timeout_seconds=60) as video:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                next(video)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_two_videos_play_side_by_side() -> None:
    def play(results: list[list[bytes]]) -> None:
        with FAST(SAMPLE) as video:
            results.append([digest(frame) for frame in video])

    results: list[list[bytes]] = []
    threads = [threading.Thread(target=play, args=[results]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(sample_digests())] * 2


def test_several_threads_share_the_frames_of_one_video_out() -> None:
    video = FAST(SAMPLE)
    taken: list[bytes] = []
    nones = []

    def take() -> None:
        with contextlib.suppress(StopIteration):
            while (frame := next(video)) is not None:
                taken.append(digest(frame))
            nones.append(None)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(sample_digests())
    assert nones == [None]


def test_no_thread_and_no_descriptor_is_left_over() -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def play(number: int) -> None:
        video = FAST(SAMPLE)
        next(video)
        if number % 3 == 0:
            video.close()
        elif number % 3 == 1:
            video.skip(SAMPLE_FRAMES)
        with pytest.raises(VideoError):
            next(FAST("/no/such/clip.mp4"))

    play(0)
    wait_until(lambda: not _capturing())
    before = (threads(), descriptors())
    for number in range(30):
        play(number)
    wait_until(lambda: not _capturing())
    wait_until(lambda: (threads(), descriptors()) <= before)


def _capturing() -> bool:
    """Whether a capture thread is alive."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            if task.joinpath("comm").read_text() == "video-capture\n":
                return True
    return False


# -- processes


def test_neither_dwebsocket_nor_its_video_module_loads_opencv() -> None:
    done = run_python("""
        import dwebsocket, dwebsocket.video, pathlib, sys
        maps = pathlib.Path("/proc/self/maps")
        assert "dwebsocket_video" not in sys.modules
        assert "opencv" not in maps.read_text()
        dwebsocket.video.video_img_base64("clip.mp4")
        assert "opencv" in maps.read_text()
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_video_distribution_the_error_says_what_to_install() -> None:
    done = run_python("""
        import sys
        sys.modules["dwebsocket_video"] = None
        from dwebsocket.video import video_img_base64
        try:
            video_img_base64("clip.mp4")
        except ImportError as error:
            print(error)
    """)
    assert 'pip install "dwebsocket-rs[video]"' in done.stdout
    assert "libopencv-dev" in done.stdout
    assert done.returncode == 0


def test_the_log_level_a_user_has_set_is_left_alone() -> None:
    done = run_python(
        f"""
        import os
        from dwebsocket.video import VideoError, video_img_base64
        try:
            next(video_img_base64("rtmp://127.0.0.1:{refused_port()}/x"))
        except VideoError:
            print(os.environ["OPENCV_FFMPEG_LOGLEVEL"])
        """,
        OPENCV_FFMPEG_LOGLEVEL="16",
    )
    assert done.stdout.endswith("16\n")
    assert "refused" in done.stdout + done.stderr


EXITS = {
    "a thread waits for a source that hangs": """
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        video = video_img_base64(f"rtmp://127.0.0.1:{port}/x/y", open_timeout_seconds=60)
        threading.Thread(target=next, args=[video], daemon=True).start()
        connection, _ = listener.accept()
    """,
    "a thread plays as fast as it can": """
        video = video_img_base64(os.environ["SAMPLE"], pace=False)
        started = threading.Event()
        def play():
            while True:
                for frame in video:
                    started.set()
                video.seek(0)
        threading.Thread(target=play, daemon=True).start()
        started.wait()
    """,
    "a video is half played": """
        video = video_img_base64(os.environ["SAMPLE"])
        next(video)
    """,
}


@pytest.mark.parametrize("script", EXITS.values(), ids=EXITS.keys())
def test_the_interpreter_ends_at_once_and_quietly_while(script: str) -> None:
    prologue = "import os, socket, threading\nfrom dwebsocket.video import video_img_base64\n"
    for _ in range(3):
        done = run_python(prologue + textwrap.dedent(script) + "\nprint('leaving')")
        assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_a_video_opened_before_a_fork_tells_so_in_the_child() -> None:
    done = run_python("""
        import os, warnings
        from dwebsocket.video import VideoError, video_img_base64
        warnings.simplefilter("ignore", DeprecationWarning)
        video = video_img_base64(os.environ["SAMPLE"])
        next(video)
        child = os.fork()
        if child == 0:
            try:
                next(video)
            except VideoError as error:
                os._exit(7 if "forked" in error.reason else 1)
            os._exit(2)
        assert next(video) is not None
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert (done.stdout, done.stderr) == ("7\n", "")


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
