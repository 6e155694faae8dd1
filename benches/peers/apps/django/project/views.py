"""Ordinary synchronous views, the same for dwebsocket 0.5.12 and for ours."""

from dwebsocket import accept_websocket

sockets = {}


@accept_websocket
def echo(request):
    """Sends back what comes."""
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


@accept_websocket
def binary(request):
    """Sends back what comes, as binary; dwebsocket 0.5.12 sends text alone."""
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=True)


@accept_websocket
def broadcast(request):
    """Sends what comes to all, in a loop over a global dict."""
    websocket = request.websocket
    sockets[id(websocket)] = websocket
    websocket.send("joined")
    try:
        for message in websocket:
            if message is None:
                break
            for other in list(sockets.values()):
                other.send(message)
    finally:
        del sockets[id(websocket)]


@accept_websocket
def polling(request):
    """Sends back what comes, and asks for it without a pause."""
    while not request.websocket.is_closed():
        message = request.websocket.read()
        if message is not None:
            request.websocket.send(message)
