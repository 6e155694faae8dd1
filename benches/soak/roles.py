"""What clients do, each role for as long as the soak lasts. Every answer is checked."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from .sockets import PATIENCE_SECONDS, Closed, Socket, opened
from .tally import Tally

PAUSE_SECONDS: Final = 0.5
"""Between two messages of a client, or of a room."""
LIFE_SECONDS: Final = (5.0, 60.0)
"""How long a client stays before it closes its socket and comes back."""
SLOW_CODES: Final = (1013, 1006)
"""How a client ends that does not read: as slow, or lost for it answers no Ping."""


@dataclass
class World:
    """What all roles know.

    Attributes:
        port: where the server listens.
        tally: the books.
        patience: seconds until what does not come counts as lost.
        over: the soak ends.
        random: decides who does what when.
    """

    port: int
    tally: Tally
    patience: float = PATIENCE_SECONDS
    over: asyncio.Event = field(default_factory=asyncio.Event)
    random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret

    def opened(self, path: str) -> AbstractAsyncContextManager[Socket]:
        """An open WebSocket; see ``sockets.opened``."""
        return opened(self.tally, self.port, path, self.patience)

    async def rest(self, seconds: float) -> bool:
        """Waits so long, or to the end of the soak; whether it goes on."""
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def pause(self) -> bool:
        """A rest that is different each time, so that nobody marches in step."""
        return await self.rest(PAUSE_SECONDS * self.random.uniform(0.5, 1.5))

    def life(self) -> float:
        """When a client that comes now leaves, on the clock of ``time.monotonic``."""
        return time.monotonic() + self.random.uniform(*LIFE_SECONDS)


Role = Callable[[World, int], Awaitable[None]]


async def again_and_again(world: World, name: str, once: Callable[[], Awaitable[None]]) -> None:
    """Does something until the soak is over. What goes wrong is a fault, and does not end it."""
    while not world.over.is_set():
        try:
            await once()
        except (OSError, EOFError, Closed) as error:
            world.tally.fault(f"{name}: {type(error).__name__} {error}")
            await world.pause()


# -- echo ---------------------------------------------------------------------------------------------
def numbered(client: int, number: int) -> bytes:
    """A message that no other is like; most are short, some long."""
    length = 16 << 10 if number % 50 == 49 else 1 << 10 if number % 10 == 9 else 40
    return (b"%d/%d " % (client, number)).ljust(length, b".")


class Talk:
    """One socket that sends numbered messages, and takes their echoes.

    Attributes:
        sent: when each was.
        answered: how many echoes have come.
    """

    def __init__(self, world: World, client: int, socket: Socket) -> None:
        self._world = world
        self._client = client
        self._socket = socket
        self._last: int | None = None
        self.sent: list[float] = []
        self.answered = 0

    def say(self) -> None:
        """Sends the next message."""
        self._socket.send(numbered(self._client, len(self.sent)))
        self.sent.append(time.perf_counter())

    def say_last(self) -> None:
        """Sends the last message, with whose echo ``listen`` ends."""
        self.say()
        self._last = len(self.sent)

    async def listen(self) -> None:
        """Takes echoes, each of which has to be the next.

        Raises:
            ConnectionError: another message came in its place, or the connection has ended.
        """
        while self.answered != self._last:
            echo = await self._socket.message()
            expected = numbered(self._client, self.answered)
            if echo != expected:
                raise ConnectionError(f"{echo[:40]!r} came in place of {expected[:40]!r}")
            self._world.tally.echoed(time.perf_counter() - self.sent[self.answered])
            self.answered += 1


async def echo(world: World, client: int) -> None:
    """Sends a message now and then, whether the one before was answered or not."""

    async def once() -> None:
        async with world.opened("/echo/") as socket:
            talk = Talk(world, client, socket)
            listening = asyncio.create_task(talk.listen())
            leaves = world.life()
            try:
                while time.monotonic() < leaves and not listening.done():
                    due = time.perf_counter() + PAUSE_SECONDS
                    if not await world.rest(PAUSE_SECONDS):
                        break
                    world.tally.late(time.perf_counter() - due)
                    talk.say()
                talk.say_last()
                await asyncio.wait_for(listening, world.patience)
            finally:
                listening.cancel()
                if missing := len(talk.sent) - talk.answered:
                    world.tally.lose(
                        missing, f"echo {client}: {missing} of {len(talk.sent)} messages are lost"
                    )
            await socket.close()
            world.tally.counts["closed"] += 1

    await world.rest(world.random.uniform(0, PAUSE_SECONDS))
    await again_and_again(world, f"echo {client}", once)


# -- those who go away, and those who talk nonsense ---------------------------------------------------
async def vanish(world: World, client: int) -> None:
    """Opens a socket, says something, and is gone: by RST or FIN, within a frame or behind one."""

    async def once() -> None:
        async with world.opened("/echo/") as socket:
            talk = Talk(world, client, socket)
            talk.say_last()
            await talk.listen()
            for _ in range(world.random.randrange(4)):
                talk.say()
            if world.random.random() < 0.5:
                socket.write(b"\x81\xfe\x10\x00half a frame")
            await world.pause()
            if world.random.random() < 0.5:
                socket.reset()
            world.tally.counts["vanished"] += 1

    await again_and_again(world, f"vanish {client}", once)
