"""Whether the service goes on when gunicorn tells a worker to stop.

gunicorn sends SIGTERM to the workers of a reload and to those of a stop alike. But at a reload it makes new
workers before it stops those that were there, and with a configuration read anew; and it tells its hooks when
it is to have fewer workers, and when a new binary takes over. All that happens in its own process, and is
noted there in memory that its workers share.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, Final

_NOTES: Final = struct.Struct("=QQ")
"""The age up to which workers are replaced or unwanted, and the process of the new binary; 0 for none."""


class Succession:
    """What the arbiter notes for its workers."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _NOTES.size)
        self._config: Any = None
        # A new binary is told so by the one before it, which takes over again when the new one is stopped.
        self._predecessor = int(os.environ.get("GUNICORN_PID") or 0)

    def worker_comes(self, config: Any, age: int) -> None:
        """A worker is about to be forked. To be called by the arbiter.

        Args:
            config: gunicorn's, which is another object after each reload.
            age: of the worker; each has a higher one than those before it.
        """
        if config is self._config:
            return
        if self._config is not None:
            self._note(replaced=age - 1)
        self._config = config
        self._watch(config)

    def goes_on(self, age: int) -> bool:
        """Whether others serve on where a worker of that age, which has been told to stop, does not."""
        replaced, successor = _NOTES.unpack_from(self._memory)
        return age <= replaced or _lives(successor) or _lives(self._predecessor)

    def _note(self, *, replaced: int = 0, successor: int = 0) -> None:
        before = _NOTES.unpack_from(self._memory)
        _NOTES.pack_into(self._memory, 0, max(replaced, before[0]), successor or before[1])

    def _watch(self, config: Any) -> None:
        """Puts notes before the hooks that the configuration has."""
        changed, executes = config.nworkers_changed, config.pre_exec

        def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
            # The oldest ones have to go.
            ages = sorted(worker.age for worker in server.WORKERS.values())
            self._note(replaced=max(ages[: max(0, len(ages) - new_value)], default=0))
            changed(server, new_value, old_value)

        def pre_exec(server: Any) -> None:
            # In the process that becomes the new binary.
            self._note(successor=os.getpid())
            executes(server)

        config.set("nworkers_changed", nworkers_changed)
        config.set("pre_exec", pre_exec)


def _lives(process: int) -> bool:
    if not process:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The workers may run as another user than their arbiters.
        pass
    return True
