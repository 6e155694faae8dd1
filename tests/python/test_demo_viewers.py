"""The viewers of a feed on the page of the example project, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from demo import (
    DESKTOP,
    HAS_VIDEO,
    WINDOWS,
    OpenWindow,
    example_server,
    fits,
    keep,
    unnamed,
    visit,
)
from playwright.sync_api import Locator, Page, expect
from projects import Running
from rtmp import RtmpServer, rtmp_server

__all__ = ["rtmp_server"]


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not HAS_VIDEO, reason="needs the video extension, dwebsocket-rs-video"),
]


def viewer(page: Page, number: int = 1) -> Locator:
    return page.get_by_role("article", name=f"Viewer {number}")


def plays(one: Locator) -> Locator:
    """Waits until a picture is there; gives it."""
    image = one.locator(".screen img")
    expect(image).to_be_visible(timeout=30_000)
    return image


def changes(one: Locator) -> None:
    """Waits until the picture is another."""
    image = plays(one)
    expect(image).not_to_have_attribute("src", str(image.get_attribute("src")), timeout=20_000)


def feed_state(one: Locator, state: str) -> None:
    expect(one.locator(".source")).to_have_text(state, timeout=60_000)


def width(one: Locator) -> int:
    return int(plays(one).evaluate("image => image.naturalWidth"))


@pytest.fixture
def watching(page: Page) -> Locator:
    """The first viewer, which sees the file."""
    one = viewer(page)
    one.get_by_role("button", name="Connect").click()
    feed_state(one, "live")
    plays(one)
    return one


def test_a_viewer_sees_moving_pictures_with_their_rate_and_latency(watching: Locator):
    changes(watching)
    expect(watching.locator(".rate")).to_have_text(
        re.compile(r"^\d+ pictures/s · \d+ KiB/s · latency \d+ ms$"), timeout=20_000
    )
    expect(watching.locator(".share")).to_have_text(
        re.compile(r"^the only viewer of this capture · \d+ sent · \d+ skipped$")
    )


def test_pause_step_play_and_speed(watching: Locator):
    toggle = watching.locator(".toggle")
    toggle.click()
    expect(toggle).to_have_text("Play")
    expect(watching.locator(".signal")).to_have_text("Paused")
    expect(watching.locator(".rate")).to_have_text("no pictures", timeout=20_000)
    still = plays(watching).get_attribute("src")
    watching.get_by_role("button", name="Step").click()
    expect(watching.locator(".screen img")).not_to_have_attribute("src", str(still))
    watching.get_by_label("Speed").select_option("4")
    toggle.click()
    expect(toggle).to_have_text("Pause")
    # Ten seconds at four times the speed.
    feed_state(watching, "ended")
    expect(watching.locator(".time")).to_have_text("0:10 / 0:10")
    expect(toggle).to_have_text("Play again")
    toggle.click()
    feed_state(watching, "live")


def test_the_seek_bar_goes_there_and_says_where(watching: Locator):
    watching.locator(".toggle").click()
    for seconds in ("7", "3"):
        before = plays(watching).get_attribute("src")
        watching.get_by_label("Position").fill(seconds)
        expect(watching.locator(".time")).to_have_text(f"0:0{seconds} / 0:10")
        expect(watching.locator(".screen img")).not_to_have_attribute("src", str(before))


def test_size_quality_and_form_are_changed_while_it_plays_and_it_goes_on_there(watching: Locator):
    watching.locator(".toggle").click()
    watching.get_by_label("Position").fill("6")
    expect(watching.locator(".time")).to_have_text("0:06 / 0:10")
    assert width(watching) == 640
    watching.get_by_label("Size").select_option("320")
    expect(watching.locator(".screen img")).to_have_js_property("naturalWidth", 320, timeout=20_000)
    expect(watching.locator(".time")).to_have_text("0:06 / 0:10")
    expect(watching.locator(".toggle")).to_have_text("Play")
    watching.get_by_label("Form").select_option("binary")
    expect(watching.locator(".screen img")).to_have_attribute("src", re.compile("^blob:"), timeout=20_000)
    expect(watching.locator(".time")).to_have_text("0:06 / 0:10")
    watching.locator(".toggle").click()
    changes(watching)


def test_viewers_side_by_side_have_controls_of_their_own(watching: Locator, page: Page):
    for _ in range(2):
        page.get_by_role("button", name="Add a viewer").click()
    for number in (2, 3):
        feed_state(viewer(page, number), "live")
        plays(viewer(page, number))
    # A page on a busy machine may take longer than the ten seconds of the video.
    viewer(page, 3).get_by_label("Speed").select_option("0.25")
    viewer(page, 2).locator(".toggle").click()
    expect(viewer(page, 2).locator(".toggle")).to_have_text("Play")
    expect(viewer(page, 3).locator(".toggle")).to_have_text("Pause")
    changes(viewer(page, 3))
    viewer(page, 2).get_by_role("button", name="Remove").click()
    expect(page.get_by_role("article")).to_have_count(2)
    changes(viewer(page, 3))


def film_moves(one: Locator) -> None:
    """Waits until the film is there and goes on."""
    video = one.locator("video")
    expect(video).to_be_visible(timeout=30_000)
    now = video.evaluate("video => video.currentTime")
    one.page.wait_for_function(
        "([video, now]) => video.currentTime > now + 0.5 && video.videoWidth === 640",
        arg=[video.element_handle(), now],
        timeout=30_000,
    )


def test_a_film_is_played_paused_and_sought_in(watching: Locator):
    watching.get_by_label("Form").select_option("mp4")
    film_moves(watching)
    expect(watching.locator(".rate")).to_have_text(re.compile(r"^\d+ pictures/s .* latency"), timeout=20_000)
    expect(watching.get_by_label("Quality")).to_be_disabled()
    watching.locator(".toggle").click()
    expect(watching.locator(".signal")).to_have_text("Paused")
    for seconds in (7, 3):
        watching.get_by_label("Position").fill(str(seconds))
        watching.page.wait_for_function(
            "([video, at]) => Math.abs(video.currentTime - at) < 0.1 && video.readyState >= 2",
            arg=[watching.locator("video").element_handle(), seconds],
            timeout=20_000,
        )
    watching.locator(".toggle").click()
    film_moves(watching)
    watching.get_by_label("Form").select_option("json")
    changes(watching)


def test_a_form_that_the_server_refuses_is_named(watching: Locator, page: Page):
    watching.locator(".form").evaluate(
        "select => select.add(new Option('Scroll', 'scroll'))",
    )
    watching.locator(".form").select_option("scroll")
    expect(watching.get_by_role("alert")).to_contain_text("form must be", timeout=20_000)
    watching.locator(".form").select_option("json")
    changes(watching)


def test_every_control_of_a_viewer_has_a_name(watching: Locator):
    assert unnamed(watching, "scene") == []
    assert watching.evaluate("scene => [...scene.querySelectorAll('label')].every(label => label.control)")


@pytest.fixture
def streaming(rtmp_server: RtmpServer) -> Iterator[Running]:
    """The example project, pointed at the stream."""
    # The sample has no sound, and FFmpeg is not to wait for any.
    quick = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "analyzeduration;500000"}
    with example_server(ARTICLE_VIDEO_URL=rtmp_server.url, **quick) as running:
        yield running


def test_a_stream_that_is_killed_and_comes_back_is_shown_as_such(
    streaming: Running, rtmp_server: RtmpServer, open_window: OpenWindow
):
    page = visit(streaming, open_window(**DESKTOP)).page
    viewer(page).get_by_role("button", name="Connect").click()
    page.get_by_role("button", name="Add a viewer").click()
    both = [viewer(page, 1), viewer(page, 2)]
    for one in both:
        feed_state(one, "live")
        changes(one)
        expect(one.locator(".seek")).to_be_hidden()
        expect(one.locator(".rate")).to_have_text(re.compile(r"latency \d+ ms$"), timeout=20_000)
        expect(one.locator(".share")).to_contain_text("2 viewers share one capture", timeout=20_000)
    both[0].locator(".toggle").click()
    expect(both[0].locator(".toggle")).to_have_text("Play")
    changes(both[1])
    both[0].locator(".toggle").click()
    changes(both[0])
    rtmp_server.stop()
    for one in both:
        expect(one.locator(".signal")).to_contain_text(re.compile("lost|Connecting"), timeout=30_000)
        expect(one.locator(".screen img")).to_have_js_property("naturalHeight", 360, timeout=30_000)
    keep("viewers-lost", page.locator("#feed").screenshot())
    rtmp_server.restart()
    for one in both:
        feed_state(one, "live")
        expect(one.locator(".signal")).to_be_hidden()
        changes(one)


@pytest.mark.parametrize("name", WINDOWS)
def test_the_viewers_fit_the_window(server: Running, open_window: OpenWindow, name: str):
    page = visit(server, open_window(**WINDOWS[name])).page
    viewer(page).get_by_role("button", name="Connect").click()
    page.get_by_role("button", name="Add a viewer").click()
    for number in (1, 2):
        plays(viewer(page, number))
        expect(viewer(page, number).locator(".rate")).to_contain_text("latency", timeout=20_000)
    viewer(page, 2).locator(".toggle").click()
    expect(viewer(page, 2).locator(".signal")).to_have_text("Paused")
    keep(f"viewers-{name}", page.locator("#feed").screenshot())
    assert fits(page)
