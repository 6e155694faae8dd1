"""A panic below Python ends one exchange: its client is told, and the thread, the place and the others go on.

pyo3 makes an exception of a panic, and a panic again of that exception when it comes back to Rust. So an
application that raises it does to the server what a mistake in the server itself does.
"""

from __future__ import annotations

import functools
import logging
import struct

import pytest
from django.http import HttpResponse
from django.urls import path
from django.utils.functional import Promise
from dwebsocket import _core, accept_websocket
from serving import Serving
from sites import close_of
from sockets import CLOSE, TEXT, RawClient, masked, until

WELL = b"\x81\x04well"


@functools.cache
def panic_exception() -> type[BaseException]:
    """The class that our extension makes panics of; every extension of pyo3 has one of that name."""
    # pyo3 makes it when it first fetches an exception.
    passed_through(LookupError())
    kinds = (kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException")
    # Any other exception comes out as it went in, and not as a new panic.
    return next(kind for kind in kinds if passed_through(exception := kind("a test")) is not exception)


def passed_through(exception: BaseException) -> BaseException:
    """What comes out of our extension where the exception goes in."""

    class Lazy(Promise):
        def __str__(self) -> str:
            raise exception

    try:
        _core.to_json(Lazy())
    except type(exception) as raised:
        return raised
    raise AssertionError("a lazy string is asked for its text")


def panic(*_arguments: object) -> None:
    raise panic_exception()("this panic is part of a test")


def test_a_panic_in_a_view_gets_500_or_1011_and_others_go_on(site, caplog):
    @accept_websocket
    def view(request):
        if request.websocket is None:
            return HttpResponse("well") if "well" in request.GET else panic()
        for message in request.websocket:
            if message == b"panic":
                panic()
            request.websocket.send(message or b"")
        return None

    running = site(path("", view))
    with running.connect() as bystander:
        for round_ in range(5):
            assert running.get()[0] == 500
            assert running.get("/?well")[0] == 200
            with running.connect() as victim:
                victim.send("panic")
                assert close_of(victim) == (1011, "")
            bystander.send(str(round_))
            assert bystander.recv(10) == str(round_)
    until(lambda: running.server.counts["connections"] == 0)
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert {record.name for record in failures} <= {"dwebsocket.server", "django.server"}
    assert sum("the application failed" in record.getMessage() for record in failures) == 10


def application(environ, start_response):
    """Echoes, and keeps its sockets (as applications do that broadcast) and what else it is given."""
    upgrade = environ.get("dwebsocket.upgrade")
    kept.append(start_response)
    if upgrade is None:
        if environ["PATH_INFO"] == "/fail":
            raise LookupError("in the view")
        start_response("200 OK", [("Content-Length", "4")])
        return [b"well"]
    connection = upgrade.accept()
    kept.append(connection)
    while (message := connection.receive()) != b"end":
        if message == b"fail":
            raise LookupError("in the view")
        connection.send(message)
    start_response("200 OK", [])
    return []


kept: list[object] = []


@pytest.fixture
def serving(serve):
    yield serve(application, close_timeout_seconds=1)
    kept.clear()


def goes_on(serving: Serving) -> None:
    """Requests and sockets are served as before."""
    assert serving.get()[1] == b"well"
    client = RawClient(serving, behind_handshake=masked(TEXT, b"well"))
    assert client.receive() == (0x81, b"well")
    client.send(TEXT, b"end")
    assert client.receive() == (0x88, b"\x03\xe8")
    client.send(CLOSE, b"\x03\xe8")
    assert client.receive() is None
    client.close()


@pytest.mark.parametrize("told", ["response", "socket_closed"])
def test_a_panic_in_the_log_of_requests_is_told_and_the_thread_goes_on(serving, caplog, monkeypatch, told):
    goes_on(serving)
    with monkeypatch.context() as patch:
        patch.setattr(serving.log, told, panic)
        for _ in range(3):
            if told == "response":
                assert serving.get()[1] == b"well"
            client = RawClient(serving)
            if told == "socket_closed":
                client.send(TEXT, b"end")
            # It panics within accept() in one case, and behind the end of the view in the other.
            code = {"response": 1011, "socket_closed": 1000}[told]
            assert client.receive() == (0x88, struct.pack("!H", code))
            client.close()
        until(lambda: serving.core.counts["connections"] == 0)
        until(lambda: serving.core.counts["websocket_threads"] + serving.core.counts["http_threads"] == 0)
    assert any("a panic, told of apart" in record.getMessage() for record in caplog.records)
    goes_on(serving)


def test_a_panic_while_a_failure_is_logged_still_answers_and_closes(serving, caplog):
    class Panics(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if "the application failed" in record.getMessage():
                panic()
            return True

    logger, panics = logging.getLogger("dwebsocket.server"), Panics()
    logger.addFilter(panics)
    try:
        client = RawClient(serving)
        client.send(TEXT, b"fail")
        assert client.receive() == (0x88, b"\x03\xf3")
        client.close()
        assert serving.get("/fail")[0].status == 500
    finally:
        logger.removeFilter(panics)
    until(lambda: serving.core.counts["connections"] == 0)
    # The client may have its answer, and the connection its end, before the line is written.
    until(lambda: "a panic, told of apart, ended an exchange" in caplog.text)
    goes_on(serving)
