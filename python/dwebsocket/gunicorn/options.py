"""gunicorn's settings in the words of our server."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any, Final

from .. import conf

_SAME: Final = {
    "threads": "http_threads",
    "worker_connections": "max_connections",
    "limit_request_line": "max_request_line_bytes",
    "limit_request_fields": "max_headers",
    "limit_request_field_size": "max_header_field_bytes",
    "keepalive": "header_timeout_seconds",
}
"""Numbers that hold where they are not gunicorn's default; else the project's settings do."""

_PROXY: Final = "leave it to a proxy in front, such as nginx"
_REFUSED: Final = {
    "ssl_version": "TLS 1.2 and 1.3 are spoken, with those who have them",
    "ciphers": "the cipher suites are those of rustls",
    "ssl_context": "TLS is that of rustls and not that of Python",
    "suppress_ragged_eofs": "a client that leaves without a word is never an error",
    "protocol": "only HTTP is spoken; let nginx use proxy_pass in place of uwsgi_pass",
    "http_protocols": f"only HTTP/1.1 is spoken; {_PROXY}",
    "http2_cleartext": f"only HTTP/1.1 is spoken; {_PROXY}",
}
"""Settings without which the server would not be the one that was asked for."""

_IGNORED: Final = (
    "casefold_http_method",
    "forwarder_headers",
    "header_map",
    "permit_obsolete_folding",
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "strip_header_spaces",
)
"""Settings that would make HTTP less strict than it is."""


def refusal(config: Any) -> str | None:
    """Why the worker cannot run under such a configuration of gunicorn, if it cannot."""
    told = [f"{name}: {way}" for name, way in _REFUSED.items() if _is_given(config, name)]
    told += _misfits(config)
    if not told:
        return None
    return f"dwebsocket.gunicorn.Worker cannot honour these settings. {'. '.join(told)}."


def _misfits(config: Any) -> list[str]:
    """Settings of TLS that mean nothing without others."""
    names = [name for name in ("keyfile", "ca_certs", "cert_reqs") if _is_given(config, name)]
    if names and not config.certfile:
        return [f"{name}: there is no certfile" for name in names]
    if config.cert_reqs not in set(ssl.VerifyMode):
        return [f"cert_reqs: {config.cert_reqs} is none of 0, 1 and 2"]
    if config.cert_reqs and not config.ca_certs:
        return ["cert_reqs: ca_certs has to name the authorities"]
    return []


def ignored(config: Any) -> list[str]:
    """The settings that are given and change nothing."""
    return [name for name in _IGNORED if _is_given(config, name)]


def server_config(config: Any) -> dict[str, Any]:
    """The ``config`` of our server.

    Args:
        config: gunicorn's.

    Raises:
        ImproperlyConfigured: as ``conf.server_config``.
    """
    values = conf.server_config()
    values.update(
        {ours: getattr(config, name) for name, ours in _SAME.items() if _is_given(config, name)},
    )
    # Zero is "no limit" to gunicorn, and "no second request" for keepalive.
    if values["header_timeout_seconds"] == 0:
        values["header_timeout_seconds"] = conf.get("WEBSOCKET_HEADER_TIMEOUT_SECONDS")
        values["keep_alive"] = False
    if values["max_headers"] == 0:
        values["max_headers"] = 1 << 15
    if values.get("max_header_field_bytes") == 0:
        del values["max_header_field_bytes"]
    values["proxy_protocol"] = _proxy_protocol(config)
    line = values["max_request_line_bytes"]
    field = values.get("max_header_field_bytes", 0)
    values["max_header_bytes"] = max(values["max_header_bytes"], line + field + (8 << 10))
    if line == 0:
        values["max_request_line_bytes"] = values["max_header_bytes"]
    return values


def _proxy_protocol(config: Any) -> tuple[str, list[tuple[str, int]] | None] | None:
    """The versions that are understood, and the networks that a header may come from; None: all of them."""
    if not _is_given(config, "proxy_protocol"):
        return None
    # True before 24.1, which knew the first version only.
    version = "v1" if config.proxy_protocol is True else config.proxy_protocol
    if "*" in config.proxy_allow_ips:
        return version, None
    networks = [ipaddress.ip_network(entry, strict=False) for entry in config.proxy_allow_ips]
    return version, [(str(network.network_address), network.prefixlen) for network in networks]


def _is_given(config: Any, name: str) -> bool:
    """Whether a setting has another value than gunicorn's default. Its older versions know fewer settings."""
    setting = config.settings.get(name)
    return setting is not None and setting.get() != setting.validator(setting.default)
