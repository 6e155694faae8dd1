"""Video among threads, signals and forks, and at the end of a process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clip import FAST, SAMPLE_FRAMES, digest, refused_port, run_python, sample_digests, silent_server, url_of
from dwebsocket.video import VideoError, video_img_base64
from rtmp import SAMPLE

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["refused_port", "silent_server"]


def wait_until(condition: Callable[[], bool]) -> None:
    """For what gives no event: the end of a thread of the operating system."""
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        os.sched_yield()


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
    thread.join(timeout=30)
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

            def wait() -> None:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                next(video)

            with pytest.raises(Alarm):
                wait()
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


def test_the_log_level_a_user_has_set_is_left_alone(refused_port: int) -> None:
    done = run_python(
        f"""
        import os
        from dwebsocket.video import VideoError, video_img_base64
        try:
            next(video_img_base64("rtmp://127.0.0.1:{refused_port}/x"))
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
    # Many times: the capture thread may hold its lock at the moment of one fork and not of another.
    done = run_python("""
        import os, warnings
        from dwebsocket.video import VideoError, video_img_base64
        warnings.simplefilter("ignore", DeprecationWarning)
        video = video_img_base64(os.environ["SAMPLE"])
        for _ in range(30):
            assert next(video) is not None
            child = os.fork()
            if child == 0:
                try:
                    next(video)
                except VideoError as error:
                    os._exit(7 if "forked" in error.reason else 1)
                os._exit(2)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert (done.stdout, done.stderr) == ("7\n" * 30, "")
