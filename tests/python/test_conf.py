"""The table of settings and how they are read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from dwebsocket import _core, conf

ORIGINS = "a list of origins such as 'https://example.com' or hosts such as '.example.com', '*', or None"


@pytest.mark.parametrize("setting", conf.SETTINGS.values(), ids=lambda setting: setting.name)
def test_every_default_is_a_valid_value(setting: conf.Setting) -> None:
    assert setting.demand(setting.default) is None


@pytest.mark.parametrize("setting", conf.SETTINGS.values(), ids=lambda setting: setting.name)
def test_every_meaning_is_one_sentence(setting: conf.Setting) -> None:
    assert setting.meaning.endswith(".")
    assert setting.name.startswith("WEBSOCKET_")


def test_a_setting_that_is_not_there_has_its_default() -> None:
    assert conf.get("WEBSOCKET_MAX_MESSAGE_BYTES") == 16 * 1024 * 1024


def test_a_setting_is_read_again_after_override_settings() -> None:
    assert conf.get("WEBSOCKET_INBOX_MESSAGES") == 1024
    with override_settings(WEBSOCKET_INBOX_MESSAGES=7):
        assert conf.get("WEBSOCKET_INBOX_MESSAGES") == 7
    assert conf.get("WEBSOCKET_INBOX_MESSAGES") == 1024


@pytest.mark.parametrize(
    ("name", "value", "demanded"),
    [
        ("WEBSOCKET_MAX_MESSAGE_BYTES", 0, "a whole number of at least 1"),
        ("WEBSOCKET_MAX_MESSAGE_BYTES", "1", "a whole number of at least 1"),
        ("WEBSOCKET_MAX_MESSAGE_BYTES", True, "a whole number of at least 1"),
        ("WEBSOCKET_MAX_HEADER_BYTES", 8191, "a whole number of at least 8192"),
        ("WEBSOCKET_SEND_TIMEOUT_SECONDS", 0, "a number of seconds above 0"),
        ("WEBSOCKET_SEND_TIMEOUT_SECONDS", None, "a number of seconds above 0"),
        ("WEBSOCKET_SEND_TIMEOUT_SECONDS", float("inf"), "a number of seconds above 0"),
        ("WEBSOCKET_POLL_PARK_SECONDS", -0.1, "a number of seconds of at least 0"),
        ("WEBSOCKET_PING_INTERVAL_SECONDS", -1, "a number of seconds of at least 0, or None"),
        ("WEBSOCKET_SLOW_CLIENT", "drop", "'close' or 'drop_oldest'"),
        ("WEBSOCKET_ACCEPT_ALL", "False", "True or False"),
        ("WEBSOCKET_COMPRESSION", "deflate", "True or False"),
        ("WEBSOCKET_COMPRESSION_THRESHOLD_BYTES", 0, "a whole number of at least 1"),
        ("WEBSOCKET_COMPRESSION_WINDOW_BITS", 8, "a whole number from 9 to 15"),
        ("WEBSOCKET_COMPRESSION_WINDOW_BITS", 16, "a whole number from 9 to 15"),
        ("WEBSOCKET_CONTROL_DIR", "run", "the absolute path of a folder, 'auto', or None"),
        ("WEBSOCKET_FACTORY_CLASS", "Factory", "the dotted path of a class, as a string"),
        ("WEBSOCKET_FACTORY_CLASS", object, "the dotted path of a class, as a string"),
        *(
            ("WEBSOCKET_ALLOWED_ORIGINS", value, ORIGINS)
            for value in ("https://example.com", ["https://example.com/"], ["https://*"], [""], [None], True)
        ),
    ],
)
def test_a_value_that_will_not_do_is_refused_by_name(name: str, value: object, demanded: str) -> None:
    with override_settings(**{name: value}), pytest.raises(ImproperlyConfigured) as refused:
        conf.get(name)
    assert str(refused.value) == f"{name} must be {demanded}, not {value!r}."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBSOCKET_MAX_MESSAGE_BYTES", 1),
        ("WEBSOCKET_MAX_HEADER_BYTES", 8192),
        ("WEBSOCKET_SEND_TIMEOUT_SECONDS", 0.001),
        ("WEBSOCKET_POLL_PARK_SECONDS", 0),
        ("WEBSOCKET_PING_INTERVAL_SECONDS", None),
        ("WEBSOCKET_PING_INTERVAL_SECONDS", 0),
        ("WEBSOCKET_SLOW_CLIENT", "drop_oldest"),
        ("WEBSOCKET_ACCEPT_ALL", 1),
        ("WEBSOCKET_CONTROL_DIR", "/run/site"),
        ("WEBSOCKET_ALLOWED_ORIGINS", "*"),
        ("WEBSOCKET_ALLOWED_ORIGINS", []),
        ("WEBSOCKET_ALLOWED_ORIGINS", ["*", "null", ".example.com", "[::1]:8000"]),
        ("WEBSOCKET_ALLOWED_ORIGINS", ("https://*.bücher.example", "capacitor://localhost")),
        ("WEBSOCKET_COMPRESSION", 1),
        ("WEBSOCKET_COMPRESSION_WINDOW_BITS", 9),
        ("WEBSOCKET_COMPRESSION_WINDOW_BITS", 15),
    ],
)
def test_a_value_at_the_bound_is_taken(name: str, value: object) -> None:
    with override_settings(**{name: value}):
        assert conf.get(name) == value


def test_the_server_takes_every_name_of_its_configuration() -> None:
    server = _core.Server(lambda environ, start_response: [], [], conf.server_config(), lambda: None)
    assert server.counts["connections"] == 0


def output_of(source: str) -> str:
    """What a program prints in an interpreter of its own, without Django settings."""
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-c", source]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout


def test_without_django_settings_every_setting_has_its_default() -> None:
    names = ["WEBSOCKET_TEXT_AS_STR", "WEBSOCKET_MAX_HEADERS"]
    source = f"from dwebsocket import conf; print(*map(conf.get, {names}))"
    assert output_of(source) == "False 100\n"


def test_importing_the_package_reads_no_setting_and_loads_no_opencv() -> None:
    source = """
import sys
from django.conf import settings
import dwebsocket, dwebsocket.decorators, dwebsocket.middleware, dwebsocket.websocket, dwebsocket.factory
import dwebsocket.backends.default.factory, dwebsocket.backends.uwsgi.factory
print(settings.configured, "cv2" in sys.modules, "dwebsocket_video" in sys.modules)
"""
    assert output_of(source) == "False False False\n"
