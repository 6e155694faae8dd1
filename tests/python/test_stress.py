"""What must hold under load, against `manage.py runserver` in a process of its own.

`STRESS_ROUNDS=100000 pytest tests/python/test_stress.py -s` runs the long version and prints the figures.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from load import Report, connect_echo_close, echo, http_beside, open_many, percentile, wait_until
from projects import Project, Running

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]

VIEWS = """
from django.http import HttpResponse
from dwebsocket import accept_websocket

@accept_websocket
def echo(request):
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)

def hello(request):
    return HttpResponse("hello")
"""
ROUNDS = int(os.environ.get("STRESS_ROUNDS", "10000"))
WARM_UP_ROUNDS = max(2000, ROUNDS // 10)

# Opens a socket, says so and waits to be killed.
VICTIM = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1], compression=None) as websocket:
    websocket.send("still there")
    print(websocket.recv(), flush=True)
    websocket.recv()
"""


@pytest.fixture
def running(project: Project) -> Running:
    project.write("views.py", VIEWS)
    project.urls('path("echo/", views.echo)', 'path("hello/", views.hello)')
    return project.run()


def test_100_idle_sockets_use_under_one_percent_of_a_core(running: Running):
    process = psutil.Process(running.process.pid)

    async def measure() -> float:
        clients = await open_many((running.host, running.port), "/echo/", 100)
        await echo(clients, 1, Report())
        before, begin = sum(process.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(10)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begin)
        for client in clients:
            await client.close()
        return share

    share = asyncio.run(measure())
    print(f"\n100 idle sockets: {share:.2%} of a core")
    assert share < 0.01


def test_an_idle_socket_takes_little_memory(running: Running):
    process = psutil.Process(running.process.pid)
    address = (running.host, running.port)

    async def measure() -> float:
        clients = await open_many(address, "/echo/", 50)
        await echo(clients, 1, Report())
        before = process.memory_info().rss
        more = await open_many(address, "/echo/", 500)
        await echo(more, 1, Report())
        taken = (process.memory_info().rss - before) / len(more)
        for client in [*clients, *more]:
            await client.close()
        return taken

    taken = asyncio.run(measure())
    print(f"\nAn idle socket: {taken / 1024:.1f} KiB")
    assert taken < 56 * 1024


def test_1000_clients_lose_nothing_while_http_is_answered(running: Running):
    process = psutil.Process(running.process.pid)
    address = (running.host, running.port)

    async def load() -> Report:
        report = Report()
        clients = await open_many(address, "/echo/", 1000)
        await echo(clients, 100, report)
        for client in clients:
            await client.close()
        return report

    asyncio.run(connect_echo_close(address, "/echo/", 50))
    assert wait_until(lambda: len(process.net_connections()) <= 1)
    descriptors = process.num_fds()
    with http_beside(address, "/hello/") as http_seconds:
        report = asyncio.run(load())
    p90 = percentile(http_seconds, 90)
    print(
        f"\n1,000 clients × 100 echoes: {report.replies / report.seconds:,.0f} replies/s; "
        f"{len(http_seconds)} GETs beside them: p50 {percentile(http_seconds, 50):.3f} s, p90 {p90:.3f} s"
    )
    assert (report.replies, report.wrong) == (100_000, 0)
    # Some are stopped by what else runs on the machine.
    assert p90 < 0.25
    assert wait_until(lambda: process.num_fds() <= descriptors), "file descriptors left over"
    # Idle threads stay for a while for the next sockets, and then go.
    assert wait_until(lambda: process.num_threads() <= 8), f"{process.num_threads()} threads left over"
    assert running.unexpected() == []


def test_memory_stays_flat_over_many_sockets(running: Running):
    process = psutil.Process(running.process.pid)
    address = (running.host, running.port)
    assert asyncio.run(connect_echo_close(address, "/echo/", WARM_UP_ROUNDS)) == WARM_UP_ROUNDS
    before = process.memory_info().rss
    more = ROUNDS - WARM_UP_ROUNDS
    begin = time.monotonic()
    assert asyncio.run(connect_echo_close(address, "/echo/", more)) == more
    seconds = time.monotonic() - begin
    after = process.memory_info().rss
    print(
        f"\nRSS after {WARM_UP_ROUNDS:,} sockets {before / 2**20:.1f} MiB, "
        f"after {ROUNDS:,} {after / 2**20:.1f} MiB; {more / seconds:,.0f} sockets a second"
    )
    assert after < 1.1 * before
    assert running.unexpected() == []


def test_a_client_killed_by_sigkill_ends_its_view_and_nothing_else(running: Running):
    url = running.url.replace("http", "ws", 1) + "echo/"
    with running.connect("/echo/") as bystander:
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, url], stdout=subprocess.PIPE, text=True)
        with victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "still there\n"
            victim.send_signal(signal.SIGKILL)
        running.stderr.wait_for(r'"GET /echo/ HTTP/1.1" closed 1006')
        bystander.send("and now?")
        assert bystander.recv(10) == "and now?"
    assert running.unexpected() == []
