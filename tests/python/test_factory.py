"""The factories under their old dotted paths, and a factory of the project's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.utils.module_loading import import_string
from dwebsocket import accept_websocket
from dwebsocket.backends.default.factory import WebSocketFactory
from dwebsocket.backends.default.websocket import DefaultWebSocket
from dwebsocket.websocket import WebSocket
from sites import Site, refusal_of

SiteMaker = Callable[..., Site]
PATHS = [
    "dwebsocket.backends.default.factory.WebSocketFactory",
    "dwebsocket.backends.uwsgi.factory.uWsgiWebSocketFactory",
]


@accept_websocket
def about(request: Any) -> HttpResponse | None:
    """Tells the client about its websocket."""
    if request.websocket is None:
        return HttpResponse("http")
    websocket = request.websocket
    request.websocket.send(
        [
            isinstance(websocket, WebSocket),
            isinstance(websocket, DefaultWebSocket),
            getattr(websocket, "nickname", None),
        ]
    )
    return None


@pytest.mark.parametrize("factory", PATHS)
def test_the_old_paths_make_a_websocket_of_both_old_classes(site: SiteMaker, factory: str) -> None:
    running = site(path("", about), WEBSOCKET_FACTORY_CLASS=factory)
    with running.connect() as client:
        assert client.recv(timeout=10) == "[true,true,null]"
    assert running.get() == (200, b"http")


@pytest.mark.parametrize("factory", ["dwebsocket.factory.WebSocketFactory", *PATHS])
def test_the_old_paths_are_subclasses_of_the_base_factory(factory: str) -> None:
    assert issubclass(import_string(factory), import_string("dwebsocket.factory.WebSocketFactory"))


class Nicknames(WebSocketFactory):
    """Gives every websocket a name from the query."""

    def create_websocket(self) -> Any:
        websocket = super().create_websocket()
        if websocket is not None:
            websocket.nickname = self.request.GET["nickname"]
        return websocket


def test_a_factory_of_the_project_is_honoured(site: SiteMaker) -> None:
    running = site(path("", about), WEBSOCKET_FACTORY_CLASS=f"{__name__}.Nicknames")
    with running.connect("/?nickname=Zo%C3%AB") as client:
        assert client.recv(timeout=10) == '[true,true,"Zoë"]'
    assert running.get() == (200, b"http")


class Picky(WebSocketFactory):
    """Refuses every handshake as 0.5.12 refused a malformed one."""

    def create_websocket(self) -> Any:
        raise ValueError("not this one")


def test_a_value_error_of_the_factory_refuses_the_handshake_with_400(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    running = site(path("", about), WEBSOCKET_FACTORY_CLASS=f"{__name__}.Picky")
    with caplog.at_level(logging.DEBUG, "dwebsocket"):
        assert refusal_of(running.connect) == (400, "This is not a valid WebSocket handshake.\n")
    assert "refused with 400: not this one" in caplog.text


class Silent(WebSocketFactory):
    """Takes every request for plain HTTP."""

    def create_websocket(self) -> None:
        return None


def test_a_factory_that_makes_none_leaves_plain_http(site: SiteMaker) -> None:
    running = site(path("", about), WEBSOCKET_FACTORY_CLASS=f"{__name__}.Silent")
    assert running.get(headers=running.HANDSHAKE) == (200, b"http")


def request_with(**fields: str) -> HttpRequest:
    return RequestFactory().get("/", **fields)


def test_is_websocket_looks_at_the_upgrade_field() -> None:
    assert WebSocketFactory(request_with(HTTP_UPGRADE="WebSocket")).is_websocket() is True
    assert WebSocketFactory(request_with(HTTP_UPGRADE="h2c")).is_websocket() is False
    assert WebSocketFactory(request_with()).is_websocket() is False


def test_the_version_is_that_of_rfc_6455_or_a_value_error() -> None:
    assert WebSocketFactory(request_with(HTTP_SEC_WEBSOCKET_KEY="x")).get_websocket_version() == "13"
    with pytest.raises(ValueError, match="Sec-WebSocket-Key"):
        WebSocketFactory(request_with(HTTP_SEC_WEBSOCKET_KEY1="x")).get_websocket_version()
