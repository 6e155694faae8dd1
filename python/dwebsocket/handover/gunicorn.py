"""gunicorn's own workers: sync, gthread, gevent."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from .client import Client, is_plain


def find(environ: Mapping[str, Any]) -> Client | None:
    """The client of a request that came by gunicorn over a socket without TLS."""
    socket = environ.get("gunicorn.socket")
    if socket is None or not is_plain(socket):
        return None

    def release() -> bytes:
        # What the parser has read too far, whichever parser it is; a worker that keeps the connection alive
        # would take it for the next request.
        unreader = environ["wsgi.input"].reader.unreader
        early: bytes = unreader.buf.getvalue()
        unreader.buf = io.BytesIO()
        return early

    return Client(socket.fileno(), release)
