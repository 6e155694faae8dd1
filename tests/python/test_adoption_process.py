"""What adoption does to the process around it: to its signals and its children."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ADOPT = """
import json, os, signal, socket, sys, threading
from dwebsocket import _core

def adopt():
    server, client = socket.socketpair()
    environ = {
        "REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection = _core.adopt(environ, server.fileno(), lambda: b"", {}).accept()
    return connection, server, client
"""


def outcome(script: str) -> object:
    """What the script prints as JSON, in a process of its own."""
    # The sockets live until the end, and forks beside the runtime's thread are what is tested.
    ignored = ["-W", "ignore::ResourceWarning", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, "-W", "error", *ignored, "-c", ADOPT + script]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_a_signal_closes_the_sockets_and_still_reaches_its_handler() -> None:
    assert outcome(
        """
seen = []
signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
connection, *ends = adopt()
os.kill(os.getpid(), signal.SIGTERM)
connection.wait_readable(20)
print(json.dumps([seen, connection.close_reason]))
"""
    ) == [[15], [1001, "", "us"]]


def test_a_signal_that_a_child_gets_is_none_of_its_parents_business() -> None:
    assert outcome(
        """
signal.signal(signal.SIGTERM, lambda number, frame: os._exit(7))
connection, *ends = adopt()
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.write(tell, b"!")
    while True:
        signal.pause()
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
_, status = os.waitpid(child, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), connection.wait_readable(0.5), connection.close_reason]))
"""
    ) == [7, False, None]


def test_a_child_adopts_sockets_of_its_own() -> None:
    assert outcome(
        """
signal.signal(signal.SIGTERM, lambda number, frame: None)
connection, *ends = adopt()
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    other, *others = adopt()
    os.kill(os.getpid(), signal.SIGTERM)
    other.wait_readable(20)
    os.write(tell, json.dumps(other.close_reason).encode())
    os._exit(0)
os.close(tell)
with open(ready) as told:
    of_child = json.load(told)
os.waitpid(child, 0)
print(json.dumps([of_child, connection.close_reason]))
"""
    ) == [[1001, "", "us"], None]


def test_a_wait_for_a_lock_is_still_interrupted() -> None:
    assert (
        outcome(
            """
connection, *ends = adopt()
lock = threading.Lock()
lock.acquire()
try:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    lock.acquire(timeout=20)
except KeyboardInterrupt:
    print(json.dumps("interrupted"))
"""
        )
        == "interrupted"
    )


def test_a_signal_without_a_handler_ends_the_process_as_before() -> None:
    script = ADOPT + "connection, *ends = adopt()\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (-15, b"", b"")


def test_sockets_are_closed_with_1001_when_the_interpreter_ends() -> None:
    assert (
        outcome(
            """
import atexit
connection, server, client = adopt()
def read():
    # Runs behind what is registered later: the end of the sockets.
    received = b""
    while not received.endswith(b"\\x88\\x02\\x03\\xe9"):
        received += client.recv(1000)
    print(json.dumps("told"))
atexit.register(read)
import dwebsocket.handover
"""
        )
        == "told"
    )


def test_gevents_hub_forgets_a_descriptor_before_it_stands_for_another_file() -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    script = """
from gevent import monkey
monkey.patch_all()
import json, os, socket, gevent
from dwebsocket import waiting

server, client = socket.socketpair()
loop = gevent.get_hub().loop

def receive():
    greenlet = gevent.spawn(server.recv, 1)
    gevent.sleep(0)
    client.send(b"x")
    return greenlet.get(timeout=20).decode()

def is_watched():
    with open(f"/proc/self/fdinfo/{loop.fileno()}") as lines:
        watched = [line.split()[1] for line in lines if line.startswith("tfd:")]
    return str(server.fileno()) in watched

results = [loop.backend, receive(), is_watched()]
waiting.way().forget(server.fileno())
results.append(is_watched())
# A descriptor that is not watched has nothing to be forgotten, and one that was can be watched again.
waiting.way().forget(server.fileno())
# libev notes what is watched no more when it goes round next.
gevent.sleep(0.01)
print(json.dumps([*results, receive(), is_watched()]))
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == ["epoll", "x", True, False, "x", True]
