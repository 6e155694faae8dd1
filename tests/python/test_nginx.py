"""The worker behind Debian's nginx, which is set up as the README says."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorns import Gunicorn, Start
from nginx import Nginx, replacements
from projects import Project
from sockets import CLOSE, PING, PONG, until
from tls import HOST, SecureSocket, Served

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

MEBIBYTE = 1 << 20
VIEWS = """
from django.http import HttpResponse, JsonResponse

def seen(request):
    seen = {key: value for key, value in request.META.items() if isinstance(value, str | bool)}
    return JsonResponse({**seen, "secure": request.is_secure(), "url": request.build_absolute_uri()})

def mirror(request):
    return HttpResponse(request.read())
"""

IMPATIENT = {"proxy_read_timeout 60s": "proxy_read_timeout 3s"}

Front = Callable[..., Nginx]


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


@pytest.fixture
def site(gunicorn: Start, project: Project) -> Start:
    """As `gunicorn`, with a few more views."""
    path = project.folder / "views.py"
    path.write_text(path.read_text() + VIEWS)
    names = ("echo", "seen", "mirror")
    project.urls(*(f'path("{name}/", views.{name})' for name in names))
    project.settings('MIDDLEWARE.remove("django.middleware.csrf.CsrfViewMiddleware")')
    return gunicorn


@pytest.fixture
def front(tmp_path: Path, served: Served) -> Iterator[Front]:
    """`front(running, others)` starts nginx before a gunicorn, with other names than those of the README."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "page.css").write_text("body {}")
    started: list[Nginx] = []

    def run(running: Gunicorn, others: dict[str, str] | None = None) -> Nginx:
        names = replacements(running, served.certificate, served.key, static)
        nginx = Nginx(tmp_path, {**names, **(others or {})})
        started.append(nginx)
        return nginx

    yield run
    for nginx in started:
        nginx.end()


def open_socket(nginx: Nginx, served: Served, origin: str = "") -> SecureSocket:
    """A WebSocket through nginx, whose view has said which process it runs in."""
    fields = f"Origin: {origin}\r\n" if origin else ""
    client = served.open(nginx, fields=fields)
    assert client.receive()[1].isdigit()
    return client


def seen_by_view(nginx: Nginx, served: Served, fields: str = "") -> dict[str, Any]:
    request = f"GET /seen/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n"
    head, _, body = served.talk(nginx, request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    seen: dict[str, Any] = json.loads(body)
    return seen


def test_sockets_pass_with_messages_of_every_size(site: Start, front: Front, served: Served) -> None:
    running = site()
    nginx = front(running)
    client = open_socket(nginx, served)
    client.echoes(b"", b"hello", b"x" * 70_000, b"0123456789abcdef" * (MEBIBYTE // 2))
    client.send(CLOSE, b"\x03\xe8")
    assert client.end() == 1000


def test_the_page_of_the_same_host_may_open_a_socket_and_no_other(
    site: Start, front: Front, served: Served
) -> None:
    running = site()
    nginx = front(running)
    open_socket(nginx, served, f"https://{HOST}:{nginx.port}").echoes(b"hello")
    with pytest.raises(AssertionError, match=r"HTTP/1\.1 403 "):
        open_socket(nginx, served, "https://elsewhere.example")
    running.stderr.wait_for(r"https://elsewhere\.example")


@pytest.mark.parametrize(("allowed", "secure"), [("127.0.0.1", True), ("10.0.0.1", False)])
def test_the_view_knows_of_https_where_nginx_is_trusted(
    site: Start, front: Front, served: Served, allowed: str, secure: bool
) -> None:
    nginx = front(site("--forwarded-allow-ips", allowed))
    # What a client says itself is replaced, or stands before what nginx says.
    seen = seen_by_view(nginx, served, "X-Forwarded-Proto: http\r\nX-Forwarded-For: 203.0.113.7\r\n")
    assert seen["secure"] is secure
    assert seen["url"] == f"{'https' if secure else 'http'}://{HOST}/seen/"
    assert seen["HTTP_HOST"] == HOST
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert seen["HTTP_X_FORWARDED_FOR"] == "203.0.113.7, 127.0.0.1"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "https"
    assert "HTTP_UPGRADE" not in seen


def test_nginx_is_trusted_over_a_unix_socket(
    site: Start, tmp_path: Path, served: Served, project: Project
) -> None:
    with tempfile.TemporaryDirectory(prefix="gunicorn-") as folder:
        running = site("--bind", f"unix:{folder}/gunicorn.sock", "--forwarded-allow-ips", "10.0.0.1")
        names = replacements(running, served.certificate, served.key, tmp_path)
        names["unix:/run/project/gunicorn.sock"] = f"unix:{folder}/gunicorn.sock"
        nginx = Nginx(tmp_path, names)
        try:
            seen = seen_by_view(nginx, served)
            assert (seen["secure"], seen["REMOTE_ADDR"]) == (True, "")
            assert seen["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
            open_socket(nginx, served).echoes(b"hello")
        finally:
            nginx.end()
        running.stop()


def test_pings_keep_an_idle_socket_open_longer_than_nginx_waits(
    site: Start, front: Front, served: Served, project: Project
) -> None:
    project.settings("WEBSOCKET_PING_INTERVAL_SECONDS = 0.5")
    running = site()
    # While the project is imported, nginx would wait in vain.
    assert running.get("/echo/") == (200, b"http")
    client = open_socket(front(running, IMPATIENT), served)
    # Twice as long as nginx waits.
    for _ in range(12):
        assert client.receive_any() == (PING, b"")
        client.send(PONG, b"")
    client.echoes(b"still here")


def test_without_pings_nginx_ends_an_idle_socket(
    site: Start, front: Front, served: Served, project: Project
) -> None:
    project.settings("WEBSOCKET_PING_INTERVAL_SECONDS = None")
    running = site()
    # While the project is imported, nginx would wait in vain.
    assert running.get("/echo/") == (200, b"http")
    client = open_socket(front(running, IMPATIENT), served)
    assert client.receive_any() is None


def test_a_reload_of_nginx_keeps_open_sockets(site: Start, front: Front, served: Served) -> None:
    running = site()
    nginx = front(running)
    before = open_socket(nginx, served)
    lines = len(nginx.stderr.lines)
    nginx.process.send_signal(signal.SIGHUP)
    nginx.stderr.wait_for("gracefully shutting down", lines)
    before.echoes(b"still here")
    after = open_socket(nginx, served)
    after.echoes(b"new")
    running.signal(signal.SIGHUP)
    assert (before.end(), after.end()) == (1012, 1012)
    until(lambda: len(running.booted()) == 2)
    open_socket(nginx, served).echoes(b"hello")


def test_files_and_pages_are_served_beside_sockets(site: Start, front: Front, served: Served) -> None:
    nginx = front(site())
    client = open_socket(nginx, served)
    assert served.get(nginx, "/static/page.css").endswith(b"\r\n\r\nbody {}")
    assert served.get(nginx, "/static/none.css").startswith(b"HTTP/1.1 404 ")
    body = bytes(range(256)) * (16 << 10)
    head = b"POST /mirror/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    answer = served.talk(nginx, head % (HOST.encode(), len(body)) + body)
    assert answer.partition(b"\r\n\r\n")[2] == body
    client.echoes(b"hello")
