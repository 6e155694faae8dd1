"""Reloads under load: nobody who was answered is answered again, and no request fails.

``ROLLING_CLIENTS`` sets how many clients there are; 500 is a load for a machine that has nothing else to do.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import select
import signal
import threading
from collections import Counter

import pytest
from gunicorns import Gunicorn, Start
from projects import Project
from sockets import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

CLIENTS = int(os.environ.get("ROLLING_CLIENTS", "60"))
REQUESTERS = 4
RELOADS = 3


class Load:
    """Clients that echo and come back, and others that ask for pages."""

    def __init__(self, running: Gunicorn) -> None:
        self.running = running
        self.over = threading.Event()
        self.answers: Counter[str] = Counter()
        self.wrong: list[object] = []
        self.closes: Counter[int | None] = Counter()
        self.open = 0
        self.requests = 0
        self.failures: list[object] = []
        self._threads = [threading.Thread(target=self._run_sockets)]
        self._threads += [
            threading.Thread(target=self._request, args=(bool(number % 2),)) for number in range(REQUESTERS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def wait_for_answers(self, count: int) -> None:
        """Waits until everybody is back and so many messages have been answered."""
        until(lambda: self.open == CLIENTS and len(self.answers) >= count)

    def _run_sockets(self) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(self._echo(number) for number in range(CLIENTS)))

        asyncio.run(all_of_them())

    async def _echo(self, number: int) -> None:
        """One client: it sends message after message, each one once, and comes back when it is sent away."""
        message = 0
        url = f"ws://{self.running.host}:{self.running.port}/echo/"
        while not self.over.is_set():
            async with connect(url, compression=None, ping_interval=None, open_timeout=60) as client:
                self.open += 1
                try:
                    await client.recv()
                    while not self.over.is_set():
                        message += 1
                        await client.send(f"{number}-{message}")
                        answer = await client.recv()
                        self.answers[str(answer)] += 1
                        if answer != f"{number}-{message}":
                            self.wrong.append((number, message, answer))
                        await asyncio.sleep(0.05)
                except ConnectionClosed as closed:
                    self.closes[closed.rcvd and closed.rcvd.code] += 1
                finally:
                    self.open -= 1

    def _request(self, keeps_alive: bool) -> None:
        client = http.client.HTTPConnection(self.running.host, self.running.port, timeout=60)
        try:
            while not self.over.wait(0.01):
                # As every pool of connections does: one that the server has closed is not used.
                if client.sock is not None and (
                    not keeps_alive or select.select([client.sock], [], [], 0)[0]
                ):
                    client.close()
                client.request("GET", "/echo/")
                response = client.getresponse()
                if (response.status, response.read()) != (200, b"http"):
                    self.failures.append(response.status)
                self.requests += 1
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            client.close()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(500)
def test_rolling_reloads_lose_no_answer_and_no_request(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_DRAIN_SECONDS = 1")
    running = gunicorn("--graceful-timeout", "60", workers=2)
    with Load(running) as load:
        for _ in range(RELOADS):
            until(lambda: load.open == CLIENTS)
            old = running.booted()[-2:]
            answered = len(load.answers)
            running.signal(signal.SIGHUP)
            for worker in old:
                running.wait_for_end_of(worker)
            load.wait_for_answers(answered + CLIENTS)
    lines = running.stop()
    print(f"{len(load.answers)} answers, {dict(load.closes)} closes, {load.requests} requests")
    assert (load.wrong, load.failures) == ([], [])
    assert set(load.answers.values()) == {1}
    # Each client was sent away at each reload, and told to come back.
    assert set(load.closes) == {1012}
    assert load.closes[1012] >= CLIENTS * RELOADS
    assert load.requests > 0
    assert not [line for line in lines if "cuts off" in line or "Traceback" in line]
