"""`manage.py runserver` with our app first: Django's own command in everything but the server."""

from __future__ import annotations

import http.client
import io
import logging
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from urllib.request import urlopen

import pytest
from django.core.servers.basehttp import WSGIRequestHandler
from dwebsocket.server import RequestLog
from projects import ADDRESS, URLS, VIEWS, Project
from sites import close_of
from sockets import until
from test_lines import formatter_of_django


def test_the_banner_is_djangos_with_one_line_of_ours(echo_project: Project) -> None:
    running = echo_project.run()
    running.stdout.wait_for(r"^WebSockets are served by dwebsocket-rs \d")
    lines = running.stdout.lines
    start = next(number for number, line in enumerate(lines) if ADDRESS.search(line))
    assert lines[start - 1] == lines[start - 1].strip()
    assert lines[start - 1].startswith("Django version ")
    assert lines[start + 1] == "Quit the server with CONTROL-C."
    assert sum("dwebsocket" in line for line in lines) == 1


def test_http_and_sockets_are_served_and_logged_in_djangos_format(echo_project: Project) -> None:
    running = echo_project.run()
    assert running.get("/echo/?a=b%20c") == (200, b"http")
    assert running.get("/nowhere/")[0] == 404
    with running.connect("/echo/?x=1") as client:
        client.send("héllo")
        assert client.recv(timeout=10) == "héllo"
        running.stderr.wait_for(r'"GET /echo/\?x=1 HTTP/1\.1" 101 0$')
    time_ = r"^\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "
    running.stderr.wait_for(time_ + r'"GET /echo/\?a=b%20c HTTP/1\.1" 200 4$')
    running.stderr.wait_for(time_ + r'"GET /nowhere/ HTTP/1\.1" 404 \d+$')
    running.stderr.wait_for(time_ + r'"GET /echo/\?x=1 HTTP/1\.1" closed 1000 by the client after \d+\.\d s$')
    assert running.unexpected() == ["Not Found: /nowhere/"]


def test_a_clean_conversation_leaves_nothing_but_request_lines(echo_project: Project) -> None:
    running = echo_project.run()
    for _ in range(3):
        with running.connect("/echo/") as client:
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
    until(lambda: sum("closed 1000 by the client" in line for line in list(running.stderr.lines)) == 3)
    running.terminate()
    running.wait()
    assert running.unexpected() == []
    assert len(running.stderr.lines) == 6


def test_a_client_that_vanishes_is_logged_as_lost(echo_project: Project) -> None:
    running = echo_project.run()
    with running.connect("/echo/") as client:
        client.socket.shutdown(socket.SHUT_RDWR)
        running.stderr.wait_for(r'"GET /echo/ HTTP/1\.1" closed 1006 \(lost\) after')
    assert running.unexpected() == []


