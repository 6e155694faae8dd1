"""One set of scenarios for clients of three independent libraries, on a server of ours."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from clients import CLIENTS, Client, Opening, Refused
from django.http import HttpResponse, HttpResponseForbidden
from django.urls import path
from dwebsocket import accept_websocket
from sites import Site
from sockets import PATIENCE, PONG, until

SiteMaker = Callable[..., Site]

SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]
"""Bytes of a payload: where a frame's header takes another form (RFC 6455 section 5.2), and a large one."""


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> type[Client]:
    return CLIENTS[request.param]


@accept_websocket
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=isinstance(message, bytes))


def text_of(size: int) -> str:
    """Text of so many bytes in UTF-8, of characters of one to four bytes where there is room."""
    text = "aé€🦀" * (size // 10)
    return text + "b" * (size - len(text.encode()))


def messages() -> list[str | bytes]:
    return [message for size in SIZES for message in (text_of(size), random.Random(size).randbytes(size))]


def kind(message: str | bytes) -> str:
    return "text" if isinstance(message, str) else "binary"


def test_messages_of_every_size_come_back_as_they_went(site: SiteMaker, client: type[Client]) -> None:
    served = site(path("", echo), WEBSOCKET_TEXT_AS_STR=True)
    with client(Opening(served.port)) as open_client:
        for message in messages():
            open_client.send(message)
            assert open_client.receive() == (kind(message), message)


def test_fragments_are_one_message_and_a_ping_between_them_is_answered(
    site: SiteMaker, client: type[Client]
) -> None:
    served = site(path("", echo), WEBSOCKET_TEXT_AS_STR=True)
    with client(Opening(served.port)) as open_client:
        for message in messages():
            piece = max(1, len(message) // 3)
            pieces: list[Any] = [message[at : at + piece] for at in range(0, len(message), piece)] or [
                message
            ]
            open_client.send_fragments([*pieces, message[:0]], ping=b"between")
            assert open_client.receive() == ("pong", b"between")
            assert open_client.receive() == (kind(message), message)


def test_pings_of_the_client_are_answered_with_their_data(site: SiteMaker, client: type[Client]) -> None:
    with client(Opening(site(path("", echo)).port)) as open_client:
        for data in (b"", b"ping", bytes(range(125))):
            open_client.ping(data)
            assert open_client.receive() == ("pong", data)


def test_pings_of_a_view_are_answered_with_their_data(site: SiteMaker, client: type[Client]) -> None:
    payloads = [b"", b"ping", bytes(range(125))]
    pongs: list[bytes] = []

    @accept_websocket
    def view(request: Any) -> None:
        heard: list[Any] = []
        request.websocket.handle = lambda opcode, data: heard.append((opcode, data))
        for payload in payloads:
            request.websocket.ping(payload)
        # Pongs are told of when a message is taken: one that the client sends when it has had the Pings.
        request.websocket.send("ready")
        assert request.websocket.wait(PATIENCE) == "go"
        pongs.extend(data for opcode, data in heard if opcode == PONG)

    served = site(path("", view), WEBSOCKET_TEXT_AS_STR=True)
    with client(Opening(served.port)) as open_client:
        assert open_client.receive() == ("text", "ready")
        open_client.send("go")
        assert open_client.receive() == ("close", 1000, "")
    assert pongs == payloads


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "going"), (4001, "goodbye 🦀"), (4999, "x" * 123)]
)
def test_the_close_of_a_client_reaches_the_view_and_is_answered(
    site: SiteMaker, client: type[Client], code: int, reason: str
) -> None:
    seen = []

    @accept_websocket
    def view(request: Any) -> None:
        assert request.websocket.wait(PATIENCE) is None
        seen.append((request.websocket.close_code, request.websocket.close_reason))

    served = site(path("", view))
    with client(Opening(served.port)) as open_client:
        assert open_client.close(code, reason) == ("close", code, reason)
    served.stop()
    assert seen == [(code, reason)]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4002, "done 🦀"), (3000, "x" * 123)])
def test_the_close_of_a_view_reaches_the_client_and_is_answered(
    site: SiteMaker, client: type[Client], code: int, reason: str
) -> None:
    ends = []

    @accept_websocket
    def view(request: Any) -> None:
        request.websocket.send("last words")
        request.websocket.close(code, reason)
        # Without the client's Close this would last as long as WEBSOCKET_CLOSE_TIMEOUT_SECONDS.
        connection = request.websocket._connection
        ends.append((connection.wait_closed(PATIENCE), connection.close_reason))

    served = site(path("", view), WEBSOCKET_CLOSE_TIMEOUT_SECONDS=2 * PATIENCE)
    with client(Opening(served.port)) as open_client:
        assert open_client.receive() == ("text", "last words")
        assert open_client.receive() == ("close", code, reason)
        until(lambda: bool(ends))
    assert ends == [(True, (code, reason, "us"))]


