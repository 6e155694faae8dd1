"""The addresses of the example project, and the echo that the Autobahn suite talks to."""

from article.urls import urlpatterns as article_urlpatterns
from django.urls import path
from dwebsocket import require_websocket


@require_websocket
def echo(request):
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=isinstance(message, bytes))


urlpatterns = [*article_urlpatterns, path("echo/", echo)]
