"""What dwebsocket 0.5.12 gets wrong, and this one right: the parts that have no other file."""

from __future__ import annotations

import os
import resource
import select
import threading
import time
from collections.abc import Iterator

import pytest
from django.http import HttpResponse
from django.urls import path
from dwebsocket import accept_websocket
from dwebsocket.backends.default.factory import WebSocketFactory
from serving import PATIENCE
from sites import close_of
from sockets import TEXT

SELECT_LIMIT = 1024


@pytest.fixture
def descriptors_beyond_the_limit_of_select() -> Iterator[None]:
    """Takes every descriptor below 1,024, so that the next ones are above."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * SELECT_LIMIT:
        pytest.skip(f"the process may have no more than {hard} descriptors, 2,048 are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * SELECT_LIMIT), hard))
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while taken[-1] < SELECT_LIMIT:
            taken.append(os.dup(taken[0]))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_socket_whose_descriptors_are_beyond_the_limit_of_select_works(
    sockets, descriptors_beyond_the_limit_of_select
):
    ends = sockets.open()
    websocket = ends.websocket
    assert websocket.fileno() > SELECT_LIMIT
    # This is what 0.5.12 looked at its socket with.
    with pytest.raises(ValueError, match="out of range"):
        select.select([websocket.fileno()], [], [], 0)
    assert (websocket.has_messages(), websocket.count_messages(), websocket.read()) == (False, 0, None)
    ends.say("a message", "another")
    assert (websocket.has_messages(), websocket.count_messages()) == (True, 2)
    assert (websocket.read(), websocket.wait()) == (b"a message", b"another")
    poll = select.poll()
    poll.register(websocket.fileno(), select.POLLIN)
    ends.client.close()
    assert poll.poll(PATIENCE * 1000) == [(websocket.fileno(), select.POLLIN)]
    assert websocket.wait(PATIENCE) is None


@pytest.mark.alone
def test_16_kib_messages_are_echoed_faster_than_the_500_a_second_of_0_5_12(sockets):
    def echo(websocket):
        for message in websocket:
            if message is not None:
                websocket.send(message)

    # A client that can read while it sends: one that cannot would stop for good once all buffers are full.
    client = sockets.open(echo, raw=True).client
    message, count = b"x" * (16 << 10), 2000
    begun = time.monotonic()
    sending = threading.Thread(target=lambda: [client.send(TEXT, message) for _ in range(count)])
    sending.start()
    assert all(client.receive() == (0x81, message) for _ in range(count))
    seconds = time.monotonic() - begun
    sending.join(PATIENCE)
    assert count / seconds > 500


class Chat(WebSocketFactory):
    """Chooses the first subprotocol it knows of those a client offers."""

    def create_websocket(self):
        websocket = super().create_websocket()
        if websocket is not None:
            offered = self.request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
            websocket.accept_connection(next((each for each in offered if each in ("v2.chat", "chat")), None))
        return websocket


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["soap", "chat"], "chat"), (["v2.chat", "chat"], "v2.chat"), (["soap"], None)]
)
def test_a_subprotocol_that_the_projects_factory_chooses_is_spoken(site, offered, chosen):
    @accept_websocket
    def view(request):
        request.websocket.send([request.websocket.subprotocol])

    running = site(path("", view), WEBSOCKET_FACTORY_CLASS=f"{__name__}.Chat")
    with running.connect(subprotocols=offered) as client:
        assert client.subprotocol == chosen
        assert client.recv(PATIENCE) == (f'["{chosen}"]' if chosen else "[null]")
        assert close_of(client) == (1000, "")


def test_the_old_setting_middleware_classes_does_no_harm(site):
    @accept_websocket
    def view(request):
        if not request.is_websocket():
            return HttpResponse("http")
        request.websocket.send(request.websocket.wait())
        return None

    running = site(
        path("", view), MIDDLEWARE=[], MIDDLEWARE_CLASSES=["dwebsocket.middleware.WebSocketMiddleware"]
    )
    with running.connect() as client:
        client.send("hello")
        assert client.recv(PATIENCE) == "hello"
    assert running.get() == (200, b"http")
