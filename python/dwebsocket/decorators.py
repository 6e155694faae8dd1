"""The decorators that let a view take WebSockets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, overload

from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from .middleware import COMPRESSION, OPENS_ITSELF, WebSocketMiddleware, close_after, open_socket, underlying

__all__ = ("accept_websocket", "require_websocket")

View = Callable[..., Any]


@overload
def accept_websocket(view: View) -> View: ...
@overload
def accept_websocket(*, compression: bool | None = None) -> Callable[[View], View]: ...
def accept_websocket(
    view: View | None = None, *, compression: bool | None = None
) -> View | Callable[[View], View]:
    """Lets a view take WebSockets beside plain HTTP.

    A handshake is answered with 101 before the view runs. When the view returns, whatever it returns, the
    socket closes with 1000; when it raises, with 1011. ``ConnectionClosed`` leaving the view is a normal end.

    Args:
        view: a synchronous view function; on a class-based view use ``method_decorator`` (on ``dispatch``,
            where the middleware is installed). Without a view a decorator is given, as in
            ``@accept_websocket(compression=True)``.
        compression: whether messages are compressed for clients that offer it; None leaves it to
            ``WEBSOCKET_COMPRESSION``.

    Raises:
        TypeError: the view is asynchronous.
    """
    if view is None:
        return partial(accept_websocket, compression=compression)
    required = getattr(view, "require_websocket", False)
    return _socket_view(view, required=required, compression=compression)


@overload
def require_websocket(view: View) -> View: ...
@overload
def require_websocket(*, compression: bool | None = None) -> Callable[[View], View]: ...
def require_websocket(
    view: View | None = None, *, compression: bool | None = None
) -> View | Callable[[View], View]:
    """Lets a view take WebSockets only: plain HTTP gets 400. For the rest see ``accept_websocket``.

    Raises:
        TypeError: the view is asynchronous.
    """
    if view is None:
        return partial(require_websocket, compression=compression)
    return _socket_view(view, required=True, compression=compression)


def _socket_view(view: View, *, required: bool, compression: bool | None) -> View:
    if iscoroutinefunction(view):
        name = getattr(view, "__qualname__", repr(view))
        raise TypeError(
            f"{name} is an async view; accept_websocket and require_websocket take synchronous views."
        )
    # What another of our decorators said below this one holds, unless this one says something.
    compression = getattr(view, COMPRESSION, None) if compression is None else compression

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
            refusal = open_socket(plain, compression)
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
    setattr(socket_view, COMPRESSION, compression)
    return socket_view
