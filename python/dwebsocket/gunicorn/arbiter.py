"""What gunicorn's arbiter keeps for its workers."""

from __future__ import annotations

import os
from typing import Any, TypeVar

T = TypeVar("T")

_made: dict[type[Any], tuple[int, Any]] = {}


def kept(kind: type[T]) -> T:
    """The object of a kind that belongs to this process, made at the first call. To be called by the arbiter.

    An arbiter is a process: one that was forked from another has objects of its own.
    """
    process, made = _made.get(kind, (0, None))
    if process != os.getpid():
        made = kind()
        _made[kind] = (os.getpid(), made)
    own: T = made
    return own
