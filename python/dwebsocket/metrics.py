"""The figures of ``dwebsocket.stats()`` for Prometheus: ``path("metrics", dwebsocket.metrics.view)``.

One process shows its figures of the moment. Where several serve, as gunicorn's workers do, set
``PROMETHEUS_MULTIPROC_DIR`` to a folder that is empty when they start: prometheus-client's multiprocess mode.
Each process then writes its figures there once a second, and whichever is asked gives the sums: of the
processes that live for what is open, of all that ever lived for what has been counted.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from . import watch
from .introspection import Stats, stats

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, multiprocess
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImproperlyConfigured(
        "dwebsocket.metrics needs prometheus-client: pip install 'dwebsocket-rs[prometheus]'"
    ) from error

FOLDER: Final = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
"""Where the processes meet; None: there is one, or each is asked by itself."""

if FOLDER is not None and not os.path.isdir(FOLDER):
    raise ImproperlyConfigured(f"PROMETHEUS_MULTIPROC_DIR must be a folder that exists, not {FOLDER!r}.")

PUBLISH_SECONDS: Final = 1.0
"""How old the figures of another process may be."""

logger = logging.getLogger("dwebsocket.server")

_STOP_SECONDS: Final = 1.0
_LIVE_GAUGES: Final = re.compile(r"gauge_live[a-z]+_(\d+)\.db")


@dataclass(frozen=True)
class Figure:
    """One metric.

    Attributes:
        name: as Prometheus knows it; a counter's is shown with ``_total``.
        meaning: one sentence.
        read: its value in the figures of a process; with a label, the value for each of the label's.
        counts: whether it only grows.
        label: what tells the values of one metric apart.
    """

    name: str
    meaning: str
    read: Callable[[Stats], int | Mapping[Any, int]]
    counts: bool = True
    label: str | None = None

    def values(self, figures: Stats) -> Iterator[tuple[tuple[str, ...], int]]:
        """Each value, behind the label's."""
        read = self.read(figures)
        if isinstance(read, Mapping):
            for value, number in read.items():
                # Close code 0 stands for those beyond the number that is told apart.
                yield (str(value) if value else "other",), number
        else:
            yield (), read


FIGURES: Final = (
    Figure("dwebsocket_connections_open", "WebSockets that are open.", lambda of: of.open, counts=False),
    Figure("dwebsocket_connections_opened", "WebSockets that were opened.", lambda of: of.opened),
    Figure(
        "dwebsocket_closed", "WebSockets that have ended, by close code.", lambda of: of.closed, label="code"
    ),
    Figure(
        "dwebsocket_refused",
        "Connections, requests and handshakes that were refused.",
        lambda of: of.refused,
        label="reason",
    ),
    Figure("dwebsocket_messages_received", "Messages from clients.", lambda of: of.received_messages),
    Figure("dwebsocket_received_bytes", "Payloads of messages from clients.", lambda of: of.received_bytes),
    Figure("dwebsocket_messages_sent", "Messages queued for clients.", lambda of: of.sent_messages),
    Figure("dwebsocket_sent_bytes", "Frames queued for clients.", lambda of: of.sent_bytes),
    Figure(
        "dwebsocket_messages_dropped",
        "Messages to clients that had gone or read too slowly.",
        lambda of: of.dropped_messages,
    ),
    Figure("dwebsocket_slow_clients_closed", "Clients closed with 1013.", lambda of: of.slow_clients),
    Figure(
        "dwebsocket_inbox_messages",
        "Messages that wait for views.",
        lambda of: of.inbox_messages,
        counts=False,
    ),
    Figure("dwebsocket_inbox_bytes", "Bytes that wait for views.", lambda of: of.inbox_bytes, counts=False),
    Figure(
        "dwebsocket_outbox_bytes", "Bytes that wait for clients.", lambda of: of.outbox_bytes, counts=False
    ),
    Figure(
        "dwebsocket_view_threads_busy", "Threads that run a view.", lambda of: of.view_threads, counts=False
    ),
    Figure(
        "dwebsocket_http_requests_in_flight",
        "HTTP requests that run or wait for a thread.",
        lambda of: of.http_in_flight,
        counts=False,
    ),
    Figure(
        "dwebsocket_tcp_connections_open",
        "Connections, HTTP and WebSocket.",
        lambda of: of.tcp_connections,
        counts=False,
    ),
    Figure(
        "dwebsocket_accept_failures", "Connections that could not be accepted.", lambda of: of.accept_failures
    ),
)
"""Every metric."""


