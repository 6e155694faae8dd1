"""The Django app: named first in ``INSTALLED_APPS``, it brings the ``runserver`` that serves WebSockets."""

from django.apps import AppConfig
from django.core.checks import register

from . import checks, unsupported


class DwebsocketConfig(AppConfig):
    """The checks of the project's settings."""

    name = "dwebsocket"
    verbose_name = "WebSockets (dwebsocket-rs)"

    def ready(self) -> None:
        """Registers the checks, and answers WebSockets where an ASGI server runs the project."""
        for check in checks.ALL:
            register(check, checks.TAG)
        unsupported.refuse_asgi_handshakes()
