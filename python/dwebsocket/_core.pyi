"""The Rust core: few primitives with one meaning each. Manners live in the Python modules above it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, final

__version__: str

@final
class Upgrade:
    """A valid WebSocket handshake waiting to be accepted: our server's ``environ["dwebsocket.upgrade"]``."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols the client offers, in its order."""
    @property
    def accepted(self) -> bool:
        """Whether ``accept`` was called."""
    def accept(self, subprotocol: str | None = None, *, text_as_str: bool = False) -> Connection:
        """Answers 101 and gives the connection.

        A client that is gone gives a connection that is already lost. ``text_as_str``: text messages are
        ``str`` instead of ``bytes``.

        Raises:
            RuntimeError: the handshake has been answered.
            ValueError: the client did not offer ``subprotocol``.
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
    def ping(self, data: bytes = b"") -> None:
        """Sends a Ping (at most 125 bytes, else ValueError)."""
    def pong(self, data: bytes = b"") -> None:
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
    def fileno(self) -> int:
        """A descriptor that is readable while a message or the end waits. For ``select`` only."""
    def observe_control_frames(self) -> None:
        """From now on keeps the peer's control frames for ``take_control_frames``."""
    def take_control_frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of the control frames kept, oldest first."""
    @property
    def peer(self) -> str:
        """The peer's address, for logs."""
    @property
    def counts(self) -> dict[str, int]:
        """Of messages and bytes.

        ``received_messages``, ``received_bytes``, ``sent_messages``, ``sent_bytes``, ``dropped_messages``:
        those that the slow-client policy dropped and those that ``send`` did not take.
        """

class AccessLog(Protocol):
    """What the server tells of each exchange, on the thread that ran it."""

    def response(self, environ: dict[str, Any], status: int, sent_bytes: int, seconds: float) -> None:
        """A response was sent (or broke off); for a socket: status 101, once it is open."""
    def socket_closed(self, environ: dict[str, Any], connection: Connection, seconds: float) -> None:
        """The view of a socket has ended."""

@final
class Server:
    """HTTP/1.1 and WebSockets on listening sockets; the application runs on the threads that call ``work``."""

    def __init__(
        self,
        application: Callable[..., Any],
        listeners: Sequence[int],
        config: Mapping[str, Any],
        spawn: Callable[[], None],
        access_log: AccessLog | None = None,
        base_environ: Mapping[str, Any] | None = None,
    ) -> None:
        """``listeners``: descriptors of bound, listening sockets (duplicated; the caller keeps its own). ``config``: see
        the table in ``dwebsocket/conf.py``; an unknown name is a TypeError. ``spawn`` starts one more daemon thread that
        calls ``work``."""
    def start(self) -> None:
        """Starts accepting and returns."""
    def work(self) -> None:
        """Runs requests on the calling thread until it has been idle for long or the server stops."""
    def stop(self, code: int = 1001, reason: str = "", timeout: float = 1.0) -> bool:
        """Stops accepting, closes every socket with ``code`` and waits at most ``timeout`` seconds for the threads and
        connections to end. True: all ended. Safe to call twice."""
    @property
    def counts(self) -> dict[str, int]:
        """``http_threads``, ``websocket_threads``, ``idle_threads``, ``connections``."""

@final
class FileWrapper:
    """``wsgi.file_wrapper`` of PEP 3333."""

    def __init__(self, filelike: Any, block_size: int = 8192) -> None: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

def to_json(value: object) -> str:
    """What ``Connection.send`` would send for ``value``."""

def shutdown() -> None:
    """For ``atexit``: ends every connection; from now on no thread that waits in Rust comes back to Python."""
