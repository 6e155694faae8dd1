"""One capture for all who play a live source frame by frame."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .errors import VideoError
from .feed import Feed

if TYPE_CHECKING:
    from dwebsocket_video import Playback, Reader

_UNSEEKABLE = "a live source cannot be sought in"


class SharedPlayback:
    """What `Playback` does for a source of one's own, over a feed that is shared.

    A source that turns out to be a recording is played alone after all: then the feed is left, and what it
    has opened taken over from it, unless somebody watches it.

    Args:
        feed: the shared one; joined by the first frame.
        own: makes the playback of a recording.
        pace: whether a recording's frames come at their own rate.
    """

    def __init__(self, feed: Feed, own: Callable[[], Playback], *, pace: bool) -> None:
        self._feed = feed
        self._own = own
        self._pace = pace
        self._lock = threading.Lock()
        self._deciding = threading.RLock()
        self._reader: Reader | None = None
        self._alone: Playback | None = None
        self._seek_seconds: float | None = None
        self._closed = False

    @property
    def source(self) -> str:
        """The source, credentials masked."""
        return self._feed.source

    @property
    def position_seconds(self) -> float | None:
        """Where the frame taken last stands; None before the first."""
        playing = self._alone or self._reader
        return None if playing is None else playing.position_seconds

    def take(self, quality: int) -> str | None:
        """Wait for the next frame; None at the end and when closed."""
        playing = self._playing()
        if playing is None:
            return None
        if playing is self._alone:
            return self._alone.take(quality)
        if quality != self._feed.quality:
            self._change_quality(quality)
        reader = self._reader
        return None if reader is None else cast("str | None", reader.take())

    def skip(self, count: int) -> int:
        """Pass over frames; how many there were before the end."""
        playing = self._playing()
        if playing is not None and playing is self._alone:
            return self._alone.skip(count)
        skipped = 0
        while skipped < count and self.take(self._feed.quality) is not None:
            skipped += 1
        return skipped

    def seek(self, seconds: float) -> None:
        """Go on at `seconds`. Before the source is open, that it is live is told by the next frame.

        Raises:
            VideoError: it is live.
        """
        if self._alone is not None:
            self._alone.seek(seconds)
        elif self._reader is not None:
            raise VideoError(self.source, _UNSEEKABLE)
        else:
            self._seek_seconds = seconds

    def facts(self) -> tuple[float | None, float | None, bool] | None:
        """Wait until it is open: frames per second, duration in seconds, whether it is a recording."""
        playing = self._playing()
        return None if playing is None else playing.facts()

    def close(self) -> None:
        """End it for good and wake who waits."""
        with self._lock:
            self._closed = True
            playing = [self._reader, self._alone]
        for one in playing:
            if one is not None:
                one.close()

    def _playing(self) -> Playback | Reader | None:
        """Joins the feed, and leaves it again where the source is a recording; None when it is closed."""
        if self._alone is not None:
            return self._alone
        # Who comes while it is not known yet waits: what is read from a feed that is left looks like an end.
        with self._deciding:
            return self._alone or self._reader or self._join()

    def _join(self) -> Playback | Reader | None:
        with self._lock:
            if self._closed:
                return None
            reader = self._reader = self._feed.reader("base64", takes_over=True)
        facts = reader.facts()
        if facts is None or not facts[2]:
            if facts is not None and self._seek_seconds is not None:
                raise VideoError(self.source, _UNSEEKABLE)
            return reader
        alone = reader.take_over(self._pace) or self._own()
        reader.close()
        if self._seek_seconds is not None:
            alone.seek(self._seek_seconds)
        with self._lock:
            if self._closed:
                return None
            self._alone = alone
        return alone

    def _change_quality(self, quality: int) -> None:
        feed = self._feed.with_quality(quality)
        reader = feed.reader("base64")
        with self._lock:
            before, self._feed = self._reader, feed
            self._reader = None if self._closed else reader
        for one in (before, reader if self._closed else None):
            if one is not None:
                one.close()
