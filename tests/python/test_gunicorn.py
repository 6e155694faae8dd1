"""gunicorn with our worker: where it listens, its settings, its hooks and its logs."""

from __future__ import annotations

import re
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from foreign import echoes, end_of
from gunicorns import Gunicorn, Start, talk_over_unix
from projects import Project
from sockets import until

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

from dwebsocket.gunicorn import options
from dwebsocket.gunicorn.application import move, trust
from gunicorn import __version__ as gunicorn_version
from gunicorn.config import Config

GET = b"GET /environ/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n"


def config(**settings: Any) -> Config:
    made = Config()
    for name, value in settings.items():
        made.set(name, value)
    return made


def environ_of(running: Gunicorn, fields: bytes = b"") -> dict[str, Any]:
    """What a view gets as its environ."""
    import json

    with socket.create_connection((running.host, running.port), timeout=20) as client:
        client.sendall(GET % fields)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    seen: dict[str, Any] = json.loads(body)
    return seen


def test_it_listens_on_a_unix_socket_and_on_several_ports(gunicorn: Start) -> None:
    with tempfile.TemporaryDirectory(prefix="gunicorn-") as folder:
        path = f"{folder}/socket"
        running = gunicorn("--bind", f"unix:{path}", "--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0")
        answer = talk_over_unix(path, GET % b"X-Forwarded-Proto: https\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"REMOTE_ADDR": ""' in answer
        # Whoever comes over a Unix socket is the proxy.
        assert b'"wsgi.url_scheme": "https"' in answer
        ports = re.findall(r"http://127\.0\.0\.1:(\d+)", running.stderr.wait_for("Listening at").string)
        assert len(ports) == 2
        for port in ports:
            running.host, running.port, running.url = "127.0.0.1", int(port), f"http://127.0.0.1:{port}"
            assert running.get("/echo/") == (200, b"http")
            echoes(running.open()[0], "hello")
        running.stop()


def test_each_worker_has_a_socket_of_its_own_with_reuse_port(gunicorn: Start) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        running = gunicorn("--bind", f"127.0.0.1:{port}", "--reuse-port", workers=2)
        running.host, running.port, running.url = "127.0.0.1", port, f"http://127.0.0.1:{port}"
        clients = [running.open_at(worker) for worker in running.booted()]
        for client in clients:
            echoes(client, "hello")
        running.stop()


def test_a_preloaded_project_is_served_by_each_child(gunicorn: Start) -> None:
    running = gunicorn("--preload", workers=2)
    clients = [running.open_at(worker) for worker in running.booted()]
    for client in clients:
        echoes(client, "hello")
    running.terminate()
    assert [end_of(client) for client in clients] == [(1001, "")] * 2
    assert running.wait(40) == 0


def test_the_environ_is_gunicorns(gunicorn: Start) -> None:
    from gunicorn import SERVER_SOFTWARE

    seen = environ_of(gunicorn(workers=2, SCRIPT_NAME=""))
    assert seen["SERVER_SOFTWARE"] == SERVER_SOFTWARE
    assert seen["wsgi.multiprocess"] is True
    assert seen["wsgi.multithread"] is True
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert seen["wsgi.url_scheme"] == "http"


def test_script_name_of_the_environment_is_taken_off_the_path(gunicorn: Start) -> None:
    running = gunicorn(SCRIPT_NAME="/mounted")
    status, body = running.get("/mounted/environ/")
    assert status == 200
    assert b'"SCRIPT_NAME": "/mounted"' in body
    assert b'"PATH_INFO": "/environ/"' in body


def test_a_path_outside_of_script_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not begin with SCRIPT_NAME, '/mounted'"):
        move({"PATH_INFO": "/elsewhere"}, "/mounted")


@pytest.mark.parametrize(
    ("allowed", "fields", "scheme"),
    [
        ("127.0.0.1", b"X-Forwarded-Proto: https\r\n", "https"),
        ("127.0.0.1", b"X-Forwarded-Proto: http\r\n", "http"),
        ("127.0.0.1", b"X-Forwarded-Ssl: on\r\nX-Forwarded-Proto: https\r\n", "https"),
        ("10.0.0.1", b"X-Forwarded-Proto: https\r\n", "http"),
        ("*", b"X-Forwarded-Proto: https\r\n", "https"),
    ],
)
def test_the_scheme_is_what_a_trusted_proxy_says(
    gunicorn: Start, allowed: str, fields: bytes, scheme: str
) -> None:
    running = gunicorn("--forwarded-allow-ips", allowed)
    assert environ_of(running, fields)["wsgi.url_scheme"] == scheme


def test_fields_that_contradict_each_other_about_the_scheme_get_400(gunicorn: Start) -> None:
    running = gunicorn()
    with socket.create_connection((running.host, running.port), timeout=20) as client:
        client.sendall(GET % b"X-Forwarded-Ssl: on\r\nX-Forwarded-Proto: http\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    ("allowed", "address", "trusted"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["127.0.0.1"], "::ffff:127.0.0.1", True),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["::1"], "::1", True),
        (["*"], "203.0.113.5", True),
        ([], "", True),
        ([], "127.0.0.1", False),
    ],
)
def test_a_proxy_is_trusted_by_its_address(allowed: list[str], address: str, trusted: bool) -> None:
    assert trust(allowed)(address) is trusted


