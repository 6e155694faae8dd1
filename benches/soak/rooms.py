"""Clients in rooms: one speaks, everybody hears everything in its order, some stop reading."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from .roles import PAUSE_SECONDS, SLOW_CODES, World, again_and_again
from .sockets import CLOSE_1000, Closed, Socket

MEMBERS: Final = 25
"""Of a room."""
STALL_SECONDS: Final = (2.0, 30.0)
"""How long one does not read: some come back in time, others are closed meanwhile."""


@dataclass
class Room:
    """A room, as its clients know it.

    Attributes:
        number: in its path.
        length: bytes of a message.
        pause: seconds between two.
        said: how many have been sent to it.
    """

    number: int
    length: int = 40
    pause: float = PAUSE_SECONDS
    said: int = 0

    @property
    def path(self) -> str:
        """Of its view."""
        return f"/room/{self.number}/"

    def message(self, number: int) -> bytes:
        """The message with a number."""
        return (b"%d/%d " % (self.number, number)).ljust(self.length, b".")


class Seat:
    """One member's ears.

    Attributes:
        heard: the number of the next message; None before the first.
    """

    def __init__(self, world: World, room: Room, socket: Socket) -> None:
        self._world = world
        self._room = room
        self._socket = socket
        self._since: int | None = None
        self._goal: int | None = None
        self.heard: int | None = None

    def leave(self) -> None:
        """From now on only what has been said so far can be missing."""
        self._goal = self._room.said

    async def arrive(self) -> None:
        """Waits until the view has let it in.

        Raises:
            ConnectionError: a message came that was not next, or the connection has ended.
            Closed: the server has closed the socket.
        """
        while self._since is None:
            await self._take()

    async def listen(self) -> None:
        """Hears messages until the server closes the socket. Raises as ``arrive``."""
        while True:
            await self._take()

    async def catch_up(self) -> None:
        """Hears messages until none is missing. Raises as ``arrive``."""
        while self.missing > 0:
            await self._take()

    @property
    def missing(self) -> int:
        """How many messages it should have heard and has not."""
        if self._since is None:
            return 0
        goal = self._room.said if self._goal is None else self._goal
        return goal - (self._since if self.heard is None else self.heard)

    async def _take(self) -> None:
        message = await self._socket.message()
        if message == b"joined":
            # What was said before may have come or not; what is said from now on has to come.
            self._since = self._room.said
            return
        number = int(message.partition(b" ")[0].partition(b"/")[2])
        latest = self._room.said if self._since is None else self._since
        is_next = number <= latest if self.heard is None else number == self.heard
        if not is_next or message != self._room.message(number):
            raise ConnectionError(f"{message[:40]!r} came in place of {self.heard or latest}")
        self.heard = number + 1
        self._world.tally.counts["deliveries"] += 1


async def speak(world: World, room: Room) -> None:
    """Speaks in a room, and hears itself."""

    async def once() -> None:
        async with world.opened(room.path) as socket:
            await _stay(world, room, socket, speaks=True)

    await again_and_again(world, f"speaker of room {room.number}", once)


async def listen(world: World, room: Room) -> None:
    """Comes into a room, hears everything, leaves, and comes back."""

    async def once() -> None:
        async with world.opened(room.path) as socket:
            await _stay(world, room, socket, speaks=False)

    await again_and_again(world, f"member of room {room.number}", once)


async def _stay(world: World, room: Room, socket: Socket, speaks: bool) -> None:
    seat = Seat(world, room, socket)
    await seat.arrive()
    hearing = asyncio.create_task(seat.listen())
    leaves = world.life()
    try:
        while time.monotonic() < leaves and not hearing.done():
            goes_on = await world.rest(room.pause)
            if speaks:
                socket.send(room.message(room.said))
                room.said += 1
            if not goes_on:
                break
        seat.leave()
        deadline = time.monotonic() + world.patience
        while seat.missing > 0 and not hearing.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        if seat.missing > 0:
            world.tally.lose(seat.missing, f"room {room.number}: {seat.missing} messages are lost")
        # What is said meanwhile comes before the server's Close.
        socket.write(CLOSE_1000)
        await asyncio.wait_for(hearing, world.patience)
    except Closed as closed:
        if closed.code != 1000:
            raise
        world.tally.counts["closed"] += 1
    finally:
        hearing.cancel()


async def stall(world: World, room: Room) -> None:
    """Comes into a room and stops reading, until it is closed as slow or reads on."""

    async def once() -> None:
        async with world.opened(room.path) as socket:
            seat = Seat(world, room, socket)
            await seat.arrive()
            socket.stall(True)
            await world.rest(world.random.uniform(*STALL_SECONDS))
            socket.stall(False)
            seat.leave()
            try:
                await asyncio.wait_for(seat.catch_up(), world.patience)
            except Closed as closed:
                if closed.code not in SLOW_CODES:
                    raise
                world.tally.counts["slow, closed"] += 1
            except ConnectionError as error:
                # A message out of its order is a fault; an end without a Close is that of a slow client.
                if "in place of" in str(error):
                    raise
                world.tally.counts["slow, closed"] += 1
            else:
                world.tally.counts["slow, read on"] += 1

    await again_and_again(world, f"staller in room {room.number}", once)
