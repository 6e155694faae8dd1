"""``_core.Server`` and forks: the child has none of its parent's threads, and builds what it needs anew."""

from __future__ import annotations

import threading

import pytest
from dwebsocket import _core
from serving import Serving, in_child
from websockets.sync.client import connect

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def echo(environ, start_response):
    """Echoes messages until the client closes; plain HTTP gets a greeting."""
    upgrade = environ.get("dwebsocket.upgrade")
    if upgrade is None:
        start_response("200 OK", [])
        return [b"hello"]
    connection = upgrade.accept(text_as_str=True)
    while True:
        connection.send(connection.receive())


def serve_and_stop() -> None:
    own = Serving(echo).start()
    assert own.get()[1] == b"hello"
    with connect(own.url) as client:
        for message in ("in", "the", "child"):
            client.send(message)
            assert client.recv() == message
    assert own.stop()
    _core.shutdown()


def test_a_forked_child_serves_with_a_server_of_its_own(serve):
    serving = serve(echo)
    assert serving.get()[1] == b"hello"

    def refuse_then_serve():
        for refused in (serving.core.start, serving.core.work):
            with pytest.raises(RuntimeError, match="forked"):
                refused()
        assert serving.core.stop() is True
        serve_and_stop()

    assert in_child(refuse_then_serve) == 0
    assert serving.get()[1] == b"hello"


def test_a_child_forked_while_many_sockets_are_busy_serves_sockets(serve):
    serving = serve(echo)
    over = threading.Event()

    def keep_busy():
        with connect(serving.url) as client:
            while not over.is_set():
                client.send("busy")
                assert client.recv() == "busy"

    threads = [threading.Thread(target=keep_busy) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(serve_and_stop) for _ in range(20)] == [0] * 20
    finally:
        over.set()
        for thread in threads:
            thread.join()
