"""uWSGI: behind its own http router or nginx's ``uwsgi_pass``, or speaking HTTP itself."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final

from .. import unsupported
from .client import Client

_ROUTERS: Final = ("http", "httprouter", "https", "https2")
_ROUTER_LETS_THROUGH: Final = ("http-raw-body", "http-websockets")
_TLS: Final = ("https-socket", "ssl-socket", "suwsgi-socket")
_OTHER_PROTOCOLS: Final = (
    "fastcgi-socket",
    "fastcgi-nph-socket",
    "scgi-socket",
    "scgi-nph-socket",
    "puwsgi-socket",
    "raw-socket",
)
_FALSE: Final = (b"false", b"off", b"no", b"0")

_BUFFER_BYTES: Final = 1 << 16
"""uWSGI's buffer of a request (``--buffer-size``), of which the early bytes are the rest, is no larger."""

_Current = Callable[[], int | None]
_Read = Callable[[int, object, int], int]


def find(environ: Mapping[str, Any]) -> Client | None:
    """The client of a request that came by uWSGI.

    Raises:
        UnsupportedServer: uWSGI runs with an option, or without one, that WebSockets cannot live with.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or "uwsgi.version" not in environ:
        return None
    if obstacle := _obstacle(environ, uwsgi.opt):
        raise unsupported.under_uwsgi(environ, obstacle)
    functions = _functions("threaded" if environ["wsgi.multithread"] else "simple")
    if functions is None:
        raise unsupported.under_uwsgi(environ, unsupported.UWSGI_EXPORTS)
    current, read = functions
    request, descriptor = current(), uwsgi.connection_fd()
    if request is None:
        raise RuntimeError("a WebSocket is opened on the thread on which uWSGI runs the view")
    return Client(descriptor, partial(_early_bytes, descriptor, request, read))


def _obstacle(environ: Mapping[str, Any], options: Mapping[str, object]) -> unsupported.Obstacle | None:
    given = {name for name, value in options.items() if value not in _FALSE}
    if "x-wsgiorg.fdevent.readable" in environ:
        return unsupported.UWSGI_ASYNC
    if environ["wsgi.url_scheme"] == "https" and not given.isdisjoint(_TLS):
        return unsupported.UWSGI_TLS
    if not given.isdisjoint(_OTHER_PROTOCOLS):
        return unsupported.UWSGI_PROTOCOL
    # The router may be another uWSGI, whose options nobody tells.
    routed = environ.get("UWSGI_ROUTER") == "http" and not given.isdisjoint(_ROUTERS)
    if routed and given.isdisjoint(_ROUTER_LETS_THROUGH):
        return unsupported.UWSGI_ROUTER
    return None


@cache
def _functions(kind: str) -> tuple[_Current, _Read] | None:
    """Functions of uWSGI itself, which it exports for its plugins.

    Args:
        kind: how this uWSGI knows which request is run: "threaded", or "simple" where there is one thread.

    Returns:
        What gives the request that is being run, and what reads behind it; None where they are not exported.
    """
    # As a program uWSGI is what the process runs; as the package pyuwsgi it is a shared library.
    places = (None, getattr(sys.modules.get("pyuwsgi"), "__file__", None))
    for place in dict.fromkeys(places):
        # Called with the GIL, since neither waits.
        library = ctypes.PyDLL(place)
        try:
            current, read = library[f"{kind}_current_wsgi_req"], library["uwsgi_proto_base_read_body"]
        except AttributeError:
            continue
        current.argtypes, current.restype = (), ctypes.c_void_p
        read.argtypes, read.restype = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t), ctypes.c_ssize_t
        return current, read
    return None


def _early_bytes(descriptor: int, request: int, read: _Read) -> bytes:
    """What uWSGI has read behind the head of a request, and then forgets.

    ``wsgi.input`` gives no byte of it, since a handshake has no Content-Length.

    Args:
        descriptor: of the request's socket.
        request: the address of uWSGI's own record of it, which lives as long as the view runs.
        read: of ``_functions``. It takes from uWSGI's buffer, and from the socket only where that is empty,
            never more than it is told; it finds its way in the record by itself.
    """
    # So it is already; a read that waited would wait for the client's first message.
    os.set_blocking(descriptor, False)
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    # Below zero where nothing waits, or the client has left: whoever reads the socket next will find out.
    size = max(0, read(request, buffer, _BUFFER_BYTES))
    return buffer.raw[:size]
