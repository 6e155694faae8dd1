"""A real Chromium, driven by Playwright, that notices whatever a user's browser would complain about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

SWITCHES = [
    "--no-sandbox",  # CI runs as root, where Chromium's sandbox does not start
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


# Playwright waits 5 s, which a busy machine may take.
expect.set_options(timeout=20_000)


class Window:
    """A browser window of its own profile, and what went wrong in it.

    Attributes:
        page: Playwright's page.
        complaints: console errors and warnings, uncaught exceptions, failed requests, bad statuses.
        hosts: every host the page asked for something, WebSockets included.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page = self._watched(context.new_page())
        context.on("page", self._watched)

    def _watched(self, page: Page) -> Page:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda websocket: self._asked(websocket.url))
        page.on("response", lambda response: self._answered(response.status, response.url))
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if host := urlsplit(url).hostname:  # data: has none
            self.hosts.add(host)

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.complaints.append(f"{status}: {url}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium for the tests of one module; while it is up, its thread cannot run another event loop."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("needs a browser: the Debian package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def open_window(chromium: Browser) -> Iterator[Callable[..., Window]]:
    """Opens windows, with the options of ``Browser.new_context``; a complaint left in one fails the test."""
    contexts: list[BrowserContext] = []
    windows: list[Window] = []

    def open_one(**options: Any) -> Window:
        contexts.append(chromium.new_context(**options))
        windows.append(Window(contexts[-1]))
        return windows[-1]

    yield open_one
    for context in contexts:
        context.close()
    assert [complaint for window in windows for complaint in window.complaints] == []
