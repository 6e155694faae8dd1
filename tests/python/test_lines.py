"""Lines of the request log: none lost, doubled or mixed, and nobody waits for another's."""

from __future__ import annotations

import io
import logging
import re
import threading
from typing import Any

import pytest
from django.core.management.color import color_style
from django.utils.log import DEFAULT_LOGGING, ServerFormatter
from dwebsocket import lines
from dwebsocket.lines import Lines
from dwebsocket.server import RequestLog
from serving import PATIENCE, in_child
from sockets import until

ENVIRON = {"REQUEST_METHOD": "GET", "RAW_URI": "/a", "SERVER_PROTOCOL": "HTTP/1.1"}


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("name", level, "file", 1, text, None, None)


class Terminal(io.StringIO):
    """A stream that takes nothing while it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.reached = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.goes_on.wait(PATIENCE)
        self.writes.append(text)
        return len(text)


def test_lines_that_come_while_one_is_written_are_written_together_by_its_thread() -> None:
    terminal = Terminal()
    terminal.goes_on.clear()
    log = Lines(logging.StreamHandler(terminal))
    first = threading.Thread(target=log.write, args=(record("one"),))
    first.start()
    assert terminal.reached.wait(PATIENCE)
    # Neither waits for the terminal, or the test would end here.
    log.write(record("two"))
    log.write(record("three"))
    assert terminal.writes == []
    terminal.goes_on.set()
    first.join(PATIENCE)
    assert terminal.writes == ["one\n", "two\nthree\n"]


def test_a_line_that_comes_alone_is_written_at_once() -> None:
    terminal = Terminal()
    log = Lines(logging.StreamHandler(terminal))
    for text in ("one", "two"):
        log.write(record(text))
    assert terminal.writes == ["one\n", "two\n"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_writes_though_a_thread_of_its_parent_was_writing() -> None:
    terminal = Terminal()
    terminal.goes_on.clear()
    log = Lines(logging.StreamHandler(terminal))
    writer = threading.Thread(target=log.write, args=(record("of the parent"),))
    writer.start()
    assert terminal.reached.wait(PATIENCE)
    log.write(record("of the parent too"))

    def write() -> None:
        terminal.goes_on.set()
        log.write(record("of the child"))
        assert terminal.writes == ["of the child\n"]

    status = in_child(write)
    terminal.goes_on.set()
    writer.join(PATIENCE)
    assert status == 0
    assert terminal.writes == ["of the parent\n", "of the parent too\n"]


def test_no_more_lines_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_WAITING", 2)
    terminal = Terminal()
    terminal.goes_on.clear()
    log = Lines(logging.StreamHandler(terminal))
    writers = [threading.Thread(target=log.write, args=(record("one"),))]
    writers[0].start()
    assert terminal.reached.wait(PATIENCE)
    log.write(record("two"))
    log.write(record("three"))
    writers.append(threading.Thread(target=log.write, args=(record("four"),)))
    writers[1].start()
    until(lambda: len(log._waiting) == 3)
    writers[1].join(0.05)
    assert writers[1].is_alive()
    terminal.goes_on.set()
    for writer in writers:
        writer.join(PATIENCE)
    assert "".join(terminal.writes) == "one\ntwo\nthree\nfour\n"


def test_lines_of_many_threads_are_whole_and_in_the_order_of_each() -> None:
    each = 300
    stream = io.StringIO()
    log = Lines(logging.StreamHandler(stream))

    def work(thread: int) -> None:
        for number in range(each):
            log.write(record(f"{thread} {number}"))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    written = [tuple(map(int, line.split())) for line in stream.getvalue().splitlines()]
    assert len(written) == 8 * each
    for thread in range(8):
        assert [number for writer, number in written if writer == thread] == list(range(each))


class Broken(Terminal):
    def write(self, text: str) -> int:
        raise OSError("gone")


def test_a_stream_that_fails_is_the_handlers_to_deal_with(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(Broken())
    log = Lines(handler)
    log.write(record("one"))
    assert "OSError: gone" in capsys.readouterr().err
    handler.setStream(terminal := Terminal())
    log.write(record("two"))
    assert terminal.writes == ["two\n"]


def test_a_format_that_fails_is_the_handlers_to_deal_with(capsys: pytest.CaptureFixture[str]) -> None:
    log = Lines(logging.StreamHandler(terminal := Terminal()))
    log.write(logging.LogRecord("name", logging.INFO, "file", 1, "%d", ("no number",), None))
    assert "--- Logging error ---" in capsys.readouterr().err
    assert terminal.writes == []


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """In the place of ``django.server``, with no handler yet."""
    logger = logging.getLogger("test_lines")
    logger.setLevel(logging.INFO)
    for name, value in {"handlers": [], "filters": [], "propagate": False}.items():
        monkeypatch.setattr(logger, name, value)
    monkeypatch.setattr(RequestLog, "logger", logger)
    return logger


class Kept(logging.StreamHandler[Any]):
    """What a project may have made of a handler."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream.write(f"own {record.getMessage()}")


@pytest.mark.parametrize("kind", [logging.StreamHandler, Kept])
@pytest.mark.parametrize("count", [1, 2])
def test_each_handler_of_a_project_gets_each_line_once(
    logger: logging.Logger, kind: type[logging.StreamHandler[Any]], count: int
) -> None:
    terminals = [Terminal() for _ in range(count)]
    logger.handlers = [kind(terminal) for terminal in terminals]
    log = RequestLog()
    log.response(ENVIRON, 200, 5, 0.1)
    own = "own " if kind is Kept else ""
    end = "" if kind is Kept else "\n"
    assert [terminal.writes for terminal in terminals] == [[f'{own}"GET /a HTTP/1.1" 200 5{end}']] * count


