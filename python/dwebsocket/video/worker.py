"""Threads that run while there is need for them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import ClassVar


class Worker(ABC):
    """Something that is done on a thread of its own.

    Attributes:
        name: of the thread.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = False

    def start(self) -> None:
        """Runs the thread, unless it runs; to be called when there is need for it."""
        with self._lock:
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name=self.name, daemon=True).start()

    @abstractmethod
    def _run(self) -> None:
        """Works until there is no need, which it finds under the lock, and says there in ``_running``."""
