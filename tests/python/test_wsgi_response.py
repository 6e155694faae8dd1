"""``start_response``, ``write`` and the iterable of PEP 3333."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading

import pytest

SERVER_LOG = "dwebsocket.server"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Result:
    """An iterable that counts how often it is closed."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.closed = 0
        self.is_closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        self.closed += 1
        self.is_closed.set()


def answering(result, status="200 OK", headers=()):
    """An application with this answer."""

    def application(environ, start_response):
        start_response(status, list(headers))
        return result

    return application


def errors(caplog):
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def headers_of(answer):
    head = answer.split(b"\r\n\r\n")[0].decode("latin-1")
    lines = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
    return {name.lower(): value for name, value in lines}


# Bodies


@pytest.mark.parametrize("pieces", [[b"whole"], (b"whole",), [b"wh", b"", b"ole"], (b"w", b"hole")])
def test_a_list_is_sent_with_its_length(serve, pieces):
    response, body = serve(answering(pieces)).get()
    assert body == b"whole"
    assert response.getheader("Content-Length") == "5"
    assert response.getheader("Transfer-Encoding") is None


@pytest.mark.parametrize("result", [[], (), [b""], iter([]), iter([b"", b""])])
def test_an_empty_result_is_a_response_without_a_body(serve, result):
    response, body = serve(answering(result)).get()
    assert (response.status, body) == (200, b"")
    assert response.getheader("Content-Length") == "0"


def test_a_declared_length_is_kept(serve):
    response, body = serve(answering([b"whole"], headers=[("Content-Length", "5")])).get()
    assert (response.getheader("Content-Length"), body) == ("5", b"whole")


def test_a_large_list_is_sent_with_its_length(serve):
    pieces = [b"x" * 700_001, b"y" * 300_000]
    response, body = serve(answering(pieces)).get()
    assert response.getheader("Content-Length") == "1000001"
    assert body == b"".join(pieces)


def test_a_generator_without_a_length_is_sent_in_chunks(serve):
    response, body = serve(answering(iter([b"one", b"", b"two"]))).get()
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert response.getheader("Content-Length") is None
    assert body == b"onetwo"


def test_a_generator_with_its_length_is_sent_without_chunks(serve):
    response, body = serve(answering(iter([b"one", b"two"]), headers=[("Content-Length", "6")])).get()
    assert response.getheader("Transfer-Encoding") is None
    assert body == b"onetwo"


def test_a_generator_of_one_piece_with_its_length_is_sent_at_once(serve):
    response, body = serve(answering(iter([b"", b"whole", b""]), headers=[("Content-Length", "5")])).get()
    assert (response.getheader("Content-Length"), body) == ("5", b"whole")


def test_each_piece_reaches_the_client_before_the_next_is_asked_for(serve):
    received = threading.Semaphore(0)
    delivered = []

    def pieces():
        for number in range(5):
            yield b"%d;" % number
            delivered.append(received.acquire(timeout=10))

    with serve(answering(pieces())).connect() as connection:
        connection.sendall(CLOSE)
        stream = connection.makefile("rb")
        while stream.readline() != b"\r\n":
            pass
        for number in range(5):
            assert stream.readline() == b"2\r\n"
            assert stream.readline() == b"%d;\r\n" % number
            received.release()
        assert stream.read() == b"0\r\n\r\n"
    assert delivered == [True] * 5


def test_an_http_1_0_client_gets_a_stream_until_the_connection_closes(serve):
    answer = serve(answering(iter([b"one", b"two"]))).talk(b"GET / HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nonetwo")
    assert "transfer-encoding" not in headers_of(answer)


def test_a_result_may_be_any_iterable(serve):
    class Sequence:
        def __getitem__(self, at):
            return [b"a", b"b"][at]

    assert serve(answering(Sequence())).get()[1] == b"ab"


# start_response


