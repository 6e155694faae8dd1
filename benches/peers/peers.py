"""The peers: how each is started, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Peer:
    """A server with the simplest honest application of its kind.

    Attributes:
        name: what `--peers` calls it.
        title: what tables call it.
        environment: where it is installed, a key of `environments.ENVIRONMENTS`.
        command: `{python}` and `{bin}` are those of its environment, `{limits}` is the program of the limits,
            `{port}` a free port; it runs in `folder`.
        abilities: what of `cases.Case.needs` it has.
        lacks: why it has not what others of its kind have, by ability.
        environ: additions to the environment variables.
        most_clients: more are not tried, since each keeps one of so many threads.
        needs_redis: a server of its own is started for it, which counts as part of it.
    """

    name: str
    title: str
    environment: str
    command: tuple[str, ...]
    abilities: frozenset[str]
    lacks: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    folder: str = "apps"
    environ: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    most_clients: int | None = None
    needs_redis: bool = False


TEXT: Final = frozenset({"text", "handshakes", "idle"})
SOCKETS: Final = TEXT | {"binary", "broadcast"}
HTTP: Final = frozenset({"http", "http-django"})
DJANGO: Final = HTTP | {"polling"}

NO_BINARY: Final = {"binary": "sends text alone", "deflate": "has no compression"}
NO_DEFLATE: Final = {"deflate": "has no compression"}

OURS: Final = {"BENCH_STACK": "ours"}
DWEBSOCKET: Final = {"BENCH_STACK": "dwebsocket"}
CHANNELS: Final = {"BENCH_STACK": "channels"}
HTTP_ONLY: Final = {"BENCH_STACK": "http"}
SYNC: Final = {**CHANNELS, "BENCH_CONSUMER": "sync"}

RUNSERVER: Final = ("{python}", "manage.py", "runserver", "127.0.0.1:{port}", "--noreload")
GUNICORN: Final = ("{bin}/gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error")
DAPHNE: Final = ("{bin}/daphne", "-b", "127.0.0.1", "-p", "{port}", "project.asgi:application")
UVICORN: Final = (
    "{bin}/uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "project.asgi:application"
)  # fmt: skip
GRANIAN: Final = ("{bin}/granian", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--no-ws")
GRANIAN_WS: Final = (*GRANIAN[:-1], "--ws")


def _ours() -> list[Peer]:
    abilities = SOCKETS | DJANGO | {"deflate"}
    in_project = {"environment": "ours", "abilities": abilities, "folder": "apps/django", "environ": OURS}
    worker = (*GUNICORN, "--worker-class", "dwebsocket.gunicorn.Worker", "project.wsgi")
    return [
        Peer("ours", "dwebsocket-rs, runserver", command=RUNSERVER, **in_project),
        Peer(
            "ours-server",
            "dwebsocket-rs, no request log",
            command=("{python}", "serve.py", "{port}"),
            **in_project,
        ),
        Peer("ours-gunicorn", "dwebsocket-rs, gunicorn worker", command=worker, **in_project),
    ]


def _dwebsocket() -> list[Peer]:
    def peer(name: str, title: str, *command: str, most_clients: int | None = None) -> Peer:
        return Peer(
            f"dwebsocket-{name}",
            f"dwebsocket 0.5.12, {title}",
            "dwebsocket",
            command,
            TEXT | DJANGO | {"broadcast"},
            lacks=NO_BINARY,
            folder="apps/django",
            environ=DWEBSOCKET,
            most_clients=most_clients,
        )

    gunicorn = (*GUNICORN, "project.wsgi", "--worker-class")
    gthread = (*gunicorn, "gthread", "--threads", "200")
    gevent = (*gunicorn, "gevent", "--worker-connections", "20000")
    return [
        peer("runserver", "runserver", *RUNSERVER),
        peer("gthread", "gunicorn gthread", *gthread, most_clients=200),
        peer("gevent", "gunicorn gevent", *gevent),
    ]


def _channels() -> list[Peer]:
    asgi = (*GRANIAN_WS, "--interface", "asgi", "project.asgi:application")
    layers = {
        "redis": "channels_redis.core.RedisChannelLayer",
        "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    }

    def peer(
        name: str, title: str, command: tuple[str, ...], environ: Mapping[str, str], deflates: bool
    ) -> Peer:
        http = HTTP if "BENCH_CONSUMER" not in environ else frozenset()
        return Peer(
            f"channels-{name}",
            f"Channels {title}",
            "channels",
            command,
            SOCKETS | http | (frozenset({"deflate"}) if deflates else frozenset()),
            lacks={} if deflates else {"deflate": "its server has no compression"},
            folder="apps/django",
            environ=environ,
        )

    peers = [
        peer("daphne", "async, Daphne", DAPHNE, CHANNELS, deflates=False),
        peer("uvicorn", "async, uvicorn", UVICORN, CHANNELS, deflates=True),
        peer("granian", "async, granian", asgi, CHANNELS, deflates=False),
        peer("sync-daphne", "sync, Daphne", DAPHNE, SYNC, deflates=False),
        peer("sync-uvicorn", "sync, uvicorn", UVICORN, SYNC, deflates=True),
        peer("sync-granian", "sync, granian", asgi, SYNC, deflates=False),
    ]
    for layer, path in layers.items():
        peers.append(
            Peer(
                f"channels-uvicorn-{layer}",
                f"Channels async, uvicorn, {layer} layer",
                "channels",
                UVICORN,
                frozenset({"broadcast"}),
                folder="apps/django",
                environ={**CHANNELS, "BENCH_LAYER": path},
                needs_redis=True,
            )
        )
    return peers


def _python() -> list[Peer]:
    flask = (*GUNICORN, "--worker-class", "gthread", "--threads", "200", "flask_sock_app:app")
    rsgi = (*GRANIAN_WS, "--interface", "rsgi", "granian_app:app")

    def app(file: str, *arguments: str) -> tuple[str, ...]:
        return ("{python}", file, "{port}", *arguments)

    deflate = frozenset({"deflate"})
    return [
        Peer(
            "flask-sock",
            "flask-sock, gunicorn gthread",
            "flask",
            flask,
            SOCKETS | {"http"} | deflate,
            most_clients=200,
        ),
        Peer("websockets", "websockets, asyncio", "websockets", app("websockets_app.py"), SOCKETS | deflate),
        Peer(
            "websockets-uvloop",
            "websockets, uvloop",
            "websockets",
            app("websockets_app.py", "uvloop"),
            SOCKETS | deflate,
        ),
        Peer(
            "websockets-sync",
            "websockets, threads",
            "websockets",
            app("websockets_sync_app.py"),
            SOCKETS | deflate,
        ),
        Peer("picows", "picows, uvloop", "picows", app("picows_app.py"), SOCKETS, lacks=NO_DEFLATE),
        Peer("aiohttp", "aiohttp, uvloop", "aiohttp", app("aiohttp_app.py"), SOCKETS | {"http"} | deflate),
        Peer("granian-rsgi", "granian RSGI", "granian", rsgi, SOCKETS | {"http"}, lacks=NO_DEFLATE),
        Peer(
            "socketify",
            "socketify (uWebSockets)",
            "socketify",
            app("socketify_app.py"),
            SOCKETS | {"http"} | deflate,
        ),
    ]


def _node() -> list[Peer]:
    command = ("node", "ws_app.mjs", "{port}")
    return [Peer("node-ws", "ws, Node", "node", command, SOCKETS | {"http", "deflate"})]


def _limits() -> list[Peer]:
    def limit(name: str, title: str) -> Peer:
        abilities, lacks = SOCKETS, NO_DEFLATE
        if name == "fastwebsockets":
            abilities = SOCKETS - {"broadcast"}
            lacks = {**NO_DEFLATE, "broadcast": "cannot give up a read for a message of another"}
        return Peer(name, f"limit: {title}", "limits", ("{limits}", name, "{port}"), abilities, lacks=lacks)

    return [
        limit("tungstenite", "tokio-tungstenite"),
        limit("tungstenite-4k", "tokio-tungstenite, 4 KiB buffer"),
        limit("fastwebsockets", "fastwebsockets"),
        limit("bare", "bare framing"),
    ]


def _http() -> list[Peer]:
    def peer(name: str, title: str, command: tuple[str, ...]) -> Peer:
        return Peer(name, title, "channels", command, HTTP, folder="apps/django", environ=HTTP_ONLY)

    wsgi = (*GRANIAN, "--interface", "wsgi", "project.wsgi:application")
    blocking = (*wsgi, "--blocking-threads")
    gunicorn = (*GUNICORN, "project.wsgi", "--worker-class")
    gthread = (*gunicorn, "gthread", "--threads")
    return [
        peer("granian-wsgi", "granian WSGI, 1 thread", (*blocking, "1")),
        peer("granian-wsgi-8", "granian WSGI, 8 threads", (*blocking, "8")),
        peer("granian-wsgi-64", "granian WSGI, 64 threads", (*blocking, "64")),
        peer("granian-wsgi-default", "granian WSGI, as many threads as it likes", wsgi),
        peer("gunicorn-sync", "gunicorn sync", (*gunicorn, "sync")),
        peer("gunicorn-gthread", "gunicorn gthread, 8 threads", (*gthread, "8")),
        peer("gunicorn-gthread-64", "gunicorn gthread, 64 threads", (*gthread, "64")),
        peer("runserver", "Django's runserver", RUNSERVER),
    ]


PEERS: Final = {
    peer.name: peer
    for peer in [*_ours(), *_dwebsocket(), *_channels(), *_python(), *_node(), *_limits(), *_http()]
}

SUBJECT: Final = "ours"
CEILING: Final = "bare"
