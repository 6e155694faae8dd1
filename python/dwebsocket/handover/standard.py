"""Servers that read through the standard library: Django's runserver, wsgiref, Werkzeug, gevent.pywsgi."""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping
from typing import Any

from .client import Client, is_plain


def find(environ: Mapping[str, Any]) -> Client | None:
    """The client of a request whose body is read from a file over its socket, which speaks no TLS."""
    reader = _reader(environ.get("wsgi.input"))
    if reader is None:
        return None
    connection = reader.raw._sock  # type: ignore[attr-defined]
    if not is_plain(connection):
        return None

    def release() -> bytes:
        timeout = connection.gettimeout()
        connection.settimeout(0)
        try:
            # What is buffered; where nothing is, what has arrived meanwhile, which may be nothing.
            return reader.read1() or b""
        except ConnectionError:
            # The client has left: whoever reads the socket next will find out.
            return b""
        finally:
            connection.settimeout(timeout)

    return Client(connection.fileno(), release)


def _reader(body: Any) -> io.BufferedReader | None:
    """The buffered file over a socket that a body is read from, if it is one."""
    limited = (
        body,
        # Django's LimitedStream keeps the file up to 4.1, and its methods since.
        getattr(body, "stream", None),
        getattr(getattr(body, "_read", None), "__self__", None),
        # gevent.pywsgi's Input.
        getattr(body, "rfile", None),
    )
    for reader in limited:
        if isinstance(reader, io.BufferedReader) and isinstance(reader.raw, socket.SocketIO):
            return reader
    return None
