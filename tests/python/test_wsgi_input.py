"""``wsgi.input``: read, readline, readlines and iteration, at every edge and however the body arrives."""

from __future__ import annotations

import threading

import pytest

LINES = b"first\nsecond\r\n\nlast"


def whole(body):
    """The body at once, with its length."""
    return b"Content-Length: %d\r\n\r\n" % len(body), [body]


def byte_by_byte(body):
    """The body in pieces of one byte, with its length."""
    return b"Content-Length: %d\r\n\r\n" % len(body), [body[at : at + 1] for at in range(len(body))]


def chunked(body):
    """The body in chunks of three bytes, without its length."""
    chunks = [body[at : at + 3] for at in range(0, len(body), 3)]
    pieces = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"Transfer-Encoding: chunked\r\n\r\n", [*pieces, b"0\r\n\r\n"]


@pytest.fixture(params=[whole, byte_by_byte, chunked], ids=lambda arrival: arrival.__name__)
def read_with(request, serve):
    """What a function of ``wsgi.input`` gives for a body."""

    def read_with(body, function):
        given = []

        def application(environ, start_response):
            given.append(function(environ["wsgi.input"]))
            start_response("200 OK", [])
            return []

        head, pieces = request.param(body)
        with serve(application).connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + head)
            for piece in pieces:
                connection.sendall(piece)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        return given[0]

    return read_with


@pytest.mark.parametrize("size", [(), (None,), (-1,), (-100,), (19,), (20,), (1 << 40,)])
def test_read_gives_everything(read_with, size):
    assert read_with(LINES, lambda body: body.read(*size)) == LINES


def test_read_gives_exactly_the_size_asked_for(read_with):
    sizes = (0, 1, 4, 0, 7, 100, 1)
    given = read_with(LINES, lambda body: [body.read(size) for size in sizes])
    assert given == [b"", b"f", b"irst", b"", b"\nsecond", b"\r\n\nlast", b""]


def test_everything_past_the_end_is_empty(read_with):
    def past_the_end(body):
        body.read()
        return [body.read(), body.read(5), body.readline(), body.readlines(), list(body)]

    assert read_with(LINES, past_the_end) == [b"", b"", b"", [], []]


def test_an_empty_body_is_empty_for_every_way_of_reading(read_with):
    def everything(body):
        return [body.read(0), body.readline(), body.readlines(), list(body), body.read(5), body.read()]

    assert read_with(b"", everything) == [b"", b"", [], [], b"", b""]


def test_readline_gives_each_line_with_its_end(read_with):
    given = read_with(LINES, lambda body: [body.readline() for _ in range(6)])
    assert given == [b"first\n", b"second\r\n", b"\n", b"last", b"", b""]


def test_readline_gives_at_most_the_size_asked_for(read_with):
    sizes = (0, 3, 3, 1, 100, None, -1)
    given = read_with(LINES, lambda body: [body.readline(size) for size in sizes])
    assert given == [b"", b"fir", b"st\n", b"s", b"econd\r\n", b"\n", b"last"]


def test_readline_of_exactly_the_line_takes_nothing_of_the_next(read_with):
    assert read_with(LINES, lambda body: [body.readline(6), body.read()]) == [b"first\n", LINES[6:]]


def test_a_body_that_ends_with_a_newline_has_no_line_after_it(read_with):
    assert read_with(b"a\nb\n", lambda body: [body.readline() for _ in range(3)]) == [b"a\n", b"b\n", b""]


@pytest.mark.parametrize("hint", [(), (None,), (-1,), (0,), (1000,)])
def test_readlines_gives_every_line(read_with, hint):
    given = read_with(LINES, lambda body: body.readlines(*hint))
    assert given == [b"first\n", b"second\r\n", b"\n", b"last"]


@pytest.mark.parametrize(("hint", "lines"), [(1, 1), (5, 1), (6, 1), (7, 2), (14, 2), (15, 3), (16, 4)])
def test_readlines_stops_after_the_line_that_reaches_the_hint(read_with, hint, lines):
    def some_then_the_rest(body):
        return body.readlines(hint), body.read()

    given, rest = read_with(LINES, some_then_the_rest)
    assert given == [b"first\n", b"second\r\n", b"\n", b"last"][:lines]
    assert b"".join(given) + rest == LINES


def test_iteration_gives_every_line(read_with):
    assert read_with(b"one\ntwo\nthree", list) == [b"one\n", b"two\n", b"three"]


