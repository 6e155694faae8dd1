"""``dwebsocket.metrics``: the figures as Prometheus reads them, of one process and of gunicorn's workers."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dwebsocket
import pytest
from django.test import Client
from django.urls import path
from foreign import Foreign
from foreign import Start as Serve
from projects import Project
from prometheus_client.parser import text_string_to_metric_families
from serving import PATIENCE
from sites import Site
from sockets import until

Start = Callable[..., Site]
Samples = dict[str, float]


@dwebsocket.accept_websocket
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


def samples(text: str) -> Samples:
    """Our samples, by name and labels as they stand in the text."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            if sample.name.startswith("dwebsocket_"):
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@pytest.fixture
def patterns() -> list[Any]:
    """Views, with the one of the metrics among them."""
    from dwebsocket import metrics

    return [path("", echo), path("metrics", metrics.view)]


def test_a_process_shows_its_figures_of_the_moment(patterns: list[Any], site: Start) -> None:
    here = site(*patterns)
    before = samples(here.get("/metrics")[1].decode())
    with here.connect() as client:
        for _ in range(5):
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"
        assert here.get("/", {**here.HANDSHAKE, "Origin": "https://evil.example"})[0] == 403
        expected = {
            "dwebsocket_connections_open": 1,
            "dwebsocket_connections_opened_total": 1,
            "dwebsocket_messages_received_total": 5,
            "dwebsocket_received_bytes_total": 25,
            "dwebsocket_messages_sent_total": 5,
            "dwebsocket_sent_bytes_total": 35,
            'dwebsocket_refused_total{reason="origin"}': 1,
            # The views of the socket and of the metrics; before, the latter alone.
            "dwebsocket_view_threads_busy": 1,
            "dwebsocket_tcp_connections_open": 1,
        }

        def grown() -> Samples:
            now = samples(here.get("/metrics")[1].decode())
            return {name: value - before[name] for name, value in now.items() if value != before[name]}

        # The server may not have closed the refused client's connection yet.
        until(lambda: grown() == expected)
    until(lambda: dwebsocket.stats().open == 0)
    # The one that asks; the thread of the one before may still be at its end.
    in_flight = "dwebsocket_http_requests_in_flight"
    until(lambda: samples(here.get("/metrics")[1].decode())[in_flight] == 1)
    closed = samples(here.get("/metrics")[1].decode())
    name = 'dwebsocket_closed_total{code="1000"}'
    assert closed[name] == before.get(name, 0) + 1


def test_every_figure_of_a_process_has_a_metric(patterns: list[Any], site: Start) -> None:
    text = site(*patterns).get("/metrics")[1].decode()
    types = dict(re.findall(r"^# TYPE (dwebsocket_\w+) (\w+)$", text, re.M))
    gauges = {name.removeprefix("dwebsocket_") for name, kind in types.items() if kind == "gauge"}
    assert gauges == {
        "connections_open",
        "inbox_messages",
        "inbox_bytes",
        "outbox_bytes",
        "view_threads_busy",
        "http_requests_in_flight",
        "tcp_connections_open",
    }
    counters = {name.removeprefix("dwebsocket_") for name, kind in types.items() if kind == "counter"}
    assert counters == {
        "connections_opened_total",
        "closed_total",
        "refused_total",
        "messages_received_total",
        "received_bytes_total",
        "messages_sent_total",
        "sent_bytes_total",
        "messages_dropped_total",
        "slow_clients_closed_total",
        "accept_failures_total",
    }
    helped = dict(re.findall(r"^# HELP (dwebsocket_\w+) (.+)$", text, re.M))
    assert set(helped) == set(types)
    assert 'dwebsocket_refused_total{reason="websockets_full"}' in text


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version="),
        ("text/plain;version=0.0.4", "text/plain; version="),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_the_content_type_is_one_that_prometheus_takes(
    patterns: list[Any], site: Start, accept: str, content_type: str
) -> None:
    site(*patterns)
    response = Client().get("/metrics", HTTP_ACCEPT=accept)
    assert response.status_code == 200
    assert response["Content-Type"].startswith(content_type)
    assert "charset=utf-8" in response["Content-Type"]
    assert "no-store" in response["Cache-Control"]
    assert response.content.endswith(b"# EOF\n") == accept.startswith("application")


def test_metrics_are_read_and_not_posted(patterns: list[Any], site: Start) -> None:
    site(*patterns)
    assert Client().post("/metrics").status_code == 405


def test_close_codes_beyond_those_told_apart_have_a_name() -> None:
    from dwebsocket import metrics

    figure = metrics.Figure("name", "Meaning.", lambda _: {1000: 2, 0: 3}, label="code")
    assert list(figure.values(dwebsocket.stats())) == [(("1000",), 2), (("other",), 3)]


