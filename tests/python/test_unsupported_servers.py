"""Servers that keep their socket to themselves refuse a handshake and say what to do: each runs for real."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import asgiref
import django
import dwebsocket
import pytest
import sqlparse
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from dwebsocket import handover, unsupported
from projects import Project, Running, free_port

RUNSERVER = "Put 'dwebsocket' first in INSTALLED_APPS and run manage.py runserver"
APACHE = Path("/usr/sbin/apache2")
MOD_WSGI = Path("/usr/lib/apache2/modules/mod_wsgi.so-{}.{}".format(*sys.version_info))
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
APACHE_CONFIGURATION = """
ServerName 127.0.0.1
ServerRoot {folder}
DefaultRuntimeDir .
PidFile apache.pid
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
ErrorLog /dev/stderr
User www-data
Group www-data
WSGIPythonPath {folder}/site:{folder}/packages
WSGIScriptAlias / {folder}/site/project/wsgi.py
<Directory {folder}/site/project>
    Require all granted
</Directory>
"""


def ask(running: Running, *fields: str, tls: bool = False, path: str = "/echo/") -> tuple[int, str, str]:
    """A handshake that wants no WebSocket: status, header section and body of the answer."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {running.host}:{running.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *fields,
    ]
    with connect(running, tls) as connection:
        connection.sendall("\r\n".join([*lines, "\r\n"]).encode())
        stream = connection.makefile("rb")
        with stream:
            head = []
            while (line := stream.readline().decode().strip()) != "":
                head.append(line)
            length = next((line[15:] for line in head if line.lower().startswith("content-length:")), None)
            body = stream.read() if length is None else stream.read(int(length))
    return int(head[0].split()[1]), "\n".join(head), body.decode()


def connect(running: Running, tls: bool) -> socket.socket:
    plain = socket.create_connection((running.host, running.port), timeout=20)
    if not tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain)


def needs(module: str) -> str:
    pytest.importorskip(module, reason=f"{module} is not installed")
    return module


@pytest.fixture
def bare_project(echo_project: Project) -> Project:
    """A project that uses nothing of ours but the decorator."""
    echo_project.settings('INSTALLED_APPS.remove("dwebsocket")')
    return echo_project


def refused(running: Running, server: str, way: str = RUNSERVER, **options: Any) -> None:
    """The client is told, the log tells, and plain HTTP goes on."""
    status, _, body = ask(running, **options)
    assert (status, body.endswith("\n")) == (501, True)
    assert server in body
    assert way in body
    running.stderr.wait_for(r"WebSocket /echo/ refused with 501: .*" + server)
    assert any(way in line for line in running.stderr.lines)


def test_waitress_refuses_and_goes_on_serving_http(bare_project: Project) -> None:
    command = [sys.executable, "-m", needs("waitress"), "--listen=127.0.0.1:0", "project.wsgi:application"]
    running = bare_project.serve(*command)
    refused(running, "waitress")
    assert running.get("/echo/") == (200, b"http")


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn_with_a_certificate_refuses_and_names_a_proxy(
    bare_project: Project, certificate: tuple[str, str], worker: str
) -> None:
    needs("gevent" if worker == "gevent" else "gunicorn")
    command = [sys.executable, "-m", "gunicorn", "--worker-class", worker, "--bind", "127.0.0.1:0"]
    command += ["--certfile", certificate[0], "--keyfile", certificate[1], "project.wsgi"]
    running = bare_project.serve(*command)
    refused(running, "gunicorn", tls=True)
    assert "leave TLS to a proxy in front of it, such as nginx" in ask(running, tls=True)[2]


