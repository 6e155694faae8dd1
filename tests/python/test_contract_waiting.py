"""The ways of waiting that dwebsocket 0.5.12 has, and the table of the article about them."""

from __future__ import annotations

import select
import threading
import time

import pytest
from dwebsocket.exceptions import ConnectionClosed
from serving import PATIENCE

# The ways of waiting, each a function of (websocket, seconds) that gives a message or None.


def by_wait(websocket, seconds):
    return websocket.wait(seconds)


def by_iteration(websocket, seconds):
    return next(iter(websocket))


def by_select_and_read(websocket, seconds):
    readable, _, _ = select.select([websocket.protocol.sock.fileno()], [], [], seconds)
    return websocket.read() if readable else None


def by_has_messages_and_read(websocket, seconds):
    deadline = time.monotonic() + seconds
    while not websocket.has_messages():
        if time.monotonic() > deadline:
            return None
    return websocket.read()


def by_count_messages_and_read(websocket, seconds):
    deadline = time.monotonic() + seconds
    while websocket.count_messages() == 0:
        if time.monotonic() > deadline:
            return None
    return websocket.read()


def by_read(websocket, seconds):
    deadline = time.monotonic() + seconds
    nothing = object()
    while (message := websocket.read(nothing)) is nothing:
        if time.monotonic() > deadline:
            return None
    return message


WITH_TIMEOUT = [by_wait, by_select_and_read, by_has_messages_and_read, by_count_messages_and_read, by_read]
ways_of_waiting = pytest.mark.parametrize("take", [*WITH_TIMEOUT, by_iteration])


@ways_of_waiting
def test_a_message_that_is_already_there_is_taken(sockets, take):
    ends = sockets.open()
    ends.say("first", "second")
    assert take(ends.websocket, PATIENCE) == b"first"
    assert take(ends.websocket, PATIENCE) == b"second"


@ways_of_waiting
def test_a_message_that_arrives_later_is_taken(sockets, take, in_thread):
    ends = sockets.open()
    begun = threading.Event()

    def taking():
        begun.set()
        return take(ends.websocket, PATIENCE)

    taken = in_thread(taking)
    assert begun.wait(PATIENCE)
    ends.client.send("later")
    assert taken.result(PATIENCE) == b"later"


@pytest.mark.parametrize("take", WITH_TIMEOUT)
@pytest.mark.parametrize("seconds", [0, 0.05])
def test_waiting_ends_with_the_time(sockets, take, seconds):
    ends = sockets.open()
    before = time.monotonic()
    assert take(ends.websocket, seconds) is None
    assert time.monotonic() - before >= seconds
    ends.say("after")
    assert take(ends.websocket, PATIENCE) == b"after"


@ways_of_waiting
def test_waiting_ends_with_none_when_the_client_closes(sockets, take, in_thread):
    ends = sockets.open()
    taken = in_thread(take, ends.websocket, PATIENCE)
    ends.client.close()
    assert taken.result(PATIENCE) is None


# The article's table: what each method gives while nothing came, when a message came, when the client closed.


@pytest.mark.parametrize("call", ["for", "wait"])
def test_the_articles_blocking_methods_block_until_something_comes(sockets, in_thread, call):
    ends = sockets.open()
    iterator = iter(ends.websocket)
    taking = (lambda: next(iterator)) if call == "for" else ends.websocket.wait
    taken = in_thread(taking)
    assert not taken.done()
    ends.client.send("common msg")
    assert taken.result(PATIENCE) == b"common msg"
    taken = in_thread(taking)
    ends.client.close()
    assert taken.result(PATIENCE) is None


@pytest.mark.parametrize(
    ("call", "nothing"), [("read", None), ("has_messages", False), ("count_messages", 0)]
)
def test_the_articles_other_methods_do_not_block(sockets, call, nothing):
    ends = sockets.open()
    assert getattr(ends.websocket, call)() == nothing
    ends.say("common msg")
    if call != "read":
        assert getattr(ends.websocket, call)() == 1
    assert ends.websocket.read() == b"common msg"
    ends.client.close()
    ends.arrives()
    if call != "read":
        assert getattr(ends.websocket, call)() == 1
    assert ends.websocket.read() is None
    with pytest.raises(ConnectionClosed):
        getattr(ends.websocket, call)()


def test_each_message_reaches_exactly_one_of_several_takers(sockets, in_thread):
    ends = sockets.open()

    def by_iterating():
        return [message for message in ends.websocket if message is not None]

    def by_waiting():
        taken = []
        while True:
            try:
                message = ends.websocket.wait()
            except ConnectionClosed:
                # Another was given the None while this one was between two calls.
                return taken
            if message is None:
                return taken
            taken.append(message)

    def by_polling():
        taken = []
        try:
            while not ends.websocket.closed:
                if ends.websocket.has_messages() and (message := ends.websocket.read()) is not None:
                    taken.append(message)
        except ConnectionClosed:
            pass
        return taken

    takers = [in_thread(taker) for taker in (by_iterating, by_waiting, by_polling) * 2]
    for number in range(1000):
        ends.client.send(str(number))
    ends.client.close()
    taken = [int(message) for taker in takers for message in taker.result(PATIENCE)]
    assert sorted(taken) == list(range(1000))