def test_what_gunicorn_was_not_told_the_settings_of_the_project_say(setting) -> None:
    setting("WEBSOCKET_HTTP_THREADS", 7)
    setting("WEBSOCKET_MAX_CONNECTIONS", 70)
    values = options.server_config(config())
    assert values["http_threads"] == 7
    assert values["max_connections"] == 70
    assert values["max_request_line_bytes"] == 8190
    assert values["max_headers"] == 100
    assert values["header_timeout_seconds"] == 10.0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threads": 3}, {"http_threads": 3}),
        ({"worker_connections": 20}, {"max_connections": 20}),
        ({"limit_request_line": 300}, {"max_request_line_bytes": 300, "max_header_bytes": 65536}),
        ({"limit_request_line": 0}, {"max_request_line_bytes": 65536}),
        ({"limit_request_fields": 9}, {"max_headers": 9}),
        ({"limit_request_fields": 0}, {"max_headers": 32768}),
        ({"limit_request_field_size": 500}, {"max_header_field_bytes": 500}),
        (
            {"limit_request_field_size": 100_000},
            {"max_header_field_bytes": 100_000, "max_header_bytes": 116_382},
        ),
        ({"keepalive": 75}, {"header_timeout_seconds": 75}),
        ({"keepalive": 0}, {"header_timeout_seconds": 10.0, "keep_alive": False}),
    ],
)
def test_what_gunicorn_was_told_holds(setting, settings: dict[str, int], expected: dict[str, Any]) -> None:
    setting("WEBSOCKET_HTTP_THREADS", 7)
    values = options.server_config(config(**settings))
    assert {name: values.get(name) for name in expected} == expected


def test_zero_is_no_limit_of_a_field() -> None:
    assert "max_header_field_bytes" not in options.server_config(config(limit_request_field_size=0))


def test_limits_of_gunicorn_are_those_of_the_server(gunicorn: Start) -> None:
    running = gunicorn(
        *("--limit-request-line", "200", "--limit-request-field_size", "300"),
        *("--worker-connections", "1", "--keep-alive", "0"),
    )
    assert running.get(f"/environ/?{'x' * 300}")[0] == 414
    with socket.create_connection((running.host, running.port), timeout=20) as client:
        client.sendall(GET % b"X: %b\r\n" % (b"x" * 300,))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 431 ")
    with socket.create_connection((running.host, running.port), timeout=20) as client:
        client.sendall(b"GET /echo/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"connection: close" in client.recv(1 << 16)
    echoes(running.open()[0], "one")
    with running.raw_handshake() as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("keyfile = 'manage.py'", "keyfile"),
        ("ca_certs = 'manage.py'", "ca_certs"),
        ("certfile = 'manage.py'; cert_reqs = 2", "cert_reqs"),
        ("certfile = 'manage.py'; ca_certs = 'manage.py'; cert_reqs = 3", "cert_reqs"),
        ("certfile = 'manage.py'; ciphers = 'ECDHE'", "ciphers"),
        ("certfile = 'manage.py'; ssl_version = 'TLSv1_2'", "ssl_version"),
        ("certfile = 'manage.py'; suppress_ragged_eofs = False", "suppress_ragged_eofs"),
        ("certfile = 'manage.py'\ndef ssl_context(config, default): return default()", "ssl_context"),
        ("protocol = 'uwsgi'", "protocol"),
    ],
)
def test_a_setting_that_cannot_be_honoured_is_refused_by_name(
    gunicorn: Start, project: Project, source: str, name: str
) -> None:
    if name not in Config().settings:
        pytest.skip(f"gunicorn {gunicorn_version} has no setting {name}")
    project.write("gunicorn.conf.py", source)
    running = gunicorn(wait=False)
    assert running.wait(60) == 1
    text = "\n".join(running.stderr.lines)
    assert "Error: dwebsocket.gunicorn.Worker cannot honour these settings." in text
    assert f"{name}: " in text
    assert "Booting worker" not in text
    assert "Traceback" not in text


def test_a_setting_that_changes_nothing_is_named(gunicorn: Start) -> None:
    running = gunicorn("--casefold-http-method")
    running.stderr.wait_for("does not heed the setting casefold_http_method")


HOOKS = """
import os, sys

def say(*words):
    print("hook", *words, file=sys.stderr, flush=True)

def post_fork(server, worker): say("post_fork", worker.pid == os.getpid())
def post_worker_init(worker): say("post_worker_init")
def worker_int(worker): say("worker_int")
def worker_exit(server, worker): say("worker_exit", worker.pid == os.getpid())
def child_exit(server, worker): say("child_exit")
def nworkers_changed(server, new_value, old_value): say("nworkers_changed", new_value)
def pre_request(worker, req):
    req.seen = "kept"
    say("pre_request", req.method, req.path, req.query, dict(req.headers).get("X-NAME"), req.version)
def post_request(worker, req, environ, resp):
    say("post_request", req.seen, req.path, resp.status, resp.sent, resp.status_code)
"""


