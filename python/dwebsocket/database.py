"""The rule of Django for database connections between two requests, for sockets that wait."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import django
from django.conf import settings
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("dwebsocket")


def close_old_connections() -> None:
    """Closes the calling thread's database connections that are broken or past their ``CONN_MAX_AGE``.

    A connection inside an ``atomic`` block stays. One that cannot even be closed is logged and given up.
    """
    if not settings.configured:
        return
    for connection in _open_connections():
        if connection.in_atomic_block:
            continue
        try:
            connection.close_if_unusable_or_obsolete()
        except Error:
            logger.warning(
                "The database connection %r broke as it was closed.", connection.alias, exc_info=True
            )


def _open_connections() -> Iterable[BaseDatabaseWrapper]:
    if django.VERSION < (4, 1):
        return connections.all()
    return connections.all(initialized_only=True)
