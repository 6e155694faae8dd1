"""The Django app: named first in ``INSTALLED_APPS``, it brings the ``runserver`` that serves WebSockets."""

from django.apps import AppConfig
from django.core.checks import register

from . import checks


class DwebsocketConfig(AppConfig):
    """Registers the checks of the project's settings."""

    name = "dwebsocket"
    verbose_name = "WebSockets (dwebsocket-rs)"

    def ready(self) -> None:
        """Registers the checks."""
        for check in checks.ALL:
            register(check, checks.TAG)
