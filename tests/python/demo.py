"""The example project under ``manage.py runserver``, and its page in a browser."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import Window
from playwright.sync_api import Locator, Page, expect
from projects import Running

PROJECT = Path(__file__).parents[2] / "examples" / "article"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
WINDOWS = {
    "desktop": DESKTOP,
    "desktop-dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": PHONE,
    "phone-dark": {**PHONE, "color_scheme": "dark"},
}
PICTURES = Path(__file__).parents[1] / "output"

LOGGED = re.compile(r'^\[[^]]+\] "GET /\S* HTTP/1\.1" ((200|304|101) \d+|closed 10\d\d .*)$')

HAS_VIDEO = importlib.util.find_spec("dwebsocket_video") is not None

OpenWindow = Callable[..., Window]


@contextmanager
def example_server(port: int = 0, **environment: str) -> Iterator[Running]:
    """``manage.py runserver`` of the example project."""
    command = [sys.executable, "-u", "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    quiet = {"DJANGO_RUNSERVER_HIDE_WARNING": "true"}
    running = Running(command, PROJECT, {**os.environ, **quiet, **environment})
    try:
        yield running.wait_until_up()
    finally:
        running.end()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """One server for the module. In the end it must have logged requests and sockets, and nothing else."""
    with example_server() as running:
        yield running
        running.interrupt()
        assert running.wait() == 0
    assert [line for line in running.stderr.lines if not LOGGED.match(line)] == []


@pytest.fixture
def page(server: Running, open_window: OpenWindow) -> Page:
    """The page in a desktop's window, both chats connected."""
    return visit(server, open_window(**DESKTOP)).page


def visit(server: Running, window: Window) -> Window:
    window.page.goto(server.url)
    expect_state(window.page, "oneself", "open")
    expect_state(window.page, "many", "open")
    return window


def expect_state(page: Page, scene: str, text: str) -> None:
    expect(page.locator(f"#{scene} .state")).to_have_text(text, timeout=20_000)


def say(page: Page, scene: str, text: str) -> None:
    page.fill(f"#{scene}-text", text)
    page.keyboard.press("Enter")


def keep(name: str, screenshot: bytes) -> None:
    """Writes a screenshot where somebody may look at it."""
    # Written here: Playwright would start a thread for it.
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.png").write_bytes(screenshot)


def fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    root = "document.documentElement"
    return bool(page.evaluate(f"() => {root}.scrollWidth <= {root}.clientWidth"))


def unnamed(within: Page | Locator, root: str) -> list[str]:
    """Controls that a screen reader has no name for, below an element of the script."""
    return list(
        within.evaluate(
            f"""(scene) => [...{root}.querySelectorAll("button, input, select")]
                .filter((element) => !element.textContent.trim() && !element.ariaLabel)
                .filter((element) => !element.labels?.length)
                .map((element) => element.outerHTML)"""
        )
    )


def picture(page: Page, scene: str) -> str:
    """The picture that is shown, once one is."""
    image = page.locator(f"#{scene} .screen img")
    expect(image).to_be_visible(timeout=20_000)
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [640, 360]
    return str(image.get_attribute("src"))


def another_picture(page: Page, scene: str, than: str) -> str:
    expect(page.locator(f"#{scene} .screen img")).not_to_have_attribute("src", than)
    return picture(page, scene)


def connect_control(page: Page) -> Locator:
    """Connects scene 4 and pauses it; gives the button that plays and pauses."""
    page.click("#control .connect")
    toggle = page.locator("#control .toggle")
    expect(toggle).to_have_text("Pause", timeout=20_000)
    toggle.click()
    expect(toggle).to_have_text("Play")
    return toggle


def seek(page: Page, seconds: float) -> str:
    """Seeks while the video is paused and gives the picture found there."""
    before = picture(page, "control")
    page.locator("#seek").fill(str(seconds))
    expect(page.locator("#control .time")).to_have_text(f"0:{int(seconds):02} / 0:10")
    return another_picture(page, "control", before)
