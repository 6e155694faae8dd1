"""Thousands of adopted sockets, one after the other: nothing of them stays in the server's process."""

from __future__ import annotations

import asyncio

import load
import pytest
from foreign import Foreign, Start
from sockets import until


def open_descriptors(running: Foreign) -> int:
    status, body = running.get("/descriptors/")
    assert status == 200
    return int(body)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "rounds"), [("runserver", 5_000), ("gthread", 2_500), ("gevent", 2_500)])
def test_thousands_of_sockets_leave_no_descriptor(serve_with: Start, name: str, rounds: int) -> None:
    running = serve_with(name)
    address = (running.host, running.port)
    # The first ones bring what stays: the runtime, a thread for each that is there at a time.
    assert asyncio.run(load.connect_echo_close(address, "/echo/", 200)) == 200
    before = open_descriptors(running)
    assert asyncio.run(load.connect_echo_close(address, "/echo/", rounds)) == rounds
    until(lambda: open_descriptors(running) <= before)
    running.stop()
    assert running.unexpected() == []
