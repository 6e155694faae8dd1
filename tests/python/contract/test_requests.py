"""What comes before the socket is open: views, decorators and refusals, under every server."""

from __future__ import annotations

import importlib.util

import pytest
from servers import KEEP_ALIVE
from serving import PATIENCE
from sites import Site, close_of, refusal_of
from sockets import CLOSE, HANDSHAKE, TEXT, masked


def assert_talks(talk, view, **options):
    client = talk.open(view, **options)
    client.send("hello")
    assert client.recv(PATIENCE) == "hello"
    assert close_of(client) == (1000, "")


def log_in(talk):
    """The header of somebody who has logged in."""
    cookies = talk.get("log-in").headers.get_all("Set-Cookie")
    return {"Cookie": "; ".join(cookie.split(";")[0] for cookie in cookies)}


def test_accept_websocket_takes_sockets_and_plain_http(talk):
    assert_talks(talk, "accept")
    assert talk.get("accept").text == "http"


def test_require_websocket_refuses_plain_http_with_400(talk):
    assert_talks(talk, "require")
    assert talk.get("require").status == 400
    talk.expect_lines("Bad Request: /require/", "Bad Request: /require/")


def test_an_undecorated_view_refuses_a_handshake_with_400_as_plain_http(talk):
    status, body = refusal_of(lambda: talk.open("plain"))
    assert (status, body) == (400, "This view takes no WebSockets.\n")
    talk.expect_lines("Bad Request: /plain/", "Bad Request: /plain/")
    assert talk.get("plain").text == "plain"


def test_a_handshake_for_an_unknown_url_gets_404_as_plain_http(talk):
    assert refusal_of(lambda: talk.open("nowhere"))[0] == 404
    talk.expect_lines("Not Found: /nowhere/", "Not Found: /nowhere/")


@pytest.mark.parametrize(
    ("change", "statuses"),
    [({"Sec-WebSocket-Key": "too short"}, {400}), ({"Sec-WebSocket-Version": "8"}, {400, 426})],
    ids=["wrong key", "old version"],
)
def test_a_handshake_that_is_no_good_is_refused_as_plain_http(talk, change, statuses):
    response = talk.get("accept", Site.HANDSHAKE | change)
    assert response.status in statuses
    # Our own server refuses it before Django, which would say so, sees it.
    talk.may_say("Bad Request: /accept/")


def test_a_handshake_from_the_page_of_another_site_is_refused_as_plain_http(talk):
    stranger = {"Origin": "https://elsewhere.example"}
    assert refusal_of(lambda: talk.open("accept", headers=stranger))[0] == 403
    talk.expect_lines("its Origin is 'https://elsewhere.example'", "WEBSOCKET_ALLOWED_ORIGINS")
    own = {"Origin": f"http://{talk.served.host}:{talk.served.port}"}
    assert_talks(talk, "accept", headers=own)


def test_login_required_above_refuses_a_handshake_with_a_redirect(talk):
    response = talk.get("login-above", Site.HANDSHAKE)
    assert response.status == 302
    assert response.headers["Location"].startswith("/accounts/login/")


def test_login_required_above_lets_somebody_who_has_logged_in_through(talk):
    assert_talks(talk, "login-above", headers=log_in(talk))


def test_login_required_below_closes_the_socket_before_the_view(talk):
    assert close_of(talk.open("login-below")) == (1000, "")
    assert_talks(talk, "login-below", headers=log_in(talk))


def test_a_permission_decorator_above_refuses_a_handshake_with_403(talk):
    assert refusal_of(lambda: talk.open("permission-above"))[0] == 403
    talk.expect_lines("Forbidden (Permission denied): /permission-above/", "exceptions.PermissionDenied")
    assert_talks(talk, "permission-above", headers=log_in(talk))


def test_a_permission_decorator_below_closes_with_1008(talk):
    assert close_of(talk.open("permission-below"))[0] == 1008
    talk.expect_lines("Forbidden (Permission denied): /permission-below/", "exceptions.PermissionDenied")
    assert_talks(talk, "permission-below", headers=log_in(talk))


def test_the_session_knows_who_opened_the_socket(talk):
    client = talk.open("user", headers=log_in(talk))
    assert client.recv(PATIENCE) == "ann"


@pytest.mark.parametrize("place", ["above", "below"])
def test_csrf_exempt_stands_above_or_below(talk, place):
    assert_talks(talk, f"csrf-exempt-{place}")


def test_method_decorator_works_on_a_class_based_view(talk):
    assert_talks(talk, "class")
    assert talk.get("class").text == "http"


@pytest.mark.skipif(
    importlib.util.find_spec("rest_framework") is None, reason="Django REST framework is not installed"
)
@pytest.mark.parametrize("view", ["rest-function", "rest-class"])
def test_views_of_django_rest_framework_have_the_socket(talk, view):
    assert_talks(talk, view)
    assert talk.get("rest-class").text == "http"


def test_one_handshake_and_one_socket_with_middleware_and_two_decorators(talk):
    client = talk.open_raw("accepted-twice", masked(TEXT, b"once"))
    assert client.receive() == (0x81, b"once")
    assert client.receive() == (0x88, b"\x03\xe8")


def test_a_handshake_comes_behind_a_plain_request_on_one_connection(talk):
    talk.needs(KEEP_ALIVE)
    with talk.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"GET /plain/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.readline().startswith(b"HTTP/1.1 200 ")
        while (line := stream.readline()) != b"\r\n":
            assert line.lower() != b"connection: close\r\n"
        assert stream.read(5) == b"plain"
        connection.sendall(HANDSHAKE % talk.path("accept").encode() + masked(TEXT, b"hello"))
        assert stream.readline().startswith(b"HTTP/1.1 101 ")
        while stream.readline() != b"\r\n":
            pass
        assert stream.read(7) == b"\x81\x05hello"
        assert stream.read(4) == b"\x88\x02\x03\xe8"
        connection.sendall(masked(CLOSE, b"\x03\xe8"))
        assert stream.read() == b""