def test_a_client_that_leaves_in_the_middle_of_a_response_is_no_error(echo_project: Project) -> None:
    echo_project.write(
        "views.py", VIEWS + '\ndef big(request):\n    return HttpResponse(b"x" * 50_000_000)\n'
    )
    echo_project.urls(*URLS, 'path("big/", views.big)')
    running = echo_project.run()
    with socket.create_connection((running.host, running.port), timeout=10) as client:
        client.sendall(b"GET /big/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    running.stderr.wait_for(r'"GET /big/ HTTP/1\.1" 200 \d+$')
    assert running.get("/echo/") == (200, b"http")
    assert running.unexpected() == []


def test_the_traceback_of_a_sockets_view_looks_as_that_of_a_plain_view(echo_project: Project) -> None:
    running = echo_project.run()
    assert running.get("/broken/")[0] == 500
    with running.connect("/push/") as client:
        assert client.recv(timeout=10) == "open"
        client.send("now")
        assert close_of(client)[0] == 1011
    running.stderr.wait_for(r"closed 1011 by the server")
    lines = running.unexpected()
    plain = lines.index("Internal Server Error: /broken/")
    socketed = lines.index("Internal Server Error: /push/")
    assert lines[plain + 1] == lines[socketed + 1] == "Traceback (most recent call last):"
    assert lines[socketed - 1] == "LookupError: in the plain view"
    assert lines[-1] == "LookupError: in the socket's view"
    assert lines.count("Traceback (most recent call last):") == 2
    with running.connect("/echo/") as client:
        client.send("still here")
        assert client.recv(timeout=10) == "still here"


def test_a_project_with_debug_off_serves_sockets(echo_project: Project) -> None:
    echo_project.settings('DEBUG = False\nALLOWED_HOSTS = ["127.0.0.1"]')
    running = echo_project.run()
    with running.connect("/echo/") as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"


def lines_of(logger: logging.Logger, write: Callable[[], None]) -> list[str]:
    """What Django's own formatter for request lines makes, in colour, of what `write` logs."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter_of_django())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        write()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("status", [101, 200, 302, 304, 400, 404, 500, 503])
def test_request_lines_have_the_text_and_colour_of_djangos(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = object.__new__(WSGIRequestHandler)
    theirs.requestline = "GET /a%20b?c HTTP/1.1"
    theirs.request = None
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/a%20b?c", "SERVER_PROTOCOL": "HTTP/1.1"}
    logger = logging.getLogger("django.server")
    (theirs_line,) = lines_of(logger, lambda: theirs.log_request(str(status), 1234))
    (line,) = lines_of(logger, lambda: RequestLog().response(environ, status, 1234, 0.5))
    # The time may have gone on by a second between the two.
    assert line.partition("]")[2] == theirs_line.partition("]")[2]
    assert re.fullmatch(r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d", line.partition("]")[0])


def test_static_files_are_served(echo_project: Project) -> None:
    running = echo_project.run()
    status, body = running.get("/static/admin/css/base.css")
    assert status == 200
    assert b"DJANGO Admin" in body
    running.stderr.wait_for(rf'"GET /static/admin/css/base\.css HTTP/1\.1" 200 {len(body)}$')


@pytest.mark.parametrize("way_out", ["/static/../site/settings.py", "/static/..%2f..%2fsite/settings.py"])
def test_a_way_out_of_the_static_files_is_the_clients_mistake(echo_project: Project, way_out: str) -> None:
    running = echo_project.run()
    status, body = running.get(way_out)
    assert status == 400
    assert b"SuspiciousFileOperation" in body
    running.stderr.wait_for(r'"GET /static/\S+ HTTP/1\.1" 400 ')
    assert not [line for line in running.stderr.lines if "the application failed" in line]


def test_nostatic_is_still_an_option(echo_project: Project) -> None:
    running = echo_project.run("--nostatic")
    assert running.get("/static/admin/css/base.css")[0] == 404


def test_a_port_in_use_gives_djangos_message(echo_project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = echo_project.start("--noreload", address=f"127.0.0.1:{taken.getsockname()[1]}")
        assert running.wait(60) == 1
    assert running.unexpected() == ["Error: That port is already in use."]


def test_a_port_in_use_gives_djangos_message_under_autoreload(echo_project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = echo_project.start(address=f"127.0.0.1:{taken.getsockname()[1]}")
        assert running.wait(60) == 1
    lines = [line for line in running.unexpected() if "Watching for file changes" not in line]
    assert lines == ["Error: That port is already in use."]


def test_an_address_that_is_not_ours_gives_djangos_message(echo_project: Project) -> None:
    # TEST-NET-1 of RFC 5737, which no machine has.
    running = echo_project.start("--noreload", address="192.0.2.1:8000")
    assert running.wait(60) == 1
    assert running.unexpected() == ["Error: That IP address can't be assigned to."]


def test_a_host_name_that_does_not_exist_gives_the_resolvers_message(echo_project: Project) -> None:
    running = echo_project.start("--noreload", address="host.invalid:8000")
    assert running.wait(60) == 1
    (line,) = running.unexpected()
    assert re.match(r"Error: \[Errno -\d+\] ", line)


def test_a_bad_port_gives_djangos_message(echo_project: Project) -> None:
    running = echo_project.start("--noreload", address="127.0.0.1:eighty")
    assert running.wait(60) == 1
    (line,) = running.unexpected()
    assert line == 'CommandError: "127.0.0.1:eighty" is not a valid port number or address:port pair.'


def test_an_ipv6_address_works(echo_project: Project) -> None:
    running = echo_project.start("--noreload", address="[::1]:0").wait_until_up()
    assert running.host == "[::1]"
    assert running.get("/echo/") == (200, b"http")
    with running.connect("/echo/") as client:
        client.send("six")
        assert client.recv(timeout=10) == "six"


def test_the_option_for_ipv6_takes_a_host_name(echo_project: Project) -> None:
    try:
        socket.getaddrinfo("localhost", 0, socket.AF_INET6)
    except socket.gaierror:
        pytest.skip("localhost has no IPv6 address here")
    running = echo_project.start("--noreload", "--ipv6", address="localhost:0").wait_until_up()
    with socket.create_connection(("::1", running.port), timeout=10):
        pass


def test_a_host_name_works(echo_project: Project) -> None:
    running = echo_project.start("--noreload", address="localhost:0").wait_until_up()
    assert running.host == "localhost"
    assert running.get("/echo/") == (200, b"http")


def test_nothreading_runs_one_http_view_at_a_time_and_sockets_beside_it(echo_project: Project) -> None:
    echo_project.write(
        "views.py",
        VIEWS
        + """
import threading
threads = threading.Semaphore(1)

def alone(request):
    if not threads.acquire(blocking=False):
        return HttpResponse("together")
    try:
        # Another request could be running in this time.
        threading.Event().wait(0.2)
    finally:
        threads.release()
    return HttpResponse("alone")
""",
    )
    echo_project.urls(*URLS, 'path("alone/", views.alone)')
    running = echo_project.run("--nothreading")
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect("/echo/")) for _ in range(3)]
        waiting = []
        for _ in range(3):
            connection = http.client.HTTPConnection(running.host, running.port, timeout=10)
            stack.callback(connection.close)
            connection.request("GET", "/alone/")
            waiting.append(connection)
        assert [connection.getresponse().read() for connection in waiting] == [b"alone"] * 3
        for client in clients:
            client.send("hello")
            assert client.recv(timeout=10) == "hello"


def test_a_plain_view_is_served_while_a_socket_waits(echo_project: Project) -> None:
    running = echo_project.run()
    with running.connect("/echo/"):
        assert running.get("/echo/") == (200, b"http")


@pytest.mark.parametrize("app", ["daphne", "whitenoise.runserver_nostatic"])
@pytest.mark.parametrize("place", ["below ours", "above ours"])
def test_the_runserver_of_another_app(echo_project: Project, app: str, place: str) -> None:
    module = pytest.importorskip(app.split(".", maxsplit=1)[0], reason=f"{app} is not installed")
    assert module is not None
    order = f'["dwebsocket", "{app}"]' if place == "below ours" else f'["{app}", "dwebsocket"]'
    echo_project.settings(f"INSTALLED_APPS = [*{order}, *INSTALLED_APPS[1:]]")
    if (app, place) == ("daphne", "above ours"):
        result = echo_project.manage("check")
        assert result.returncode == 1
        assert "dwebsocket.E001" in result.stderr
        assert "'daphne'" in result.stderr
        return
    running = echo_project.run()
    with running.connect("/echo/") as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"
    served = running.get("/static/admin/css/base.css")[0]
    # whitenoise leaves static files to its middleware, which this project has not.
    assert served == (404 if app.startswith("whitenoise") else 200)


def test_a_custom_runserver_below_ours_keeps_its_options(echo_project: Project) -> None:
    package = echo_project.folder / "shop"
    for folder in (package, package / "management", package / "management" / "commands"):
        folder.mkdir()
        (folder / "__init__.py").touch()
    echo_project.write(
        "shop/management/commands/runserver.py",
        """
from django.contrib.staticfiles.management.commands.runserver import Command as Below

class Command(Below):
    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--greeting")

    def inner_run(self, *args, **options):
        self.stdout.write(options["greeting"])
        super().inner_run(*args, **options)
""",
    )
    echo_project.settings('INSTALLED_APPS = ["dwebsocket", "shop", *INSTALLED_APPS[1:]]')
    running = echo_project.run("--greeting", "Welcome to the shop")
    assert "Welcome to the shop" in running.stdout.lines
    with running.connect("/echo/") as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"


def test_help_lists_djangos_options(echo_project: Project) -> None:
    result = echo_project.manage("runserver", "--help")
    for option in ("--ipv6", "--nothreading", "--noreload", "--nostatic", "--insecure"):
        assert option in result.stdout


def test_sessions_and_login_work_on_a_handshake(echo_project: Project) -> None:
    echo_project.write(
        "views.py",
        """
from django.contrib.auth.decorators import login_required
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpResponse
from dwebsocket import accept_websocket

def enter(request):
    login(request, User.objects.get_or_create(username="ada")[0])
    return HttpResponse("in")

@login_required
@accept_websocket
def who(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    request.websocket.send([request.user.username, request.session["visits"]])
""",
    )
    echo_project.urls('path("enter/", views.enter)', 'path("who/", views.who)')
    migrated = echo_project.manage("migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    running = echo_project.run()
    with urlopen(f"{running.url}enter/", timeout=10) as response:
        cookie = next(
            value.partition(";")[0]
            for name, value in response.getheaders()
            if name.lower() == "set-cookie" and value.startswith("sessionid=")
        )
    for visits in (1, 2):
        with running.connect("/who/", additional_headers={"Cookie": cookie}) as client:
            assert client.recv(timeout=10) == f'["ada",{visits}]'
            assert close_of(client) == (1000, "")
    assert running.unexpected() == []


def test_a_wrong_setting_stops_runserver_with_the_checks_message(echo_project: Project) -> None:
    echo_project.settings("WEBSOCKET_MAX_CONNECTIONS = 0")
    running = echo_project.start("--noreload")
    assert running.wait(60) == 1
    assert any(
        "WEBSOCKET_MAX_CONNECTIONS must be a whole number of at least 1" in line
        for line in running.stderr.lines
    )
