"""How many arenas malloc has for the threads of views, and that what they free goes back to the system."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from projects import Project
from sockets import until

THREADS = 24
VIEWS = f"""
import ctypes
import tempfile
import threading
from xml.etree import ElementTree
from django.http import HttpResponse

everybody = threading.Barrier({THREADS})

def arenas(request):
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    everybody.wait(30)
    held = bytes(20_000)
    everybody.wait(30)
    with tempfile.NamedTemporaryFile() as told:
        stream = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return HttpResponse(len(ElementTree.parse(told.name).findall("heap")))
"""

# Pieces of 8 KiB come from malloc itself; every sixteenth stays, so that no end of an arena becomes free.
PINNING = """
from django.http import HttpResponse

held = []

def allocate(request):
    pieces = [bytearray(8192) for _ in range(16384)]
    held.extend(pieces[::16])
    return HttpResponse(resident())

def look(request):
    return HttpResponse(resident())

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) >> 10
"""

pytestmark = pytest.mark.skipif(
    os.confstr("CS_GNU_LIBC_VERSION") is None if "CS_GNU_LIBC_VERSION" in os.confstr_names else True,
    reason="only glibc's malloc has arenas",
)


def most_arenas(project: Project, **environ: str) -> int:
    """Arenas while so many views run at the same time, each of which holds some memory."""
    project.write("views.py", VIEWS)
    project.urls('path("arenas/", views.arenas)')
    running = project.run(**environ)
    with ThreadPoolExecutor(THREADS) as clients:
        answers = list(clients.map(lambda _: running.get("/arenas/"), range(THREADS)))
    assert {status for status, _ in answers} == {200}
    return max(int(body) for _, body in answers)


def test_many_threads_share_two_arenas(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert most_arenas(project) <= 2


@pytest.mark.parametrize(
    "environ", [{"MALLOC_ARENA_MAX": "5"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=5"}], ids=str
)
def test_the_environment_says_how_many(
    project: Project, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert most_arenas(project, **environ) == 5


def test_what_views_have_freed_goes_back_to_the_system(project: Project) -> None:
    project.write("views.py", PINNING)
    project.urls('path("allocate/", views.allocate), path("look/", views.look)')
    running = project.run()
    before, full = (int(running.get(path)[1]) for path in ("/look/", "/allocate/"))
    assert full - before > 120
    # Of 128 MiB 8 are still in use.
    until(lambda: int(running.get("/look/")[1]) - before < 32)
