"""How ``request.websocket`` keeps within bounds: dead peers, slow ones, and views that spin."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from django.core.signals import request_started
from dwebsocket import threads, websocket
from dwebsocket.exceptions import ConnectionClosed
from serving import PATIENCE

# The owner, and the second of grace.


def test_a_send_to_a_closed_peer_is_dropped_and_counted(sockets):
    ends = sockets.open()
    ends.client.close()
    ends.ends()
    for _ in range(3):
        assert ends.websocket.send("dropped") is None
    assert ends.websocket.ping() is None
    assert ends.websocket._connection.counts["dropped_messages"] == 3


def test_another_thread_may_send_to_a_closed_socket_for_ever(sockets, monkeypatch):
    monkeypatch.setattr(websocket, "GRACE_SECONDS", 0.0)
    ends = sockets.open()
    ends.client.close()
    assert ends.websocket.wait() is None
    for _ in range(100):
        assert ends.websocket.send("dropped") is None


def outlive(socket, begun):
    """Sends until it is told to end; gives the seconds it was let since `begun`."""
    try:
        while True:
            socket.send("has left")
            socket.protocol.write_ping()
            time.sleep(0.005)
    except ConnectionClosed:
        return time.monotonic() - begun


@pytest.mark.alone
def test_the_owner_may_send_for_a_second_from_the_none_it_took(sockets):
    def view(socket):
        begun = time.monotonic()
        while socket.wait() is not None:
            begun = time.monotonic()
        return outlive(socket, begun)

    ends = sockets.open(view)
    ends.client.close()
    assert 1.0 <= ends.result() < 10


@pytest.mark.alone
def test_the_owner_may_send_for_a_second_from_its_first_dropped_message(sockets):
    def view(socket):
        assert socket._connection.wait_closed(PATIENCE)
        return outlive(socket, time.monotonic())

    ends = sockets.open(view)
    ends.client.close()
    assert 1.0 <= ends.result() < 10


@pytest.mark.alone
def test_a_view_that_closed_its_own_socket_gets_its_second_too(sockets):
    def view(socket):
        begun = time.monotonic()
        socket.close()
        return outlive(socket, begun)

    assert 1.0 <= sockets.open(view).result() < 10


def test_the_next_request_on_a_thread_does_not_own_the_socket_of_the_last(sockets, monkeypatch):
    monkeypatch.setattr(websocket, "GRACE_SECONDS", 0.0)

    def view(socket):
        socket.close()
        socket.send("first drop")
        with pytest.raises(ConnectionClosed):
            socket.send("still its own view")
        request_started.send(sender=None, environ={})
        for _ in range(10):
            socket.send("a broadcast of another request")

    sockets.open(view).result()


# Slow clients.


def fill(ends):
    """Sends to a client that reads nothing until the server has to do something about it."""
    message = b"x" * (1 << 20)
    for _ in range(64):
        ends.websocket.send(message, binary=True)
        if ends.websocket.close_code is not None:
            return
    raise AssertionError("the outbox is boundless")


def test_another_sender_closes_a_slow_client_with_1013_and_a_warning_names_it(sockets, caplog):
    sockets.start(outbox_bytes=1 << 20, close_timeout_seconds=0.2)
    ends = sockets.open(raw=True)
    with caplog.at_level(logging.WARNING, "dwebsocket"):
        fill(ends)
    assert ends.websocket.close_code == 1013
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert ends.websocket._connection.peer in record.getMessage()
    assert "1013" in record.getMessage()


@pytest.mark.alone
def test_the_owner_waits_for_a_slow_client_no_longer_than_the_send_timeout(sockets, caplog):
    def view(socket):
        message = b"x" * (1 << 20)
        begun = time.monotonic()
        while socket.close_code is None:
            socket.send(message, binary=True)
        return time.monotonic() - begun

    sockets.start(outbox_bytes=1 << 20, send_timeout_seconds=0.5, close_timeout_seconds=0.2)
    ends = sockets.open(view, raw=True)
    assert 0.5 <= ends.result() < 10
    assert ends.websocket.close_code == 1013
    assert "reads too slowly" in caplog.text


def test_a_thread_that_has_begun_another_request_is_not_the_owner_any_more(sockets):
    def view(socket):
        request_started.send(sender=None, environ={})
        while socket.close_code is None:
            socket.send(b"x" * (1 << 20), binary=True)
        return True

    # The owner would wait for longer than the test does.
    sockets.start(outbox_bytes=1 << 20, send_timeout_seconds=10 * PATIENCE, close_timeout_seconds=0.2)
    ends = sockets.open(view, raw=True)
    assert ends.result()
    assert ends.websocket.close_code == 1013


def test_the_owner_loses_nothing_to_a_client_that_reads_in_time(sockets):
    def view(socket):
        for number in range(64):
            socket.send(bytes([number]) * (1 << 18), binary=True)

    sockets.start(outbox_bytes=1 << 18)
    ends = sockets.open(view)
    assert [message[0] for message in ends.client] == list(range(64))
    ends.result()


def test_the_oldest_messages_of_a_slow_client_may_be_dropped_and_one_warning_says_so(
    sockets, setting, caplog
):
    setting("WEBSOCKET_SLOW_CLIENT", "drop_oldest")
    sockets.start(outbox_bytes=1 << 20, slow_client="drop_oldest", close_timeout_seconds=0.2)
    ends = sockets.open(raw=True)
    message = b"x" * (1 << 20)
    with caplog.at_level(logging.WARNING, "dwebsocket"):
        for _ in range(64):
            ends.websocket.send(message, binary=True)
    assert ends.websocket.closed is False
    assert ends.websocket._connection.counts["dropped_messages"] > 0
    assert ["dropped" in record.getMessage() for record in caplog.records] == [True]


# Views that spin.


@pytest.mark.alone
@pytest.mark.parametrize("poll", ["count_messages", "has_messages", "read", "wait(0)"])
def test_a_view_that_polls_rests_and_still_sees_a_message(sockets, poll):
    looking = threading.Event()

    def view(socket):
        look = (lambda: socket.wait(0)) if poll == "wait(0)" else getattr(socket, poll)
        used, begun = time.thread_time(), time.monotonic()
        while not look():
            if time.monotonic() - begun > 1:
                looking.set()
        used = time.thread_time() - used
        return used / (time.monotonic() - begun)

    ends = sockets.open(view)
    assert looking.wait(PATIENCE)
    ends.client.send("a message")
    # 3 % is the promise on a quiet machine with a release build.
    assert ends.result() < 0.10


def test_the_park_of_a_poll_ends_with_the_message(sockets, setting):
    setting("WEBSOCKET_POLL_PARK_SECONDS", 60.0)
    parked = threading.Event()

    def view(socket):
        for _ in range(threads.POLLS_ELSEWHERE + threads.FREE_POLLS):
            assert socket.has_messages() is False
        parked.set()
        return socket.has_messages(), socket.read()

    ends = sockets.open(view)
    assert parked.wait(PATIENCE)
    ends.client.send("a message")
    assert ends.result() == (True, b"a message")


def test_a_park_of_zero_turns_parking_off(sockets, setting):
    setting("WEBSOCKET_POLL_PARK_SECONDS", 0)
    ends = sockets.open()
    begun = time.monotonic()
    for _ in range(4000):
        assert ends.websocket.count_messages() == 0
    # Parked as by default they would take twenty seconds.
    assert time.monotonic() - begun < 10


def test_the_idle_polls_of_a_request_are_not_counted_in_the_next(sockets, setting):
    setting("WEBSOCKET_POLL_PARK_SECONDS", 0)
    websocket = sockets.open().websocket
    for _ in range(threads.POLLS_ELSEWHERE + threads.FREE_POLLS):
        websocket.has_messages()
    setting("WEBSOCKET_POLL_PARK_SECONDS", 60.0)
    request_started.send(sender=None, environ={})
    # A park would last until the socket ends, which can be seen.
    assert [websocket.has_messages() for _ in range(threads.FREE_POLLS)] == [False] * threads.FREE_POLLS


@pytest.mark.alone
def test_a_thread_that_polls_many_sockets_parks_once_a_round(sockets, setting):
    setting("WEBSOCKET_POLL_PARK_SECONDS", 0.02)
    many = [sockets.open().websocket for _ in range(10)]
    for _ in range(10):
        for each in many:
            each.has_messages()
    begun = time.monotonic()
    for _ in range(20):
        for each in many:
            each.has_messages()
    # Parked at each poll it would take four seconds.
    assert 0.3 < time.monotonic() - begun < 3.5


def test_a_thread_that_sends_between_two_polls_is_not_parked(sockets, setting):
    setting("WEBSOCKET_POLL_PARK_SECONDS", 60.0)
    ends = sockets.open()
    reader = threading.Thread(target=lambda: [ends.client.recv(PATIENCE) for _ in range(500)])
    reader.start()
    for _ in range(500):
        # The first poll may follow the idle ones of another test on this thread.
        ends.websocket.send("busy")
        assert ends.websocket.has_messages() is False
    reader.join(PATIENCE)
