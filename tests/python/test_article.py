"""The article's four scenes, in a project made by `startproject` and served by `manage.py runserver`.

Views of the same shape are always tested; the article's own file runs unchanged where it is at hand.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from projects import Project, Running
from rtmp import RtmpServer, rtmp_server
from sites import close_of
from websockets.sync.client import ClientConnection

__all__ = ["rtmp_server"]

needs_video = pytest.mark.skipif(
    importlib.util.find_spec("dwebsocket_video") is None,
    reason="the distribution dwebsocket-rs-video is not installed",
)

TOP = Path(__file__).parents[2]
ARTICLE = Path(os.environ.get("DWEBSOCKET_ARTICLE_VIEWS") or TOP.parent / "shared" / "article" / "views.py")
CLIP = TOP / "examples" / "article" / "media" / "sample.mp4"

OUR_VIEWS = '''
"""Views as people write them for dwebsocket."""

import queue

from django.conf import settings
from django.http import HttpResponse

from dwebsocket.decorators import accept_websocket
from dwebsocket.video import video_img_base64

everybody = {}
answers = queue.Queue()


@accept_websocket
def alone(request):
    if not request.is_websocket():
        return HttpResponse("http")
    for words in request.websocket:
        request.websocket.send("你刚才对我说:%s" % words)
    print("the loop has ended")


@accept_websocket
def together(request):
    if not request.is_websocket():
        return HttpResponse("http")
    everybody[id(request.websocket)] = request.websocket
    for words in request.websocket:
        for somebody in list(everybody.values()):
            somebody.send("你刚才对我说:%s" % words)
    print("the loop has ended")


@accept_websocket
def watch(request):
    frames = video_img_base64(settings.ARTICLE_VIDEO_URL)
    frame = next(frames)
    while frame is not None:
        request.websocket.send({"img_base64": frame})
        frame = frames.send(None)


@accept_websocket
def control(request):
    if request.is_websocket:
        while True:
            if request.websocket.count_messages() > 0:
                command = request.websocket.read()
                while command:
                    answers.put(command)
                    command = request.websocket.read()
            if not answers.empty():
                answer = answers.get()
                while answer:
                    answer = request.websocket.send(answer)
'''

SCENES = {
    "ours": ("alone", "together", "watch", "control"),
    "article": ("start_server_script", "start_server_script_many", "show_video", "websocket_ctrl"),
}


@pytest.fixture(params=list(SCENES))
def site(request: pytest.FixtureRequest, project: Project) -> Project:
    """A project with the scenes' views under /1/ to /4/."""
    if request.param == "article" and not ARTICLE.is_file():
        pytest.skip(
            f"the article's views are not at {ARTICLE} (DWEBSOCKET_ARTICLE_VIEWS names another place)"
        )
    source = ARTICLE.read_text(encoding="utf-8") if request.param == "article" else OUR_VIEWS
    project.write("views.py", source)
    project.urls(
        *(f'path("{number}/", views.{view})' for number, view in enumerate(SCENES[request.param], start=1))
    )
    return project


def receive(client: ClientConnection) -> str:
    message = client.recv(timeout=10)
    assert isinstance(message, str), "a text frame was expected"
    return message


def assert_quiet(running: Running, sockets: int) -> None:
    """Every socket has been logged as closed, and nothing else was said."""
    known = 0
    for _ in range(sockets):
        match = running.stderr.wait_for(r'" closed \d+ ', after=known)
        known = running.stderr.lines.index(match.string, known) + 1
    assert running.unexpected() == []


def test_scene_1_talking_to_oneself(site: Project) -> None:
    running = site.run()
    with running.connect("/1/") as client:
        for words in ("hello", "你好", "naïve 😀"):
            client.send(words)
            # What arrives is bytes, as it always was, and %s of bytes is their repr.
            assert receive(client) == f"你刚才对我说:{words.encode()!r}"
        client.send("x" * 100_000)
        assert len(receive(client)) == len("你刚才对我说:b''") + 100_000
    # The loop gives one None after the close, and then ends.
    running.stdout.wait_for("the loop has ended|这里其实不会被执行")
    assert running.get("/1/") == (200, b"http")
    assert_quiet(running, 1)


