"""Clients with manners, in a process of their own: each sends numbered messages and counts what comes back.

A message is sent when its time has come, whether the one before it was answered or not, and its round trip
counts from that time: a server that stands still for a second is a second late for every message of it.

Each line on standard input is a period that begins ("before", "attack", "after"). At its end the clients say
goodbye, and standard output gets a JSON object: the round trips of each period and of the whole run, and what
went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "python"))

from load import Client, percentile

PAUSE_SECONDS = 0.025
"""Between two messages of one client."""
PONG = b"\x8a\x80\x00\x00\x00\x00"


class Neighbours:
    """All of them.

    Attributes:
        patience: seconds that each waits for its last answers.
        period: the name of the one that goes on.
        round_trips: seconds, by period.
        late: by how many seconds this process was late to send; the machine's fault and not the server's.
        faults: what went wrong, in words.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.period = "start"
        self.round_trips: defaultdict[str, list[float]] = defaultdict(list)
        self.late: list[float] = []
        self.faults: list[str] = []
        self.over = asyncio.Event()

    async def live(self, name: int, client: Client) -> None:
        """The life of one: talks until it is over, waits for its last answer, says goodbye."""
        due: list[float] = []
        listening = asyncio.create_task(self.listen(name, client, due))
        start = time.perf_counter() + name * PAUSE_SECONDS / 50
        while not self.over.is_set() and not listening.done():
            next_due = start + len(due) * PAUSE_SECONDS
            await asyncio.sleep(max(0.0, next_due - time.perf_counter()))
            self.late.append(time.perf_counter() - next_due)
            client.send(b"%d/%d" % (name, len(due)))
            due.append(next_due)
        deadline = time.perf_counter() + self.patience
        while not listening.done() and len(due) > self.answered[name] and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        if listening.done():
            client.abort()
            return
        listening.cancel()
        await asyncio.wait([listening])
        if lost := len(due) - self.answered[name]:
            self.faults.append(f"client {name} lost {lost} of {len(due)} messages")
        elif (goodbye := await client.close()) != (8, b"\x03\xe8"):
            self.faults.append(f"client {name} got {goodbye} for its Close")
        client.abort()

    async def listen(self, name: int, client: Client, due: list[float]) -> None:
        """Takes the answers, of which each has to be the next."""
        try:
            while True:
                opcode, payload = await client.receive()
                now = time.perf_counter()
                if opcode == 9:
                    client.writer.write(PONG)
                    continue
                expected = self.answered[name]
                if (opcode, payload) != (1, b"You said: %d/%d" % (name, expected)):
                    self.faults.append(f"client {name} got {(opcode, payload[:40])} in place of {expected}")
                    return
                self.round_trips[self.period].append(now - due[expected])
                self.answered[name] += 1
        except (ConnectionError, EOFError) as error:
            self.faults.append(f"client {name} was cut off: {error!r}")

    async def run(self, port: int, path: str, count: int) -> None:
        """Opens them, lets them live, prints the report."""
        self.answered = [0] * count
        clients = [await Client.open("127.0.0.1", port, path) for _ in range(count)]
        print("ready", flush=True)
        living = [asyncio.create_task(self.live(name, client)) for name, client in enumerate(clients)]
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
        )
        while line := await commands.readline():
            self.period = line.decode().strip()
        self.over.set()
        await asyncio.gather(*living)
        json.dump(self.report(), sys.stdout)

    def report(self) -> dict[str, object]:
        """What goes to standard output."""
        whole = [seconds for period in self.round_trips.values() for seconds in period]
        periods = {**self.round_trips, "whole": whole}
        return {
            "periods": {name: summary(seconds) for name, seconds in periods.items() if seconds},
            "late": summary(self.late),
            "faults": self.faults,
        }


def summary(seconds: list[float]) -> dict[str, float]:
    """How many, and what they are like, in milliseconds."""
    found = {f"p{percent:g}": 1000 * percentile(seconds, percent) for percent in (50, 99, 99.9, 100)}
    return {"count": len(seconds), **found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/chat/oneself/")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait for the last answers")
    options = parser.parse_args()
    asyncio.run(Neighbours(options.patience).run(options.port, options.path, options.clients))
