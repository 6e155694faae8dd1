"""The database rule of a socket that waits; on a real PostgreSQL it is tried in test_postgresql.py."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.signals import connection_created
from dwebsocket import _core, database
from dwebsocket.threads import caller
from dwebsocket.websocket import WebSocket
from serving import PATIENCE
from sockets import until


class Database:
    """Stands for a database connection of Django that is open.

    Attributes:
        asked: how often Django's rule was applied to it.
        age: seconds until it is past its age; None: never.
    """

    alias = "default"
    autocommit = True

    def __init__(self, *, in_atomic_block=False, error=None, age=0.0, errors_occurred=False):
        self.connection = object()
        self.in_atomic_block = in_atomic_block
        self.errors_occurred = errors_occurred
        self.error = error
        self.close_at = None if age is None else time.monotonic() + age
        self.asked = 0

    def close_if_unusable_or_obsolete(self):
        self.asked += 1
        if self.close_at is not None and time.monotonic() >= self.close_at:
            self.close()

    def is_usable(self):
        return False

    def chunked_cursor(self):
        return Database()

    def close(self):
        self.connection = None
        if self.error is not None:
            raise self.error


@pytest.fixture
def databases():
    """The database connections of the test's thread."""
    ours = caller()
    ours.databases, ours.released = [], 0.0
    yield ours.databases
    ours.databases = None


def test_a_wait_that_blocks_lets_old_database_connections_go(sockets, databases):
    free, busy = Database(), Database(in_atomic_block=True)
    databases.extend([free, busy])
    ends = sockets.open()
    assert ends.websocket.wait(0.01) is None
    assert (free.connection, busy.asked) == (None, 0)
    assert databases == [busy]


def test_a_wait_that_does_not_block_leaves_the_database_alone(sockets, databases):
    databases.append(Database())
    ends = sockets.open()
    ends.say("there")
    assert ends.websocket.wait() == b"there"
    assert databases[0].asked == 0


@pytest.mark.parametrize(
    "poll", [WebSocket.read, WebSocket.has_messages, lambda websocket: websocket.wait(0)]
)
def test_empty_polls_let_old_database_connections_go_once_in_a_while(sockets, databases, poll):
    first, second = Database(), Database()
    ends = sockets.open()
    databases.append(first)
    assert not poll(ends.websocket)
    assert first.connection is None
    databases.append(second)
    assert not poll(ends.websocket)
    assert second.connection is not None
    caller().released -= 1.0
    assert not poll(ends.websocket)
    assert second.connection is None


@pytest.mark.parametrize("handle", [None, lambda opcode, data: None])
def test_a_wait_wakes_to_let_go_what_has_come_of_age(sockets, databases, handle):
    ageing, ageless = Database(age=0.05), Database(age=None)
    databases.extend([ageing, ageless])
    ends = sockets.open()
    ends.websocket.handle = handle
    began = time.monotonic()
    assert ends.websocket.wait(0.5) is None
    assert time.monotonic() - began >= 0.5
    assert databases == [ageless]


def test_a_message_ends_a_wait_that_wakes_for_the_database(sockets, databases):
    databases.extend([Database(age=0.05), Database(age=3600)])
    ends = sockets.open()

    def send_later():
        until(lambda: len(databases) == 1)
        ends.client.send("there")

    sender = threading.Thread(target=send_later)
    sender.start()
    assert ends.websocket.wait() == b"there"
    sender.join(PATIENCE)


@pytest.mark.parametrize("age", [None, 3600.0])
def test_a_timeout_that_is_no_number_is_refused_whatever_the_database_does(sockets, databases, age):
    databases.append(Database(age=age))
    with pytest.raises(ValueError, match="not a number"):
        sockets.open().websocket.wait(math.nan)


@pytest.mark.parametrize(
    "step",
    [
        lambda ends: ends.websocket.send("hello"),
        lambda ends: ends.websocket.closed,
        lambda ends: (ends.say("there"), ends.websocket.read()),
    ],
    ids=["send", "closed", "read"],
)
def test_views_that_never_wait_lose_broken_connections_and_no_others(sockets, databases, step):
    healthy, busy = Database(), Database(in_atomic_block=True, errors_occurred=True)
    broken = Database(errors_occurred=True)
    databases.extend([healthy, busy, broken])
    step(sockets.open())
    assert [one.connection is None for one in (healthy, busy, broken)] == [False, False, True]


