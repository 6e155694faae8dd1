"""A gigabyte in either direction, in flat memory."""

from __future__ import annotations

import contextlib
import os
import tempfile

import pytest
from serving import resident_bytes

pytestmark = [pytest.mark.slow, pytest.mark.alone]

MEGABYTE = 1 << 20
TOTAL = int(os.environ.get("DWEBSOCKET_LARGE_MEGABYTES", "1024")) * MEGABYTE
ALLOWANCE = 64 * MEGABYTE
BLOCK = b"\xa5" * MEGABYTE


class Peak:
    """The most memory seen above what was there at the start."""

    def __init__(self):
        self.start = resident_bytes()
        self.bytes = 0

    def look(self):
        self.bytes = max(self.bytes, resident_bytes() - self.start)


def test_an_upload_of_a_gigabyte_takes_no_memory(serve):
    peak = Peak()

    def application(environ, start_response):
        body, received = environ["wsgi.input"], 0
        while block := body.read(MEGABYTE):
            received += len(block)
            if received % (64 * MEGABYTE) == 0:
                peak.look()
        start_response("200 OK", [])
        return [str(received).encode()]

    with serve(application).connect() as connection:
        connection.sendall(
            b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % TOTAL
        )
        for _ in range(TOTAL // MEGABYTE):
            connection.sendall(BLOCK)
        assert connection.makefile("rb").read().endswith(b"\r\n\r\n%d" % TOTAL)
    assert peak.bytes < ALLOWANCE


@pytest.mark.parametrize("way", ["generator", "file_wrapper"])
def test_a_download_of_a_gigabyte_takes_no_memory(serve, way):
    peak = Peak()

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", str(TOTAL))])
        if way == "generator":
            return (BLOCK for _ in range(TOTAL // MEGABYTE))
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
        file.truncate(TOTAL)
        return environ["wsgi.file_wrapper"](file)

    received, buffer = 0, bytearray(MEGABYTE)
    with contextlib.closing(serve(application).http()) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        while count := response.readinto(buffer):
            before, received = received // (64 * MEGABYTE), received + count
            if received // (64 * MEGABYTE) != before:
                peak.look()
    assert received == TOTAL
    assert peak.bytes < ALLOWANCE
