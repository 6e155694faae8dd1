"""The decorators that let a view take WebSockets."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from .middleware import OPENS_ITSELF, WebSocketMiddleware, close_after, open_socket, underlying

__all__ = ("accept_websocket", "require_websocket")

View = Callable[..., Any]


def accept_websocket(view: View) -> View:
    """Lets a view take WebSockets beside plain HTTP.

    A handshake is answered with 101 before the view runs. When the view returns, whatever it returns, the
    socket closes with 1000; when it raises, with 1011. ``ConnectionClosed`` leaving the view is a normal end.

    Args:
        view: a synchronous view function; on a class-based view use ``method_decorator`` (on ``dispatch``,
            where the middleware is installed).

    Raises:
        TypeError: the view is asynchronous.
    """
    return _socket_view(view, required=getattr(view, "require_websocket", False))


def require_websocket(view: View) -> View:
    """Lets a view take WebSockets only: plain HTTP gets 400. For the rest see ``accept_websocket``.

    Raises:
        TypeError: the view is asynchronous.
    """
    return _socket_view(view, required=True)


def _socket_view(view: View, *, required: bool) -> View:
    if iscoroutinefunction(view):
        name = getattr(view, "__qualname__", repr(view))
        raise TypeError(
            f"{name} is an async view; accept_websocket and require_websocket take synchronous views."
        )

    @wraps(view)
    def socket_view(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase | None:
        refusal = middleware.process_request(request) or middleware.process_view(
            request, socket_view, args, kwargs
        )
        if refusal is not None:
            return refusal
        plain = underlying(request)
        if plain.websocket is None:
            response: HttpResponseBase | None = view(request, *args, **kwargs)
            return response
        try:
            refusal = open_socket(plain)
            if refusal is not None:
                return refusal
            view(request, *args, **kwargs)
        except Exception as error:
            ended = close_after(plain, error)
            if ended is None:
                raise
            return ended
        plain.websocket.close()
        return HttpResponse()

    middleware = WebSocketMiddleware(view)
    socket_view.accept_websocket = True  # type: ignore[attr-defined]
    socket_view.require_websocket = required  # type: ignore[attr-defined]
    setattr(socket_view, OPENS_ITSELF, True)
    return socket_view
