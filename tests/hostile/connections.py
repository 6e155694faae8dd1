"""Attacks by connections: too many, too slow, half open, reset at every stage, never reading."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable

from attack import PATIENCE, Attack, Peer, Target, http_answer, merged, reset, send
from frames import FIN
from hostile_requests import get
from limits import ADDRESS_LIMIT

from wire import LOCAL, PING, TEXT, UPGRADE, close, frame

MANY = "/chat/many/"
DROP_SECONDS = 0.25
"""Between two drops of a client that drips: well below the timeout, which a byte must not put off."""


def drips(client: socket.socket, data: bytes) -> None:
    """Sends a byte now and then until the server has had enough of it."""
    for byte in data:
        send(client, bytes([byte]))
        if select.select([client], [], [], DROP_SECONDS)[0]:
            return


def slowloris(target: Target) -> str:
    with target.connect() as client:
        drips(client, get(target.path(), UPGRADE))
        return http_answer(client)


def slowloris_of_many(target: Target) -> str:
    """Headers that grow by a line each, on 100 connections at once."""
    with contextlib.ExitStack() as closing:
        clients = [closing.enter_context(target.connect()) for _ in range(100)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n" + LOCAL)
        deadline = time.monotonic() + PATIENCE
        waiting = set(clients)
        while waiting and time.monotonic() < deadline:
            for client in waiting:
                send(client, b"X: y\r\n")
            waiting -= set(select.select(list(waiting), [], [], DROP_SECONDS)[0])
        assert not waiting, f"{len(waiting)} still wait"
        return f"100 times {merged(http_answer(client) for client in clients)}"


def idle(target: Target) -> str:
    """200 connections on which nothing is said."""
    with contextlib.ExitStack() as closing:
        clients = [closing.enter_context(target.connect()) for _ in range(200)]
        return f"200 times {merged(http_answer(client) for client in clients)}"


def idle_after_a_request(target: Target) -> str:
    with target.connect() as client:
        client.sendall(get(target.path(), LOCAL))
        return http_answer(client)


def vanish(stage: Callable[[Target, int], None], count: int) -> Callable[[Target], str]:
    """Goes away so many times at a stage; then the server still answers."""

    def run(target: Target) -> str:
        for number in range(count):
            stage(target, number % 16)
        with target.open() as peer:
            peer.send(frame(FIN | TEXT, b"still there") + close(1000))
            [echo] = peer.messages(1)
            return f"{echo.decode()}, {peer.ending()}"

    return run


def vanishing(name: str, what: str, count: int, stage: Callable[[Target, int], None], log: str) -> Attack:
    return Attack(name, what, vanish(stage, count), "You said: still there, close 1000", log, alone=True)


def at_connect(target: Target, further: int) -> None:
    target.connect(further).close()


def reset_at_connect(target: Target, further: int) -> None:
    reset(target.connect(further))


def reset_in_the_head(target: Target, further: int) -> None:
    client = target.connect(further)
    client.sendall(get(target.path(), UPGRADE)[:60])
    reset(client)


def reset_before_the_answer(target: Target, further: int) -> None:
    client = target.connect(further)
    client.sendall(get(target.path(MANY), LOCAL))
    reset(client)


def reset_before_the_101(target: Target, further: int) -> None:
    client = target.connect(further)
    client.sendall(get(target.path(), UPGRADE))
    reset(client)


def reset_when_open(target: Target, further: int) -> None:
    target.open(further=further).reset()


def reset_in_a_frame(target: Target, further: int) -> None:
    peer = target.open(further=further)
    peer.send(frame(FIN | TEXT, b"half a message")[:-7])
    peer.reset()


def reset_behind_messages(target: Target, further: int) -> None:
    peer = target.open(further=further)
    peer.send(frame(FIN | TEXT, b"for nobody") * 20)
    peer.reset()


def reset_behind_the_close(target: Target, further: int) -> None:
    peer = target.open(further=further)
    peer.send(close(1000))
    peer.reset()


def half_closed_request(target: Target) -> str:
    """An end of the stream behind a request is no reason to leave it unanswered."""
    with target.connect() as client:
        client.sendall(get(target.path(), LOCAL))
        client.shutdown(socket.SHUT_WR)
        return http_answer(client)


def half_closed_websocket(target: Target) -> str:
    with target.open() as peer:
        peer.socket.shutdown(socket.SHUT_WR)
        return peer.ending()


def half_open(target: Target) -> str:
    """A client that is there no more, as far as anybody can tell: it answers no Ping."""
    with target.open() as peer:
        pings = sum(first == FIN | PING for first, _ in peer.frames())
        return "Pings, no Close" if pings else "no Ping"


def never_ends_the_stream(target: Target) -> str:
    """The server lets go of a socket whose client, after both Closes, neither ends nor resets it."""
    with target.open() as peer:
        peer.send(close(1000))
        ending = peer.ending()
        deadline = time.monotonic() + PATIENCE
        # The kernel answers what comes to a socket that nobody has any more with an RST.
        while time.monotonic() < deadline:
            try:
                peer.socket.send(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return f"{ending}, then let go of"
            select.select([], [], [], DROP_SECONDS)
        return f"{ending}, still held"


def leaves_the_close_unanswered(target: Target) -> str:
    """The view closes by itself, and this client says nothing to it."""
    with target.open("/goodbye/") as peer:
        return peer.ending()


def never_reads_its_echo(target: Target) -> str:
    """Sends until the server takes no more, and reads nothing until the view's send has given up."""
    with target.open() as peer:
        peer.socket.settimeout(1)
        sent = 0
        message = frame(FIN | TEXT, b"x" * 65_000)
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            while sent < 64 << 20:
                sent += peer.socket.send(message)
        assert sent < 64 << 20, "the server buffers without a bound"
        peer.socket.settimeout(PATIENCE)
        target.wait_until_logged("closed 1013")
        return last_word(peer)


