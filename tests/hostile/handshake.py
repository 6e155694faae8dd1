"""Attacks by handshakes: what may not become a WebSocket, and pages that may not have one."""

from __future__ import annotations

from attack import Attack, Target
from hostile_requests import get

from wire import ASKING, KEY_FIELD, LOCAL, TEXT, UPGRADE, VERSION, close, frame

REFUSED = "WARNING refused with 403"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def handshake(
    name: str,
    what: str,
    fields: bytes,
    answer: str,
    log: str = "",
    *,
    shown: tuple[bytes, ...] = (),
    **how: bytes,
) -> Attack:
    """A handshake of these fields; `how` are arguments of `get`, and `behind` what follows the head."""
    behind = how.pop("behind", b"")

    def run(target: Target) -> str:
        return target.request(get(target.path(), fields, **how) + behind, *shown)

    return Attack(name, what, run, answer, log)


def origins(name: str, what: str, *values: bytes) -> Attack:
    """Handshakes of pages that may open no WebSocket, with each of these origins."""

    def run(target: Target) -> str:
        return target.requests(
            *(get(target.path(), UPGRADE + b"Origin: " + value + b"\r\n") for value in values)
        )

    return Attack(name, what, run, "403", REFUSED)


def pipelined_request(target: Target) -> str:
    """Behind a handshake come frames: a request there is none, and is never run."""
    smuggled = get(b"/smuggled", LOCAL)
    with target.open(behind=smuggled) as peer:
        return peer.ending()


def pipelined_handshake(target: Target) -> str:
    """Behind a refused handshake nothing is read: what follows might be frames."""
    refused = get(target.path(), ASKING + KEY_FIELD)
    return target.request(refused + get(target.path(), UPGRADE) + frame(0x80 | TEXT, b"hi"))


def request_before_handshake(target: Target) -> str:
    """A request and a handshake in one segment, with frames behind: both are answered, in this order."""
    with target.connect() as client:
        first = get(target.path("/chat/many/"), LOCAL)
        second = get(target.path(), UPGRADE) + frame(0x80 | TEXT, b"hi") + close(1000)
        client.sendall(first + second)
        received = bytearray()
        while piece := client.recv(1 << 16):
            received += piece
        page, _, rest = bytes(received).partition(b"HTTP/1.1 101 ")
        assert page.startswith(b"HTTP/1.1 200 "), page
        assert page.endswith(b"Scene 2 listens here for WebSockets."), page
        assert rest.endswith(b"\r\n\r\n\x81\x0cYou said: hi\x88\x02\x03\xe8"), rest
    return "200, 101, echo, close 1000"


SUBPROTOCOLS = b"Sec-WebSocket-Protocol: "

