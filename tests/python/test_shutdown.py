"""The interpreter ends cleanly with sockets open, however it ends and whatever their views do."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import PATIENCE
from websockets.sync.client import connect

ROUNDS = int(os.environ.get("DWEBSOCKET_SHUTDOWN_ROUNDS", "1"))

SOCKETS = ("receive", "poll", "sleep", "compute", "send", "json")

PROGRAM = """
import atexit, datetime, select, signal, sys, threading, time

from dwebsocket import _core
from serving import Serving

atexit.register(_core.shutdown)
started = threading.Semaphore(0)


def application(environ, start_response):
    way = environ["PATH_INFO"].strip("/")
    if way == "stream":
        start_response("200 OK", [])
        return stream()
    connection = environ["dwebsocket.upgrade"].accept()
    connection.send("open")
    started.release()
    if way == "receive":
        connection.receive()
    while True:
        # These views ignore the end of their sockets: nothing but the end of the process stops them.
        try:
            match way:
                case "poll":
                    connection.wait_readable(0.001)
                case "sleep":
                    time.sleep(0.001)
                case "compute":
                    sum(range(10_000))
                case "send":
                    connection.send(b"message")
                case "json":
                    _core.to_json([datetime.date(2020, 2, 2)] * 100)
        except OSError:
            pass


def stream():
    started.release()
    while True:
        yield b"x" * 10_000


serving = Serving(application).start()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(8))
print(serving.port, flush=True)
for _ in range(int(sys.argv[2])):
    started.acquire()
try:
    print("ready", flush=True)
    # In short waits: a signal that comes right before a system call does not interrupt it.
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        pass
except KeyboardInterrupt:
    sys.exit(9)
match sys.argv[1]:
    case "sys.exit":
        sys.exit(7)
    case "exception":
        sys.excepthook = lambda *_: None
        raise LookupError("the end")
"""


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize(
    ("way", "status"), [("sys.exit", 7), ("exception", 1), ("return", 0), ("SIGTERM", 8), ("SIGINT", 9)]
)
def test_the_process_ends_with_its_status_and_says_nothing(way, status, round_):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, way, str(len(SOCKETS) + 1)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        text=True,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(end, process)
        port = int(process.stdout.readline())
        for view in SOCKETS:
            client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/{view}", close_timeout=0))
            assert client.recv() == "open"
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        stream.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        if way.startswith("SIG"):
            process.send_signal(signal.Signals[way])
            # The pipe stays open meanwhile: what ends the process is the signal.
            assert process.wait(PATIENCE) == status
        output, errors = process.communicate(None if way.startswith("SIG") else "end\n", timeout=PATIENCE)
        seconds = time.monotonic() - began
    assert (process.returncode, output, errors) == (status, "", "")
    assert seconds < 15


def end(process):
    """Leaves nothing behind, also if the test failed."""
    if process.poll() is None:
        process.kill()
    with process:
        pass
