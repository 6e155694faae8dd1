"""Echo under servers that are not ours, beside our own: `.venv/bin/python benches/adoption.py`.

One client, one message after the other, from another process than the server's. Each server runs in turn
and the turns are repeated, so that what else the machine does meets all of them; the best turn counts.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))

from foreign import SERVERS, Foreign, make_foreign, start
from projects import Project, Running
from sockets import BINARY, masked

TURNS = 5
SECONDS = 1.0
SIZES = {"16 KiB": 16 << 10, "1 MiB": 1 << 20}
HANDSHAKE = (
    b"GET /echo/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
VIEW = """
from dwebsocket import require_websocket

@require_websocket
def echo(request):
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=True)
"""


def rate(running: Running, size: int) -> float:
    """Messages a second."""
    with socket.create_connection((running.host, running.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(HANDSHAKE)
        while not client.recv(4096).endswith(b"\r\n\r\n"):
            pass
        frame = masked(BINARY, bytes(size))
        # The server's frame has no mask, which takes four bytes.
        answer = memoryview(bytearray(len(frame) - 4))
        count, begin = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < SECONDS:
            client.sendall(frame)
            received = 0
            while received < len(answer):
                received += client.recv_into(answer[received:])
            count += 1
        client.sendall(masked(0x8, b"\x03\xe8"))
        return count / elapsed


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers: dict[str, Running] = {}
        for name in ("ours", *SERVERS):
            project = Project(Path(folder) / name)
            stack.callback(project.close)
            if name != "ours":
                make_foreign(project)
            project.write("views.py", VIEW)
            project.urls('path("echo/", views.echo)')
            if name == "ours":
                servers[name] = project.run()
                continue
            foreign: Foreign = start(project, name)
            stack.callback(foreign.end)
            servers[name] = foreign.wait_until_up()
        best = {(name, size): 0.0 for name in servers for size in SIZES}
        for _ in range(TURNS):
            for (name, size), fastest in best.items():
                best[name, size] = max(fastest, rate(servers[name], SIZES[size]))
        for size in SIZES:
            for name in servers:
                share = best[name, size] / best["ours", size]
                print(f"{size:>7} {name:<10} {best[name, size]:>9.0f} messages/s  {share:5.2f} of ours")


if __name__ == "__main__":
    main()
