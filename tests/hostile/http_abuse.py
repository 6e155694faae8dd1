"""Attacks by plain HTTP: heads that are too much, or none, or lead where nobody may go."""

from __future__ import annotations

import random

from attack import STATUS, Attack, Target, merged, read_to_end
from hostile_requests import get

from wire import CLOSING, LOCAL

UPLOAD, DOWNLOAD = "/upload/", "/download/"
CHUNKED = CLOSING + b"Transfer-Encoding: chunked\r\n"

CLIENT_HELLO = bytes.fromhex("16030102000100 01fc0303") + bytes(range(32)) + b"\x20" + bytes(400)
"""The beginning of a TLS connection: record, handshake, version, random, session."""


def says(name: str, what: str, request: bytes, answer: str, log: str = "") -> Attack:
    """Sends bytes in which `?NAME` stands for the query that the log knows the attack by."""

    def run(target: Target) -> str:
        return target.request(request.replace(b"?NAME", b"?" + target.name.encode()))

    return Attack(name, what, run, answer, log)


ECHO_TARGET = b"/chat/oneself/?NAME"
UPLOAD_TARGET = b"/upload/?NAME"


def gets(name: str, what: str, fields: bytes, answer: str, log: str = "") -> Attack:
    """A GET of these fields."""
    return says(name, what, get(ECHO_TARGET, fields), answer, log)


def random_bytes(target: Target) -> str:
    source = random.Random(6455)
    return target.requests(*(source.randbytes(20_000) for _ in range(20)))


def trace(target: Target) -> str:
    """Whatever the answer is, it does not say what was sent (RFC 9110 section 9.3.8)."""
    with target.connect() as client:
        client.sendall(get(target.path(), CLOSING + b"Cookie: secret=1\r\n", b"TRACE"))
        received, _ = read_to_end(client)
        assert b"secret" not in received
        return merged(status.decode() for status in STATUS.findall(received))


def ranges(target: Target) -> str:
    """A thousand overlapping ranges of a file are no reason to send more than the file."""
    fields = CLOSING + b"Range: bytes=" + b",".join(b"0-%d" % n for n in range(1000)) + b"\r\n"
    with target.connect() as client:
        client.sendall(get(target.path("/static/scenes/page.css"), fields))
        received, _ = read_to_end(client)
        assert len(received) < 20_000, len(received)
        return merged(status.decode() for status in STATUS.findall(received))


def traversal(target: Target) -> str:
    """Ways out of the folder of static files, escaped and not."""
    ways = (
        "/static/../article/settings.py",
        "/static/scenes/../../article/settings.py",
        "/static/%2e%2e/article/settings.py",
        "/static/..%2f..%2farticle/settings.py",
    )
    return target.requests(*(get(target.path(way), CLOSING) for way in ways))


def strange_paths(target: Target) -> str:
    """Paths that lead nowhere, but might lead somewhere if they were understood otherwise."""
    ways = ("/static//etc/passwd", "/static/%00", "/static/..\\..\\settings.py", "/%ff", "/chat/oneself/%0a")
    return target.requests(*(get(target.path(way), CLOSING) for way in ways))


def many_fields(count: int) -> bytes:
    return CLOSING + b"".join(b"X-%d: y\r\n" % number for number in range(count))


ATTACKS = (
    gets(
        "header-huge",
        "A header of 70 kB.",
        CLOSING + b"X: " + b"y" * 70_000 + b"\r\n",
        "431",
        "WARNING its header section has too many bytes",
    ),
    gets(
        "header-endless",
        "A header of 2 MB.",
        CLOSING + b"X: " + b"y" * 2_000_000 + b"\r\n",
        "431",
        "WARNING its header section has too many bytes",
    ),
    gets(
        "headers-101", "101 fields.", many_fields(99), "431", "WARNING its header section has too many fields"
    ),
    gets(
        "headers-10000",
        "10,000 fields.",
        many_fields(9_998),
        "431",
        "WARNING its header section has too many fields",
    ),
    gets("header-bare-lf", "Fields that end in bare LFs.", LOCAL.replace(b"\r", b"") + b"X: y\n", "400"),
    gets("header-nul", "A NUL in a value.", CLOSING + b"X: a\0b\r\n", "400"),
    gets("header-control", "A control byte in a value.", CLOSING + b"X: a\x01b\r\n", "400"),
    gets("header-folded", "A folded line.", CLOSING + b"X: a\r\n b\r\n", "400"),
    gets("header-no-colon", "A line without a colon.", CLOSING + b"nonsense\r\n", "400"),
    gets("header-empty-name", "A field without a name.", CLOSING + b": a\r\n", "400"),
    gets("hosts-two", "Two Hosts.", b"Host: evil.example\r\n" + CLOSING, "400"),
    gets("host-none", "No Host.", b"Connection: close\r\n", "400"),
    gets("expect-nonsense", "An expectation nobody knows.", CLOSING + b"Expect: money\r\n", "417"),
    says(
        "request-line-long",
        "A request line of 9 kB.",
        get(b"/?NAME&" + b"x" * 9_000, CLOSING),
        "414",
        "WARNING WEBSOCKET_MAX_REQUEST_LINE_BYTES sets the length",
    ),
    says(
        "request-line-huge",
        "A request line of 100 kB.",
        get(b"/?NAME&" + b"x" * 100_000, CLOSING),
        "431",
        "WARNING its header section has too many bytes",
    ),
    says("http-2", "The preface of HTTP/2.", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), "nothing"),
    says("http-0.9", "A request of HTTP/0.9.", b"GET /?NAME\r\n\r\n", "400"),
    says("http-3.7", "A version that does not exist.", get(ECHO_TARGET, version=b"3.7"), "400"),
    says("tls", "TLS on the port of plain HTTP.", CLIENT_HELLO, "400"),
    Attack("random-bytes", "20,000 random bytes, 20 times.", random_bytes, "400"),
    says("connect", "A proxy's CONNECT.", get(b"evil.example:443", CLOSING, b"CONNECT"), "501"),
    says("method-small", "A method in small letters.", get(ECHO_TARGET, CLOSING, b"get"), "400"),
    says("asterisk", "GET of *.", get(b"*", CLOSING), "400"),
    says(
        "foreign-absolute",
        "A target on somebody else's host, and our Host.",
        get(b"http://evil.example/?NAME", CLOSING),
        "400",
        "WARNING Invalid HTTP_HOST header: 'evil.example'",
    ),
    Attack("trace", "TRACE, with a cookie.", trace, "200", 'INFO HTTP/1.1" 200'),
    Attack("ranges", "A thousand overlapping ranges of a file.", ranges, "200", 'INFO HTTP/1.1" 200'),
    Attack(
        "traversal",
        "Ways out of the folder of static files.",
        traversal,
        "400",
        "WARNING is located outside of the base path",
    ),
    Attack(
        "strange-paths", "A NUL, backslashes and the like.", strange_paths, "404", 'WARNING HTTP/1.1" 404'
    ),
)
