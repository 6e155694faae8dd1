"""The example project under attack: its own settings, shorter times, and a log that a program can read.

All other settings of the server have their defaults.
"""

import json
import logging
import os

from article.settings import *  # noqa: F403 - settings build on settings
from limits import ADDRESS_LIMIT

ROOT_URLCONF = "hostile_urls"

WEBSOCKET_HEADER_TIMEOUT_SECONDS = 2.0
WEBSOCKET_BODY_TIMEOUT_SECONDS = 2.0
WEBSOCKET_WRITE_TIMEOUT_SECONDS = 2.0
WEBSOCKET_SEND_TIMEOUT_SECONDS = 2.0
WEBSOCKET_PING_INTERVAL_SECONDS = 2.0
WEBSOCKET_PING_TIMEOUT_SECONDS = 6.0
WEBSOCKET_CLOSE_TIMEOUT_SECONDS = 2.0

WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS = ADDRESS_LIMIT


class JsonLines(logging.Formatter):
    """Each record as a line: level, logger, message, and the traceback if there is one."""

    def format(self, record):
        """Gives the line."""
        line = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def as_warning(record):
    """Lowers what Django's security logger says of a request that it refused.

    Django does so at ERROR, whoever sent it; here the question is what the server finds wrong with itself.
    """
    record.levelno, record.levelname = min((record.levelno, record.levelname), (logging.WARNING, "WARNING"))
    return True


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "filters": {"as_warning": {"()": lambda: as_warning}},
    "handlers": {
        "file": {
            "class": "logging.FileHandler",
            "filename": os.environ.get("HOSTILE_LOG", os.devnull),
            "formatter": "json",
        },
        "security": {
            "class": "logging.FileHandler",
            "filename": os.environ.get("HOSTILE_LOG", os.devnull),
            "formatter": "json",
            "filters": ["as_warning"],
        },
    },
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        # The line of django.server tells the same, and of which request.
        "django.request": {"level": "ERROR"},
        "django.security": {"handlers": ["security"], "propagate": False},
    },
    "root": {"handlers": ["file"], "level": "INFO"},
}
