"""``_core.Server.drain`` and ``wait``: an end without haste."""

from __future__ import annotations

import math
import threading

import pytest
from serving import PATIENCE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def echo(environ, start_response):
    upgrade = environ.get("dwebsocket.upgrade")
    if upgrade is None:
        start_response("200 OK", [])
        return [b"hello"]
    connection = upgrade.accept(text_as_str=True)
    while True:
        connection.send(connection.receive())


def test_drain_closes_sockets_with_its_code_and_stop_changes_nothing_of_it(serve) -> None:
    serving = serve(echo)
    with connect(serving.url, ping_interval=None) as client:
        serving.core.drain(1012, "again", 600.0, 600.0)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "again")
    assert serving.core.wait(PATIENCE)


def test_stop_makes_haste_of_a_drain(serve) -> None:
    serving = serve(echo)
    with connect(serving.url, ping_interval=None) as one, connect(serving.url, ping_interval=None) as two:
        serving.core.drain(1012, "", 600.0, 600.0)
        assert not serving.core.wait(0.01)
        threading.Thread(target=serving.core.stop, args=(1001, "", PATIENCE)).start()
        for client in (one, two):
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(PATIENCE)
            assert closed.value.rcvd.code == 1012
    assert serving.stop()


def test_requests_that_wait_for_a_thread_get_one_after_drain(serve) -> None:
    running, go = threading.Barrier(2, timeout=PATIENCE), threading.Barrier(2, timeout=PATIENCE)

    def held(environ, start_response):
        running.wait()
        go.wait()
        return echo(environ, start_response)

    serving = serve(held, http_threads=1)
    first, second = serving.connect(), serving.connect()
    first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    running.wait()
    second.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    serving.core.drain(linger=600.0)
    assert not serving.core.wait(0.01)
    for client, other in ((first, True), (second, False)):
        go.wait()
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
        client.close()
        if other:
            running.wait()
    assert serving.core.wait(PATIENCE)


@pytest.mark.parametrize(
    "arguments", [(1005,), (1001, "x" * 124), (1001, "", math.nan), (1001, "", 0.0, math.nan)]
)
def test_what_cannot_be_said_or_waited_for_is_refused(serve, arguments) -> None:
    serving = serve(echo)
    with pytest.raises(ValueError, match=r"close code|123 bytes|the (spread|linger) is not"):
        serving.core.drain(*arguments)
    with pytest.raises(ValueError, match="the timeout is not"):
        serving.core.wait(math.nan)
