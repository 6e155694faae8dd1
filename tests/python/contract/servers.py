"""The servers that the contract holds under: how each is started, what it says by itself, what it cannot."""

from __future__ import annotations

import importlib.util
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SIDE_BY_SIDE: Final = "several sockets in one process"
KEEP_ALIVE: Final = "connections that are kept alive"
TIME_TO_END_AFTER: Final = {
    signal.SIGTERM: "time to end after SIGTERM",
    signal.SIGINT: "time to end after SIGINT",
}

_DJANGO_LINE: Final = r'^\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "'


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: a column of the table.
        command: starts it in the folder of the project, on a port of its own choice; ``{python}``, ``{bin}``
            and ``{port}`` stand for the interpreter, the folder of its scripts, and 0 where 0 will do.
        address: matches the line that tells host and port; both are groups.
        request_line: matches the access line of a request.
        own_lines: match every other line on stderr that is not about WebSockets.
        app: whether ``"dwebsocket"`` is in ``INSTALLED_APPS``.
        apps: other apps that the command comes from.
        modules: what has to be installed.
        lacks: what it truly cannot do, with the reason.
    """

    name: str
    command: tuple[str, ...]
    address: str
    request_line: str
    own_lines: tuple[str, ...] = ()
    app: bool = False
    apps: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """The modules that are not installed here."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]

    def is_own(self, line: str) -> bool:
        """Whether the server says such a line for itself."""
        return any(re.search(pattern, line) for pattern in (self.request_line, *self.own_lines))


SERVERS: Final = (
    Server(
        "ours",
        ("{python}", "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
        address=r"Starting (?:WSGI )?development server at http://(.+):(\d+)/",
        request_line=_DJANGO_LINE,
        app=True,
    ),
)
