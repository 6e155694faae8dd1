"""accept_websocket and require_websocket, through all of Django."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import dwebsocket
import pytest
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from dwebsocket import accept_websocket, decorators, require_websocket
from dwebsocket.exceptions import ConnectionClosed, SlowClient
from sites import Site, close_of

SiteMaker = Callable[..., Site]
MIDDLEWARE = "dwebsocket.middleware.WebSocketMiddleware"


def echo(request: Any) -> HttpResponse | None:
    """Sends every message back; says "http" to plain HTTP."""
    if not request.is_websocket():
        return HttpResponse("http")
    for message in request.websocket:
        if message is None:
            return None
        request.websocket.send(message)
    return None


def assert_echoes(site: Site, url: str = "/", **options: Any) -> None:
    with site.connect(url, **options) as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("decorator", [accept_websocket, require_websocket])
def test_a_decorated_view_talks_over_its_websocket(site: SiteMaker, decorator: Any) -> None:
    assert_echoes(site(path("", decorator(echo))))


def test_accept_websocket_lets_plain_http_through(site: SiteMaker) -> None:
    seen = []

    @accept_websocket
    def view(request: HttpRequest) -> HttpResponse:
        seen.append((request.is_websocket(), bool(request.is_websocket), request.websocket))
        return HttpResponse("plain")

    assert site(path("", view)).get() == (200, b"plain")
    assert seen == [(False, False, None)]


def test_is_websocket_is_true_called_and_uncalled_on_a_handshake(site: SiteMaker) -> None:
    @accept_websocket
    def view(request: HttpRequest) -> None:
        request.websocket.send([request.is_websocket(), bool(request.is_websocket)])

    with site(path("", view)).connect() as client:
        assert client.recv(timeout=10) == "[true,true]"


def test_require_websocket_refuses_plain_http_with_400(site: SiteMaker) -> None:
    status, body = site(path("", require_websocket(echo))).get()
    assert (status, body) == (400, b"This view takes WebSockets only.\n")


def test_a_decorated_view_keeps_name_module_and_doc() -> None:
    for decorator in (accept_websocket, require_websocket):
        view = decorator(echo)
        assert (view.__name__, view.__module__, view.__doc__) == ("echo", __name__, echo.__doc__)
        assert view.__wrapped__ is echo


def test_the_decorators_set_the_two_attributes() -> None:
    accepting, requiring = accept_websocket(echo), require_websocket(echo)
    assert (accepting.accept_websocket, accepting.require_websocket) == (True, False)
    assert (requiring.accept_websocket, requiring.require_websocket) == (True, True)


def test_accept_above_require_still_requires(site: SiteMaker) -> None:
    view = accept_websocket(require_websocket(echo))
    assert view.require_websocket is True
    running = site(path("", view))
    assert running.get()[0] == 400
    assert_echoes(running)


def test_the_decorators_are_importable_from_package_and_module() -> None:
    assert dwebsocket.accept_websocket is decorators.accept_websocket
    assert dwebsocket.require_websocket is decorators.require_websocket
    assert set(decorators.__all__) == {"accept_websocket", "require_websocket"}


@pytest.mark.parametrize("decorator", [accept_websocket, require_websocket])
def test_an_async_view_is_refused_when_it_is_decorated(decorator: Any) -> None:
    async def talk(request: HttpRequest) -> None: ...

    with pytest.raises(TypeError, match=r"talk is an async view"):
        decorator(talk)


def test_method_decorator_on_dispatch_of_a_class_based_view(site: SiteMaker) -> None:
    @method_decorator(accept_websocket, name="dispatch")
    class Echo(View):
        def get(self, request: HttpRequest) -> HttpResponse | None:
            return echo(request)

    running = site(path("", Echo.as_view()), MIDDLEWARE=[MIDDLEWARE])
    assert_echoes(running)
    assert running.get() == (200, b"http")


def test_method_decorator_on_get_of_a_class_based_view(site: SiteMaker) -> None:
    class Echo(View):
        @method_decorator(require_websocket)
        def get(self, request: HttpRequest) -> HttpResponse | None:
            return echo(request)

    running = site(path("", Echo.as_view()))
    assert_echoes(running)
    assert running.get()[0] == 400


def test_csrf_exempt_above_and_below(site: SiteMaker) -> None:
    running = site(
        path("above", csrf_exempt(accept_websocket(echo))),
        path("below", accept_websocket(csrf_exempt(echo))),
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", MIDDLEWARE],
    )
    assert_echoes(running, "/above")
    assert_echoes(running, "/below")


class Anonymous:
    """Middleware that leaves every request without a login."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = AnonymousUser()
        return self.get_response(request)


def test_login_required_above_refuses_the_handshake_with_a_redirect(site: SiteMaker) -> None:
    running = site(path("", login_required(accept_websocket(echo))), MIDDLEWARE=[f"{__name__}.Anonymous"])
    assert running.get(headers=running.HANDSHAKE)[0] == 302


def test_login_required_below_closes_the_socket_before_the_view(site: SiteMaker) -> None:
    ran = []

    @accept_websocket
    @login_required
    def view(request: HttpRequest) -> None:
        ran.append(request)

    with site(path("", view), MIDDLEWARE=[f"{__name__}.Anonymous"]).connect() as client:
        assert close_of(client) == (1000, "")
    assert ran == []


