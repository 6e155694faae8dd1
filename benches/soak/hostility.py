"""Clients that send what is no HTTP, no handshake or no frame, and one that fills its own socket."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Final

from wire import ASKING, CLOSE, KEY_FIELD, LOCAL, PING, TEXT, UPGRADE, frame

from .roles import SLOW_CODES, World, again_and_again
from .sockets import FIN, HOST, Closed

Garbage = Callable[[random.Random], bytes]

SEND_TIMEOUT_SECONDS: Final = 6.0
"""WEBSOCKET_SEND_TIMEOUT_SECONDS of the site."""

FRAMES: Final[tuple[tuple[bytes, int], ...]] = (
    (b"\x81\x05hello", 1002),
    (frame(FIN | 0x40 | TEXT, b"reserved bit"), 1002),
    (frame(FIN | 0x3, b"reserved opcode"), 1002),
    (frame(FIN | 0x0, b"the rest of nothing"), 1002),
    (frame(PING, b"a part of a Ping"), 1002),
    (frame(FIN | PING, bytes(126)), 1002),
    (frame(FIN | CLOSE, b"\x03"), 1002),
    (frame(FIN | CLOSE, b"\x03\xed"), 1002),
    (frame(TEXT, b"a part") + frame(FIN | TEXT, b"another message"), 1002),
    (frame(FIN | TEXT, b"no UTF-8: \xff"), 1007),
    (b"\x82\xff" + b"\x7f" + bytes(7) + bytes(4), 1009),
)
"""What no client may send once its socket is open, and the server's Close to it."""

REQUESTS: Final[tuple[tuple[bytes, int], ...]] = (
    (b"GET /echo/ HTTP/1.1\r\n" + ASKING + KEY_FIELD + b"Sec-WebSocket-Version: 12\r\n\r\n", 426),
    (b"GET /echo/ HTTP/1.1\r\n" + ASKING + b"Sec-WebSocket-Version: 13\r\n\r\n", 400),
    (b"POST /echo/ HTTP/1.1\r\nContent-Length: 0\r\n" + UPGRADE + b"\r\n", 405),
    (b"GET /echo/ HTTP/1.1\r\n" + LOCAL + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (b"GET /echo/ HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + LOCAL + b"\r\n", 414),
    (b"nonsense\r\n\r\n", 400),
)
"""What no client may ask for, and the server's status."""


async def talk_nonsense(world: World, client: int) -> None:
    """Sends bad frames, bad requests and random bytes."""

    async def once() -> None:
        kind = world.random.randrange(3)
        if kind == 0:
            await bad_frame(world, *world.random.choice(FRAMES))
        elif kind == 1:
            await bad_request(world, *world.random.choice(REQUESTS))
        else:
            await noise(world)
        world.tally.counts["garbage"] += 1
        await world.pause()

    await again_and_again(world, f"garbage {client}", once)


async def bad_frame(world: World, data: bytes, code: int) -> None:
    """Sends what is no frame, for which the socket has to be closed with a code."""
    async with world.opened("/echo/") as socket:
        socket.write(data)
        try:
            message = await socket.message()
        except Closed as closed:
            if closed.code == code:
                return
            message = b"Close %d" % closed.code
    raise ConnectionError(f"{data[:20]!r} was answered with {message[:40]!r} in place of {code}")


async def bad_request(world: World, data: bytes, status: int) -> None:
    """Sends what is no request, which has to be refused with a status."""
    reader, writer = await asyncio.open_connection(HOST, world.port)
    try:
        writer.write(data)
        line = await asyncio.wait_for(reader.readline(), world.patience)
    finally:
        writer.transport.abort()
    if not line.startswith(b"HTTP/1.1 %d " % status):
        raise ConnectionError(f"{data[:40]!r} was answered with {line!r} in place of {status}")


async def noise(world: World) -> None:
    """Sends random bytes, to a socket or in place of a request. Any end will do, but there has to be one."""
    data = world.random.randbytes(world.random.randrange(1, 2000))
    if world.random.random() < 0.5:
        reader, writer = await asyncio.open_connection(HOST, world.port)
        try:
            writer.write(data + b"\r\n\r\n")
            # The server may reset, as it leaves a part of this unread.
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), world.patience)
        finally:
            writer.transport.abort()
        return
    async with world.opened("/length/") as socket:
        # A frame may have begun that never ends; then this client goes away in the middle of it.
        socket.write(data)
        await world.pause()
        socket.reset()


async def drink(world: World, client: int) -> None:
    """Asks its view for more than the socket holds, and reads it late: too late now and then.

    Who has taken longer than the server waits may be closed, be it that this machine was too busy to read.
    """
    pieces = 200

    async def once() -> None:
        async with world.opened("/flood/") as socket:
            began = time.monotonic()
            socket.stall(True)
            socket.send(b"%d" % pieces)
            await world.rest(world.random.choice((1.0, 3.0, 9.0)))
            socket.stall(False)
            number = 0
            try:
                while number < pieces:
                    message = await socket.message()
                    if not message.startswith(b"%d " % number):
                        raise ConnectionError(f"{message[:10]!r} came in place of piece {number}")
                    number += 1
                await socket.close()
            except (Closed, ConnectionError) as error:
                code = error.code if isinstance(error, Closed) else 1006
                in_time = time.monotonic() - began < SEND_TIMEOUT_SECONDS
                if in_time or code not in SLOW_CODES or "in place of" in str(error):
                    world.tally.lose(pieces - number, f"flood {client}: {error}")
                world.tally.counts["slow, closed"] += 1
            else:
                world.tally.counts["slow, read on"] += 1

    await again_and_again(world, f"flood {client}", once)


async def browse(world: World, client: int) -> None:
    """Plain HTTP beside, on a connection that is kept alive for a while."""

    async def once() -> None:
        reader, writer = await asyncio.open_connection(HOST, world.port)
        try:
            for number in range(world.random.randrange(1, 100)):
                target = b"/hello/?number=%d-%d" % (client, number)
                writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), world.patience)
                body = b"hello %d-%d" % (client, number)
                found = await asyncio.wait_for(reader.readexactly(len(body)), world.patience)
                if not head.startswith(b"HTTP/1.1 200 ") or found != body:
                    raise ConnectionError(f"{target!r} was answered with {head!r} {found!r}")
                world.tally.counts["requests"] += 1
                if not await world.rest(0.1):
                    break
        finally:
            writer.transport.abort()

    await again_and_again(world, f"http {client}", once)
