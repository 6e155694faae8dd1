"""The settings: their names, defaults and meanings, and the only reader of ``django.conf``.

A setting is read when it is first needed, never at import, and read again after ``override_settings``.
Where no Django settings exist at all, every setting has its default.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .hosts import parse_entry

PREFIX: Final = "WEBSOCKET_"

Demand = Callable[[object], str | None]
"""Gives what a value should have been ("a whole number of at least 1"), or None when the value will do."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: as in ``settings.py``.
        default: what holds when the setting is not there.
        meaning: one sentence.
        demand: tells a value that will do from one that will not.
        core: whether ``_core.Server`` takes it, under its name in lower case without the prefix.
    """

    name: str
    default: object
    meaning: str
    demand: Demand
    core: bool = False


def whole(least: int, *, none: bool = False) -> Demand:
    """A whole number of at least ``least``; with ``none`` also None."""
    words = f"a whole number of at least {least}" + (", or None" if none else "")

    def demand(value: object) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if fits or (none and value is None) else words

    return demand


def between(least: int, most: int) -> Demand:
    """A whole number from ``least`` to ``most``."""

    def demand(value: object) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if fits else f"a whole number from {least} to {most}"

    return demand


def seconds(*, zero: bool = False, none: bool = False) -> Demand:
    """A finite number of seconds above 0; with ``zero`` also 0, with ``none`` also None."""
    words = "a number of seconds " + ("of at least 0" if zero else "above 0") + (", or None" if none else "")

    def demand(value: object) -> str | None:
        if value is None:
            return None if none else words
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return None if number and (value > 0 or (zero and value == 0)) else words  # type: ignore[operator]

    return demand


def flag(value: object) -> str | None:
    """True or False; 1 and 0 pass, a string such as "False" does not."""
    return None if value in (True, False) else "True or False"


def one_of(*choices: str) -> Demand:
    """One of some words."""

    def demand(value: object) -> str | None:
        return None if value in choices else " or ".join(repr(choice) for choice in choices)

    return demand


def dotted_path(value: object) -> str | None:
    """The import path of a class, as a string."""
    if isinstance(value, str) and all(part.isidentifier() for part in value.split(".")) and "." in value:
        return None
    return "the dotted path of a class, as a string"


def origins(value: object) -> str | None:
    """A list of origins and hosts, "*" for all, or None."""
    listed = isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(name, str) and (name == "*" or parse_entry(name)) for name in value
    )
    if value is None or value == "*" or listed:
        return None
    return "a list of origins such as 'https://example.com' or hosts such as '.example.com', '*', or None"


def folder(value: object) -> str | None:
    """The absolute path of a folder, "auto", or None."""
    fits = value in (None, "auto") or (isinstance(value, str | os.PathLike) and os.path.isabs(value))
    return None if fits else "the absolute path of a folder, 'auto', or None"


_TABLE = (
    Setting(
        "WEBSOCKET_ACCEPT_ALL",
        False,
        "Every view may be opened as a WebSocket, not only the decorated ones (needs the middleware).",
        flag,
    ),
    Setting(
        "WEBSOCKET_FACTORY_CLASS",
        "dwebsocket.backends.default.factory.WebSocketFactory",
        "Dotted path of the class that makes request.websocket.",
        dotted_path,
    ),
    Setting(
        "WEBSOCKET_ALLOWED_ORIGINS",
        None,
        "The pages that may open a WebSocket, in place of what the section Origin says; '*' for all.",
        origins,
    ),
    Setting(
        "WEBSOCKET_TEXT_AS_STR",
        False,
        "Text messages are received as str; otherwise as bytes, as dwebsocket did.",
        flag,
    ),
    Setting(
        "WEBSOCKET_POLL_PARK_SECONDS",
        0.005,
        "Longest wait of a poll (read, has_messages, count_messages) after empty ones; 0 never waits.",
        seconds(zero=True),
    ),
    Setting(
        "WEBSOCKET_MAX_MESSAGE_BYTES",
        16 << 20,
        "Largest message taken from a client; a larger one closes the socket with 1009.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_INBOX_MESSAGES",
        1024,
        "Messages of one client that may wait for the view; while so many wait, the socket is not read.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_INBOX_BYTES",
        4 << 20,
        "Bytes of one client that may wait for the view (a single message may exceed it).",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_OUTBOX_BYTES",
        4 << 20,
        "Bytes that may wait for one client to read them (a single message may exceed it).",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_SEND_TIMEOUT_SECONDS",
        30.0,
        "How long send() in the view that owns the socket waits for room in a full outbox.",
        seconds(),
        core=True,
    ),
    Setting(
        "WEBSOCKET_SLOW_CLIENT",
        "close",
        "What another sender does to a socket whose outbox is full: close it (1013), or drop the oldest.",
        one_of("close", "drop_oldest"),
        core=True,
    ),
    Setting(
        "WEBSOCKET_PING_INTERVAL_SECONDS",
        20.0,
        "Pause between the Pings that find out whether a client is still there; None or 0 sends none.",
        seconds(zero=True, none=True),
        core=True,
    ),
    Setting(
        "WEBSOCKET_PING_TIMEOUT_SECONDS",
        20.0,
        "How long a Ping may stay unanswered before the client counts as lost.",
        seconds(),
        core=True,
    ),
    Setting(
        "WEBSOCKET_CLOSE_TIMEOUT_SECONDS",
        5.0,
        "How long the client's Close is awaited after ours.",
        seconds(),
        core=True,
    ),
    Setting(
        "WEBSOCKET_DRAIN_SECONDS",
        5.0,
        "Over how long a gunicorn worker that ends spreads the closing of its sockets.",
        seconds(zero=True),
    ),
    Setting(
        "WEBSOCKET_COMPRESSION",
        False,
        "Messages are compressed for clients that offer it; accept_websocket(compression=…) goes before it.",
        flag,
        core=True,
    ),
    Setting(
        "WEBSOCKET_COMPRESSION_THRESHOLD_BYTES",
        1024,
        "Messages of fewer bytes are sent as they are.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER",
        False,
        "A message may refer to those before it: short ones get smaller, and each socket keeps two windows.",
        flag,
        core=True,
    ),
    Setting(
        "WEBSOCKET_COMPRESSION_WINDOW_BITS",
        15,
        "How far back a compressed message refers, as a power of two of bytes: 9 to 15.",
        between(9, 15),
        core=True,
    ),
    Setting(
        "WEBSOCKET_MAX_CONNECTIONS",
        10_000,
        "WebSockets that may be open at the same time; the next handshake gets 503.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_HANDSHAKE_THREADS",
        16,
        "Handshakes that may run at the same time, from the middleware until they are accepted.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_HTTP_THREADS",
        64,
        "Threads that run plain HTTP views; sockets never take one of them.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_MAX_TCP_CONNECTIONS",
        None,
        "TCP connections, HTTP and WebSocket together, open at the same time; the next one gets 503. "
        "None: WEBSOCKET_MAX_CONNECTIONS and 2,000 more.",
        whole(1, none=True),
        core=True,
    ),
    Setting(
        "WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS",
        None,
        "TCP connections of one address open at the same time; the next one gets 503. None: no limit. "
        "Behind a proxy every client has the proxy's address.",
        whole(1, none=True),
        core=True,
    ),
    Setting(
        "WEBSOCKET_MAX_REQUEST_LINE_BYTES",
        8190,
        "Longest request line (method, address, version); a longer one gets 414.",
        whole(128),
        core=True,
    ),
    Setting(
        "WEBSOCKET_MAX_HEADER_BYTES",
        64 << 10,
        "Largest header section of a request; a larger one gets 431.",
        # The parser of the server cannot work with less.
        whole(8192),
        core=True,
    ),
    Setting(
        "WEBSOCKET_MAX_HEADERS", 100, "Most header fields of a request; more get 431.", whole(1), core=True
    ),
    Setting(
        "WEBSOCKET_MAX_BODY_BYTES",
        None,
        "Largest body of a request; a larger one gets 413. None: no limit (the server keeps none in memory).",
        whole(1, none=True),
        core=True,
    ),
    Setting(
        "WEBSOCKET_HEADER_TIMEOUT_SECONDS",
        10.0,
        "Time for a whole header section to arrive, and for an idle keep-alive connection.",
        seconds(),
        core=True,
    ),
    Setting(
        "WEBSOCKET_BODY_TIMEOUT_SECONDS",
        60.0,
        "Time between two pieces of a request body that a view is reading.",
        seconds(),
        core=True,
    ),
    Setting(
        "WEBSOCKET_WRITE_TIMEOUT_SECONDS",
        60.0,
        "Time for a client to take a piece of an HTTP response.",
        seconds(),
        core=True,
    ),
    Setting(
        "WEBSOCKET_IO_THREADS",
        1,
        "Threads of the server below Python; more than one rarely helps.",
        whole(1),
        core=True,
    ),
    Setting(
        "WEBSOCKET_CONTROL_DIR",
        "auto",
        "Folder of the Unix sockets by which manage.py websockets asks the servers; None: they have none. "
        "'auto': one of this user and project under XDG_RUNTIME_DIR, or where temporary files are.",
        folder,
    ),
)

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType({setting.name: setting for setting in _TABLE})
"""Every setting, by name."""

_values: dict[str, Any] = {}


def get(name: str) -> Any:
    """The value of a setting.

    Args:
        name: one of ``SETTINGS``.

    Returns:
        The project's value, or the default.

    Raises:
        ImproperlyConfigured: the project's value will not do.
    """
    try:
        return _values[name]
    except KeyError:
        pass
    setting = SETTINGS[name]
    if not has_settings():
        return setting.default
    value = getattr(settings, name, setting.default)
    if demanded := setting.demand(value):
        raise ImproperlyConfigured(f"{name} must be {demanded}, not {value!r}.")
    _values[name] = value
    return value


def server_config() -> dict[str, Any]:
    """The ``config`` of ``_core.Server``.

    Returns:
        ``max_message_bytes`` for ``WEBSOCKET_MAX_MESSAGE_BYTES``, and so on.

    Raises:
        ImproperlyConfigured: a value of the project will not do.
    """
    return {
        name.removeprefix(PREFIX).lower(): get(name) for name, setting in SETTINGS.items() if setting.core
    }


def names_in_use() -> list[str]:
    """Names of the ``WEBSOCKET_`` settings that the project sets, known or not, in alphabetical order."""
    return sorted(name for name in dir(settings) if name.startswith(PREFIX))


def project_value(name: str, default: object = None) -> Any:
    """What the project's settings say under any name, Django's own included, unchecked."""
    return getattr(settings, name, default)


def has_settings() -> bool:
    """Whether there are settings of Django, loaded or to be loaded."""
    return settings.configured or bool(os.environ.get(ENVIRONMENT_VARIABLE))


def _forget(*, setting: str, **_: object) -> None:
    _values.pop(setting, None)


setting_changed.connect(_forget, dispatch_uid="dwebsocket.conf")
