"""What a client of a feed sees."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clip import jpeg_size
from serving import PATIENCE


def frame(client: Any) -> dict[str, Any]:
    """The next frame of the JSON form; notices are passed over."""
    return message(client, lambda received: "img_base64" in received)


def state(client: Any, wanted: str, patience: float = PATIENCE) -> dict[str, Any]:
    """The next notice of a state; frames and other notices are passed over."""
    return message(client, lambda received: received.get("state") == wanted, patience)


def message(client: Any, wanted: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> Any:
    """The next JSON message that is wanted."""
    limit = time.monotonic() + patience
    seen: list[str] = []
    while True:
        text = client.recv(timeout=max(0.0, limit - time.monotonic()))
        received = json.loads(text)
        if wanted(received):
            if "img_base64" in received:
                jpeg_size(received["img_base64"])
            return received
        seen.append(text[:200])


def jpeg_of(received: dict[str, Any]) -> bytes:
    """The JPEG in a frame of the JSON form."""
    return base64.b64decode(received["img_base64"], validate=True)


def threads(name: str) -> int:
    """How many threads of this process have the name."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            count += task.joinpath("comm").read_text() == f"{name}\n"
    return count


def captures(path: Path) -> int:
    """How many times this process has the file open."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += descriptor.readlink() == path
    return count
