"""Scenarios of the middleware, of WEBSOCKET_ACCEPT_ALL and of a factory of the project's own."""

from __future__ import annotations

from django.http import HttpResponse
from dwebsocket import accept_websocket
from dwebsocket.middleware import WebSocketMiddleware

from original.scenario import scenario

TEXT = 0x1


@scenario(decorate=None)
def the_middleware_as_an_entry_of_middleware(request, see):
    see("made", lambda: callable(WebSocketMiddleware(lambda request: HttpResponse())))
    return HttpResponse()


@the_middleware_as_an_entry_of_middleware.played_by
def _(there, see):
    see("status", there.get().status)


@scenario(project="middleware", decorate=None)
def plain_http_with_the_middleware(request, see):
    see("is_websocket()", request.is_websocket())
    see("websocket", request.websocket)
    return HttpResponse("plain")


@plain_http_with_the_middleware.played_by
def _(there, see):
    answer = there.get()
    see("answer", [answer.status, answer.body])


@scenario(project="middleware", decorate=None)
def a_handshake_on_an_undecorated_view_with_the_middleware(request, see):
    return HttpResponse("never")


@a_handshake_on_an_undecorated_view_with_the_middleware.played_by
def _(there, see):
    answer = there.handshake()
    see("status", answer.status)
    see("body", answer.body)


def marked(view):
    """A view that takes WebSockets by the attribute, as the original's README says."""
    view.accept_websocket = True
    return view


@scenario(project="middleware", decorate=marked)
def a_view_marked_by_its_attribute_with_the_middleware(request, see):
    see("is_websocket()", request.is_websocket())
    see("message", request.websocket.wait)
    return HttpResponse()


@a_view_marked_by_its_attribute_with_the_middleware.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"a message"))
    see("first", client.receive())


@scenario(project="middleware", decorate=accept_websocket)
def a_decorated_view_with_the_middleware(request, see):
    request.websocket.send("first message")
    see("message", request.websocket.wait)


@a_decorated_view_with_the_middleware.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"a message"))


@scenario(project="accept_all", decorate=None)
def accept_all_opens_every_view(request, see):
    see("is_websocket()", request.is_websocket())
    see("factory", request.websocket.nickname)
    request.websocket.send("hello")
    return HttpResponse()


@accept_all_opens_every_view.played_by
def _(there, see):
    client = there.open("?factory=names%20it")
    see("first", client.receive())
    see("second", client.receive())


@scenario(project="accept_all", decorate=None)
def a_factory_that_refuses(request, see):
    return HttpResponse("never")


@a_factory_that_refuses.played_by
def _(there, see):
    see("status", there.handshake("?factory=refuses").status)


@scenario(project="accept_all", decorate=None)
def a_factory_that_makes_none(request, see):
    see("is_websocket()", request.is_websocket())
    see("websocket", request.websocket)
    return HttpResponse("plain")


@a_factory_that_makes_none.played_by
def _(there, see):
    answer = there.handshake("?factory=makes%20none")
    see("answer", [answer.status, answer.body])
