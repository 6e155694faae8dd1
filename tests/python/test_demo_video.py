"""Scenes 3 and 4 of the example project in a real browser: the video, and the video with control."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from demo import (
    HAS_VIDEO,
    OpenWindow,
    another_picture,
    connect_control,
    example_server,
    expect_state,
    picture,
    seek,
    visit,
)
from playwright.sync_api import Page, expect
from projects import Running
from websockets.sync.client import ClientConnection

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not HAS_VIDEO, reason="needs the video extension, dwebsocket-rs-video"),
]


def test_video_shows_moving_pictures_and_ends_with_a_normal_close(page: Page):
    page.click("#video .connect")
    first = picture(page, "video")
    second = another_picture(page, "video", first)
    another_picture(page, "video", second)
    expect(page.locator("#video .rate")).to_have_text(re.compile(r"^\d+ pictures/s · \d+ KiB each$"))
    expect_state(page, "video", "closed 1000 · normal end")


def test_leaving_the_video_ends_its_view(server: Running, page: Page):
    page.click("#video .connect")
    picture(page, "video")
    logged = len(server.stderr.lines)
    page.click("#video .connect")
    expect_state(page, "video", "closed 1000 · disconnected here")
    server.stderr.wait_for('"GET /video/ HTTP/1.1" closed 1000 by the client', after=logged)


def test_pause_stops_the_pictures_and_play_goes_on(page: Page):
    toggle = connect_control(page)
    expect(page.locator("#control .rate")).to_have_text("no pictures")
    still = picture(page, "control")
    toggle.click()
    expect(toggle).to_have_text("Pause")
    another_picture(page, "control", still)


def test_the_seek_bar_moves_with_the_video(page: Page):
    connect_control(page)
    seek(page, 4)
    page.click("#control .toggle")
    page.wait_for_function("Number(document.getElementById('seek').value) > 5")
    expect(page.locator("#control .time")).to_have_text(re.compile("0:(0[5-9]|10) / 0:10"))


def test_the_same_position_shows_the_same_picture(page: Page):
    connect_control(page)
    at_two = seek(page, 2)
    at_seven = seek(page, 7)
    assert at_two != at_seven
    assert seek(page, 2) == at_two


def test_the_jump_buttons_move_two_seconds(page: Page):
    connect_control(page)
    seek(page, 4)
    page.click("text=+2 s")
    expect(page.locator("#control .time")).to_have_text("0:06 / 0:10")
    page.click("text=−2 s")
    expect(page.locator("#control .time")).to_have_text("0:04 / 0:10")


def test_quality_changes_the_size_of_the_picture_that_is_shown(page: Page):
    connect_control(page)
    medium = seek(page, 5)
    page.get_by_role("radio", name="Low").check()
    low = another_picture(page, "control", medium)
    page.get_by_role("radio", name="High").check()
    high = another_picture(page, "control", low)
    assert len(low) < len(medium) < len(high)
    expect(page.get_by_role("radio", name="High")).to_be_checked()


def test_the_controlled_video_plays_again_after_its_end(page: Page):
    toggle = connect_control(page)
    seek(page, 9)
    toggle.click()
    expect(toggle).to_have_text("Play again")
    expect_state(page, "control", "open")
    toggle.click()
    expect(toggle).to_have_text("Pause")
    expect(page.locator("#control .time")).to_have_text(re.compile("0:0[0-8] / 0:10"))
    seek(page, 6)


def test_a_command_that_makes_no_sense_gets_an_error_and_nothing_else_happens(server: Running):
    senseless = (
        "{",
        "[]",
        "null",
        '{"command": "fly"}',
        '{"command": "seek"}',
        '{"command": "seek", "position": "there"}',
        '{"command": "seek", "position": NaN}',
        '{"command": "quality", "quality": 0}',
        '{"command": "quality", "quality": 101}',
    )
    with server.connect("/video/control/") as websocket:
        for command in senseless:
            websocket.send(command)
            assert "error" in next_answer(websocket), command
        websocket.send('{"command": "pause"}')
        assert next_answer(websocket)["status"] == "paused"


def next_answer(websocket: ClientConnection) -> dict:
    """The next message that is neither a picture nor the status of a playing video."""
    while True:
        message = json.loads(websocket.recv(timeout=20))
        if "img_base64" not in message and message.get("status") != "playing":
            return message


def test_a_video_that_cannot_be_opened_is_named_on_the_page(open_window: OpenWindow, tmp_path: Path):
    missing = tmp_path / "missing.mp4"
    with example_server(ARTICLE_VIDEO_URL=str(missing)) as server:
        page = visit(server, open_window()).page
        for scene in ("video", "control"):
            page.click(f"#{scene} .connect")
            expect(page.locator(f"#{scene} .alert")).to_contain_text(str(missing), timeout=20_000)
            expect_state(page, scene, "closed 1000 · normal end")


def test_the_controlled_video_obeys_the_keyboard(page: Page):
    page.focus("#control .connect")
    page.keyboard.press("Enter")
    toggle = page.locator("#control .toggle")
    expect(toggle).to_have_text("Pause", timeout=20_000)
    # Past the first picture, which is the one that Home brings.
    another_picture(page, "control", picture(page, "control"))
    toggle.focus()
    page.keyboard.press("Space")
    expect(toggle).to_have_text("Play")
    before = picture(page, "control")
    page.focus("#seek")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    another_picture(page, "control", before)
    expect(page.locator("#control .time")).to_have_text("0:00 / 0:10")
    page.focus("#control .quality input:checked")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="High")).to_be_checked()
