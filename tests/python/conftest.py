"""What every test has: Django settings, a warm runtime, and a check that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from asgiref.sync import sync_to_async
from descriptors import open_descriptors
from django.conf import settings

pytest_plugins = [
    *("browser", "projects", "demo", "serving", "sockets", "sites", "foreign", "gunicorns", "postgres"),
    "watching",
]

GRACE_SECONDS = 20.0
"""How long what a test stopped may take to be gone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--alone",
        choices=["only", "without"],
        help="runs the tests marked alone and no other, or all but those; without it, all",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what ``--alone`` says, and cuts the rest for processes that run side by side.

    One process gets all tests of a file; of the contract, all that talk to one server.
    """
    choice = config.getoption("--alone")
    if choice is not None:
        chosen, left_out = [], []
        for item in items:
            is_alone = item.get_closest_marker("alone") is not None
            (chosen if is_alone is (choice == "only") else left_out).append(item)
        items[:] = chosen
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        served = parameters.get("served")
        name = item.path.stem if served is None else f"the contract under {served.name}"
        item.add_marker(pytest.mark.xdist_group(name))


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.TemporaryDirectory(prefix="dwebsocket-tests-")
    config.add_cleanup(folder.cleanup)
    # A shell starts background jobs with SIGINT ignored, and the servers under test would inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=[
            "dwebsocket",
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                # No in-memory one: Django never closes those, and CPython 3.13 tells of each.
                "NAME": Path(folder.name) / "tests.sqlite3",
            }
        },
        LOGGING_CONFIG=None,
        ROOT_URLCONF="sites",
        STATIC_URL="/static/",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        # Each test that wants one has a folder of its own.
        WEBSOCKET_CONTROL_DIR=None,
    )
    django.setup()


@pytest.fixture(scope="session", autouse=True)
def _runtime() -> None:
    """Builds what stays as long as the process, before anything is counted: our runtime, asgiref's thread."""
    asyncio.run(sync_to_async(int)())
    from dwebsocket.server import Server

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(lambda environ, start_response: [], [listener], {})
        server.start()
        assert server.stop()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest, _runtime: None) -> Iterator[None]:
    """Fails a test that leaves a thread or a file descriptor behind."""
    threads = set(threading.enumerate())
    descriptors = open_descriptors()
    yield
    deadline = time.monotonic() + GRACE_SECONDS
    left = set(threading.enumerate()) - threads
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not [thread.name for thread in left if thread.is_alive()], "threads left over"
    # A descriptor closes on the runtime's thread, which tells nobody, or with its last object: that may be in
    # a cycle of references (an exception and its frame), or in what a fixture gave, which pytest keeps.
    request.node.funcargs.clear()
    while (more := open_descriptors() - descriptors) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert not more, "file descriptors left over"


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests logged takes no line away from this one."""
    from dwebsocket import notices

    monkeypatch.setattr(notices, "_kinds", {})
