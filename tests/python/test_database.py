"""The database rule of a socket that waits."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from dwebsocket import database


class Database:
    """Stands for a database connection of Django."""

    alias = "default"

    def __init__(self, in_atomic_block, error=None):
        self.in_atomic_block = in_atomic_block
        self.error = error
        self.asked = 0

    def close_if_unusable_or_obsolete(self):
        self.asked += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def databases(monkeypatch):
    """Database connections of every thread, for one test."""
    opened = []
    monkeypatch.setattr(database, "_open_connections", lambda: opened)
    monkeypatch.setattr(database, "settings", type("Settings", (), {"configured": True}))
    return opened


def test_a_wait_that_blocks_lets_old_database_connections_go(sockets, databases):
    free, busy = Database(False), Database(True)
    databases.extend([free, busy])
    ends = sockets.open()
    assert ends.websocket.wait(0.01) is None
    assert (free.asked, busy.asked) == (1, 0)


def test_a_wait_that_does_not_block_leaves_the_database_alone(sockets, databases):
    databases.append(Database(False))
    ends = sockets.open()
    ends.say("there")
    assert ends.websocket.wait() == b"there"
    assert ends.websocket.wait(0) is None
    assert ends.websocket.read() is None
    assert databases[0].asked == 0


def test_a_database_connection_that_cannot_be_closed_is_logged_and_the_wait_goes_on(
    sockets, databases, caplog
):
    broken, other = Database(False, OperationalError("gone")), Database(False)
    databases.extend([broken, other])
    ends = sockets.open()
    assert ends.websocket.wait(0.01) is None
    assert other.asked == 1
    assert "broke as it was closed" in caplog.text
