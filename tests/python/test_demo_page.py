"""The page of the example project in a real browser: its chats, its manners and its looks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from demo import (
    HAS_VIDEO,
    PROJECT,
    WINDOWS,
    OpenWindow,
    connect_control,
    example_server,
    expect_state,
    fits,
    keep,
    picture,
    say,
    seek,
    unnamed,
    visit,
)
from playwright.sync_api import Page, expect
from projects import Running

pytestmark = pytest.mark.browser


@pytest.mark.skipif(shutil.which("node") is None, reason="needs the Debian package nodejs")
@pytest.mark.parametrize(
    "script", sorted(PROJECT.glob("scenes/static/scenes/*.js")), ids=lambda path: path.name
)
def test_each_script_of_the_page_parses(script: Path):
    command = ["node", "--input-type=module", "--check"]
    checked = subprocess.run(command, input=script.read_bytes(), capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()


def test_chat_with_oneself_answers_each_message(page: Page):
    for text in ("Hello", "你好,世界 🙂"):
        say(page, "oneself", text)
    expect(page.locator("#oneself .theirs")).to_have_text(["You said: Hello", "You said: 你好,世界 🙂"])
    expect(page.locator("#oneself .mine")).to_have_text(["Hello", "你好,世界 🙂"])


def test_markup_in_a_message_is_shown_as_text(page: Page):
    say(page, "oneself", "<img src=x onerror=alert(1)>")
    expect(page.locator("#oneself .theirs")).to_have_text("You said: <img src=x onerror=alert(1)>")
    expect(page.locator(".log img")).to_have_count(0)


def test_chat_with_many_reaches_every_window(server: Running, open_window: OpenWindow):
    first = visit(server, open_window()).page
    second = visit(server, open_window()).page
    expect(first.locator("#many .event").last).to_have_text(re.compile(r"Guest \d+ joined\."))
    expect(first.locator("#many .people")).to_have_text("2 people are here.")
    say(first, "many", "早上好")
    say(second, "many", "Good morning")
    for page, mine, theirs in ((first, "早上好", "Good morning"), (second, "Good morning", "早上好")):
        expect(page.locator("#many .mine")).to_have_text(mine)
        expect(page.locator("#many .theirs")).to_have_text(re.compile(rf"^\s*Guest \d+\s*{theirs}$"))
        expect(page.locator("#oneself .log p")).to_have_count(0)


def test_whoever_leaves_the_chat_is_missed(server: Running, open_window: OpenWindow):
    first = visit(server, open_window()).page
    second = visit(server, open_window()).page
    expect(first.locator("#many .people")).to_have_text("2 people are here.")
    second.close()
    expect(first.locator("#many .event").last).to_have_text(re.compile(r"Guest \d+ left\."))
    expect(first.locator("#many .people")).to_have_text("Nobody else is here.")


def test_disconnect_shows_the_close_code_and_connect_opens_a_new_socket(page: Page):
    button = page.locator("#oneself .connect")
    button.click()
    expect_state(page, "oneself", "closed 1000 · disconnected here")
    expect(page.locator("#oneself .say button")).to_be_disabled()
    expect(button).to_have_text("Connect")
    button.click()
    expect_state(page, "oneself", "open")
    say(page, "oneself", "Here again")
    expect(page.locator("#oneself .theirs")).to_have_text("You said: Here again")


def test_without_the_video_extension_the_page_says_what_to_install(
    open_window: OpenWindow,
    tmp_path: Path,
):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['dwebsocket_video'] = None\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    with example_server(PYTHONPATH=path) as server:
        page = visit(server, open_window()).page
        for scene in ("video", "control"):
            page.click(f"#{scene} .connect")
            expect(page.locator(f"#{scene} .alert")).to_contain_text("dwebsocket-rs[video]")
        say(page, "oneself", "Still here")
        expect(page.locator("#oneself .theirs")).to_have_text("You said: Still here")


def test_the_page_connects_again_when_the_server_is_back(open_window: OpenWindow):
    with example_server() as server:
        window = visit(server, open_window())
        server.interrupt()
        expect_state(window.page, "oneself", "closed 1001 · the server went away · trying again")
        assert server.wait() == 0
    with example_server(server.port):
        expect_state(window.page, "oneself", "open")
        expect_state(window.page, "many", "open")
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in window.complaints)
    window.complaints.clear()


def test_a_stopped_retry_stays_stopped(open_window: OpenWindow):
    with example_server() as server:
        window = visit(server, open_window())
    expect(window.page.locator("#oneself .connect")).to_have_text("Cancel")
    window.page.click("#oneself .connect")
    expect_state(window.page, "oneself", "not connected")
    expect(window.page.locator("#oneself .connect")).to_have_text("Connect")
    window.complaints.clear()


def test_everything_comes_from_the_page_s_own_host(server: Running, open_window: OpenWindow):
    window = visit(server, open_window())
    window.page.click("#video .connect")
    expect(window.page.locator("#video .state")).not_to_have_text("not connected")
    assert window.hosts == {"127.0.0.1"}


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(page: Page):
    assert unnamed(page, "document") == []
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"connect", "log", "oneself-text", "many-text"} <= reached


@pytest.mark.parametrize("name", WINDOWS)
def test_the_page_fits_the_window(server: Running, open_window: OpenWindow, name: str):
    page = visit(server, open_window(**WINDOWS[name])).page
    say(page, "oneself", "Hello")
    say(page, "many", "A word-without-a-place-to-break-" + "that-goes-on-and-on-" * 8)
    expect(page.locator("#many .mine")).to_be_visible()
    if HAS_VIDEO:
        page.click("#video .connect")
        picture(page, "video")
        connect_control(page)
        seek(page, 5)
    page.click("#control summary")
    keep(f"demo-{name}", page.screenshot(full_page=True))
    assert fits(page)
