"""Sources that are lost: what viewers and the log are told, and what is left of feeds that are over."""

from __future__ import annotations

import base64
import gc
import logging
import threading
import time
from pathlib import Path

import psutil
import pytest
from clip import refused_port, run_python, short_clip
from descriptors import open_descriptors
from dwebsocket.video import Feed, video_img_base64
from rtmp import RtmpServer, rtmp_server
from serving import PATIENCE
from sockets import Sockets, until
from watching import captures, feed, frame, jpeg_of, state, threads

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

__all__ = ["refused_port", "rtmp_server"]

pytestmark = pytest.mark.usefixtures("no_feed_runs_on")

RESTARTS = 10
FEEDS = 200


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG of a size that no source has."""
    path = tmp_path / "no-signal.jpg"
    with video_img_base64(short_clip(tmp_path), quality=33) as video:
        path.write_bytes(base64.b64decode(next(video)))
    return path


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the logger of video says."""
    caplog.set_level(logging.INFO, "dwebsocket.video")
    return caplog


def lines(told: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in told.records
        if (record.name, record.levelno) == ("dwebsocket.video", level)
    ]


@pytest.mark.timeout(400)
def test_every_viewer_gets_pictures_again_each_time_the_server_is_killed_and_comes_back(
    rtmp_server: RtmpServer,
    sockets: Sockets,
    picture: Path,
    told: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The sample has no sound, and FFmpeg is not to wait for any.
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "analyzeduration;200000")
    through = threading.Event()
    all_ends = [sockets.open(lambda _: through.wait(400)) for _ in range(3)]
    viewers = [feed(rtmp_server.url, no_signal=picture).watch(ends.websocket) for ends in all_ends]
    for ends in all_ends:
        state(ends.client, "live", 60)
        frame(ends.client)
    took = []
    for _ in range(RESTARTS):
        rtmp_server.stop()
        for ends in all_ends:
            error = state(ends.client, "lost", 30)["error"]
            # Of a slow client's notices the first may be replaced by those of the next attempt.
            assert error is None or error.startswith("cannot be opened")
            assert jpeg_of(frame(ends.client)) == picture.read_bytes()
        rtmp_server.restart()
        back = time.monotonic()
        for ends in all_ends:
            state(ends.client, "live", 60)
            assert jpeg_of(frame(ends.client)) != picture.read_bytes()
        took.append(time.monotonic() - back)
    print(f"pictures again after {', '.join(f'{seconds:.1f}' for seconds in took)} s")
    assert max(took) < 60
    until(lambda: len(lines(told, logging.INFO)) == RESTARTS)
    warnings = lines(told, logging.WARNING)
    lost = [line for line in warnings if f"{rtmp_server.url} is lost: it ended; next attempt in 0." in line]
    assert len(lost) == RESTARTS
    # Each outage is short: of its further attempts there is one line at most.
    assert len(warnings) <= 2 * RESTARTS
    assert all(f"{rtmp_server.url} is back after " in line for line in lines(told, logging.INFO))
    for viewer in viewers:
        viewer.close()
    through.set()


def test_a_source_that_is_not_there_is_logged_once_for_many_attempts_and_without_its_credentials(
    sockets: Sockets, told: pytest.LogCaptureFixture, refused_port: int
) -> None:
    ends = sockets.open()
    with feed(f"rtmp://admin:hunter2@127.0.0.1:{refused_port}/live/x?token=hunter3").watch(ends.websocket):
        for _ in range(4):
            state(ends.client, "lost")
            state(ends.client, "connecting")
        until(lambda: lines(told, logging.WARNING) != [])
        (line,) = lines(told, logging.WARNING)
    shown = f"rtmp://***@127.0.0.1:{refused_port}/live/x?token=***"
    assert line.startswith(f"Video source {shown} gives no pictures: cannot be opened: refused")
    assert "; next attempt in 0." in line


