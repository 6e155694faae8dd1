"""Limits of a WebSocket, at the bound and one past it, and what the log says of a client that exceeds one."""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import path
from dwebsocket import accept_websocket
from serving import PATIENCE, resident_bytes
from sites import Site, address_of, close_of, logged
from sockets import BINARY, PING, TEXT, masked, until
from websockets.exceptions import ConnectionClosed

SiteMaker = Callable[..., Site]

CONTINUATION = 0x0


@accept_websocket
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=True)


# Messages and frames.


def test_a_message_of_the_limit_is_taken_and_one_byte_more_closes_with_1009_and_a_warning(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    running = site(path("room/<name>/", lambda request, name: echo(request)), WEBSOCKET_MAX_MESSAGE_BYTES=10)
    with running.connect("/room/b%0A%C3%BCcher/") as client:
        client.send(b"x" * 10)
        assert client.recv(PATIENCE) == b"x" * 10
        address = address_of(client)
        client.send(b"x" * 11)
        assert close_of(client) == (1009, "the client sent a message of more than 10 bytes")
    running.stop()
    assert logged(caplog, logging.WARNING) == [
        f"WebSocket /room/b%0A%C3%BCcher/ of {address} closed with 1009: the client sent a message of more "
        "than 10 bytes; WEBSOCKET_MAX_MESSAGE_BYTES sets how large one may be"
    ]


def test_fragments_of_the_limit_are_taken_and_one_byte_more_closes_with_1009(site: SiteMaker) -> None:
    running = site(path("", echo), WEBSOCKET_MAX_MESSAGE_BYTES=10)
    with running.connect() as client:
        client.send([b"x" * 5, b"y" * 5])
        assert client.recv(PATIENCE) == b"xxxxxyyyyy"
        # It is refused at its second header: the client may hear of it before it has sent the rest.
        with contextlib.suppress(ConnectionClosed):
            client.send([b"x" * 5, b"y" * 6])
        assert close_of(client)[0] == 1009


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_past_the_limit_is_refused_at_its_header(site: SiteMaker, opcode: int) -> None:
    running = site(path("", echo), WEBSOCKET_MAX_MESSAGE_BYTES=70_000)
    header = struct.pack("!BBQ4x", 0x80 | opcode, 0x80 | 127, 70_001)
    client = running.raw()
    try:
        client.send(opcode, b"x" * 70_000)
        assert client.receive() == (0x82, b"x" * 70_000)
        # Not a byte of its payload has to come.
        client.socket.sendall(header)
        frame = client.receive()
        assert frame is not None
        assert (frame[0], frame[1][:2]) == (0x88, struct.pack("!H", 1009))
    finally:
        client.close()


def test_no_number_of_empty_fragments_takes_memory_or_keeps_others_waiting(site: SiteMaker) -> None:
    running = site(path("", echo))
    hostile = running.raw()
    try:
        hostile.socket.sendall(struct.pack("!BB4x", BINARY, 0x80))
        fragments = struct.pack("!BB4x", CONTINUATION, 0x80) * 20_000
        hostile.socket.sendall(fragments)
        before = resident_bytes()
        with running.connect() as client:
            for _ in range(50):
                hostile.socket.sendall(fragments)
                client.send(b"beside")
                assert client.recv(PATIENCE) == b"beside"
        # A million of them. One word kept for each would be 8 MiB.
        assert resident_bytes() - before < 4 << 20
        hostile.socket.sendall(masked(CONTINUATION, b"the end"))
        assert hostile.receive() == (0x82, b"the end")
    finally:
        hostile.close()


# The inbox.


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"inbox_messages": 3}, 3),
        ({"inbox_bytes": 12}, 3),
        ({"inbox_bytes": 3}, 1),
    ],
    ids=["messages", "bytes", "a message that exceeds it alone"],
)
def test_a_full_inbox_stops_the_reading_and_what_waits_outside_is_not_lost(
    sockets: Any, limits: dict[str, int], most: int
) -> None:
    sockets.start(**limits)
    ends = sockets.open(raw=True)
    sent = [f"{number:04}".encode() for number in range(most + 1)]
    for message in sent[:most]:
        ends.client.send(BINARY, message)
    until(lambda: ends.websocket.count_messages() == most)
    # The answer to this Ping would tell that the message in front of it had been read.
    ends.client.send(BINARY, sent[most])
    ends.client.send(PING, b"behind")
    ends.client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ends.client.socket.recv(1)
    ends.client.socket.settimeout(PATIENCE)
    assert ends.websocket.count_messages() == most
    assert ends.websocket.wait(PATIENCE) == sent[0]
    assert [ends.websocket.wait(PATIENCE) for _ in sent[1:]] == sent[1:]
    assert ends.client.receive() == (0x8A, b"behind")


