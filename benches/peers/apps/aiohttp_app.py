"""`aiohttp_app.py PORT`: aiohttp on uvloop."""

import sys

import uvloop
from aiohttp import WSMsgType, web

sockets = set()


async def hello(_request):
    """The page of the HTTP case."""
    return web.Response(text="hello")


async def echo(request):
    """Sends back what comes."""
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for message in websocket:
        if message.type == WSMsgType.TEXT:
            await websocket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
    return websocket


async def broadcast(request):
    """Sends what comes to all."""
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    sockets.add(websocket)
    await websocket.send_str("joined")
    try:
        async for message in websocket:
            for other in list(sockets):
                await other.send_str(message.data)
    finally:
        sockets.discard(websocket)
    return websocket


app = web.Application()
app.add_routes([web.get("/hello", hello), web.get("/echo", echo), web.get("/broadcast", broadcast)])
web.run_app(
    app,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    print=None,
    access_log=None,
    backlog=4096,
    loop=uvloop.new_event_loop(),
)