def test_werkzeug_with_a_certificate_refuses_and_names_a_proxy(
    bare_project: Project, certificate: tuple[str, str]
) -> None:
    needs("django_extensions"), needs("werkzeug"), needs("OpenSSL")
    bare_project.settings('INSTALLED_APPS.append("django_extensions")')
    command = [sys.executable, "manage.py", "runserver_plus", "127.0.0.1:0", "--nopin"]
    running = bare_project.serve(*command, "--cert-file", certificate[0], "--key-file", certificate[1])
    refused(running, "Werkzeug", tls=True)
    assert "leave TLS to a proxy in front of it, such as nginx" in ask(running, tls=True)[2]


@pytest.fixture
def apache_configuration(bare_project: Project) -> Iterator[Path]:
    """Of an Apache with a copy of the project and its imports that is read without root's rights."""
    with tempfile.TemporaryDirectory(prefix="dwebsocket-apache-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        leave_out = shutil.ignore_patterns("__pycache__", "*.po")
        shutil.copytree(bare_project.folder, folder / "site", ignore=leave_out)
        for module in (asgiref, django, dwebsocket, sqlparse):
            package = Path(module.__file__).parent
            shutil.copytree(package, folder / "packages" / package.name, ignore=leave_out)
        configuration = folder / "apache.conf"
        configuration.write_text(APACHE_CONFIGURATION.format(folder=folder))
        yield configuration


@pytest.mark.skipif(
    not MOD_WSGI.exists(),
    reason="needs the Debian packages apache2-bin and libapache2-mod-wsgi-py3, for the Python of these tests",
)
def test_mod_wsgi_refuses_in_a_real_apache(bare_project: Project, apache_configuration: Path) -> None:
    running = bare_project.serve(
        str(APACHE), "-f", str(apache_configuration), "-c", f"Listen 127.0.0.1:{free_port()}", "-DFOREGROUND"
    )
    refused(running, "mod_wsgi")
    assert running.get("/echo/") == (200, b"http")
    running.terminate()


@pytest.fixture
def asgi_project(bare_project: Project) -> Project:
    """A project whose middleware, loaded with the ASGI handler, is there before the first request."""
    bare_project.settings('MIDDLEWARE.append("dwebsocket.middleware.WebSocketMiddleware")')
    return bare_project


def test_uvicorn_refuses_what_never_reaches_django(asgi_project: Project) -> None:
    command = [sys.executable, "-m", needs("uvicorn"), "--port", "0", "project.asgi:application"]
    running = asgi_project.serve(*command)
    refused(running, "uvicorn")
    assert running.get("/echo/") == (200, b"http")
    assert not [line for line in running.stderr.lines if "Traceback" in line]


def test_uvicorn_without_websockets_refuses_in_the_view(bare_project: Project) -> None:
    command = [sys.executable, "-m", needs("uvicorn"), "--ws", "none", "--port", "0"]
    running = bare_project.serve(*command, "project.asgi:application")
    refused(running, "uvicorn")
    assert running.get("/echo/") == (200, b"http")


def test_the_app_alone_refuses_under_uvicorn(bare_project: Project) -> None:
    bare_project.settings('INSTALLED_APPS = ["dwebsocket", *INSTALLED_APPS]')
    command = [sys.executable, "-m", needs("uvicorn"), "--port", "0", "project.asgi:application"]
    refused(bare_project.serve(*command), "uvicorn")


def test_daphne_which_cannot_send_a_body_answers_500_and_logs_the_way_out(asgi_project: Project) -> None:
    command = [sys.executable, "-m", needs("daphne"), "-p", "0", "project.asgi:application"]
    running = asgi_project.serve(*command)
    assert ask(running)[::2] == (500, "")
    running.stderr.wait_for(f"daphne runs the project's ASGI application, .*{RUNSERVER}")
    assert running.get("/echo/") == (200, b"http")


def handshake(server: str = "waitress", **more: object) -> dict[str, object]:
    return {
        "REQUEST_METHOD": "GET",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "SERVER_SOFTWARE": server,
        "wsgi.version": (1, 0),
        **more,
    }


def test_a_refusal_says_who_why_and_what_to_do() -> None:
    with pytest.raises(unsupported.UnsupportedServer) as raised:
        handover.find_upgrade(handshake())
    assert (raised.value.server, raised.value.reason) == (
        "waitress",
        "waitress does not hand over its sockets.",
    )
    assert str(raised.value) == f"{raised.value.reason} {unsupported.RUNSERVER} {unsupported.GUNICORN}"


def test_plain_http_is_never_refused() -> None:
    assert handover.find_upgrade(handshake(HTTP_UPGRADE="h2c")) is None


@pytest.mark.parametrize("loaded", [[], ["uvicorn", "daphne"]])
def test_an_asgi_server_that_cannot_be_told_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, loaded: list[str]
) -> None:
    for name in ("uvicorn", "daphne", "hypercorn", "granian"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in loaded:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert unsupported.refusal({}).server == "An ASGI server"


def test_with_debug_who_takes_html_gets_a_page_with_everything_escaped() -> None:
    error = unsupported.refusal(handshake("<b>&server"))
    with override_settings(DEBUG=True):
        page = unsupported.response(error, "/<script>?a=\"'", BROWSER)
    assert (page.status_code, page["Content-Type"]) == (501, "text/html; charset=utf-8")
    text = page.content.decode()
    assert "<h1>&lt;b&gt;&amp;server carries no WebSockets</h1>" in text
    assert "/&lt;script&gt;?a=&quot;&#x27; was asked to become a WebSocket." in text
    assert "<li>Put &#x27;dwebsocket&#x27; first in INSTALLED_APPS" in text
    assert "<script" not in text
    assert "<b>" not in text


@pytest.mark.parametrize(("debug", "accept"), [(True, ""), (True, "*/*"), (False, BROWSER)])
def test_anybody_else_gets_a_sentence(debug: bool, accept: str) -> None:
    error = unsupported.refusal(handshake())
    with override_settings(DEBUG=debug):
        answer = unsupported.response(error, "/", accept)
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Cache-Control"] == "no-store"
    assert answer.content.decode() == f"{error}\n"


def test_with_debug_a_browser_gets_the_page_from_waitress(bare_project: Project) -> None:
    command = [sys.executable, "-m", needs("waitress"), "--listen=127.0.0.1:0", "project.wsgi:application"]
    status, head, body = ask(bare_project.serve(*command), f"Accept: {BROWSER}")
    assert (status, "text/html" in head) == (501, True)
    assert "<h1>waitress carries no WebSockets</h1>" in body


def scope(**more: object) -> dict[str, Any]:
    return {"type": "websocket", "path": "/echo/", "headers": [(b"accept", BROWSER.encode())], **more}


def asgi_answer(application: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """What the application sends to a handshake of this scope; raises what it raises."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent


def test_asgi_gets_the_same_page() -> None:
    unsupported.refuse_asgi_handshakes()
    with override_settings(DEBUG=True):
        start, body = asgi_answer(ASGIHandler(), scope(extensions={"websocket.http.response": {}}))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 501)
    assert dict(start["headers"])[b"content-type"] == b"text/html; charset=utf-8"
    assert body["type"] == "websocket.http.response.body"
    assert b"carries no WebSockets</h1>" in body["body"]


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {}}])
def test_asgi_without_bodies_gets_an_exception_that_says_it(extensions: dict[str, object]) -> None:
    unsupported.refuse_asgi_handshakes()
    with pytest.raises(unsupported.UnsupportedServer, match="first in INSTALLED_APPS"):
        asgi_answer(ASGIHandler(), scope(**extensions))


def test_the_asgi_handler_is_changed_once_and_refuses_nothing_but_websockets() -> None:
    unsupported.refuse_asgi_handshakes()
    call = ASGIHandler.__call__
    unsupported.refuse_asgi_handshakes()
    assert ASGIHandler.__call__ is call
    with pytest.raises(ValueError, match="lifespan"):
        asgi_answer(ASGIHandler(), scope(type="lifespan"))
