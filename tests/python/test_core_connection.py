"""The primitives below ``request.websocket``."""

from __future__ import annotations

import pytest
from dwebsocket import _core
from dwebsocket.exceptions import ConnectionClosed
from serving import PATIENCE


def test_the_core_raises_what_the_stub_promises(sockets):
    ends = sockets.open()
    connection = ends.websocket._connection
    assert isinstance(connection, _core.Connection)
    with pytest.raises(TimeoutError):
        connection.receive(0)
    with pytest.raises(TimeoutError):
        connection.receive(timeout=0.01)
    assert connection.receive_now() is None
    assert connection.receive_now_with_opcode() is None
    assert connection.wait_readable(0.01) is False
    assert connection.wait_closed(0.01) is False
    assert connection.close_reason is None
    ends.say("text", b"binary")
    assert connection.pending == 2
    assert connection.receive_now_with_opcode() == (1, b"text")
    assert connection.receive_now_with_opcode() == (2, b"binary")
    connection.close(4000, "over")
    assert connection.close_reason == (4000, "over", "us")
    with pytest.raises(ConnectionClosed):
        connection.receive()
    with pytest.raises(ConnectionClosed):
        connection.send("x")
    with pytest.raises(ConnectionClosed):
        connection.ping()
    assert connection.wait_closed(PATIENCE) is True


@pytest.mark.parametrize("wait", ["receive", "wait_readable", "wait_closed"])
def test_the_core_refuses_a_timeout_that_is_not_a_number(sockets, wait):
    connection = sockets.open().websocket._connection
    with pytest.raises(ValueError, match="not a number"):
        getattr(connection, wait)(float("nan"))


def test_the_close_reason_names_who_ended_it(sockets):
    peer, lost, us = (sockets.open(raw=True) for _ in range(3))
    peer.client.send(0x8, b"\x03\xe9")
    lost.client.close()
    us.websocket.close(1000, "done")
    for ends in (peer, lost):
        ends.ends()
    assert peer.websocket._connection.close_reason == (1001, "", "peer")
    assert lost.websocket._connection.close_reason == (1006, "", "lost")
    assert us.websocket._connection.close_reason == (1000, "done", "us")
