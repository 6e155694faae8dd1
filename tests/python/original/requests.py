"""Scenarios of the handshake, the decorators and the dotted paths."""

from __future__ import annotations

import importlib

from django.http import HttpResponse, HttpResponseForbidden
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from dwebsocket import accept_websocket, require_websocket
from dwebsocket.backends.default.protocols import WebSocketProtocol13, get_websocket_protocol
from dwebsocket.backends.default.websocket import DefaultWebSocket
from dwebsocket.websocket import WebSocket

from original.scenario import scenario

TEXT = 0x1


@scenario(decorate=accept_websocket)
def a_handshake_on_an_accepting_view(request, see):
    see("is_websocket()", request.is_websocket())
    see("is_websocket", bool(request.is_websocket))
    see("names", [isinstance(request.websocket, kind) for kind in (WebSocket, DefaultWebSocket)])
    see("protocol", isinstance(request.websocket.protocol, WebSocketProtocol13))
    see("method and path", [request.method, request.path])
    see("query", request.GET.get("q"))
    see("cookie", request.COOKIES.get("c"))


@a_handshake_on_an_accepting_view.played_by
def _(there, see):
    client = there.open("?q=1", Cookie="c=2")
    see("status", client.status)
    see("fields", sorted(client.fields))
    see("accept", client.fields["sec-websocket-accept"])


@scenario(decorate=accept_websocket)
def plain_http_on_an_accepting_view(request, see):
    see("is_websocket()", request.is_websocket())
    see("is_websocket", bool(request.is_websocket))
    see("websocket", request.websocket)
    return HttpResponse("plain")


@plain_http_on_an_accepting_view.played_by
def _(there, see):
    answer = there.get()
    see("answer", [answer.status, answer.body])


@scenario(decorate=require_websocket)
def plain_http_on_a_requiring_view(request, see):
    return HttpResponse("never")


@plain_http_on_a_requiring_view.played_by
def _(there, see):
    answer = there.get()
    see("status", answer.status)
    see("body", answer.body)


@scenario(decorate=require_websocket)
def a_handshake_on_a_requiring_view(request, see):
    see("message", request.websocket.wait)


@a_handshake_on_a_requiring_view.played_by
def _(there, see):
    there.open().send((TEXT, b"a message"))


@scenario(decorate=None)
def a_handshake_on_an_undecorated_view(request, see):
    see("has is_websocket", hasattr(request, "is_websocket"))
    return HttpResponse("plain")


@a_handshake_on_an_undecorated_view.played_by
def _(there, see):
    answer = there.handshake()
    see("answer", [answer.status, answer.body])


def ordinary(request):
    """A docstring."""


@scenario(decorate=None)
def what_the_decorators_leave_on_a_view(request, see):
    for name, decorate in (("accept", accept_websocket), ("require", require_websocket)):
        made = decorate(lambda request: None)
        see(name, [made.accept_websocket, made.require_websocket])
    both = accept_websocket(require_websocket(lambda request: None))
    see("accept above require", [both.accept_websocket, both.require_websocket])
    made = accept_websocket(ordinary)
    see("name, module and doc", [made.__name__, made.__module__ == __name__, made.__doc__])
    return HttpResponse()


@what_the_decorators_leave_on_a_view.played_by
def _(there, see):
    see("status", there.get().status)


@scenario(decorate=accept_websocket)
def the_view_gets_what_stands_in_its_path(request, see, word=None):
    see("word", word)


@the_view_gets_what_stands_in_its_path.played_by
def _(there, see):
    see("first", there.open("room/").receive())


def forbid(view):
    """What a login or permission decorator does to a stranger."""
    return lambda request, *arguments, **keywords: HttpResponseForbidden("not for you")


@scenario(decorate=lambda view: forbid(accept_websocket(view)))
def a_permission_decorator_above_ours(request, see):
    see("never", True)


@a_permission_decorator_above_ours.played_by
def _(there, see):
    answer = there.handshake()
    see("answer", [answer.status, answer.body])


@scenario(decorate=lambda view: accept_websocket(forbid(view)))
def a_permission_decorator_below_ours(request, see):
    see("never", True)


@a_permission_decorator_below_ours.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("after the Close", client.rest())


@scenario(decorate=lambda view: csrf_exempt(accept_websocket(csrf_exempt(view))))
def csrf_exempt_above_and_below_ours(request, see):
    see("message", request.websocket.wait)


@csrf_exempt_above_and_below_ours.played_by
def _(there, see):
    there.open().send((TEXT, b"a message"))


def class_based(view):
    """A class-based view that hands its handshakes to a function."""

    @method_decorator(accept_websocket, name="dispatch")
    class Talk(View):
        def get(self, request, *arguments, **keywords):
            return view(request, *arguments, **keywords)

    return Talk.as_view()


@scenario(decorate=class_based)
def a_class_based_view(request, see):
    if not request.is_websocket():
        return HttpResponse("plain")
    see("message", request.websocket.wait)
    return None


@a_class_based_view.played_by
def _(there, see):
    there.open().send((TEXT, b"a message"))
    see("plain", there.get("?who=plain: ").body)


@scenario(decorate=accept_websocket)
def subprotocols_are_offered(request, see):
    see("view runs", True)


