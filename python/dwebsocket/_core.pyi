"""The Rust core: few primitives with one meaning each. Manners live in the Python modules above it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, final, type_check_only

__all__ = [
    "Bell",
    "Connection",
    "FileWrapper",
    "Server",
    "Tls",
    "Upgrade",
    "__version__",
    "adopt",
    "allow_short_way",
    "count_refusal",
    "disown",
    "open_sockets",
    "passed_the_short_way",
    "shutdown",
    "stats",
    "to_json",
]

__version__: str

_feed_api: object
"""The rooms of the core for the video extension: a capsule of C functions, see `feed-api/`."""

@final
class Upgrade:
    """A valid WebSocket handshake waiting to be accepted: ``environ["dwebsocket.upgrade"]``."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols the client offers, in its order."""
    @property
    def accepted(self) -> bool:
        """Whether ``accept`` was called."""
    def accept(
        self,
        subprotocol: str | None = None,
        *,
        text_as_str: bool = False,
        compression: bool | None = None,
    ) -> Connection:
        """Answers 101 and gives the connection.

        A client that is gone gives a connection that is already lost. ``text_as_str``: text messages are
        ``str`` instead of ``bytes``. ``compression``: whether messages are compressed if the client offers
        it; None leaves that to the setting.

        Raises:
            RuntimeError: the handshake has been answered.
            ValueError: the client did not offer ``subprotocol``.
            TooManyConnections: as many adopted sockets as are allowed are open.
            OSError: the socket of another server cannot be adopted; it is as it was.
        """

@final
class Connection:
    """A live WebSocket. Every method may be called from any thread; those that wait do so without the GIL."""

    def receive(self, timeout: float | None = None) -> bytes | str:
        """Takes the next message. ``timeout`` in seconds; None or negative waits for ever.

        Raises:
            TimeoutError: none came in time.
            ConnectionClosed: it ended and nothing is left to read.
        """
    def receive_now(self) -> bytes | str | None:
        """Takes the next message, None when none waits. Raises ConnectionClosed as ``receive``."""
    def receive_now_with_opcode(self) -> tuple[int, bytes | str] | None:
        """``receive_now`` with the kind of the message before it: 1 for text, 2 for binary."""
    def wait_readable(self, timeout: float | None = None) -> bool:
        """Waits, without taking, until a message or the end can be taken. False: the time ran out."""
    def take(self, waits: bool) -> bytes | str | None:
        """Takes the next message the short way.

        ``waits``: waits for one, for ever. None: none is there, or the connection has ended, or the calling
        thread may not go the short way (see ``allow_short_way``); the long way tells which.
        """
    def give(self, message: object, binary: bool) -> bool:
        """``send`` the short way, as the owner if the calling thread is (see ``own``).

        False: the calling thread may not go the short way, and nothing was sent.

        Raises:
            As ``send``.
        """
    def own(self) -> None:
        """From now on the calling thread is the owner, until it owns another or calls ``disown``."""
    @property
    def pending(self) -> int:
        """Messages waiting to be taken."""
    def send(self, message: object, binary: bool = False, owner: bool = False) -> None:
        """Queues a message.

        ``str``, lazy string: text frame. bytes-like: text frame (must be UTF-8). Anything else: JSON text.
        With ``binary`` each goes out as a binary frame. ``owner``: wait for room, up to the send timeout.

        Raises:
            ConnectionClosed: closing, closed or lost.
            SlowClient: the outbox stayed full; the connection closes with 1013.
            ValueError: bytes that are no UTF-8 without ``binary``; a number JSON has not (NaN); a cycle.
            TypeError: something JSON cannot say.
        """
    def send_now(self, message: object, binary: bool = False, *, last: bool = False) -> bool:
        """Queues a message as the owner's ``send``, without waiting. False: there is no room.

        ``last``: the send timeout is over; where there is no room the connection closes with 1013.

        Raises:
            As ``send``.
        """
    def ring_when_readable(self, bell: Bell) -> None:
        """Silences a bell, and rings it once when a message or the end can be taken: perhaps at once."""
    def ring_when_room(self, bell: Bell) -> None:
        """Silences a bell, and rings it once when there may be room for a message.

        After this ``send_now`` is tried again before the bell is waited for: there may be room already.
        """
    def ping(self, data: bytes = ...) -> None:
        """Sends a Ping (at most 125 bytes, else ValueError)."""
    def pong(self, data: bytes = ...) -> None:
        """Sends an unasked Pong (at most 125 bytes, else ValueError)."""
    def close(self, code: int = 1000, reason: str = "") -> None:
        """Starts the closing handshake behind what is queued; does not wait; only the first close counts.

        Raises:
            ValueError: a code that must not be sent, a reason of more than 123 bytes.
        """
    def wait_closed(self, timeout: float | None = None) -> bool:
        """Waits until the socket has been let go. False: the time ran out."""
    @property
    def close_reason(self) -> tuple[int, str, str] | None:
        """``(code, reason, by)``, by "peer", "us" or "lost", once a Close was seen or sent."""
    @property
    def fault(self) -> tuple[str, str] | None:
        """What of the client's doing ended the socket, and a sentence on it; None for any other end.

        What: ``message_too_big``, ``violation`` (of RFC 6455 or 7692) or ``silence`` (no Ping was answered).
        """
    def fileno(self) -> int:
        """A descriptor that is readable while a message or the end waits. For ``select`` only."""
    def observe_control_frames(self) -> None:
        """From now on keeps the peer's control frames for ``take_control_frames``."""
    def take_control_frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of the control frames kept, oldest first.

        Those that came behind a message that waits to be taken stay.
        """
    @property
    def identity(self) -> int | None:
        """Tells it from every other one that this process has opened; as in ``open_sockets``."""
    @property
    def peer(self) -> str:
        """The peer's address, for logs."""
    @property
    def counts(self) -> dict[str, int]:
        """Of messages and bytes.

        ``received_messages``, ``received_bytes``, ``sent_messages``, ``sent_bytes``, ``dropped_messages``:
        those that the slow-client policy dropped and those that ``send`` did not take.
        """