class StatsCollector(Collector):
    """Reads the figures of this process when it is asked."""

    def collect(self) -> Iterator[Any]:
        """The metrics."""
        figures = stats()
        for figure in FIGURES:
            family = (CounterMetricFamily if figure.counts else GaugeMetricFamily)(
                figure.name, figure.meaning, labels=[figure.label] if figure.label else []
            )
            for labels, number in figure.values(figures):
                family.add_metric(labels, number)
            yield family


class Publisher:
    """Writes the figures of this process where the others find them, once a second and at the end."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dwebsocket-metrics", daemon=True)

    def start(self) -> None:
        """Writes at once and from then on."""
        self._thread.start()

    def stop(self) -> None:
        """Writes a last time."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        publish()

    def forget(self) -> None:
        """Nothing written is the parent's: prometheus-client begins files of the child's own."""

    def _run(self) -> None:
        publish()
        while not self._over.wait(PUBLISH_SECONDS):
            publish()


class _Written:
    """What this process has written last."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child the figures do, and the lock may be held by a thread that is not there."""
        self.values: dict[tuple[str, tuple[str, ...]], int] = {}
        # Held for what takes a millisecond, within which nobody waits.
        self.turn = threading.Lock()


_written = _Written()
os.register_at_fork(after_in_child=_written.begin_anew)


def publish() -> None:
    """Writes what has changed. Where that cannot be done, a warning says why."""
    with _written.turn:
        figures = stats()
        try:
            for figure, metric in zip(FIGURES, _shared_metrics(), strict=True):
                for labels, number in figure.values(figures):
                    _write(figure, metric, labels, number)
        except OSError as error:
            logger.warning("The metrics of this process cannot be written: %s", error)


def _write(figure: Figure, metric: Any, labels: tuple[str, ...], number: int) -> None:
    key = figure.name, labels
    before = _written.values.get(key)
    if number == before:
        return
    of_labels = metric.labels(*labels) if labels else metric
    if figure.counts:
        # Not set: a process may come by the number, and the file, of one that has ended.
        of_labels.inc(number - (before or 0))
    else:
        of_labels.set(number)
    _written.values[key] = number


@cache
def _shared_metrics() -> list[Any]:
    """The metrics whose values lie in a file of each process; made when the first is written."""
    return [
        Counter(figure.name, figure.meaning, labels, registry=None)
        if figure.counts
        else Gauge(figure.name, figure.meaning, labels, registry=None, multiprocess_mode="livesum")
        for figure in FIGURES
        for labels in [[figure.label] if figure.label else []]
    ]


def _bury_the_dead() -> None:
    """Removes what processes that were killed had open; prometheus-client leaves that to others."""
    for name in os.listdir(FOLDER):
        match = _LIVE_GAUGES.fullmatch(name)
        if match and not _is_alive(int(match[1])):
            # Another worker may be at it as well.
            with suppress(FileNotFoundError):
                multiprocess.mark_process_dead(int(match[1]), FOLDER)  # type: ignore[no-untyped-call]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It is another user's.
        return True
    return True


if FOLDER is None:
    REGISTRY.register(StatsCollector())
else:
    watch.add(Publisher)


def _registry() -> CollectorRegistry:
    if FOLDER is None:
        return REGISTRY
    # Where nothing has been served yet the zeros are missing.
    publish()
    _bury_the_dead()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, FOLDER)  # type: ignore[no-untyped-call]
    return registry


@never_cache
@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """Everything that prometheus-client knows: our figures, and the metrics of the project.

    They are for the operator: let the server in front of it, or a decorator, keep strangers out.
    """
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_registry()), content_type=content_type)
