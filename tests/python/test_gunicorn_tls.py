"""TLS in gunicorn's workers: HTTP, WebSockets, clients that misbehave, reloads and the end."""

from __future__ import annotations

import json
import re
import signal
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from gunicorns import Gunicorn, Start
from projects import Project
from sockets import CLOSE, until
from tls import CLIENT_HELLO, HOST, Authority, SecureSocket, Served

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

MEBIBYTE = 1 << 20
VIEWS = """
from django.http import HttpResponse, JsonResponse

def seen(request):
    return JsonResponse({"secure": request.is_secure(), "scheme": request.META["wsgi.url_scheme"],
                         "address": request.META["REMOTE_ADDR"], "url": request.build_absolute_uri()})

def mirror(request):
    return HttpResponse(request.read())
"""


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


@pytest.fixture
def secure(gunicorn: Start, project: Project, served: Served) -> Start:
    """As `gunicorn`, with a certificate and a few more views."""
    path = project.folder / "views.py"
    path.write_text(path.read_text() + VIEWS)
    names = ("echo", "burst", "slow", "seen", "mirror")
    project.urls(*(f'path("{name}/", views.{name})' for name in names))
    project.settings('MIDDLEWARE.remove("django.middleware.csrf.CsrfViewMiddleware")')

    def run(*options: str, **arguments: object) -> Gunicorn:
        return gunicorn(*served.options, *options, **arguments)

    return run


def open_socket(running: Gunicorn, served: Served, **options: Any) -> SecureSocket:
    """A WebSocket whose view has said which process it runs in."""
    client = served.open(running, **options)
    assert int(client.receive()[1]) in running.booted()
    return client


def echoes(running: Gunicorn, served: Served, message: bytes = b"hello", **options: Any) -> None:
    """A new socket echoes; its client goes away then, since a server that ends would wait for its Close."""
    client = open_socket(running, served, **options)
    client.echoes(message)
    client.close()


def quiet(running: Gunicorn) -> list[str]:
    """Ends the server in order; gives what it had logged beyond what gunicorn says when all is well."""
    usual = r"Starting gunicorn|Listening at|Using worker|Booting worker|Handling signal|Worker exiting"
    lines = running.stop()
    return [line for line in lines if not re.search(usual + "|Shutting down|the view has ended", line)]


def test_views_and_sockets_are_served_over_tls(secure: Start, served: Served) -> None:
    running = secure()
    assert running.url.startswith("https://")
    head, _, body = served.get(running, "/seen/").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    url = f"https://{HOST}:{running.port}/seen/"
    assert json.loads(body) == {"secure": True, "scheme": "https", "address": HOST, "url": url}
    client = open_socket(running, served, fields=f"Origin: https://{HOST}:{running.port}\r\n")
    client.echoes(b"hello", b"x" * 200_000)
    client.close()
    assert quiet(running) == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http_1_1_is_agreed_on_in_both_versions_of_tls(
    secure: Start, served: Served, version: ssl.TLSVersion
) -> None:
    running = secure()
    served.context.minimum_version = served.context.maximum_version = version
    with served.connect(running) as client:
        assert client.version() == version.name.replace("_", ".")
        assert client.selected_alpn_protocol() == "http/1.1"
        assert client.getpeercert(binary_form=True) == served.shown


def test_a_session_is_taken_up_again(secure: Start, served: Served) -> None:
    running = secure()
    served.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with served.connect(running) as client:
        session = client.session
    with served.context.wrap_socket(running.tcp(), server_hostname=HOST, session=session) as client:
        assert client.session_reused


