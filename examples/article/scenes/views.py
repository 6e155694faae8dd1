"""Four ordinary synchronous views, each holding a WebSocket, and the page that talks to them.

The page shows the source of the four below itself, so they are written to be read.
"""

import inspect
from contextlib import closing
from itertools import count

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from dwebsocket.decorators import accept_websocket
from dwebsocket.video import VideoError, video_img_base64

from scenes.playback import Playback
from scenes.viewers import watch_feed


# -- scene 1: talking to oneself ----------------------------------------------------------------------
@accept_websocket
def chat_with_oneself(request):
    """Answers every message to whom it came from."""
    if not request.is_websocket():
        return HttpResponse("Scene 1 listens here for WebSockets.")
    for message in request.websocket:
        if message is not None:
            request.websocket.send(f"You said: {message.decode(errors='replace')}")


# -- scene 2: many to many ----------------------------------------------------------------------------
visitors = {}
names = (f"Guest {number}" for number in count(1))


@accept_websocket
def chat_with_many(request):
    """Passes every message on to everyone who is here."""
    if not request.is_websocket():
        return HttpResponse("Scene 2 listens here for WebSockets.")
    name = next(names)
    visitors[id(request.websocket)] = request.websocket
    request.websocket.send({"you": name})
    tell_everyone({"joined": name, "people": len(visitors)})
    try:
        for message in request.websocket:
            if message is not None:
                tell_everyone({"from": name, "text": message.decode(errors="replace")})
    finally:
        # Leaving a dead socket in the dict would be harmless; but the page counts who is here.
        del visitors[id(request.websocket)]
        tell_everyone({"left": name, "people": len(visitors)})


def tell_everyone(message):
    """Sends a message to every visitor; to one who has just gone, that does nothing."""
    for websocket in list(visitors.values()):
        websocket.send(message)


# -- scene 3: playing a video -------------------------------------------------------------------------
@accept_websocket
def show_video(request):
    """Sends the pictures of a video, one after the other."""
    if not request.is_websocket():
        return HttpResponse("Scene 3 listens here for WebSockets.")
    try:
        with video_img_base64(settings.ARTICLE_VIDEO_URL) as video:
            picture = next(video)
            while picture is not None:
                request.websocket.send({"img_base64": picture})
                picture = video.send(None)
    except (ImportError, VideoError) as error:
        request.websocket.send({"error": str(error)})


# -- scene 4: playing a video, with control -----------------------------------------------------------
@accept_websocket
def control_video(request):
    """Sends a video that its viewer can pause, seek in and change the quality of."""
    if not request.is_websocket():
        return HttpResponse("Scene 4 listens here for WebSockets.")
    try:
        with closing(Playback(settings.ARTICLE_VIDEO_URL)) as playback:
            # Ends by ConnectionClosed, which count_messages() and send() raise once the viewer is gone.
            while True:
                if request.websocket.count_messages() > 0:
                    message = request.websocket.read()
                    while message:
                        request.websocket.send(playback.obey(message))
                        message = request.websocket.read()
                for news in playback.news():
                    request.websocket.send(news)
    except (ImportError, VideoError) as error:
        request.websocket.send({"error": str(error)})


# -- the page -----------------------------------------------------------------------------------------
SCENES = (chat_with_oneself, chat_with_many, show_video, control_video, watch_feed)


def page(request):
    """Shows the page, each scene with the source of its view."""
    sources = {view.__name__: inspect.getsource(inspect.unwrap(view)).strip() for view in SCENES}
    return render(request, "scenes/page.html", {"sources": sources})