@final
class Bell:
    """Wakes who waits for a descriptor. One bell serves one waiter, on any connection.

    A ring may be that of an earlier call: look again.

    Raises:
        OSError: no descriptor is left.
    """

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """Readable once the bell was rung. It belongs to the bell: never read or close it."""

@type_check_only
class AccessLog(Protocol):
    """What the server tells of each exchange, on the thread that ran it."""

    def response(self, environ: dict[str, Any], status: int, sent_bytes: int, seconds: float) -> None:
        """A response was sent (or broke off); for a socket: status 101, once it is open."""
    def socket_closed(self, environ: dict[str, Any], connection: Connection, seconds: float) -> None:
        """The view of a socket has ended."""

@final
class Server:
    """HTTP/1.1 and WebSockets on listening sockets; the application runs on threads that call ``work``."""

    def __new__(
        cls,
        application: Callable[..., Any],
        listeners: Sequence[int],
        config: Mapping[str, Any],
        spawn: Callable[[], None],
        access_log: AccessLog | None = None,
        base_environ: Mapping[str, Any] | None = None,
    ) -> Self:
        """Prepares a server.

        Args:
            application: the WSGI application.
            listeners: descriptors of bound, listening sockets; duplicated, the caller keeps its own.
            config: settings as ``conf.server_config()`` gives them; ``tls`` may be a ``Tls``,
                and ``proxy_protocol`` a version ("v1", "v2", "auto") and the networks of the proxies, each an
                address and a number of bits (None: all): a connection from there may begin with a header of
                the PROXY protocol, whose client is then ``REMOTE_ADDR``, with ``PROXY_PROTOCOL``,
                ``PROXY_ADDR``, ``PROXY_PORT`` (where it connected to) and ``dwebsocket.proxy_address``.
            spawn: starts one more daemon thread that calls ``work``.
            access_log: hears of each exchange.
            base_environ: entries of every environ; what a request says itself wins over them.

        Raises:
            TypeError: a setting that does not exist, or is of the wrong type.
            ValueError: a setting out of bounds.
            OSError: a descriptor that is no socket.
        """
    def start(self) -> None:
        """Starts accepting, asks ``spawn`` for the first thread and returns.

        Raises:
            RuntimeError: started before, or by the process that this one was forked from.
        """
    def work(self) -> None:
        """Runs requests on the calling thread until it has been idle for long or the server stops."""
    def stop(self, code: int = 1001, reason: str = "", timeout: float = 1.0) -> bool:
        """Stops accepting, closes every WebSocket and waits for threads and connections to end.

        Only the first call's code counts. Waits at most ``timeout`` seconds; True: all ended.

        Raises:
            ValueError: a code that must not be sent, a reason of more than 123 bytes.
        """
    def drain(self, code: int = 1001, reason: str = "", spread: float = 0.0, linger: float = 0.0) -> None:
        """Stops accepting and brings every connection to its end without haste; waits for none of them.

        WebSockets are closed one after the other within ``spread`` seconds, those that open later at once. An
        HTTP connection ends with the response it is at, or with that to the request that comes within
        ``linger`` seconds. Requests that wait for a thread get one. ``stop`` ends it all, and with its first
        call or this one the code is fixed. A server that does not run has nothing to drain.

        Raises:
            ValueError: as ``stop``; a time that is no number.
            RuntimeError: the server belongs to the process that this one was forked from.
        """
    def wait(self, timeout: float) -> bool:
        """Waits until every connection has ended and nothing is accepted. False: the time ran out.

        Raises:
            As ``drain``.
        """
    def notices(self) -> list[tuple[str, int, str | None, str]] | None:
        """What was refused below the application since the last call; waits until something was.

        Between two answers it lets five seconds pass. Each entry: what, how often, and whose address and
        what in particular (a path, a reason, or "") it was the last time. What: ``http_busy``,
        ``websockets_full``, ``connections_full``, ``address_full``, ``request_line_too_long``,
        ``header_too_large``, ``too_many_headers``, ``header_timed_out``, ``body_too_large``, ``bad_request``,
        ``preface``, ``preface_timed_out`` or ``accept_failed``.

        Returns:
            The list; None once the server has been stopped.
        """
    @property
    def counts(self) -> dict[str, int]:
        """``http_threads``, ``websocket_threads``, ``idle_threads``, ``connections``."""

