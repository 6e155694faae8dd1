"""nginx with the server block of the README, on a free port."""

from __future__ import annotations

import os
import re
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from gunicorns import Gunicorn
from projects import Running, free_port

TOP = Path(__file__).parents[2]

FRAME = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


def blocks(language: str) -> list[str]:
    """The blocks of the README in a language."""
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)


def snippet(replacements: dict[str, str]) -> str:
    """What the README shows of nginx, with other names; each of them has to be there."""
    (text,) = blocks("nginx")
    for old, new in replacements.items():
        assert old in text, f"{old!r} is not in the README's block for nginx"
        text = text.replace(old, new)
    return text


def program() -> str:
    """nginx; skips the test where there is none."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip("needs the Debian package nginx-light")
    return found


def configure(folder: Path, servers: str) -> Path:
    """Writes a configuration that keeps everything in the folder; gives its file."""
    # Its workers are nobody's otherwise, who may not look into the folders of a test.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(FRAME.format(folder=folder, user=user, servers=servers))
    return configuration


class Nginx(Running):
    """nginx in front of a gunicorn.

    Attributes:
        clients: what is closed with it.
    """

    def __init__(self, folder: Path, replacements: dict[str, str]) -> None:
        command = [program(), "-e", "stderr", "-p", str(folder), "-c"]
        self.folder = folder
        self.clients = ExitStack()
        # A port found free may be taken before nginx has it; then nginx ends, and another is tried.
        for _ in range(5):
            port = free_port()
            servers = snippet({"listen 443 ssl": f"listen 127.0.0.1:{port} ssl", **replacements})
            super().__init__([*command, str(configure(folder, servers))], folder, dict(os.environ))
            self.host, self.port, self.url = "127.0.0.1", port, f"https://127.0.0.1:{port}"
            if self._has_started():
                return
            self.wait(20)
        pytest.fail(f"nginx does not start: {self.stderr.lines}")

    def _has_started(self) -> bool:
        return "start worker process " in self.stderr.wait_for(r"start worker process |\[emerg\]").string

    def tcp(self) -> socket.socket:
        """A connection without TLS."""
        return socket.create_connection((self.host, self.port), timeout=20)

    def end(self) -> None:
        """Ends it and its clients."""
        super().end()
        self.clients.close()


def replacements(running: Gunicorn, certificate: Path, key: Path, static: Path) -> dict[str, str]:
    """What a test puts in place of the names in the README."""
    return {
        "unix:/run/project/gunicorn.sock": f"{running.host}:{running.port}",
        "/etc/ssl/project/certificate.pem": str(certificate),
        "/etc/ssl/project/key.pem": str(key),
        "/srv/project/static/": f"{static}/",
    }
