"""``request.websocket``: the manners of dwebsocket 0.5.12 over the primitives of ``_core``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from . import conf, database, introspection, waiting
from .exceptions import ConnectionClosed, SlowClient
from .notices import SocketLog
from .protocol import WebSocketProtocol13
from .threads import caller

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ._core import Connection, Upgrade

Message = bytes | str
"""``bytes``; ``str`` for text messages with ``WEBSOCKET_TEXT_AS_STR``."""

Handle = Callable[[int, Message | None], object]

GRACE_SECONDS: Final = 1.0
"""How long ``send`` stays silent in the view whose own socket has ended."""

HANDLE_INTERVAL_SECONDS: Final = 0.2
"""How often a ``wait`` looks for control frames when there is a ``handle`` to tell of them."""

_OPCODE_CLOSE: Final = 0x8


class WebSocket:
    """A WebSocket. Every method may be called from any thread; each message reaches exactly one taker.

    When the client closes or is lost, what arrived before stays readable; then ``wait``, ``read`` and the
    iterator give None once; from then on whatever takes or polls raises ``ConnectionClosed``.
    """

    def __init__(self, upgrade: Upgrade, *, request: HttpRequest | None = None) -> None:
        """A socket that is not open yet.

        Args:
            upgrade: the handshake.
            request: the request it came with, for logs; it is not kept alive.
        """
        self.subprotocol: str | None = None
        self._upgrade = upgrade
        self._path = "" if request is None else request.path
        self._log = SocketLog(request)
        self._label = None if request is None else introspection.Label(request)
        self._connection: Connection | None = None
        self._handle: Handle | None = None
        self._token: object = object()
        self._closed_by_us = False
        self._end_taken = False
        self._silent_until: float | None = None
        self._drops_oldest = False
        self._take_short: Callable[[bool], Message | None] | None = None
        self._give_short: Callable[[object, bool], bool] | None = None

    def __repr__(self) -> str:
        """Names this socket for as long as it lives: views keep sockets in dicts under their str."""
        return f"<{type(self).__name__} {self._path or 'without a path'} at {id(self):#x}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuses pickle and copy.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "a WebSocket cannot be pickled or copied: it lives in the process that accepted it. Keep it "
            "in a dict, and put the key into sessions, caches and queues."
        )

    def accept_connection(self, subprotocol: str | None = None, *, compression: bool | None = None) -> None:
        """Answers the handshake with 101; a second call does nothing. The calling view becomes the owner.

        Args:
            subprotocol: one of those the client offers; None chooses none.
            compression: whether messages are compressed if the client offers it; None leaves it to
                ``WEBSOCKET_COMPRESSION``.

        Raises:
            ValueError: the client does not offer ``subprotocol``.
            ConnectionClosed: ``close`` was called before.
        """
        if self._connection is not None:
            return
        if self._closed_by_us:
            self._not_open()
        connection = self._upgrade.accept(
            subprotocol, text_as_str=bool(conf.get("WEBSOCKET_TEXT_AS_STR")), compression=compression
        )
        self._drops_oldest = conf.get("WEBSOCKET_SLOW_CLIENT") == "drop_oldest"
        self.subprotocol = subprotocol
        if self._handle is not None:
            connection.observe_control_frames()
        self._connection = connection
        if self._label is not None:
            introspection.label(connection, self._label)
        caller().accepts(connection, self._token)
        self._choose_ways(connection)

    def wait(self, timeout: float | None = None) -> Message | None:
        """Takes the next message, waiting for it.

        While it waits, the thread's database connections are closed as between two requests, and once they
        are past their ``CONN_MAX_AGE``; one stays that is in a transaction, or that a queryset's
        ``iterator()`` reads from.

        Args:
            timeout: seconds; None or a negative number waits for ever.

        Returns:
            The message; None when the time ran out, and once when the socket has ended.

        Raises:
            ConnectionClosed: the None of the end has been taken.
            ValueError: a timeout that is not a number.
        """
        ended = self._end_taken
        if self._take_short is not None and (message := self._take_short(timeout is None)) is not None:
            return message
        connection = self._connection or self._not_open()
        try:
            message = self._take_now(connection)
            if message is None and timeout == 0:
                message = self._take_now(connection) if self._park(connection) else None
            elif message is None:
                message = self._take(connection, timeout)
        except ConnectionClosed as end:
            self._end(connection, end, ended)
            return None
        return message

    def read(self, fallback: Any = None) -> Any:
        """Takes the next message if one is there.

        Args:
            fallback: given when none is there.

        Returns:
            The message or the fallback; None, whatever the fallback is, once when the socket has ended.

        Raises:
            ConnectionClosed: the None of the end has been taken.
        """
        connection = self._connection or self._not_open()
        ended = self._end_taken
        try:
            message = self._take_now(connection)
            if message is None and self._park(connection):
                message = self._take_now(connection)
        except ConnectionClosed as end:
            self._end(connection, end, ended)
            return None
        return fallback if message is None else message

    def count_messages(self) -> int:
        """Counts what can be taken.

        Returns:
            The number of messages; 1 while only the None of the end can be taken.

        Raises:
            ConnectionClosed: the None of the end has been taken.
        """
        connection = self._connection or self._not_open()
        if self._end_taken:
            self._raise_again(connection)
        self._tell_of_control_frames(connection)
        if connection.pending or connection.wait_readable(0) or self._park(connection):
            return connection.pending or 1
        return 0

    def has_messages(self) -> bool:
        """Whether a message, or the None of the end, can be taken.

        Raises:
            ConnectionClosed: the None of the end has been taken.
        """
        return self.count_messages() > 0

    def __iter__(self) -> Iterator[Message | None]:
        """Gives every message, then one None, then ends.

        Raises:
            ConnectionClosed: the None of the end had been taken before.
        """
        ended = self._end_taken
        while True:
            take = self._take_short
            message = None if take is None else take(True)
            if message is None:
                try:
                    message = self.wait()
                except ConnectionClosed:
                    # Another taker was given the None; this iteration still ends as every iteration does.
                    if ended:
                        raise
            yield message
            if message is None:
                return

    def send(self, message: object, binary: bool = False) -> None:
        """Sends a message. To a socket that has ended nothing is sent.

        In the view that owns the socket it may wait for room (``WEBSOCKET_SEND_TIMEOUT_SECONDS``); elsewhere
        it never waits.

        Args:
            message: str or UTF-8 bytes: a text message. dict, list, tuple, number, bool, None, or what
                ``DjangoJSONEncoder`` knows: their JSON text.
            binary: send it as a binary message; then bytes may be any.

        Raises:
            ConnectionClosed: only in the view that owns the socket, a second after it could know of the end.
            ValueError: bytes that are not UTF-8; a lone surrogate; what JSON cannot say.
            TypeError: an object JSON does not know.
        """
        connection = self._connection or self._connection_to_send_on()
        if connection is None:
            return
        try:
            if self._give_short is not None and self._give_short(message, binary):
                return
            way, ours = waiting.way(), caller()
            if database.known(ours):
                database.heal(ours)
            if ours.token is self._token:
                way.send(connection, message, binary)
                way.give_way()
            else:
                connection.send(message, binary)
        except ConnectionClosed as end:
            self._not_sent(connection, end)
            return
        ours.did_something()
        if self._drops_oldest and connection.counts["dropped_messages"]:
            self._drops_oldest = False
            self._log.drops_the_oldest(connection)

    def ping(self, data: bytes | str = b"") -> None:
        """Sends a Ping of at most 125 bytes, under the rules of ``send`` for a socket that has ended."""
        self._send_control("ping", data)

    def pong(self, data: bytes | str = b"") -> None:
        """Sends an unasked Pong of at most 125 bytes, under the rules of ``ping``."""
        self._send_control("pong", data)

    def close(self, code: int | None = None, reason: bytes | str | None = None) -> None:
        """Closes the socket behind what is being sent, without waiting; only the first close counts.

        What arrived before stays readable. Before ``accept_connection`` it gives the handshake up.

        Args:
            code: 1000 to 4999 of RFC 6455 section 7.4; None is 1000.
            reason: at most 123 bytes of UTF-8.

        Raises:
            ValueError: a code or a reason that cannot be sent.
        """
        if self._closed_by_us:
            return
        if self._connection is not None:
            text = reason if isinstance(reason, str) else bytes(reason or b"").decode()
            self._connection.close(code or 1000, text)
            self._log.ended(self._connection)
        self._closed_by_us = True

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called, or the socket has ended and no message is left unread."""
        ours = caller()
        if ours.databases:
            database.heal(ours)
        if self._closed_by_us or self._connection is None:
            return self._closed_by_us
        # In this order: nothing arrives any more once there is a reason.
        over = self._connection.close_reason is not None and not self._connection.pending
        if over:
            # Whoever sees this answers no more: the Close need not wait for it.
            self._connection.close()
        return over

    def is_closed(self) -> bool:
        """The same as ``closed``."""
        return self.closed

    @property
    def close_code(self) -> int | None:
        """The code of the close, 1005 for none, 1006 for a lost client; None while the socket is open."""
        return self._close_reason()[0]

    @property
    def close_reason(self) -> str | None:
        """The reason given with the code; None while the socket is open."""
        return self._close_reason()[1]

    @property
    def handle(self) -> Handle | None:
        """Called with opcode and data of every message and control frame taken; (8, None) for the end."""
        return self._handle

    @handle.setter
    def handle(self, handle: Handle | None) -> None:
        self._handle = handle
        if handle is not None and self._connection is not None:
            self._connection.observe_control_frames()
            self._choose_ways(self._connection)

    @property
    def protocol(self) -> WebSocketProtocol13:
        """The socket by the names of dwebsocket 0.5.12's protocol object."""
        return WebSocketProtocol13(self)

    def fileno(self) -> int:
        """A descriptor for ``select`` and its like: readable while a message or the end can be taken.

        It belongs to the socket: never read or close it. Afterwards take with ``read``.
        """
        return (self._connection or self._not_open()).fileno()

    def _choose_ways(self, connection: Connection) -> None:
        """The short ways, of which ``_core`` knows when a thread may go them, are not for greenlets."""
        is_thread = waiting.is_thread()
        self._take_short = connection.take if is_thread and self._handle is None else None
        self._give_short = connection.give if is_thread and not self._drops_oldest else None

    def _connection_to_send_on(self) -> Connection | None:
        """None when the socket was closed before it was open: then nothing is sent."""
        if self._connection is None and not self._closed_by_us:
            self._not_open()
        return self._connection

    def _not_open(self) -> NoReturn:
        if self._closed_by_us:
            raise ConnectionClosed(1006, "closed before it was accepted")
        raise RuntimeError(
            "the WebSocket is not open yet: accept_connection() opens it, which accept_websocket and "
            "require_websocket do before the view runs"
        )

    def _close_reason(self) -> tuple[int | None, str | None]:
        known = self._connection.close_reason if self._connection is not None else None
        return (None, None) if known is None else known[:2]

    def _take_now(self, connection: Connection) -> Message | None:
        message = connection.receive_now() if self._handle is None else self._take_now_and_tell(connection)
        if message is not None:
            ours = caller()
            ours.did_something()
            if ours.databases:
                database.heal(ours)
            waiting.way().give_way()
        return message

    def _park(self, connection: Connection) -> bool:
        """Notes an empty poll, as ``Caller.park``."""
        ours = caller()
        if ours.databases:
            database.release_at_times(ours)
        return ours.park(connection)

    def _take(self, connection: Connection, timeout: float | None) -> Message | None:
        if self._handle is not None:
            return self._take_and_tell(connection, timeout)
        way, ours = waiting.way(), caller()
        due = database.release(ours)
        try:
            if due is None:
                message = way.receive(connection, timeout)
            else:
                message = database.release_meanwhile(ours, due, partial(way.receive, connection), timeout)
        except TimeoutError:
            return None
        ours.did_something()
        return message

    def _take_and_tell(self, connection: Connection, timeout: float | None) -> Message | None:
        endless = timeout is None or timeout < 0
        deadline = 0.0 if endless else time.monotonic() + (timeout or 0)
        while (message := self._take_now(connection)) is None:
            left = HANDLE_INTERVAL_SECONDS if endless else deadline - time.monotonic()
            if left <= 0:
                return None
            database.release(caller())
            waiting.way().wait_readable(connection, min(left, HANDLE_INTERVAL_SECONDS))
        return message

    def _take_now_and_tell(self, connection: Connection) -> Message | None:
        # In this order: what came before a message is known as soon as the message is there.
        is_there = connection.wait_readable(0)
        self._tell_of_control_frames(connection)
        taken = connection.receive_now_with_opcode() if is_there else None
        if taken is None:
            return None
        opcode, message = taken
        if self._handle is not None:
            self._handle(opcode, message)
        return message

    def _tell_of_control_frames(self, connection: Connection) -> None:
        if self._handle is None:
            return
        for opcode, data in connection.take_control_frames():
            if opcode != _OPCODE_CLOSE:
                self._handle(opcode, data)

    def _end(self, connection: Connection, end: ConnectionClosed, ended: bool) -> None:
        """Gives the None of the end, also to each call that was waiting when another took it.

        Raises:
            ConnectionClosed: the None had been taken before the call began.
        """
        if ended:
            caller().pause_before_raising(connection)
            raise end
        if not self._end_taken:
            self._end_taken = True
            self._log.ended(connection)
            self._tell_of_control_frames(connection)
            if self._handle is not None:
                self._handle(_OPCODE_CLOSE, None)
        if caller().token is self._token and self._silent_until is None:
            self._silent_until = time.monotonic() + GRACE_SECONDS

    def _raise_again(self, connection: Connection) -> NoReturn:
        code, reason = self._close_reason()
        caller().pause_before_raising(connection)
        raise ConnectionClosed(code or 1006, reason or "")

    def _not_sent(self, connection: Connection, end: ConnectionClosed) -> None:
        """Forgives a message to a socket that has ended, to its own view for a second only."""
        if isinstance(end, SlowClient):
            self._log.closed_as_too_slow(connection, end.code)
        else:
            self._log.ended(connection)
        if caller().token is not self._token:
            return
        now = time.monotonic()
        if self._silent_until is None:
            self._silent_until = now + GRACE_SECONDS
        elif now > self._silent_until:
            caller().pause_before_raising(connection)
            raise end

    def _send_control(self, primitive: str, data: bytes | str) -> None:
        connection = self._connection_to_send_on()
        if connection is None:
            return
        try:
            getattr(connection, primitive)(data.encode() if isinstance(data, str) else data)
        except ConnectionClosed as end:
            self._not_sent(connection, end)
