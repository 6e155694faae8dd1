"""Frames of a feed for the view itself, frames of its own, and feeds among processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clip import digest, run_python, sample_digests, short_clip
from dwebsocket.video import Feed, VideoError
from rtmp import SAMPLE
from serving import PATIENCE
from sockets import Sockets, until
from watching import feed, frame, jpeg_of, message, state, threads

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)


pytestmark = pytest.mark.usefixtures("no_feed_runs_on")


def test_frames_gives_jpegs_and_base64_of_a_recording() -> None:
    frames = feed().frames()
    assert next(frames)[:2] == b"\xff\xd8"
    frames.close()
    until(lambda: threads("video-feed") == 0)
    assert digest(next(feed().frames("base64"))) in sample_digests()
    with pytest.raises(ValueError, match="array, jpeg or base64"):
        next(feed().frames("png"))
    with pytest.raises(VideoError, match="No such file"):
        next(feed("/no/such/clip.mp4").frames())


def test_frames_end_with_the_recording(tmp_path: Path) -> None:
    assert len(list(feed(short_clip(tmp_path)).frames())) > 5


def test_frames_gives_arrays_to_draw_on() -> None:
    array = next(feed(width=64, height=36).frames("array"))
    assert (array.shape, str(array.dtype)) == ((36, 64, 3), "uint8")
    array[:] = 0


def test_frames_of_ones_own_are_shown(sockets: Sockets) -> None:
    numpy = pytest.importorskip("numpy")
    ends = sockets.open()
    made = []

    def paint() -> Iterator[object]:
        for value in (10, 100, 200):
            made.append(value)
            yield numpy.full((36, 64, 3), value, dtype=numpy.uint8)

    def shows_or_ends(received: dict[str, Any]) -> bool:
        return "img_base64" in received or received.get("state") == "ended"

    own = Feed.from_frames(paint(), fps=10, linger_seconds=0.1, quality=95)
    assert made == []
    with own.watch(ends.websocket, form="json") as viewer:
        shown = []
        # A slow client may miss some, but not the last.
        while "img_base64" in (received := message(ends.client, shows_or_ends)):
            shown.append(jpeg_of(received))
        assert received["error"] is None
        assert viewer.wait(PATIENCE)
    assert made == [10, 100, 200]
    grey = _pixel(shown[-1])
    assert all(abs(value - 200) < 8 for value in grey)


def _pixel(jpeg: bytes) -> bytes:
    command = "ffmpeg -v error -f mjpeg -i - -vf scale=1:1 -f rawvideo -pix_fmt rgb24 -"
    return subprocess.run(command.split(), input=jpeg, capture_output=True, check=True).stdout


def test_an_iterable_rests_while_nobody_watches(sockets: Sockets) -> None:
    made = []

    def count() -> Iterator[bytes]:
        while True:
            made.append(len(made))
            yield jpeg

    jpeg = next(feed().frames())
    own = Feed.from_frames(count(), fps=50, linger_seconds=0.1)
    for _ in range(2):
        ends = sockets.open()
        with own.watch(ends.websocket):
            frame(ends.client)
            frame(ends.client)
        until(lambda: threads("video-feed") == 0)
        resting = len(made)
        time.sleep(0.2)
        assert len(made) <= resting + 1


class Looks:
    """A plain feed that counts how often it is found without viewers."""

    def __init__(self, plain: object) -> None:
        self._plain = plain
        self.in_vain = 0

    @property
    def viewers(self) -> int:
        viewers = self._plain.viewers
        self.in_vain += viewers == 0
        return viewers

    def __getattr__(self, name: str) -> object:
        return getattr(self._plain, name)


def test_an_iterable_that_rests_is_woken_by_a_viewer_and_by_nothing_else(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def repeat() -> Iterator[bytes]:
        while not over.is_set():
            yield jpeg

    jpeg = next(feed().frames())
    own = Feed.from_frames(repeat(), fps=50, linger_seconds=300)
    looks = Looks(own._pump._feed)
    monkeypatch.setattr(own._pump, "_feed", looks)
    for looked in range(3):
        ends = sockets.open()
        with own.watch(ends.websocket):
            frame(ends.client)
            assert looks.in_vain == looked
        _wait_for_a_look(looks, looked)
        time.sleep(0.3)
    assert looks.in_vain == 3
    ends = sockets.open()
    with own.watch(ends.websocket):
        frame(ends.client)
        over.set()
        state(ends.client, "ended")


def _wait_for_a_look(looks: Looks, before: int) -> None:
    until(lambda: looks.in_vain > before)


def test_a_forked_child_opens_its_sources_anew_and_does_not_hang(sockets: Sockets) -> None:
    ends = sockets.open()
    shared = feed()
    with shared.watch(ends.websocket) as viewer:
        frame(ends.client)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                next(shared.frames())
                try:
                    viewer.pause()
                except VideoError:
                    status = 0
                viewer.close()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        frame(ends.client)


def test_a_process_ends_cleanly_while_a_feed_runs() -> None:
    done = run_python("""
        import os
        from dwebsocket.video import Feed
        frames = Feed(os.environ["SAMPLE"]).frames()
        for _ in range(3):
            next(frames)
        print("ends")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


@pytest.mark.timeout(400)
def test_two_hundred_feeds_leave_nothing_over(sockets: Sockets) -> None:
    def tasks() -> int:
        return len(os.listdir("/proc/self/task"))

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def play() -> None:
        with Feed(SAMPLE, linger_seconds=0, width=32).watch(ends.websocket):
            frame(ends.client)

    ends = sockets.open()
    play()
    until(lambda: threads("video-feed") == threads("video-capture") == 0)
    before = (tasks(), descriptors())
    for _ in range(200):
        play()
    until(lambda: threads("video-feed") == threads("video-capture") == 0)
    until(lambda: (tasks(), descriptors()) <= before)
