"""What the log says of a page that may open no WebSocket here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import path
from dwebsocket import accept_websocket, notices
from sites import Site, refusal_of
from test_origin import OWN, REFUSED, STRANGER, may_open

SiteMaker = Callable[..., Site]


def warning_for(caplog: pytest.LogCaptureFixture, origin: str, **arguments: Any) -> str:
    """What the log says of a page that may not."""
    assert not may_open(origin, **arguments)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("dwebsocket", logging.WARNING)
    return record.getMessage()


def test_the_warning_names_the_origin_and_the_settings_to_change(caplog: pytest.LogCaptureFixture) -> None:
    assert warning_for(caplog, STRANGER) == (
        "WebSocket / of 127.0.0.1 refused with 403: its Origin is 'https://evil.example'. The request's own "
        "host is app.example, and no setting names this one. If it is a site of yours, add it to "
        "CSRF_TRUSTED_ORIGINS, or set WEBSOCKET_ALLOWED_ORIGINS, which has to name every origin then. If it "
        "is the very host, a proxy in front changes Host: let it pass on the browser's."
    )


def test_the_warning_where_every_page_is_let_in_without_cookies_says_what_that_means(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = warning_for(caplog, STRANGER, CORS_ALLOW_ALL_ORIGINS=True)
    assert "CORS_ALLOW_ALL_ORIGINS without CORS_ALLOW_CREDENTIALS is for requests without cookies" in said


def test_no_number_of_strangers_fills_the_log(
    site: SiteMaker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "SECONDS", 3600.0)
    running = site(path("", accept_websocket(lambda request: None)))
    for _ in range(13):
        assert refusal_of(lambda: running.connect(origin=STRANGER)) == REFUSED
    running.stop()
    # Neither we nor Django, which tells of every refusal that nobody has told of.
    told = [record for record in caplog.records if record.name in ("dwebsocket", "django.request")]
    assert [record.levelno for record in told] == [logging.WARNING] * 10


def test_the_warning_behind_a_proxy_that_tells_the_host_names_djangos_setting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = {"HTTP_X_FORWARDED_HOST": OWN}
    said = warning_for(caplog, f"https://{OWN}", host="127.0.0.1:8000", fields=fields, ALLOWED_HOSTS=["*"])
    assert said.endswith(
        "If the proxy in front sets X-Forwarded-Host itself, set USE_X_FORWARDED_HOST = True."
    )


@pytest.mark.parametrize("origin", ["null", "capacitor://localhost"])
def test_the_warning_for_what_is_no_site_names_only_our_setting(
    caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    said = warning_for(caplog, origin)
    assert f"its Origin is '{origin}'" in said
    assert said.endswith("set WEBSOCKET_ALLOWED_ORIGINS, which has to name every origin then.")
    assert "CSRF_TRUSTED_ORIGINS" not in said


def test_the_warning_where_origins_are_listed_names_the_list(caplog: pytest.LogCaptureFixture) -> None:
    said = warning_for(caplog, STRANGER, WEBSOCKET_ALLOWED_ORIGINS=[OWN])
    assert said.endswith(
        "WEBSOCKET_ALLOWED_ORIGINS does not name it. If it is a site of yours, add it there."
    )


def test_what_is_no_origin_reaches_the_log_short_and_without_control_characters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = warning_for(caplog, "evil\x1b[2J\nWARNING forged\xff" + "x" * 60_000)
    assert said.isprintable()
    assert said.isascii()
    assert len(said) < 500
    assert said.endswith("No browser sends such a one; another client may leave the field out.")
