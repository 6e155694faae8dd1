"""The server under ``wsgiref.validate``, which checks both sides of PEP 3333."""

from __future__ import annotations

import sys
from wsgiref.validate import validator

import pytest

PLAIN = [("Content-Type", "text/plain")]


@validator
def application(environ, start_response):
    """Does what the path says."""
    body = environ["wsgi.input"]
    match environ["PATH_INFO"]:
        case "/read":
            answer = body.read(3) + body.readline(2) + body.readline() + b"".join(body.readlines(4))
            answer += b"".join(body)
        case "/write":
            write = start_response("200 OK", PLAIN)
            write(b"written,")
            return [b"returned"]
        case "/generator":
            start_response("200 OK", PLAIN)
            return (piece for piece in (b"one,", b"two"))
        case "/exc_info":
            start_response("200 OK", PLAIN)
            try:
                raise LookupError
            except LookupError:
                start_response("500 Sorry", PLAIN, sys.exc_info())
            answer = b"sorry"
            return [answer]
        case "/errors":
            environ["wsgi.errors"].write("to the log\n")
            environ["wsgi.errors"].writelines(["one\n", "two\n"])
            environ["wsgi.errors"].flush()
            answer = b"logged"
        case _:
            answer = environ["PATH_INFO"].encode("latin-1")
    start_response("200 OK", PLAIN)
    return [answer]


@pytest.mark.parametrize(
    ("method", "target", "body", "answer"),
    [
        ("GET", "/", None, b"/"),
        ("GET", "/caf%C3%A9?a=b", None, "/café".encode()),
        ("HEAD", "/", None, b""),
        ("OPTIONS", "*", None, b""),
        ("DELETE", "/thing", None, b"/thing"),
        ("GET", "/write", None, b"written,returned"),
        ("GET", "/generator", None, b"one,two"),
        ("GET", "/exc_info", None, b"sorry"),
        ("POST", "/read", b"some\nlines\nof text", b"some\nlines\nof text"),
        ("PUT", "/read", b"", b""),
        ("POST", "/read", iter([b"chun", b"ked\nbody"]), b"chunked\nbody"),
    ],
)
def test_the_validator_finds_nothing(serve, caplog, method, target, body, answer):
    headers = {"Content-Type": "text/plain"} if body is not None else {}
    serving = serve(application)
    response, received = serving.get(target, method, body=body, headers=headers)
    serving.stop()
    assert received == answer, caplog.text
    assert response.status == (500 if target == "/exc_info" else 200)
    assert caplog.records == []


def test_wsgi_errors_is_what_python_calls_stderr(serve, capsys):
    assert serve(application).get("/errors")[1] == b"logged"
    assert capsys.readouterr().err == "to the log\none\ntwo\n"


def test_the_validator_finds_what_the_application_does_wrong(serve, caplog):
    @validator
    def wrong(environ, start_response):
        start_response("200 OK", [])
        return [b"no content type"]

    assert serve(wrong).get()[0].status == 500
    assert "No Content-Type header found" in caplog.text
