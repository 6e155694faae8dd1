"""Live streams for tests that come as far as they do, and then no further."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

_PICTURES = "testsrc2=size=96x54:rate=25:duration=3"
_QUICK = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast")

# What libavformat numbers the streams it writes to MPEG-TS with.
VIDEO, SOUND = 0x100, 0x101

_TS_PACKET = 188
_DATAGRAM = 7 * _TS_PACKET


def made(
    path: Path, *options: str, sound: bool = False, begins: float = 0.0, pictures: str = _PICTURES
) -> Path:
    """A stream from ffmpeg, whose pictures begin so many seconds after its sound."""
    command = ["ffmpeg", "-v", "error", "-itsoffset", str(begins), "-f", "lavfi", "-i", pictures]
    if sound:
        command += ["-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac"]
    if path.suffix == ".flv":
        # With these it would be a recording.
        command += ["-flvflags", "no_duration_filesize"]
    subprocess.run([*command, *_QUICK, *options, path], check=True, timeout=60)
    return path


def without(data: bytes, program: int, packets: int | None = None) -> bytes:
    """An MPEG-TS (ISO/IEC 13818-1) without the first PES packets of one of its streams, or all."""
    kept, begun = [], 0
    for at in range(0, len(data), _TS_PACKET):
        packet = data[at : at + _TS_PACKET]
        if int.from_bytes(packet[1:3]) & 0x1FFF == program:
            begun += packet[1] >> 6 & 1
            if packets is None or begun <= packets:
                continue
        kept.append(packet)
    return b"".join(kept)


def described_late(data: bytes) -> bytes:
    """An FLV (Adobe's format, annex E) that says nothing of its video before the first picture."""
    tags, at = [], 13
    while at < len(data):
        end = at + 11 + int.from_bytes(data[at + 1 : at + 4]) + 4
        tags.append(data[at:end])
        at = end
    sound = [tag for tag in tags if tag[0] == 8]
    description, *pictures = (tag for tag in tags if tag[0] == 9)
    assert (description[12], pictures[0][12]) == (0, 1)

    def milliseconds(tag: bytes) -> int:
        return tag[7] << 24 | int.from_bytes(tag[4:7])

    before = [tag for tag in sound if milliseconds(tag) < milliseconds(pictures[0])]
    behind = sorted(pictures + sound[len(before) :], key=milliseconds)
    return b"".join([data[:13], *before, description, *behind])


@contextlib.contextmanager
def held(data: bytes) -> Iterator[str]:
    """A url by HTTP of a stream that has come so far: its connections stay open, and nothing more comes."""
    clients: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                with contextlib.suppress(ConnectionError):
                    while b"\r\n\r\n" not in client.recv(65536):
                        pass
                    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/stream"
        finally:
            for one in (listener, *clients):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in clients:
                client.close()


def send_datagrams(data: bytes, port: int) -> None:
    """Sends an MPEG-TS by UDP, no faster than a receiver takes it."""
    pause = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for at in range(0, len(data), _DATAGRAM):
            sender.sendto(data[at : at + _DATAGRAM], ("127.0.0.1", port))
            pause.wait(0.002)
