"""Memory of a server in its own process, whose clients announce much or read nothing."""

from __future__ import annotations

import json
import select
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from projects import Project, Running
from serving import PATIENCE
from sockets import CLOSE, HANDSHAKE, masked

MEBIBYTE = 1 << 20
MAX_MESSAGE = 16 * MEBIBYTE
OUTBOX = 4 * MEBIBYTE
CLIENTS = 200

SLACK = 3 * MEBIBYTE
"""What a server's memory may change by for other reasons: the allocator's, and that of threads."""

VIEWS = """
import json
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from dwebsocket import accept_websocket
from dwebsocket.exceptions import ConnectionClosed

sockets, ended, reading = {}, {}, []

def flood(websocket, size, total):
    for _ in range(total // size):
        websocket.send(bytes(size), binary=True)

@csrf_exempt
@accept_websocket
def echo(request):
    if request.websocket is None:
        reading.append(None)
        try:
            return HttpResponse(str(len(request.environ["wsgi.input"].read(1 << 62))))
        except OSError:
            return HttpResponse("cut off", status=408)
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=True)

@accept_websocket
def victim(request):
    websocket = request.websocket
    sockets[request.GET["name"]] = websocket
    websocket.send("open")
    if "total" in request.GET:
        try:
            flood(websocket, int(request.GET["size"]), int(request.GET["total"]))
            while websocket.wait() is not None:
                pass
        except ConnectionClosed:
            pass
    else:
        for _ in websocket:
            pass
    ended[request.GET["name"]] = websocket.close_code

def broadcast(request):
    flood(sockets[request.GET["name"]], int(request.GET["size"]), int(request.GET["total"]))
    return HttpResponse("sent")

def codes(request):
    return HttpResponse(json.dumps(ended))

def readers(request):
    return HttpResponse(str(len(reading)))
"""
URLS = tuple(f'path("{name}/", views.{name})' for name in ("echo", "victim", "broadcast", "codes", "readers"))


class Memory:
    """What the process takes more than it took at the beginning: at most in RAM, and now of addresses."""

    def __init__(self, running: Running) -> None:
        self._folder = Path("/proc") / str(running.process.pid)
        # Makes the peak what it is now (proc(5)).
        (self._folder / "clear_refs").write_text("5")
        self._peak, self._addresses = self._read("VmHWM"), self._read("VmSize")

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) << 10

    def allocated(self) -> int:
        """Whether it is used or not."""
        return self._read("VmSize") - self._addresses

    def growth(self) -> int:
        growth = self._read("VmHWM") - self._peak
        print(f"memory grew by {growth / MEBIBYTE:.1f} MiB")
        return growth


@pytest.fixture
def server(project: Project) -> Callable[..., Running]:
    """Starts a project with the views, and settings."""
    project.write("views.py", VIEWS)
    project.urls(*URLS)

    def start(**settings: object) -> Running:
        for name, value in settings.items():
            project.settings(f"{name} = {value!r}")
        running = project.run()
        # Warm: what the first request, socket and message load stays.
        assert running.get("/codes/") == (200, b"{}")
        with running.connect("/echo/") as client:
            client.send(bytes(100_000))
            assert client.recv(PATIENCE) == bytes(100_000)
        return running

    return start


