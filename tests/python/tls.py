"""Certificates, and clients that speak TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import trustme
from sockets import CLOSE, HANDSHAKE, PING, PONG, TEXT, masked

HOST = "127.0.0.1"
CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(32)
"""The beginning of a TLS connection: record, handshake, version, random, and not its end."""


class Server(Protocol):
    """A gunicorn, or what stands in front of it."""

    port: int
    clients: ExitStack

    def tcp(self) -> socket.socket:
        """A connection without TLS."""


class Authority:
    """Issues certificates, and trusts them."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.name = name
        self._authority = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(self, certificate: Path, key: Path) -> bytes:
        """Writes a certificate for 127.0.0.1 and its private key; gives the certificate in DER."""
        issued = self._authority.issue_cert(HOST)
        issued.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def client(self, *identity: Path) -> ssl.SSLContext:
        """What a client needs that trusts this authority; shows the certificate and key given."""
        context = ssl.create_default_context(cafile=str(self.file))
        context.set_alpn_protocols(["h2", "http/1.1"])
        if identity:
            context.load_cert_chain(*identity)
        return context


class Served:
    """What the server shows, and how clients talk to it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.shown = self.authority.issue(self.certificate, self.key)
        self.options = ("--certfile", str(self.certificate), "--keyfile", str(self.key))
        self.context = self.authority.client()

    def renew(self) -> bytes:
        """Writes another certificate in the place of the one before; gives it in DER."""
        self.shown = self.authority.issue(self.certificate, self.key)
        return self.shown

    def connect(self, running: Server, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection in TLS, on which an end without close_notify is an error."""
        plain = running.tcp()
        return (context or self.context).wrap_socket(plain, server_hostname=HOST, suppress_ragged_eofs=False)

    def talk(self, running: Server, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """Sends bytes and reads to the end, which has to be told."""
        with self.connect(running, context) as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(1 << 16), b""))

    def get(self, running: Server, path: str, context: ssl.SSLContext | None = None) -> bytes:
        """A response, whole."""
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{running.port}\r\nConnection: close\r\n\r\n"
        return self.talk(running, request.encode(), context)

    def shows(self, running: Server) -> bytes | None:
        """The certificate that a new connection gets to see."""
        with self.connect(running) as client:
            return client.getpeercert(binary_form=True)

    def open(
        self,
        running: Server,
        path: str = "/echo/",
        context: ssl.SSLContext | None = None,
        fields: str = "",
    ) -> SecureSocket:
        """A WebSocket, which is closed with the server at the latest."""
        client = SecureSocket(self.connect(running, context))
        running.clients.callback(client.close)
        host = f"Host: {HOST}:{running.port}\r\n{fields}"
        client.shake_hands(HANDSHAKE.replace(b"Host: localhost\r\n", host.encode()) % path.encode())
        return client


class SecureSocket:
    """A WebSocket over TLS.

    The client of ``websockets`` reads in a thread of its own, which OpenSSL does not allow: with a CPython
    before 3.13 it loses a handshake now and then.
    """

    def __init__(self, client: ssl.SSLSocket) -> None:
        self._client = client
        self._stream = client.makefile("rb")

    def shake_hands(self, handshake: bytes) -> None:
        """Sends a handshake and reads the 101."""
        self._client.sendall(handshake)
        status = self._stream.readline()
        assert status.startswith(b"HTTP/1.1 101 "), status
        while self._stream.readline() != b"\r\n":
            pass

    def send(self, opcode: int, payload: bytes) -> None:
        """Sends a frame."""
        self._client.sendall(masked(opcode, payload))

    def receive_any(self) -> tuple[int, bytes] | None:
        """The opcode and the payload of the next frame; None at the end of the stream."""
        head = self._stream.read(2)
        if len(head) < 2:
            return None
        length = head[1]
        if length > 125:
            length = int.from_bytes(self._stream.read(2 if length == 126 else 8), "big")
        return head[0] & 0x0F, self._stream.read(length)

    def receive(self) -> tuple[int, bytes]:
        """As `receive_any`, but for Pings, which are answered; the stream must not end."""
        while True:
            frame = self.receive_any()
            assert frame is not None, "the stream has ended"
            if frame[0] != PING:
                return frame
            self.send(PONG, frame[1])

    def echoes(self, *messages: bytes) -> None:
        """Sends messages one by one, each of which has to come back."""
        for message in messages:
            self.send(TEXT, message)
            assert self.receive() == (TEXT, message)

    def end(self) -> int:
        """The code of the Close that has to be next; answers it and reads the end, which TLS has to tell."""
        opcode, payload = self.receive()
        assert opcode == CLOSE
        self.send(CLOSE, payload)
        assert self._stream.read() == b""
        return int.from_bytes(payload, "big")

    def close(self) -> None:
        """Goes away without Close and close_notify."""
        self._stream.close()
        self._client.close()
