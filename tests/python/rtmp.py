"""A real RTMP server for tests: nginx with its RTMP module on a free port, fed by ffmpeg."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "examples/article/media/sample.mp4"

_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_START_SECONDS = 30

_CONFIGURATION = """\
load_module {module};
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        application live {{ live on; record off; idle_streams {idle_streams}; }}
    }}
}}
"""


class RtmpServer:
    """One nginx and one ffmpeg that publishes the sample clip over and over, at its own pace.

    Args:
        directory: where nginx may write.
        idle_streams: whether viewers of a stream that nobody publishes are kept waiting, as is the default.
    """

    def __init__(self, directory: Path, *, idle_streams: bool = False) -> None:
        self._directory = directory
        self._idle_streams = idle_streams
        self.port = 0
        self.nginx = self._start_nginx()
        try:
            self.publisher = self._start_publisher()
        except BaseException:
            self.kill()
            raise

    @property
    def url(self) -> str:
        """The stream that ffmpeg publishes."""
        return f"rtmp://127.0.0.1:{self.port}/live/sample"

    def freeze_publisher(self) -> None:
        """Stop ffmpeg in its tracks: its connection stays open and nothing comes any more."""
        self.publisher.send_signal(signal.SIGSTOP)

    def kill_publisher(self) -> None:
        """End ffmpeg; nginx goes on."""
        _kill(self.publisher)

    def kill(self) -> None:
        """End nginx at once."""
        _kill(self.nginx)

    def stop(self) -> None:
        """End both."""
        self.kill()
        self.kill_publisher()

    def restart(self) -> None:
        """Start both again, on the same port."""
        self.nginx = self._start_nginx(self.port)
        self.publisher = self._start_publisher()

    def _start_nginx(self, port: int | None = None) -> subprocess.Popen[bytes]:
        configuration = self._directory / "nginx.conf"
        # A port found free may be taken before nginx has it; then nginx ends, and another is tried.
        for _ in range(5):
            self.port = port or _free_port()
            configuration.write_text(
                _CONFIGURATION.format(
                    module=_module(),
                    directory=self._directory,
                    port=self.port,
                    idle_streams="on" if self._idle_streams else "off",
                )
            )
            nginx = subprocess.Popen(
                [_program("nginx"), "-e", "stderr", "-p", self._directory, "-c", configuration],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            # It binds its port before it names the event method.
            if _wait_for_line(nginx.stderr, b"event method"):
                return nginx
            _kill(nginx)
        pytest.fail("nginx does not start")

    def _start_publisher(self) -> subprocess.Popen[bytes]:
        command = [
            _program("ffmpeg"),
            "-hide_banner",
            "-loglevel",
            "error",
            "-nostdin",
            "-progress",
            "pipe:1",
        ]
        command += ["-re", "-stream_loop", "-1", "-i", str(SAMPLE), "-c", "copy", "-f", "flv", self.url]
        publisher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        # The first report comes when the stream is accepted and packets flow.
        if _wait_for_line(publisher.stdout, b"progress=continue"):
            return publisher
        _kill(publisher)
        pytest.fail("ffmpeg does not publish")


@pytest.fixture
def rtmp_server(tmp_path: Path) -> Iterator[RtmpServer]:
    """A server whose stream ends for its viewers when the publisher goes."""
    server = RtmpServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def patient_rtmp_server(tmp_path: Path) -> Iterator[RtmpServer]:
    """A server that keeps viewers waiting when the publisher goes."""
    server = RtmpServer(tmp_path, idle_streams=True)
    yield server
    server.stop()


def _program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: nginx-light, libnginx-mod-rtmp, ffmpeg)")
    return found


def _module() -> str:
    for directory in _MODULES:
        module = Path(directory, "ngx_rtmp_module.so")
        if module.exists():
            return str(module)
    pytest.skip("nginx has no RTMP module (Debian: libnginx-mod-rtmp)")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for_line(stream: object, wanted: bytes) -> bool:
    """Read until a line holds `wanted`; False at the end of the stream or after `_START_SECONDS`."""
    descriptor = stream.fileno()
    limit = time.monotonic() + _START_SECONDS
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, limit - time.monotonic()))
        piece = os.read(descriptor, 65536) if ready else b""
        if not piece:
            return False
        seen += piece
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    # Not communicate(): what is left in the pipes is of no interest.
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