def test_status_reason_and_headers_are_sent_as_given(serve):
    fields = [("X-One", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9")]
    response, _ = serve(answering([], "299 Quite Fine", fields)).get()
    assert (response.status, response.reason) == (299, "Quite Fine")
    assert response.getheader("X-One") == "1"
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert response.getheader("X-Latin") == "caf\xe9"


def test_an_unusual_reason_for_a_usual_status_is_sent(serve):
    response, _ = serve(answering([], "404 Gone Fishing")).get()
    assert (response.status, response.reason) == (404, "Gone Fishing")


def test_a_generator_may_call_start_response_when_its_first_piece_is_asked_for(serve):
    def application(environ, start_response):
        start_response("201 Created", [("X-Late", "yes")])
        yield b"late"

    response, body = serve(application).get()
    assert (response.status, response.getheader("X-Late"), body) == (201, "yes", b"late")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (b"200 OK", TypeError),
        (200, TypeError),
        (None, TypeError),
        ("OK", ValueError),
        ("", ValueError),
        ("20 OK", ValueError),
        ("2000 OK", ValueError),
        ("099 Low", ValueError),
        ("100 Continue", ValueError),
        ("101 Switching Protocols", ValueError),
        ("200 O\r\nK", ValueError),
        ("200 O\0K", ValueError),
        ("200 \u20ac", ValueError),
    ],
)
def test_a_status_that_http_cannot_say_is_refused(serve, status, error):
    raised = []

    def application(environ, start_response):
        with pytest.raises(error, match="status") as caught:
            start_response(status, [])
        raised.append(repr(status) in str(caught.value))
        start_response("200 OK", [])
        return []

    assert serve(application).get()[0].status == 200
    assert raised == [True]


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ((("A", "b"),), TypeError),
        ({"A": "b"}, TypeError),
        (None, TypeError),
        (["A: b"], TypeError),
        ([["A", "b"]], TypeError),
        ([("A",)], TypeError),
        ([("A", "b", "c")], TypeError),
        ([("A", 1)], TypeError),
        ([(b"A", "b")], TypeError),
        ([("A", b"b")], TypeError),
        ([("A", "b\r\nX: y")], ValueError),
        ([("A", "b\nc")], ValueError),
        ([("A", "b\rc")], ValueError),
        ([("A", "b\0c")], ValueError),
        ([("A", "\u20ac")], ValueError),
        ([("A b", "c")], ValueError),
        ([("A:", "c")], ValueError),
        ([("", "c")], ValueError),
        ([("A\r\n", "c")], ValueError),
        ([("\xe9", "c")], ValueError),
        ([("Content-Length", "five")], ValueError),
        ([("Content-Length", "-5")], ValueError),
        ([("Content-Length", "")], ValueError),
        ([("Content-Length", "5"), ("content-length", "5")], ValueError),
    ],
)
def test_headers_that_http_cannot_say_are_refused(serve, headers, error):
    raised = []

    def application(environ, start_response):
        try:
            start_response("200 OK", headers)
        except error as caught:
            raised.append(caught)
        start_response("200 OK", [])
        return []

    assert serve(application).get()[0].status == 200
    assert len(raised) == 1


def test_fields_of_the_connection_are_left_to_the_server(serve):
    fields = [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "identity"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("X-Kept", "yes"),
    ]
    answer = serve(answering([b"body"], headers=fields)).talk(CLOSE)
    assert answer.endswith(b"\r\n\r\nbody")
    assert set(headers_of(answer)) <= {"x-kept", "content-length", "connection", "date"}
    assert headers_of(answer)["x-kept"] == "yes"