@subprotocols_are_offered.played_by
def _(there, see):
    client = there.open(Sec_WebSocket_Protocol="chat, superchat")
    see("chosen", client.fields.get("sec-websocket-protocol"))


@scenario(decorate=accept_websocket)
def compression_is_offered(request, see):
    see("message", request.websocket.wait)


@compression_is_offered.played_by
def _(there, see):
    client = there.open(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
    see("chosen", client.fields.get("sec-websocket-extensions"))
    client.send((TEXT, b"a message"))


@scenario(decorate=accept_websocket)
def a_handshake_without_a_key(request, see):
    return HttpResponse("plain")


@a_handshake_without_a_key.played_by
def _(there, see):
    see("status", there.handshake(Sec_WebSocket_Key=None).status)


@scenario(decorate=accept_websocket)
def a_handshake_without_a_version(request, see):
    return HttpResponse("plain")


@a_handshake_without_a_version.played_by
def _(there, see):
    see("status", there.handshake(Sec_WebSocket_Version=None).status)


@scenario(decorate=accept_websocket)
def a_handshake_of_an_old_draft(request, see):
    see("is_websocket()", request.is_websocket())
    return HttpResponse("plain")


@a_handshake_of_an_old_draft.played_by
def _(there, see):
    see("status", there.handshake(Sec_WebSocket_Version="8").status)


@scenario(decorate=accept_websocket)
def an_upgrade_field_without_a_connection_field(request, see):
    see("is_websocket()", request.is_websocket())
    return HttpResponse("plain")


@an_upgrade_field_without_a_connection_field.played_by
def _(there, see):
    see("status", there.handshake(Connection="close").status)


@scenario(decorate=accept_websocket)
def the_handshake_of_a_page_of_another_site(request, see):
    see("is_websocket()", request.is_websocket())


@the_handshake_of_a_page_of_another_site.played_by
def _(there, see):
    see("status", there.handshake(Origin="https://elsewhere.example").status)


@scenario(decorate=accept_websocket)
def the_handshake_of_a_firefox(request, see):
    see("is_websocket()", request.is_websocket())


@the_handshake_of_a_firefox.played_by
def _(there, see):
    answer = there.handshake(Connection="keep-alive, Upgrade", Upgrade="WebSocket")
    see("status", answer.status)


@scenario(decorate=accept_websocket)
def a_handshake_by_post(request, see):
    see("is_websocket()", request.is_websocket())
    return HttpResponse("plain")


@a_handshake_by_post.played_by
def _(there, see):
    see("status", there.handshake(method="POST", Content_Length="0").status)


@scenario(decorate=accept_websocket)
def an_upgrade_to_something_else(request, see):
    see("is_websocket()", request.is_websocket())
    return HttpResponse("plain")


@an_upgrade_to_something_else.played_by
def _(there, see):
    answer = there.handshake(Upgrade="h2c", Connection="close")
    see("answer", [answer.status, answer.body])


@scenario(decorate=accept_websocket)
def accept_connection_called_again_by_the_view(request, see):
    see("accept_connection", request.websocket.accept_connection)
    request.websocket.send("after it")


@accept_connection_called_again_by_the_view.played_by
def _(there, see):
    see("first", there.open().receive())


PATHS = (
    "dwebsocket.decorators.accept_websocket",
    "dwebsocket.decorators.require_websocket",
    "dwebsocket.middleware.WebSocketMiddleware",
    "dwebsocket.websocket.WebSocket",
    "dwebsocket.backends.default.websocket.DefaultWebSocket",
    "dwebsocket.factory.WebSocketFactory",
    "dwebsocket.backends.default.factory.WebSocketFactory",
    "dwebsocket.backends.uwsgi.factory.uWsgiWebSocketFactory",
    "dwebsocket.backends.default.protocols.WebSocketProtocol13",
    "dwebsocket.backends.default.protocols.get_websocket_protocol",
    "dwebsocket.backends.default.protocols.protocols",
)


@scenario(decorate=None)
def the_dotted_paths(request, see):
    for dotted in PATHS:
        module, _, name = dotted.rpartition(".")
        see(dotted, lambda module=module, name=name: callable(getattr(importlib.import_module(module), name)))
    see("version 13", get_websocket_protocol("13") is WebSocketProtocol13)
    see("version 8", get_websocket_protocol("8"))
    constants = {
        name: value
        for name, value in vars(WebSocketProtocol13).items()
        if name.startswith(("OPCODE_", "STATUS_"))
    }
    see("constants", sorted(constants.items()))
    return HttpResponse()


@the_dotted_paths.played_by
def _(there, see):
    see("status", there.get().status)


SOCKET = """
accept_connection close closed count_messages handle has_messages is_close is_closed protocol read send wait
"""
PROTOCOL = """
accept_connection can_read client_terminated close close_code close_reason compute_accept_value headers
is_closed mask_or_unmask mask_outgoing read read_data read_frame select_subprotocol server_terminated sock
write write_close write_ping write_pong
"""


@scenario(decorate=accept_websocket)
def the_public_names(request, see):
    websocket = request.websocket
    see("missing in websocket", [name for name in SOCKET.split() if not hasattr(websocket, name)])
    see("missing in protocol", [name for name in PROTOCOL.split() if not hasattr(websocket.protocol, name)])


@the_public_names.played_by
def _(there, see):
    see("first", there.open().receive())
