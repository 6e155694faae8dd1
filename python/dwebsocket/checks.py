"""System checks: what in a project would keep WebSockets from working, said before the first request."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import metadata
from typing import Any, Final

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.management import get_commands, load_command_class
from django.utils.module_loading import import_string

from . import conf, origin
from .factory import WebSocketFactory

TAG: Final = "dwebsocket"

_MIDDLEWARE: Final = "dwebsocket.middleware.WebSocketMiddleware"


def check_runserver(**_: Any) -> list[CheckMessage]:
    """E001: another app's ``runserver`` comes before ours, so that the stock server would run."""
    owner = get_commands().get("runserver")
    if owner == "dwebsocket":
        return []
    from .management.commands import runserver

    command = load_command_class(owner, "runserver") if isinstance(owner, str) else owner
    if isinstance(command, runserver.Command):
        return []
    return [
        Error(
            f"'dwebsocket' stands behind '{owner}' in INSTALLED_APPS, whose runserver serves no WebSockets.",
            hint="Put 'dwebsocket' first in INSTALLED_APPS.",
            id="dwebsocket.E001",
        )
    ]


def check_values(**_: Any) -> list[CheckMessage]:
    """E002: a setting has a value of the wrong type or out of range."""
    messages: list[CheckMessage] = []
    for name in conf.names_in_use():
        setting = conf.SETTINGS.get(name)
        value = conf.project_value(name)
        demanded = setting.demand(value) if setting else None
        if setting and demanded:
            messages.append(
                Error(
                    f"{name} must be {demanded}, not {value!r}.", hint=setting.meaning, id="dwebsocket.E002"
                )
            )
    return messages


def check_factory(**_: Any) -> list[CheckMessage]:
    """E003: ``WEBSOCKET_FACTORY_CLASS`` names nothing that can make a websocket."""
    path = conf.project_value("WEBSOCKET_FACTORY_CLASS")
    if path is None or conf.dotted_path(path):
        return []
    try:
        factory = import_string(path)
    except ImportError as error:
        fault = f"WEBSOCKET_FACTORY_CLASS cannot be imported: {error}"
    else:
        if callable(getattr(factory, "create_websocket", None)):
            return []
        fault = f"WEBSOCKET_FACTORY_CLASS names '{path}', which has no create_websocket()."
    base = f"{WebSocketFactory.__module__}.{WebSocketFactory.__qualname__}"
    return [Error(fault, hint=f"Name a subclass of {base}.", id="dwebsocket.E003")]


def check_names(**_: Any) -> list[CheckMessage]:
    """W001: a ``WEBSOCKET_`` setting that does not exist, most often misspelt."""
    messages: list[CheckMessage] = []
    known = [name.removeprefix(conf.PREFIX) for name in conf.SETTINGS]
    for name in conf.names_in_use():
        if name in conf.SETTINGS:
            continue
        # Without the prefix that all have in common, and that would make all alike.
        close = get_close_matches(name.removeprefix(conf.PREFIX), known, n=1)
        messages.append(
            Caution(
                f"{name} is no setting of dwebsocket-rs.",
                hint=f"Did you mean {conf.PREFIX}{close[0]}?"
                if close
                else "If another package reads it, silence dwebsocket.W001.",
                id="dwebsocket.W001",
            )
        )
    return messages


def check_old_middleware(**_: Any) -> list[CheckMessage]:
    """W002: the middleware stands in ``MIDDLEWARE_CLASSES``, which Django stopped reading in 2.0."""
    if _MIDDLEWARE not in (conf.project_value("MIDDLEWARE_CLASSES") or ()):
        return []
    if _MIDDLEWARE in conf.project_value("MIDDLEWARE"):
        return []
    return [
        Caution(
            "WebSocketMiddleware is in MIDDLEWARE_CLASSES, which Django does not read any more.",
            hint=f"Move '{_MIDDLEWARE}' to the end of MIDDLEWARE.",
            id="dwebsocket.W002",
        )
    ]


def check_old_distribution(**_: Any) -> list[CheckMessage]:
    """W003: the original dwebsocket is installed as well; both put their files into the same folder."""
    try:
        metadata.distribution("dwebsocket")
    except metadata.PackageNotFoundError:
        return []
    return [
        Caution(
            "dwebsocket and dwebsocket-rs are both installed and overwrite each other's files.",
            hint="pip uninstall dwebsocket dwebsocket-rs, then install dwebsocket-rs again.",
            id="dwebsocket.W003",
        )
    ]


def check_origins(**_: Any) -> list[CheckMessage]:
    """W004: django-cors-headers lets every page in with cookies, and so do WebSockets then."""
    if conf.project_value(origin.SETTING) is not None or not origin.allows_all():
        return []
    return [
        Caution(
            "CORS_ALLOW_ALL_ORIGINS and CORS_ALLOW_CREDENTIALS together let every page on the web open "
            "WebSockets with your users' cookies.",
            hint=f"Name the pages that may in {origin.SETTING}; '*' there says that all may.",
            id="dwebsocket.W004",
        )
    ]


ALL: Final[tuple[Callable[..., list[CheckMessage]], ...]] = (
    check_runserver,
    check_values,
    check_factory,
    check_names,
    check_old_middleware,
    check_old_distribution,
    check_origins,
)
