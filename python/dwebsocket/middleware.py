"""``request.websocket`` and ``request.is_websocket`` on every request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.utils.log import log_response
from django.utils.module_loading import import_string

from . import _core, conf, notices, origin, unsupported
from .exceptions import ConnectionClosed, InvalidHandshake, TooManyConnections

logger = logging.getLogger("dwebsocket")

OPENS_ITSELF: Final = "_opens_websocket"
"""Attribute of the views that our decorators made: they open and close their sockets themselves."""

COMPRESSION: Final = "_websocket_compression"
"""Attribute of those views: whether they compress; None leaves it to the setting."""

_NORMAL, _POLICY, _FAILED = 1000, 1008, 1011
_REFUSALS = (Http404, PermissionDenied, SuspiciousOperation, BadRequest)


class IsWebSocket:
    """``request.is_websocket``: called or tested, it says whether the request is a WebSocket handshake."""

    __slots__ = ("_answer", "opened")

    def __init__(self, answer: bool) -> None:
        self._answer = answer
        self.opened = False

    def __call__(self) -> bool:
        """Whether the request is a WebSocket handshake."""
        return self._answer

    def __bool__(self) -> bool:
        """The same, for ``if request.is_websocket:``."""
        return self._answer

    def __repr__(self) -> str:
        """For debugging pages."""
        return f"<is_websocket: {self._answer}>"


class WebSocketMiddleware:
    """Puts ``websocket`` (None for plain HTTP) and ``is_websocket`` on every request.

    It belongs last in ``MIDDLEWARE``. A handshake for a view that takes no WebSockets is refused with 400,
    unless ``WEBSOCKET_ACCEPT_ALL``. A decorated view opens and closes its socket itself; for any other view,
    which has to return a response as for plain HTTP, the middleware does. It is synchronous: under ASGI
    Django runs it in a thread.
    """

    sync_capable = True
    async_capable = False
    get_response: Callable[..., Any] | None = None

    def __init__(self, get_response: Callable[..., Any] | None = None) -> None:
        # Django's MiddlewareMixin, where a subclass has it before ours, sets it and calls this without it.
        if get_response is not None:
            self.get_response = get_response
        unsupported.refuse_asgi_handshakes()

    def __call__(self, request: Any) -> Any:
        """Runs a request."""
        if self.get_response is None:
            raise TypeError("WebSocketMiddleware was made without get_response")
        response = self.process_request(request) or self.get_response(request)
        return self.process_response(request, response)

    def process_request(self, request: Any) -> HttpResponse | None:
        """Sets the attributes once; a second time it does nothing.

        Returns:
            The refusal of a handshake that cannot be accepted, else None.
        """
        request = underlying(request)
        if isinstance(getattr(request, "is_websocket", None), IsWebSocket):
            return None
        request.websocket = None
        request.is_websocket = IsWebSocket(False)
        try:
            websocket = import_string(conf.get("WEBSOCKET_FACTORY_CLASS"))(request).create_websocket()
        except unsupported.UnsupportedServer as error:
            return unsupported.response(error, request.get_full_path(), request.META.get("HTTP_ACCEPT", ""))
        except ValueError as error:
            _core.count_refusal("bad_request")
            invalid = error if isinstance(error, InvalidHandshake) else InvalidHandshake(str(error))
            response = _plain("This is not a valid WebSocket handshake.", invalid.status, invalid.fields)
            return _logged(request, response, str(error))
        if websocket is not None:
            if refusal := origin.refusal(request):
                _core.count_refusal("origin")
                return refusal
            request.websocket = websocket
            request.is_websocket = IsWebSocket(True)
        return None

    def process_view(
        self, request: Any, view: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> HttpResponse | None:
        """Opens the socket of a view that does not open it itself.

        Returns:
            400 where request and view do not fit, 503 where there are too many sockets, else None.
        """
        del args, kwargs
        request = underlying(request)
        if request.websocket is None:
            if getattr(view, "require_websocket", False):
                return _plain("This view takes WebSockets only.")
            return None
        if getattr(view, OPENS_ITSELF, False):
            return None
        if not (getattr(view, "accept_websocket", False) or conf.get("WEBSOCKET_ACCEPT_ALL")):
            _core.count_refusal("not_for_view")
            who = notices.shown_path(request), request.META.get("REMOTE_ADDR", "")
            logger.debug("WebSocket %s of %s refused with 400: not for this view", *who)
            return _plain("This view takes no WebSockets.")
        return open_socket(request)

    def process_exception(self, request: Any, error: Exception) -> HttpResponse | None:
        """Closes the socket of a view that raised.

        Returns:
            A response that nobody sees when a socket's end left the view; None leaves the error to Django.
        """
        request = underlying(request)
        return close_after(request, error) if request.is_websocket.opened else None

    def process_response(self, request: Any, response: Any) -> Any:
        """Closes a socket that is still open."""
        request = underlying(request)
        if not request.is_websocket.opened:
            return response
        if response is None:
            response = HttpResponse()
        request.websocket.close(_FAILED if response.status_code >= 500 else _NORMAL)
        return response


def underlying(request: Any) -> Any:
    """Django's own request below one that Django REST framework wraps, so that both have the attributes."""
    return getattr(request, "_request", request)


def open_socket(request: Any, compression: bool | None = None) -> HttpResponse | None:
    """Answers the handshake with 101.

    Args:
        request: whose handshake it is.
        compression: as in ``accept_websocket``.

    Returns:
        The refusal if as many sockets are open as are allowed, else None.
    """
    try:
        # A websocket of a project's own need not know of compression.
        options = {} if compression is None else {"compression": compression}
        request.websocket.accept_connection(**options)
    except TooManyConnections as error:
        response = _plain("Too many WebSockets are open.", 503, {"Retry-After": "1"})
        reason = f"{error}; WEBSOCKET_MAX_CONNECTIONS sets how many may be"
        return _logged(request, response, reason, warn_as="websockets_full")
    request.is_websocket.opened = True
    return None


def close_after(request: Any, error: Exception) -> HttpResponse | None:
    """Closes the socket of a view that raised: 1011, or 1008 for what HTTP would answer with 400, 403 or 404.

    Returns:
        An empty response when the end of a socket left the view, which is a normal end; else None.
    """
    if isinstance(error, ConnectionClosed):
        logger.debug("WebSocket %s: the view ended with %r", request.get_full_path(), error)
        request.websocket.close(_NORMAL)
        return HttpResponse()
    request.websocket.close(_POLICY if isinstance(error, _REFUSALS) else _FAILED)
    return None


def _logged(request: Any, response: HttpResponse, reason: str, *, warn_as: str = "") -> HttpResponse:
    """Tells the log why a handshake is refused, in place of what Django would say of the response.

    Args:
        request: whose handshake it is.
        response: the refusal.
        reason: what is wrong.
        warn_as: the kind of a warning (see ``notices.admit``); otherwise it is the client's mistake.
    """
    behind = notices.admit(warn_as) if warn_as else None
    log_response(
        "WebSocket %s of %s refused with %d: %s%s",
        notices.shown_path(request),
        request.META.get("REMOTE_ADDR", ""),
        response.status_code,
        reason,
        behind or "",
        response=response,
        request=request,
        logger=logger,
        level="debug" if behind is None else "warning",
    )
    return response


def _plain(sentence: str, status: int = 400, fields: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(
        f"{sentence}\n", status=status, headers=fields, content_type="text/plain; charset=utf-8"
    )
