"""HTTP as strict as gunicorn, or stricter: the same bytes are sent to both."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hostile_requests import CHUNKED, HOST, REQUESTS, get, post
from serving import PATIENCE, Serving, read_to_end

pytest.importorskip("gunicorn", reason="gunicorn is the yardstick; it is not installed here")

APPLICATION = """
import json

def application(environ, start_response):
    body = environ["wsgi.input"].read().decode("latin-1")
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_LENGTH", "CONTENT_TYPE")
    seen = {name: value for name, value in environ.items() if name.startswith("HTTP_") or name in names}
    reply = json.dumps({"environ": seen, "body": body}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(reply)))])
    return [reply]
"""


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a gunicorn with the application."""
    folder = tmp_path_factory.mktemp("gunicorn")
    (folder / "application.py").write_text(APPLICATION, encoding="utf-8")
    (folder / "gunicorn.conf.py").write_text(
        "def when_ready(server):\n    print(*server.LISTENERS[0].getsockname(), flush=True)\n"
    )
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--log-level", "critical"]
    with subprocess.Popen(
        [*command, "application:application"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().split()
        yield host, int(port)
        process.terminate()


def answers(address: tuple[str, int], request: bytes) -> tuple[list[int], list[dict[str, object]]]:
    """Statuses of what comes back, and what the application saw."""
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(request)
        try:
            reply = read_to_end(client)
        except ConnectionResetError:
            return [], []
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", reply)]
    return statuses, [json.loads(seen) for seen in re.findall(rb'\{"environ.*\}', reply)]


def application(environ, start_response):
    scope: dict[str, object] = {}
    exec(compile(APPLICATION, "application.py", "exec"), scope)
    return scope["application"](environ, start_response)  # type: ignore[operator]


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_what_gunicorn_refuses_is_refused_and_what_it_takes_is_taken_alike(serve, gunicorn, request_):
    serving: Serving = serve(application)
    theirs, seen_by_theirs = answers(gunicorn, request_)
    ours, seen_by_ours = answers((serving.host, serving.port), request_)
    assert len(ours) == 1
    if theirs != [200]:
        assert 400 <= ours[0] < 500 or ours[0] == 501
    if ours == [200]:
        assert seen_by_ours == seen_by_theirs


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        # Neither may become a request of its own: gunicorn waits for bytes that do not come, or takes them.
        (post(HOST + b"Content-Length: 99999999999999999999999\r\n"), 400),
        (post(CHUNKED, b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"2\nab\n0\n\n" + get()), 400),
        (get(fields=b"Connection: close\r\n"), 400),
        (get(b"http:///x"), 400),
        (get(version=b"1.2"), 400),
        (get(b"a:80", method=b"CONNECT"), 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), 400),
    ],
)
def test_what_gunicorn_takes_or_waits_for_is_refused(serve, request_, status):
    serving: Serving = serve(application)
    assert answers((serving.host, serving.port), request_)[0] == [status]


def test_the_host_of_an_absolute_target_wins(serve):
    # RFC 9112 section 3.2.2.
    serving: Serving = serve(application)
    _, [seen] = answers((serving.host, serving.port), get(b"http://other/x?y"))
    assert seen["environ"]["HTTP_HOST"] == "other"
    assert (seen["environ"]["PATH_INFO"], seen["environ"]["QUERY_STRING"]) == ("/x", "y")


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 50])
def test_a_second_request_in_a_refused_body_is_never_run(serve, pieces):
    smuggled = get(b"/smuggled")
    both = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    request = both + b"5c\r\n" + smuggled + b"\r\n0\r\n\r\n"
    paths = []

    def noting(environ, start_response):
        paths.append(environ["PATH_INFO"])
        return application(environ, start_response)

    serving: Serving = serve(noting)
    size = -(-len(request) // pieces)
    with serving.connect() as client:
        for start in range(0, len(request), size):
            client.sendall(request[start : start + size])
        assert read_to_end(client).startswith(b"HTTP/1.1 400 ")
    assert paths == []
