"""What can go wrong with a source, and finding the extension that plays it."""

from __future__ import annotations

import importlib
from types import ModuleType

_INSTALL = (
    'video needs the distribution dwebsocket-rs-video: pip install "dwebsocket-rs[video]". '
    "Building it from source needs libopencv-dev, libturbojpeg0-dev, libavformat-dev, libavcodec-dev, "
    "libavutil-dev, clang and libclang-dev (Debian's names)."
)


class VideoError(OSError):
    """A source cannot be opened, gave no picture, or stalled.

    Attributes:
        source: the file, the url with its credentials masked, or "camera 0".
        reason: what is wrong with it.
    """

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source}: {reason}")

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str]]:
        """Pickle by both arguments, not by the message alone."""
        return type(self), (self.source, self.reason)


def extension() -> ModuleType:
    """The package `dwebsocket_video`, which loads OpenCV.

    Raises:
        ImportError: it is not installed, or not in the version of this package.
    """
    try:
        return importlib.import_module("dwebsocket_video")
    except ModuleNotFoundError as error:
        if error.name != "dwebsocket_video":
            raise
        raise ImportError(_INSTALL, name=error.name) from error
