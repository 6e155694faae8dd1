"""Scenarios in which the view ends the socket: close, return, an exception."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from dwebsocket import accept_websocket

from original.scenario import scenario, until

TEXT, CLOSE = 0x1, 0x8


@scenario(decorate=accept_websocket)
def close_closes_with_1000(request, see):
    see("before", [request.websocket.closed, request.websocket.is_closed()])
    see("close", request.websocket.close)
    see("after", [request.websocket.closed, request.websocket.is_closed()])
    see("again", request.websocket.close)


@close_closes_with_1000.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def close_sends_code_and_reason(request, see):
    see("close", request.websocket.close, 4001, b"because")


@close_sends_code_and_reason.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def close_takes_code_and_reason_by_name(request, see):
    see("close", lambda: request.websocket.close(reason=b"because", code=1001))


@close_takes_code_and_reason_by_name.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def close_with_a_reason_of_str(request, see):
    see("close", request.websocket.close, 4001, "because")


@close_with_a_reason_of_str.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def close_with_a_code_that_must_not_be_sent(request, see):
    see("close", request.websocket.close, 1005)


@close_with_a_code_that_must_not_be_sent.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def close_with_a_code_that_does_not_fit(request, see):
    see("close", request.websocket.close, 70000)


@close_with_a_code_that_does_not_fit.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def what_was_sent_before_close_arrives_before_it(request, see):
    for number in range(3):
        request.websocket.send(str(number))
    request.websocket.close()


@what_was_sent_before_close_arrives_before_it.played_by
def _(there, see):
    client = there.open()
    for number in range(4):
        see(f"frame {number}", client.receive())


@scenario(decorate=accept_websocket)
def wait_after_our_own_close(request, see):
    request.websocket.close()
    see("wait", request.websocket.wait, 20)


@wait_after_our_own_close.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((CLOSE, b"\x03\xe8"))


@scenario(decorate=accept_websocket)
def read_after_our_own_close(request, see):
    request.websocket.close()
    read_after_our_own_close.hear("closed")
    see("read", request.websocket.read)


@read_after_our_own_close.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((CLOSE, b"\x03\xe8"))
    there.say("closed")


@scenario(decorate=accept_websocket)
def the_view_returns(request, see):
    request.websocket.send("last words")


@the_view_returns.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("second", client.receive())
    see("after the Close", client.rest())


@scenario(decorate=accept_websocket)
def the_view_returns_a_response(request, see):
    return HttpResponse("not for a socket")


@the_view_returns_a_response.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("after the Close", client.rest())


@scenario(decorate=accept_websocket)
def the_view_returns_after_the_clients_close(request, see):
    for message in request.websocket:
        see("message", message)


@the_view_returns_after_the_clients_close.played_by
def _(there, see):
    client = there.open()
    client.send((CLOSE, b"\x03\xe8"))
    see("first", client.receive())
    see("after the Close", client.rest())


@scenario(decorate=accept_websocket)
def the_view_raises(request, see):
    raise LookupError("in the view")


@the_view_raises.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("after the Close", client.rest())


@scenario(decorate=accept_websocket)
def the_view_raises_404(request, see):
    raise Http404("no such room")


@the_view_raises_404.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("after the Close", client.rest())


kept = []


@scenario(decorate=accept_websocket)
def the_socket_outlives_its_view(request, see, word=None):
    if word is None:
        kept.append(request.websocket)
        return None
    # The original says so only after its Close has gone out, maybe after the client has seen that.
    until(lambda: kept[0].closed)
    see("closed", kept[0].closed)
    see("is_closed", kept[0].is_closed)
    see("send", kept[0].send, "nobody hears it")
    see("close", kept[0].close)
    return HttpResponse("http")


@the_socket_outlives_its_view.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.close()
    see("later", there.get("later/?who=later: ").body)
