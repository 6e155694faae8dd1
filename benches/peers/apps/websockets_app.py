"""`websockets_app.py PORT [uvloop]`: websockets on asyncio."""

import asyncio
import sys

from websockets.asyncio.server import broadcast, serve

sockets = set()


async def handler(websocket):
    """Serves one client."""
    if websocket.request.path != "/broadcast":
        async for message in websocket:
            await websocket.send(message)
        return
    sockets.add(websocket)
    await websocket.send("joined")
    try:
        async for message in websocket:
            broadcast(sockets, message)
    finally:
        sockets.discard(websocket)


async def main():
    """Serves for ever."""
    async with serve(handler, "127.0.0.1", int(sys.argv[1]), backlog=4096) as server:
        await server.serve_forever()


if "uvloop" in sys.argv[2:]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