def test_a_database_connection_that_cannot_be_closed_is_logged_and_the_wait_goes_on(
    sockets, databases, caplog
):
    broken, other = Database(error=OperationalError("gone")), Database()
    databases.extend([broken, other])
    ends = sockets.open()
    assert ends.websocket.wait(0.01) is None
    assert other.connection is None
    assert "broke as it was closed" in caplog.text


def on_a_thread(function):
    """Runs something on a thread that has opened nothing before: its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(20)
    (result,) = results
    return result


def test_the_connections_that_a_thread_opens_are_known(sockets):
    ends = sockets.open()

    def view():
        before = connection.connection
        connection.ensure_connection()
        known = list(caller().databases)
        assert ends.websocket.wait(0.01) is None
        return before, known == [connections["default"]], connection.connection, caller().databases

    assert on_a_thread(view) == (None, True, None, [])


def test_a_connection_opened_before_anybody_listened_is_known_at_the_first_wait(sockets):
    ends = sockets.open()

    def view():
        connection.ensure_connection()
        # As if the signal had come too early.
        caller().databases = None
        assert ends.websocket.wait(0.01) is None
        return connection.connection

    assert on_a_thread(view) is None


def test_a_wait_leaves_alone_what_an_iterator_reads_from_until_it_is_given_up(sockets):
    ends = sockets.open()

    def view():
        # The first thing that the thread does with its database.
        cursor = connection.chunked_cursor()
        cursor.execute("SELECT 1 UNION SELECT 2")
        assert ends.websocket.wait(0.01) is None
        rows = cursor.fetchall()
        del cursor
        assert ends.websocket.wait(0.01) is None
        return rows, connection.connection

    assert on_a_thread(view) == ([(1,), (2,)], None)


def test_a_connection_that_breaks_under_an_iterator_heals(sockets, databases):
    broken = Database(errors_occurred=True)
    database._watch_iterators(broken)
    databases.append(broken)
    under_way = broken.chunked_cursor()
    assert sockets.open().websocket.wait(0.01) is None
    assert (broken.asked, broken.connection) == (0, None)
    del under_way


# Where there is nothing to look after, messages take a short way through the core.


def passed(step: Callable[[], object]) -> int:
    """How many messages of a step went the short way."""
    before = _core.passed_the_short_way()
    step()
    return _core.passed_the_short_way() - before


def test_messages_go_the_short_way_where_the_caller_has_no_database_connection(sockets):
    def view(socket):
        socket.send(socket.wait())
        return (
            passed(lambda: socket.send(socket.wait())),
            passed(lambda: socket.send(next(iter(socket)))),
        )

    ends = sockets.open(view)
    for _ in range(3):
        ends.client.send("hello")
    assert ends.result() == (2, 2)


def test_a_database_connection_that_is_opened_ends_the_short_way_until_it_is_let_go(sockets):
    database = Database()

    def view(socket):
        socket.send("long")
        assert passed(lambda: socket.send("short")) == 1
        connection_created.send(sender=Database, connection=database)
        database.errors_occurred = True
        database.in_atomic_block = True
        in_between = passed(lambda: socket.send(socket.wait()))
        database.in_atomic_block = False
        # It is broken, and closed before the next message goes out.
        socket.send("more")
        # Only a wait that blocks forgets it.
        assert socket.wait(0.01) is None
        socket.send("ready")
        return in_between, database.connection, passed(lambda: socket.send(socket.wait()))

    ends = sockets.open(view)
    ends.client.send("between")
    answers = [ends.client.recv(PATIENCE) for _ in range(5)]
    assert answers == ["long", "short", "between", "more", "ready"]
    ends.client.send("third")
    assert ends.client.recv(PATIENCE) == "third"
    assert ends.result() == (0, None, 2)
