"""The addresses of the example project, and views for what it has no view for."""

from article.urls import urlpatterns as article_urlpatterns
from django.http import HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from dwebsocket import require_websocket

PIECE = bytes(64 << 10)


@require_websocket(compression=True)
def length(request):
    """Answers each message with its length."""
    for message in request.websocket:
        if message is not None:
            request.websocket.send(str(len(message)))


@require_websocket
def goodbye(request):
    """Closes at once."""


@csrf_exempt
def upload(request):
    """Counts the bytes of a body, chunked ones too, which Django itself does not read."""
    count = 0
    try:
        while piece := request.environ["wsgi.input"].read(64 << 10):
            count += len(piece)
    except OSError as error:
        return HttpResponseBadRequest(f"{error}")
    return HttpResponse(f"{count} bytes")


@csrf_exempt
def form(request):
    """Counts the fields of a form."""
    return HttpResponse(f"{len(request.POST)} fields")


@csrf_exempt
def ignored(request):
    """Reads nothing of what it is sent."""
    return HttpResponse("")


def download(request):
    """Answers with 64 MiB."""
    return StreamingHttpResponse(PIECE for _ in range(1024))


urlpatterns = [
    *article_urlpatterns,
    path("length/", length),
    path("goodbye/", goodbye),
    path("upload/", upload),
    path("form/", form),
    path("ignored/", ignored),
    path("download/", download),
]
