"""What the controls of scene 4 act on: one viewer's video, its state and the messages about it."""

import json
import math
import time
from collections.abc import Iterator
from typing import Any

from dwebsocket.video import Frames, video_img_base64

STATUS_INTERVAL_SECONDS = 0.2
STARTING_QUALITY = 70


class Playback:
    """A video that can be paused, moved in and made coarser or finer while it plays.

    Belongs to one view: not for several threads.

    Attributes:
        state: "playing", "paused" or "ended".
    """

    def __init__(self, source: str) -> None:
        self.state = "playing"
        self._source = source
        self._quality = STARTING_QUALITY
        self._video = self._open()
        self._still_wanted = False
        self._status_due = time.monotonic()

    def close(self) -> None:
        """Lets go of the source."""
        self._video.close()

    def obey(self, message: bytes | str) -> dict[str, Any]:
        """Carries out one command of the page and gives the answer to send: the status, or an error.

        Commands are JSON: ``{"command": "play"}``, ``{"command": "pause"}``, ``{"command": "seek",
        "position": seconds}``, ``{"command": "quality", "quality": 1 to 100}``.
        """
        try:
            command = json.loads(message)
        except ValueError:
            return {"error": "A command has to be JSON."}
        match command:
            case {"command": "play"}:
                self._play()
            case {"command": "pause"} if self.state != "ended":
                self.state = "paused"
            case {"command": "pause"}:
                pass
            case {"command": "seek", "position": int() | float() as position} if math.isfinite(position):
                self._seek(max(0.0, position))
            case {"command": "quality", "quality": int() as quality} if 1 <= quality <= 100:
                self._change_quality(quality)
            case _:
                return {"error": "That is not a command this view knows."}
        return self.status()

    def news(self) -> Iterator[dict[str, Any]]:
        """Yields what the viewer should be sent now.

        While the video plays that is the next picture, for whose time it waits, and now and then the status.
        Paused or ended, it yields nothing and does not wait, but for the picture and the status after a jump.
        """
        still = self._still_wanted
        if self.state != "playing" and not still:
            return
        self._still_wanted = False
        picture = next(self._video)
        if picture is None:
            self.state = "ended"
            yield self.status()
            return
        yield {"img_base64": picture}
        if still or time.monotonic() >= self._status_due:
            yield self.status()

    def status(self) -> dict[str, Any]:
        """Where the video is: seconds for position and duration, pictures a second for fps."""
        self._status_due = time.monotonic() + STATUS_INTERVAL_SECONDS
        return {
            "status": self.state,
            "position": self._video.position,
            "duration": self._video.duration,
            "fps": self._video.fps,
            "quality": self._quality,
        }

    def _open(self) -> Frames:
        return video_img_base64(self._source, quality=self._quality)

    def _play(self) -> None:
        if self.state == "ended":
            self._video.close()
            self._video = self._open()
        self.state = "playing"

    def _seek(self, position: float) -> None:
        if not self._video.duration:
            return
        if self.state == "ended":
            self.state = "playing"
        self._video.seek(min(position, self._video.duration))
        self._still_wanted = True

    def _change_quality(self, quality: int) -> None:
        self._quality = quality
        self._video.quality = quality
        if self.state == "paused" and self._video.duration and self._video.position is not None:
            self._video.seek(self._video.position)
            self._still_wanted = True
