"""Which pages may open a WebSocket here (RFC 6455 section 10.2).

A browser lets every page open WebSockets to every host, and sends that host's cookies along. Nothing but the
field ``Origin`` tells the project's own pages from those of a stranger whom its user happens to visit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.http import HttpResponseForbidden
from django.utils.log import log_response

from . import conf, notices
from .hosts import Origin, host_of, is_local, parse_entry, parse_origin

logger = logging.getLogger("dwebsocket")

SETTING: Final = "WEBSOCKET_ALLOWED_ORIGINS"

_MOST_SHOWN: Final = 200
"""Characters of a field that the log shows; the field may be as long as the server takes."""


def refusal(request: Any) -> HttpResponseForbidden | None:
    """The answer to the handshake of a page that may open no WebSocket here, which the log hears of.

    A handshake without ``Origin`` is not a browser's: it carries nobody's cookies but its sender's own.

    Args:
        request: Django's own.

    Returns:
        403; None when the handshake may go on.

    Raises:
        DisallowedHost: the request's own host is none of ``ALLOWED_HOSTS``; Django answers 400.
    """
    field = request.META.get("HTTP_ORIGIN")
    if field is None:
        return None
    origin = parse_origin(field)
    listed = conf.get(SETTING)
    if listed is None:
        host = request.get_host()
        if allows_all() or (origin and (_is_own(origin, host) or _is_named(origin))):
            return None
        fault = _fault(origin, host, request.META.get("HTTP_X_FORWARDED_HOST", ""))
    elif "*" in listed or (origin and _is_among(listed, origin)):
        return None
    else:
        fault = f"{SETTING} does not name it. If it is a site of yours, add it there."
    shown = str(origin) if origin else field[:_MOST_SHOWN]
    response = HttpResponseForbidden(
        "This origin may open no WebSocket here.\n", content_type="text/plain; charset=utf-8"
    )
    behind = notices.admit("origin")
    log_response(
        "WebSocket %s of %s refused with 403: its Origin is %s. %s%s",
        notices.shown_path(request),
        request.META.get("REMOTE_ADDR", ""),
        ascii(shown),
        fault if origin else "No browser sends such a one; another client may leave the field out.",
        behind or "",
        response=response,
        request=request,
        logger=logger,
        level="debug" if behind is None else "warning",
    )
    return response


def allows_all() -> bool:
    """Whether django-cors-headers lets every page talk to the project, with cookies.

    Without ``CORS_ALLOW_CREDENTIALS`` no browser sends or shows anything of the user's; but to a WebSocket it
    always sends the cookies.
    """
    return _allows_all_somehow() and bool(conf.project_value("CORS_ALLOW_CREDENTIALS"))


def _allows_all_somehow() -> bool:
    """Whether django-cors-headers lets every page talk to the project, be it with cookies or without."""
    return bool(_of_cors_headers("CORS_ALLOW_ALL_ORIGINS", "CORS_ORIGIN_ALLOW_ALL"))


def _is_own(origin: Origin, host: str) -> bool:
    own = host_of(host)
    if own is None or not origin.is_of_web_page:
        return False
    # Ports are not compared: a proxy may not pass on the browser's, and cookies do not know ports either.
    both_local = conf.project_value("DEBUG") and is_local(origin.host) and is_local(own)
    return bool(origin.host == own or both_local)


def _is_named(origin: Origin) -> bool:
    if _is_among(_named(), origin):
        return True
    patterns = _of_cors_headers("CORS_ALLOWED_ORIGIN_REGEXES", "CORS_ORIGIN_REGEX_WHITELIST") or ()
    # Anchored at the start only, as django-cors-headers does it.
    return any(re.match(pattern, str(origin)) for pattern in patterns)


def _named() -> Iterator[str]:
    yield from conf.project_value("ALLOWED_HOSTS") or ()
    for name in conf.project_value("CSRF_TRUSTED_ORIGINS") or ():
        # Without a scheme, as until Django 3.2, where only pages that came by https were looked at.
        yield name if "://" in name else f"https://{name}"
    yield from _of_cors_headers("CORS_ALLOWED_ORIGINS", "CORS_ORIGIN_WHITELIST") or ()


def _of_cors_headers(name: str, old_name: str) -> Any:
    return conf.project_value(name, conf.project_value(old_name))


def _is_among(names: Iterable[str], origin: Origin) -> bool:
    entries = (parse_entry(name) for name in names)
    return any(entry.names(origin) for entry in entries if entry)


def _fault(origin: Origin | None, host: str, forwarded_host: str) -> str:
    fault = f"The request's own host is {host}, and no setting names this one. "
    if _allows_all_somehow():
        fault += (
            "CORS_ALLOW_ALL_ORIGINS without CORS_ALLOW_CREDENTIALS is for requests without cookies, which a "
            "WebSocket is not. "
        )
    fault += "If it is a site of yours, "
    if origin is None or not origin.is_of_web_page:
        return f"{fault}set {SETTING}, which has to name every origin then."
    fault += f"add it to CSRF_TRUSTED_ORIGINS, or set {SETTING}, which has to name every origin then."
    if host_of(forwarded_host) == origin.host:
        return f"{fault} If the proxy in front sets X-Forwarded-Host itself, set USE_X_FORWARDED_HOST = True."
    return f"{fault} If it is the very host, a proxy in front changes Host: let it pass on the browser's."
