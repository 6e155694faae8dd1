"""An RTSP server for tests (RFC 2326): one stream, made by ffmpeg, over the connection of each client."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

_PUBLIC = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"

# A key frame every half second, so that who comes waits no longer for one.
_PICTURES = "-re -f lavfi -i testsrc2=size=320x180:rate=25 -pix_fmt yuv420p -c:v libx264 -g 12 -bf 0"
_FAST = "-preset ultrafast -tune zerolatency -flags +global_header"


def made_by_ffmpeg(*target: str) -> subprocess.Popen[bytes]:
    """An endless stream of 320 by 180 pixels, made at its own pace."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the Debian package ffmpeg")
    command = [program, "-v", "error", "-nostdin", *_PICTURES.split(), *_FAST.split(), *target]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


class RtspServer:
    """Passes the RTP packets of ffmpeg on to all who play, interleaved in their connection (section 10.12).

    Attributes:
        url: the stream.
        connections: how many clients have connected so far.
    """

    def __init__(self, directory: Path) -> None:
        self.connections = 0
        self._description = directory / "stream.sdp"
        self._playing: set[socket.socket] = set()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.bind(("127.0.0.1", 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/stream"
        target = f"rtp://127.0.0.1:{self._packets.getsockname()[1]}?pkt_size=1200"
        self._ffmpeg = made_by_ffmpeg("-f", "rtp", "-sdp_file", str(self._description), target)
        self._threads = [threading.Thread(target=run) for run in (self._accept, self._relay)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends ffmpeg and every connection."""
        self._ffmpeg.kill()
        self._ffmpeg.wait()
        for one in (self._listener, self._packets, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        # Whoever waits for a packet gets the last.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._packets.getsockname())
        for thread in self._threads:
            thread.join()
        for one in (self._listener, self._packets, *self._open):
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._open.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=[client]))
                self._threads[-1].start()

    def _relay(self) -> None:
        while packet := self._packets.recv(65536):
            with self._lock:
                for client in list(self._playing):
                    try:
                        client.sendall(struct.pack("!cBH", b"$", 0, len(packet)) + packet)
                    except OSError:
                        self._playing.discard(client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client.makefile("rb") as requests:
            while first := requests.read(1):
                if first == b"$":  # an RTCP report
                    _, length = struct.unpack("!BH", requests.read(3))
                    requests.read(length)
                    continue
                line = first + requests.readline()
                fields = dict(field.split(b": ", 1) for field in iter(requests.readline, b"\r\n"))
                method = line.split()[0].decode()
                answer, body = self._answer(method)
                sequence = fields[b"CSeq"].decode().strip()
                head = "\r\n".join(["RTSP/1.0 200 OK", f"CSeq: {sequence}", *answer, "", ""])
                with self._lock:
                    client.sendall(head.encode() + body)
                    if method == "PLAY":
                        self._playing.add(client)
        with self._lock:
            self._playing.discard(client)

    def _answer(self, method: str) -> tuple[list[str], bytes]:
        if method == "DESCRIBE":
            body = self._description.read_bytes() + b"a=control:track\r\n"
            return ["Content-Type: application/sdp", f"Content-Length: {len(body)}"], body
        if method == "SETUP":
            return ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"], b""
        return [_PUBLIC, "Session: 1"], b""


@pytest.fixture
def rtsp_server(tmp_path: Path) -> Iterator[RtspServer]:
    """A server that describes its stream as soon as ffmpeg does."""
    server = RtspServer(tmp_path)
    yield server
    server.close()