def last_word(peer: Peer) -> str:
    """How it ends for a client that reads at last: with what waited, and the Close if it is in time."""
    messages, *end = peer.ending().split(", ")
    assert int(messages.split()[0]) * 60_000 < 16 << 20, messages
    # In time is who comes within the close timeout.
    cut_off = end in (["close 1013"], ["no Close"], ["reset", "no Close"])
    return "messages, cut off" if cut_off else f"messages, {end}"


def never_reads_the_room(target: Target) -> str:
    """A member of the chat with many who reads nothing, while another writes 24 MB."""
    with target.open(MANY) as sleeper, target.open(MANY, further=1) as writer:
        message = frame(FIN | TEXT, b"x" * 60_000)
        for _ in range(400):
            writer.send(message)
            assert any(len(payload) > 60_000 for _, payload in writer.frames())
        target.wait_until_logged("closed 1013")
        writer.send(close(1000))
        return f"{last_word(sleeper)}; the other: {writer.ending()}"


def too_many_of_one_address(target: Target) -> str:
    with contextlib.ExitStack() as closing:
        peers = [closing.enter_context(target.open()) for _ in range(2)]
        for _ in range(ADDRESS_LIMIT - 2):
            closing.enter_context(target.connect())
        refused = [http_answer(closing.enter_context(target.connect()), b"retry-after") for _ in range(20)]
        echoes = []
        for peer in peers:
            peer.send(frame(FIN | TEXT, b"undisturbed"))
            echoes += peer.messages(1)
        assert set(echoes) == {b"You said: undisturbed"}
        elsewhere = target.open(further=1)
        elsewhere.send(close(1000))
        return f"{merged(refused)}; of another address: {elsewhere.ending()}"


