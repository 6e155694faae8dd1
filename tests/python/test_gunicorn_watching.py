"""Figures, metrics and the list of open sockets, of two workers of gunicorn, as an operator asks for them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from gunicorns import Gunicorn
from gunicorns import Start as Run
from projects import Project
from serving import PATIENCE
from sockets import until
from test_metrics import samples
from test_websockets_command import command, sockets_of

SHOWN = """
import dataclasses, os
import dwebsocket, dwebsocket.metrics
from django.http import JsonResponse

def stats(request):
    figures = dwebsocket.stats()
    shown = {field.name: getattr(figures, field.name) for field in dataclasses.fields(figures)}
    plain = {name: value if isinstance(value, int) else dict(value) for name, value in shown.items()}
    return JsonResponse({**plain, "pid": os.getpid()})

def metrics(request):
    response = dwebsocket.metrics.view(request)
    response["X-Process"] = str(os.getpid())
    return response
"""
URLS = ('path("echo/", views.echo)', 'path("stats", shown.stats)', 'path("metrics", shown.metrics)')
Figures = dict[str, float]


class Site:
    """gunicorn with two workers, and an operator."""

    def __init__(self, project: Project, gunicorn: Run, folder: Path, *options: str) -> None:
        project.write("shown.py", SHOWN)
        project.urls(*URLS, imports="import views, shown")
        folder.mkdir()
        self.project = project
        self.running: Gunicorn = gunicorn(*options, workers=2, PROMETHEUS_MULTIPROC_DIR=str(folder))

    def open(self, at: set[int]) -> dict[Any, int]:
        """Sockets, and the processes that have them, at least one at each of these."""
        clients: dict[Any, int] = {}
        for _ in range(500):
            client, process = self.running.open()
            clients[client] = process
            if set(clients.values()) >= at:
                return clients
        raise AssertionError(f"{at} accept nothing")

    def ask(self, path: str) -> tuple[int, bytes]:
        """A response, and the process it is from."""
        connection = http.client.HTTPConnection(self.running.host, self.running.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        assert response.status == 200, body
        return int(response.headers.get("X-Process", 0)), body

    def stats(self, process: int) -> dict[str, Any]:
        """The figures of one worker."""
        for _ in range(500):
            figures = json.loads(self.ask("/stats")[1])
            if figures["pid"] == process:
                return figures
        raise AssertionError(f"{process} answers nothing")

    def both_show(self, processes: set[int], expected: Figures) -> None:
        """Waits until each of the workers shows the sums."""
        deadline = time.monotonic() + PATIENCE
        agreed: set[int] = set()
        while not agreed >= processes:
            process, body = self.ask("/metrics")
            shown = {name: samples(body.decode()).get(name) for name in expected}
            agreed = agreed | {process} if shown == expected else set()
            assert time.monotonic() < deadline, (shown, expected, agreed, self.running.stderr.lines)

    def listed(self) -> dict[int, int]:
        """How many sockets each process has, of those that are listed."""
        count: dict[int, int] = {}
        for socket in sockets_of(self.project):
            count[socket["pid"]] = count.get(socket["pid"], 0) + 1
        return count


def tally(clients: dict[Any, int]) -> dict[int, int]:
    return {process: list(clients.values()).count(process) for process in set(clients.values())}


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_an_operator_sees_the_sockets_of_all_workers(
    project: Project, gunicorn: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    site = Site(project, gunicorn, tmp_path / "metrics", *options)
    first, second = processes = site.running.booted()
    clients = site.open({first, second})
    for client in clients:
        client.send("hello")
        assert client.recv(timeout=PATIENCE) == "hello"
    count = len(clients)

    for process, sockets in tally(clients).items():
        expected = {"open": sockets, "opened": sockets, "received_messages": sockets}
        # Of the sockets, and the one that asks; the one that asked before may still be on its way.
        expected |= {"view_threads": sockets + 1, "http_in_flight": 1}
        until(lambda process=process, expected=expected: expected.items() <= site.stats(process).items())
        assert site.stats(process)["tcp_connections"] >= sockets + 1
    assert site.listed() == tally(clients)
    shown = command(project).stdout
    assert f"{count} WebSockets in 2 processes ({min(processes)}, {max(processes)})" in shown
    assert shown.count("/echo/") == count
    counted = {
        "dwebsocket_connections_opened_total": count,
        "dwebsocket_messages_received_total": count,
        "dwebsocket_messages_sent_total": 2 * count,
    }
    site.both_show({first, second}, {"dwebsocket_connections_open": count, **counted})

    # One is killed: its sockets are open no more, what it counted stays, and the one in its place is seen.
    os.kill(first, signal.SIGKILL)
    left = list(clients.values()).count(second)
    third = site.running.wait_for_workers(3)[-1]
    site.both_show({second, third}, {"dwebsocket_connections_open": left, **counted})
    assert site.listed() == {second: left}
    assert str(first) not in command(project).stdout


def test_a_reload_hands_the_operator_over_to_the_new_workers(
    project: Project, gunicorn: Run, tmp_path: Path
) -> None:
    site = Site(project, gunicorn, tmp_path / "metrics")
    old = set(site.running.booted())
    clients = site.open(old)
    site.running.signal(signal.SIGHUP)
    new = set(site.running.wait_for_workers(4)[2:])
    for process in old:
        site.running.wait_for_end_of(process)
    assert site.listed() == {}
    again = site.open(new)
    both = len(clients) + len(again)
    expected = {
        "dwebsocket_connections_open": len(again),
        "dwebsocket_connections_opened_total": both,
        # What they counted last, they wrote at their end.
        'dwebsocket_closed_total{code="1012"}': len(clients),
    }
    site.both_show(new, expected)
    assert site.listed() == tally(again)
    site.running.stop()
    assert command(project).returncode == 1
    (folder,) = project.folder.parent.glob("dwebsocket-*")
    assert list(folder.iterdir()) == []


def test_what_the_server_refuses_itself_is_in_the_error_log_and_in_the_figures_and_in_no_access_log(
    project: Project, gunicorn: Run, tmp_path: Path
) -> None:
    site = Site(project, gunicorn, tmp_path / "metrics", "--access-logfile", "-")
    running = site.running
    requests: dict[bytes, bytes] = {
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": b"414",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"Connection: close\r\n\r\n": b"431",
    }
    for request, status in requests.items():
        connection = http.client.HTTPConnection(running.host, running.port, timeout=PATIENCE)
        connection.connect()
        assert connection.sock is not None
        connection.sock.sendall(request)
        assert connection.sock.recv(12) == b"HTTP/1.1 " + status
        connection.close()
    told = ("with 414 .*WEBSOCKET_MAX_REQUEST_LINE_BYTES", "with 431 .*WEBSOCKET_MAX_HEADERS")
    for pattern in told:
        running.stderr.wait_for(pattern)

    def refused() -> Figures:
        shown = samples(site.ask("/metrics")[1].decode())
        reasons = ("request_line_too_long", "too_many_headers")
        return {name: shown.get(f'dwebsocket_refused_total{{reason="{name}"}}', 0) for name in reasons}

    until(lambda: set(refused().values()) == {1})
    lines = running.stop()
    assert not [line for line in running.stdout.lines if '" 414 ' in line or '" 431 ' in line]
    assert [line for line in running.stdout.lines if '"GET /metrics HTTP/1.1" 200' in line]
    assert not [line for line in lines if "Traceback" in line]
