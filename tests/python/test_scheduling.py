"""How the operating system schedules the threads of views."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path
from dwebsocket import accept_websocket

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has SCHED_BATCH")


@accept_websocket
def policy(request: Any) -> HttpResponse | None:
    own = os.sched_getscheduler(0)
    if request.is_websocket():
        request.websocket.send(own)
        return None
    return HttpResponse(own)


def policies_of(name: str) -> set[int]:
    """Of the threads of this process with that name."""
    threads = [
        task for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text() == f"{name}\n"
    ]
    return {os.sched_getscheduler(int(task.name)) for task in threads}


def test_a_view_interrupts_nobody_when_it_is_woken_and_what_reads_for_it_does(site):
    served = site(path("", policy))
    with served.connect() as client:
        assert client.recv(timeout=10) == str(os.SCHED_BATCH)
    assert served.get() == (200, str(os.SCHED_BATCH).encode())
    assert policies_of("dwebsocket-io") == {os.SCHED_OTHER}


def test_where_that_is_not_allowed_views_run_all_the_same(site, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    served = site(path("", policy))
    with served.connect() as client:
        assert client.recv(timeout=10) == str(os.SCHED_OTHER)


def test_a_policy_that_the_process_was_given_stays(site, monkeypatch):
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_IDLE)
    changed = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: changed.append(given))
    assert site(path("", policy)).get() == (200, str(os.SCHED_IDLE).encode())
    assert changed == []
