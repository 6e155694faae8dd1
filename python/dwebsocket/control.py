"""How ``manage.py websockets`` reaches the processes that serve: each has a Unix socket in one folder.

Whoever connects is told in JSON what is open. Nothing can be changed this way, nothing listens on the
network, and no other user of the machine gets in: the folder is this user's, the socket has the mode 0600.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from . import conf
from .introspection import open_sockets

SETTING: Final = "WEBSOCKET_CONTROL_DIR"
AUTO: Final = "auto"

ANSWER_SECONDS: Final = 5.0
"""How long either side waits for the other."""

_PAUSE_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 1.0
_BACKLOG: Final = 64
_SUFFIX: Final = ".socket"
_NAME: Final = re.compile(r"\d+-\d+\.socket")

logger = logging.getLogger("dwebsocket.server")


def folders() -> list[str]:
    """Where the processes of this project may have their sockets, the first choice first.

    Returns:
        Paths; none where the setting is None, or where there are no settings and so no project.
    """
    chosen = conf.get(SETTING)
    if chosen is None or not conf.has_settings():
        return []
    if chosen != AUTO:
        return [os.fspath(chosen)]
    user, key = os.geteuid(), hashlib.sha256(_project().encode()).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = [os.path.join(runtime, f"dwebsocket-{key}")] if runtime else []
    return [*own, os.path.join(tempfile.gettempdir(), f"dwebsocket-{user}-{key}")]


def _project() -> str:
    """What tells this project from the others of the user."""
    module = conf.project_value("SETTINGS_MODULE") or ""
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"{module}\n{conf.project_value('BASE_DIR') or file or os.getcwd()}"


@contextmanager
def opened(folder: str) -> Iterator[str]:
    """A folder under a short path that stands for this folder and no other, however often it is renamed.

    Raises:
        OSError: it does not exist, it is another user's, or others may write to it.
    """
    # A socket's path has at most 107 bytes.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{folder} belongs to another user, or others may write to it")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class Control:
    """Answers whoever connects to the socket of this process, on a thread."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self._name = f"{os.getpid()}-{next(self._numbers)}"
        self._folder = ""
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Listens and answers. Where no folder will do, a warning says why."""
        failures = []
        try:
            places = folders()
        except ImproperlyConfigured as error:
            places, failures = [], [str(error)]
        for folder in places:
            try:
                self._listener = self._listen(folder)
            except OSError as error:
                failures.append(str(error))
            else:
                self._folder = folder
                break
        else:
            if failures:
                logger.warning("manage.py websockets will not see this process: %s", "; ".join(failures))
            return
        self._thread = threading.Thread(
            target=self._serve, args=(self._listener,), name="dwebsocket-control", daemon=True
        )
        self._thread.start()
        if self._over.is_set():
            self.stop()

    def stop(self) -> None:
        """Removes the socket and ends the thread."""
        self._over.set()
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with suppress(OSError), opened(self._folder) as folder:
            os.unlink(f"{folder}/{self._name}{_SUFFIX}")
        # It wakes the thread, which closing alone would not.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        listener.close()

    def forget(self) -> None:
        """Closes the parent's socket."""
        if self._listener is not None:
            self._listener.close()

    def _listen(self, folder: str) -> socket.socket:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        with opened(folder) as here:
            listener = socket.socket(socket.AF_UNIX)
            try:
                # Before there is a file: the file is made with this mode.
                os.fchmod(listener.fileno(), 0o600)
                listener.bind(f"{here}/{self._name}.new")
                listener.listen(_BACKLOG)
                # Under this name it listens already; whoever finds one that does not may remove it.
                os.rename(f"{here}/{self._name}.new", f"{here}/{self._name}{_SUFFIX}")
                _remove_stale(here, but=f"{self._name}{_SUFFIX}")
            except BaseException:
                listener.close()
                raise
        return listener

    def _serve(self, listener: socket.socket) -> None:
        while not self._over.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                # The end, or no descriptor is left: then it is tried again.
                self._over.wait(_PAUSE_SECONDS)
                continue
            with client:
                try:
                    client.settimeout(ANSWER_SECONDS)
                    answer = json.dumps({"pid": os.getpid(), "sockets": open_sockets()})
                    # One that has gone is no news: servers that handle SIGPIPE, as uWSGI does, would log it.
                    client.sendall(answer.encode(), socket.MSG_NOSIGNAL)
                except OSError as error:
                    logger.debug("manage.py websockets has gone: %s", error)


@dataclass
class Answers:
    """What the processes of a project said.

    Attributes:
        processes: of each its ``pid`` and ``sockets``, as ``introspection.open_sockets`` gives them; by pid.
        silent: the numbers of those that did not answer in time.
        faults: why a folder was not looked into.
    """

    processes: list[dict[str, Any]] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def ask() -> Answers:
    """Asks every process of this project that serves WebSockets on this machine, as this user."""
    answers = Answers()
    for folder in folders():
        try:
            with opened(folder) as here:
                for name in _names(here):
                    _ask(here, name, answers)
        except FileNotFoundError:
            continue
        except OSError as error:
            answers.faults.append(str(error))
    answers.processes.sort(key=lambda process: process["pid"])
    return answers


def _names(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))


def _remove_stale(folder: str, but: str) -> None:
    """Removes the sockets of processes that were killed, ``but`` one that listens. It waits for nobody."""
    for name in _names(folder):
        if name == but:
            continue
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            try:
                client.connect(f"{folder}/{name}")
            except (ConnectionRefusedError, FileNotFoundError):
                _remove(folder, name)
            except BlockingIOError:
                # It has much to do, so it lives.
                continue


def _remove(folder: str, name: str) -> None:
    # Another process may be at it as well.
    with suppress(FileNotFoundError):
        os.unlink(f"{folder}/{name}")


def _ask(folder: str, name: str, answers: Answers) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        try:
            client.connect(f"{folder}/{name}")
            told = b"".join(iter(lambda: client.recv(1 << 16), b""))
        except (TimeoutError, BlockingIOError):
            answers.silent.append(int(name.partition("-")[0]))
        except ConnectionRefusedError:
            _remove(folder, name)
        except (ConnectionError, FileNotFoundError):
            # It has ended meanwhile.
            return
        else:
            # Nothing came from one that ended before it could answer.
            if told:
                answers.processes.append(json.loads(told))
