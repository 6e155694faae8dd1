"""The system checks: each message in the case it is for, and silence otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

import pytest
from django.core.checks import run_checks
from django.core.management import get_commands
from django.test import override_settings
from dwebsocket import checks
from projects import Project

STATICFILES = "django.contrib.staticfiles"


@pytest.fixture(autouse=True)
def _fresh_commands() -> Iterator[None]:
    """Django finds the commands once per process."""
    get_commands.cache_clear()
    yield
    get_commands.cache_clear()


def ids() -> list[str]:
    return [message.id or "" for message in run_checks(tags=[checks.TAG])]


def test_a_right_project_gets_no_message() -> None:
    assert ids() == []


def test_our_app_behind_staticfiles_is_an_error_that_names_it() -> None:
    with override_settings(INSTALLED_APPS=[STATICFILES, "dwebsocket"]):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.E001"
    assert f"'dwebsocket' stands behind '{STATICFILES}'" in message.msg


def test_our_app_before_staticfiles_but_behind_others_is_no_error() -> None:
    with override_settings(INSTALLED_APPS=["django.contrib.contenttypes", "dwebsocket", STATICFILES]):
        assert ids() == []


def test_an_unknown_setting_is_a_warning_with_the_nearest_name() -> None:
    with override_settings(WEBSOCKET_MAX_MESSAGE_BITES=1):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.W001"
    assert message.msg.startswith("WEBSOCKET_MAX_MESSAGE_BITES ")
    assert message.hint == "Did you mean WEBSOCKET_MAX_MESSAGE_BYTES?"


def test_an_unknown_setting_that_resembles_none_may_be_another_packages() -> None:
    with override_settings(WEBSOCKET_XYZZY=1):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.W001"
    assert "another package" in (message.hint or "")


def test_a_value_of_the_wrong_type_is_an_error_that_says_what_is_demanded() -> None:
    with override_settings(WEBSOCKET_PING_TIMEOUT_SECONDS="20"):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.E002"
    assert message.msg == "WEBSOCKET_PING_TIMEOUT_SECONDS must be a number of seconds above 0, not '20'."


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.Factory", "cannot be imported"),
        ("dwebsocket.factory.Nothing", "cannot be imported"),
        ("dwebsocket.conf.Setting", "has no create_websocket()"),
    ],
)
def test_a_factory_class_that_cannot_make_websockets_is_an_error(path: str, words: str) -> None:
    with override_settings(WEBSOCKET_FACTORY_CLASS=path):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.E003"
    assert words in message.msg


@pytest.mark.parametrize(
    "path",
    [
        "dwebsocket.factory.WebSocketFactory",
        "dwebsocket.backends.default.factory.WebSocketFactory",
        "dwebsocket.backends.uwsgi.factory.uWsgiWebSocketFactory",
    ],
)
def test_the_old_factory_paths_are_no_error(path: str) -> None:
    with override_settings(WEBSOCKET_FACTORY_CLASS=path):
        assert ids() == []


def test_a_factory_class_of_the_wrong_type_is_reported_once() -> None:
    with override_settings(WEBSOCKET_FACTORY_CLASS=42):
        assert ids() == ["dwebsocket.E002"]


def test_the_middleware_in_middleware_classes_is_a_warning() -> None:
    with override_settings(MIDDLEWARE_CLASSES=["dwebsocket.middleware.WebSocketMiddleware"], MIDDLEWARE=[]):
        assert ids() == ["dwebsocket.W002"]


def test_the_middleware_in_both_settings_is_no_warning() -> None:
    path = "dwebsocket.middleware.WebSocketMiddleware"
    with override_settings(MIDDLEWARE_CLASSES=[path], MIDDLEWARE=[path]):
        assert ids() == []


def test_the_original_distribution_beside_ours_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: {"dwebsocket": object()}[name])
    assert ids() == ["dwebsocket.W003"]


@pytest.mark.parametrize("name", ["CORS_ALLOW_ALL_ORIGINS", "CORS_ORIGIN_ALLOW_ALL"])
def test_sockets_open_to_every_page_by_a_setting_of_another_app_are_a_warning(name: str) -> None:
    with override_settings(**{name: True, "CORS_ALLOW_CREDENTIALS": True}):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.W004"
    assert "WEBSOCKET_ALLOWED_ORIGINS" in (message.hint or "")


@pytest.mark.parametrize("listed", ["*", [], ["https://example.com"]], ids=["all", "none", "one"])
def test_sockets_open_to_the_pages_that_were_listed_are_no_warning(listed: object) -> None:
    both = {"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": True}
    with override_settings(**both, WEBSOCKET_ALLOWED_ORIGINS=listed):
        assert ids() == []


@pytest.mark.parametrize("name", ["CORS_ALLOW_ALL_ORIGINS", "CORS_ALLOW_CREDENTIALS"])
def test_answers_to_every_page_without_cookies_open_no_socket_and_are_no_warning(name: str) -> None:
    with override_settings(**{name: True}):
        assert ids() == []


def test_a_malformed_origin_in_the_settings_is_an_error_that_shows_how_one_looks() -> None:
    with override_settings(WEBSOCKET_ALLOWED_ORIGINS=["https://example.com/"]):
        (message,) = run_checks(tags=[checks.TAG])
    assert message.id == "dwebsocket.E002"
    assert "such as 'https://example.com'" in message.msg


def test_manage_py_check_prints_our_messages(project: Project) -> None:
    project.settings('INSTALLED_APPS = [*INSTALLED_APPS[1:], "dwebsocket"]\nWEBSOCKET_TEXT_AS_STRING = True')
    result = project.manage("check")
    assert result.returncode == 1
    assert "dwebsocket.E001" in result.stderr
    assert "Did you mean WEBSOCKET_TEXT_AS_STR?" in result.stderr
