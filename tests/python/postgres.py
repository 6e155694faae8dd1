"""A pytest plugin: a PostgreSQL of the tests' own, in a temporary folder (Debian package `postgresql`)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFIGURATION = """
# No TCP: all that is left of the port is the number in the name of the Unix socket, in a folder of its own.
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 60
superuser_reserved_connections = 3
fsync = off
"""
USER = "dwebsocket"


def find_program(name: str) -> str | None:
    """A program of the newest PostgreSQL that is installed; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


class Postgres:
    """A running cluster.

    Attributes:
        folder: where its Unix socket is, which is what clients call the host.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._control = find_program("pg_ctl")
        # It refuses to run as root.
        self._as: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        initdb = find_program("initdb")
        assert initdb is not None
        options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale", f"--username={USER}"]
        self._run(initdb, "--pgdata", str(self._data), *options)
        with (self._data / "postgresql.conf").open("a", encoding="ascii") as file:
            file.write(CONFIGURATION.format(folder=folder))
        self.control("start")

    def control(self, command: str, *options: str) -> None:
        """`pg_ctl start`, `stop` or `restart`; returns when it is done."""
        assert self._control is not None
        log = ("--log", str(self.folder / "log"))
        self._run(self._control, command, "--wait", "--pgdata", str(self._data), *log, *options)

    def restart(self) -> None:
        """A crash: every connection breaks off, and nobody says goodbye."""
        self.control("restart", "--mode", "immediate")

    def execute(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """One statement on a connection of its own: its rows."""
        import psycopg

        where = {"host": str(self.folder), "user": USER, "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement, arguments)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def connections(self, name: str) -> list[int]:
        """The backends of the clients that call themselves so."""
        statement = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY backend_start"
        return [pid for (pid,) in self.execute(statement, name)]

    def _run(self, *command: str) -> None:
        # What it leaves running must hold no pipe of ours.
        with (self.folder / "output").open("w+", encoding="utf-8") as output:
            status = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=60,
                check=False,
                **self._as,
            ).returncode
            output.seek(0)
            assert status == 0, output.read()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster of this process of the tests, without durability."""
    pytest.importorskip("psycopg", reason="psycopg has no wheel here")
    if find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with tempfile.TemporaryDirectory(prefix="dwebsocket-postgres-", ignore_cleanup_errors=True) as folder:
        cluster = Postgres(Path(folder))
        try:
            yield cluster
        finally:
            cluster.control("stop", "--mode", "immediate")
