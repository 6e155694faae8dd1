"""The suite of hostile clients can fail: servers that are wrong in known ways are found out."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE

# The clients that it starts say how late they were.
pytestmark = pytest.mark.alone

SUITE = Path(__file__).parents[1] / "hostile"


@contextmanager
def stub(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that gives each connection to `serve`, on a thread of its own; gives its port."""
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def attend(client: socket.socket) -> None:
        with client, suppress(ConnectionError):
            client.settimeout(PATIENCE)
            serve(client)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            if stopping.is_set():
                client.close()
                return
            threads.append(threading.Thread(target=attend, args=(client,)))
            threads[-1].start()

    stopping = threading.Event()
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopping.set()
        socket.create_connection(listener.getsockname()).close()
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join()


def take_handshake(client: socket.socket) -> None:
    """Answers whatever comes first with 101."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(1)
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    digest = hashlib.sha1((found[1] if found else b"") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
    )


def frames(client: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Opcodes and payloads of a client that masks with zeros and says little."""
    stream = client.makefile("rb")
    with stream:
        while len(start := stream.read(2)) == 2:
            stream.read(4)
            yield start[0] & 15, stream.read(start[1] & 127)


def says_goodbye_to_everything(client: socket.socket) -> None:
    take_handshake(client)
    client.sendall(b"\x88\x02\x03\xe8")
    client.shutdown(socket.SHUT_WR)
    while client.recv(1 << 16):
        pass


def attack(port: int, *names: str) -> tuple[int, str]:
    """Exit status and output of the suite."""
    command = [sys.executable, str(SUITE / "run.py"), "--port", str(port), "--only", *names]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.stderr == ""
    return run.returncode, run.stdout


def test_a_server_that_closes_with_1000_whatever_is_wrong_fails():
    with stub(says_goodbye_to_everything) as port:
        status, output = attack(port, "rsv1", "text-ff", "version-8", "behind-close")
    assert status == 1
    assert re.search(r"^rsv1: .*: FAILED, the answer was 'close 1000'", output, re.MULTILINE)
    assert re.search(r"^text-ff: .*: FAILED, the answer was 'close 1000'", output, re.MULTILINE)
    assert re.search(r"^version-8: .*: FAILED, the answer was '101, ", output, re.MULTILINE)
    assert re.search(r"^behind-close: .*: ok", output, re.MULTILINE)
    assert "==> 4 attacks, 3 failures" in output


