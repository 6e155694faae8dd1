"""Plays the scenarios: starts the servers, is the clients, and collects what both sides saw."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sockets import masked

from . import closing, closing_ourselves, frames, middleware, receiving, requests, sending, users
from .scenario import PATIENCE, SCENARIOS, Scenario, See, shown, until

FILES = (receiving, frames, sending, closing, closing_ourselves, requests, middleware, users)
"""Importing them filled SCENARIOS."""

HANDSHAKE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}
KINDS = {0x81: "text", 0x82: "binary", 0x88: "close", 0x89: "ping", 0x8A: "pong"}
AT_A_TIME = 8
THE_VIEW_RAN = (101, 200)


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    body: str


class Server:
    """A server process that plays the scenarios of one project."""

    def __init__(self, command: list[str], project: str, log: Path) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
        environ |= {
            "DJANGO_SETTINGS_MODULE": "original.settings",
            "DJANGO_RUNSERVER_HIDE_WARNING": "true",
            "ORIGINAL_PROJECT": project,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.port = 0

    def wait_until_up(self) -> None:
        """Waits until it listens, and learns on which port."""
        process = psutil.Process(self._process.pid)

        def listens() -> bool:
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            listening = [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
            self.port = listening[0].laddr.port if listening else 0
            return bool(listening)

        until(listens, 60)

    def end(self) -> None:
        """Ends it, and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


class Client:
    """A client of which every byte is known; it answers nothing by itself."""

    def __init__(self, port: int, request: str, asked: dict[str, str | None], behind: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"{request} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in asked.items() if value is not None]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + behind)
        self._stream = self._socket.makefile("rb")
        self.first_line = self._stream.readline()
        answered = self.first_line.startswith(b"HTTP/1.1 ")
        self.status = int(self.first_line.split()[1]) if answered else 0
        fields = http.client.parse_headers(self._stream).items() if answered else ()
        self.fields = {name.lower(): value for name, value in fields}

    def body(self) -> str:
        """The body of an answer that is not 101; what stands there instead of an answer."""
        if self.status == 0:
            return shown(self.first_line)
        if self.fields.get("transfer-encoding") == "chunked":
            pieces = []
            while size := int(self._stream.readline(), 16):
                pieces.append(self._stream.read(size))
                self._stream.readline()
            return b"".join(pieces).decode()
        length = self.fields.get("content-length")
        return self._stream.read(-1 if length is None else int(length)).decode()

    def send(self, *frames: tuple[int, bytes]) -> None:
        """Sends frames, all at once."""
        self.send_bytes(*(masked(opcode, payload) for opcode, payload in frames))

    def send_bytes(self, *pieces: bytes) -> None:
        """Sends bytes as they are, all at once."""
        self._socket.sendall(b"".join(pieces))

    def send_what_is_taken(self, *frames: tuple[int, bytes]) -> None:
        """Sends frames to a server that may refuse them."""
        with suppress(ConnectionError):
            self.send(*frames)

    def receive(self, intact: bytes = b"", reason: bool = True) -> str:
        """The next frame in words.

        Args:
            intact: if given, the one byte that the payload has to consist of.
            reason: of a Close, whether to show its reason (the wording of a library is its own).
        """
        try:
            frame = self._frame(intact)
            return frame if reason else " ".join(frame.split()[:2])
        except ConnectionError:
            # Whether the end comes as FIN or RST depends on what the server has not read.
            return "the end of the stream"

    def _frame(self, intact: bytes) -> str:
        head = self._stream.read(2)
        if len(head) < 2:
            return "the end of the stream"
        if head == b"HT":
            return (head + self._stream.readline()).decode().strip()
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._stream.read(8))
        payload = self._stream.read(length)
        kind = KINDS.get(head[0], hex(head[0]))
        if intact:
            return f"{kind} of {len(payload)} bytes, {'intact' if not payload.strip(intact) else 'cut'}"
        if kind == "close" and len(payload) >= 2:
            return f"close {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}"
        return f"{kind} {shown(payload)}"

    def rest(self) -> str:
        """What still comes until the server closes the connection, once its Close is answered."""
        received = bytearray()
        with suppress(ConnectionError):
            self.send((0x8, b"\x03\xe8"))
        with suppress(ConnectionError):
            while piece := self._stream.read1(1 << 16):
                received += piece
        return shown(bytes(received).split(b"\r\n")[0])

    def wait_readable(self) -> None:
        """Waits until something has come."""
        assert select.select([self._socket], [], [], PATIENCE)[0], "nothing came"

    def stop_sending(self) -> None:
        """Closes its half of the connection."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Goes away with an RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Goes away without a Close frame."""
        self._stream.close()
        self._socket.close()


