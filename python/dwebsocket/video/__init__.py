"""Video in a view: one capture and one encode for everybody who watches.

Needs the distribution `dwebsocket-rs-video`, which brings OpenCV; it is loaded by the first `Feed` or the
first call of `video_img_base64`, not by an import.
"""

from .errors import VideoError
from .feed import Feed, Viewer
from .frames import Frames, video_img_base64

__all__ = ["Feed", "Frames", "VideoError", "Viewer", "video_img_base64"]
