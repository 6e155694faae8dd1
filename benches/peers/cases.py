"""The cases: what the load does, and which figure counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .peers import NOTHING, Peer


@dataclass(frozen=True)
class Case:
    """One kind of work.

    Attributes:
        name: what `--only` calls it, or begins with.
        title: what tables call it.
        needs: what a peer has to be able to do, of `Peer.abilities`.
        load: what runs it: a case of the load generator, or `wrk`.
        options: of the load generator, but for the server's address and durations.
        figure: the key of the figure that counts in what was measured.
        unit: its unit.
        less_is_better: of two figures the smaller wins.
        clients: how many there are at a time.
        path: of the handshake; that of a peer with another one stands in `PATHS`.
        environ: additions to the environment variables of the server.
    """

    name: str
    title: str
    needs: str
    load: str
    options: Mapping[str, Any]
    figure: str = "rate"
    unit: str = "messages/s"
    less_is_better: bool = False
    clients: int = 100
    path: str = "/echo"
    environ: Mapping[str, str] = field(default_factory=lambda: NOTHING)


def _http(name: str, title: str, needs: str, environ: Mapping[str, str] = NOTHING) -> Case:
    return Case(name, title, needs, "wrk", {}, unit="requests/s", clients=32, path="/hello", environ=environ)


def _echo(name: str, title: str, needs: str = "text", clients: int = 100, **options: Any) -> Case:
    everything = {"depth": 1, "size": 125, "kind": "text", "clients": clients, **options}
    return Case(f"echo-{name}", f"Echo, {title}", needs, "echo", everything, clients=clients)


def _broadcast(clients: int) -> Case:
    return Case(
        f"broadcast-{clients}",
        f"Broadcast to {clients:,}",
        "broadcast",
        "broadcast",
        {"clients": clients, "size": 125},
        unit="deliveries/s",
        clients=clients,
        path="/broadcast",
    )


def _slow(sleepers: int) -> Case:
    return Case(
        f"slow-{sleepers}",
        f"Broadcast to 20, and {sleepers} more that never read" if sleepers else "The same without those",
        "broadcast",
        "slow",
        {
            "readers": 20,
            "sleepers": sleepers,
            "size": 64 << 10,
            "pace": 100.0,
            # So long that what the sleepers leave unread is more than the system keeps for them.
            "seconds": 4.0,
            "drain_seconds": 4.0,
        },
        figure="delivered_percent",
        unit="% delivered",
        clients=20 + sleepers,
        path="/broadcast",
    )


def _idle(clients: int) -> Case:
    return Case(
        f"idle-{clients}",
        f"{clients:,} idle connections",
        "idle",
        "idle",
        {"clients": clients, "at_once": 8},
        figure="kib_per_connection",
        unit="KiB each",
        less_is_better=True,
        clients=clients,
    )


CASES: Final = {
    case.name: case
    for case in [
        _echo("1", "1 client", clients=1),
        _echo("100", "100 clients"),
        _echo("1000", "1,000 clients", clients=1000),
        _echo("deep", "100 clients, 32 messages under way each", depth=32),
        _echo("binary", "100 clients, binary", needs="binary", kind="binary"),
        _echo("16k", "100 clients, 16 KiB", size=16 << 10),
        _echo("1m", "10 clients, 1 MiB", clients=10, size=1 << 20),
        _echo("deflate", "100 clients, 4 KiB of JSON, permessage-deflate", needs="deflate", size=4 << 10),
        Case(
            "handshakes",
            "Handshakes, 8 at a time",
            "handshakes",
            "handshakes",
            {"clients": 8},
            unit="handshakes/s",
            clients=8,
        ),
        _broadcast(200),
        _broadcast(1000),
        _slow(3),
        _slow(0),
        _idle(1000),
        _idle(10000),
        Case(
            "polling",
            "A view that polls, 1 client",
            "polling",
            "idle",
            {"clients": 1, "at_once": 1},
            figure="cpu_percent",
            unit="% of a core",
            less_is_better=True,
            clients=1,
            path="/polling",
        ),
        _http("http", "HTTP hello, 32 keep-alive", "http"),
        _http(
            "http-bare",
            "The same, Django without middleware",
            "http-django",
            {"BENCH_MIDDLEWARE": "none"},
        ),
    ]
}


def path_of(case: Case, peer: Peer) -> str:
    """The path of a case at a peer: our views cannot tell binary from text, so there is one for each."""
    return "/binary" if case.needs == "binary" and "polling" in peer.abilities else case.path


def select(names: list[str], known: Mapping[str, Case] = CASES) -> list[Case]:
    """The cases that are called so, or whose names begin so; all without a name.

    Raises:
        ValueError: for a name that fits none.
    """
    chosen: dict[str, Case] = {}
    for name in names or known:
        found = (
            [known[name]]
            if name in known
            else [case for case in known.values() if case.name.startswith(name)]
        )
        if not found:
            raise ValueError(f"no case is called {name!r}: {', '.join(known)}")
        chosen.update((case.name, case) for case in found)
    return list(chosen.values())


def obstacle(case: Case, peer: Peer) -> str | None:
    """Why a peer that has to do with the case does not take part; None: it does.

    A peer that lacks an ability for a reason says so; a peer of another kind has nothing to do with the case.
    """
    if case.needs not in peer.abilities:
        return peer.lacks.get(case.needs, "")
    if peer.most_clients is not None and case.clients > peer.most_clients:
        return f"has {peer.most_clients} threads, one for each client"
    return None
