"""``_core.Server``: configuration, threads, WebSockets, stopping."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import threading
import weakref

import pytest
from dwebsocket import _core
from dwebsocket.exceptions import ConnectionClosed
from serving import PATIENCE, Serving
from sockets import until
from websockets.exceptions import ConnectionClosed as ClientClosed
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


def hello(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


def echo(environ, start_response):
    """Echoes messages until the client closes; plain HTTP gets a greeting."""
    upgrade = environ.get("dwebsocket.upgrade")
    if upgrade is None:
        return hello(environ, start_response)
    connection = upgrade.accept(text_as_str=True)
    while True:
        connection.send(connection.receive())


def view(function):
    """An application that accepts every handshake and calls the function with the connection."""

    def application(environ, start_response):
        upgrade = environ.get("dwebsocket.upgrade")
        if upgrade is None:
            return hello(environ, start_response)
        function(upgrade.accept(text_as_str=True))
        return []

    return application


def unstarted(application=hello, listeners=(), config=None, spawn=print, **arguments):
    return _core.Server(application, list(listeners), config or {}, spawn, **arguments)


# Configuration


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_message_bytes", 1),
        ("inbox_messages", 1),
        ("inbox_bytes", 1),
        ("outbox_bytes", 1),
        ("send_timeout_seconds", 0.5),
        ("slow_client", "close"),
        ("slow_client", "drop_oldest"),
        ("ping_interval_seconds", None),
        ("ping_interval_seconds", 0),
        ("ping_interval_seconds", 20),
        ("compression", True),
        ("compression", 0),
        ("compression_context_takeover", 1.0),
        ("compression_threshold_bytes", 1),
        ("compression_window_bits", 9),
        ("compression_window_bits", 15),
        ("ping_timeout_seconds", 20.0),
        ("close_timeout_seconds", 1),
        ("http_threads", 1),
        ("max_connections", 1),
        ("handshake_threads", 1),
        ("max_header_bytes", 8192),
        ("max_headers", 1),
        ("max_body_bytes", 1),
        ("max_body_bytes", None),
        ("header_timeout_seconds", 1),
        ("body_timeout_seconds", 1),
        ("write_timeout_seconds", 1),
        ("thread_linger_seconds", 0),
        ("io_threads", 1),
    ],
)
def test_every_setting_is_taken(name, value):
    assert unstarted(config={name: value}).stop()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("http_threads", "8", TypeError),
        ("http_threads", 8.0, TypeError),
        ("http_threads", True, TypeError),
        ("http_threads", None, TypeError),
        ("http_threads", 0, ValueError),
        ("http_threads", -1, ValueError),
        ("max_message_bytes", 1 << 70, ValueError),
        ("send_timeout_seconds", "1", TypeError),
        ("send_timeout_seconds", None, TypeError),
        ("send_timeout_seconds", True, TypeError),
        ("send_timeout_seconds", 0, ValueError),
        ("send_timeout_seconds", -1, ValueError),
        ("send_timeout_seconds", float("nan"), ValueError),
        ("send_timeout_seconds", float("inf"), ValueError),
        ("ping_interval_seconds", "off", TypeError),
        ("ping_interval_seconds", -1, ValueError),
        ("slow_client", "drop_newest", ValueError),
        ("slow_client", None, TypeError),
        ("compression", "yes", TypeError),
        ("compression", 2, TypeError),
        ("compression_context_takeover", None, TypeError),
        ("compression_threshold_bytes", 0, ValueError),
        ("compression_window_bits", 8, ValueError),
        ("compression_window_bits", 16, ValueError),
        ("compression_window_bits", 300, ValueError),
    ],
)
def test_a_value_that_will_not_do_names_its_setting(name, value, error):
    with pytest.raises(error, match=name):
        unstarted(config={name: value})


def test_a_setting_that_does_not_exist_is_a_type_error_that_names_it():
    with pytest.raises(TypeError, match="http_thread"):
        unstarted(config={"http_thread": 8})


def test_a_setting_whose_name_is_no_string_is_a_type_error():
    with pytest.raises(TypeError):
        unstarted(config={8: 8})


def test_the_django_settings_are_all_known():
    conf = pytest.importorskip("dwebsocket.conf")
    config = {
        name.removeprefix(conf.PREFIX).lower(): setting.default
        for name, setting in conf.SETTINGS.items()
        if setting.core
    }
    assert unstarted(config=config).stop()


# Listeners


def test_the_listening_socket_stays_the_callers(serve):
    serving = serve(hello)
    serving._listener.close()
    assert serving.get()[1] == b"hello"


def test_several_sockets_are_served():
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        threads = []

        def spawn():
            threads.append(threading.Thread(target=server.work, daemon=True))
            threads[-1].start()

        server = unstarted(listeners=[listener.fileno() for listener in listeners], spawn=spawn)
        server.start()
        for listener in listeners:
            with socket.create_connection(listener.getsockname(), PATIENCE) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert client.makefile("rb").read().endswith(b"hello")
        assert server.stop(timeout=PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)


def test_a_unix_socket_is_served(tmp_path):
    environs = []

    def application(environ, start_response):
        environs.append(environ)
        return hello(environ, start_response)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        threads = []

        def spawn():
            threads.append(threading.Thread(target=server.work, daemon=True))
            threads[-1].start()

        server = unstarted(application, [listener.fileno()], spawn=spawn)
        server.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"hello")
        assert server.stop(timeout=PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
    assert environs[0]["REMOTE_ADDR"] == ""
    assert environs[0]["SERVER_NAME"]
    assert environs[0]["SERVER_PORT"]


@pytest.mark.parametrize("descriptor", [-1, 1 << 20])
def test_what_is_no_socket_is_refused(descriptor):
    with pytest.raises((OSError, ValueError)):
        unstarted(listeners=[descriptor])


def test_a_file_is_refused():
    with open(os.devnull) as file, pytest.raises(OSError, match="ocket"):
        unstarted(listeners=[file.fileno()])


# Starting and stopping


def test_a_server_starts_once(serve):
    serving = serve(hello)
    with pytest.raises(RuntimeError, match="started before"):
        serving.core.start()


def test_a_server_that_was_stopped_does_not_start():
    server = unstarted()
    assert server.stop()
    with pytest.raises(RuntimeError, match="started before"):
        server.start()


def test_stop_may_be_called_twice(serve):
    serving = serve(hello)
    assert serving.stop()
    assert serving.stop()


def test_work_returns_when_the_server_has_stopped(serve):
    serving = serve(hello)
    assert serving.stop()
    serving.core.work()


def test_nothing_is_accepted_after_stop(serve):
    serving = serve(hello)
    serving.get()
    assert serving.stop()
    with pytest.raises(ConnectionRefusedError):
        serving.connect()


def test_a_first_thread_that_cannot_be_started_is_an_error_of_start():
    def spawn():
        raise RuntimeError("can't start new thread")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = unstarted(listeners=[listener.fileno()], spawn=spawn)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            server.start()
        assert server.stop(timeout=PATIENCE)


def test_stop_lets_a_running_request_end(serve):
    running, go_on = threading.Event(), threading.Event()

    def application(environ, start_response):
        running.set()
        assert go_on.wait(PATIENCE)
        return hello(environ, start_response)

    serving = serve(application)
    with serving.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert running.wait(PATIENCE)
        assert serving.core.stop(timeout=0) is False
        go_on.set()
        assert connection.makefile("rb").read().endswith(b"hello")
    assert serving.stop()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_code_that_must_not_be_sent_is_refused(serve, code):
    with pytest.raises(ValueError, match=str(code)):
        serve(hello).core.stop(code)


def test_a_reason_that_does_not_fit_is_refused(serve):
    serving = serve(hello)
    with pytest.raises(ValueError, match="123"):
        serving.core.stop(1001, "x" * 124)
    assert serving.stop(1001, "x" * 123)


def test_a_timeout_that_is_no_number_is_refused(serve):
    with pytest.raises(ValueError, match="timeout"):
        serve(hello).core.stop(timeout=float("nan"))


def test_a_server_in_a_cycle_is_collected():
    class Owner:
        def spawn(self):
            pass

    owner = Owner()
    owner.server = unstarted(spawn=owner.spawn)
    gone = weakref.ref(owner.server)
    del owner
    gc.collect()
    assert gone() is None


# Threads


def test_idle_threads_are_reused(serve):
    names = set()

    def application(environ, start_response):
        names.add(threading.current_thread().name)
        return hello(environ, start_response)

    serving = serve(application)
    with contextlib.closing(serving.http()) as connection:
        for _ in range(200):
            connection.request("GET", "/")
            connection.getresponse().read()
            # A request that comes before the thread of the last is back may start another.
            until(lambda: serving.core.counts["idle_threads"] == len(serving.threads))
    assert len(serving.threads) == 2
    assert names <= {thread.name for thread in serving.threads}


def test_threads_are_reused_after_sockets_until_they_make_way(serve):
    serving = serve(echo)

    def alive() -> int:
        return sum(thread.is_alive() for thread in serving.threads)

    for count in range(50):
        with connect(serving.url) as client:
            client.send("hello")
            assert client.recv() == "hello"
        serving.log.wait(lambda log, closed=count + 1: len(log.closed) == closed)
        until(lambda: serving.core.counts["idle_threads"] == alive())
    # One served and one waited, and after each sixteen sockets another came.
    assert (alive(), len(serving.threads)) == (2, 2 + 50 // 16)


def test_no_more_than_http_threads_run_at_once(serve):
    lock, running, most = threading.Lock(), 0, 0
    both = threading.Barrier(2, timeout=PATIENCE)

    def application(environ, start_response):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1
        return hello(environ, start_response)

    serving = serve(application, http_threads=2)
    clients = [threading.Thread(target=serving.get) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(PATIENCE)
    assert most == 2


def test_sockets_take_no_http_thread(serve):
    serving = serve(echo, http_threads=1, handshake_threads=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(serving.url)) for _ in range(20)]
        assert serving.get()[1] == b"hello"
        for client in clients:
            client.send("hello")
            assert client.recv() == "hello"
        assert serving.core.counts["websocket_threads"] == 20


def test_a_socket_past_the_last_place_gets_503(serve):
    serving = serve(echo, max_connections=2)
    with connect(serving.url), connect(serving.url):
        with pytest.raises(InvalidStatus) as refused:
            connect(serving.url)
        assert refused.value.response.status_code == 503
        assert serving.get()[1] == b"hello"


def test_the_place_of_a_socket_is_free_when_its_view_has_ended(serve):
    serving = serve(echo, max_connections=1)
    for count in range(10):
        with connect(serving.url) as client:
            client.send("hello")
            assert client.recv() == "hello"
        serving.log.wait(lambda log, closed=count + 1: len(log.closed) == closed)
        while serving.core.counts["websocket_threads"]:
            pass


def test_a_thread_that_cannot_be_started_is_a_503_and_an_error_in_the_log(caplog):
    class Failing(Serving):
        def _spawn(self):
            if self.threads:
                raise RuntimeError("can't start new thread")
            super()._spawn()

    serving = Failing(echo).start()
    try:
        for _ in range(2):
            response, _ = serving.get()
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        with pytest.raises(InvalidStatus):
            connect(serving.url)
    finally:
        assert serving.stop()
    assert "no further thread can be started" in caplog.text
    assert serving.thread_errors == []


# WebSockets


def test_a_socket_talks_from_its_first_frame_to_the_close(serve):
    serving = serve(echo)
    with connect(serving.url) as client:
        for message in ("one", "zwei", "\u4e09"):
            client.send(message)
            assert client.recv() == message
    serving.log.wait(lambda log: log.closed)
    assert serving.log.statuses() == [101]
    ((environ, connection, seconds),) = serving.log.closed
    assert environ is serving.log.responses[0][0]
    assert connection.close_reason == (1000, "", "peer")
    assert connection.counts["received_messages"] == 3
    assert 0 <= seconds < PATIENCE


def test_a_view_that_returns_closes_with_1000_behind_its_messages(serve):
    def talk(connection):
        for number in range(100):
            connection.send(str(number))

    serving = serve(view(talk))
    with connect(serving.url) as client:
        assert list(client) == [str(number) for number in range(100)]
        assert client.close_code == 1000


def test_a_view_that_closed_itself_keeps_its_code(serve):
    serving = serve(view(lambda connection: connection.close(4000, "mine")))
    with connect(serving.url) as client:
        with pytest.raises(ClientClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4000, "mine")


def test_a_view_that_raises_closes_with_1011_and_is_logged(serve, caplog):
    def fail(connection):
        connection.receive()
        raise LookupError("broken view")

    serving = serve(view(fail))
    with connect(serving.url) as client:
        client.send("go")
        with pytest.raises(ClientClosed):
            client.recv()
        assert client.close_code == 1011
    serving.log.wait(lambda log: log.closed)
    assert [record.getMessage() for record in caplog.records] == ["GET /: the application failed"]
    assert "LookupError: broken view" in caplog.text


def test_connection_closed_that_leaves_the_view_is_a_normal_end(serve, caplog):
    serving = serve(echo)
    with connect(serving.url):
        pass
    serving.log.wait(lambda log: log.closed)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_connection_closed_of_another_socket_closes_this_one_with_1000(serve):
    def raise_closed(connection):
        raise ConnectionClosed(1001)

    serving = serve(view(raise_closed))
    with connect(serving.url) as client:
        with pytest.raises(ClientClosed):
            client.recv()
        assert client.close_code == 1000


def test_a_server_error_after_the_handshake_closes_with_1011(serve):
    def application(environ, start_response):
        environ["dwebsocket.upgrade"].accept()
        start_response("500 Internal Server Error", [])
        return [b"nobody sees this"]

    serving = serve(application)
    with connect(serving.url) as client:
        with pytest.raises(ClientClosed):
            client.recv()
        assert client.close_code == 1011


def test_what_a_view_returns_after_the_handshake_is_closed_and_not_sent(serve):
    closed = threading.Event()

    class Result:
        def __iter__(self):
            raise AssertionError("nobody iterates over it")

        def close(self):
            closed.set()

    def application(environ, start_response):
        environ["dwebsocket.upgrade"].accept().send("only this")
        start_response("200 OK", [("Content-Length", "5")])
        return Result()

    with connect(serve(application).url) as client:
        assert list(client) == ["only this"]
    assert closed.wait(PATIENCE)


def test_write_after_the_handshake_is_an_error(serve):
    raised = []

    def application(environ, start_response):
        environ["dwebsocket.upgrade"].accept()
        try:
            start_response("200 OK", [])(b"stray")
        except RuntimeError as error:
            raised.append(str(error))
        return []

    with connect(serve(application).url) as client, pytest.raises(ClientClosed):
        client.recv()
    assert raised == ["the request has become a WebSocket"]


def test_a_handshake_may_be_answered_with_plain_http(serve):
    def application(environ, start_response):
        assert "dwebsocket.upgrade" in environ
        start_response("403 Forbidden", [("X-Why", "not today")])
        return [b"no"]

    serving = serve(application)
    with pytest.raises(InvalidStatus) as refused:
        connect(serving.url)
    response = refused.value.response
    assert (response.status_code, response.headers["X-Why"], response.body) == (403, "not today", b"no")
    serving.log.wait(lambda log: log.statuses() == [403])


def test_an_upgrade_cannot_be_accepted_once_the_request_is_over(serve):
    kept = []

    def application(environ, start_response):
        kept.append(environ["dwebsocket.upgrade"])
        return hello(environ, start_response)

    serving = serve(application)
    with pytest.raises(InvalidStatus):
        connect(serving.url)
    serving.stop()
    with pytest.raises(RuntimeError, match="already been answered"):
        kept[0].accept()


def test_an_environ_of_a_handshake_is_freed(serve):
    class Marker:
        pass

    markers = []

    def application(environ, start_response):
        environ["marker"] = marker = Marker()
        markers.append(weakref.ref(marker))
        return hello(environ, start_response)

    serving = serve(application)
    serving.log.response = lambda *arguments: None
    with pytest.raises(InvalidStatus):
        connect(serving.url)
    serving.stop()
    gc.collect()
    assert markers[0]() is None


@pytest.mark.parametrize("code", [1001, 1012])
def test_stop_closes_sockets_with_its_code(serve, code):
    serving = serve(echo)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(serving.url)) for _ in range(5)]
        stopping = threading.Thread(target=serving.stop, args=(code, "bye"))
        stopping.start()
        for client in clients:
            with pytest.raises(ClientClosed):
                client.recv()
            assert (client.close_code, client.close_reason) == (code, "bye")
        stopping.join(PATIENCE)
    assert len(serving.log.closed) == 5


def test_a_client_that_vanishes_ends_its_view(serve):
    ended = []

    def listen(connection):
        try:
            connection.receive()
        except ConnectionClosed as error:
            ended.append(error.code)
            raise

    serving = serve(view(listen))
    with connect(serving.url) as client:
        client.socket.shutdown(socket.SHUT_RDWR)
        serving.log.wait(lambda log: log.closed)
    assert ended == [1006]
