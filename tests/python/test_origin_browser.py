"""Cross-site WebSocket hijacking in a real browser, and a front end that has to go on working."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import SWITCHES, Window
from django.http import HttpResponse
from django.urls import path
from dwebsocket import require_websocket
from playwright.sync_api import Browser
from projects import Project
from serving import Serving
from sites import Site

Serve = Callable[..., Serving]

pytestmark = pytest.mark.browser

# A browser takes every host below localhost to its own machine, and the last two labels for the site.
VICTIM = "app.bank.localhost"
SIBLING = {"attacker": "blog.bank.localhost", "SESSION_COOKIE_SAMESITE": "Lax"}
"""Another host of the same site, taken over perhaps: SameSite=Lax, Django's default, sends it the cookie."""
STRANGER = {
    "attacker": "evil.localhost",
    "SESSION_COOKIE_SAMESITE": "None",
    "SESSION_COOKIE_SECURE": True,
}
"""Any site: the cookie of a project that sits in frames of other sites is sent."""

ICON = '<link rel="icon" href="data:,">'
TALK = """url => new Promise(resolve => {
    const socket = new WebSocket(url);
    socket.onmessage = event => resolve(event.data);
    socket.onclose = event => resolve(`closed ${event.code}`);
    socket.onopen = () => socket.send("hello");
})"""


@pytest.fixture
def window(chromium: Browser, tmp_path: Path) -> Iterator[Window]:
    """A window of a user who lets sites send cookies to one another, as most browsers do by default."""
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    # Tests have private windows otherwise; those, and Debian's Chromium, block what this allows.
    preferences = {"profile": {"cookie_controls_mode": 0}}
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences), encoding="utf-8")
    browser = chromium.browser_type.launch_persistent_context(
        profile, executable_path=shutil.which("chromium"), args=SWITCHES
    )
    try:
        yield Window(browser)
    finally:
        browser.close()


def log_in(request: Any) -> HttpResponse:
    request.session["name"] = "ann"
    return HttpResponse(f"{ICON}<p>You are ann.")


@require_websocket
def account(request: Any) -> None:
    request.websocket.send(f"the account of {request.session.get('name', 'nobody')}")


def foreign_page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Serves a page that is none of the project's, under whatever host its server is asked for."""
    start_response("200 OK", [("Content-Type", "text/html")])
    return [f"{ICON}<p>Win a prize!".encode()]


@pytest.mark.parametrize("way", [SIBLING, STRANGER], ids=["sibling host", "other site"])
@pytest.mark.parametrize("listed", [None, "*"], ids=["checked", "unchecked"])
def test_a_foreign_page_opens_the_users_socket_only_where_the_check_is_off(
    site: Callable[..., Site],
    serve: Serve,
    window: Window,
    caplog: pytest.LogCaptureFixture,
    way: dict[str, Any],
    listed: str | None,
) -> None:
    running = site(
        path("", log_in),
        path("account/", account),
        ALLOWED_HOSTS=[VICTIM],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        WEBSOCKET_ALLOWED_ORIGINS=listed,
        **{name: value for name, value in way.items() if name.isupper()},
    )
    socket = f"ws://{VICTIM}:{running.port}/account/"
    window.page.goto(f"http://{VICTIM}:{running.port}/")
    assert window.page.evaluate(TALK, socket) == "the account of ann"

    attacker = f"http://{way['attacker']}:{serve(foreign_page).port}"
    window.page.goto(attacker)
    outcome = window.page.evaluate(TALK, socket)
    running.stop()
    warnings = [record.getMessage() for record in caplog.records if record.name == "dwebsocket"]
    if listed == "*":
        assert (outcome, window.complaints, warnings) == ("the account of ann", [], [])
    else:
        assert outcome == "closed 1006"
        (complaint,) = window.complaints
        assert "Unexpected response code: 403" in complaint
        (warning,) = warnings
        assert f"its Origin is '{attacker}'" in warning


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_front_end_on_another_port_of_localhost_works_with_a_new_project(
    echo_project: Project, serve: Serve, window: Window, host: str
) -> None:
    running = echo_project.run()
    window.page.goto(f"http://localhost:{serve(foreign_page).port}")
    assert window.page.evaluate(TALK, f"ws://{host}:{running.port}/echo/") == "hello"
    assert window.complaints == []
