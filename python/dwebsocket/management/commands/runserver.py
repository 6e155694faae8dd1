"""``manage.py runserver`` on our server: Django's command or another app's, with its server exchanged."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer

from django.apps import apps
from django.core.handlers.exception import convert_exception_to_response
from django.core.management import find_commands
from django.core.management.commands.runserver import Command as DjangoCommand
from django.utils import autoreload

from dwebsocket import _core, conf, server

RELOAD = 3
"""Exit status by which Django's autoreload asks its parent for a new process."""

_BACKLOG = 1024
_STOP_SECONDS = 1.0
# A reload has two seconds in all, of which finding the change and loading the project take most.
_RELOAD_STOP_SECONDS = 0.3
# Django looks once a second. Less leaves more of the two seconds to load the project, much less costs CPU.
_LOOK_FOR_CHANGES_SECONDS = 0.8
_CHILD_ENDS_ALONE_SECONDS = 0.25
_CHILD_ENDS_SECONDS = 1.5


def next_command() -> type[DjangoCommand]:
    """The ``runserver`` that would run if our app were not installed.

    Commands that bring a server which is not WSGI (Daphne's) are passed over: nothing would be left of them.
    """
    configs = list(apps.get_app_configs())
    names = [config.name for config in configs]
    below = configs[names.index("dwebsocket") + 1 :] if "dwebsocket" in names else []
    for config in below:
        if "runserver" not in find_commands(str(Path(config.path) / "management")):
            continue
        module = import_module(f"{config.name}.management.commands.runserver")
        command: type[DjangoCommand] = module.Command
        if issubclass(command, DjangoCommand) and issubclass(command.server_cls, WSGIServer):
            return command
    return DjangoCommand


if TYPE_CHECKING:
    NextCommand = DjangoCommand
else:
    NextCommand = next_command()


class Terminated(BaseException):
    """SIGTERM came. Nothing but ``Command.run`` may catch it."""


class DevelopmentServer:
    """Our server behind the interface that ``django.core.servers.basehttp.run`` uses."""

    daemon_threads = True

    def __init__(
        self, server_address: tuple[str, int], handler_class: type | None = None, ipv6: bool = False
    ) -> None:
        """Binds and listens.

        Args:
            server_address: host name or address, and port; port 0 takes a free one.
            handler_class: what handles requests in Django's server; not used.
            ipv6: whether the host is looked up as an IPv6 one.

        Raises:
            OSError: as ``bind`` gives it, since Django makes its messages of the error number.
        """
        del handler_class
        self._application: Callable[..., Any] | None = None
        self._stopped = threading.Event()
        self._listener = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(server_address)
            self._listener.listen(_BACKLOG)
        except BaseException:
            self._listener.close()
            raise
        self.server_address = self._listener.getsockname()
        self.server_port: int = self.server_address[1]

    def set_app(self, application: Callable[..., Any]) -> None:
        """Sets the WSGI application."""
        self._application = application

    def get_app(self) -> Callable[..., Any] | None:
        """The WSGI application."""
        return self._application

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serves until ``shutdown``; a signal that raises leaves the sockets to ``server.stop_all``."""
        if self._application is None:
            raise RuntimeError("set_app() comes before serve_forever()")
        config = conf.server_config()
        # basehttp.run() mixes ThreadingMixIn in, except for --nothreading. Sockets have their own threads.
        if not isinstance(self, socketserver.ThreadingMixIn):
            config["http_threads"] = 1
        raise_on_sigterm()
        running = server.Server(self._application, [self._listener], config)
        running.start()
        # A signal that comes just before a wait begins does not end it; the next wait lets it raise.
        while not self._stopped.wait(poll_interval):
            pass
        running.stop()

    def shutdown(self) -> None:
        """Lets ``serve_forever`` return."""
        self._stopped.set()

    def server_close(self) -> None:
        """Closes the listening socket."""
        self._listener.close()


class Command(NextCommand):
    """``runserver`` with WebSockets."""

    server_cls = DevelopmentServer  # type: ignore[assignment]

    def run(self, **options: Any) -> None:
        """Runs the server, or with autoreload the parent that starts it anew; closes sockets at the end."""
        code, seconds = server.GOING_AWAY, _STOP_SECONDS
        terminated = False
        try:
            with our_autoreload():
                super().run(**options)
        except SystemExit as ending:
            if ending.code == RELOAD:
                code, seconds = server.SERVICE_RESTART, _RELOAD_STOP_SECONDS
            raise
        except Terminated:
            terminated = True
        finally:
            ignore_signals()
            server.stop_all(code, seconds)
        if terminated:
            die_of_sigterm()

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Gives the WSGI application, with static files in front of it as Django's own command has them.

        Django's handler of static files answers nothing but ``Http404``. A path that leads out of their
        folder is refused with 400 here, as it would be in a view, and not with 500 and a traceback.
        """
        handler = super().get_handler(*args, **options)
        if getattr(handler, "handles_files", False):
            answer: Any = convert_exception_to_response(handler.get_response)
            handler.get_response = answer  # type: ignore[method-assign]
        return handler

    def on_bind(self, server_port: int) -> None:
        """Prints Django's banner and one line of ours."""
        super().on_bind(server_port)
        self.stdout.write(f"WebSockets are served by dwebsocket-rs {_core.__version__}.\n")
        self.stdout.flush()


@contextmanager
def our_autoreload() -> Iterator[None]:
    """Puts our parts into Django's autoreload: it looks more often, and its parent lets a child end."""
    theirs, seconds = autoreload.restart_with_reloader, autoreload.StatReloader.SLEEP_TIME
    # Django's own kills the child at once, before its sockets have said goodbye.
    autoreload.restart_with_reloader = restart_with_reloader
    autoreload.StatReloader.SLEEP_TIME = min(seconds, _LOOK_FOR_CHANGES_SECONDS)  # type: ignore[assignment]
    try:
        yield
    finally:
        autoreload.restart_with_reloader = theirs
        autoreload.StatReloader.SLEEP_TIME = seconds


def restart_with_reloader() -> int:
    """Starts the server in a child, again while that ends with ``RELOAD``; a parent that ends lets it end."""
    environ = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    while True:
        child = subprocess.Popen(autoreload.get_child_arguments(), env=environ, close_fds=False)  # noqa: S603
        try:
            status = child.wait()
        except KeyboardInterrupt:
            # The terminal's Ctrl-C reaches the child as well.
            with suppress(subprocess.TimeoutExpired):
                child.wait(_CHILD_ENDS_ALONE_SECONDS)
            raise
        finally:
            end(child)
        if status != RELOAD:
            return status


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends a child that still runs: gently, then for certain."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_CHILD_ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def raise_on_sigterm() -> None:
    """Lets SIGTERM raise ``Terminated``, unless something else handles it (the autoreloader does)."""

    def terminate(_signum: int, _frame: FrameType | None) -> None:
        raise Terminated

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, terminate)


def ignore_signals() -> None:
    """Ignores further SIGINT and SIGTERM: the process is about to end, their exceptions would be noise."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def die_of_sigterm() -> None:
    """Ends the process by SIGTERM, so that its exit status is that of Django's runserver."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
