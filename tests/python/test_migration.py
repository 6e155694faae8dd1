"""What the README says to those who come from Channels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from dwebsocket import accept_websocket
from sites import Site, close_of
from sockets import until

SiteMaker = Callable[..., Site]
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def the_example() -> dict[str, Any]:
    """The names that the view below "From Channels" defines."""
    section = README[README.index("### From Channels") :]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    names: dict[str, Any] = {"__name__": "chat"}
    exec(found[1], names)
    return names


class LogIn:
    """Takes the name in the query for that of a user who is logged in."""

    def __init__(self, get_response: Callable[..., HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        name = request.GET.get("user")
        request.user = User(username=name) if name else AnonymousUser()
        return self.get_response(request)


@pytest.fixture
def chat(site: SiteMaker) -> tuple[Site, dict[str, set[Any]]]:
    names = the_example()
    running = site(path("<room>/", names["chat"]), MIDDLEWARE=[f"{__name__}.LogIn"], LOGIN_URL="/login/")
    return running, names["rooms"]


def test_the_chat_reaches_everybody_in_its_room(chat: tuple[Site, dict[str, set[Any]]]) -> None:
    running, rooms = chat
    with running.connect("/blue/?user=ann") as ann, running.connect("/red/?user=cid") as cid:
        with running.connect("/blue/?user=bob") as bob:
            until(lambda: {name: len(room) for name, room in rooms.items()} == {"blue": 2, "red": 1})
            ann.send(json.dumps({"text": "你好"}))
            for client in (ann, bob):
                assert json.loads(client.recv(timeout=10)) == {"from": "ann", "text": "你好"}
        until(lambda: len(rooms["blue"]) == 1)
        cid.send(json.dumps({"text": "alone"}))
        assert json.loads(cid.recv(timeout=10)) == {"from": "cid", "text": "alone"}
    until(lambda: not any(rooms.values()))


def test_a_stranger_is_sent_to_the_login_and_plain_http_is_refused(
    chat: tuple[Site, dict[str, set[Any]]],
) -> None:
    running, _ = chat
    assert running.get("/blue/", running.HANDSHAKE)[0] == 302
    assert running.get("/blue/?user=ann")[0] == 400


def test_a_decorator_above_ours_chooses_the_subprotocol(site: SiteMaker) -> None:
    def speaks_chat(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def choose(request: Any) -> Any:
            if request.websocket and "chat" in request.headers.get("Sec-WebSocket-Protocol", ""):
                request.websocket.accept_connection("chat")
            return view(request)

        return choose

    @speaks_chat
    @accept_websocket
    def view(request: HttpRequest) -> None:
        request.websocket.send([request.websocket.subprotocol])

    running = site(path("", view), MIDDLEWARE=["dwebsocket.middleware.WebSocketMiddleware"])
    with running.connect(subprotocols=["chat", "superchat"]) as client:
        assert client.subprotocol == "chat"
        assert client.recv(timeout=10) == '["chat"]'
        assert close_of(client) == (1000, "")
    with running.connect() as client:
        assert client.recv(timeout=10) == "[null]"


def test_the_links_of_the_readme_lead_somewhere() -> None:
    top = Path(__file__).parents[2]
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert {"DIFFERENCES.md", "CHANGELOG.md"} <= set(links)
    assert [link for link in links if not (top / link).exists()] == []