@pytest.fixture
def opened() -> Iterator[Callable[..., socket.socket]]:
    with ExitStack() as stack:

        def open_socket(running: Running, target: str = "/echo/") -> socket.socket:
            client = socket.create_connection((running.host, running.port), PATIENCE)
            stack.enter_context(client)
            client.sendall(HANDSHAKE % target.encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            assert head.startswith(b"HTTP/1.1 101 ")
            return client

        yield open_socket


def frame_header(first: int, length: int) -> bytes:
    return struct.pack("!BBQ", first, 0x80 | 127, length) + bytes(4)


def test_a_frame_of_2_to_the_62_bytes_is_refused_for_its_header(server, opened):
    running = server()
    memory = Memory(running)
    for first in (0x82, 0x02):
        client = opened(running)
        client.sendall(frame_header(first, 1 << 62))
        assert client.recv(4)[:1] == b"\x88"
        reply = opened(running)
        reply.sendall(frame_header(first, 1 << 63))
        assert reply.recv(4)[:1] == b"\x88"
    assert memory.growth() < SLACK


@pytest.mark.parametrize(
    "announced",
    [
        pytest.param(frame_header(0x82, MAX_MESSAGE), id="one frame"),
        pytest.param(frame_header(0x02, MAX_MESSAGE), id="a first fragment"),
        pytest.param(
            b"\x02\x81\x00\x00\x00\x00x" + frame_header(0x80, MAX_MESSAGE - 1), id="a second fragment"
        ),
    ],
)
def test_many_that_announce_the_largest_message_and_send_a_byte_of_it_take_no_memory(
    server, opened, announced
):
    running = server()
    clients = [opened(running) for _ in range(CLIENTS)]
    memory = Memory(running)
    for client in clients:
        client.sendall(announced + b"y")
    # One thread reads all sockets in turn: when these are answered, those have been read.
    for _ in range(3):
        assert running.get("/codes/") == (200, b"{}")
    assert memory.growth() < SLACK, f"{CLIENTS * MAX_MESSAGE} bytes were announced"
    # Room for a stack or an arena of the allocator's, and by far not for what was announced.
    assert memory.allocated() < CLIENTS * MAX_MESSAGE / 10
    # They are open still.
    assert not select.select(clients, [], [], 0)[0]
    assert running.unexpected() == []


BODIES = {
    "length": b"Content-Length: 4611686018427387904\r\n\r\nx",
    "chunk": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nx",
}


@pytest.mark.parametrize("announced", BODIES.values(), ids=BODIES)
def test_a_body_that_announces_itself_takes_no_memory_before_it_comes(server, announced):
    running = server(WEBSOCKET_BODY_TIMEOUT_SECONDS=1.0)
    memory = Memory(running)
    with ExitStack() as stack:
        clients = []
        for _ in range(8):
            client = socket.create_connection((running.host, running.port), PATIENCE)
            clients.append(stack.enter_context(client))
            client.sendall(b"POST /echo/ HTTP/1.1\r\nHost: localhost\r\n" + announced)
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 408"
    assert running.get("/readers/") == (200, b"8")
    assert memory.growth() < SLACK


# A client that reads nothing.

TOTAL = 250 * MEBIBYTE
sizes = pytest.mark.parametrize("size", [1000, 64 << 10, MEBIBYTE])


def code_of(running: Running, name: str) -> int:
    """The code with which the view of a socket saw it end, once it has."""
    while True:
        _, body = running.get("/codes/")
        if name in (codes := json.loads(body)):
            return int(codes[name])


@sizes
def test_a_view_that_sends_250_mib_to_a_client_that_reads_nothing_takes_an_outbox(server, opened, size):
    running = server(WEBSOCKET_SEND_TIMEOUT_SECONDS=1.0, WEBSOCKET_CLOSE_TIMEOUT_SECONDS=1.0)
    memory = Memory(running)
    opened(running, f"/victim/?name=a&size={size}&total={TOTAL}")
    assert code_of(running, "a") == 1013
    assert memory.growth() < OUTBOX + 2 * size + SLACK
    running.stderr.wait_for(r"of 127\.0\.0\.1:\d+ reads too slowly: closed with 1013")


@sizes
@pytest.mark.parametrize("policy", ["close", "drop_oldest"])
def test_a_broadcast_of_250_mib_to_a_client_that_reads_nothing_takes_an_outbox(server, opened, policy, size):
    running = server(WEBSOCKET_SLOW_CLIENT=policy, WEBSOCKET_CLOSE_TIMEOUT_SECONDS=1.0)
    memory = Memory(running)
    client = opened(running, "/victim/?name=a")
    assert client.recv(6, socket.MSG_WAITALL) == b"\x81\x04open"
    with urllib.request.urlopen(
        f"{running.url}broadcast/?name=a&size={size}&total={TOTAL}", timeout=100
    ) as response:
        assert response.read() == b"sent"
    assert memory.growth() < OUTBOX + 2 * size + SLACK
    if policy == "close":
        assert code_of(running, "a") == 1013
        running.stderr.wait_for(r"of 127\.0\.0\.1:\d+ reads too slowly: closed with 1013")
        return
    running.stderr.wait_for(r"of 127\.0\.0\.1:\d+ reads too slowly: its oldest messages are dropped")
    # It is a client still: when it reads again, and says goodbye, it is heard.
    client.sendall(masked(CLOSE, b"\x03\xe8"))
    client.settimeout(PATIENCE)
    while client.recv(1 << 20):
        pass
    assert code_of(running, "a") == 1000
