"""The clients, in a process of their own: `python -m soak.clients PORT --sockets N`.

Standard output gets a line of JSON each second. The end of standard input ends the soak: each client finishes
what it has begun, and what has been sent and does not come in ``--patience`` seconds is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import Any, Final

from .hostility import browse, drink, talk_nonsense
from .roles import World, echo, vanish
from .rooms import MEMBERS, Room, listen, speak, stall
from .sockets import PATIENCE_SECONDS
from .tally import Tally

SHARES: Final = {"room": 0.30, "vanish": 0.08, "crowd": 0.06, "garbage": 0.04, "flood": 0.01}
"""Of the sockets, by what they are there for; the rest of them echoes."""
LEAST: Final = {"room": 3, "vanish": 1, "crowd": 3, "garbage": 1, "flood": 1, "echo": 1}
STALLERS: Final = 3
"""Of so many in a crowd one stops reading."""


def cast(sockets: int) -> dict[str, int]:
    """How many play each part.

    Raises:
        ValueError: there are too few for all parts.
    """
    parts = {name: max(LEAST[name], round(share * sockets)) for name, share in SHARES.items()}
    parts["echo"] = sockets - sum(parts.values())
    if parts["echo"] < LEAST["echo"]:
        raise ValueError(f"a soak has {sum(LEAST.values())} sockets at least")
    return parts


def company(world: World, sockets: int) -> list[Coroutine[Any, Any, None]]:
    """Everybody, about to begin."""
    parts = cast(sockets)
    everybody = [echo(world, number) for number in range(parts["echo"])]
    everybody += [vanish(world, number) for number in range(parts["vanish"])]
    everybody += [talk_nonsense(world, number) for number in range(parts["garbage"])]
    everybody += [drink(world, number) for number in range(parts["flood"])]
    everybody += [browse(world, number) for number in range(max(2, sockets // 50))]
    rooms = [Room(number) for number in range(-(-parts["room"] // MEMBERS))]
    for number in range(parts["room"]):
        room = rooms[number % len(rooms)]
        everybody.append((speak if number < len(rooms) else listen)(world, room))
    # Enough for what the system keeps for one who does not read to be full in ten seconds or so.
    crowd = Room(len(rooms), length=32 << 10, pause=0.1)
    everybody += [speak(world, crowd), listen(world, crowd)]
    for number in range(parts["crowd"] - 2):
        everybody.append((listen if (number + 1) % STALLERS == 0 else stall)(world, crowd))
    return everybody


async def report(tally: Tally) -> None:
    """Prints the books each second."""
    while True:
        await asyncio.sleep(1)
        print(json.dumps(tally.take()), flush=True)


async def play(port: int, sockets: int, patience: float) -> None:
    """The whole soak."""
    world = World(port, Tally(), patience)
    input_ended = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(input_ended), sys.stdin
    )
    reporting = asyncio.create_task(report(world.tally))
    playing = [asyncio.create_task(part) for part in company(world, sockets)]
    await input_ended.read()
    world.over.set()
    await asyncio.gather(*playing)
    reporting.cancel()
    print(json.dumps(world.tally.take()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--patience", type=float, default=PATIENCE_SECONDS)
    options = parser.parse_args()
    asyncio.run(play(options.port, options.sockets, options.patience))
