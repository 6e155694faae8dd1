"""The primitives of dwebsocket.video, in Rust.

Each method may be called from any thread and waits without the GIL.
"""

from __future__ import annotations

import os
from typing import Any, Required, TypedDict, final, type_check_only

@final
class Playback:
    """A source being played.

    Opened by the first take. A recording waits for its reader, a live source does not.

    Raises `dwebsocket.video.VideoError`, once, when the source cannot be opened or stalls.
    """

    def __new__(
        cls,
        source: int | str | os.PathLike[str],
        *,
        pace: bool,
        open_timeout_seconds: float,
        read_timeout_seconds: float,
    ) -> Playback:
        """An int is a camera, a str with a scheme a url, anything else a file.

        Raises:
            ValueError: a timeout is not over 0 and at most 86,400.
        """

    @property
    def source(self) -> str:
        """The source, credentials masked."""

    @property
    def position_seconds(self) -> float | None:
        """Where the picture taken last stands; None before the first."""

    def take(self, quality: int) -> str | None:
        """Wait for the next picture; None at the end and when closed. The quality is 1 to 100."""

    def skip(self, count: int) -> int:
        """Pass over pictures without encoding them; how many there were before the end."""

    def seek(self, seconds: float) -> None:
        """Go on at `seconds`, also after the end. Waits for nothing. A live source raises."""

    def facts(self) -> tuple[float | None, float | None, bool] | None:
        """Wait until it is open: frames per second, duration in seconds, whether it is a recording.

        None when it was closed or failed before it was open.
        """

    def close(self) -> None:
        """End it for good and wake who waits. Never waits for the source. Idempotent."""

@type_check_only
class Options(TypedDict):
    """How the frames of a feed are shown."""

    width: int | None
    height: int | None
    fps: float | None
    quality: int
    linger_seconds: float
    open_timeout_seconds: float
    read_timeout_seconds: float
    reconnect: bool

@final
class Feed:
    """A source that is shared by all in this process who name it with the same options."""

    def __new__(
        cls, source: int | str | os.PathLike[str] | None, options: Options, no_signal: bytes | None
    ) -> Feed:
        """An int is a camera, a str with a scheme a url, None a source whose frames are pushed.

        `no_signal` is a JPEG that is shown while the source is lost.

        Raises:
            ValueError: an option is out of range, or `no_signal` is no JPEG.
        """

    @property
    def source(self) -> str:
        """The source, credentials masked."""

    @property
    def viewers(self) -> int:
        """How many watch or read it."""

    def watch(self, connection: Any, form: str) -> Viewer:
        """Show it to a `dwebsocket._core.Connection`: "json", "base64", "binary" or "mp4".

        Raises:
            ValueError: no such form, or frames are pushed, which "mp4" is not made of.
        """

    def read(self, form: str, takes_over: bool) -> Reader:
        """Join it to read its frames: "array", "jpeg" or "base64".

        With `takes_over` a recording may be given to it: `Reader.take_over`.
        """

    def push(self, data: bytes, shape: tuple[int, int, int] | None) -> None:
        """Hand in pixels of a height, width and number of channels, or a JPEG.

        Raises:
            ValueError: they are not of that shape, or no JPEG.
        """

    def pause(self, for_good: bool) -> None:
        """No more frames are pushed for now, or ever."""

@final
class Viewer:
    """One connection's view of a feed. Dropping it ends it."""

    @property
    def source(self) -> str:
        """The source, credentials masked."""

    def obey(self, command: str, value: float) -> None:
        """Carry out "pause", "play", "step", "seek" or "speed", without waiting."""

    def stats(self) -> dict[str, Any]:
        """What has become of it so far."""

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end of the frames or of the connection. False: the time ran out."""

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its connection was."""

    def close(self) -> None:
        """End it. Idempotent."""

@final
class Reader:
    """The newest frames of a feed, until its source ends or is lost. Dropping it leaves the feed."""

    @property
    def source(self) -> str:
        """The source, credentials masked."""

    @property
    def position_seconds(self) -> float | None:
        """Where the frame taken last stands; None before the first."""

    def take(self) -> str | bytes | tuple[bytes, tuple[int, int, int]] | None:
        """Wait for the newest frame; None at the end and when closed."""

    def facts(self) -> tuple[float | None, float | None, bool] | None:
        """As `Playback.facts`."""

    def take_over(self, pace: bool) -> Playback | None:
        """The recording itself, open and at its start, once `facts` has told that it is one.

        None: others watch it, or another reader was given it.
        """

    def close(self) -> None:
        """Leave the feed and wake who waits. Idempotent."""

@type_check_only
class Event(TypedDict, total=False):
    """Something that happened to the source of a feed.

    It always has `source` (credentials masked), `failures` and `outage_seconds`: how often, and for how
    long, it has given no pictures. No failures: it is back; then there is nothing else.
    """

    source: Required[str]
    failures: Required[int]
    outage_seconds: Required[float]
    reason: str | None
    was_open: bool
    next_seconds: float | None

def take_event(timeout: float) -> Event | None:
    """Wait for the next event; None: there was none within `timeout` seconds, or none can come."""

def is_log_idle() -> bool:
    """Whether there is no event, and none can come until somebody watches a feed."""

def check_core() -> None:
    """Find the rooms of the core that is installed beside this.

    Raises:
        ImportError: it is of another version.
    """

def silence() -> None:
    """Silence OpenCV's own log."""

def silence_ffmpeg() -> None:
    """Silence FFmpeg's log; OpenCV sets it anew when it opens something."""

def stop() -> None:
    """Keep capture threads out of OpenCV from now on; for the end of the process."""
