"""The PROXY protocol before HTTP and before TLS."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from gunicorns import Gunicorn, Start
from projects import Project
from sockets import HANDSHAKE, TEXT, masked
from tls import HOST, Served

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

from dwebsocket.gunicorn import options
from gunicorn.config import Config

GET = b"GET /environ/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n"
LINE = b"PROXY TCP4 203.0.113.7 198.51.100.2 5555 443\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(
    "!H4s4sHH", 12, socket.inet_aton("203.0.113.7"), socket.inet_aton("198.51.100.2"), 5555, 443
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"

knows_versions = pytest.mark.skipif(
    Config().settings["proxy_protocol"].get() is False, reason="needs gunicorn 24.1, which knows version 2"
)


def ask(running: Gunicorn, header: bytes, fields: bytes = b"") -> dict[str, Any]:
    with running.tcp() as client:
        client.sendall(header + GET % fields)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    seen: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return seen


def test_without_the_setting_a_header_is_a_bad_request(gunicorn: Start) -> None:
    running = gunicorn()
    for header in (LINE, BINARY):
        with running.tcp() as client:
            client.sendall(header + GET % b"")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


@knows_versions
def test_the_client_is_the_one_that_the_proxy_names(gunicorn: Start) -> None:
    running = gunicorn("--proxy-protocol", "auto", "--access-logfile", "-")
    for header in (LINE, BINARY):
        seen = ask(running, header, b"X-Forwarded-Proto: https\r\n")
        expected = {"REMOTE_ADDR": "203.0.113.7", "REMOTE_PORT": "5555", "PROXY_PROTOCOL": "TCP4"}
        expected |= {"PROXY_ADDR": "198.51.100.2", "PROXY_PORT": "443"}
        assert {name: seen.get(name) for name in expected} == expected
        # It is the proxy who says so, and it is trusted by its own address.
        assert seen["wsgi.url_scheme"] == "https"
        assert seen["SERVER_PORT"] == str(running.port)
    running.stdout.wait_for(r'^203\.0\.113\.7 - - .* "GET /environ/ HTTP/1\.1" 200 ')
    for header in (LOCAL, b"PROXY UNKNOWN\r\n", b""):
        seen = ask(running, header)
        assert seen["REMOTE_ADDR"] == "127.0.0.1"
        assert "PROXY_PROTOCOL" not in seen


def test_the_oldest_form_of_the_setting_means_the_line(gunicorn: Start, project: Project) -> None:
    project.write("gunicorn.conf.py", "proxy_protocol = True")
    assert ask(gunicorn(), LINE)["REMOTE_ADDR"] == "203.0.113.7"


@knows_versions
def test_a_socket_opens_behind_a_header_however_it_is_cut(gunicorn: Start, project: Project) -> None:
    running = gunicorn("--proxy-protocol", "auto")
    host = f"{running.host}:{running.port}".encode()
    handshake = HANDSHAKE.replace(b"Host: localhost", b"Host: " + host) % b"/echo/"
    # The frames come in one packet with all that is before them, and more than one read.
    messages = masked(TEXT, b"x" * 100) * 30
    for pieces in (
        [BINARY + handshake + messages],
        [bytes([byte]) for byte in LINE + handshake] + [messages],
    ):
        with running.tcp() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                client.sendall(piece)
            received = b""
            while received.count(b"\x81\x64" + b"x" * 100) < 30:
                piece = client.recv(1 << 16)
                assert piece, received
                received += piece
    running.stderr.wait_for("the view has ended")


@knows_versions
def test_a_header_from_elsewhere_is_no_header(gunicorn: Start) -> None:
    running = gunicorn("--proxy-protocol", "auto", "--proxy-allow-from", "10.0.0.0/8")
    with running.tcp() as client:
        client.sendall(LINE + GET % b"")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert ask(running, b"")["REMOTE_ADDR"] == "127.0.0.1"


@knows_versions
def test_only_the_version_that_is_asked_for_is_understood(gunicorn: Start) -> None:
    running = gunicorn("--proxy-protocol", "v2", "--proxy-allow-from", "*")
    assert ask(running, BINARY)["REMOTE_ADDR"] == "203.0.113.7"
    with running.tcp() as client:
        client.sendall(LINE + GET % b"")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


@knows_versions
def test_a_header_that_is_broken_or_late_ends_the_connection(gunicorn: Start, project: Project) -> None:
    project.settings("WEBSOCKET_HEADER_TIMEOUT_SECONDS = 3.0")
    running = gunicorn("--proxy-protocol", "auto", "--log-level", "debug")
    with running.tcp() as client:
        client.sendall(b"PROXY TCP4 203.0.113.7\r\n")
        assert client.recv(1) == b""
    running.stderr.wait_for(
        r"\[DEBUG\] A connection was closed .*the line of the PROXY protocol is malformed"
    )
    with running.tcp() as client:
        client.sendall(LINE[:20])
        assert client.recv(1) == b""
    running.stderr.wait_for(r"\[WARNING\] A connection was closed before its first request .*127\.0\.0\.1")


@knows_versions
def test_a_header_comes_before_tls(gunicorn: Start, tmp_path: Path) -> None:
    served = Served(tmp_path)
    running = gunicorn("--proxy-protocol", "auto", *served.options)
    for header in (LINE, BINARY):
        plain = running.tcp()
        plain.sendall(header)
        with served.context.wrap_socket(plain, server_hostname=HOST) as client:
            client.sendall(GET % b"")
            answer = b"".join(iter(lambda client=client: client.recv(1 << 16), b""))
        seen = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == ("203.0.113.7", "https")
    assert b"200 OK" in served.get(running, "/environ/")


def test_it_is_off_by_default_and_proxies_are_networks() -> None:
    made = Config()
    assert options.server_config(made)["proxy_protocol"] is None
    made.set("proxy_protocol", True)
    version, networks = options.server_config(made)["proxy_protocol"]
    assert version in ("v1", "auto")
    assert networks == [("127.0.0.1", 32), ("::1", 128)]
    made.set("proxy_allow_ips", "*")
    assert options.server_config(made)["proxy_protocol"] == (version, None)
