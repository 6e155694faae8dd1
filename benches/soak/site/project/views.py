"""Ordinary synchronous views."""

from django.http import HttpResponse
from dwebsocket import require_websocket

rooms = {}


def hello(request):
    """Answers with what the query says, so that an answer to another request is seen."""
    return HttpResponse(f"hello {request.GET.get('number')}")


@require_websocket
def echo(request):
    """Sends back what comes."""
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


@require_websocket
def length(request):
    """Answers with lengths: what comes may be anything, and only text can be sent back as text."""
    for message in request.websocket:
        if message is not None:
            request.websocket.send(len(message))


@require_websocket
def room(request, number):
    """Sends what comes to all in the room, in a loop over a dict."""
    websocket = request.websocket
    members = rooms.setdefault(number, {})
    members[id(websocket)] = websocket
    websocket.send("joined")
    try:
        for message in websocket:
            if message is not None:
                for member in list(members.values()):
                    member.send(message)
    finally:
        del members[id(websocket)]


@require_websocket
def flood(request):
    """Sends as many numbered pieces as it is asked for."""
    for message in request.websocket:
        if message is not None:
            for piece in range(int(message)):
                request.websocket.send(b"%d " % piece + bytes(32 << 10), binary=True)
