"""A load of many WebSocket clients in one process: asyncio streams and literal frames.

Its own frames are masked with the key 0, so that the payload stands in the frame as it is (RFC 6455 section
5.3 asks for a mask, and any key will do for a test).
"""

from __future__ import annotations

import asyncio
import json
import math
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_CLOSE_1000 = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


def text_frame(payload: bytes) -> bytes:
    """A masked text frame of at most 125 bytes."""
    assert len(payload) <= 125
    return bytes((0x81, 0x80 | len(payload))) + b"\x00\x00\x00\x00" + payload


class Client:
    """One WebSocket over asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, host: str, port: int, path: str, headers: str = "") -> Client:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 ") or _ACCEPT not in head:
            writer.close()
            raise ConnectionError(head.decode("latin-1"))
        return cls(reader, writer)

    def send(self, payload: bytes) -> None:
        self.writer.write(text_frame(payload))

    async def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, length = await self.reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0x0F, await self.reader.readexactly(length)

    async def close(self) -> tuple[int, bytes]:
        """The closing handshake; gives the server's Close."""
        self.writer.write(_CLOSE_1000)
        while True:
            opcode, payload = await self.receive()
            if opcode == 8:
                break
        assert await self.reader.read() == b"", "bytes after the Close"
        self.abort()
        return opcode, payload

    def abort(self) -> None:
        """Lets go of the socket without a Close."""
        self.writer.close()


@dataclass
class Report:
    """What a load saw."""

    replies: int = 0
    wrong: int = 0
    seconds: float = 0.0


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether `condition` holds by then; for what another process does without telling."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def http_beside(address: tuple[str, int], path: str) -> Iterator[list[float]]:
    """A GET every 100 ms, from a process of its own so that the load does not delay it.

    The list holds the durations in seconds once the block has ended.
    """
    seconds: list[float] = []
    command = [sys.executable, __file__, address[0], str(address[1]), path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        yield seconds
        output, _ = probe.communicate()
    assert probe.returncode == 0
    seconds.extend(json.loads(output))


def probe_http(host: str, port: int, path: str) -> None:
    """The process of `http_beside`: ends with standard input, then prints what it measured."""
    seconds = []
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        begin = time.perf_counter()
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=60) as response:
            response.read()
        seconds.append(time.perf_counter() - begin)
    json.dump(seconds, sys.stdout)


async def open_many(address: tuple[str, int], path: str, clients: int, at_once: int = 50) -> list[Client]:
    """Opens `clients` sockets, `at_once` handshakes under way at a time."""
    gate = asyncio.Semaphore(at_once)

    async def connect() -> Client:
        async with gate:
            return await Client.open(*address, path)

    return await asyncio.gather(*(connect() for _ in range(clients)))


async def echo(clients: list[Client], rounds: int, report: Report) -> None:
    """Every client sends `rounds` messages, each after the reply to the one before."""

    async def talk(number: int, client: Client) -> None:
        for turn in range(rounds):
            payload = b"%d/%d" % (number, turn)
            client.send(payload)
            opcode, echoed = await client.receive()
            report.replies += 1
            report.wrong += (opcode, echoed) != (1, payload)

    begin = time.perf_counter()
    await asyncio.gather(*(talk(number, client) for number, client in enumerate(clients)))
    report.seconds = time.perf_counter() - begin


async def connect_echo_close(address: tuple[str, int], path: str, rounds: int, at_once: int = 16) -> int:
    """`rounds` times: open, echo one message, close. Gives the number of right echoes."""
    left = iter(range(rounds))
    right = 0

    async def worker() -> None:
        nonlocal right
        for number in left:
            client = await Client.open(*address, path)
            payload = b"%d" % number
            client.send(payload)
            received = await client.receive()
            right += received == (1, payload)
            await client.close()

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return right


if __name__ == "__main__":
    probe_http(sys.argv[1], int(sys.argv[2]), sys.argv[3])
