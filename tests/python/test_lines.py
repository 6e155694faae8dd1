"""Lines of the request log: none lost, doubled or mixed, and nobody waits for another's."""

from __future__ import annotations

import io
import logging
import threading
from typing import Any

import pytest
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


def test_the_filters_and_levels_of_a_project_hold(logger: logging.Logger) -> None:
    terminal = Terminal()
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
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
