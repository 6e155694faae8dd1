"""The primitives of dwebsocket.video, in Rust.

Each method may be called from any thread and waits without the GIL.
"""

from __future__ import annotations

import os
from typing import final

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

def silence() -> None:
    """Silence OpenCV's own log."""

def stop() -> None:
    """Keep capture threads out of OpenCV from now on; for the end of the process."""
