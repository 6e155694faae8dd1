"""WebSocketMiddleware, on its own and with views that no decorator prepared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import decorator_from_middleware
from django.utils.deprecation import MiddlewareMixin
from dwebsocket import accept_websocket, require_websocket
from dwebsocket.exceptions import ConnectionClosed
from dwebsocket.middleware import WebSocketMiddleware
from sites import Site, close_of, refusal_of

SiteMaker = Callable[..., Site]
MIDDLEWARE = ["dwebsocket.middleware.WebSocketMiddleware"]


def echo_once(request: Any) -> HttpResponse:
    if request.websocket is not None:
        request.websocket.send(request.websocket.wait())
    return HttpResponse("http")


def assert_echoes_once(site: Site, url: str = "/") -> None:
    with site.connect(url) as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"
        assert close_of(client) == (1000, "")


def test_every_plain_request_has_both_attributes(site: SiteMaker) -> None:
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append((request.is_websocket(), bool(request.is_websocket), request.websocket))
        return HttpResponse("plain")

    assert site(path("", view), MIDDLEWARE=MIDDLEWARE).get() == (200, b"plain")
    assert seen == [(False, False, None)]


def test_without_the_middleware_an_undecorated_view_answers_a_handshake_like_any_get(site: SiteMaker) -> None:
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(hasattr(request, "is_websocket"))
        return HttpResponse("plain")

    running = site(path("", view), MIDDLEWARE=[])
    assert running.get(headers=running.HANDSHAKE) == (200, b"plain")
    assert seen == [False]


def test_an_undecorated_view_refuses_a_handshake_with_400(site: SiteMaker) -> None:
    running = site(path("", echo_once), MIDDLEWARE=MIDDLEWARE)
    assert refusal_of(running.connect) == (400, "This view takes no WebSockets.\n")
    assert running.get() == (200, b"http")


def test_accept_all_lets_an_undecorated_view_take_a_websocket(site: SiteMaker) -> None:
    running = site(path("", echo_once), MIDDLEWARE=MIDDLEWARE, WEBSOCKET_ACCEPT_ALL=True)
    assert_echoes_once(running)
    assert running.get() == (200, b"http")


def test_a_view_whose_attribute_was_set_by_hand_takes_a_websocket(site: SiteMaker) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return echo_once(request)

    view.accept_websocket = True  # type: ignore[attr-defined]
    assert_echoes_once(site(path("", view), MIDDLEWARE=MIDDLEWARE))


def test_a_handshake_for_an_unknown_url_gets_404(site: SiteMaker) -> None:
    running = site(path("here", echo_once), MIDDLEWARE=MIDDLEWARE, WEBSOCKET_ACCEPT_ALL=True)
    assert refusal_of(lambda: running.connect("/elsewhere"))[0] == 404


def test_require_websocket_refuses_plain_http_with_400(site: SiteMaker) -> None:
    status, _ = site(path("", require_websocket(echo_once)), MIDDLEWARE=MIDDLEWARE).get()
    assert status == 400


def test_a_decorated_view_works_with_the_middleware(site: SiteMaker) -> None:
    assert_echoes_once(site(path("", accept_websocket(echo_once)), MIDDLEWARE=MIDDLEWARE))


def test_an_undecorated_view_that_raises_closes_with_1011_and_is_logged_once(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise LookupError("in the view")

    running = site(path("", view), MIDDLEWARE=MIDDLEWARE, WEBSOCKET_ACCEPT_ALL=True)
    with running.connect() as client:
        assert close_of(client)[0] == 1011
    running.stop()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "django.request"


def test_an_undecorated_view_that_the_end_of_its_socket_leaves_ends_normally(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ConnectionClosed

    running = site(path("", view), MIDDLEWARE=MIDDLEWARE, WEBSOCKET_ACCEPT_ALL=True)
    with running.connect() as client:
        assert close_of(client) == (1000, "")
    running.stop()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_an_undecorated_view_that_returns_nothing_gets_djangos_own_error_and_1011(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def forgetful(request: HttpRequest) -> None:
        return None

    running = site(path("", forgetful), MIDDLEWARE=MIDDLEWARE, WEBSOCKET_ACCEPT_ALL=True)
    with running.connect() as client:
        assert close_of(client)[0] == 1011
    running.stop()
    assert "didn't return an HttpResponse object" in caplog.text


def test_connection_closed_of_another_socket_in_a_plain_view_is_an_error(site: SiteMaker) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ConnectionClosed

    assert site(path("", view), MIDDLEWARE=MIDDLEWARE).get()[0] == 500


def test_decorator_from_middleware_prepares_a_view(site: SiteMaker) -> None:
    def view(request: Any) -> HttpResponse:
        return echo_once(request)

    view.accept_websocket = True  # type: ignore[attr-defined]
    running = site(path("", decorator_from_middleware(WebSocketMiddleware)(view)))
    assert_echoes_once(running)
    assert running.get() == (200, b"http")


class Refuse:
    """Middleware whose process_view refuses everything."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, *_: object) -> HttpResponse:
        return HttpResponse("no", status=403)


