"""Database connections of views that wait, on a real PostgreSQL, under runserver and the gunicorn worker."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import django
import pytest
from gunicorns import Gunicorn
from load import wait_until
from postgres import USER, Postgres
from projects import Project, Running
from serving import PATIENCE
from sockets import TEXT, RawClient, until

pytestmark = pytest.mark.skipif(django.VERSION < (4, 2), reason="Django knows psycopg 3 from 4.2 on")

SETTINGS = """
import importlib.util, os
import django

def database(name, **options):
    return {
        "ENGINE": "django.db.backends.postgresql", "HOST": %r, "USER": %r, "NAME": "postgres",
        "OPTIONS": {"application_name": os.environ["SERVED_BY"] + name, **options.pop("OPTIONS", {})},
        **options,
    }

DATABASES = {
    "default": database("default"),
    "other": database("other"),
    "aged": database("aged", CONN_MAX_AGE=1),
    "hour": database("hour", CONN_MAX_AGE=3600),
    "kept": database("kept", CONN_MAX_AGE=None),
    "checked": database("checked", CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True),
    "manual": database("manual", AUTOCOMMIT=False),
}
if django.VERSION >= (5, 1) and importlib.util.find_spec("psycopg_pool"):
    DATABASES["pooled"] = database(
        "pooled", CONN_HEALTH_CHECKS=True, OPTIONS={"pool": {"min_size": 1, "max_size": 2, "timeout": 20}}
    )

# A test has many clients, and one that it has no time for answers none.
WEBSOCKET_PING_INTERVAL_SECONDS = None
"""

VIEWS = """
import time
from django.db import DatabaseError, connections, models, transaction
from dwebsocket import accept_websocket

class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "notes"
        db_table = "notes"

def backend(using):
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return str(cursor.fetchone()[0])

def answer(using):
    try:
        return backend(using)
    except DatabaseError as error:
        return type(error).__name__

@accept_websocket
def ask(request, using):
    request.websocket.send(answer(using))
    for message in request.websocket:
        if message is not None:
            request.websocket.send(answer(using))

@accept_websocket
def ask_in_slices(request, using):
    request.websocket.handle = lambda opcode, data: None
    ask.__wrapped__(request, using)

@accept_websocket
def ask_several(request, using):
    names = using.split("+")
    request.websocket.send(" ".join(map(answer, names)))
    with transaction.atomic(names[0]):
        request.websocket.send(backend(names[0]))
        request.websocket.wait()

@accept_websocket
def poll(request, using):
    request.websocket.send(answer(using))
    while not request.websocket.closed:
        if request.websocket.has_messages() and request.websocket.read() is not None:
            request.websocket.send(answer(using))
        time.sleep(0.01)

@accept_websocket
def push(request, using):
    while not request.websocket.closed:
        request.websocket.send(answer(using))
        time.sleep(0.01)

@accept_websocket
def burst(request, using):
    request.websocket.send(answer(using))
    # Then the whole burst is there, so that no wait blocks.
    while request.websocket.count_messages() < 9:
        time.sleep(0.01)
    for _ in range(9):
        request.websocket.wait()
        request.websocket.send(answer(using))

class Undo(Exception):
    pass

@accept_websocket
def atomic(request, using):
    try:
        with transaction.atomic(using):
            Note.objects.using(using).create(text="first")
            request.websocket.send(backend(using))
            if request.websocket.wait() == b"undo":
                raise Undo
            request.websocket.send(backend(using))
    except Undo:
        pass
    request.websocket.send("done")
    request.websocket.wait()

@accept_websocket
def by_hand(request, using):
    if using != "manual":
        transaction.set_autocommit(False, using)
    Note.objects.using(using).create(text="first")
    request.websocket.send(backend(using))
    request.websocket.wait()
    request.websocket.send(backend(using))
    transaction.commit(using)
    if using != "manual":
        transaction.set_autocommit(True, using)
    request.websocket.send("done")
    request.websocket.wait()

