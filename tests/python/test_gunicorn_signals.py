"""gunicorn with our worker: what each signal does to open sockets and to requests."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest
from foreign import echoes, end_of
from gunicorns import VIEWS, Gunicorn, Start
from projects import Project
from sockets import until
from websockets.sync.client import ClientConnection

DRAINED_AT_ONCE = "WEBSOCKET_DRAIN_SECONDS = 0"


def views_ended(running: Gunicorn) -> int:
    return running.stderr.lines.count("the view has ended")


def test_at_sigterm_sockets_get_1001_and_their_views_end(gunicorn: Start) -> None:
    running = gunicorn(workers=2)
    clients = [running.open()[0] for _ in range(10)]
    running.signal(signal.SIGTERM)
    assert [end_of(client) for client in clients] == [(1001, "")] * 10
    assert running.wait(40) == 0
    assert views_ended(running) == 10


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_a_quick_stop_closes_sockets_with_1001_at_once(gunicorn: Start, project: Project, number) -> None:
    project.settings("WEBSOCKET_DRAIN_SECONDS = 600")
    running = gunicorn("--graceful-timeout", "900")
    clients = [running.open()[0] for _ in range(3)]
    running.signal(number)
    assert [end_of(client) for client in clients] == [(1001, "")] * 3
    assert running.wait(40) == 0
    assert "Traceback (most recent call last):" not in running.stderr.lines


def test_sigquit_ends_a_drain_in_haste(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_DRAIN_SECONDS = 600")
    running = gunicorn("--graceful-timeout", "900")
    clients = [running.open()[0] for _ in range(3)]
    (worker,) = running.booted()
    running.signal(signal.SIGTERM)
    # One of them is closed at once; the others' turns come minutes later.
    until(lambda: views_ended(running) == 1)
    running.signal(signal.SIGQUIT, worker)
    assert [end_of(client) for client in clients] == [(1001, "")] * 3
    assert running.wait(40) == 0


def test_sighup_closes_sockets_with_1012_and_the_next_sigterm_with_1001(gunicorn: Start) -> None:
    running = gunicorn()
    client, old = running.open()
    running.signal(signal.SIGHUP)
    assert end_of(client) == (1012, "")
    running.wait_for_end_of(old)
    client, new = running.open()
    assert new != old
    echoes(client, "after the reload")
    # Twice over, since each reload leaves a mark.
    running.signal(signal.SIGHUP)
    assert end_of(client) == (1012, "")
    running.wait_for_end_of(new)
    client, _ = running.open()
    running.signal(signal.SIGTERM)
    assert end_of(client) == (1001, "")
    assert running.wait(40) == 0


def test_sigttou_closes_the_sockets_of_one_worker_with_1012(gunicorn: Start, project: Project) -> None:
    project.settings(DRAINED_AT_ONCE)
    running = gunicorn()
    (first,) = running.booted()
    client = running.open_at(first)
    running.signal(signal.SIGTTIN)
    _, second = running.wait_for_workers(2)
    stays = running.open_at(second)
    echoes(client, "one more changes nothing")
    running.signal(signal.SIGTTOU)
    assert end_of(client) == (1012, "")
    running.wait_for_end_of(first)
    echoes(stays, "still here")
    running.signal(signal.SIGTERM)
    assert end_of(stays) == (1001, "")
    assert running.wait(40) == 0


def test_sigusr1_leaves_sockets_alone(gunicorn: Start) -> None:
    running = gunicorn()
    client, _ = running.open()
    running.signal(signal.SIGUSR1)
    running.stderr.wait_for("Handling signal: usr1")
    echoes(client, "one", "two")
    running.stop()


def new_arbiter(running: Gunicorn, lines: int) -> int:
    """The process of the binary that SIGUSR2 has started, once its worker is there."""
    running.stderr.wait_for("Starting gunicorn", lines)
    running.stderr.wait_for("Booting worker", lines)
    arbiters = [child for child in psutil.Process(running.process.pid).children() if child.children()]
    assert len(arbiters) == 1
    return arbiters[0].pid


def test_a_new_binary_takes_over_and_the_old_ones_sockets_get_1012(gunicorn: Start) -> None:
    running = gunicorn()
    (old,) = running.booted()
    client = running.open_at(old)
    lines = len(running.stderr.lines)
    running.signal(signal.SIGUSR2)
    arbiter = new_arbiter(running, lines)
    echoes(client, "nothing has changed")
    _, new = running.booted()
    taken_back = running.open_at(new)
    # Back to the old one: the new one's sockets come back to it.
    running.signal(signal.SIGTERM, arbiter)
    assert end_of(taken_back) == (1012, "")
    running.wait_for_end_of(arbiter)
    echoes(client, "still here")
    lines = len(running.stderr.lines)
    running.signal(signal.SIGUSR2)
    arbiter = new_arbiter(running, lines)
    stays = running.open_at(running.wait_for_workers(3)[2])
    running.signal(signal.SIGTERM)
    assert end_of(client) == (1012, "")
    assert running.process.wait(40) == 0
    echoes(stays, "the service goes on")
    running.signal(signal.SIGTERM, arbiter)
    assert end_of(stays) == (1001, "")
    running.wait_for_end_of(arbiter)


def test_after_a_new_binary_that_fails_sockets_get_1001(gunicorn: Start) -> None:
    running = gunicorn()
    client, _ = running.open()
    (running.folder / "project" / "wsgi.py").write_text("raise LookupError('a new version')\n")
    running.signal(signal.SIGUSR2)
    running.stderr.wait_for("Worker failed to boot")
    until(lambda: len(psutil.Process(running.process.pid).children()) == 1)
    echoes(client, "nothing has changed")
    running.signal(signal.SIGTERM)
    assert end_of(client) == (1001, "")
    assert running.wait(40) == 0


def test_a_killed_worker_takes_its_sockets_along_and_is_replaced(gunicorn: Start) -> None:
    running = gunicorn(workers=2)
    first, second = running.booted()
    lost, stays = running.open_at(first), running.open_at(second)
    running.signal(signal.SIGKILL, first)
    assert end_of(lost) is None
    third = running.wait_for_workers(3)[2]
    echoes(stays, "still here")
    running.open_at(third)
    running.signal(signal.SIGTERM)
    assert end_of(stays) == (1001, "")
    assert running.wait(40) == 0


def test_a_worker_without_its_arbiter_ends(gunicorn: Start) -> None:
    running = gunicorn()
    client, worker = running.open()
    running.signal(signal.SIGKILL)
    assert end_of(client) == (1001, "")
    running.wait_for_end_of(worker)


def test_a_worker_that_hangs_is_replaced(gunicorn: Start) -> None:
    # Preloaded: the project is not imported within the timeout.
    running = gunicorn("--timeout", "5", "--preload")
    client, worker = running.open()
    running.signal(signal.SIGSTOP, worker)
    running.stderr.wait_for("WORKER TIMEOUT")
    running.wait_for_workers(2)
    assert end_of(client) is None
    running.stop()


def test_a_worker_whose_sockets_are_idle_does_not_hang(gunicorn: Start) -> None:
    running = gunicorn("--timeout", "5", "--preload")
    assert running.socket("/late/").recv(timeout=20) == "late"
    assert not [line for line in running.stop() if "TIMEOUT" in line]


def test_after_max_requests_sockets_get_1012_and_a_new_worker_serves(gunicorn: Start) -> None:
    running = gunicorn("--max-requests", "3")
    client, worker = running.open()
    assert running.get("/echo/") == (200, b"http")
    echoes(client, "messages do not count")
    assert running.get("/echo/") == (200, b"http")
    assert end_of(client) == (1012, "")
    running.wait_for_end_of(worker)
    _, other = running.open()
    assert other != worker
    assert running.get("/echo/") == (200, b"http")
    running.stop()


def test_a_changed_file_closes_sockets_with_1012_at_once(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_DRAIN_SECONDS = 600")
    running = gunicorn("--reload", "--reload-engine", "poll", "--graceful-timeout", "900")
    clients = [running.open()[0] for _ in range(3)]
    (worker,) = running.booted()
    # The reloader notices only what changes after it has seen the file once.
    tick = threading.Event()
    while not any("Worker reloading" in line for line in list(running.stderr.lines)):
        project.change("views.py", VIEWS.replace('HttpResponse("http")', 'HttpResponse("changed")'))
        tick.wait(0.2)
    assert [end_of(client) for client in clients] == [(1012, "")] * 3
    running.wait_for_end_of(worker)
    running.wait_for_workers(2)
    assert running.get("/echo/") == (200, b"changed")
    running.stop()


def begin_slow(running: Gunicorn, path: str = "/slow/") -> http.client.HTTPConnection:
    """A request whose view runs until the FIFO ``go`` says what to answer."""
    started = running.fifo("started")
    running.fifo("go")
    client = http.client.HTTPConnection(running.host, running.port, timeout=60)
    client.request("GET", path)
    assert started.read_text().isdigit()
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_in_flight_is_answered_and_its_connection_closed(gunicorn: Start, number) -> None:
    running = gunicorn()
    (worker,) = running.booted()
    client = begin_slow(running)
    websocket, _ = running.open()
    running.signal(number)
    # The Close of a socket shows that the worker has begun to end.
    assert end_of(websocket) in ((1001, ""), (1012, ""))
    running.fifo("go").write_text("the whole answer")
    response = client.getresponse()
    assert (response.status, response.read()) == (200, b"the whole answer")
    assert response.headers["Connection"] == "close"
    client.close()
    running.wait_for_end_of(worker)


def test_at_sigterm_nothing_more_is_accepted_while_a_request_runs(gunicorn: Start) -> None:
    running = gunicorn()
    client = begin_slow(running)
    running.signal(signal.SIGTERM)

    def is_refused() -> bool:
        try:
            socket.create_connection((running.host, running.port), timeout=20).close()
        except ConnectionRefusedError:
            return True
        return False

    until(is_refused)
    running.fifo("go").write_text("done")
    assert client.getresponse().read() == b"done"
    client.close()
    assert running.wait(40) == 0


def test_requests_that_wait_for_a_thread_are_answered_at_sigterm(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_HTTP_THREADS = 1")
    running = gunicorn()
    first = begin_slow(running)
    waiting = http.client.HTTPConnection(running.host, running.port, timeout=60)
    waiting.request("GET", "/environ/")
    websocket, _ = running.open()
    running.signal(signal.SIGTERM)
    assert end_of(websocket) == (1001, "")
    running.fifo("go").write_text("first")
    assert first.getresponse().read() == b"first"
    assert waiting.getresponse().status == 200
    first.close()
    waiting.close()
    assert running.wait(40) == 0


def test_what_has_not_ended_when_the_time_is_over_is_cut(gunicorn: Start) -> None:
    running = gunicorn("--graceful-timeout", "5")
    client = begin_slow(running)
    websocket, _ = running.open()
    running.signal(signal.SIGTERM)
    assert end_of(websocket) == (1001, "")
    assert running.wait(40) == 0
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        client.getresponse()
    client.close()
    assert [line for line in running.stderr.lines if "cuts off 1 connections and 1 views." in line]


def test_messages_that_are_queued_arrive_before_the_close(gunicorn: Start) -> None:
    running = gunicorn()
    client = running.socket("/burst/", max_size=None, max_queue=1)
    running.stderr.wait_for("the burst is queued")
    running.signal(signal.SIGTERM)
    running.stderr.wait_for("Handling signal: term")
    assert [client.recv(timeout=20)[:4] for _ in range(500)] == [f"{number:04}" for number in range(500)]
    assert end_of(client) == (1001, "")
    assert running.wait(40) == 0


def when_closed(clients: list[ClientConnection]) -> list[float]:
    """When each was closed, in order."""
    times: list[float] = []

    def wait(client: ClientConnection) -> None:
        assert end_of(client) == (1012, "")
        times.append(time.monotonic())

    threads = [threading.Thread(target=wait, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(times)


def test_the_sockets_of_a_reload_are_closed_one_after_the_other(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_DRAIN_SECONDS = 4")
    running = gunicorn("--graceful-timeout", "60")
    clients = [running.open()[0] for _ in range(8)]
    running.signal(signal.SIGHUP)
    times = when_closed(clients)
    assert len(times) == 8
    # Half a second apart; on a busy machine the first is seen late.
    assert times[-1] - times[0] >= 1.0
    running.stop()


def test_graceful_timeout_bounds_the_drain(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_DRAIN_SECONDS = 600")
    running = gunicorn("--graceful-timeout", "6")
    clients = [running.open()[0] for _ in range(8)]
    running.signal(signal.SIGTERM)
    assert [end_of(client) for client in clients] == [(1001, "")] * 8
    assert running.wait(40) == 0
    assert not [line for line in running.stderr.lines if "cuts off" in line]


def test_the_worker_is_imported_before_the_project_and_reads_nothing_of_it() -> None:
    source = "import dwebsocket.gunicorn; from django.conf import settings; assert not settings.configured"
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run([sys.executable, "-c", source], env=environ, check=True, timeout=60)