@pytest.mark.parametrize("returned", [None, "text", HttpResponse("nobody sees this"), 0], ids=repr)
def test_whatever_the_view_returns_the_socket_closes_with_1000(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, returned: object
) -> None:
    @accept_websocket
    def view(request: HttpRequest) -> object:
        request.websocket.send("last words")
        return returned

    running = site(path("", view))
    with running.connect() as client:
        assert client.recv(timeout=10) == "last words"
        assert close_of(client) == (1000, "")
    running.stop()
    assert errors(caplog) == []


def test_an_exception_closes_with_1011_and_is_logged_once_with_its_traceback(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    @accept_websocket
    def view(request: HttpRequest) -> None:
        request.websocket.send("last words")
        raise LookupError("in the view")

    running = site(path("broken", view))
    with running.connect("/broken") as client:
        assert client.recv(timeout=10) == "last words"
        assert close_of(client)[0] == 1011
    running.stop()
    (record,) = errors(caplog)
    assert (record.name, record.getMessage()) == ("django.request", "Internal Server Error: /broken")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "in the view"


@pytest.mark.parametrize("error", [ConnectionClosed(1001, "gone"), SlowClient(1013)], ids=["closed", "slow"])
def test_the_end_of_a_socket_leaving_the_view_is_a_normal_end(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, error: ConnectionClosed
) -> None:
    @accept_websocket
    def view(request: HttpRequest) -> None:
        raise error

    running = site(path("", view))
    with caplog.at_level(logging.DEBUG, "dwebsocket"):
        with running.connect() as client:
            assert close_of(client) == (1000, "")
        running.stop()
    assert errors(caplog) == []
    (record,) = [record for record in caplog.records if record.name == "dwebsocket"]
    assert "the view ended with" in record.getMessage()


@pytest.mark.parametrize("error", [Http404, PermissionDenied], ids=["404", "403"])
def test_a_refusal_raised_after_the_handshake_closes_with_1008_and_no_traceback(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    @accept_websocket
    def view(request: HttpRequest) -> None:
        raise error

    running = site(path("", view))
    with running.connect() as client:
        assert close_of(client)[0] == 1008
    running.stop()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_view_that_returns_none_for_plain_http_gets_djangos_own_error(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    @accept_websocket
    def forgetful(request: HttpRequest) -> None:
        return None

    assert site(path("", forgetful)).get()[0] == 500
    (record,) = [record for record in errors(caplog) if record.name == "django.request"]
    assert record.exc_info is not None
    assert "forgetful didn't return an HttpResponse object" in str(record.exc_info[1])


def test_the_handshake_is_answered_before_the_view_sends_anything(site: SiteMaker) -> None:
    @accept_websocket
    def waits(request: HttpRequest) -> None:
        request.websocket.wait()

    with site(path("", waits)).connect() as client:
        assert client.response is not None
        assert client.response.status_code == 101


def test_one_handshake_and_one_socket_with_middleware_and_two_decorators(site: SiteMaker) -> None:
    seen = []

    @accept_websocket
    def inner(request: HttpRequest) -> None:
        seen.append(request.websocket)
        request.websocket.send(request.websocket.wait())

    @accept_websocket
    def outer(request: HttpRequest) -> None:
        seen.append(request.websocket)
        inner(request)

    with site(path("", outer), MIDDLEWARE=[MIDDLEWARE]).connect() as client:
        client.send("once")
        assert client.recv(timeout=10) == "once"
        assert close_of(client) == (1000, "")
    assert len(seen) == 2
    assert seen[0] is seen[1]


def test_arguments_of_the_url_reach_the_view(site: SiteMaker) -> None:
    @accept_websocket
    def room(request: HttpRequest, name: str, **options: object) -> None:
        request.websocket.send([name, options])

    with site(path("room/<name>", room, {"loud": True})).connect("/room/a%20b") as client:
        assert client.recv(timeout=10) == '["a b",{"loud":true}]'


@pytest.fixture
def table() -> Iterator[str]:
    """A table in the database that the threads share; each request runs in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE note (text TEXT)")
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    yield "note"
    connection.settings_dict["ATOMIC_REQUESTS"] = False
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE note")
    connection.close()


@pytest.mark.parametrize(
    ("error", "rows"),
    [(None, 1), (ConnectionClosed(), 1), (LookupError("rolled back"), 0)],
    ids=["returns", "socket ends", "raises"],
)
def test_atomic_requests_commits_at_a_normal_end_and_rolls_back_at_an_error(
    site: SiteMaker, table: str, error: Exception | None, rows: int
) -> None:
    @accept_websocket
    def view(request: HttpRequest) -> None:
        assert transaction.get_connection().in_atomic_block
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO note VALUES ('written')")
        if error is not None:
            raise error

    running = site(path("", view))
    with running.connect() as client:
        close_of(client)
    running.stop()
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM note")
        assert cursor.fetchone() == (rows,)


def test_views_of_django_rest_framework(site: SiteMaker) -> None:
    pytest.importorskip("rest_framework", reason="Django REST framework is not installed")
    from rest_framework.decorators import api_view
    from rest_framework.views import APIView

    @accept_websocket
    @api_view(["GET"])
    def above(request: Any) -> HttpResponse:
        echo(request)
        return HttpResponse()

    @api_view(["GET"])
    @accept_websocket
    def below(request: Any) -> HttpResponse | None:
        return echo(request)

    class Echo(APIView):
        @method_decorator(accept_websocket)
        def get(self, request: Any) -> HttpResponse | None:
            return echo(request)

    running = site(path("above", above), path("below", below), path("class", Echo.as_view()))
    for url in ("/above", "/below", "/class"):
        assert_echoes(running, url)
    assert running.get("/below") == (200, b"http")
    assert running.get("/class") == (200, b"http")
