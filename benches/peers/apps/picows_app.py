"""`picows_app.py PORT`: picows on uvloop."""

import sys

import uvloop
from picows import WSListener, WSMsgType, ws_create_server

transports = set()


class Echo(WSListener):
    """Sends back what comes."""

    def on_ws_frame(self, transport, frame):
        """A frame has come."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


class Broadcast(WSListener):
    """Sends what comes to all."""

    def on_ws_connected(self, transport):
        """A client has come."""
        transports.add(transport)
        transport.send(WSMsgType.TEXT, b"joined")

    def on_ws_frame(self, transport, frame):
        """A frame has come."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        message = frame.get_payload_as_bytes()
        for other in transports:
            other.send(frame.msg_type, message)

    def on_ws_disconnected(self, transport):
        """A client has gone."""
        transports.discard(transport)


def listener(request):
    """Who serves a client."""
    return Broadcast() if request.path == b"/broadcast" else Echo()


async def main():
    """Serves for ever."""
    server = await ws_create_server(listener, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


uvloop.run(main())
