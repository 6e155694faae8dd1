"""permessage-deflate with a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from browser import Window
from django.http import HttpResponse
from django.urls import path
from dwebsocket import require_websocket
from sites import Site

pytestmark = pytest.mark.browser

TALK = """async texts => {
    const socket = new WebSocket(`ws://${location.host}/echo/`);
    const next = () => new Promise((resolve, reject) => {
        socket.onmessage = event => resolve(event.data);
        socket.onclose = event => reject(`closed ${event.code} ${event.reason}`);
    });
    await new Promise(resolve => { socket.onopen = resolve; });
    const answers = [];
    for (const text of texts) {
        const answer = next();
        socket.send(text);
        answers.push(await answer);
    }
    return [socket.extensions, answers];
}"""


def page(request: Any) -> HttpResponse:
    return HttpResponse('<link rel="icon" href="data:,">')


@require_websocket(compression=True)
def echo(request: Any) -> None:
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


@pytest.mark.parametrize("takeover", [False, True])
def test_a_browser_and_a_view_understand_each_others_compressed_messages(
    site: Callable[..., Site], open_window: Callable[..., Window], takeover: bool
) -> None:
    served = site(
        path("", page),
        path("echo/", echo),
        WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER=takeover,
        WEBSOCKET_COMPRESSION_THRESHOLD_BYTES=1,
        WEBSOCKET_COMPRESSION_WINDOW_BITS=12,
    )
    rows = json.dumps([{"id": number, "name": "Grüße", "online": True} for number in range(3000)])
    texts = ["", "short", rows, "short", rows, rows[::-1], "€" * 100_000]
    window = open_window().page
    window.goto(f"http://127.0.0.1:{served.port}/")
    extensions, answers = window.evaluate(TALK, texts)
    forgetting = "" if takeover else "; server_no_context_takeover; client_no_context_takeover"
    assert extensions == (
        f"permessage-deflate{forgetting}; server_max_window_bits=12; client_max_window_bits=12"
    )
    assert answers == texts
