"""The part of dwebsocket that needs OpenCV: playing a source as base64 of JPEG frames.

Importing it loads OpenCV and some two hundred libraries. Use it through `dwebsocket.video`, which imports it
when the first video is asked for.
"""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from ._video import (
    Feed,
    Playback,
    Reader,
    Viewer,
    check_core,
    is_log_idle,
    silence,
    silence_ffmpeg,
    stop,
    take_event,
)

if TYPE_CHECKING:
    from ._video import Event, Options

__all__ = ["Event", "Feed", "Options", "Playback", "Reader", "Viewer", "is_log_idle", "take_event"]


def _quiet() -> None:
    """Keep OpenCV and FFmpeg off stderr, where the user has not asked for their logs.

    What they have to say of an unreadable source is raised as `VideoError`, what they say of a damaged frame
    comes many times a second, and FFmpeg shows urls with their passwords.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        silence()
    if "OPENCV_FFMPEG_DEBUG" not in os.environ and "OPENCV_FFMPEG_LOGLEVEL" not in os.environ:
        silence_ffmpeg()
        # OpenCV sets FFmpeg's log up anew from this variable whenever it opens a source; there is no other
        # way to it.
        os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"


check_core()
_quiet()
atexit.register(stop)
