"""The certificate that gunicorn's settings name.

Its arbiter reads it: when it starts, and again at a reload (SIGHUP). So every worker of a configuration
shows the same one, also one that is started later, and only the arbiter's user has to be able to read the
private key. A new certificate that cannot be used does not end a service that has one.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from .. import _core


def load(config: Any) -> _core.Tls | None:
    """Reads what a configuration of gunicorn names; None: it names no certificate.

    Raises:
        ValueError: it cannot be used; names the settings and the files.
    """
    if not config.certfile:
        return None
    names = [name for name in ("certfile", "keyfile", "ca_certs") if getattr(config, name)]
    try:
        certificate = Path(config.certfile).read_bytes()
        # As in Python's ssl, the private key may be in the same file.
        key = Path(config.keyfile).read_bytes() if config.keyfile else certificate
        authorities = None
        if config.cert_reqs != ssl.CERT_NONE and config.ca_certs:
            authorities = Path(config.ca_certs).read_bytes()
        return _core.Tls(certificate, key, authorities, config.cert_reqs == ssl.CERT_REQUIRED)
    except (OSError, ValueError) as error:
        files = ", ".join(f"{name} {getattr(config, name)}" for name in names)
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{files}: {reason}") from error


class Certificate:
    """What the arbiter of this process has read last."""

    def __init__(self) -> None:
        self._config: Any = None
        self._tls: _core.Tls | None = None

    def begin(self, config: Any) -> None:
        """Reads it for the first time.

        Raises:
            ValueError: as ``load``.
        """
        self._tls = load(config)
        self._config = config

    def current(self, config: Any, log: Any) -> _core.Tls | None:
        """What a worker is to show. To be called by the arbiter.

        Args:
            config: gunicorn's, which is another object after each reload.
            log: gunicorn's; told of a certificate that cannot be used. The one before it is shown then, if
                there was one.
        """
        if config is not self._config:
            self._config = config
            try:
                self._tls = load(config)
            except ValueError as error:
                kept = "The one before it stays in use until the next reload." if self._tls else ""
                log.error("The certificate cannot be used: %s. %s", error, kept)
        return self._tls