def test_a_message_that_does_not_fit_beside_the_others_waits_for_its_turn(sockets: Any) -> None:
    sockets.start(inbox_bytes=13)
    ends = sockets.open(raw=True)
    sent = [f"{number:04}".encode() for number in range(4)]
    for message in sent:
        ends.client.send(BINARY, message)
    # The last one is read, since one more byte would fit, and not let in.
    until(lambda: ends.websocket._connection.counts["received_messages"] == 4)
    until(lambda: ends.websocket.count_messages() == 3)
    assert [ends.websocket.wait(PATIENCE) for _ in sent] == sent


def test_a_client_that_sends_past_a_full_inbox_is_held_up_by_tcp_and_loses_nothing(sockets: Any) -> None:
    sockets.start(inbox_messages=4)
    ends = sockets.open(raw=True)
    message = masked(BINARY, bytes(60_000))
    sent = 0
    ends.client.socket.settimeout(1)
    with contextlib.suppress(TimeoutError):
        # The buffers of the operating system take some of it.
        while sent < 2_000:
            ends.client.socket.sendall(message)
            sent += 1
    assert ends.websocket.count_messages() == 4
    assert 4 < sent < 2_000
    for _ in range(sent):
        assert len(ends.websocket.wait(PATIENCE)) == 60_000


# Time.


def test_a_client_that_answers_no_ping_is_lost_and_told_of_for_debugging_only(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    @accept_websocket
    def view(request: Any) -> None:
        for _ in request.websocket:
            pass
        ended.set()

    settings = {"WEBSOCKET_PING_INTERVAL_SECONDS": 0.2, "WEBSOCKET_PING_TIMEOUT_SECONDS": 0.2}
    with caplog.at_level(logging.DEBUG, "dwebsocket"):
        running = site(path("", view), **settings)
        client = running.raw()
        try:
            assert client.receive() == (0x89, b"")
            assert ended.wait(PATIENCE)
            address = address_of(client)
        finally:
            client.close()
        running.stop()
    assert logged(caplog, logging.WARNING) == []
    assert (
        f"WebSocket / of {address} is lost: the client answered no Ping in time; "
        "WEBSOCKET_PING_TIMEOUT_SECONDS sets the time"
    ) in logged(caplog, logging.DEBUG)


def test_a_client_that_answers_pings_stays(site: SiteMaker) -> None:
    settings = {"WEBSOCKET_PING_INTERVAL_SECONDS": 0.1, "WEBSOCKET_PING_TIMEOUT_SECONDS": 10.0}
    running = site(path("", echo), **settings)
    client = running.raw()
    try:
        for _ in range(5):
            assert client.receive() == (0x89, b"")
            client.send(0xA)
        client.send(BINARY, b"still here")
        while (received := client.receive()) == (0x89, b""):
            client.send(0xA)
        assert received == (0x82, b"still here")
    finally:
        client.close()


def test_a_client_that_does_not_answer_the_close_is_cut_off(site: SiteMaker) -> None:
    @accept_websocket
    def view(request: Any) -> None:
        request.websocket.send("bye")

    running = site(path("", view), WEBSOCKET_CLOSE_TIMEOUT_SECONDS=0.3)
    client = running.raw()
    try:
        assert client.receive() == (0x81, b"bye")
        assert client.receive() == (0x88, b"\x03\xe8")
        assert client.receive() is None
    finally:
        client.close()


# What a client may not send at all.


@pytest.mark.parametrize(
    ("frame", "code", "sentence"),
    [
        (b"\x81\x02no", 1002, "the client sent a frame that is not masked"),
        (masked(TEXT, b"\xff"), 1007, "the client sent text that is not UTF-8"),
        (masked(0x3), 1002, "the client sent a frame with the reserved opcode 3"),
    ],
)
def test_a_violation_is_closed_with_its_code_and_told_of_for_debugging_only(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, frame: bytes, code: int, sentence: str
) -> None:
    with caplog.at_level(logging.DEBUG, "dwebsocket"):
        running = site(path("", echo))
        client = running.raw()
        try:
            address = address_of(client)
            client.socket.sendall(frame)
            assert client.receive() == (0x88, struct.pack("!H", code) + sentence.encode())
        finally:
            client.close()
        running.stop()
    assert logged(caplog, logging.WARNING) == []
    assert f"WebSocket / of {address} closed with {code}: {sentence}" in logged(caplog, logging.DEBUG)


def test_a_view_may_refuse_a_kind_of_message_with_1003(site: SiteMaker) -> None:
    @accept_websocket
    def text_only(request: Any) -> None:
        for message in request.websocket:
            if isinstance(message, bytes):
                request.websocket.close(1003, "text only")
                break
            if message is not None:
                request.websocket.send(message)

    running = site(path("", text_only), WEBSOCKET_TEXT_AS_STR=True)
    with running.connect() as client:
        client.send("text")
        assert client.recv(PATIENCE) == "text"
        client.send(b"binary")
        assert close_of(client) == (1003, "text only")