def many_handshakes(target: Target) -> str:
    """500 handshakes before any is read, each from one of ten addresses."""
    with contextlib.ExitStack() as closing:
        peers = []
        for number in range(500):
            client = closing.enter_context(target.connect(number % 10))
            client.sendall(get(target.path(), UPGRADE) + frame(FIN | TEXT, b"%d" % number))
            peers.append(Peer(client))
        for number, peer in enumerate(peers):
            assert peer.read_head().startswith(b"HTTP/1.1 101 "), peer.head
            assert peer.messages(1) == [b"You said: %d" % number]
            peer.send(close(1000))
        return f"500 times {merged(peer.ending() for peer in peers)}"


LOST = "INFO closed 1006 (lost)"
BY_CLIENT = "INFO closed 1000 by the client"

ATTACKS = (
    Attack(
        "slowloris",
        "A head of which a byte comes every quarter of a second.",
        slowloris,
        "408",
        "WARNING its header section did not arrive in time",
    ),
    Attack(
        "slowloris-100",
        "100 heads that grow by a field every quarter of a second.",
        slowloris_of_many,
        "100 times 408",
        "WARNING its header section did not arrive in time",
    ),
    Attack("idle-200", "200 connections on which nothing is ever said.", idle, "200 times nothing"),
    Attack(
        "idle-behind-request",
        "Nothing more behind a request.",
        idle_after_a_request,
        "200",
        'INFO HTTP/1.1" 200',
    ),
    vanishing("vanish", "3,000 connections that close at once.", 3000, at_connect, BY_CLIENT),
    vanishing("rst-at-connect", "1,000 connections that reset at once.", 1000, reset_at_connect, BY_CLIENT),
    vanishing("rst-in-head", "500 RSTs within the head.", 500, reset_in_the_head, BY_CLIENT),
    vanishing("rst-before-answer", "300 RSTs behind a request.", 300, reset_before_the_answer, BY_CLIENT),
    vanishing("rst-before-101", "300 RSTs behind a handshake.", 300, reset_before_the_101, BY_CLIENT),
    vanishing("rst-when-open", "300 RSTs right after the 101.", 300, reset_when_open, LOST),
    vanishing("rst-in-frame", "300 RSTs within a frame.", 300, reset_in_a_frame, LOST),
    vanishing(
        "rst-behind-messages", "100 RSTs behind 20 messages each.", 100, reset_behind_messages, BY_CLIENT
    ),
    vanishing("rst-behind-close", "300 RSTs behind a Close.", 300, reset_behind_the_close, BY_CLIENT),
    Attack(
        "half-closed-request",
        "The end of the stream behind a request.",
        half_closed_request,
        "200",
        'INFO HTTP/1.1" 200',
    ),
    Attack(
        "half-closed-websocket",
        "The end of the stream in a WebSocket, without a Close.",
        half_closed_websocket,
        "no Close",
        LOST,
    ),
    Attack("half-open", "A WebSocket that answers no Ping.", half_open, "Pings, no Close", LOST),
    Attack(
        "close-without-end",
        "Both Closes are there, and the client keeps the connection.",
        never_ends_the_stream,
        "close 1000, then let go of",
        BY_CLIENT,
    ),
    Attack(
        "close-unanswered",
        "The server's Close is not answered.",
        leaves_the_close_unanswered,
        "close 1000",
        "INFO closed 1000 by the server",
    ),
    Attack(
        "never-reads-echo",
        "Messages of 65 kB, and no echo is ever read.",
        never_reads_its_echo,
        "messages, cut off",
        "WARNING reads too slowly: closed with 1013",
        alone=True,
    ),
    Attack(
        "never-reads-room",
        "A member of the chat with many who reads nothing while 24 MB are said.",
        never_reads_the_room,
        "messages, cut off; the other: close 1000",
        "WARNING reads too slowly: closed with 1013",
        alone=True,
    ),
    Attack(
        "too-many-of-one-address",
        "20 connections more than one address may have.",
        too_many_of_one_address,
        "503, retry-after: 1; of another address: close 1000",
        "WARNING WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS sets the number",
    ),
    Attack(
        "handshakes-500",
        "500 handshakes at once, each with a message behind.",
        many_handshakes,
        "500 times close 1000",
        BY_CLIENT,
        alone=True,
    ),
)
