"""Loops over many sockets where all threads take turns on one processor."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from projects import Project, Running
from websockets.sync.client import ClientConnection

CLIENTS = 12
MESSAGES = 60
VIEWS = """
from dwebsocket import accept_websocket

sockets = {}

@accept_websocket
def everybody(request):
    websocket = request.websocket
    sockets[id(websocket)] = websocket
    websocket.send("joined")
    try:
        for message in websocket:
            if message is None:
                break
            for other in list(sockets.values()):
                other.send(message)
    finally:
        del sockets[id(websocket)]
"""

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not tie a process to a processor"
)


@pytest.fixture
def running(project: Project) -> Running:
    project.settings("import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")
    project.write("views.py", VIEWS)
    project.urls('path("everybody/", views.everybody)')
    return project.run()


def joined(running: Running, clients: ExitStack) -> list[ClientConnection]:
    # Without a bound: a client that has stopped reading would not see the answer to its Ping.
    opened = [clients.enter_context(running.connect("/everybody/", max_queue=None)) for _ in range(CLIENTS)]
    for client in opened:
        assert client.recv(30) == "joined"
    return opened


def test_each_message_reaches_all_before_the_next_is_sent(running: Running) -> None:
    with ExitStack() as clients:
        opened = joined(running, clients)
        for number in range(MESSAGES):
            opened[number % CLIENTS].send(str(number))
            assert [client.recv(30) for client in opened] == [str(number)] * CLIENTS
    assert running.unexpected() == []


def test_messages_of_all_at_once_reach_all_in_the_order_of_each(running: Running) -> None:
    def talk(place: int) -> list[str]:
        client = opened[place]
        for number in range(MESSAGES):
            client.send(f"{place} {number}")
            if number % 10 == 0:
                assert client.ping().wait(30)
        return [str(client.recv(30)) for _ in range(MESSAGES * CLIENTS)]

    expected = {str(place): [str(number) for number in range(MESSAGES)] for place in range(CLIENTS)}
    with ExitStack() as clients, ThreadPoolExecutor(CLIENTS) as threads:
        opened = joined(running, clients)
        for heard in threads.map(talk, range(CLIENTS)):
            by_sender: dict[str, list[str]] = {}
            for message in heard:
                sender, number = message.split()
                by_sender.setdefault(sender, []).append(number)
            assert by_sender == expected
    assert running.unexpected() == []
