"""Views in the shape of those that public projects wrote for dwebsocket: consoles, logs, chats, prices."""

from __future__ import annotations

import json
import queue
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path
from dwebsocket import accept_websocket, require_websocket
from dwebsocket.backends.default.websocket import DefaultWebSocket
from sites import Site, close_of
from sockets import until

SiteMaker = Callable[..., Site]


# -- the console of a game server: select over a telnet connection and the WebSocket --------------------
class Console:
    """Relays between a socket of the network and a WebSocket, until either ends."""

    def __init__(self, websocket: Any, port: int) -> None:
        self.websocket = websocket
        self.port = port
        self.telnet: socket.socket | None = None

    def run(self) -> None:
        try:
            self.telnet = socket.create_connection(("127.0.0.1", self.port))
        except OSError:
            self.websocket.send("没有连接到服务器")
            self.close()
            return
        telnet, watched = self.telnet.fileno(), self.websocket.protocol.sock.fileno()
        while True:
            readable, _, _ = select.select([telnet, watched], [], [], 0.1)
            if telnet in readable:
                data = self.telnet.recv(4096)
                if not data:
                    break
                self.websocket.send(data)
            if watched in readable:
                command = self.websocket.read()
                if command is None:
                    break
                if command:
                    self.telnet.sendall(command + b"\r\n")
        self.close()

    def close(self) -> None:
        if self.telnet is not None:
            self.telnet.close()
        self.websocket.close()


@accept_websocket
def console(request: HttpRequest) -> None:
    Console(request.websocket, int(request.GET["port"])).run()


@pytest.fixture
def game() -> Iterator[socket.socket]:
    """A listening socket; the console is its client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_console_relays_in_both_directions(site: SiteMaker, game: socket.socket) -> None:
    running = site(path("", console))
    with running.connect(f"/?port={game.getsockname()[1]}") as client:
        telnet, _ = game.accept()
        with telnet:
            client.send("look")
            client.send("")
            client.send("go north")
            received = b""
            while len(received) < len(b"look\r\ngo north\r\n"):
                received += telnet.recv(4096)
            assert received == b"look\r\ngo north\r\n"
            telnet.sendall("你在森林里".encode())
            assert client.recv(timeout=10) == "你在森林里"


def test_a_console_ends_with_either_of_its_two_sides(site: SiteMaker, game: socket.socket) -> None:
    running = site(path("", console))
    with running.connect(f"/?port={game.getsockname()[1]}") as client:
        telnet, _ = game.accept()
        telnet.close()
        assert close_of(client) == (1000, "")
    with running.connect(f"/?port={game.getsockname()[1]}"):
        telnet, _ = game.accept()
    with telnet:
        telnet.settimeout(10)
        assert telnet.recv(1) == b""


def test_a_console_without_a_server_says_so_and_closes(site: SiteMaker, game: socket.socket) -> None:
    port = game.getsockname()[1]
    game.close()
    with site(path("", console)).connect(f"/?port={port}") as client:
        assert client.recv(timeout=10) == "没有连接到服务器"
        assert close_of(client) == (1000, "")


# -- a terminal: one thread for all shells sends, the views only read ----------------------------------
class Shells(threading.Thread):
    """Takes the output of every shell and hands it to the WebSocket it belongs to."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.output: queue.Queue[tuple[Any, str] | None] = queue.Queue()

    def run(self) -> None:
        while (one := self.output.get()) is not None:
            request, text = one
            request.websocket.send(text)


class WrongPassword(Exception):
    """The machine does not let the user in."""


@pytest.fixture
def shells() -> Iterator[Shells]:
    thread = Shells()
    thread.start()
    yield thread
    thread.output.put(None)
    thread.join()


def terminal_of(shells: Shells) -> Callable[..., None]:
    @require_websocket
    def terminal(request: HttpRequest) -> None:
        code, reason = 1000, "bye"
        try:
            while not request.websocket.has_messages():
                time.sleep(0.01)
            for message in request.websocket:
                data = json.loads(message)
                if data.get("password") == "wrong":
                    raise WrongPassword("the machine says no")
                if data.get("keys") == "\x04":
                    break
                shells.output.put((request, f"$ {data.get('keys', '')}"))
        except WrongPassword as error:
            code, reason = 4001, f"login failed: {error}"
        finally:
            request.websocket.close(code=code, reason=reason)

    return terminal


