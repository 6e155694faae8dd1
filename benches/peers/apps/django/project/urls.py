"""Plain HTTP, and the views of dwebsocket where that serves the WebSockets."""

from django.conf import settings
from django.http import HttpResponse
from django.urls import path


def hello(request):
    """The page of the HTTP case."""
    return HttpResponse("hello")


urlpatterns = [path("hello", hello)]

if settings.STACK in ("ours", "dwebsocket"):
    from . import views

    urlpatterns += [
        path("echo", views.echo),
        path("binary", views.binary),
        path("broadcast", views.broadcast),
        path("polling", views.polling),
    ]
