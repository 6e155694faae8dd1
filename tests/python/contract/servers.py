"""The servers that the contract holds under: how each is started, what it says by itself, what it cannot."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foreign import OF_UWSGI

SCRIPTS: Final = Path(sysconfig.get_path("scripts"))

SIDE_BY_SIDE: Final = "several sockets in one process"
KEEP_ALIVE: Final = "connections that are kept alive"
END_BY_SIGTERM: Final = "an orderly end by SIGTERM"
END_BY_SIGINT: Final = "an orderly end by SIGINT"
SILENT_END_BY_SIGINT: Final = "an end by SIGINT without a word"

_DJANGO_ADDRESS: Final = r"Starting (?:WSGI )?development server at http://(.+):(\d+)/"
_DJANGO_LINE: Final = r'^\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "'
_OF_UWSGI: Final = f"^(?:{OF_UWSGI.pattern})"
_ONE_REQUEST: Final = "it answers one request per connection"
_ROUTER_ENDS_FIRST: Final = "its router ends before the worker, and cuts the sockets off"


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
        error_line: begins what is logged of a view's exception.
        app: whether ``"dwebsocket"`` is in ``INSTALLED_APPS``.
        apps: other apps that the command comes from.
        modules: the modules and programs that have to be installed.
        lacks: what it truly cannot do, with the reason.
    """

    name: str
    command: tuple[str, ...]
    address: str
    request_line: str
    own_lines: tuple[str, ...] = ()
    error_line: str = "Internal Server Error: /raises/"
    app: bool = False
    apps: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """The modules and programs that are not installed here."""
        return [
            name
            for name in self.modules
            if importlib.util.find_spec(name) is None and not (SCRIPTS / name).exists()
        ]

    def is_own(self, line: str) -> bool:
        """Whether the server says such a line for itself."""
        return any(re.search(pattern, line) for pattern in (self.request_line, *self.own_lines))


def _gunicorn(worker: str, *options: str, name: str = "", **fields: Any) -> Server:
    """gunicorn with one of its own workers, or with ours."""
    binding = (
        "{bin}/gunicorn",
        "project.wsgi",
        "--bind=127.0.0.1:0",
        "--no-control-socket",
        "--access-logfile=-",
    )
    return Server(
        name or f"gunicorn {worker}",
        (*binding, "--worker-class", worker, *options),
        address=r"Listening at: http://(.+):(\d+)",
        request_line=r'^127\.0\.0\.1 - - \[.*\] "GET /',
        own_lines=(r"^\[[-+: \d]+\] \[\d+\] \[INFO\] ",),
        **{"modules": ("gunicorn",), **fields},
    )


def _uwsgi(name: str, *options: str, **fields: Any) -> Server:
    """uWSGI, with or without its router before the worker."""
    return Server(
        name,
        ("{bin}/uwsgi", "--module=project.wsgi", "--threads=32", *options),
        address=r"(?:http|socket \d) bound (?:on|to TCP address) (127\.0\.0\.1):(\d+)",
        request_line=r"^\[pid: \d+\|app: ",
        modules=("uwsgi",),
        **{"own_lines": (_OF_UWSGI,), **fields},
    )


SERVERS: Final = (
    Server(
        "ours",
        ("{python}", "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
        address=_DJANGO_ADDRESS,
        request_line=_DJANGO_LINE,
        app=True,
    ),
    _gunicorn("dwebsocket.gunicorn.Worker", name="gunicorn, our worker"),
    Server(
        "stock runserver",
        ("{python}", "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
        address=_DJANGO_ADDRESS,
        request_line=_DJANGO_LINE,
        lacks={
            END_BY_SIGTERM: "SIGTERM ends Django's runserver before any Python could run",
        },
    ),
    _gunicorn(
        "sync",
        "--workers=4",
        lacks={
            SIDE_BY_SIDE: "each of its processes runs one view at a time",
            KEEP_ALIVE: _ONE_REQUEST,
            SILENT_END_BY_SIGINT: "it logs its own SystemExit, which it raises in whatever view runs",
        },
    ),
    _gunicorn(
        "gthread",
        "--threads=32",
        lacks={
            END_BY_SIGINT: "its handler of SIGINT waits for a lock that what it interrupts may hold",
        },
    ),
    _gunicorn(
        "gevent",
        modules=("gunicorn", "gevent"),
        lacks={SILENT_END_BY_SIGINT: "it logs its own SystemExit, even without any request"},
    ),
    Server(
        "Werkzeug",
        # Its --noreload does not start under Werkzeug 3.
        ("{python}", "manage.py", "runserver_plus", "--nopin", "127.0.0.1:{port}"),
        address=r"Running on http://(.+):(\d+)",
        request_line=r'^127\.0\.0\.1 - - \[.*\] "(\x1b\[\d+m)*GET /',
        own_lines=(r"^ \* ", r"^\x1b\[", r"^WARNING: This is a development server\."),
        apps=("django_extensions",),
        modules=("django_extensions", "werkzeug"),
        # Its debugger takes the exceptions out of Django's hands.
        error_line="Traceback (most recent call last):",
        lacks={
            KEEP_ALIVE: _ONE_REQUEST,
            END_BY_SIGTERM: "SIGTERM ends its reloader, and what that started goes on",
        },
    ),
    _uwsgi(
        "uWSGI", "--http-socket=127.0.0.1:0", "--master", "--die-on-term", lacks={KEEP_ALIVE: _ONE_REQUEST}
    ),
    _uwsgi(
        "uWSGI router",
        *("--shared-socket=127.0.0.1:0", "--http==0", "--http-raw-body", "--master", "--die-on-term"),
        own_lines=(_OF_UWSGI, r"^\[uwsgi-http key: .*\] hr_\w+\(\): Connection reset by peer"),
        lacks={
            KEEP_ALIVE: _ONE_REQUEST,
            END_BY_SIGTERM: _ROUTER_ENDS_FIRST,
            END_BY_SIGINT: _ROUTER_ENDS_FIRST,
        },
    ),
)