def test_the_output_of_a_terminal_comes_from_the_thread_of_all_shells(
    site: SiteMaker, shells: Shells
) -> None:
    running = site(path("", terminal_of(shells)))
    with running.connect() as first, running.connect() as second:
        for client, keys in ((first, "ls"), (second, "pwd")):
            client.send(json.dumps({"keys": keys}))
            assert client.recv(timeout=10) == f"$ {keys}"
        first.send(json.dumps({"keys": "\x04"}))
        assert close_of(first) == (1000, "bye")
        second.send(json.dumps({"keys": "é"}))
        assert second.recv(timeout=10) == "$ é"


def test_a_terminal_tells_by_its_own_code_that_the_login_failed(site: SiteMaker, shells: Shells) -> None:
    with site(path("", terminal_of(shells))).connect() as client:
        client.send(json.dumps({"password": "wrong"}))
        assert close_of(client) == (4001, "login failed: the machine says no")


# -- commands: the lines of a program, as it writes them ------------------------------------------------
@accept_websocket
def command(request: HttpRequest) -> HttpResponse | None:
    if not request.is_websocket():
        return HttpResponse(request.GET["message"])
    for message in request.websocket:
        if message is None:
            break
        if message.decode("utf-8") != "backup":
            request.websocket.send("没有权限".encode())
            continue
        program = "print('preparing', flush=True); print('已完成')"
        with subprocess.Popen(
            [sys.executable, "-X", "utf8", "-c", program], stdout=subprocess.PIPE
        ) as process:
            while True:
                line = process.stdout.readline().strip()
                request.websocket.send(line)
                if not line:
                    break
    return None


def test_the_lines_of_a_program_arrive_as_it_writes_them(site: SiteMaker) -> None:
    running = site(path("", command))
    assert running.get("/?message=over%20http") == (200, b"over http")
    with running.connect() as client:
        client.send("format the disk")
        assert client.recv(timeout=10) == "没有权限"
        client.send("backup")
        assert [client.recv(timeout=20) for _ in range(3)] == ["preparing", "已完成", ""]


# -- a log: sent line by line until the client says or does something -----------------------------------
def tail_of(file: Path, ended: threading.Event) -> Callable[..., None]:
    @accept_websocket
    def tail(request: HttpRequest) -> None:
        with file.open("rb") as log:
            while not request.websocket.is_closed():
                if request.websocket.has_messages():
                    request.websocket.close()
                    break
                line = log.readline()
                if line:
                    request.websocket.send(line.strip())
        ended.set()

    return tail


@pytest.mark.parametrize("how", ["says stop", "closes", "vanishes"])
def test_a_log_is_sent_until_its_reader_has_enough(site: SiteMaker, tmp_path: Path, how: str) -> None:
    log, ended = tmp_path / "server.log", threading.Event()
    log.write_text("first\nsecond\n", encoding="utf-8")
    running = site(path("", tail_of(log, ended)))
    with running.connect() as client:
        assert [client.recv(timeout=10) for _ in range(2)] == ["first", "second"]
        with log.open("a", encoding="utf-8") as file:
            file.write("第三行\n")
        assert client.recv(timeout=10) == "第三行"
        if how == "says stop":
            client.send("stop")
            assert close_of(client) == (1000, "")
        elif how == "closes":
            client.close()
        else:
            client.socket.shutdown(socket.SHUT_RDWR)
        assert ended.wait(10)


