"""What a client that reads nothing does to others and to memory: `.venv/bin/python benches/slow_client.py`.

Fifty clients send a message every 20 ms each, and each waits for the echo. In every second turn one more
client reads nothing while it is sent 250 MiB: by its own view as fast as that can, or by a broadcast that
takes the whole turn, since one at full speed takes a core whoever reads it. The server runs on one core and
the load on the other; turns with and without the slow client alternate, so that what else the machine does
meets both. Memory is the peak of resident memory in a turn over what it was at the turn's begin. Beside
ours: Daphne with Channels, in an environment of its own under `target/`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))

from load import Client, percentile
from projects import Project, Running

PEER = Path(__file__).parents[1] / "target" / "slow-client"
CLIENTS = 50
PAUSE_SECONDS = 0.02
TURN_SECONDS = 3.0
PIECE = 64 << 10
TOTAL = 250 << 20
ROUNDS = int(os.environ.get("SLOW_CLIENT_ROUNDS", "10"))

VIEWS = f"""
import time
from django.http import HttpResponse
from dwebsocket import accept_websocket

victims = []

def flood(websocket, seconds=0):
    begin = time.monotonic()
    for number in range({TOTAL // PIECE}):
        websocket.send(bytes({PIECE}), binary=True)
        # A sleep of less would be a longer one.
        if seconds and number % 16 == 0:
            time.sleep(max(0, begin + number * seconds / {TOTAL // PIECE} - time.monotonic()))

@accept_websocket
def echo(request):
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)

@accept_websocket
def victim(request):
    victims[:] = [request.websocket]
    request.websocket.send("here")
    if "flood" in request.GET:
        flood(request.websocket)
    for _ in request.websocket:
        pass

def broadcast(request):
    flood(victims[0], {TURN_SECONDS})
    return HttpResponse()
"""

CONSUMERS = f"""
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

django_application = get_asgi_application()

class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data, bytes_data=bytes_data)

class Victim(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        for _ in range({TOTAL // PIECE}):
            await self.send(bytes_data=bytes({PIECE}))

routes = [path("echo/", Echo.as_asgi()), path("victim/", Victim.as_asgi())]
application = ProtocolTypeRouter({{"http": django_application, "websocket": URLRouter(routes)}})
"""


class Turn(NamedTuple):
    """What one turn saw: round trips in seconds, and the growth of memory in bytes."""

    p50: float
    p99: float
    growth: int


class Server:
    """A server on a core of its own."""

    def __init__(self, running: Running, core: int, victim: str, provoke: str = "") -> None:
        self.address = running.host, running.port
        self._victim = victim
        self._provoke = f"{running.url}{provoke}" if provoke else ""
        self._folder = Path("/proc") / str(running.process.pid)
        for task in (self._folder / "task").iterdir():
            os.sched_setaffinity(int(task.name), {core})

    def turn(self, slow: bool) -> Turn:
        """The load for some seconds, with a slow client or without."""
        return asyncio.run(self._turn(slow))

    async def _turn(self, slow: bool) -> Turn:
        clients = [await Client.open(*self.address, "/echo/") for _ in range(CLIENTS)]
        # Makes the peak what it is now (proc(5)).
        (self._folder / "clear_refs").write_text("5")
        before = self._peak()
        seconds: list[float] = []
        end = time.perf_counter() + TURN_SECONDS
        talks = [
            asyncio.create_task(talk(client, end, number / CLIENTS * PAUSE_SECONDS, seconds))
            for number, client in enumerate(clients)
        ]
        victim = await Client.open(*self.address, self._victim) if slow else None
        if victim is not None:
            if self._provoke:
                # Its view is there.
                await victim.receive()
            # Its stream is read ahead by asyncio otherwise.
            victim.writer.transport.pause_reading()  # type: ignore[attr-defined]
            if self._provoke:
                await asyncio.to_thread(fetch, self._provoke)
        await asyncio.gather(*talks)
        growth = self._peak() - before
        if victim is not None:
            victim.writer.transport.abort()
        for client in clients:
            await client.close()
        return Turn(percentile(seconds, 50), percentile(seconds, 99), growth)

    def _peak(self) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def fetch(url: str) -> None:
    """A GET."""
    with urllib.request.urlopen(url, timeout=300) as response:  # noqa: S310 -- our own server's
        response.read()


async def talk(client: Client, end: float, offset: float, seconds: list[float]) -> None:
    """Sends until the end, one message every pause, and notes how long each echo took."""
    due = time.perf_counter() + offset
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        begin = time.perf_counter()
        client.send(b"x" * 100)
        await client.receive()
        seconds.append(time.perf_counter() - begin)
        # A late echo is not followed by a burst.
        due = max(due + PAUSE_SECONDS, time.perf_counter())


def ours(folder: Path, stack: ExitStack, policy: str) -> Running:
    """The project under our runserver."""
    project = Project(folder)
    stack.callback(project.close)
    project.write("views.py", VIEWS)
    project.urls(*(f'path("{name}/", views.{name})' for name in ("echo", "victim", "broadcast")))
    project.settings(f"WEBSOCKET_SLOW_CLIENT = {policy!r}")
    return project.run()


def daphne(folder: Path, stack: ExitStack) -> Running:
    """The same under Daphne with Channels, which are installed at the first time."""
    python = str(PEER / "bin" / "python")
    if not (PEER / ".ready").exists():
        packages = ("daphne==4.2.*", "channels==4.*", "Django==5.2.*")
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        for command in ((sys.executable, "-m", "venv", str(PEER)), (python, *install)):
            subprocess.run(command, check=True)  # noqa: S603 -- made of constants
        (PEER / ".ready").touch()
    project = Project(folder)
    stack.callback(project.close)
    project.settings('INSTALLED_APPS.remove("dwebsocket")\nALLOWED_HOSTS = ["*"]')
    project.write("consumers.py", CONSUMERS)
    command = (python, "-m", "daphne", "-b", "127.0.0.1", "-p", "0", "consumers:application")
    return project.serve(*command, address=r"Listening on TCP address 127\.0\.0\.1:(\d+)")


def main() -> None:
    """Prints the table."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("needs two cores: one for the server, one for the load")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        drops = ours(folder / "drop", stack, "drop_oldest")
        servers = {
            "ours, a view": Server(ours(folder / "view", stack, "close"), cores[0], "/victim/?flood"),
            "ours, a broadcast, close": Server(
                ours(folder / "close", stack, "close"), cores[0], "/victim/", "broadcast/"
            ),
            "ours, a broadcast, drop_oldest": Server(drops, cores[0], "/victim/", "broadcast/"),
        }
        try:
            servers["Daphne, a consumer"] = Server(daphne(folder / "daphne", stack), cores[0], "/victim/")
        except subprocess.CalledProcessError as error:
            print(f"without Daphne, which cannot be installed here: {error}")
        os.sched_setaffinity(0, {cores[1]})
        for server in servers.values():
            server.turn(slow=False)
        turns: dict[tuple[str, bool], list[Turn]] = {}
        print(f"load average at the begin {os.getloadavg()[0]:.2f}")
        for round_ in range(ROUNDS):
            for label, server in servers.items():
                # What a turn owes to the one before it meets both kinds as well.
                for slow in (False, True) if round_ % 2 == 0 else (True, False):
                    turns.setdefault((label, slow), []).append(server.turn(slow))
        print(f"load average at the end {os.getloadavg()[0]:.2f}; medians of {ROUNDS} rounds")
    report(turns)


def report(turns: dict[tuple[str, bool], list[Turn]]) -> None:
    """Prints a line for each server. The ratio is the median of those of two turns that follow each other."""
    print(f"{'':<32}{'p50 without / with':>24}{'p99 without / with':>24}{'ratio of p99':>14}{'memory':>12}")
    for label in dict.fromkeys(label for label, _ in turns):
        without, slow = turns[label, False], turns[label, True]
        p50 = [1000 * median(turn.p50 for turn in these) for these in (without, slow)]
        p99 = [1000 * median(turn.p99 for turn in these) for these in (without, slow)]
        ratio = median(other.p99 / one.p99 for one, other in zip(without, slow, strict=True))
        growth = max(turn.growth for turn in slow) / 2**20
        print(
            f"{label:<32}{p50[0]:>12.2f} / {p50[1]:>6.2f} ms{p99[0]:>12.2f} / {p99[1]:>6.2f} ms"
            f"{ratio:>14.2f}{growth:>+8.1f} MiB"
        )


if __name__ == "__main__":
    main()
