"""permessage-deflate between the views of Django and the `websockets` client."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from dwebsocket import accept_websocket, require_websocket
from foreign import Start, echoes
from projects import Project
from serving import resident_bytes
from sites import Site, close_of
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection

SiteMaker = Callable[..., Site]

MIB = 1 << 20
ROWS = json.dumps([{"id": number, "name": "WebSocket", "online": True} for number in range(2000)])


def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


def agreed(client: ClientConnection) -> str | None:
    """What the server answered to the client's offers."""
    assert client.response is not None
    return client.response.headers.get("Sec-WebSocket-Extensions")


def offering(**parameters: Any) -> dict[str, Any]:
    """Options of a client that offers to compress."""
    return {"compression": None, "extensions": [ClientPerMessageDeflateFactory(**parameters)]}


FORGETFUL = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def test_nothing_is_compressed_by_default(site: SiteMaker) -> None:
    with site(path("", accept_websocket(echo))).connect(compression="deflate") as client:
        assert agreed(client) is None
        client.send(ROWS)
        assert client.recv(timeout=10) == ROWS


@pytest.mark.parametrize(
    ("setting", "view", "compresses"),
    [(True, None, True), (False, True, True), (True, False, False), (False, False, False)],
)
@pytest.mark.parametrize("decorator", [accept_websocket, require_websocket])
def test_the_decorator_goes_before_the_setting(
    site: SiteMaker, decorator: Any, setting: bool, view: bool | None, compresses: bool
) -> None:
    served = site(path("", decorator(compression=view)(echo)), WEBSOCKET_COMPRESSION=setting)
    with served.connect(compression="deflate") as client:
        assert agreed(client) == (FORGETFUL if compresses else None)
        client.send(ROWS)
        assert client.recv(timeout=10) == ROWS


def test_the_outer_of_two_decorators_that_say_something_counts(site: SiteMaker) -> None:
    served = site(
        path("inner/", accept_websocket(require_websocket(compression=True)(echo))),
        path("outer/", accept_websocket(compression=False)(require_websocket(compression=True)(echo))),
    )
    with served.connect("/inner/", compression="deflate") as client:
        assert agreed(client) == FORGETFUL
    with served.connect("/outer/", compression="deflate") as client:
        assert agreed(client) is None


def test_a_class_based_view_can_be_told_to_compress(site: SiteMaker) -> None:
    @method_decorator(accept_websocket(compression=True), name="dispatch")
    class Echo(View):
        def get(self, request: Any) -> None:
            echo(request)

    with site(path("", Echo.as_view())).connect(compression="deflate") as client:
        assert agreed(client) == FORGETFUL
        client.send(ROWS)
        assert client.recv(timeout=10) == ROWS


def test_a_client_that_offers_nothing_gets_plain_messages(site: SiteMaker) -> None:
    with site(path("", accept_websocket(echo)), WEBSOCKET_COMPRESSION=True).connect() as client:
        assert agreed(client) is None
        client.send(ROWS)
        assert client.recv(timeout=10) == ROWS


def test_the_windows_are_as_the_setting_says(site: SiteMaker) -> None:
    served = site(
        path("", accept_websocket(echo)),
        WEBSOCKET_COMPRESSION=True,
        WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER=True,
        WEBSOCKET_COMPRESSION_WINDOW_BITS=10,
    )
    with served.connect(compression="deflate") as client:
        expected = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"
        assert agreed(client) == expected
        for _ in range(3):
            client.send(ROWS)
            assert client.recv(timeout=10) == ROWS


def offers() -> Iterator[dict[str, Any]]:
    for server_forgets, client_forgets in itertools.product([False, True], repeat=2):
        # Python's zlib deflates with no window of 8 bits, but inflates with one.
        for server_bits, client_bits in [(None, None), (8, 9), (12, True), (15, 15)]:
            yield {
                "server_no_context_takeover": server_forgets,
                "client_no_context_takeover": client_forgets,
                "server_max_window_bits": server_bits,
                "client_max_window_bits": client_bits,
            }


def conversation() -> list[str | bytes]:
    """Messages of all kinds, the same ones over and over, so that there is something to refer to."""
    messages: list[str | bytes] = ["", b"", "short", b"\x00", "é€🦀" * 1000, ROWS, ROWS.encode()]
    noise = zlib.compress(ROWS.encode(), 9) * 3
    return [*messages, noise, bytes(300_000), *messages, ROWS[::-1], *messages]


@pytest.mark.parametrize("takeover", [False, True])
def test_every_offer_of_a_client_is_understood_on_both_sides(site: SiteMaker, takeover: bool) -> None:
    served = site(
        path("", accept_websocket(compression=True)(binary_as_it_came)),
        WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER=takeover,
        WEBSOCKET_COMPRESSION_THRESHOLD_BYTES=1,
        WEBSOCKET_TEXT_AS_STR=True,
    )
    for offer in offers():
        with served.connect(**offering(**offer), max_size=None) as client:
            answer = agreed(client)
            assert answer is not None
            assert ("server_no_context_takeover" in answer) is (
                offer["server_no_context_takeover"] or not takeover
            )
            for message in conversation():
                client.send(message)
                assert client.recv(timeout=10) == message


def binary_as_it_came(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=isinstance(message, bytes))


def test_fragments_of_a_compressed_message_are_one_message(site: SiteMaker) -> None:
    served = site(path("", accept_websocket(echo)), WEBSOCKET_COMPRESSION=True)
    with served.connect(compression="deflate") as client:
        client.send(ROWS[start : start + 1000] for start in range(0, len(ROWS), 1000))
        assert client.recv(timeout=10) == ROWS