def test_big_messages_and_bodies_go_both_ways(secure: Start, served: Served) -> None:
    running = secure()
    echoes(running, served, b"0123456789abcdef" * (MEBIBYTE // 2))
    body = bytes(range(256)) * (16 << 10)
    request = b"POST /mirror/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with served.connect(running) as upload:
        # The view answers when it has read all of it.
        upload.sendall(request % len(body) + body)
        answer = b"".join(iter(lambda: upload.recv(1 << 16), b""))
    assert answer.partition(b"\r\n\r\n")[2] == body
    assert quiet(running) == []


def test_a_reload_shows_the_new_certificate_to_those_who_connect_then(secure: Start, served: Served) -> None:
    running = secure()
    client = open_socket(running, served)
    before, after = served.shown, served.renew()
    assert before != after
    # Until then nobody reads it.
    assert served.shows(running) == before
    running.signal(signal.SIGHUP)
    assert client.end() == 1012
    running.wait_for_workers(2)
    until(lambda: served.shows(running) == after)
    echoes(running, served)


def test_a_bad_certificate_at_a_reload_is_told_and_the_one_before_stays(
    secure: Start, served: Served
) -> None:
    running = secure()
    before, good = served.shown, served.certificate.read_bytes()
    served.certificate.write_bytes(good[:400])
    running.signal(signal.SIGHUP)
    line = running.stderr.wait_for("The certificate cannot be used: ").string
    assert "[ERROR]" in line
    assert f"certfile {served.certificate}, keyfile {served.key}: the certificate is no PEM" in line
    assert line.endswith("The one before it stays in use until the next reload.")
    running.wait_for_end_of(running.wait_for_workers(2)[0])
    assert served.shows(running) == before
    echoes(running, served)
    after = served.renew()
    running.signal(signal.SIGHUP)
    running.wait_for_workers(3)
    until(lambda: served.shows(running) == after)
    assert len([line for line in running.stop() if "certificate" in line]) == 1


def test_a_worker_that_takes_the_place_of_a_dead_one_shows_what_the_others_show(
    secure: Start, served: Served
) -> None:
    running = secure()
    before = served.shown
    served.renew()
    running.signal(signal.SIGKILL, running.booted()[0])
    running.wait_for_workers(2)
    assert served.shows(running) == before


def test_a_client_that_does_not_end_its_handshake_is_cut_off_and_named(
    secure: Start, served: Served, project: Project
) -> None:
    project.settings("WEBSOCKET_HEADER_TIMEOUT_SECONDS = 3.0")
    running = secure()
    with running.tcp() as idle, running.tcp() as slow:
        slow.sendall(CLIENT_HELLO)
        assert slow.recv(1) == b""
        assert idle.recv(1) == b""
    line = running.stderr.wait_for("A connection was closed before its first request").string
    assert "[WARNING]" in line
    assert "(last from 127.0.0.1)" in line
    assert "WEBSOCKET_HEADER_TIMEOUT_SECONDS sets the time" in line
    # The one that said nothing is not told of.
    assert " times " not in line
    echoes(running, served)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00" * 600,
        b"\x16\x03\x01\x00\x05hello",
        CLIENT_HELLO[:5] + b"\x01\x00\x01\xfc" + b"\xff" * 508,
    ],
    ids=["http", "zeros", "no handshake", "no hello"],
)
@pytest.mark.parametrize("level", ["info", "debug"])
def test_what_is_no_client_hello_is_closed_without_a_line_in_the_log(
    secure: Start, served: Served, garbage: bytes, level: str
) -> None:
    running = secure("--log-level", level)
    with running.tcp() as client:
        client.sendall(garbage)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    # An alert (RFC 8446 section 6) or nothing, and no HTTP.
    assert re.fullmatch(rb"(\x15\x03.\x00\x02..)?", answer, re.DOTALL), answer
    echoes(running, served)
    if level == "debug":
        running.stderr.wait_for(r"closed before its first request \(last from 127\.0\.0\.1, .+\): the client")
    else:
        assert quiet(running) == []


def test_clients_that_vanish_leave_no_line_in_the_log(secure: Start, served: Served) -> None:
    running = secure()
    running.tcp().close()
    with running.tcp() as client:
        client.sendall(CLIENT_HELLO)
    # In the middle of a socket, without close_notify.
    open_socket(running, served).close()
    running.stderr.wait_for("the view has ended")
    # One that does not trust the server.
    with running.tcp() as plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)
    echoes(running, served)
    assert quiet(running) == []


def test_the_end_of_a_socket_is_its_close_and_then_close_notify(secure: Start, served: Served) -> None:
    running = secure()
    client = open_socket(running, served)
    client.send(CLOSE, b"\x03\xe8")
    # An end without close_notify would be an error of this client.
    assert client.end() == 1000
    client = open_socket(running, served)
    running.terminate()
    assert client.end() == 1001


def test_a_connection_that_is_idle_for_too_long_ends_with_close_notify(secure: Start, served: Served) -> None:
    running = secure("--keep-alive", "1")
    request = b"GET /seen/ HTTP/1.1\r\nHost: localhost\r\n"
    assert served.talk(running, request + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert served.talk(running, request).startswith(b"HTTP/1.1 408 ")


def test_a_worker_that_ends_drains_what_it_has_over_tls(secure: Start, served: Served) -> None:
    running = secure("--graceful-timeout", "20")
    started, go = running.fifo("started"), running.fifo("go")
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(served.get(running, "/slow/")))
    asking.start()
    started.read_text()
    idle = open_socket(running, served)
    reader = served.open(running, "/burst/")
    running.stderr.wait_for("the burst is queued")
    running.terminate()
    assert [reader.receive()[1][:4] for _ in range(500)] == [b"%04d" % number for number in range(500)]
    assert reader.end() == 1001
    assert idle.end() == 1001
    go.write_text("answered")
    asking.join(40)
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    assert answers[0].endswith(b"\r\n\r\nanswered")
    assert running.wait(40) == 0