def test_that_a_source_is_not_opened_again_is_logged(
    sockets: Sockets, told: pytest.LogCaptureFixture
) -> None:
    ends = sockets.open()
    with feed("/no/such/clip.mp4").watch(ends.websocket) as viewer:
        state(ends.client, "ended")
        until(lambda: lines(told, logging.WARNING) != [])
        assert viewer.stats()["state"] == "ended"
    (line,) = lines(told, logging.WARNING)
    assert line.startswith("Video source /no/such/clip.mp4 gives no pictures: No such file")
    assert line.endswith("; it is not opened again")


def test_the_picture_for_no_signal_is_shown_in_every_form_and_to_who_comes_later(
    sockets: Sockets, picture: Path, refused_port: int
) -> None:
    url = f"rtmp://127.0.0.1:{refused_port}/live/x"
    early, late, raw = sockets.open(), sockets.open(), sockets.open()
    jpeg = picture.read_bytes()
    lost = feed(url, no_signal=jpeg)
    with lost.watch(early.websocket):
        assert jpeg_of(frame(early.client)) == jpeg
        with lost.watch(late.websocket), lost.watch(raw.websocket, form="binary"):
            assert jpeg_of(frame(late.client)) == jpeg
            while isinstance(received := raw.client.recv(timeout=PATIENCE), str):
                pass
            assert received == jpeg
    with feed(url).watch(early.websocket):
        state(early.client, "lost")


def test_a_picture_for_no_signal_is_looked_at_before_it_is_needed(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        feed(no_signal=tmp_path / "missing.jpg")
    whole = picture.read_bytes()
    for wrong in (b"", b"\x89PNG\r\n", whole[:20], whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match="no_signal must be a JPEG"):
            feed(no_signal=wrong)
    # Feeds with another picture are others.
    assert feed(no_signal=picture).with_quality(30).quality == 30


@pytest.mark.timeout(400)
def test_hundreds_of_feeds_leave_no_thread_no_descriptor_and_no_memory(
    sockets: Sockets, tmp_path: Path
) -> None:
    clip = short_clip(tmp_path)
    ends = sockets.open()

    def play(count: int) -> None:
        for number in range(count):
            options = {"quality": 1 + number % 100, "linger_seconds": 0.0}
            with Feed(clip, **options).watch(ends.websocket) as viewer:
                frame(ends.client)
                while viewer.stats()["sent"] == 0:
                    frame(ends.client)
        until(lambda: threads("video-feed") == threads("video-capture") == 0)
        gc.collect()

    play(FEEDS // 4)
    descriptors, memory = open_descriptors(), psutil.Process().memory_info().rss
    play(FEEDS)
    assert captures(clip) == 0
    assert open_descriptors() == descriptors
    grown = psutil.Process().memory_info().rss - memory
    print(f"{grown / 2**20:.1f} MiB more after {FEEDS} feeds")
    assert grown < 24 * 2**20


def test_a_forked_child_writes_what_happens_to_its_own_sources() -> None:
    # Many times, from a parent whose thread is at work and which has written as many lines as it may.
    done = run_python("""
        import logging, os, queue, signal, warnings
        from dwebsocket.video import Feed, VideoError
        warnings.simplefilter("ignore", DeprecationWarning)

        class Lines(logging.Handler):
            def __init__(self):
                super().__init__()
                self.lines = queue.SimpleQueue()

            def emit(self, record):
                self.lines.put(record.getMessage())

        def line_about(source):
            try:
                next(Feed(source).frames())
            except VideoError:
                return handler.lines.get(timeout=30)

        handler = Lines()
        logging.getLogger("dwebsocket.video").addHandler(handler)
        playing = Feed(os.environ["SAMPLE"]).frames()
        next(playing)
        for number in range(10):
            assert f"/no/{number}.mp4" in line_about(f"/no/{number}.mp4")
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                # The parent's thread may have held its lock.
                handler.lines = queue.SimpleQueue()
                print(line_about("/no/child.mp4"), flush=True)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """)
    line = "Video source /no/child.mp4 gives no pictures: No such file or directory (os error 2); "
    line += "it is not opened again\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, line * 20, "")