def failure_of_import(source: str, **environ: str) -> str:
    """The last line of what a program says that imports the metrics in vain."""
    command = [sys.executable, "-c", f"{source}\nimport dwebsocket.metrics"]
    result = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def test_without_prometheus_client_the_extra_is_named() -> None:
    assert failure_of_import('import sys; sys.modules["prometheus_client"] = None') == (
        "django.core.exceptions.ImproperlyConfigured: dwebsocket.metrics needs prometheus-client: "
        "pip install 'dwebsocket-rs[prometheus]'"
    )


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = str(tmp_path / "nowhere")
    assert failure_of_import("", PROMETHEUS_MULTIPROC_DIR=folder) == (
        "django.core.exceptions.ImproperlyConfigured: PROMETHEUS_MULTIPROC_DIR must be a folder that exists, "
        f"not {folder!r}."
    )


VIEWS = """
import os
import dwebsocket.metrics
from prometheus_client import Counter

asked = Counter("project_asked", "A metric of the project's own.")

@dwebsocket.require_websocket
def who(request):
    request.websocket.send(str(os.getpid()))
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)

def metrics(request):
    asked.inc()
    response = dwebsocket.metrics.view(request)
    response["X-Process"] = str(os.getpid())
    return response
"""


class Workers:
    """gunicorn's workers and sockets that are open in them; looks that no counter ever goes back."""

    def __init__(self, running: Foreign, stack: ExitStack) -> None:
        self.running = running
        self.stack = stack
        self.clients: list[tuple[int, Any]] = []
        self.answered: set[int] = set()
        self.before: Samples = {}

    def open(self) -> None:
        client = self.stack.enter_context(self.running.connect("/who/"))
        self.clients.append((int(client.recv(timeout=PATIENCE)), client))

    @property
    def processes(self) -> list[int]:
        return sorted({process for process, _ in self.clients})

    def scrape(self) -> Samples:
        connection = http.client.HTTPConnection(self.running.host, self.running.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        assert response.status == 200
        self.answered.add(int(response.headers["X-Process"]))
        now = samples(text)
        assert re.search(r"^project_asked_total [1-9]", text, re.M)
        gone_back = {
            name: (value, now.get(name))
            for name, value in self.before.items()
            if "_total" in name and now.get(name, 0) < value
        }
        assert not gone_back
        self.before = now
        return now

    def shows(self, expected: Samples) -> None:
        """Waits until a worker shows the sums, and then that each of them does."""
        deadline = time.monotonic() + PATIENCE
        while shown := {name: self.scrape().get(name) for name in expected}:
            if shown == expected:
                break
            assert time.monotonic() < deadline, (shown, expected, self.running.stderr.lines)
        self.answered.clear()
        while len(self.answered) < 2:
            assert expected.items() <= self.scrape().items()


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_every_worker_of_gunicorn_shows_the_sums_and_no_counter_goes_back(
    foreign_project: Project, serve_with: Serve, tmp_path: Path, preload: bool
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    foreign_project.write("shown.py", VIEWS)
    foreign_project.urls(
        'path("who/", __import__("shown").who)', 'path("metrics", __import__("shown").metrics)'
    )
    # So many that one worker can take more clients than there are here.
    options = ["--workers=3", "--threads=400", "--graceful-timeout=5", *["--preload"][: int(preload)]]
    running = serve_with("gthread", *options, PROMETHEUS_MULTIPROC_DIR=str(folder))
    with ExitStack() as stack:
        workers = Workers(running, stack)
        # The kernel gives a connection to whichever worker asks first: one that started alone would get all.
        workers.shows({})
        while len(workers.processes) < 2 or len(workers.clients) < 6:
            workers.open()
        for _, client in workers.clients:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"
        count = len(workers.clients)
        counted = {
            "dwebsocket_connections_opened_total": count,
            "dwebsocket_messages_received_total": count,
            "dwebsocket_received_bytes_total": 5 * count,
            "dwebsocket_messages_sent_total": 2 * count,
        }
        workers.shows({"dwebsocket_connections_open": count, **counted})

        killed = workers.processes[0]
        os.kill(killed, signal.SIGKILL)
        left = sum(process != killed for process, _ in workers.clients)
        workers.shows({"dwebsocket_connections_open": left, **counted})
        assert not list(folder.glob(f"gauge_live*_{killed}.db"))
        assert list(folder.glob(f"counter_{killed}.db"))

        told = workers.processes[1]
        os.kill(told, signal.SIGTERM)
        closed = sum(process == told for process, _ in workers.clients)
        going = {'dwebsocket_closed_total{code="1001"}': closed, **counted}
        workers.shows({"dwebsocket_connections_open": left - closed, **going})
        running.expect()
    running.stop()
