"""Ours: one Feed for all who watch."""

import os

from counting import count
from django.urls import path
from dwebsocket import accept_websocket
from dwebsocket.video import Feed

feeds = {
    "full": Feed(os.environ["BENCH_SOURCE"]),
    "small": Feed(os.environ["BENCH_SOURCE"], width=640, quality=50),
}


@accept_websocket
def show(request, size, form):
    """Shows the camera."""
    try:
        viewer = feeds[size].watch(request.websocket, form=form)
    except ValueError as error:
        request.websocket.send({"error": str(error)})
        return
    with viewer:
        for message in request.websocket:
            viewer.handle(message)


urlpatterns = [path("show/<size>/<form>", show), path("count", count)]
