"""A camera: `python -m video.source CLIP FPS` sends a clip over and over, by HTTP, to whoever asks.

It prints its port, then sends each picture when it is due, to all at once, and at the end of its
standard input prints one JSON object: `frames`, how many pictures the clip has, and `sent`, when each
was sent, in seconds of `CLOCK_MONOTONIC`. Nothing is encoded: the clip was, with a number drawn into
each picture, so that what a client gets tells when it was sent. A viewer begins at the next key frame.
One who does not read as fast as pictures come gets none from some backlog on until the next key frame,
as media servers do it.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import Final

from . import flv

_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
)
_MOST_BACKLOG_BYTES: Final = 2 << 20


class Viewer:
    """Somebody who has connected."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A key frame fits in: no part of it waits here for the next picture.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._request = b""
        self._backlog = bytearray()
        self._asked = False
        self._waits_for_key = True

    def receive(self, opening: bytes) -> bool:
        """Reads of the request what is there; False: they have gone."""
        try:
            piece = self.connection.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._request += piece
        if not self._asked and b"\r\n\r\n" in self._request:
            self._asked = True
            self._backlog += _ANSWER + opening
        return bool(piece) and self.flush()

    def show(self, picture: flv.Picture, tag: bytes) -> bool:
        """Sends a picture, unless it must wait for another; False: they have gone."""
        if not self._asked:
            return True
        if len(self._backlog) > _MOST_BACKLOG_BYTES:
            self._waits_for_key = True
        elif picture.is_key:
            self._waits_for_key = False
        if not self._waits_for_key:
            self._backlog += tag
        return self.flush()

    def flush(self) -> bool:
        """Sends as much as they take; False: they have gone."""
        try:
            while self._backlog:
                del self._backlog[: self.connection.send(self._backlog)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class Camera:
    """Sends a clip over and over.

    Attributes:
        began: when the first picture was due.
        sent: when each picture was sent.
    """

    def __init__(self, clip: flv.Clip, fps: float) -> None:
        self.sent: list[float] = []
        self._clip = clip
        self._fps = fps
        self._viewers: set[Viewer] = set()
        self._selector = selectors.DefaultSelector()
        self.began = time.monotonic()

    def run(self, listener: socket.socket, until: int) -> None:
        """Sends until the descriptor `until` can be read."""
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(until, selectors.EVENT_READ, until)
        while True:
            due = self.began + len(self.sent) / self._fps
            wait = due - time.monotonic()
            if wait <= 0:
                self._show_next()
                continue
            for key, _ in self._selector.select(wait):
                if key.data == until:
                    return
                if key.data is None:
                    self._accept(listener)
                elif not key.data.receive(self._clip.opening):
                    self._drop(key.data)

    def close(self) -> None:
        """Lets go of all viewers."""
        for viewer in list(self._viewers):
            self._drop(viewer)
        self._selector.close()

    def _show_next(self) -> None:
        number = len(self.sent)
        picture = self._clip.pictures[number % len(self._clip.pictures)]
        tag = flv.tag(flv.VIDEO, picture.data, round(1000 * number / self._fps))
        self.sent.append(time.monotonic())
        for viewer in list(self._viewers):
            if not viewer.show(picture, tag):
                self._drop(viewer)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            viewer = Viewer(listener.accept()[0])
            self._viewers.add(viewer)
            self._selector.register(viewer.connection, selectors.EVENT_READ, viewer)

    def _drop(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._selector.unregister(viewer.connection)
        viewer.connection.close()


def main() -> None:
    """Runs until the end of the standard input."""
    clip = flv.read(Path(sys.argv[1]))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        print(listener.getsockname()[1], flush=True)
        camera = Camera(clip, float(sys.argv[2]))
        camera.run(listener, sys.stdin.fileno())
        camera.close()
    print(json.dumps({"frames": len(clip.pictures), "sent": camera.sent}), flush=True)


if __name__ == "__main__":
    main()