def the_handler(
    logger: logging.Logger, formatter: logging.Formatter | None = None
) -> tuple[logging.StreamHandler[Any], Terminal]:
    """Makes a handler the only one: pytest gives the logger some of its own when a test begins."""
    handler = logging.StreamHandler(terminal := Terminal())
    handler.setFormatter(formatter)
    logger.handlers = [handler]
    return handler, terminal


def test_the_filters_and_levels_of_a_project_hold(logger: logging.Logger) -> None:
    handler, terminal = the_handler(logger)
    log = RequestLog()
    handler.addFilter(lambda record: record.status_code != 200)
    log.response(ENVIRON, 200, 5, 0.1)
    log.response(ENVIRON, 201, 5, 0.1)
    handler.filters.clear()
    logger.addFilter(lambda record: record.status_code != 202)
    log.response(ENVIRON, 202, 5, 0.1)
    logger.filters.clear()
    handler.setLevel(logging.WARNING)
    log.response(ENVIRON, 203, 5, 0.1)
    log.response(ENVIRON, 404, 5, 0.1)
    logger.setLevel(logging.ERROR)
    log.response(ENVIRON, 405, 5, 0.1)
    assert [line.split()[3] for line in terminal.writes] == ["201", "404"]


def test_a_handler_that_was_exchanged_gets_the_lines_from_then_on(logger: logging.Logger) -> None:
    terminals = [Terminal(), Terminal()]
    log = RequestLog()
    for terminal in terminals:
        logger.handlers = [logging.StreamHandler(terminal)]
        log.response(ENVIRON, 200, 5, 0.1)
    assert [len(terminal.writes) for terminal in terminals] == [1, 1]


FORMAT = DEFAULT_LOGGING["formatters"]["django.server"]["format"]


def formatter_of_django(
    format_text: str = FORMAT, kind: type[ServerFormatter] = ServerFormatter
) -> ServerFormatter:
    """As Django sets it up, in the colours that it has on a terminal."""
    formatter = kind(format_text, style="{")
    formatter.style = color_style(force_color=True)
    return formatter


@pytest.mark.parametrize("status", [101, 200, 204, 302, 304, 400, 404, 426, 500, 503])
def test_a_line_is_what_djangos_formatter_makes_of_a_record_that_is_not_made(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    made = []

    def make_record(*arguments: Any) -> logging.LogRecord:
        made.append(arguments)
        return logging.Logger.makeRecord(logger, *arguments)

    monkeypatch.setattr(logger, "makeRecord", make_record)
    handler, terminal = the_handler(logger, formatter_of_django())
    log = RequestLog()
    monkeypatch.setattr(log, "_server_time", lambda: "26/Nov/2026 10:11:12")
    target = {**ENVIRON, "RAW_URI": "/%s?a={b}"}
    for _ in range(2):
        log.response(target, status, 5, 0.1)
    assert made == []
    # Whoever wants to see records gets them.
    handler.addFilter(lambda record: True)
    log.response(target, status, 5, 0.1)
    assert len(made) == 1
    assert "[26/Nov/2026 10:11:12] \x1b[" in terminal.writes[0]
    assert f'"GET /%s?a={{b}} HTTP/1.1" {status} 5' in terminal.writes[0]
    assert terminal.writes == [terminal.writes[0]] * 3


class Shouting(ServerFormatter):
    """What a project may have made of it."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).upper()


def test_a_formatter_of_the_project_gets_the_record(logger: logging.Logger) -> None:
    handler, terminal = the_handler(logger)
    log = RequestLog()
    for formatter in (
        formatter_of_django(),
        formatter_of_django("{message} {status_code} {levelname}"),
        formatter_of_django(kind=Shouting),
        formatter_of_django("{message}"),
    ):
        handler.setFormatter(formatter)
        log.response({**ENVIRON, "RAW_URI": "/b"}, 404, 5, 0.1)
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line, flags=re.IGNORECASE) for line in terminal.writes]
    assert [line.partition("] ")[2] or line for line in plain] == [
        '"GET /b HTTP/1.1" 404 5\n',
        '"GET /b HTTP/1.1" 404 5 404 WARNING\n',
        '"GET /B HTTP/1.1" 404 5\n',
        '"GET /b HTTP/1.1" 404 5\n',
    ]


class Own(logging.LogRecord):
    """A record that a project may have others made of."""

    def getMessage(self) -> str:  # noqa: N802 -- the name is Python's
        return f"own {self.levelname} {super().getMessage()}"


def test_records_of_the_project_are_made(logger: logging.Logger) -> None:
    _, terminal = the_handler(logger, formatter_of_django())
    logging.setLogRecordFactory(Own)
    try:
        RequestLog().response(ENVIRON, 404, 5, 0.1)
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert "] own WARNING " in terminal.writes[0]


def test_the_level_of_the_handler_holds_where_no_record_is_made(logger: logging.Logger) -> None:
    handler, terminal = the_handler(logger, formatter_of_django())
    handler.setLevel(logging.WARNING)
    log = RequestLog()
    log.response(ENVIRON, 200, 5, 0.1)
    log.response(ENVIRON, 404, 5, 0.1)
    assert ["404" in line for line in terminal.writes] == [True]