# -- a message centre: all pages of a user by the str of their sockets, filled by plain HTTP -------------
class Centre:
    """The pages of every user, and what they confirmed."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.confirmed: list[str] = []

    @property
    def urls(self) -> list[Any]:
        return [path("", accept_websocket(self.listen)), path("notify/", self.notify)]

    def listen(self, request: HttpRequest) -> None:
        user, lock = request.GET["user"], threading.RLock()
        try:
            lock.acquire()
            self.pages.setdefault(user, {})[str(request.websocket)] = request.websocket
            for message in request.websocket:
                for found in re.findall(r"{.*?}", str(message)):
                    self.confirmed.append(json.loads(found)["id"])
        finally:
            self.pages[user].pop(str(request.websocket))
            lock.release()

    def notify(self, request: HttpRequest) -> HttpResponse:
        user = request.GET["user"]
        for page in self.pages.get(user, {}).values():
            page.send(json.dumps({"title": request.GET["title"]}).encode("utf-8"))
        return HttpResponse(str(len(self.pages.get(user, {}))))


def test_a_message_reaches_all_pages_of_its_user_and_is_confirmed(site: SiteMaker) -> None:
    centre = Centre()
    running = site(*centre.urls)
    with running.connect("/?user=ann") as first, running.connect("/?user=bob") as stranger:
        with running.connect("/?user=ann") as second:
            until(lambda: [len(pages) for pages in centre.pages.values()] in ([2, 1], [1, 2]))
            assert running.get("/notify/?user=ann&title=news") == (200, b"2")
            for client in (first, second):
                assert json.loads(client.recv(timeout=10)) == {"title": "news"}
            second.send('{"id": "7"}')
        until(lambda: len(centre.pages["ann"]) == 1)
        assert running.get("/notify/?user=ann&title=more") == (200, b"1")
        assert json.loads(first.recv(timeout=10)) == {"title": "more"}
        stranger.send('{"id": "8"}')
        until(lambda: centre.confirmed == ["7", "8"])
    until(lambda: centre.pages == {"ann": {}, "bob": {}})


# -- groups of clients: objects around sockets, which poll until their socket is closed -------------------
class Member:
    """A client in a group."""

    def __init__(self, websocket: DefaultWebSocket, group: Group) -> None:
        self.websocket = websocket
        self.group = group

    def is_alive(self) -> bool:
        return not self.websocket.is_closed()

    def listen(self) -> None:
        while self.is_alive():
            message = self.websocket.read()
            if isinstance(message, bytes):
                self.group.send(message.decode().strip())
        self.group.left += 1

    def send(self, text: str) -> None:
        if self.is_alive():
            self.websocket.send(text)


class Group:
    """Everybody who talks to everybody."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.left = 0

    def send(self, text: str) -> None:
        for member in [one for one in self.members if one.is_alive()]:
            member.send(text)

    def join(self, request: HttpRequest) -> None:
        member = Member(request.websocket, self)
        self.members.append(member)
        member.listen()


def test_a_group_of_polling_members_hears_what_each_says_last(site: SiteMaker) -> None:
    group = Group()
    running = site(path("", accept_websocket(group.join)))
    with running.connect() as first, running.connect() as second:
        until(lambda: len(group.members) == 2)
        for client in (first, second):
            client.send("hello, 大家 ")
            for listener in (first, second):
                assert listener.recv(timeout=10) == "hello, 大家"
        # What is said just before a close is still read.
        first.send("goodbye")
        first.close()
        assert second.recv(timeout=10) == "goodbye"
        until(lambda: group.left == 1)
    until(lambda: group.left == 2)


# -- prices: pushed at an interval, until the client has gone ---------------------------------------------
def prices_of(ended: threading.Event) -> Callable[..., HttpResponse | None]:
    @accept_websocket
    def prices(request: HttpRequest) -> HttpResponse | None:
        if not request.is_websocket():
            return HttpResponse("for WebSockets")
        while not request.websocket.closed:
            if request.websocket.has_messages():
                message = request.websocket.read()
                if message is None:
                    break
            request.websocket.send(json.dumps([["000001", 12.5]]))
            time.sleep(0.01)
        ended.set()
        return None

    return prices


def test_prices_are_pushed_until_the_client_has_gone(site: SiteMaker) -> None:
    ended = threading.Event()
    running = site(path("", prices_of(ended)))
    with running.connect() as client:
        for _ in range(3):
            assert json.loads(client.recv(timeout=10)) == [["000001", 12.5]]
        client.send("thanks")
        assert json.loads(client.recv(timeout=10)) == [["000001", 12.5]]
    assert ended.wait(10)
