"""Requests and responses as gunicorn's hooks and its access log know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

SWITCHING_PROTOCOLS = 101

KEY = "dwebsocket.gunicorn"
"""Where an exchange waits in its environ for its end."""


class Request:
    """A request, read from its environ.

    Attributes:
        environ: of WSGI.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.environ = environ

    @property
    def method(self) -> str:
        """Such as ``GET``."""
        return str(self.environ["REQUEST_METHOD"])

    @property
    def uri(self) -> str:
        """The target as it came."""
        return str(self.environ["RAW_URI"])

    @property
    def path(self) -> str:
        """The target without its query, still escaped."""
        return self.uri.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return str(self.environ["QUERY_STRING"])

    @property
    def version(self) -> tuple[int, int]:
        """Of HTTP."""
        return (1, 0) if self.environ["SERVER_PROTOCOL"] == "HTTP/1.0" else (1, 1)

    @property
    def scheme(self) -> str:
        """Of the address: http or https."""
        return str(self.environ["wsgi.url_scheme"])

    @property
    def peer_addr(self) -> tuple[str, int] | str:
        """Address and port of the client; an empty string over a Unix socket."""
        address, port = self.environ["REMOTE_ADDR"], self.environ["REMOTE_PORT"]
        return (address, int(port)) if port else ""

    remote_addr = peer_addr

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in capitals and values; each name once."""
        fields = []
        for key, value in self.environ.items():
            if key.startswith("HTTP_"):
                fields.append((key.removeprefix("HTTP_").replace("_", "-"), value))
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                fields.append((key.replace("_", "-"), value))
        return fields


class Response:
    """A response.

    Attributes:
        status: such as ``200 OK``.
        headers: names and values.
        sent: bytes of the body.
    """

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.sent = 0

    @property
    def status_code(self) -> int:
        """The number in the status; 0 while there is none."""
        return int(self.status[:3] or 0)

    def end(self, status: int, sent: int) -> None:
        """It was sent, be it what the application began or what the server said in its place."""
        self.sent = sent
        if status != self.status_code:
            self.headers = []
            try:
                self.status = f"{status} {HTTPStatus(status).phrase}"
            except ValueError:
                self.status = str(status)


class Exchange:
    """A request and its response, from the first hook to the last."""

    def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        self.request = Request(environ)
        self.response = Response()
        self._start_response = start_response
        environ[KEY] = self

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Notes the head of the response on its way; once a socket is open, there is none."""
        write = self._start_response(status, headers, exc_info)
        if self.response.status_code != SWITCHING_PROTOCOLS:
            self.response.status, self.response.headers = status, headers
        return write
