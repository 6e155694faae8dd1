"""What the log says of a client that exceeds a limit of its WebSocket, and how little a flood can add."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.urls import path
from django.utils.functional import SimpleLazyObject
from dwebsocket import accept_websocket, notices
from serving import PATIENCE
from sites import Site, address_of, close_of, logged
from sockets import until

SiteMaker = Callable[..., Site]


@accept_websocket
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=True)


def test_a_view_that_never_takes_the_end_has_its_client_told_of_when_it_returns(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    @accept_websocket
    def view(request: Any) -> None:
        until(lambda: request.websocket.close_code is not None)

    running = site(path("", view), WEBSOCKET_MAX_MESSAGE_BYTES=10)
    with running.connect() as client:
        client.send(b"x" * 11)
        assert close_of(client)[0] == 1009
    running.stop()
    (warning,) = logged(caplog, logging.WARNING)
    assert "WEBSOCKET_MAX_MESSAGE_BYTES" in warning


def take_the_end(websocket: Any) -> None:
    for _ in websocket:
        pass


def send_into_the_end(websocket: Any) -> None:
    until(lambda: websocket.close_code is not None)
    # Only what it had sent before is still on its way; from here on nothing is.
    websocket._connection.close()
    websocket.send("to nobody")


@pytest.mark.parametrize("find_the_end", [take_the_end, send_into_the_end])
def test_whoever_finds_the_end_tells_of_the_client_though_the_view_goes_on(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, find_the_end: Callable[[Any], None]
) -> None:
    found, go_on = threading.Event(), threading.Event()

    @accept_websocket
    def view(request: Any) -> None:
        find_the_end(request.websocket)
        found.set()
        assert go_on.wait(PATIENCE)

    running = site(path("", view), WEBSOCKET_MAX_MESSAGE_BYTES=10)
    with running.connect() as client:
        client.send(b"x" * 11)
        assert found.wait(PATIENCE)
        (warning,) = logged(caplog, logging.WARNING)
        assert "WEBSOCKET_MAX_MESSAGE_BYTES" in warning
        go_on.set()
        assert close_of(client)[0] == 1009
    running.stop()
    # Once, though the view finds it again at its own end.
    assert logged(caplog, logging.WARNING) == [warning]


def test_a_view_that_closes_with_1009_itself_is_nobodys_fault(
    site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    @accept_websocket
    def view(request: Any) -> None:
        request.websocket.close(1009, "my own limit")

    running = site(path("", view))
    with running.connect() as client:
        assert close_of(client) == (1009, "my own limit")
    running.stop()
    assert logged(caplog, logging.WARNING) == []


def flood(view: Any) -> Any:
    """Fills the outbox of a client that reads nothing, from a thread that does not own it."""

    @accept_websocket
    def flooding(request: Any) -> None:
        view(request)
        sender = threading.Thread(target=fill, args=[request.websocket])
        sender.start()
        sender.join(PATIENCE)

    return flooding


def fill(websocket: Any) -> None:
    for _ in range(64):
        websocket.send(bytes(1 << 20), binary=True)


def look_at_user(request: Any) -> None:
    assert request.user.is_authenticated in (True, False)


def leave_user(request: Any) -> None:
    pass


class Users:
    """Middleware: a user as Django's own makes it, looked up at the first look."""

    loads = 0
    user: Any = None

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        def load() -> Any:
            Users.loads += 1
            return Users.user

        request.user = SimpleLazyObject(load)
        return self.get_response(request)


@pytest.mark.parametrize(
    ("view", "user", "shown", "loads"),
    [
        (look_at_user, User(username="ann"), " (user 'ann')", 1),
        (leave_user, User(username="ann"), "", 0),
        (lambda request: bool(request.user), AnonymousUser(), "", 1),
        (
            lambda request: bool(request.user),
            User(username="a\nWARNING forged"),
            " (user 'a\\nWARNING forged')",
            1,
        ),
    ],
    ids=["looked up", "never looked at", "anonymous", "a name that forges a line"],
)
@pytest.mark.parametrize("policy", ["close", "drop_oldest"])
def test_a_slow_client_is_named_with_its_user_who_is_not_looked_up_for_it(
    site: SiteMaker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    policy: str,
    view: Any,
    user: Any,
    shown: str,
    loads: int,
) -> None:
    monkeypatch.setattr(Users, "loads", 0)
    monkeypatch.setattr(Users, "user", user)
    running = site(
        path("feed/", flood(view)),
        MIDDLEWARE=[f"{__name__}.Users"],
        WEBSOCKET_OUTBOX_BYTES=1 << 20,
        WEBSOCKET_SLOW_CLIENT=policy,
        WEBSOCKET_CLOSE_TIMEOUT_SECONDS=0.2,
    )
    client = running.raw("/feed/")
    try:
        address = address_of(client)
        until(lambda: bool(logged(caplog, logging.WARNING)))
        running.stop()
    finally:
        client.close()
    (warning,) = logged(caplog, logging.WARNING)
    assert warning.startswith(f"WebSocket /feed/ of {address}{shown} reads too slowly: ")
    assert "WEBSOCKET_OUTBOX_BYTES" in warning
    remedy, done = {
        "close": ("WEBSOCKET_SEND_TIMEOUT_SECONDS", "closed with 1013"),
        "drop_oldest": ("WEBSOCKET_SLOW_CLIENT", "its oldest messages are dropped"),
    }[policy]
    assert remedy in warning
    assert done in warning
    assert Users.loads == loads


def test_no_number_of_clients_fills_the_log(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "SECONDS", 3600.0)
    running = site(path("", echo), WEBSOCKET_MAX_MESSAGE_BYTES=10)

    def exceed() -> None:
        with running.connect() as client:
            client.send(b"x" * 11)
            assert close_of(client)[0] == 1009

    for _ in range(13):
        exceed()
    until(lambda: notices._kinds["message_too_big"].left_out == 3)
    assert len(logged(caplog, logging.WARNING)) == 10
    monkeypatch.setattr(notices, "SECONDS", 0.0)
    exceed()
    running.stop()
    assert logged(caplog, logging.WARNING)[10].endswith(" (3 like it were not logged before this one)")


def test_a_socket_keeps_no_request_alive_for_the_log(site: SiteMaker) -> None:
    kept: list[Any] = []
    gone: list[Any] = []

    @accept_websocket
    def view(request: Any) -> None:
        kept.append(request.websocket)
        gone.append(weakref.ref(request))

    running = site(path("", view))
    with running.connect() as client:
        assert close_of(client)[0] == 1000
    running.stop()
    gc.collect()
    assert gone[0]() is None
    kept[0].send("to a closed socket whose request is gone")
    kept.clear()
