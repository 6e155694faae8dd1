"""The environ that a WSGI application gets."""

from __future__ import annotations

import sys

import pytest

HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Recorder:
    """Answers everything with 200 and keeps the environ."""

    def __init__(self):
        self.environ = None

    def __call__(self, environ, start_response):
        self.environ = environ
        start_response("200 OK", [("Content-Length", "0")])
        return []


@pytest.fixture
def environ_of(serve):
    """The environ that a request, given as bytes, becomes."""

    def environ_of(request, base_environ=None):
        recorder = Recorder()
        answer = serve(recorder, base_environ=base_environ).talk(request)
        assert answer.startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n")), answer
        return recorder.environ

    return environ_of


def get(target, *fields):
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: example.test:81", b"Connection: close", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_a_request_line_becomes_cgi_variables(environ_of):
    environ = environ_of(get(b"/a/b?c=d&e"))
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/a/b"
    assert environ["QUERY_STRING"] == "c=d&e"
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/a/b?c=d&e"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_the_environ_is_a_dict_of_its_own_for_each_request(serve):
    recorder = Recorder()
    serving = serve(recorder)
    serving.get("/one")
    first = recorder.environ
    first["changed"] = "by the application"
    serving.get("/two")
    assert type(first) is dict
    assert first["PATH_INFO"] == "/one"
    assert "changed" not in recorder.environ


def test_http_1_0_is_named(environ_of):
    assert environ_of(b"GET / HTTP/1.0\r\n\r\n")["SERVER_PROTOCOL"] == "HTTP/1.0"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/%41%62", "/Ab"),
        (b"/caf%C3%A9", "/caf\xc3\xa9"),
        (b"/%e4%bd%a0", "/\xe4\xbd\xa0"),
        (b"/%FF", "/\xff"),
        (b"/a%2Fb", "/a/b"),
        (b"/%25", "/%"),
        (b"/%2541", "/%41"),
        (b"/100%", "/100%"),
        (b"/%4", "/%4"),
        (b"/%zz%41", "/%zzA"),
        (b"/a+b", "/a+b"),
        (b"//double", "//double"),
        (b"/?", "/"),
        (b"/;a=b", "/;a=b"),
    ],
)
def test_the_path_is_unescaped_to_bytes_as_latin_1(environ_of, target, path):
    assert environ_of(get(target))["PATH_INFO"] == path


def test_the_query_stays_escaped(environ_of):
    assert environ_of(get(b"/?a=%C3%A9+%20"))["QUERY_STRING"] == "a=%C3%A9+%20"


def test_a_missing_query_is_empty(environ_of):
    assert environ_of(get(b"/"))["QUERY_STRING"] == ""


def test_an_absolute_target_gives_the_path_and_replaces_the_host(environ_of):
    environ = environ_of(get(b"http://other.test:8080/path?q"))
    assert environ["PATH_INFO"] == "/path"
    assert environ["QUERY_STRING"] == "q"
    assert environ["HTTP_HOST"] == "other.test:8080"


def test_an_absolute_target_without_a_path_is_the_root(environ_of):
    assert environ_of(get(b"http://other.test"))["PATH_INFO"] == "/"


def test_the_asterisk_of_options_is_an_empty_path(environ_of):
    environ = environ_of(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert environ["REQUEST_METHOD"] == "OPTIONS"
    assert environ["PATH_INFO"] == ""


@pytest.mark.parametrize(("method", "status"), [(b"CONNECT", b"501"), (b"GET", b"400")])
def test_a_target_without_a_path_is_refused(serve, method, status):
    recorder = Recorder()
    request = method + b" example.test:443 HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"
    assert serve(recorder).talk(request).startswith(b"HTTP/1.1 " + status)
    assert recorder.environ is None


def test_header_fields_become_http_variables(environ_of):
    environ = environ_of(get(b"/", b"X-Some-Thing: value", b"user-agent: test"))
    assert environ["HTTP_X_SOME_THING"] == "value"
    assert environ["HTTP_USER_AGENT"] == "test"
    assert environ["HTTP_HOST"] == "example.test:81"


def test_a_header_value_is_latin_1(environ_of):
    assert environ_of(get(b"/", b"X-Name: caf\xe9 \xc3\xa9"))["HTTP_X_NAME"] == "caf\xe9 \xc3\xa9"


def test_an_empty_header_value_is_an_empty_string(environ_of):
    assert environ_of(get(b"/", b"X-Empty:"))["HTTP_X_EMPTY"] == ""


def test_repeated_fields_are_joined_with_commas(environ_of):
    assert environ_of(get(b"/", b"Accept: a", b"X: y", b"Accept: b", b"accept: c"))["HTTP_ACCEPT"] == "a,b,c"


def test_repeated_cookies_are_joined_with_semicolons(environ_of):
    assert environ_of(get(b"/", b"Cookie: a=1", b"Cookie: b=2"))["HTTP_COOKIE"] == "a=1; b=2"


def test_a_field_name_with_an_underscore_cannot_pass_for_one_with_a_dash(environ_of):
    environ = environ_of(get(b"/", b"X_Forwarded_For: 6.6.6.6", b"X-Forwarded-For: 1.2.3.4"))
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.2.3.4"
    assert "HTTP_X_FORWARDED_FOR" not in environ_of(get(b"/", b"X_Forwarded_For: 6.6.6.6"))


def test_content_type_and_length_have_their_own_names(environ_of):
    fields = b"Host: a\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
    environ = environ_of(b"POST / HTTP/1.1\r\n" + fields + b"\r\nhi")
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["CONTENT_LENGTH"] == "2"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_request_without_a_body_has_no_content_variables(environ_of):
    environ = environ_of(get(b"/"))
    assert "CONTENT_TYPE" not in environ
    assert "CONTENT_LENGTH" not in environ


def test_both_ends_of_the_connection_are_named(serve):
    recorder = Recorder()
    serving = serve(recorder)
    with serving.connect() as connection:
        host, port = connection.getsockname()
        connection.sendall(get(b"/"))
        assert connection.recv(1 << 16)
    environ = recorder.environ
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(port))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (serving.host, str(serving.port))


def test_the_wsgi_variables_are_those_of_pep_3333(environ_of):
    environ = environ_of(get(b"/"))
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert "dwebsocket.upgrade" not in environ


def test_base_environ_wins_over_the_servers_own_words(environ_of):
    base = {"wsgi.url_scheme": "https", "SERVER_NAME": "name", "SERVER_PORT": "443", "my.entry": [1]}
    environ = environ_of(get(b"/path"), base_environ=base)
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("name", "443")
    assert environ["my.entry"] is base["my.entry"]
    assert environ["wsgi.version"] == (1, 0)


def test_base_environ_loses_to_what_the_request_says(environ_of):
    base = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/base", "HTTP_HOST": "base"}
    environ = environ_of(get(b"/path"), base_environ=base)
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/path"
    assert environ["HTTP_HOST"] == "example.test:81"


def test_a_handshake_carries_its_upgrade(serve):
    recorder = Recorder()
    serve(recorder).talk(HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: Upgrade, close") + b"\r\n")
    upgrade = recorder.environ["dwebsocket.upgrade"]
    assert upgrade.subprotocols == ()
    assert upgrade.accepted is False