@pytest.mark.parametrize("order", [1, -1], ids=["behind ours", "before ours"])
def test_another_middleware_can_refuse_the_handshake_of_a_decorated_view(site: SiteMaker, order: int) -> None:
    middleware = [*MIDDLEWARE, f"{__name__}.Refuse"][::order]
    running = site(path("", accept_websocket(echo_once)), MIDDLEWARE=middleware)
    assert refusal_of(running.connect) == (403, "no")


HANDSHAKE = {
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_UPGRADE": "WebSocket",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
}


def test_a_handshake_by_a_server_that_is_not_ours_gets_501_and_the_way_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = RequestFactory(**HANDSHAKE, SERVER_SOFTWARE="WSGIServer/0.2").get("/chat/?room=a%0Ab").environ
    statuses: list[str] = []
    urls = type("urls", (), {"urlpatterns": [path("chat/", accept_websocket(echo_once))]})
    with override_settings(ROOT_URLCONF=urls):
        body = b"".join(WSGIHandler()(environ, lambda status, headers: statuses.append(status)))
    assert statuses == ["501 Not Implemented"]
    sentence = "WSGIServer/0.2 does not hand over its sockets. Put 'dwebsocket' first in INSTALLED_APPS"
    assert body.decode().startswith(sentence)
    (record,) = [record for record in caplog.records if record.name == "dwebsocket"]
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"WebSocket /chat/?room=a%0Ab refused with 501: {sentence}")


@pytest.mark.parametrize(
    "change",
    [{"REQUEST_METHOD": "POST"}, {"HTTP_UPGRADE": "h2c"}, {"HTTP_CONNECTION": "keep-alive"}],
    ids=["POST", "another protocol", "no Connection: upgrade"],
)
def test_what_is_no_handshake_is_plain_http_under_any_server(change: dict[str, str]) -> None:
    request = RequestFactory(**{**HANDSHAKE, **change}).generic(change.get("REQUEST_METHOD", "GET"), "/")
    response = WebSocketMiddleware(lambda request: HttpResponse("plain"))(request)
    assert response.content == b"plain"
    assert request.websocket is None  # type: ignore[attr-defined]


def run_under_asgi(request: Any) -> HttpResponse:
    urls = type("urls", (), {"urlpatterns": [path("", accept_websocket(echo_once))]})
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=MIDDLEWARE):
        return asyncio.run(ASGIHandler().get_response_async(request))


def test_plain_http_works_under_asgi() -> None:
    assert run_under_asgi(AsyncRequestFactory().get("/")).content == b"http"


def test_a_handshake_under_asgi_gets_501() -> None:
    request = AsyncRequestFactory().get("/")
    request.META |= HANDSHAKE
    assert run_under_asgi(request).status_code == 501


class Mixed(MiddlewareMixin, WebSocketMiddleware):
    """How projects made the middleware of 0.5.12 fit into MIDDLEWARE."""


def test_a_subclass_with_djangos_mixin_before_it_works(site: SiteMaker) -> None:
    running = site(path("", accept_websocket(echo_once)), MIDDLEWARE=[f"{__name__}.Mixed"])
    assert running.get() == (200, b"http")
    assert_echoes_once(running)


def test_a_middleware_made_without_get_response_says_so_when_called() -> None:
    with pytest.raises(TypeError, match="without get_response"):
        WebSocketMiddleware()(RequestFactory().get("/"))
