"""What is measured, and at whom."""

from __future__ import annotations

import sys
from typing import Any, Final

from peers.cases import Case
from peers.environments import TARGET
from peers.peers import Peer

FOLDER: Final = "../video/apps"
SUBJECT: Final = "ours"
PYTHON_WAY: Final = "python"

CPU: Final = ("cpu_percent", "% of a core")
FIGURES: Final = {
    "count": ("waited_percent", "% of the time without the lock"),
    "slow": ("slow_most_ms", "ms that its oldest picture was late"),
}
"""What counts in a case, and its unit, where that is not the server's CPU time; by what the case needs."""

_SITE_PACKAGES: Final = (
    TARGET / "cv2" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
)

PEERS: Final = {
    peer.name: peer
    for peer in [
        Peer(
            SUBJECT,
            "dwebsocket-rs, Feed",
            "ours",
            ("{python}", "serve.py", "{port}", "feed_views"),
            frozenset({"json", "binary", "mp4", "count", "slow"}),
            folder=FOLDER,
        ),
        Peer(
            PYTHON_WAY,
            "the Python way: cv2, base64 and json in a thread for each viewer",
            "cv2",
            # Under our server and with our Python, so that only the video differs.
            ("{python}", "serve.py", "{port}", "cv2_views"),
            frozenset({"json", "count", "slow"}),
            folder=FOLDER,
            environ={"PYTHONPATH": str(_SITE_PACKAGES)},
        ),
        Peer(
            "webgear",
            "vidgear WebGear, multipart JPEG by HTTP",
            "webgear",
            ("{python}", "webgear_app.py", "{port}"),
            frozenset({"json"}),
            folder=FOLDER,
        ),
    ]
}


def _case(name: str, title: str, needs: str, viewers: int, **options: Any) -> Case:
    form = options.get("form", "json")
    size = options.get("size", "full")
    return Case(
        name,
        title,
        needs,
        "video",
        {"form": form, "viewers": viewers, "clip": "720p", "samplers": 0 if form == "mp4" else 2, **options},
        figure=FIGURES.get(needs, CPU)[0],
        unit=FIGURES.get(needs, CPU)[1],
        less_is_better=True,
        clients=viewers,
        path=f"/show/{size}/{form}",
    )


CASES: Final = {
    case.name: case
    for case in [
        _case("json-1", "JSON, 1 viewer", "json", 1),
        _case("json-10", "JSON, 10 viewers", "json", 10),
        _case("json-50", "JSON, 50 viewers", "json", 50),
        _case("binary-10", "JPEG as binary, 10 viewers", "binary", 10, form="binary"),
        _case("mp4-10", "MP4, 10 viewers", "mp4", 10, form="mp4"),
        _case("mp4-100", "MP4 of 1080p, 100 viewers", "mp4", 100, form="mp4", clip="1080p"),
        _case("gil-10", "JSON, 10 viewers, and a thread that counts in Python", "count", 10, counts=True),
        _case(
            "slow-10",
            "JSON of 640x360, 10 viewers, and one more with 1 Mbit/s",
            "slow",
            10,
            size="small",
            slow_bytes_per_second=125_000.0,
        ),
    ]
}


def path_of(case: Case, peer: Peer) -> str:
    """Where the pictures are."""
    return "/video" if peer.name == "webgear" else case.path


def form_of(case: Case, peer: Peer) -> str:
    """How they come."""
    return "multipart" if peer.name == "webgear" else str(case.options["form"])
