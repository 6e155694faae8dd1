"""A source that many viewers share, and one connection's view of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from dwebsocket.exceptions import ConnectionClosed

from .errors import VideoError, extension
from .log import writer
from .pump import Pump

if TYPE_CHECKING:
    from dwebsocket_video import Feed as PlainFeed
    from dwebsocket_video import Options, Reader
    from dwebsocket_video import Viewer as PlainViewer

    from dwebsocket.websocket import WebSocket

Form = Literal["json", "base64", "binary", "mp4"]
ReadForm = Literal["jpeg", "base64", "array"]


class Feed:
    """A source of video that is captured and encoded once for everybody in this process who watches it.

    Feeds of the same source and the same options are one: a view makes its own, and ten views cost what one
    costs. The source is opened by the first viewer and closed `linger_seconds` after the last. Nothing of it
    runs in Python.

    A live source that is lost is opened again, with growing pauses, for as long as somebody watches; the
    logger `dwebsocket.video` tells when it is lost (WARNING) and when it is back (INFO). Viewers of a
    recording who come within its first second watch it together; one who pauses or seeks goes on alone.

    Args:
        source: a file, a url that FFmpeg opens (`rtmp://`, `rtsp://`, `http://`, `udp://`, …), or a camera's
            index. A camera is usually open once only, so all its viewers want the same options.
        width: pixels. With one of width and height the picture keeps its shape; with neither its size.
        height: pixels.
        fps: frames a second at most; None: all.
        quality: JPEG quality, 1 to 100.
        linger_seconds: how long the source stays open for the next viewer.
        open_timeout_seconds: how long the source may take to open and give its first frame; see
            `video_img_base64`. For viewers of "mp4" a stream is looked through for one second, and on up to
            its first key frame; sound is not waited for.
        read_timeout_seconds: how long it may take from one frame to the next.
        reconnect: whether a live source that is lost, or not there yet, is opened again.
        no_signal: a JPEG, or the file with one, that is shown as it is while a live source is lost.

    Raises:
        ImportError: the distribution `dwebsocket-rs-video` is not installed, or in another version.
        OSError: the file of `no_signal` cannot be read.
        TypeError: the source is neither a string nor a path nor an integer.
        ValueError: an option is out of range, or `no_signal` is no JPEG.
    """

    def __init__(  # noqa: PLR0913 - options by name
        self,
        source: int | str | os.PathLike[str],
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        quality: int = 80,
        linger_seconds: float = 5.0,
        open_timeout_seconds: float = 15.0,
        read_timeout_seconds: float = 5.0,
        reconnect: bool = True,
        no_signal: bytes | str | os.PathLike[str] | None = None,
    ) -> None:
        if isinstance(source, bool) or source is None:
            raise TypeError(f"source must be a string, a path or the index of a camera, not {source!r}")
        options: Options = {
            "width": width,
            "height": height,
            "fps": fps,
            "quality": quality,
            "linger_seconds": linger_seconds,
            "open_timeout_seconds": open_timeout_seconds,
            "read_timeout_seconds": read_timeout_seconds,
            "reconnect": reconnect,
        }
        if no_signal is not None and not isinstance(no_signal, bytes):
            no_signal = Path(no_signal).read_bytes()
        self._set(source, options, no_signal)

    def _set(
        self, source: int | str | os.PathLike[str] | None, options: Options, no_signal: bytes | None = None
    ) -> None:
        self._source = source
        self._options = options
        self._no_signal = no_signal
        self._plain: PlainFeed = extension().Feed(source, options, no_signal)
        self._pump: Pump | None = None

    @classmethod
    def from_frames(
        cls,
        frames: Iterable[Any],
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        quality: int = 80,
        linger_seconds: float = 5.0,
    ) -> Self:
        """A feed of pictures that the application makes; keep it, for it is not shared by being made twice.

        The iterable is read by a daemon thread while somebody watches; when nobody does, it rests where it
        is. A frame that comes before the last was sent replaces it.

        Args:
            frames: each a JPEG in `bytes`, or an array of 8-bit pixels as OpenCV has them: height, width,
                and 3 for blue, green and red; or height and width for grey.
            width: as for a feed.
            height: as for a feed.
            fps: how many frames are taken from the iterable a second; None: as fast as it gives them.
            quality: JPEG quality, 1 to 100.
            linger_seconds: how long frames are taken after the last viewer.
        """
        feed = cls.__new__(cls)
        feed._set(
            None,
            {
                "width": width,
                "height": height,
                "fps": None,
                "quality": quality,
                "linger_seconds": linger_seconds,
                "open_timeout_seconds": 86_400.0,
                "read_timeout_seconds": 86_400.0,
                "reconnect": False,
            },
        )
        feed._pump = Pump(feed._plain, iter(frames), fps, linger_seconds)
        return feed

    def __repr__(self) -> str:
        """Name the source, credentials masked."""
        return f"<Feed of {self.source}>"

    @property
    def source(self) -> str:
        """What is shown: the file, the url with its credentials masked, or "camera 0"."""
        return self._plain.source

    @property
    def quality(self) -> int:
        """JPEG quality, 1 to 100."""
        return self._options["quality"]

    @property
    def viewers(self) -> int:
        """How many watch or read it in this process, but for viewers of a recording who went on alone."""
        return self._plain.viewers

    def watch(self, websocket: WebSocket, *, form: Form = "json") -> Viewer:
        """Show it to a client from now on, until the viewer is closed or the client goes.

        Frames go to the socket by themselves, beside what the view sends. A client that is slow skips frames:
        each it gets is the newest. Text messages that are JSON objects with `"state"` tell of the source:
        `connecting`, `live`, `lost` (with `error`; it is opened again) and `ended`.

        "mp4" sends the video as it is in the source, which must be H.264, H.265 or AV1; nothing is decoded,
        and what the feed says of size, rate and quality means nothing. For Media Source Extensions: a text
        message `{"mimeType": "video/mp4; codecs=…", "t": seconds}`, and binary messages behind it: the init
        segment, then fragments of one frame each, from a key frame on; playing begins at `t`. The text and
        the init segment come again whenever fragments do not go on with those before. A client that is more
        than a second behind is moved on to the next key frame. Timestamps of a recording are positions in
        it; those of a live source begin at 0 when it is opened, and go on when it is opened again.

        Args:
            websocket: an accepted WebSocket.
            form: "json": text, `{"img_base64": "…", "t": seconds, "n": number}`. "base64": text, the JPEG in
                base64. "binary": the JPEG as a binary message. "mp4": see above.

        Raises:
            RuntimeError: the WebSocket is not accepted yet.
            ConnectionClosed: it was closed before it was.
            ValueError: no such form; or "mp4" of frames that the application makes.
            VideoError: there is no thread for it.
        """
        connection = websocket._connection_to_send_on()
        if connection is None:
            raise ConnectionClosed(1006, "closed before it was accepted")
        viewer = Viewer(self._plain.watch(connection, form), websocket)
        writer.start()
        if self._pump is not None:
            self._pump.start()
        return viewer

    def frames(self, form: ReadForm = "jpeg") -> Iterator[Any]:
        """The newest frames, for the view's own use, until the source ends or is lost.

        A frame that was not asked for in time is replaced by the newest.

        Args:
            form: "jpeg": `bytes`. "base64": `str`. "array": a numpy array of 8-bit pixels, writable: height,
                width, and 3 for blue, green and red.

        Raises:
            ImportError: numpy is not installed, for "array".
            ValueError: no such form.
            VideoError: the source cannot be opened, or fell silent.
        """
        reader = self.reader(form)
        try:
            while (frame := reader.take()) is not None:
                yield _array(frame) if isinstance(frame, tuple) else frame
        finally:
            reader.close()

    def reader(self, form: ReadForm, *, takes_over: bool = False) -> Reader:
        """Join it to read its frames; the primitive below `frames`.

        With `takes_over` it may have a recording to itself: see `Reader.take_over`.
        """
        reader = self._plain.read(form, takes_over)
        writer.start()
        if self._pump is not None:
            self._pump.start()
        return reader

    def with_quality(self, quality: int) -> Feed:
        """A feed of the same source in another quality."""
        feed = Feed.__new__(Feed)
        feed._set(self._source, {**self._options, "quality": quality}, self._no_signal)
        return feed


def _array(frame: tuple[bytes, tuple[int, int, int]]) -> Any:
    import numpy as np

    data, (height, width, channels) = frame
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.frombuffer(bytearray(data), dtype=np.uint8).reshape(shape)


class Viewer:
    """One client's view of a feed. Leaving its `with` block ends it; the WebSocket stays open.

    Every member may be used from any thread, and none waits for the source.
    """

    def __init__(self, plain: PlainViewer, websocket: WebSocket) -> None:
        self._plain = plain
        self._websocket = websocket

    def __enter__(self) -> Self:
        """The frames flow already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End it."""
        self.close()

    def pause(self) -> None:
        """Stop the frames of this viewer. A recording stands still; a live source goes on without it."""
        self._plain.obey("pause", 0.0)

    def play(self) -> None:
        """Go on: a recording where it stopped, or from its start after its end; a live source now."""
        self._plain.obey("play", 0.0)

    def seek(self, seconds: float) -> None:
        """Go on at `seconds` of a recording. While it is paused, the frame there is shown.

        As "mp4" it is sent from the key frame before, up to there at once.

        Before the source is open it is not known whether it can be done; then it is done, or the client told
        that it cannot, once it is.

        Raises:
            ValueError: negative or not finite.
            VideoError: the source is live.
        """
        self._plain.obey("seek", seconds)

    def speed(self, factor: float) -> None:
        """Play a recording `factor` times as fast as it was recorded: 0.05 to 20.

        Raises:
            ValueError: out of range.
            VideoError: the source is live.
        """
        self._plain.obey("speed", factor)

    def step(self) -> None:
        """Show the next frame of a recording, as "mp4" in the order of decoding, and pause.

        Raises:
            VideoError: the source is live.
        """
        self._plain.obey("step", 0.0)

    def stats(self) -> dict[str, Any]:
        """What has become of it so far.

        Returns:
            `sent` and `skipped`: frames, the latter left out because the client was slow.
            `state`: "connecting", "live", "lost" or "ended", and `error`, why, if that is no regular end.
            `position`: seconds of the newest frame. `paused`, `speed`. `live`, `fps`, `duration`: as the
            source says, None before it is open.
        """
        return self._plain.stats()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the frames, or of the client.

        Args:
            timeout: seconds; None waits for ever.

        Returns:
            False: the time ran out.

        Raises:
            VideoError: the source failed and is not opened again.
        """
        ended = self._plain.wait(timeout)
        stats = self.stats()
        if ended and stats["state"] == "ended" and stats["error"] is not None:
            raise VideoError(self._plain.source, stats["error"])
        return ended

    def handle(self, message: bytes | str | None) -> bool:
        """Carry out a command of the page.

        Commands are JSON objects: `{"command": "play"}`, `"pause"`, `"step"`,
        `{"command": "seek", "position": seconds}`, `{"command": "speed", "speed": factor}`. What cannot be
        done is told to the client as `{"error": "…"}`.

        Returns:
            False: it is no command, and nothing has happened.
        """
        try:
            command = json.loads(message or b"null")
        except ValueError:
            return False
        try:
            match command:
                case {"command": "play" | "pause" | "step" as name}:
                    self._plain.obey(name, 0.0)
                case {"command": "seek", "position": int() | float() as seconds}:
                    self.seek(seconds)
                case {"command": "speed", "speed": int() | float() as factor}:
                    self.speed(factor)
                case _:
                    return False
        except (ValueError, OverflowError, VideoError) as error:
            self._websocket.send({"error": str(error)})
        return True

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its client is gone."""
        return self._plain.closed

    def close(self) -> None:
        """End it, without waiting. Idempotent."""
        self._plain.close()
