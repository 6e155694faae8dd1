"""That the threads of many views which wait do not slow down each other's wakes."""

from __future__ import annotations

import ctypes

import pytest
from projects import Project

PR_FUTEX_HASH, SET_SLOTS, GET_SLOTS = 78, 1, 2
VIEWS = f"""
import ctypes
from django.http import HttpResponse

def slots(request):
    return HttpResponse(ctypes.CDLL(None).prctl({PR_FUTEX_HASH}, {GET_SLOTS}))
"""

pytestmark = pytest.mark.skipif(
    not hasattr(prctl := ctypes.CDLL(None), "prctl") or prctl.prctl(PR_FUTEX_HASH, GET_SLOTS) < 0,
    reason="the system has one table of waiting threads for all processes (Linux before 6.17)",
)


def slots(project: Project) -> int:
    """How many the table of the server's process has."""
    project.write("views.py", VIEWS)
    project.urls('path("slots/", views.slots)')
    return int(project.run().get("/slots/")[1])


def test_table_is_made_for_as_many_views_as_may_wait(project: Project) -> None:
    project.settings("WEBSOCKET_MAX_CONNECTIONS = 5000")
    # Four threads in each, and a power of two.
    assert slots(project) == 2048


def test_larger_table_is_left_as_it_is(project: Project) -> None:
    project.settings(
        "import ctypes\n"
        f"assert ctypes.CDLL(None).prctl({PR_FUTEX_HASH}, {SET_SLOTS}, 32768, 0) == 0\n"
        "WEBSOCKET_MAX_CONNECTIONS = 5000"
    )
    assert slots(project) == 32768


def test_choice_of_the_table_of_all_processes_is_kept(project: Project) -> None:
    project.settings(
        f"import ctypes\nassert ctypes.CDLL(None).prctl({PR_FUTEX_HASH}, {SET_SLOTS}, 0, 0) == 0"
    )
    assert slots(project) == 0