ATTACKS = (
    handshake(
        "version-8",
        "Version 8 of the protocol.",
        ASKING + KEY_FIELD + b"Sec-WebSocket-Version: 8\r\n",
        "426, sec-websocket-version: 13",
        shown=(b"sec-websocket-version",),
    ),
    handshake(
        "version-missing",
        "No version.",
        ASKING + KEY_FIELD,
        "426, sec-websocket-version: 13",
        shown=(b"sec-websocket-version",),
    ),
    handshake(
        "version-twice",
        "Two versions.",
        UPGRADE + b"Sec-WebSocket-Version: 8\r\n",
        "426, sec-websocket-version: 13",
        shown=(b"sec-websocket-version",),
    ),
    handshake("key-missing", "No key.", ASKING + VERSION, "400"),
    handshake("key-twice", "Two keys.", UPGRADE + KEY_FIELD, "400"),
    handshake(
        "key-short",
        "A key of 15 bytes.",
        ASKING + VERSION + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n",
        "400",
    ),
    handshake(
        "key-no-base64",
        "A key of 24 characters that are no base64.",
        ASKING + VERSION + b"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n",
        "400",
    ),
    handshake(
        "key-huge",
        "A key of 60 kB.",
        ASKING + VERSION + b"Sec-WebSocket-Key: " + b"A" * 60_000 + b"\r\n",
        "400",
    ),
    handshake(
        "handshake-post",
        "A handshake by POST.",
        UPGRADE,
        "405, allow: GET",
        shown=(b"allow",),
        method=b"POST",
    ),
    handshake("handshake-http-1.0", "A handshake of HTTP/1.0.", UPGRADE, "400", version=b"1.0"),
    handshake(
        "no-connection-upgrade",
        "No Connection: Upgrade.",
        LOCAL + b"Upgrade: websocket\r\n" + KEY_FIELD + VERSION,
        "400",
    ),
    handshake(
        "handshake-body", "A body of 5 bytes.", UPGRADE + b"Content-Length: 5\r\n", "400", behind=b"hello"
    ),
    handshake(
        "handshake-chunked",
        "A chunked body with a request in it.",
        UPGRADE + CHUNKED,
        "400",
        behind=b"1d\r\n" + get(b"/", LOCAL)[:29] + b"\r\n0\r\n\r\n",
    ),
    handshake(
        "handshake-both-lengths",
        "Content-Length and Transfer-Encoding on a handshake, and a request behind.",
        UPGRADE + b"Content-Length: 5\r\n" + CHUNKED,
        "400",
        behind=b"0\r\n\r\n" + get(b"/smuggled", LOCAL),
    ),
    handshake(
        "subprotocols-twice", "The same subprotocol twice.", UPGRADE + SUBPROTOCOLS + b"a, b, a\r\n", "400"
    ),
    handshake(
        "subprotocol-no-token", "A subprotocol with a space.", UPGRADE + SUBPROTOCOLS + b"a b\r\n", "400"
    ),
    handshake(
        "subprotocols-10000",
        "10,000 subprotocols, the last of them once more.",
        UPGRADE + SUBPROTOCOLS + b"".join(b"p%d," % number for number in range(9_000)) + b"p8999\r\n",
        "400",
    ),
    handshake(
        "key-in-underscores",
        "The key in Sec_WebSocket_Key, which is another name.",
        ASKING + VERSION + KEY_FIELD.replace(b"-", b"_"),
        "400",
    ),
    handshake("handshake-no-host", "No Host.", UPGRADE.removeprefix(LOCAL), "400"),
    handshake("handshake-two-hosts", "Two Hosts.", b"Host: evil.example\r\n" + UPGRADE, "400"),
    handshake(
        "handshake-foreign-host",
        "The Host of somebody else.",
        UPGRADE.replace(b"localhost", b"evil.example"),
        "400",
        "WARNING Invalid HTTP_HOST header: 'evil.example'",
    ),
    handshake("handshake-bare-lf", "A field that ends in a bare LF.", b"X: y\n" + UPGRADE, "400"),
    handshake("handshake-bare-cr", "A CR within a value.", UPGRADE + b"X: y\rOrigin: null\r\n", "400"),
    handshake("handshake-nul", "A NUL in the Origin.", UPGRADE + b"Origin: http://local\0host\r\n", "400"),
    handshake("handshake-folded", "A folded line.", UPGRADE + b"X: y\r\n Origin: null\r\n", "400"),
    handshake("handshake-space-colon", "A space before a colon.", UPGRADE + b"Origin : null\r\n", "400"),
    origins(
        "origin-foreign", "A page of another site.", b"https://evil.example", b"http://evil.example:8000"
    ),
    origins("origin-null", "A page without a site: a sandboxed frame, a file.", b"null"),
    origins(
        "origin-alike",
        "Sites whose names look like ours.",
        b"http://localhost.evil.example",
        b"http://evil.example/localhost",
        b"http://localhost@evil.example",
        b"http://evil.example#localhost",
        b"http://evillocalhost",
    ),
    origins(
        "origin-nonsense",
        "Origins that are none.",
        b"localhost",
        b"",
        b"file://",
        b"javascript://localhost",
        b"http://localhost, http://localhost",
        b"http://localhost\r\nOrigin: https://evil.example",
        b"x" * 60_000,
    ),
    Attack(
        "request-behind-handshake",
        "A request in the segment of a handshake.",
        pipelined_request,
        "close 1002",
        "INFO closed 1002 by the server",
    ),
    Attack(
        "handshake-behind-refused",
        "A second handshake, with a frame, behind one that will not do.",
        pipelined_handshake,
        "426",
    ),
    Attack(
        "request-before-handshake",
        "A request, a handshake and frames in one segment.",
        request_before_handshake,
        "200, 101, echo, close 1000",
        "INFO closed 1000 by the client",
    ),
)