def test_a_view_in_many_threads_sends_to_one_client(site: SiteMaker) -> None:
    """A loop over sockets, each with a context of its own, from several views at once."""
    rooms: list[Any] = []

    @accept_websocket(compression=True)
    def chat(request: Any) -> None:
        rooms.append(request.websocket)
        request.websocket.send("welcome")
        for message in request.websocket:
            if message is not None:
                for member in rooms:
                    member.send(message)

    served = site(
        path("", chat),
        WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER=True,
        WEBSOCKET_COMPRESSION_THRESHOLD_BYTES=1,
    )
    with ExitStack() as stack:
        clients = [stack.enter_context(served.connect(compression="deflate")) for _ in range(4)]
        for client in clients:
            assert client.recv(timeout=10) == "welcome"
        sent = [f"{number}: {ROWS[number : number + 5000]}" for number in range(40)]
        for number, message in enumerate(sent):
            clients[number % 4].send(message)
        for client in clients:
            assert sorted(client.recv(timeout=10) for _ in sent) == sorted(sent)


def deflated(data: bytes) -> bytes:
    """A compressed message without its tail."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def bomb() -> bytes:
    """A gigabyte of zeros as one compressed frame: a block of a mebibyte, 1024 times."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    payload = block * 1024 + b"\x00"
    return b"\xc2\xff" + struct.pack("!Q", len(payload)) + bytes(4) + payload


@pytest.mark.alone
def test_a_bomb_closes_with_1009_and_takes_no_more_memory_than_the_limit(site: SiteMaker) -> None:
    served = site(path("", accept_websocket(echo)), WEBSOCKET_COMPRESSION=True)
    explosive = bomb()
    assert len(explosive) < 1.1 * MIB
    before = resident_bytes()
    for _ in range(3):
        with served.connect(compression="deflate") as client:
            client.socket.sendall(explosive[: MIB // 2])
            assert close_of(client) == (1009, f"the client sent a message of more than {16 * MIB} bytes")
    assert resident_bytes() - before < 24 * MIB


def test_text_that_inflates_to_no_utf8_closes_with_1007(site: SiteMaker) -> None:
    served = site(path("", accept_websocket(echo)), WEBSOCKET_COMPRESSION=True)
    with served.connect(compression="deflate") as client:
        payload = deflated(b"abc\xff")
        client.socket.sendall(bytes([0xC1, 0x80 | len(payload)]) + bytes(4) + payload)
        assert close_of(client) == (1007, "the client sent text that is not UTF-8")


def test_a_compressed_message_without_an_agreement_closes_with_1002(site: SiteMaker) -> None:
    with site(path("", accept_websocket(echo))).connect() as client:
        payload = deflated(b"abc")
        client.socket.sendall(bytes([0xC1, 0x80 | len(payload)]) + bytes(4) + payload)
        code, reason = close_of(client)
        assert (code, "reserved bit" in reason) == (1002, True)


def test_a_malformed_offer_is_refused_with_400(site: SiteMaker) -> None:
    served = site(path("", accept_websocket(echo)))
    headers = {**served.HANDSHAKE, "Sec-WebSocket-Extensions": "permessage-deflate; =1"}
    assert served.get(headers=headers)[0] == 400


def test_a_websocket_of_a_projects_own_is_opened_without_compression(site: SiteMaker) -> None:
    from dwebsocket.backends.default import factory

    class OldWebSocket(factory.DefaultWebSocket):
        def accept_connection(self) -> None:  # type: ignore[override]
            super().accept_connection()

    class OldFactory(factory.WebSocketFactory):
        def create_websocket(self) -> Any:
            websocket = super().create_websocket()
            if websocket is not None:
                websocket.__class__ = OldWebSocket
            return websocket

    globals()["OldFactory"] = OldFactory
    served = site(path("", accept_websocket(echo)), WEBSOCKET_FACTORY_CLASS=f"{__name__}.OldFactory")
    with served.connect() as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"


@pytest.mark.parametrize("server", ["runserver", "gthread"])
def test_a_socket_taken_over_from_another_server_compresses(
    foreign_project: Project, serve_with: Start, server: str
) -> None:
    foreign_project.settings("WEBSOCKET_COMPRESSION = True")
    with serve_with(server).connect("/echo/", compression="deflate") as client:
        assert agreed(client) == FORGETFUL
        echoes(client, ROWS, "short", ROWS[::-1])


def test_a_message_below_the_threshold_goes_out_as_it_is(site: SiteMaker) -> None:
    @accept_websocket(compression=True)
    def view(request: Any) -> None:
        request.websocket.send("a" * 1023)
        request.websocket.send("a" * 1024)

    served = site(path("", view))
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        offer = {**served.HANDSHAKE, "Host": "localhost", "Sec-WebSocket-Extensions": "permessage-deflate"}
        lines = [f"{name}: {value}\r\n" for name, value in offer.items()]
        client.sendall(f"GET / HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
        stream = client.makefile("rb")
        while stream.readline() != b"\r\n":
            pass
        assert stream.read(4) == b"\x81\x7e" + struct.pack("!H", 1023)
        assert stream.read(1023) == b"a" * 1023
        first, length = stream.read(2)
        assert first == 0xC1
        inflate = zlib.decompressobj(-15)
        assert inflate.decompress(stream.read(length) + b"\x00\x00\xff\xff") == b"a" * 1024
        stream.close()
