"""`websockets_sync_app.py PORT`: websockets with a thread for each client."""

import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

sockets = set()


def handler(websocket):
    """Serves one client."""
    if websocket.request.path != "/broadcast":
        for message in websocket:
            websocket.send(message)
        return
    sockets.add(websocket)
    websocket.send("joined")
    try:
        for message in websocket:
            for other in list(sockets):
                try:
                    other.send(message)
                except ConnectionClosed:
                    sockets.discard(other)
    finally:
        sockets.discard(websocket)


with serve(handler, "127.0.0.1", int(sys.argv[1])) as server:
    server.serve_forever()
