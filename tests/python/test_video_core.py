"""The two extensions: one hands its rooms to the other, if they fit together."""

from __future__ import annotations

import pytest
from clip import run_python

pytest.importorskip("dwebsocket_video", reason="dwebsocket-rs-video is not built here", exc_type=ImportError)

_IMPORT = """
import ctypes
import dwebsocket._core as core

{change}
try:
    import dwebsocket_video
except ImportError as error:
    print(error)
"""

_OTHER_VERSION = """
version = ctypes.c_uint32(999)
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
name = b"{name}"
core._feed_api = new_capsule(ctypes.addressof(version), name, None)
"""

_NAME = "dwebsocket._core._feed_api"


def test_the_two_extensions_of_one_release_fit_together() -> None:
    done = run_python(_IMPORT.format(change=""))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_core_of_another_version_is_refused_before_anything_of_it_is_used() -> None:
    done = run_python(_IMPORT.format(change=_OTHER_VERSION.format(name=_NAME)))
    assert "do not fit together: the core's table of rooms is of version 999, not 2" in done.stdout
    assert "Install both in the same version" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_a_core_without_rooms_is_refused() -> None:
    for change in ("del core._feed_api", "core._feed_api = 1"):
        done = run_python(_IMPORT.format(change=change))
        assert "do not fit together: the core has no table of rooms" in done.stdout
        assert (done.returncode, done.stderr) == (0, "")


def test_another_capsule_is_not_taken_for_the_table() -> None:
    done = run_python(_IMPORT.format(change=_OTHER_VERSION.format(name="datetime.datetime_CAPI")))
    assert done.returncode != 0
    assert "ValueError" in done.stderr
