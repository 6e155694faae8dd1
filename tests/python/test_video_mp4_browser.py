"""What a real browser makes of the MP4 form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser import Window
from django.http import HttpResponse
from django.urls import path
from dwebsocket import require_websocket
from rtmp import SAMPLE
from sites import Site
from watching import feed

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("no_feed_runs_on")]

PLAY = """async () => {
    const video = document.createElement("video");
    document.body.append(video);
    video.muted = true;
    const media = new MediaSource();
    video.src = URL.createObjectURL(media);
    await new Promise(resolve => { media.onsourceopen = resolve; });
    const socket = new WebSocket(`ws://${location.host}/video/`);
    socket.binaryType = "arraybuffer";
    const waiting = [];
    let buffer = null, start = null;
    const has = time => [...Array(buffer.buffered.length).keys()].some(
        index => buffer.buffered.start(index) <= time + 0.1 && buffer.buffered.end(index) > time);
    const next = () => {
        if (start !== null && has(start)) {
            video.currentTime = start;
            video.play();
            start = null;
        }
        while (waiting.length && !buffer.updating) {
            const message = waiting.shift();
            if (message instanceof ArrayBuffer) {
                buffer.appendBuffer(message);
            } else {
                buffer.abort();
                buffer.changeType(message.mimeType);
                start = message.t;
            }
        }
    };
    socket.onmessage = ({data}) => {
        const message = data instanceof ArrayBuffer ? data : JSON.parse(data);
        if (message.state) return;
        if (buffer === null) {
            if (!MediaSource.isTypeSupported(message.mimeType)) throw new Error(message.mimeType);
            buffer = media.addSourceBuffer(message.mimeType);
            buffer.onupdateend = next;
        }
        waiting.push(message);
        next();
    };
    window.video = video;
    window.command = command => socket.send(JSON.stringify(command));
}"""

REACHED = """seconds => {
    if (window.video.error) throw new Error(window.video.error.message);
    return window.video.currentTime > seconds;
}"""


def page(request: Any) -> HttpResponse:
    return HttpResponse('<link rel="icon" href="data:,"><body>')


@require_websocket
def show(request: Any) -> None:
    with feed(SAMPLE).watch(request.websocket, form="mp4") as viewer:
        for message in request.websocket:
            viewer.handle(message)


def test_a_browser_plays_it_and_follows_a_seek(
    site: Callable[..., Site], open_window: Callable[..., Window]
) -> None:
    served = site(path("", page), path("video/", show))
    window = open_window().page
    window.goto(f"http://127.0.0.1:{served.port}/")
    window.evaluate(PLAY)
    window.wait_for_function(REACHED, arg=0.5)
    assert window.evaluate("[video.videoWidth, video.videoHeight]") == [640, 360]
    window.evaluate("command({command: 'seek', position: 7})")
    window.wait_for_function(REACHED, arg=7.2)
    assert window.evaluate("video.currentTime") < 10.1
    assert window.evaluate("video.getVideoPlaybackQuality().totalVideoFrames") > 10
    # What was sent since the start of the group is there, from its key frame on.
    ranges = window.evaluate("[...Array(video.buffered.length).keys()].map(at => video.buffered.start(at))")
    assert ranges == pytest.approx([0.0, 6.0], abs=0.05)
    window.goto("about:blank")
