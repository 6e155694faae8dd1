"""Scenes 3 and 4 with a feed: one capture and one encode, however many look on."""

import json
import time

from django.conf import settings
from django.http import HttpResponse
from dwebsocket.decorators import accept_websocket
from dwebsocket.video import Feed, VideoError


@accept_websocket
def watch_feed(request):
    """Shows the video as its viewer wants it: ``?form=json&width=640&quality=80``."""
    if not request.is_websocket():
        return HttpResponse("The viewers of a feed listen here for WebSockets.")
    websocket, wanted = request.websocket, request.GET
    try:
        feed = Feed(
            settings.ARTICLE_VIDEO_URL,
            width=int(wanted["width"]) if wanted.get("width") else None,
            quality=int(wanted.get("quality", 80)),
            no_signal=settings.ARTICLE_NO_SIGNAL,
        )
        with feed.watch(websocket, form=wanted.get("form", "json")) as viewer:
            # The pictures flow by themselves; the view has nothing to do but listen.
            for message in websocket:
                if message is not None and not viewer.handle(message):
                    websocket.send(answer(message, feed, viewer))
    except (ImportError, ValueError, VideoError) as error:
        websocket.send({"error": str(error)})


def answer(message, feed, viewer):
    """What the page asks for beside the commands of a viewer: how it is doing."""
    try:
        asked = json.loads(message)
    except ValueError:
        asked = None
    if not isinstance(asked, dict) or asked.get("command") != "stats":
        return {"error": "That is not a command this view knows."}
    return {
        "stats": viewer.stats(),
        "viewers": feed.viewers,
        "time": time.time(),
        "asked": asked.get("asked"),
    }