def test_a_server_that_resets_fails():
    def resets(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with stub(resets) as port:
        status, output = attack(port, "hosts-two", "tls")
    assert status == 1
    assert "==> 2 attacks, 2 failures" in output


def talk(serve: Callable[[socket.socket], None], *options: str) -> list[str]:
    """What two clients with manners find wrong with a server."""
    with stub(serve) as port:
        command = [sys.executable, str(SUITE / "neighbours.py"), str(port), "--clients", "2", *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
            assert clients.stdout is not None
            assert clients.stdout.readline() == "ready\n"
            for _ in range(2):
                assert heard_enough.acquire(timeout=PATIENCE)
            report, _ = clients.communicate(timeout=2 * PATIENCE)
    assert clients.returncode == 0
    faults: list[str] = json.loads(report)["faults"]
    return faults


heard_enough = threading.Semaphore(0)
"""Counts the clients that have said what a test wants to hear, or have gone."""


def echo(change: Callable[[int, bytes], list[bytes]]) -> Callable[[socket.socket], None]:
    """A server whose answer to the message of a number is what `change` makes of it."""

    def serve(client: socket.socket) -> None:
        take_handshake(client)
        number = 0
        try:
            for number, (opcode, payload) in enumerate(frames(client)):
                if opcode == 8:
                    client.sendall(b"\x88\x02\x03\xe8")
                    break
                for answer in change(number, b"You said: " + payload):
                    client.sendall(bytes((0x81, len(answer))) + answer)
                if number == 8:
                    heard_enough.release()
        finally:
            if number < 8:
                heard_enough.release()

    return serve


def at_five(answers: Callable[[bytes], list[bytes]]) -> Callable[[int, bytes], list[bytes]]:
    return lambda number, answer: answers(answer) if number == 5 else [answer]


def test_a_server_that_echoes_all_is_found_without_fault():
    assert talk(echo(lambda number, answer: [answer])) == []


@pytest.mark.parametrize(
    "answers",
    [lambda answer: [], lambda answer: [answer, answer], lambda answer: [answer + b"!"]],
    ids=["lost", "doubled", "changed"],
)
def test_a_message_lost_doubled_or_changed_is_noticed(answers):
    faults = talk(echo(at_five(answers)))
    assert sorted(fault.partition(" got ")[0] for fault in faults) == ["client 0", "client 1"]


def test_messages_out_of_order_are_noticed():
    kept: dict[bytes, bytes] = {}

    def late(number: int, answer: bytes) -> list[bytes]:
        client = answer.partition(b"/")[0]
        if number == 5:
            kept[client] = answer
            return []
        return [answer, kept[client]] if number == 6 else [answer]

    faults = talk(echo(late))
    assert any("b'You said: 0/6'" in fault and "in place of 5" in fault for fault in faults)


def test_a_socket_that_is_cut_off_is_noticed():
    def cut_off(client: socket.socket) -> None:
        take_handshake(client)
        client.recv(100)
        heard_enough.release()

    faults = talk(cut_off)
    assert len(faults) == 2
    assert all("was cut off" in fault for fault in faults)


def test_the_last_message_lost_is_noticed():
    faults = talk(echo(lambda number, answer: [answer] if number < 8 else []), "--patience", "0.5")
    assert [re.sub(r"\d+ of \d+", "some", fault) for fault in sorted(faults)] == [
        "client 0 lost some messages",
        "client 1 lost some messages",
    ]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program of the suite, as a module; its own modules are forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(SUITE)
    yield importlib.import_module("run")
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('INFO "GET /chat/oneself/?rsv1 HTTP/1.1" closed 1002 by the server after 0.0 s', None),
        ("ERROR the application failed", "in the log: ERROR the application failed"),
        ('CRITICAL "GET /chat/oneself/?rsv1 HTTP/1.1"', "in the log: CRITICAL"),
        ("WARNING what is this", "no attack explains: WARNING what is this"),
        ('WARNING "GET /chat/oneself/?rsv1 HTTP/1.1" 400 7', "no attack explains"),
        ('INFO "GET /chat/oneself/?key-twice HTTP/1.1" 101 0', "key-twice is to leave no line"),
        ("WARNING Invalid HTTP_HOST header: 'evil.example'. You may", None),
    ],
)
def test_what_the_log_should_not_say_is_noticed(run, line, fault):
    faults = run.faults_in_log([line], list(enumerate(run.ATTACKS)))
    assert len(faults) == (fault is not None)
    assert all(fault in found for found in faults)


@pytest.mark.parametrize("kept", ["memory", "descriptors", "threads"])
def test_what_is_not_given_back_is_noticed(run, monkeypatch, kept):
    monkeypatch.setattr(run, "LINGER_SECONDS", 0)
    monkeypatch.setattr(run, "PATIENCE", 0)
    before = run.Usage(100 << 20, 200 << 20, 60, 54)
    at_most = {"memory": before.memory + (15 << 20), "descriptors": 60, "threads": 54}
    usage = {**at_most, "peak": before.peak}

    class Server:
        def usage(self) -> object:
            return run.Usage(**usage)

    assert run.not_given_back(Server(), before) == []
    usage[kept] += 1
    [fault] = run.not_given_back(Server(), before)
    assert fault.startswith(f"{kept} not given back")


def test_slow_round_trips_are_noticed(run):
    def report(p99: float, late: float = 0.0) -> dict[str, Any]:
        figures = {"count": 1000, "p99": p99}
        return {"periods": {"whole": figures}, "late": {"p99": late, "p100": late}, "faults": []}

    assert run.faults_of_neighbours(report(99.9)) == []
    [fault] = run.faults_of_neighbours(report(100.0))
    assert "100.0 ms, not below 100" in fault
    # What the clients themselves were late is not the server's fault.
    assert run.faults_of_neighbours(report(149.9, late=50.0)) == []
    assert run.faults_of_neighbours(report(150.0, late=50.0)) != []


def test_a_table_that_is_not_up_to_date_is_noticed(run):
    attacks = run.THEMES
    assert run.table.is_up_to_date(attacks)
    assert not run.table.is_up_to_date({**attacks, "HTTP": attacks["HTTP"][1:]})
