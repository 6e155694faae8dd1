"""Views that look at the end of their socket, and some that make it."""

from __future__ import annotations

import time

from django.http import HttpResponse
from dwebsocket import accept_websocket

from views import at, outcome, readable, report, until


@at("at-the-end")
@accept_websocket
def at_the_end(request):
    websocket, call = request.websocket, request.GET["call"]
    if call not in ("wait", "list"):
        readable(websocket)
    look = (lambda: list(websocket)) if call == "list" else getattr(websocket, call)
    first, second = outcome(look), outcome(look)
    report(request, first, second, outcome(websocket.read), outcome(look))


@at("what-came-before")
@accept_websocket
def what_came_before(request):
    websocket = request.websocket
    until(websocket.protocol.is_closed)
    counted = websocket.count_messages()
    taken = [outcome(websocket.wait), outcome(websocket.read)]
    report(request, counted, *taken, websocket.count_messages(), outcome(websocket.wait))


@at("push-until-closed")
@accept_websocket
def push_until_closed(request):
    while not request.websocket.closed:
        request.websocket.send("tick")
        time.sleep(0.01)
    report(request, "ended")


@at("returns")
@accept_websocket
def returns(request):
    request.websocket.send("last words")
    return HttpResponse("nobody sees this")


@at("raises")
@accept_websocket
def raises(request):
    request.websocket.send("last words")
    raise LookupError("in the socket's view")


@at("waits")
@accept_websocket
def waits(request):
    request.websocket.send("waits")
    report(request, outcome(request.websocket.wait), request.websocket.close_code)