@accept_websocket
def rows(request, using):
    for note in Note.objects.using(using).order_by("id").iterator(chunk_size=5):
        request.websocket.send(note.text)
        request.websocket.wait()
    request.websocket.send("done")
    request.websocket.wait()

@accept_websocket
def first_row(request, using):
    request.websocket.send(next(Note.objects.using(using).order_by("id").iterator(chunk_size=5)).text)
    request.websocket.wait()
"""
NAMES = (
    "ask", "ask_in_slices", "ask_several", "poll", "push", "burst", "atomic", "by_hand", "rows", "first_row",
)  # fmt: skip


class Site:
    """A project on PostgreSQL, and its clients."""

    def __init__(self, name: str, running: Running, postgres: Postgres) -> None:
        self.name = name
        self.postgres = postgres
        self._running = running
        self.clients = ExitStack()
        # Django before 5.1 keeps the connection by which runserver has looked for migrations.
        self._before = set(postgres.connections(f"{name}default"))

    def connect(self) -> socket.socket:
        return socket.create_connection((self._running.host, self._running.port), PATIENCE)

    def open(self, path: str) -> Client:
        client = Client(self, path)
        self.clients.callback(client.close)
        return client

    def held(self, alias: str = "default") -> list[int]:
        """The backends that serve its views under an alias."""
        return [pid for pid in self.postgres.connections(self.name + alias) if pid not in self._before]

    def holds(self, number: int, alias: str = "default") -> None:
        """Waits until it has so many."""
        assert wait_until(lambda: len(self.held(alias)) == number, PATIENCE), self.held(alias)

    def notes(self) -> list[str]:
        return [text for (text,) in self.postgres.execute("SELECT text FROM notes ORDER BY id")]


class Client(RawClient):
    def hears(self) -> str:
        frame = self.receive()
        assert frame is not None, "the connection broke off"
        first, payload = frame
        assert first == 0x81, (first, payload)
        return payload.decode()

    def asks(self, message: bytes = b"?") -> str:
        self.send(TEXT, message)
        return self.hears()


@pytest.fixture(scope="module", params=["runserver", "gunicorn"])
def _site(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    name = request.param
    folder: Path = tmp_path_factory.mktemp(name)
    project = Project(folder / "site")
    project.settings(SETTINGS % (str(postgres.folder), USER))
    project.write("views.py", VIEWS)
    project.urls(*(f'path("{view}/<using>/", views.{view})' for view in NAMES))
    postgres.execute("CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text)")
    if name == "runserver":
        running = project.run(SERVED_BY=name)
    else:
        pytest.importorskip("gunicorn", reason="gunicorn is not installed")
        environ = {**project._environ(), "SERVED_BY": name}
        running = Gunicorn(project, ("--bind", "127.0.0.1:0"), environ).wait_until_up()
    try:
        yield Site(name, running, postgres)
        assert not [line for line in running.stderr.lines if "Traceback" in line], running.stderr.lines
    finally:
        running.end()
        project.close()


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    """The site, without notes and, afterwards, without clients."""
    _site.postgres.execute("TRUNCATE notes")
    with _site.clients:
        yield _site
    # Views end with their clients, and with them what they held.
    until(lambda: not _site.held() and not _site.held("other"))


@pytest.mark.parametrize(("number", "view"), [(200, "ask"), (80, "poll")])
def test_idle_sockets_whose_views_have_used_the_database_hold_no_connection(
    site: Site, number: int, view: str
) -> None:
    # PostgreSQL would take 57.
    clients = [site.open(f"/{view}/default/") for _ in range(number)]
    assert all(client.hears().isdigit() for client in clients)
    site.holds(0)
    assert all(client.asks().isdigit() for client in (clients[0], clients[-1]))
    site.holds(0)


@pytest.mark.parametrize("view", ["ask", "ask_in_slices"])
def test_a_connection_past_its_age_closes_while_its_socket_goes_on_waiting(site: Site, view: str) -> None:
    client = site.open(f"/{view}/aged/")
    before = client.hears()
    assert before.isdigit()
    site.holds(0, "aged")
    after = client.asks()
    assert after.isdigit()
    assert after != before


@pytest.mark.parametrize("alias", ["hour", "kept", "checked"])
def test_a_connection_within_its_age_stays_over_the_waits(site: Site, alias: str) -> None:
    client = site.open(f"/ask/{alias}/")
    backend = client.hears()
    assert [client.asks(), client.asks()] == [backend, backend]
    assert site.held(alias).count(int(backend)) == 1


def test_a_restarted_database_heals_under_open_sockets(site: Site) -> None:
    names = ("default", "kept", "checked")
    clients = {name: site.open(f"/ask/{name}/") for name in names}
    pushed, burst = site.open("/push/kept/"), site.open("/burst/kept/")
    assert all(client.hears().isdigit() for client in clients.values())
    assert pushed.hears().isdigit()
    assert burst.hears().isdigit()
    site.postgres.restart()
    assert clients["default"].asks().isdigit()
    assert clients["checked"].asks().isdigit()
    # As between two requests, only without health checks does one query find out.
    assert clients["kept"].asks() in ("OperationalError", "InterfaceError")
    assert clients["kept"].asks().isdigit()
    # One that pushes and never waits meets the restart at some time.
    until(lambda: pushed.hears().endswith("Error"))
    until(lambda: pushed.hears().isdigit())
    # One that always finds a message never waits either.
    for _ in range(9):
        burst.send(TEXT, b"?")
    assert [burst.hears().isdigit() for _ in range(9)] == [False, *[True] * 8]


@pytest.mark.parametrize("message", [b"go on", b"undo"])
def test_a_wait_within_atomic_keeps_the_transaction(site: Site, message: bytes) -> None:
    client = site.open("/atomic/default/")
    backend = client.hears()
    # The one of this view, which waits in its transaction.
    assert [str(pid) for pid in site.held()] == [backend]
    assert site.notes() == []
    client.send(TEXT, message)
    heard = client.hears()
    if message == b"go on":
        assert heard == backend
        heard = client.hears()
    assert heard == "done"
    assert site.notes() == (["first"] if message == b"go on" else [])
    site.holds(0)


@pytest.mark.parametrize("alias", ["default", "manual"])
def test_a_wait_within_a_transaction_made_by_hand_keeps_it(site: Site, alias: str) -> None:
    client = site.open(f"/by_hand/{alias}/")
    backend = client.hears()
    assert site.notes() == []
    assert client.asks() == backend
    assert client.hears() == "done"
    assert site.notes() == ["first"]


def test_rows_of_an_iterator_outlive_the_waits_between_them(site: Site) -> None:
    texts = [f"note {number}" for number in range(23)]
    site.postgres.execute("INSERT INTO notes (text) SELECT unnest(%s::text[])", texts)
    client = site.open("/rows/default/")
    assert [client.hears(), *(client.asks() for _ in texts)] == [*texts, "done"]
    site.holds(0)


def test_an_iterator_that_was_given_up_holds_nothing(site: Site) -> None:
    site.postgres.execute("INSERT INTO notes (text) SELECT 'note' FROM generate_series(1, 20)")
    assert site.open("/first_row/default/").hears() == "note"
    site.holds(0)


def test_only_the_database_in_a_transaction_is_kept(site: Site) -> None:
    # Its thread may have one from before a restart: that of "kept" would first have to fail.
    client = site.open("/ask_several/default+other+checked/")
    kept = client.hears().split()[2]
    assert client.hears().isdigit()
    site.holds(1, "default")
    site.holds(0, "other")
    assert int(kept) in site.held("checked")


def test_sockets_give_the_connections_of_a_pool_back(site: Site) -> None:
    if django.VERSION < (5, 1):
        pytest.skip("Django has pools from 5.1 on")
    pytest.importorskip("psycopg_pool", reason="psycopg-pool is not installed")
    clients = [site.open("/ask/pooled/") for _ in range(20)]
    assert all(client.hears().isdigit() for client in clients)
    assert all(client.asks().isdigit() for client in clients)
    assert 1 <= len(site.held("pooled")) <= 2
    site.postgres.restart()
    assert all(client.asks().isdigit() for client in clients[:4])
