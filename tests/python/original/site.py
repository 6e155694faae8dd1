"""The project on which the scenarios are played: its views, its middleware, its factory."""

from __future__ import annotations

import json
from typing import Any

from django.core.signals import got_request_exception
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin
from dwebsocket.backends.default.factory import WebSocketFactory
from dwebsocket.middleware import WebSocketMiddleware

from original import closing, closing_ourselves, frames, middleware, receiving, requests, sending, users
from original.scenario import SCENARIOS, raised
from original.settings import PROJECT

FILES = (receiving, frames, sending, closing, closing_ourselves, requests, middleware, users)


class Installed(MiddlewareMixin, WebSocketMiddleware):
    """The middleware as projects had to write it once MIDDLEWARE_CLASSES was gone."""


class Factory(WebSocketFactory):
    """A factory of the project's own."""

    def create_websocket(self) -> Any:
        """Does what the query says."""
        fate = self.request.GET.get("factory")
        if fate == "refuses":
            raise ValueError("not this one")
        if fate == "makes none":
            return None
        websocket = super().create_websocket()
        if websocket is not None:
            websocket.nickname = fate
        return websocket


def say(request: Any, name: str, word: str) -> HttpResponse:
    """The client says a word to the view."""
    SCENARIOS[name].say(word)
    return HttpResponse()


def hear(request: Any, name: str, word: str) -> HttpResponse:
    """The client waits for a word of the view."""
    SCENARIOS[name].hear(word)
    return HttpResponse()


def result(request: Any, name: str, requests: int) -> HttpResponse:
    """What the views of a scenario saw, once so many of its requests are over."""
    return HttpResponse(json.dumps(SCENARIOS[name].result(requests)), content_type="application/json")


def note_error(sender: Any, request: Any, **_: Any) -> None:
    """Keeps what Django logs as an error of a view, on the thread that ran it."""
    import sys

    error = sys.exc_info()[1]
    played = SCENARIOS.get(request.path.strip("/").split("/")[0])
    if played is not None and error is not None:
        played.errors.append(raised(error)[0])


got_request_exception.connect(note_error)
django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Django, and a note of when each request has left it."""
    try:
        return django_application(environ, start_response)
    finally:
        played = SCENARIOS.get(environ["PATH_INFO"].strip("/").split("/")[0])
        if played is not None:
            played.request_is_over()


urlpatterns = [
    path("-/say/<name>/<word>/", say),
    path("-/hear/<name>/<word>/", hear),
    path("-/result/<name>/<int:requests>/", result),
    *(path(f"{one.name}/", one.view()) for one in SCENARIOS.values() if one.project == PROJECT),
    *(path(f"{one.name}/<word>/", one.view()) for one in SCENARIOS.values() if one.project == PROJECT),
]