def test_scene_1_with_text_as_str(site: Project) -> None:
    site.settings("WEBSOCKET_TEXT_AS_STR = True")
    running = site.run()
    with running.connect("/1/") as client:
        client.send("你好")
        assert receive(client) == "你刚才对我说:你好"
        client.send(b"\x00\xff")
        assert receive(client) == "你刚才对我说:b'\\x00\\xff'"
    assert_quiet(running, 1)


def test_scene_2_everybody_hears_everybody_and_the_dead_are_no_hindrance(site: Project) -> None:
    running = site.run()
    with ExitStack() as stack:
        clients = []
        for number in range(5):
            clients.append(stack.enter_context(running.connect("/2/")))
            # A socket is in the dict once it has heard itself.
            clients[-1].send(f"I am {number}")
            for client in clients:
                assert receive(client) == f"你刚才对我说:b'I am {number}'"
        # One says goodbye, one vanishes; both stay in the dict.
        clients.pop(1).close()
        for client in clients:
            assert receive(client) == "你刚才对我说:None"
        clients.pop(2).socket.close()
        for client in clients:
            assert receive(client) == "你刚才对我说:None"
        for client in clients:
            client.send("still here")
            for other in clients:
                assert receive(other) == "你刚才对我说:b'still here'"
        assert running.get("/2/") == (200, b"http")
        while clients:
            clients.pop().close()
            for client in clients:
                assert receive(client) == "你刚才对我说:None"
    assert_quiet(running, 5)


def receive_pictures(client: ClientConnection, wanted: int) -> list[bytes]:
    """The JPEGs of `wanted` messages of scene 3."""
    # A live source takes a while to the first picture.
    messages = [client.recv(timeout=30) for _ in range(wanted)]
    pictures = [base64.b64decode(json.loads(message)["img_base64"]) for message in messages]
    for picture in pictures:
        assert picture.startswith(b"\xff\xd8\xff")
        assert picture.endswith(b"\xff\xd9")
    return pictures


@needs_video
def test_scene_3_a_video_from_a_file(site: Project) -> None:
    site.settings(f"ARTICLE_VIDEO_URL = {str(CLIP)!r}")
    running = site.run()
    with running.connect("/3/", max_size=None) as client:
        assert len(set(receive_pictures(client, 5))) > 1
    # The client went away in the middle: the push loop ends, and another can watch.
    assert_quiet(running, 1)
    with running.connect("/3/", max_size=None) as client:
        receive_pictures(client, 1)


@needs_video
def test_scene_3_a_video_from_an_rtmp_server(site: Project, rtmp_server: RtmpServer) -> None:
    site.settings(f"ARTICLE_VIDEO_URL = {rtmp_server.url!r}")
    running = site.run()
    # FFmpeg waits for sound, then gives all that has come at once: a client with a full queue sees no Close.
    with running.connect("/3/", max_size=None, max_queue=None) as client:
        assert len(set(receive_pictures(client, 5))) > 1
    assert_quiet(running, 1)


def test_scene_4_commands_while_pushing(site: Project) -> None:
    running = site.run()
    with running.connect("/4/") as client:
        for command in ('{"command": "播放"}', '{"command": "seek", "position": 12.5}'):
            client.send(command)
            assert receive(client) == command
        for number in range(200):
            client.send(str(number))
        assert [receive(client) for _ in range(200)] == [str(number) for number in range(200)]
    # After the None of the close the loop polls once more, which ends the view without a word.
    assert_quiet(running, 1)
    with running.connect("/4/") as client:
        client.send("again")
        assert receive(client) == "again"


def test_the_scenes_close_with_1001_when_the_server_ends(site: Project) -> None:
    running = site.run()
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect(f"/{scene}/")) for scene in (1, 2, 4)]
        running.interrupt()
        for client in clients:
            assert close_of(client) == (1001, "")
        assert running.wait() == 0
    assert running.unexpected() == []