def test_iteration_and_reading_may_alternate(read_with):
    def alternate(body):
        return [next(body), body.read(2), body.readline(), next(iter(body)), body.read(), next(body, "end")]

    assert read_with(LINES, alternate) == [b"first\n", b"se", b"cond\r\n", b"\n", b"last", "end"]


def test_a_long_line_is_given_whole(read_with):
    line = b"x" * 3000
    assert read_with(line + b"\nrest", lambda body: body.readline()) == line + b"\n"


def test_sizes_that_are_no_numbers_are_type_errors(serve):
    errors = []

    def application(environ, start_response):
        for call in ("read", "readline", "readlines"):
            for size in ("1", 1.5, b""):
                try:
                    getattr(environ["wsgi.input"], call)(size)
                except TypeError as error:
                    errors.append(error)
        start_response("200 OK", [])
        return []

    serve(application).get("/", "POST", body=b"abc")
    assert len(errors) == 9


def test_the_next_request_of_a_connection_is_not_read(serve):
    bodies = []

    def application(environ, start_response):
        bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return []

    first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
    second = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond"
    serve(application).talk(first + second)
    assert bodies == [b"first", b"second"]


def test_content_length_zero_is_an_empty_body(serve):
    bodies = []

    def application(environ, start_response):
        bodies.append((environ["CONTENT_LENGTH"], environ["wsgi.input"].read()))
        start_response("200 OK", [])
        return []

    serve(application).talk(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert bodies == [("0", b"")]


def test_a_body_that_is_not_read_does_not_disturb_the_next_request(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    first = b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
    second = b"GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = serve(application).talk(first + second)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"/one" in answer
    assert answer.endswith(b"/two")


def test_100_continue_is_sent_when_the_body_is_read(serve):
    reading = threading.Event()

    def application(environ, start_response):
        reading.wait()
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    with serve(application).connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n")
        connection.sendall(b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        reading.set()
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert connection.makefile("rb").read().endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("call", ["read", "readline", "readlines", "__next__"])
def test_a_client_that_goes_away_is_a_connection_reset(serve, call):
    errors = []

    def application(environ, start_response):
        for _ in range(2):
            try:
                getattr(environ["wsgi.input"], call)()
            except ConnectionResetError as error:
                errors.append(error)
        raise errors[0]

    serving = serve(application)
    with serving.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nonly")
    serving.log.wait(lambda log: log.responses)
    assert len(errors) == 2
    assert isinstance(errors[0], OSError)


def test_a_client_that_goes_away_is_not_an_error_in_the_log(serve, caplog):
    def application(environ, start_response):
        environ["wsgi.input"].read()

    serving = serve(application)
    with serving.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nonly")
    serving.log.wait(lambda log: log.responses)
    assert [record for record in caplog.records if record.name == "dwebsocket.server"] == []


def test_a_client_that_sends_nothing_times_out(serve):
    errors = []

    def application(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except TimeoutError as error:
            errors.append(error)
        start_response("408 Request Timeout", [])
        return []

    with serve(application, body_timeout_seconds=0.05).connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nonly")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
    assert len(errors) == 1


def test_malformed_chunks_are_an_os_error(serve):
    errors = []

    def application(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
        start_response("400 Bad Request", [])
        return []

    serving = serve(application)
    with serving.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        serving.log.wait(lambda log: log.responses)
    assert len(errors) == 1


def test_a_body_kept_after_the_request_says_that_it_is_over(serve):
    kept = []

    def application(environ, start_response):
        kept.append(environ["wsgi.input"])
        start_response("200 OK", [])
        return []

    serving = serve(application)
    serving.get("/", "POST", body=b"abc")
    serving.stop()
    with pytest.raises(ValueError, match="the request is over"):
        kept[0].read()


def test_two_threads_that_read_at_once_get_an_error_and_not_a_deadlock(serve):
    outcomes = []
    reading = threading.Event()

    def application(environ, start_response):
        body = environ["wsgi.input"]

        def read():
            reading.set()
            outcomes.append(body.read())

        thread = threading.Thread(target=read)
        thread.start()
        reading.wait()
        while True:
            try:
                body.read(0)
            except RuntimeError as error:
                outcomes.append(str(error))
                break
        start_response("200 OK", [])
        yield b"send now"
        thread.join()

    with serve(application).connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"body")
        while connection.recv(1 << 16):
            pass
    assert outcomes == ["another thread reads the request's body", b"body"]
