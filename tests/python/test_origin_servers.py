"""The check of Origin under servers that are not ours, where the socket is taken over."""

from __future__ import annotations

import pytest
from foreign import SERVERS, Start, echoes
from sites import refusal_of
from sockets import until

REFUSED = (403, "This origin may open no WebSocket here.\n")
STRANGER = "https://evil.example"


@pytest.mark.parametrize("name", SERVERS)
def test_a_stranger_is_refused_before_the_socket_is_taken_over(serve_with: Start, name: str) -> None:
    running = serve_with(name)
    own = f"http://{running.host}:{running.port}"
    assert refusal_of(lambda: running.connect("/echo/", origin=STRANGER)) == REFUSED
    for pair in ((own, STRANGER), (STRANGER, own)):
        fields = [("Origin", origin) for origin in pair]
        assert (
            refusal_of(lambda fields=fields: running.connect("/echo/", additional_headers=fields)) == REFUSED
        )
    for origin in (own, "http://localhost:5173", None):
        with running.connect("/echo/", origin=origin) as client:
            echoes(client, "hello")
    told = "refused with 403: its Origin is"
    until(lambda: sum(told in line for line in running.stderr.lines) == 3)