class Stage:
    """What the client of one scenario can do: ``there`` in the scenarios."""

    def __init__(self, name: str, port: int, closing: ExitStack) -> None:
        self._name = name
        self._port = port
        self._closing = closing
        self.requests = 0

    def open(self, path: str = "", behind: bytes = b"", **fields: str | None) -> Client:
        """Opens a WebSocket on the scenario's view."""
        client = self._connect(path, behind, fields)
        assert client.status == 101, client.status
        return client

    def handshake(self, path: str = "", method: str = "GET", **fields: str | None) -> Answer:
        """Asks for a WebSocket, which may be refused."""
        client = self._connect(path, b"", fields, method)
        return Answer(client.status, "" if client.status == 101 else client.body())

    def get(self, path: str = "") -> Answer:
        """A plain GET on the scenario's view."""
        answer = self._get(f"/{self._name}/{path}".replace(" ", "%20"))
        self._count(answer.status)
        return answer

    def say(self, word: str) -> None:
        """Says a word to the view."""
        assert self._get(f"/-/say/{self._name}/{word}/").status == 200

    def hear(self, word: str) -> None:
        """Waits for a word of the view."""
        assert self._get(f"/-/hear/{self._name}/{word}/").status == 200

    def result(self) -> dict[str, Any]:
        """What the views saw, once they are over."""
        answer = self._get(f"/-/result/{self._name}/{self.requests}/")
        assert answer.status == 200, "the view does not come to its end"
        seen: dict[str, Any] = json.loads(answer.body)
        return seen

    def _connect(
        self, path: str, behind: bytes, fields: dict[str, str | None], method: str = "GET"
    ) -> Client:
        target = f"/{self._name}/{path}".replace(" ", "%20")
        client = Client(self._port, f"{method} {target}", {**HANDSHAKE, **fields}, behind)
        self._closing.callback(client.close)
        self._count(client.status)
        return client

    def _count(self, status: int) -> None:
        self.requests += status in THE_VIEW_RAN

    def _get(self, target: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2 * PATIENCE)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        finally:
            connection.close()


def play(one: Scenario, server: Server) -> dict[str, Any]:
    """Plays one scenario: what its clients and its views saw."""
    assert one.client is not None, f"nobody plays {one.name}"
    see = See()
    with ExitStack() as closing:
        stage = Stage(one.name, server.port, closing)
        one.client(stage, see)
        # The views may be waiting for the clients to go.
        closing.close()
        seen = stage.result()
    return {
        **{f"client: {what}": value for what, value in see.seen.items()},
        **{f"view: {what}": value for what, value in seen.items()},
    }


Outcome = dict[str, Any] | BaseException


def play_all(commands: dict[str, Callable[[str], list[str]]], folder: Path) -> dict[str, dict[str, Outcome]]:
    """Plays every scenario on every server.

    Args:
        commands: by the name of a server, what starts it for a project.
        folder: takes logs and observations.

    Returns:
        By server and scenario, what was seen, or the exception that kept it from being seen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    projects = sorted({one.project for one in SCENARIOS.values()})
    with ExitStack() as stack:
        servers = {}
        for name, command in commands.items():
            for project in projects:
                log = folder / f"{name}-{project}.log".replace(" ", "-")
                server = Server(command(project), project, log)
                stack.callback(server.end)
                servers[name, project] = server
        for server in servers.values():
            server.wait_until_up()
        pool = stack.enter_context(ThreadPoolExecutor(AT_A_TIME))
        futures = {
            (name, one.name): pool.submit(play, one, servers[name, one.project])
            for one in SCENARIOS.values()
            for name in commands
        }
        outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in commands}
        for (name, title), future in futures.items():
            outcomes[name][title] = future.exception() or future.result()
    for name, outcome in outcomes.items():
        text = json.dumps(outcome, indent=2, ensure_ascii=False, default=repr)
        (folder / f"{name}.json".replace(" ", "-")).write_text(text, encoding="utf-8")
    return outcomes
