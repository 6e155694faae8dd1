"""Servers that keep their socket from us: what is said to the client and in the log, and the way out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Final

from django.http import HttpResponse
from django.utils.html import format_html, format_html_join

from . import _core, conf

logger = logging.getLogger("dwebsocket")

_told: set[str] = set()
"""What the log of this process has been told already."""

STATUS: Final = 501

RUNSERVER: Final = (
    "Put 'dwebsocket' first in INSTALLED_APPS and run manage.py runserver, whose server carries WebSockets."
)
GUNICORN: Final = (
    "Or run gunicorn with --worker-class dwebsocket.gunicorn.Worker, which takes --certfile as well."
)
OTHERS: Final = (RUNSERVER, GUNICORN)
PROXY: Final = (
    "Or leave TLS to a proxy in front of it, such as nginx, that passes Upgrade and Connection on, and start "
    "{server} without a certificate."
)

Obstacle = tuple[str, str]
"""Why a server cannot carry WebSockets as it was started, and how to start it."""

UWSGI_ROUTER: Final[Obstacle] = (
    "uWSGI's http router keeps back what a client sends behind its request.",
    "Start uWSGI with --http-raw-body beside --http.",
)
UWSGI_ASYNC: Final[Obstacle] = (
    "uWSGI runs in async mode, where a view that waits holds up every other one of its process.",
    "Start uWSGI with --threads in place of --async, --ugreen, --gevent and the like.",
)
UWSGI_TLS: Final[Obstacle] = (
    "uWSGI's worker speaks TLS itself, so that there is no plain socket to hand over.",
    "Start uWSGI with --https and --http-raw-body in place of --https-socket, or leave TLS to nginx.",
)
UWSGI_PROTOCOL: Final[Obstacle] = (
    "uWSGI can hand over sockets of the uwsgi and HTTP protocols only.",
    "Start uWSGI with --socket, --http-socket, or --http and --http-raw-body.",
)
UWSGI_EXPORTS: Final[Obstacle] = (
    "This build of uWSGI does not let its plugins see what it has read of a connection.",
    "Use the uWSGI of PyPI or of your distribution.",
)

_LONGEST_PATH: Final = 200

_ASGI_SERVERS: Final = ("uvicorn", "daphne", "hypercorn", "granian")
_SOCKETS: Final = ("gunicorn.socket", "werkzeug.socket")

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{server} carries no WebSockets</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}</style>
</head>
<body>
<h1>{server} carries no WebSockets</h1>
<p>{path} was asked to become a WebSocket. {reason}</p>
<ul>{ways}</ul>
<p>You see this page because DEBUG is True; otherwise the same is said as plain text.</p>
</body>
</html>
"""

AsgiCallable = Callable[[Any], Awaitable[None]]


class UnsupportedServer(Exception):
    """A WebSocket handshake came by a server that does not hand over its socket.

    Attributes:
        server: the name the server gives itself.
        reason: why it cannot work, in a sentence.
        ways: what can be done, a sentence each.
    """

    def __init__(self, server: str, reason: str | None = None, ways: tuple[str, ...] = OTHERS) -> None:
        self.server = server
        self.reason = reason or f"{server} does not hand over its sockets."
        self.ways = ways
        super().__init__(" ".join((self.reason, *ways)))


def refusal(environ: Mapping[str, Any]) -> UnsupportedServer:
    """Why a handshake cannot be taken, to be raised where no server was found that hands it over.

    Args:
        environ: of the WSGI request, or ``request.META`` of any.
    """
    if "wsgi.version" not in environ:
        return _asgi_refusal()
    server = _name(environ)
    if any(_is_tls(environ.get(key)) for key in _SOCKETS):
        reason = f"{server} speaks TLS itself, so that there is no plain socket to hand over."
        return UnsupportedServer(server, reason, (RUNSERVER, GUNICORN, PROXY.format(server=server)))
    return UnsupportedServer(server)


