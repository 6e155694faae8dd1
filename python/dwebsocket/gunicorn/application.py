"""The project's WSGI application, called as gunicorn's settings and hooks want it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from gunicorn.http.wsgi import WSGIErrorsWrapper

from .exchange import Exchange

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Application:
    """A WSGI application around the project's."""

    def __init__(self, worker: Any, observed: bool) -> None:
        """Reads the configuration of a worker that has loaded its project.

        Args:
            worker: gunicorn's; its ``count_request`` is called for each request.
            observed: whether a hook or a log wants to know of each exchange.
        """
        config = worker.cfg
        self._worker = worker
        self._application: WsgiApplication = worker.wsgi
        self._observed = observed
        self._pre_request = config.pre_request
        self._errors = WSGIErrorsWrapper(config)
        self._script_name = os.environ.get("SCRIPT_NAME", "")
        self._schemes = {
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in config.secure_scheme_headers.items()
        }
        self._trusts = trust(config.forwarded_allow_ips)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Runs one request; a WebSocket's is one that takes long."""
        self._worker.count_request()
        environ["wsgi.errors"] = self._errors
        if self._script_name:
            move(environ, self._script_name)
        schemes = self._schemes_of(environ)
        if schemes:
            environ["wsgi.url_scheme"] = schemes.pop()
        if self._observed:
            exchange = Exchange(environ, start_response)
            start_response = exchange.start_response
            self._pre_request(self._worker, exchange.request)
        if schemes:
            start_response("400 Bad Request", [("Content-Type", "text/plain"), ("Connection", "close")])
            return [b"The header fields that tell the scheme contradict each other.\n"]
        return self._application(environ, start_response)

    def _schemes_of(self, environ: Mapping[str, Any]) -> set[str]:
        """The schemes that a trusted proxy tells of, of which there should be one."""
        told = [(environ[name], secure) for name, secure in self._schemes.items() if name in environ]
        # Where the client's address comes by the PROXY protocol, it is the proxy that has to be trusted.
        proxy = environ.get("dwebsocket.proxy_address", environ["REMOTE_ADDR"])
        if not told or not self._trusts(proxy):
            return set()
        return {"https" if value == secure else "http" for value, secure in told}


def move(environ: dict[str, Any], script_name: str) -> None:
    """Takes the front of the path for the place the project is mounted at.

    Raises:
        ValueError: it is not the front of the path.
    """
    path: str = environ["PATH_INFO"]
    if not path.startswith(script_name):
        raise ValueError(f"the path {path!r} does not begin with SCRIPT_NAME, {script_name!r}")
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = script_name, path[len(script_name) :]


def trust(allowed: Iterable[str]) -> Callable[[str], bool]:
    """Tells whether a proxy's address is in ``forwarded_allow_ips``; one over a Unix socket is."""
    allowed = list(allowed)
    everybody = "*" in allowed
    networks = [ipaddress.ip_network(entry, strict=False) for entry in allowed if entry != "*"]

    @lru_cache(maxsize=1024)
    def trusts(address: str) -> bool:
        if everybody or not address:
            return True
        parsed = ipaddress.ip_address(address)
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in networks)

    return trusts