def test_a_client_shows_a_certificate_where_it_has_to(secure: Start, served: Served, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    identity = tmp_path / "client.pem", tmp_path / "client-key.pem"
    clients.issue(*identity)
    running = secure("--ca-certs", str(clients.file), "--cert-reqs", "2")
    known = served.authority.client(*identity)
    assert served.get(running, "/seen/", known).startswith(b"HTTP/1.1 200 ")
    echoes(running, served, context=known)
    # In TLS 1.3 the client learns it with the first bytes it reads.
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        served.get(running, "/seen/")
    served.authority.issue(*identity)
    with pytest.raises(ssl.SSLError, match=r"UNKNOWN_CA|DECRYPT_ERROR|BAD_CERTIFICATE"):
        served.get(running, "/seen/", served.authority.client(*identity))
    assert quiet(running) == []


def test_a_client_may_show_a_certificate_or_none(secure: Start, served: Served, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    identity = tmp_path / "client.pem", tmp_path / "client-key.pem"
    clients.issue(*identity)
    running = secure("--ca-certs", str(clients.file), "--cert-reqs", "1")
    assert served.get(running, "/seen/").startswith(b"HTTP/1.1 200 ")
    assert served.get(running, "/seen/", served.authority.client(*identity)).startswith(b"HTTP/1.1 200 ")
    served.authority.issue(*identity)
    with pytest.raises(ssl.SSLError, match=r"UNKNOWN_CA|DECRYPT_ERROR|BAD_CERTIFICATE"):
        served.get(running, "/seen/", served.authority.client(*identity))


def test_a_connection_too_many_is_closed_without_a_word(
    secure: Start, served: Served, project: Project
) -> None:
    project.settings("WEBSOCKET_MAX_TCP_CONNECTIONS = 1")
    running = secure()
    with served.connect(running), running.tcp() as second:
        assert second.recv(1) == b""
    running.stderr.wait_for("WEBSOCKET_MAX_TCP_CONNECTIONS sets the number")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("keyfile = certfile = 'manage.py'", "keyfile manage.py: there is no certificate in PEM."),
        ("certfile = 'certificate.pem'", "certfile certificate.pem: there is no private key in PEM."),
        ("certfile = 'certificate.pem'; keyfile = 'other.pem'", "the private key does not belong to"),
        ("certfile = 'certificate.pem'; keyfile = 'encrypted.pem'", "the private key is encrypted"),
        (
            "certfile = 'certificate.pem'; keyfile = 'certificate.pem'; ca_certs = 'none'; cert_reqs = 2",
            "none: No such",
        ),
        (
            "certfile = 'both.pem'; ca_certs = 'manage.py'; cert_reqs = 2",
            "no certificate of an authority in PEM",
        ),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told_at_the_start(
    gunicorn: Start, project: Project, served: Served, source: str, text: str
) -> None:
    Served(project.folder)
    served.authority.issue(project.folder / "unused.pem", project.folder / "other.pem")
    key = (project.folder / "key.pem").read_text()
    (project.folder / "encrypted.pem").write_text(
        key.replace("RSA PRIVATE", "PRIVATE")
        .replace(" PRIVATE", " ENCRYPTED PRIVATE")
        .replace("EC ENC", "ENC")
    )
    (project.folder / "both.pem").write_text(key + (project.folder / "certificate.pem").read_text())
    project.write("gunicorn.conf.py", source)
    running = gunicorn(wait=False)
    assert running.wait(60) == 1
    lines = "\n".join(running.stderr.lines)
    assert "Error: The certificate cannot be used: " in lines
    assert text in lines
    assert "Booting worker" not in lines
    assert "Traceback" not in lines


def test_certificate_and_key_may_be_in_one_file(gunicorn: Start, project: Project, served: Served) -> None:
    both = project.folder / "both.pem"
    both.write_bytes(served.certificate.read_bytes() + served.key.read_bytes())
    running = gunicorn("--certfile", str(both))
    assert served.get(running, "/echo/").endswith(b"\r\n\r\nhttp")
