"""The frames of a file, a stream or a camera as base64 text, in the manner of a generator."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from .errors import VideoError, extension
from .feed import Feed
from .shared import SharedPlayback

if TYPE_CHECKING:
    from dwebsocket_video import Playback


def video_img_base64(
    source: int | str | os.PathLike[str],
    *,
    quality: int = 80,
    pace: bool = True,
    open_timeout_seconds: float = 15.0,
    read_timeout_seconds: float = 5.0,
) -> Frames:
    """Play a source frame by frame, each frame as base64 of a JPEG.

    The source is opened by the first `next()`, as a generator would, on a thread of its own that holds no
    GIL; so does everything else that takes time here.

    A live source is never behind: a frame that was not asked for in time is replaced by the newest. It is
    captured and encoded once for all who play it in this process with the same quality and timeouts, and
    stays open for some seconds after the last of them, as `Feed` does. Of a recording no frame is lost, and
    everybody plays it on their own.

    Args:
        source: a file, a url that FFmpeg opens (`rtmp://`, `rtsp://`, `http://`, …), or a camera's index.
        quality: JPEG quality, 1 to 100.
        pace: whether a recording's frames come at their own rate. A page shows each frame as it arrives, so
            without this a ten-second clip is over in one. A live source needs no pace: it has its own. A
            reader who pauses goes on where it stopped, at the same rate. Turn it off to work through a file
            as fast as it can be read.
        open_timeout_seconds: how long the source may take to open and give its first frame. A stream without
            sound, by whatever protocol, takes 6 or 7 seconds: FFmpeg waits for the sound, for OpenCV gives it
            no limit but in the environment of the process, where it holds for files as well. Where the wait
            is known to be in vain,
            `OPENCV_FFMPEG_CAPTURE_OPTIONS="rtsp_transport;tcp|analyzeduration;1000000"` makes it 2. (A
            `Feed` watched as "mp4" waits for no sound.) Under ten seconds, slow streams are given up that
            would have come. OpenCV opens one source at a time in a process: while one hangs, others wait,
            and their time runs.
        read_timeout_seconds: how long it may take from one frame to the next.

    Raises:
        ImportError: the distribution `dwebsocket-rs-video` is not installed.
        TypeError: the source is neither a string nor a path nor an integer.
        ValueError: the quality or a timeout is out of range.
    """
    feed = Feed(
        source,
        quality=quality,
        open_timeout_seconds=open_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
    )

    def own() -> Playback:
        playback: Playback = extension().Playback(
            source,
            pace=pace,
            open_timeout_seconds=open_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
        )
        return playback

    shares = isinstance(source, int) or (isinstance(source, str) and "://" in source)
    return Frames(SharedPlayback(feed, own, pace=pace) if shares else own(), quality)


class Frames:
    """The frames of one source, in the manner of a generator, with controls.

    `next(frames)` and `frames.send(None)` give base64 text; at the end they give `None` once and then raise
    `StopIteration`. A `for` loop gives the frames and then ends; it does not give the `None`. A live source
    that is lost after its first frame has ended, for the two look alike; one that falls silent raises
    `VideoError`.

    Every member may be used from any thread; frames taken by several threads are shared out among them.
    Dropping the object closes it, as leaving a `with` block does.
    """

    def __init__(self, playback: Playback | SharedPlayback, quality: int) -> None:
        self._playback = playback
        self._lock = threading.Lock()
        self._started = False
        self._end_told = False
        self._closed_by: int | None = None
        self.quality = quality

    def __repr__(self) -> str:
        """Name the source, credentials masked."""
        return f"<Frames of {self.source}{', closed' if self.closed else ''}>"

    # -- the generator

    def __next__(self) -> str | None:
        """Wait for the next frame; None once at the end.

        Raises:
            VideoError: the source cannot be opened, gave no picture, or stalled. That closes it.
            StopIteration: the end was told, or this thread closed it.
        """
        if self._end_told or self._closed_by == threading.get_ident():
            raise StopIteration
        self._started = True
        try:
            frame = self._playback.take(self._quality)
        except VideoError:
            self._fail()
            raise
        if frame is None:
            with self._lock:
                if self._end_told:
                    raise StopIteration
                self._end_told = True
        return frame

    def __iter__(self) -> Iterator[str]:
        """The frames that are left, without the `None` at the end."""
        try:
            while (frame := next(self)) is not None:
                yield frame
        except StopIteration:
            return

    def send(self, value: object) -> str | None:
        """As `next()`. The value is not looked at, but must be None at first, as with any generator."""
        if value is not None and not self._started:
            raise TypeError("can't send non-None value to a just-started generator")
        return next(self)

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: Any = None,
        traceback: TracebackType | None = None,
    ) -> NoReturn:
        """Close, and raise the exception here: nothing in a playback would catch it."""
        self._fail()
        if isinstance(kind, BaseException):
            error = kind
        elif isinstance(value, BaseException):
            error = value
        else:
            error = kind() if value is None else kind(value)
        raise error if traceback is None else error.with_traceback(traceback)

    def close(self) -> None:
        """End it, from any thread, without waiting for the source. Idempotent.

        Another thread that waits for a frame, or asks for one after this, gets the `None` of the end, so that
        its loop ends as at the end of a video. In this thread `next()` raises `StopIteration`, as after the
        `close()` of a generator.
        """
        with self._lock:
            if self._closed_by is None:
                self._closed_by = threading.get_ident()
        self._playback.close()

    def __enter__(self) -> Self:
        """Leave the opening to the first frame."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _fail(self) -> None:
        self._end_told = True
        self.close()

    # -- the controls

    def seek(self, seconds: float) -> None:
        """Go on at the frame that stands at `seconds`, without waiting for it.

        A recording that ended plays again from there, as a file does that is read after `seek(0)`. Past the
        end means the end.

        Raises:
            ValueError: it is closed, or `seconds` is negative or not finite.
            VideoError: the source is live. Before it is open, the next `next()` raises it.
        """
        if self.closed:
            raise ValueError("seek of a closed video")
        self._playback.seek(seconds)
        self._end_told = False

    def skip(self, count: int = 1) -> int:
        """Pass over frames, as fast as they can be read, without encoding them.

        Returns:
            How many there were; fewer than `count` at the end.

        Raises:
            VideoError: as `next()`.
        """
        try:
            return self._playback.skip(count)
        except VideoError:
            self._fail()
            raise

    @property
    def quality(self) -> int:
        """JPEG quality of the frames to come, 1 to 100; settable at any time."""
        return self._quality

    @quality.setter
    def quality(self, quality: int) -> None:
        if not 1 <= operator.index(quality) <= 100:
            raise ValueError(f"quality must be 1 to 100, not {quality}")
        self._quality = quality

    @property
    def source(self) -> str:
        """What is played: the file, the url with its credentials masked, or "camera 0"."""
        return self._playback.source

    @property
    def position(self) -> float | None:
        """Seconds at which the frame given last stands in its source; None before the first."""
        return self._playback.position_seconds

    @property
    def duration(self) -> float | None:
        """Seconds; None for a live source and where the file does not say. Opens the source if need be."""
        return self._facts()[1]

    @property
    def fps(self) -> float | None:
        """Frames per second; None where the source does not say. Opens the source if need be."""
        return self._facts()[0]

    @property
    def live(self) -> bool:
        """Whether the source has no positions and cannot be sought in. Opens the source if need be."""
        return not self._facts()[2]

    @property
    def closed(self) -> bool:
        """Whether it was closed or failed. A recording at its end is not closed: it can be sought in."""
        return self._closed_by is not None

    def _facts(self) -> tuple[float | None, float | None, bool]:
        try:
            facts = self._playback.facts()
        except VideoError:
            self._fail()
            raise
        if facts is None:
            raise ValueError("the video was closed before it was open")
        return facts