@final
class Tls:
    """A certificate and its private key, for a server that speaks TLS. A fork takes them along."""

    def __new__(
        cls, certificate: bytes, key: bytes, authorities: bytes | None = None, required: bool = False
    ) -> Self:
        """Reads and checks them.

        Args:
            certificate: in PEM; behind it those that lead to an authority.
            key: the private key in PEM, without a password.
            authorities: in PEM, the certificates of those who vouch for clients; None: clients show none.
            required: whether a client without a certificate is refused.

        Raises:
            ValueError: something is missing, broken, encrypted or does not belong together.
        """

@final
class FileWrapper:
    """``wsgi.file_wrapper`` of PEP 3333."""

    def __new__(cls, filelike: Any, block_size: int = 8192) -> Self: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

def adopt(
    environ: dict[str, Any], descriptor: int, release: Callable[[], bytes], config: Mapping[str, Any]
) -> Upgrade:
    """The handshake of a request that came by a server that is not ours.

    ``accept`` takes the socket over: the server's descriptor stays open, but from then on it is the end of a
    stream that nobody reads. When the process is told to stop by a signal for which it has a handler, adopted
    sockets are closed with 1001.

    Args:
        environ: of the request.
        descriptor: the server's socket, which stays the server's to close.
        release: called once, by ``accept``: gives the bytes that the server has read behind the handshake,
            and makes it forget them.
        config: settings as ``conf.server_config()`` gives them.

    Raises:
        InvalidHandshake: the handshake is not one of RFC 6455.
        ValueError: it has a body, or fields that are not of HTTP; a setting out of bounds; a negative
            descriptor.
        TypeError: a setting that does not exist, or is of the wrong type.
    """

def stats() -> dict[str, Any]:
    """The figures of this process: its servers and adopted sockets together, also those that have ended.

    Returns:
        The attributes of ``dwebsocket.Stats`` by name.
    """

def open_sockets() -> list[dict[str, Any]]:
    """The open WebSockets of this process, oldest first.

    Returns:
        Of each ``identity``, ``peer``, ``age_seconds``, the five of ``Connection.counts``, what waits for the
        view (``inbox_messages``, ``inbox_bytes``) and for the client (``outbox_messages``, ``outbox_bytes``),
        and ``closing``: the code it is about to close with, else None.
    """

def count_refusal(reason: str) -> None:
    """Counts a handshake that Python refuses, for ``stats``.

    Raises:
        ValueError: there is no such reason.
    """

def allow_short_way(allowed: bool) -> None:
    """Lets the calling thread use ``take`` and ``give``: there is nothing to be done around its messages."""

def disown() -> None:
    """The calling thread is nobody's owner any more."""

def passed_the_short_way() -> int:
    """How many messages the calling thread has taken and sent the short way."""

def to_json(value: object) -> str:
    """What ``Connection.send`` would send for ``value``."""

def shutdown() -> None:
    """For ``atexit``: ends every connection and keeps threads that wait in Rust from coming back."""