def test_a_view_that_returns_closes_with_1000_and_one_that_raises_with_1011(
    site: SiteMaker, client: type[Client]
) -> None:
    @accept_websocket
    def raises(request: Any) -> None:
        raise LookupError("in the view")

    served = site(path("returns/", accept_websocket(lambda request: None)), path("raises/", raises))
    with client(Opening(served.port, "/returns/")) as open_client:
        assert open_client.receive() == ("close", 1000, "")
    with client(Opening(served.port, "/raises/")) as open_client:
        assert open_client.receive()[:2] == ("close", 1011)


def test_the_subprotocol_is_the_one_that_the_view_chooses(site: SiteMaker, client: type[Client]) -> None:
    def choose(request: Any) -> None:
        upgrade = request.environ["dwebsocket.upgrade"]
        assert upgrade.subprotocols == ("v1.chat", "v2.chat")
        connection = upgrade.accept("v2.chat")
        connection.close(1000)
        connection.wait_closed(PATIENCE)

    served = site(path("", choose), path("none/", echo))
    with client(Opening(served.port, subprotocols=["v1.chat", "v2.chat"])) as open_client:
        assert open_client.subprotocol == "v2.chat"
    with client(Opening(served.port, "/none/")) as open_client:
        assert open_client.subprotocol == ""


ANSWERS = {
    ("websockets", True): "permessage-deflate",
    ("websockets", False): "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    # It offers the windows in numbers.
    ("wsproto", True): "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
    ("wsproto", False): "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=15; client_max_window_bits=15",
    ("ws", True): "permessage-deflate",
    ("ws", False): "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
}
"""By client and whether the contexts are kept: what is agreed on."""


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("keeps", [False, True])
def test_compression_is_agreed_on_and_used(site: SiteMaker, name: str, keeps: bool) -> None:
    """Digits deflate to half of them; what went before to next to nothing, where the context is kept."""
    sent = []

    @accept_websocket(compression=True)
    def view(request: Any) -> None:
        connection = request.websocket._connection
        for message in request.websocket:
            if message is not None:
                before = connection.counts["sent_bytes"]
                request.websocket.send(message, binary=isinstance(message, bytes))
                sent.append(connection.counts["sent_bytes"] - before)

    served = site(path("", view), WEBSOCKET_TEXT_AS_STR=True, WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER=True)
    digits = random.Random(7692).randbytes(2048).hex()
    with CLIENTS[name](Opening(served.port, forgetful=not keeps)) as client:
        assert client.extensions == ANSWERS[name, keeps]
        for message in (digits, digits, digits.encode(), *messages()):
            client.send(message)
            assert client.receive() == (kind(message), message)
    first, *again = sent[:3]
    assert 2048 < first < 3072
    assert all(size < 256 if keeps else size == first for size in again), again


def test_fragments_of_a_compressed_message_are_one_message(site: SiteMaker, client: type[Client]) -> None:
    served = site(path("", echo), WEBSOCKET_TEXT_AS_STR=True, WEBSOCKET_COMPRESSION=True)
    text = text_of(100_000)
    with client(Opening(served.port, forgetful=False)) as open_client:
        for _ in range(3):
            pieces = [text[at : at + 10_000] for at in range(0, len(text), 10_000)]
            open_client.send_fragments(pieces, ping=b"between")
            assert open_client.receive() == ("pong", b"between")
            assert open_client.receive() == ("text", text)


def test_a_refused_handshake_is_seen_with_its_status(site: SiteMaker, client: type[Client]) -> None:
    served = site(
        path("", echo),
        path("forbidden/", lambda request: HttpResponseForbidden("no")),
        path("busy/", lambda request: HttpResponse(status=503, headers={"Retry-After": "7"})),
    )
    for opening, status, headers in [
        (Opening(served.port, "/forbidden/"), 403, {"content-length": "2"}),
        (Opening(served.port, headers={"Origin": "http://evil.example"}), 403, {}),
        (Opening(served.port, "/busy/"), 503, {"retry-after": "7"}),
        (Opening(served.port, version=8), 426, {"sec-websocket-version": "13"}),
    ]:
        with pytest.raises(Refused) as refused:
            client(opening)
        assert refused.value.status == status
        assert headers.items() <= dict(refused.value.headers).items()


def test_a_burst_keeps_its_order_in_both_directions(site: SiteMaker, client: type[Client]) -> None:
    count = 3000
    taken = []

    @accept_websocket
    def view(request: Any) -> None:
        for _ in range(count):
            taken.append(request.websocket.wait(PATIENCE))
        for number in range(count):
            request.websocket.send(f"down {number}")

    served = site(path("", view), WEBSOCKET_TEXT_AS_STR=True)
    with client(Opening(served.port)) as open_client:
        for number in range(count):
            open_client.send(f"up {number}")
        received = [open_client.receive() for _ in range(count + 1)]
    assert taken == [f"up {number}" for number in range(count)]
    assert received == [*(("text", f"down {number}") for number in range(count)), ("close", 1000, "")]
