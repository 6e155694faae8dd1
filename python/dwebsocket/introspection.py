"""What the WebSockets of this process do: sums for monitoring, and a list of those that are open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary, ref

from django.utils.functional import LazyObject, empty

from . import _core

if TYPE_CHECKING:
    from ._core import Connection


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Figures of one process: of all its servers, and of the sockets taken over from other servers.

    Those "so far" only grow while the process lives, and are the same before and after a socket has ended;
    the others are of the moment. Threads and HTTP are those of our own server: another server's are its own
    business.

    Attributes:
        open: WebSockets from the 101 until the socket has been let go.
        opened: WebSockets so far.
        closed: WebSockets that have ended so far, by close code (1006: lost without a Close, 1005: a Close
            without a code); under 0 those with further codes once 64 different ones were seen.
        refused: refusals so far, by reason. Of connections: ``connections_full``, ``address_full`` (503),
            ``preface`` (TLS or a header of the PROXY protocol that was broken or late; closed). Of
            requests: ``http_busy`` (503), ``header_timed_out`` (408), ``body_too_large`` (413),
            ``request_line_too_long`` (414), ``header_too_large``, ``too_many_headers`` (431), ``bad_request``
            (another 4xx or 501; also a handshake that RFC 6455 forbids). Of handshakes: ``websockets_full``
            (503), ``origin`` (403), ``not_for_view`` (400), ``unsupported_server`` (501). Of any:
            ``stopping`` (503). What the project itself refuses is not among them.
        received_messages: messages from clients so far.
        received_bytes: their payloads, after inflation.
        sent_messages: messages queued for clients so far.
        sent_bytes: their frames, header included, after compression.
        dropped_messages: messages so far that were not queued (to a client that had gone, or was too slow),
            or dropped from the queue (``WEBSOCKET_SLOW_CLIENT = "drop_oldest"``).
        slow_clients: clients closed with 1013 so far because they read too slowly.
        inbox_messages: messages that wait for views.
        inbox_bytes: their payloads.
        outbox_bytes: frames that wait for clients to read.
        view_threads: threads that run a view, of a socket or of HTTP.
        idle_threads: threads that wait for a view to run.
        http_in_flight: HTTP requests that run or wait for a thread.
        tcp_connections: connections, HTTP and WebSocket.
        accept_failures: how often a connection could not be accepted so far (no descriptor or memory left).
    """

    open: int
    opened: int
    closed: Mapping[int, int]
    refused: Mapping[str, int]
    received_messages: int
    received_bytes: int
    sent_messages: int
    sent_bytes: int
    dropped_messages: int
    slow_clients: int
    inbox_messages: int
    inbox_bytes: int
    outbox_bytes: int
    view_threads: int
    idle_threads: int
    http_in_flight: int
    tcp_connections: int
    accept_failures: int


def stats() -> Stats:
    """The figures of this process, of this moment. It costs the path of a message nothing."""
    figures = _core.stats()
    for name in ("closed", "refused"):
        figures[name] = MappingProxyType(figures[name])
    return Stats(**figures)


class Label:
    """What a list says of a WebSocket beside what the core knows. It does not keep the request alive.

    Attributes:
        path: of the request.
    """

    def __init__(self, request: Any) -> None:
        self.path: str = request.path
        self._request = ref(request)

    @property
    def user(self) -> str | None:
        """The name of the user, if the request knows it already: no session and no user is loaded for it."""
        request = self._request()
        known: dict[str, Any] = {} if request is None else request.__dict__
        user = known.get("user")
        if isinstance(user, LazyObject):
            user = user.__dict__.get("_wrapped", empty)
        if user is None or user is empty:
            # Where Django's authentication keeps the user of the request.
            user = known.get("_cached_user")
        # Read as it stands: a property, or a field that was not loaded, could go to the database.
        name = getattr(user, "__dict__", {}).get(getattr(type(user), "USERNAME_FIELD", "username"))
        return str(name) if name else None


_labels: WeakValueDictionary[int, Label] = WeakValueDictionary()


def label(connection: Connection, label: Label) -> None:
    """Says what a socket that has just been opened is. The list forgets it with the label."""
    if connection.identity is not None:
        _labels[connection.identity] = label


def open_sockets() -> list[dict[str, Any]]:
    """The open WebSockets of this process, oldest first, each as ``_core.open_sockets`` describes it.

    Added to that are ``path`` and ``user``, None where they are not known.
    """
    sockets = _core.open_sockets()
    for socket in sockets:
        known = _labels.get(socket["identity"])
        socket["path"] = known.path if known else None
        socket["user"] = known.user if known else None
    return sockets