def test_the_hooks_run(gunicorn: Start, project: Project) -> None:
    project.write("hooks.py", HOOKS)
    running = gunicorn("--config", "hooks.py")
    with socket.create_connection((running.host, running.port), timeout=20) as client:
        client.sendall(b"GET /echo/?a=b HTTP/1.0\r\nX-Name: value\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.0 200 ")
    running.stderr.wait_for("hook pre_request GET /echo/ a=b value \\(1, 0\\)")
    running.stderr.wait_for("hook post_request kept /echo/ 200 OK 4 200")
    client, _ = running.open()
    running.stderr.wait_for(r"hook pre_request GET /echo/  None \(1, 1\)")
    assert not [line for line in running.stderr.lines if "101" in line]
    client.close()
    running.stderr.wait_for("hook post_request kept /echo/ 101 Switching Protocols")
    running.process.send_signal(2)
    assert running.wait(40) == 0
    hooks = [line.split()[1] for line in running.stderr.lines if line.startswith("hook ")]
    assert hooks[:3] == ["nworkers_changed", "post_fork", "post_worker_init"]
    assert sorted(hooks[-3:]) == ["child_exit", "worker_exit", "worker_int"]


def test_a_hook_that_fails_is_logged_and_the_request_answered(gunicorn: Start, project: Project) -> None:
    project.write("hooks.py", "def post_request(worker, req, environ, resp): raise LookupError('a hook')\n")
    running = gunicorn("--config", "hooks.py")
    assert running.get("/echo/") == (200, b"http")
    running.stderr.wait_for("Exception in post_request hook")
    running.stderr.wait_for("LookupError: a hook")


ACCESS = r"127\.0\.0\.1 - - \[[^]]+\] "


def test_the_access_log_has_gunicorns_format(gunicorn: Start) -> None:
    running = gunicorn("--access-logfile", "-")
    environ_of(running, b"Referer: http://a/\r\nUser-Agent: tests\r\n")
    running.stdout.wait_for(f'^{ACCESS}"GET /environ/ HTTP/1.1" 200 \\d+ "http://a/" "tests"$')
    client, _ = running.open()
    running.stdout.wait_for(f'^{ACCESS}"GET /echo/ HTTP/1.1" 101 0 "-" "Python/')
    echoes(client, "12345", "1234567890")
    client.close(1000)
    # The number of its process, and two frames with two bytes each in front.
    line = running.stdout.wait_for(
        f'^{ACCESS}"GET /echo/ HTTP/1.1" closed 1000 by the client after \\d+\\.\\d{{6}} s, '
        r"received 2 messages 15 bytes, sent 3 messages (\d+) bytes$"
    )
    assert int(line[1]) > 15


def test_the_access_log_has_the_projects_format(gunicorn: Start) -> None:
    atoms = "%(s)s %(m)s %({x-name}i)s %({content-type}o)s %({dwebsocket.received_messages}e)s <%(D)s>"
    running = gunicorn("--access-logfile", "-", "--access-logformat", atoms)
    environ_of(running, b"X-Name: value\r\n")
    running.stdout.wait_for(r"^200 GET value application/json - <\d+>$")
    client, _ = running.open()
    running.stdout.wait_for(r"^101 GET - - - <\d+>$")
    echoes(client, "one", "two")
    client.close(1001)
    running.stdout.wait_for(r"^1001 GET - - 2 <\d+>$")


def test_without_an_access_log_nothing_is_written(gunicorn: Start) -> None:
    running = gunicorn()
    assert running.get("/echo/") == (200, b"http")
    client, _ = running.open()
    client.close()
    running.stop()
    assert running.stdout.lines == []
    assert not [line for line in running.stderr.lines if "GET" in line]


def test_our_warnings_go_to_gunicorns_error_log(gunicorn: Start, project: Project) -> None:
    log = project.folder / "error.log"
    running = gunicorn("--error-logfile", str(log), wait=False)
    until(lambda: log.exists() and "Booting worker" in log.read_text())
    running.host, port = re.search(r"Listening at: http://(.+):(\d+)", log.read_text()).groups()
    running.port = int(port)
    with running.raw_handshake(b"Origin: http://elsewhere.example\r\n") as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 403 ")
    until(lambda: "http://elsewhere.example" in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if "http://elsewhere.example" in line]
    assert re.match(r"\[[^]]+\] \[\d+\] \[WARNING\] ", line)


def test_our_warnings_go_where_the_project_says(gunicorn: Start, project: Project) -> None:
    project.settings(
        'LOGGING = {"version": 1, "disable_existing_loggers": False, '
        '"handlers": {"own": {"class": "logging.FileHandler", "filename": "own.log"}}, '
        '"loggers": {"dwebsocket": {"handlers": ["own"]}}}'
    )
    running = gunicorn()
    with running.raw_handshake(b"Origin: http://elsewhere.example\r\n") as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 403 ")
    own: Path = project.folder / "own.log"
    until(lambda: "http://elsewhere.example" in own.read_text())
    running.stop()
    assert not [line for line in running.stderr.lines if "elsewhere" in line]
