"""Which pages may open a WebSocket: the rule, the settings it heeds, and what it says when it refuses."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from dwebsocket import accept_websocket
from dwebsocket.origin import refusal
from sites import Site, refusal_of

SiteMaker = Callable[..., Site]
MIDDLEWARE = ["dwebsocket.middleware.WebSocketMiddleware"]
REFUSED = (403, "This origin may open no WebSocket here.\n")

OWN = "app.example"
STRANGER = "https://evil.example"


def may_open(origin: str, *, host: str = OWN, fields: dict[str, str] | None = None, **settings: Any) -> bool:
    """Whether a page may open a WebSocket, by default in a project that names its own host only."""
    request = RequestFactory().get("/", HTTP_HOST=host, HTTP_ORIGIN=origin, **(fields or {}))
    with override_settings(**{"ALLOWED_HOSTS": [OWN], "DEBUG": False} | settings):
        return refusal(request) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("app.example", "https://app.example"),
        ("app.example", "http://app.example"),
        ("app.example:8000", "http://app.example:8000"),
        ("app.example:8000", "https://app.example"),
        ("app.example", "https://app.example:8443"),
        ("APP.example", "https://app.example"),
        ("app.example", "https://App.Example"),
        ("app.example.", "https://app.example."),
        ("app.example", "https://app.example."),
        ("app.example", "wss://app.example:443"),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("192.0.2.1:8000", "http://192.0.2.1:8000"),
        ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
        ("[2001:DB8:0::1]", "http://[2001:db8::1]"),
        ("[2001:db8::1]:8000", "https://[2001:db8::1]:5173"),
    ],
)
def test_a_page_of_the_own_host_may_open_a_socket(host: str, origin: str) -> None:
    assert may_open(origin, host=host, ALLOWED_HOSTS=["*"])


@pytest.mark.parametrize(
    "origin",
    [
        STRANGER,
        "https://www.app.example",
        "https://example",
        "https://badapp.example",
        "https://app.example.evil.example",
        "https://xn--app-example.evil.example",
        "http://[2001:db8::1]",
        "http://192.0.2.1",
        "https://app.example@evil.example",
        "https://evil.example#app.example",
        "https://evil.example\\.app.example",
        "https://app.example, https://evil.example",
        "https://evil.example,https://app.example",
        "https://ａpp.example",
        "https://app。example",
        "https://app.example/",
        "app.example",
        "",
        "*",
        "null",
        "file://",
        "chrome-extension://app.example",
        "http://localhost:5173",
        "http://[::1]",
    ],
)
@pytest.mark.parametrize("allowed", [[OWN], ["*"], ["*", OWN]], ids=["one host", "all", "both"])
def test_a_page_of_no_host_that_is_named_may_not(origin: str, allowed: list[str]) -> None:
    assert not may_open(origin, ALLOWED_HOSTS=allowed)


def test_a_client_without_an_origin_may_open_a_socket() -> None:
    with override_settings(ALLOWED_HOSTS=[OWN]):
        assert refusal(RequestFactory().get("/", HTTP_HOST=OWN)) is None


def test_a_host_that_looks_like_a_wildcard_names_no_subdomains() -> None:
    assert not may_open("https://evil.example", host=".example", ALLOWED_HOSTS=["*"])


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({"ALLOWED_HOSTS": [OWN, "www.example"]}, "http://www.example:8000"),
        ({"ALLOWED_HOSTS": [OWN, ".shop.example"]}, "https://a.shop.example"),
        ({"ALLOWED_HOSTS": [OWN, ".shop.example"]}, "https://shop.example"),
        ({"ALLOWED_HOSTS": [OWN, "bücher.example"]}, "https://xn--bcher-kva.example"),
        ({"ALLOWED_HOSTS": [OWN, "[2001:db8::2]"]}, "https://[2001:db8::2]"),
        ({"ALLOWED_HOSTS": ["*", "www.example"]}, "https://www.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://www.example"]}, "https://www.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.shop.example"]}, "https://a.shop.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.shop.example:8443"]}, "https://a.shop.example:8443"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.shop.example"]}, "https://a.b.shop.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://bücher.example"]}, "https://xn--bcher-kva.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.bücher.example"]}, "https://a.xn--bcher-kva.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["http://[::1]:5173"]}, "http://[::1]:5173"),
        ({"CSRF_TRUSTED_ORIGINS": ["www.example"]}, "https://www.example"),
        ({"CSRF_TRUSTED_ORIGINS": [".shop.example"]}, "https://a.shop.example"),
        ({"CORS_ALLOWED_ORIGINS": ["http://localhost:5173"]}, "http://localhost:5173"),
        ({"CORS_ALLOWED_ORIGINS": ["null"]}, "null"),
        ({"CORS_ORIGIN_WHITELIST": ["https://www.example"]}, "https://www.example"),
        ({"CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://\w+\.shop\.example$"]}, "https://a.shop.example"),
        ({"CORS_ALLOWED_ORIGIN_REGEXES": [re.compile(r"http://localhost:\d+")]}, "http://localhost:5173"),
        ({"CORS_ORIGIN_REGEX_WHITELIST": [r"^https://\w+\.shop\.example$"]}, "https://a.shop.example"),
        ({"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": True}, STRANGER),
        ({"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": True}, "null"),
        ({"CORS_ORIGIN_ALLOW_ALL": True, "CORS_ALLOW_CREDENTIALS": True}, STRANGER),
    ],
)
def test_a_page_that_another_setting_names_may_open_a_socket(settings: dict[str, Any], origin: str) -> None:
    assert not may_open(origin)
    assert may_open(origin, **settings)


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({"CSRF_TRUSTED_ORIGINS": ["https://www.example"]}, "http://www.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://www.example"]}, "https://www.example:8443"),
        ({"ALLOWED_HOSTS": [OWN, ".shop.example"]}, "https://badshop.example"),
        ({"ALLOWED_HOSTS": [OWN, ".shop.example"]}, "https://shop.example.evil.example"),
        ({"ALLOWED_HOSTS": [OWN, ".shop.example"]}, "capacitor://a.shop.example"),
        ({"ALLOWED_HOSTS": [OWN, "bücher.example"]}, "https://bucher.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["http://[::1]:5173"]}, "http://[::1]:5174"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.shop.example"]}, "http://a.shop.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.shop.example"]}, "https://a.shop.example:8443"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.shop.example"]}, "https://badshop.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*"]}, STRANGER),
        ({"CSRF_TRUSTED_ORIGINS": ["*"]}, STRANGER),
        ({"CSRF_TRUSTED_ORIGINS": ["www.example"]}, "http://www.example"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://www.example/"]}, "https://www.example"),
        ({"CORS_ALLOWED_ORIGINS": ["https://www.example"]}, "http://www.example"),
        ({"CORS_ALLOWED_ORIGINS": ["*"]}, STRANGER),
        (
            {"CORS_ALLOWED_ORIGINS": [], "CORS_ORIGIN_WHITELIST": ["https://www.example"]},
            "https://www.example",
        ),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, STRANGER),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, "null"),
        ({"CORS_ORIGIN_ALLOW_ALL": True}, STRANGER),
        ({"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": False}, STRANGER),
        ({"CORS_ALLOW_CREDENTIALS": True}, STRANGER),
        (
            {
                "CORS_ALLOW_ALL_ORIGINS": False,
                "CORS_ORIGIN_ALLOW_ALL": True,
                "CORS_ALLOW_CREDENTIALS": True,
            },
            STRANGER,
        ),
        (
            {"CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://\w+\.shop\.example$"]},
            "https://a.shop.example.evil.example",
        ),
        ({"CORS_ALLOWED_ORIGIN_REGEXES": [r"^.*$"]}, "https://a.example, https://b.example"),
        ({"CORS_ALLOWED_ORIGIN_REGEXES": [r"www\.example"]}, "https://www.example"),
    ],
)
def test_another_setting_means_no_more_than_its_owner_says(settings: dict[str, Any], origin: str) -> None:
    assert not may_open(origin, **settings)


LOCAL_HOSTS = ["localhost", "app.localhost", "127.0.0.1", "127.1.2.3", "[::1]", "0.0.0.0"]


@pytest.mark.parametrize("page", LOCAL_HOSTS)
@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_with_debug_localhost_may_talk_to_itself_in_every_spelling(host: str, page: str) -> None:
    everywhere = {"host": f"{host}:8000", "ALLOWED_HOSTS": ["*"]}
    assert may_open(f"http://{page}:5173", DEBUG=True, **everywhere)
    assert may_open(f"http://{page}:5173", DEBUG=False, **everywhere) is (host == page)


def test_with_debug_a_front_end_on_another_port_works_without_any_setting() -> None:
    assert may_open("http://localhost:5173", host="127.0.0.1:8000", DEBUG=True, ALLOWED_HOSTS=[])


@pytest.mark.parametrize(
    ("host", "page"),
    [
        ("localhost:8000", STRANGER),
        ("localhost:8000", "http://localhost.evil.example"),
        ("localhost:8000", "null"),
        ("localhost:8000", "capacitor://localhost"),
        ("192.0.2.1:8000", "http://localhost:5173"),
    ],
)
def test_with_debug_nobody_else_may_talk_to_localhost_nor_localhost_to_others(host: str, page: str) -> None:
    assert not may_open(page, host=host, DEBUG=True, ALLOWED_HOSTS=["*"])


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        (["https://www.example"], "https://www.example"),
        (("www.example",), "http://www.example:8000"),
        ({".shop.example"}, "https://a.shop.example"),
        (["https://*.shop.example"], "https://a.shop.example"),
        (["bücher.example"], "https://xn--bcher-kva.example"),
        (["[::1]"], "http://[::1]:5173"),
        (["null"], "null"),
        (["file://"], "file://"),
        (["capacitor://localhost"], "capacitor://localhost"),
        (["chrome-extension://abcdef"], "chrome-extension://abcdef"),
        (["*"], STRANGER),
        ("*", STRANGER),
        ("*", "null"),
        ("*", "no origin at all"),
    ],
)
def test_a_page_that_is_listed_may_open_a_socket(listed: object, origin: str) -> None:
    assert may_open(origin, WEBSOCKET_ALLOWED_ORIGINS=listed)


@pytest.mark.parametrize(
    "origin", [f"https://{OWN}", "https://other.example", "https://third.example", "null"]
)
def test_a_list_of_origins_stands_in_place_of_every_other_setting(origin: str) -> None:
    assert not may_open(
        origin,
        WEBSOCKET_ALLOWED_ORIGINS=["https://www.example"],
        CSRF_TRUSTED_ORIGINS=["https://other.example"],
        CORS_ALLOWED_ORIGINS=["https://third.example"],
        CORS_ALLOW_ALL_ORIGINS=True,
        CORS_ALLOW_CREDENTIALS=True,
        DEBUG=True,
    )


def test_an_empty_list_of_origins_lets_no_page_in() -> None:
    assert not may_open(f"https://{OWN}", WEBSOCKET_ALLOWED_ORIGINS=[])


def test_x_forwarded_host_counts_as_the_own_host_where_django_believes_it() -> None:
    proxied = {"host": "backend.example", "fields": {"HTTP_X_FORWARDED_HOST": OWN}, "ALLOWED_HOSTS": ["*"]}
    assert not may_open(f"https://{OWN}", **proxied)
    assert may_open(f"https://{OWN}", USE_X_FORWARDED_HOST=True, **proxied)


@pytest.mark.parametrize("origin", [f"https://{OWN}", STRANGER, "garbage"])
@pytest.mark.parametrize("host", ["evil.example", "a b", "backend_1"])
def test_a_host_that_is_not_allowed_is_a_disallowed_host(host: str, origin: str) -> None:
    with pytest.raises(DisallowedHost):
        may_open(origin, host=host)


def test_where_origins_are_listed_the_own_host_does_not_matter() -> None:
    assert may_open(f"https://{OWN}", host="backend_1", WEBSOCKET_ALLOWED_ORIGINS=[OWN])


def echo(request: Any) -> HttpResponse:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)
    return HttpResponse()


def assert_echoes(site: Site, **options: Any) -> None:
    with site.connect(**options) as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"


WAYS_IN = pytest.mark.parametrize(
    ("view", "settings"),
    [
        (accept_websocket(echo), {"MIDDLEWARE": []}),
        (accept_websocket(echo), {"MIDDLEWARE": MIDDLEWARE}),
        (echo, {"MIDDLEWARE": MIDDLEWARE, "WEBSOCKET_ACCEPT_ALL": True}),
        (accept_websocket(accept_websocket(echo)), {"MIDDLEWARE": MIDDLEWARE}),
    ],
    ids=["decorator", "decorator and middleware", "middleware", "two decorators and middleware"],
)


@WAYS_IN
def test_a_stranger_is_refused_before_the_101_and_logged_once(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, view: Any, settings: dict[str, Any]
) -> None:
    running = site(path("", view), **settings)
    assert refusal_of(lambda: running.connect(origin=STRANGER)) == REFUSED
    assert_echoes(running, origin=f"http://127.0.0.1:{running.port}")
    assert_echoes(running)
    running.stop()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["dwebsocket", "django.server"]
    assert f"Origin is '{STRANGER}'" in warnings[0].getMessage()
    assert '" 403 ' in warnings[1].getMessage()


@WAYS_IN
def test_a_stranger_that_is_listed_is_let_in(site: SiteMaker, view: Any, settings: dict[str, Any]) -> None:
    running = site(path("", view), WEBSOCKET_ALLOWED_ORIGINS=[STRANGER], **settings)
    assert_echoes(running, origin=STRANGER)


def test_an_origin_matters_to_websockets_only(site: SiteMaker) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("plain")

    running = site(path("", accept_websocket(view)), MIDDLEWARE=MIDDLEWARE)
    assert running.get(headers={"Origin": STRANGER}) == (200, b"plain")


def test_two_origin_fields_are_refused_though_each_would_do(site: SiteMaker) -> None:
    running = site(path("", accept_websocket(echo)))
    own = f"http://127.0.0.1:{running.port}"
    twice = [("Origin", own), ("Origin", own)]
    assert refusal_of(lambda: running.connect(additional_headers=twice)) == REFUSED


@pytest.mark.parametrize("middleware", [MIDDLEWARE, []], ids=["middleware", "decorator"])
def test_a_handshake_for_a_host_that_is_not_allowed_gets_djangos_400(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, middleware: list[str]
) -> None:
    running = site(path("", accept_websocket(echo)), MIDDLEWARE=middleware, ALLOWED_HOSTS=[OWN])
    status, body = refusal_of(lambda: running.connect(origin=STRANGER))
    assert status == 400
    assert "Bad Request (400)" in body
    running.stop()
    assert "django.security.DisallowedHost" in {record.name for record in caplog.records}


def test_the_check_stands_before_a_websocket_of_the_projects_own_factory(site: SiteMaker) -> None:
    running = site(
        path("", accept_websocket(echo)),
        WEBSOCKET_FACTORY_CLASS="dwebsocket.backends.uwsgi.factory.uWsgiWebSocketFactory",
    )
    assert refusal_of(lambda: running.connect(origin=STRANGER)) == REFUSED


def test_a_refused_handshake_leaves_the_connection_to_the_next_request(site: SiteMaker) -> None:
    running = site(path("", accept_websocket(lambda request: HttpResponse("plain"))))
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={**running.HANDSHAKE, "Origin": STRANGER})
        response = connection.getresponse()
        assert (response.status, response.read().decode()) == REFUSED
        own_end = connection.sock.getsockname()
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"plain"
        assert connection.sock.getsockname() == own_end