def under_uwsgi(environ: Mapping[str, Any], obstacle: Obstacle) -> UnsupportedServer:
    """Why a handshake cannot be taken under uWSGI as it was started."""
    reason, way = obstacle
    return UnsupportedServer(_name(environ), reason, (way,))


def response(error: UnsupportedServer, path: str, accept: str) -> HttpResponse:
    """The answer to the handshake. The log hears of it once: whoever starts the server has to know, but once.

    Args:
        error: why there is no WebSocket.
        path: of the request, with its query.
        accept: the request's field of that name; with ``DEBUG``, who takes HTML gets a page.
    """
    _core.count_refusal("unsupported_server")
    # No client chooses the sentence. Threads that come at once may each be the first.
    level = logging.DEBUG if (reason := str(error)) in _told else logging.ERROR
    _told.add(reason)
    logger.log(level, "WebSocket %s refused with %d: %s", ascii(path)[1:-1][:_LONGEST_PATH], STATUS, reason)
    page = conf.project_value("DEBUG") and "text/html" in accept.lower()
    return HttpResponse(
        _page(error, path) if page else f"{error}\n",
        status=STATUS,
        content_type=f"text/{'html' if page else 'plain'}; charset=utf-8",
        # A cache may keep a 501 as long as it likes; tomorrow the server may be another one.
        headers={"Cache-Control": "no-store"},
    )


def refuse_asgi_handshakes() -> None:
    """Lets Django's ASGI handler answer a WebSocket as ``response`` does; by itself it raises ``ValueError``.

    Such a scope reaches no middleware and no view, so that nothing else of ours can answer it. Nothing is
    done where that handler has not been imported, as under WSGI, and nothing the second time.
    """
    module = sys.modules.get("django.core.handlers.asgi")
    if module is None or getattr(module.ASGIHandler.__call__, "refuses_websockets", False):
        return
    handle = module.ASGIHandler.__call__

    @wraps(handle)
    async def handle_or_refuse(
        self: Any, scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], send: AsgiCallable
    ) -> None:
        if scope["type"] == "websocket":
            await _refuse(scope, receive, send)
        else:
            await handle(self, scope, receive, send)

    handle_or_refuse.refuses_websockets = True  # type: ignore[attr-defined]
    module.ASGIHandler.__call__ = handle_or_refuse


async def _refuse(
    scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], send: AsgiCallable
) -> None:
    await receive()
    error = _asgi_refusal()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        # This server can send no body. Who raises gets the sentence into its log and a 500 to the client.
        raise error
    accept = b",".join(value for name, value in scope["headers"] if name.lower() == b"accept")
    answer = response(error, scope["path"], accept.decode("latin-1"))
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.items()]
    await send({"type": "websocket.http.response.start", "status": STATUS, "headers": fields})
    await send({"type": "websocket.http.response.body", "body": answer.content})


def _page(error: UnsupportedServer, path: str) -> str:
    ways = format_html_join("", "<li>{}</li>", ((way,) for way in error.ways))
    return format_html(_PAGE, server=error.server, path=path, reason=error.reason, ways=ways)


def _asgi_refusal() -> UnsupportedServer:
    loaded = [name for name in _ASGI_SERVERS if name in sys.modules]
    server = loaded[0] if len(loaded) == 1 else "An ASGI server"
    reason = f"{server} runs the project's ASGI application, and ASGI hands over no sockets."
    return UnsupportedServer(server, reason)


def _name(environ: Mapping[str, Any]) -> str:
    if "mod_wsgi.version" in environ:
        return f"mod_wsgi {'.'.join(str(part) for part in environ['mod_wsgi.version'])}"
    if "uwsgi.version" in environ:
        return f"uWSGI {environ['uwsgi.version'].decode()}"
    return environ.get("SERVER_SOFTWARE") or "This server"


def _is_tls(socket: object) -> bool:
    # gevent's TLS socket is no ssl.SSLSocket.
    return hasattr(socket, "getpeercert")