def test_an_application_may_close_the_connection(serve):
    answer = serve(answering([b"body"], headers=[("Connection", "close")])).talk(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert answer.endswith(b"\r\n\r\nbody")
    assert headers_of(answer)["connection"] == "close"


def test_a_second_start_response_without_exc_info_is_an_error(serve):
    raised = []

    def application(environ, start_response):
        start_response("200 OK", [])
        with pytest.raises(RuntimeError, match="start_response was called before"):
            start_response("201 Created", [])
        raised.append(True)
        return []

    assert serve(application).get()[0].status == 200
    assert raised == [True]


def test_exc_info_replaces_a_head_that_is_not_sent(serve):
    def application(environ, start_response):
        start_response("200 OK", [("X-First", "yes")])
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Sorry", [("X-Second", "yes")], sys.exc_info())
        return [b"sorry"]

    response, body = serve(application).get()
    assert (response.status, response.reason, body) == (500, "Sorry", b"sorry")
    assert response.getheader("X-First") is None
    assert response.getheader("X-Second") == "yes"


def test_exc_info_is_raised_again_once_the_head_is_sent(serve):
    raised = []

    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise LookupError("too late")
        except LookupError as error:
            try:
                start_response("500 Sorry", [], sys.exc_info())
            except LookupError as again:
                raised.append(again is error)
        yield b", ended"

    assert serve(application).get()[1] == b"begun, ended"
    assert raised == [True]


def test_exc_info_that_is_none_is_none(serve):
    def application(environ, start_response):
        start_response("200 OK", [], None)
        return [b"fine"]

    assert serve(application).get()[1] == b"fine"


# write


def test_write_sends_before_the_result(serve):
    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one,")
        write(b"")
        write(b"two,")
        return [b"three"]

    assert serve(application).get()[1] == b"one,two,three"


def test_write_sends_at_once(serve):
    go_on = threading.Event()

    def application(environ, start_response):
        write = start_response("200 OK", [("Content-Length", "10")])
        write(b"first")
        assert go_on.wait(10)
        write(b"later")
        return []

    with serve(application).connect() as connection:
        connection.sendall(CLOSE)
        received = b""
        while not received.endswith(b"first"):
            received += connection.recv(1 << 16)
        go_on.set()
        assert connection.recv(1 << 16) == b"later"


@pytest.mark.parametrize("piece", ["text", None, 5, bytearray(b"x")])
def test_write_takes_bytes_only(serve, piece):
    raised = []

    def application(environ, start_response):
        try:
            start_response("200 OK", [])(piece)
        except TypeError as error:
            raised.append(error)
        return []

    serve(application).get()
    assert len(raised) == 1


def test_write_raises_an_os_error_when_the_client_is_gone(serve):
    raised = []

    def application(environ, start_response):
        write = start_response("200 OK", [])
        try:
            while True:
                write(b"x" * 65536)
        except OSError as error:
            raised.append(error)
            raise

    serving = serve(application)
    with serving.connect() as connection:
        connection.sendall(CLOSE)
        connection.recv(10)
    serving.log.wait(lambda log: log.responses)
    assert isinstance(raised[0], ConnectionError)


# Lengths that do not fit


def test_more_bytes_than_declared_are_cut_and_logged(serve, caplog):
    serving = serve(answering([b"four", b"more"], headers=[("Content-Length", "4")]))
    assert serving.talk(CLOSE).endswith(b"\r\n\r\nfour")
    serving.stop()
    assert [record.getMessage() for record in errors(caplog)] == [
        "GET /: the body is longer than its Content-Length and was cut"
    ]


@pytest.mark.parametrize("pieces", [[b"four", b"more"], [b"fo", b"urmore"]])
def test_a_stream_of_more_bytes_than_declared_is_cut_and_logged(serve, caplog, pieces):
    serving = serve(answering(iter(pieces), headers=[("Content-Length", "4")]))
    assert serving.talk(CLOSE).endswith(b"\r\n\r\nfour")
    serving.stop()
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize("kind", [list, iter])
def test_fewer_bytes_than_declared_close_the_connection_early(serve, caplog, kind):
    serving = serve(answering(kind([b"four"]), headers=[("Content-Length", "5")]))
    answer = serving.talk(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nfour")
    assert headers_of(answer)["content-length"] == "5"
    serving.stop()
    assert [record.getMessage() for record in errors(caplog)] == [
        "GET /: the body is shorter than its Content-Length; the connection is closed"
    ]


# Responses without a body


@pytest.mark.parametrize("result", [[b"whole"], (b"who", b"le")])
def test_head_has_the_length_and_no_body(serve, result):
    answer = serve(answering(result)).talk(CLOSE.replace(b"GET", b"HEAD"))
    assert answer.endswith(b"\r\n\r\n")
    assert headers_of(answer)["content-length"] == "5"


def test_head_with_a_declared_length_and_an_empty_result_is_whole(serve, caplog):
    serving = serve(answering([], headers=[("Content-Length", "5")]))
    assert headers_of(serving.talk(CLOSE.replace(b"GET", b"HEAD")))["content-length"] == "5"
    serving.stop()
    assert errors(caplog) == []


def test_head_takes_no_more_than_the_first_piece_of_a_stream(serve):
    taken = []

    def application(environ, start_response):
        start_response("200 OK", [])
        for number in range(1000):
            taken.append(number)
            yield b"piece"

    serving = serve(application)
    assert serving.talk(CLOSE.replace(b"GET", b"HEAD")).endswith(b"\r\n\r\n")
    serving.stop()
    assert taken == [0]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_status_without_a_body_has_none(serve, status, kind):
    answer = serve(answering(kind([b"stray"]), status)).talk(CLOSE)
    assert answer.startswith(b"HTTP/1.1 " + status.encode())
    assert answer.endswith(b"\r\n\r\n")
    assert "transfer-encoding" not in headers_of(answer)


def test_204_has_no_length_even_if_the_application_declares_one(serve):
    answer = serve(answering([], "204 No Content", [("Content-Length", "0")])).talk(CLOSE)
    assert "content-length" not in headers_of(answer)


# close()


def test_close_is_called_once_after_a_whole_response(serve):
    result = Result([b"a", b"b"])
    assert serve(answering(result)).get()[1] == b"ab"
    assert result.is_closed.wait(10)
    assert result.closed == 1


def test_close_is_called_once_when_iteration_raises(serve, caplog):
    def pieces():
        yield b"begun"
        raise LookupError("in the middle")

    result = Result(pieces())
    serving = serve(answering(result))
    answer = serving.talk(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert result.is_closed.wait(10)
    serving.stop()
    assert result.closed == 1
    assert "LookupError: in the middle" in caplog.text


def test_close_is_called_once_when_start_response_never_was(serve, caplog):
    result = Result([b"body"])
    serving = serve(lambda environ, start_response: result)
    assert serving.get()[0].status == 500
    assert result.is_closed.wait(10)
    serving.stop()
    assert result.closed == 1
    assert "has not called start_response" in caplog.text


def test_close_is_called_once_when_the_client_is_gone(serve, caplog):
    def pieces():
        while True:
            yield b"x" * 65536

    result = Result(pieces())
    serving = serve(answering(result))
    with serving.connect() as connection:
        connection.sendall(CLOSE)
        connection.recv(10)
    assert result.is_closed.wait(10)
    serving.stop()
    assert result.closed == 1
    assert errors(caplog) == []


def test_close_is_called_once_when_the_client_takes_nothing(serve, caplog):
    def pieces():
        while True:
            yield b"x" * 65536

    result = Result(pieces())
    serving = serve(answering(result), write_timeout_seconds=0.1)
    with serving.connect() as connection:
        connection.sendall(CLOSE)
        assert result.is_closed.wait(10)
    serving.stop()
    assert result.closed == 1
    assert errors(caplog) == []


def test_close_is_called_when_a_piece_is_not_bytes(serve, caplog):
    result = Result([b"bytes", "text"])
    serving = serve(answering(result))
    serving.talk(CLOSE)
    assert result.is_closed.wait(10)
    serving.stop()
    assert result.closed == 1
    assert "the body must be bytes" in caplog.text


def test_close_is_called_for_head(serve):
    result = Result([b"a", b"b"])
    serving = serve(answering(result))
    serving.get(method="HEAD")
    serving.stop()
    assert result.closed == 1


def test_an_error_in_close_is_logged_and_the_response_stands(serve, caplog):
    class Failing(Result):
        def close(self):
            super().close()
            raise LookupError("while closing")

    result = Failing([b"body"])
    serving = serve(answering(result))
    assert serving.get()[1] == b"body"
    assert result.is_closed.wait(10)
    serving.stop()
    assert "LookupError: while closing" in caplog.text


# Applications that fail


@pytest.mark.parametrize("error", [LookupError("broken"), SystemExit(3), KeyboardInterrupt()])
def test_an_application_that_raises_is_a_500_and_the_thread_goes_on(serve, caplog, error):
    threads = set()

    def application(environ, start_response):
        threads.add(threading.get_ident())
        if environ["PATH_INFO"] == "/fail":
            raise error
        start_response("200 OK", [])
        return [b"fine"]

    serving = serve(application)
    with contextlib.closing(serving.http()) as connection:
        connection.request("GET", "/fail?a=%25s")
        response = connection.getresponse()
        assert (response.status, response.read()) == (500, b"Internal Server Error")
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"fine"
    serving.stop()
    assert serving.log.statuses() == [500, 200]
    (record,) = errors(caplog)
    assert len(threads) <= 2
    assert record.name == SERVER_LOG
    assert record.getMessage() == "GET /fail?a=%25s: the application failed"
    assert record.exc_info[1] is error
    assert "in application" in caplog.text


def test_a_result_that_cannot_be_iterated_is_a_500(serve, caplog):
    assert serve(answering(5)).get()[0].status == 500
    assert "TypeError" in caplog.text


def test_a_result_of_str_is_a_500(serve, caplog):
    assert serve(answering("text")).get()[0].status == 500
    assert "the body must be bytes, not <class 'str'>" in caplog.text


def test_a_missing_start_response_is_a_500(serve, caplog):
    assert serve(lambda environ, start_response: [b"body"]).get()[0].status == 500
    assert "has not called start_response" in caplog.text


# wsgi.file_wrapper


class File(io.BytesIO):
    sizes: list[int]

    def __init__(self, content):
        super().__init__(content)
        self.sizes = []

    def read(self, size=-1):
        self.sizes.append(size)
        return super().read(size)


def test_a_file_is_sent_in_big_blocks_and_closed(serve):
    content = bytes(range(256)) * 1000
    file = File(content)

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return environ["wsgi.file_wrapper"](file, 4096)

    serving = serve(application)
    assert serving.get()[1] == content
    serving.stop()
    assert file.closed
    assert min(file.sizes) >= 65536


def test_the_file_wrapper_is_an_iterator_of_blocks():
    from dwebsocket._core import FileWrapper

    wrapper = FileWrapper(io.BytesIO(b"x" * 100_000), 70_000)
    assert iter(wrapper) is wrapper
    assert [len(block) for block in wrapper] == [70_000, 30_000]
    assert list(wrapper) == []


def test_a_file_without_close_can_be_wrapped():
    from dwebsocket._core import FileWrapper

    class Readable:
        def read(self, size):
            return b""

    wrapper = FileWrapper(Readable())
    assert list(wrapper) == []
    wrapper.close()


def test_a_file_that_reads_text_is_a_type_error():
    from dwebsocket._core import FileWrapper

    with pytest.raises(TypeError, match="must give bytes"):
        next(FileWrapper(io.StringIO("text")))


# The access log


def test_the_access_log_hears_of_each_response(serve):
    serving = serve(answering([b"12345"], "404 Not Found"))
    serving.get("/missing")
    serving.log.wait(lambda log: log.responses)
    ((environ, status, sent_bytes, seconds),) = serving.log.responses
    assert environ["PATH_INFO"] == "/missing"
    assert (status, sent_bytes) == (404, 5)
    assert 0 <= seconds < 10


def test_an_access_log_that_raises_disturbs_nobody(serve, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hooked: unraisable.append(hooked.exc_value))
    serving = serve(answering([b"body"]))

    def fail(*arguments):
        raise LookupError("no log")

    monkeypatch.setattr(serving.log, "response", fail)
    assert serving.get()[1] == b"body"
    assert serving.get()[1] == b"body"
    serving.stop()
    assert [str(error) for error in unraisable] == ["no log", "no log"]
