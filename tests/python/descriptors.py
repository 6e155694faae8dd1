"""What files this process has open."""

from __future__ import annotations

import os


def open_descriptors() -> set[tuple[str, str]]:
    """Number and target of every open descriptor of the process."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            # The descriptor that listed the folder.
            continue
    return found
