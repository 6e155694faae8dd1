"""What an attack is, and what it is done with: sockets of an address of its own, and readers of answers."""

from __future__ import annotations

import itertools
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from log import Log

from wire import ACCEPT, BINARY, CLOSE, TEXT, UPGRADE

PATIENCE = 20.0
"""Seconds after which an answer that should have come counts as missing."""

ECHO = "/chat/oneself/"
"""The view of the example project that most attacks go to: it answers each message."""

STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: unique, of letters that a request target may have: requests carry it as their query.
        what: what the client does, in one sentence.
        run: does it, and gives the answer in the words of `answer`.
        answer: what the server is to answer, literally.
        log: what a line of the log has to say, with its level in front; the line names the attack or its
            address, or no attack at all. Empty: no line of the log names it.
        alone: takes so much of the machine that nothing else attacks meanwhile.
    """

    name: str
    what: str
    run: Callable[[Target], str]
    answer: str
    log: str = ""
    alone: bool = False


@dataclass(frozen=True)
class Target:
    """The server under attack, as one attack sees it.

    Attributes:
        port: where it listens, on 127.0.0.1.
        name: of the attack.
        number: of the attack, from 0: makes its addresses.
        log: the server's; None when it is none that this program started.
    """

    port: int
    name: str
    number: int
    log: Log | None = None

    def address(self, further: int = 0) -> str:
        """An address of the attack's own; it has 200 further ones."""
        return f"127.{1 + further}.{1 + self.number // 200}.{1 + self.number % 200}"

    def path(self, path: str = ECHO) -> bytes:
        """A request target that the log tells from those of other attacks."""
        return f"{path}?{self.name}".encode()

    def owns(self, line: str) -> bool:
        """Whether a line of the log names this attack: in a request's target, or by one of its addresses."""
        _, _, third, fourth = self.address().split(".")
        pattern = rf"\?{re.escape(self.name)}(?![\w.-])|\b127\.\d+\.{third}\.{fourth}\b"
        return re.search(pattern, line) is not None

    def wait_until_logged(self, words: str) -> None:
        """Waits for a line about this attack. Without a log there is nothing to wait for."""
        if self.log and not self.log.wait_for(lambda line: self.owns(line) and words in line, PATIENCE):
            raise AssertionError(f"the log does not say {words!r}")

    def connect(self, further: int = 0) -> socket.socket:
        """A TCP connection from one of the attack's addresses."""
        address = (self.address(further), 0)
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def open(self, path: str = ECHO, fields: bytes = b"", behind: bytes = b"", further: int = 0) -> Peer:
        """A WebSocket; `behind` goes into the same segment as the handshake.

        Raises:
            AssertionError: the handshake was not accepted.
        """
        client = self.connect(further)
        client.sendall(b"GET " + self.path(path) + b" HTTP/1.1\r\n" + UPGRADE + fields + b"\r\n" + behind)
        peer = Peer(client)
        head = peer.read_head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert ACCEPT in head, head
        return peer

    def request(self, request: bytes, *shown: bytes) -> str:
        """Sends a request as it is and reads to the end: see `http_answer`."""
        with self.connect() as client:
            send(client, request)
            return http_answer(client, *shown)

    def requests(self, *requests: bytes) -> str:
        """Each on a connection of its own; the answers, one for all if they are equal."""
        return merged(self.request(request) for request in requests)


class Peer:
    """The attacker's end of a WebSocket, which answers nothing by itself."""

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.head = b""
        self._stream = client.makefile("rb")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_head(self) -> bytes:
        """The head of the response."""
        self.head = b"".join(iter(self._stream.readline, b"\r\n"))
        return self.head

    def send(self, data: bytes) -> None:
        """Sends bytes as they are; a server that has closed meanwhile is no error."""
        send(self.socket, data)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """First byte and payload of each frame until the stream ends.

        Raises:
            ConnectionResetError: it ends with an RST.
            TimeoutError: nothing comes.
        """
        while len(start := self._stream.read(2)) == 2:
            length = start[1]
            if length == 126:
                (length,) = struct.unpack("!H", self._stream.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._stream.read(8))
            yield start[0], self._stream.read(length)

    def messages(self, count: int) -> list[bytes]:
        """The payloads of the next so many messages."""
        messages = (payload for first, payload in self.frames() if first & 15 in {TEXT, BINARY})
        return list(itertools.islice(messages, count))

    def ending(self) -> str:
        """Reads to the end.

        Returns:
            How many messages came, the close code, and how the stream ended if not as it should.
        """
        said: list[str] = []
        messages = 0
        try:
            for first, payload in self.frames():
                if said:
                    said.append(f"frame {first:#x} behind the Close")
                elif first & 15 == CLOSE:
                    code = struct.unpack("!H", payload[:2])[0] if payload else "without a code"
                    said.append(f"close {code}")
                else:
                    messages += first & 15 in {TEXT, BINARY}
        except ConnectionResetError:
            said.append("reset")
        if messages:
            said.insert(0, f"{messages} messages" if messages > 1 else "1 message")
        if not any(part.startswith("close") for part in said):
            said.append("no Close")
        return ", ".join(said)

    def close(self) -> None:
        """Goes away without a Close."""
        self._stream.close()
        self.socket.close()

    def reset(self) -> None:
        """Goes away with an RST."""
        self._stream.close()
        reset(self.socket)


def reset(client: socket.socket) -> None:
    """Closes with an RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def send(client: socket.socket, data: bytes) -> None:
    """Sends bytes as they are; a server that has closed meanwhile is no error: its answer tells."""
    try:
        client.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def read_to_end(client: socket.socket) -> tuple[bytes, str]:
    """Everything until the server closes, and "reset" if it did so with an RST."""
    received = bytearray()
    try:
        while piece := client.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), ""


def http_answer(client: socket.socket, *shown: bytes) -> str:
    """Reads until the server closes.

    Args:
        client: the connection.
        *shown: names of fields in small letters that are part of the answer with their values.

    Returns:
        The statuses that came, the fields, and "reset" if the stream did not end as it should; "nothing" for
        none.
    """
    received, end = read_to_end(client)
    head = received.partition(b"\r\n\r\n")[0]
    parts = [status.decode() for status in STATUS.findall(received)]
    for name in shown:
        found = re.search(rb"(?im)^" + re.escape(name) + rb": *([^\r\n]*)", head)
        parts.append(f"{name.decode()}: {found[1].decode() if found else 'missing'}")
    return ", ".join([*parts, *([end] if end else [])]) or "nothing"


def merged(answers: Any) -> str:
    """One answer for several that should be equal."""
    return " / ".join(dict.fromkeys(answers))
