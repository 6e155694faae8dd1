"""Real Django on the server: what its handler, uploads, files and signals make of PEP 3333."""

from __future__ import annotations

import io
import json
import logging
import threading

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.request import UnreadablePostError
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from serving import PATIENCE

CONTENT = bytes(range(256)) * 2000
errors: list[Exception] = []


def hello(request):
    return HttpResponse("hello")


def describe(request, name):
    return JsonResponse(
        {
            "name": name,
            "uri": request.build_absolute_uri(),
            "query": request.GET.dict(),
            "cookies": request.COOKIES,
            "agent": request.headers["User-Agent"],
            "method": request.method,
        }
    )


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"size": file.size, "text": request.POST["text"], "same": file.read() == CONTENT})


@csrf_exempt
def unreadable(request):
    try:
        request.body  # noqa: B018 - reading it is the point
    except UnreadablePostError as error:
        errors.append(error)
        raise
    return HttpResponse("read")


def stream(request):
    return StreamingHttpResponse(b"%d," % number for number in range(100))


def endless(request):
    def pieces():
        while True:
            yield b"x" * 10_000

    return StreamingHttpResponse(pieces())


def file(request):
    return FileResponse(io.BytesIO(CONTENT), filename="content.bin")


def fail(request):
    raise LookupError("broken view")


urlpatterns = [
    path("", hello),
    path("describe/<str:name>/", describe),
    path("upload/", upload),
    path("unreadable/", unreadable),
    path("stream/", stream),
    path("endless/", endless),
    path("file/", file),
    path("fail/", fail),
]


class Signals:
    """Counts requests that began and ended."""

    def __init__(self):
        self.started = 0
        self.finished = 0
        self.changed = threading.Condition()

    def count(self, signal, **_):
        with self.changed:
            if signal is request_started:
                self.started += 1
            else:
                self.finished += 1
            self.changed.notify_all()

    def wait_for_finished(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: self.finished >= number, PATIENCE)


@pytest.fixture
def signals():
    signals = Signals()
    request_started.connect(signals.count)
    request_finished.connect(signals.count)
    yield signals
    request_started.disconnect(signals.count)
    request_finished.disconnect(signals.count)


@pytest.fixture
def site(serve, signals):
    middleware = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield serve(WSGIHandler())


def test_a_view_answers(site, signals):
    response, body = site.get()
    assert (response.status, body) == (200, b"hello")
    assert response.getheader("Content-Length") == "5"
    signals.wait_for_finished(1)
    assert (signals.started, signals.finished) == (1, 1)


def test_a_response_without_middleware_has_its_length_too(serve):
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        response, body = serve(WSGIHandler()).get()
    assert (response.getheader("Content-Length"), body) == ("5", b"hello")


def test_the_request_is_what_the_client_sent(site):
    headers = {"Cookie": "a=1; b=2", "User-Agent": "test"}
    response, body = site.get("/describe/caf%C3%A9/?q=%E4%BD%A0&x=+", headers=headers)
    assert response.status == 200
    assert json.loads(body) == {
        "name": "café",
        "uri": f"http://{site.host}:{site.port}/describe/caf%C3%A9/?q=%E4%BD%A0&x=+",
        "query": {"q": "你", "x": " "},
        "cookies": {"a": "1", "b": "2"},
        "agent": "test",
        "method": "GET",
    }


def test_an_upload_arrives_whole(site):
    boundary = "frontier"
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="text"\r\n\r\nhello\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + CONTENT
        + f"\r\n--{boundary}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    response, answer = site.get("/upload/", "POST", body=body, headers=headers)
    assert response.status == 200
    assert answer == b'{"size": 512000, "text": "hello", "same": true}'


def test_a_stream_arrives_whole(site, signals):
    response, body = site.get("/stream/")
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert body == b"".join(b"%d," % number for number in range(100))
    signals.wait_for_finished(1)


def test_a_file_arrives_whole(site, signals):
    response, body = site.get("/file/")
    assert response.getheader("Content-Length") == str(len(CONTENT))
    assert body == CONTENT
    signals.wait_for_finished(1)


def test_head_has_the_heads_of_get(site):
    response, body = site.get("/", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "5", b"")


def test_an_error_in_a_view_is_djangos_to_report(site, signals, caplog):
    response, _ = site.get("/fail/")
    assert response.status == 500
    signals.wait_for_finished(1)
    assert {record.name for record in caplog.records} == {"django.request"}


def test_request_finished_fires_when_the_client_goes_in_the_middle_of_a_response(site, signals, caplog):
    with site.connect() as connection:
        connection.sendall(b"GET /endless/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
    signals.wait_for_finished(1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_request_finished_fires_when_the_client_goes_in_the_middle_of_a_request(site, signals):
    errors.clear()
    with site.connect() as connection:
        connection.sendall(b"POST /unreadable/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nonly")
    signals.wait_for_finished(1)
    assert len(errors) == 1


def test_every_request_of_many_begins_and_ends(site, signals):
    clients = [threading.Thread(target=lambda: [site.get() for _ in range(20)]) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(PATIENCE)
    signals.wait_for_finished(160)
    assert (signals.started, signals.finished) == (160, 160)
