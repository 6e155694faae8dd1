"""Attacks by plain HTTP: heads that are too much or none, bodies that lie, responses that nobody reads."""

from __future__ import annotations

import contextlib
import random
import select
import socket

from attack import PATIENCE, STATUS, Attack, Target, http_answer, merged, read_to_end
from hostile_requests import get, post

from wire import CLOSING, LOCAL

UPLOAD, DOWNLOAD = "/upload/", "/download/"
CHUNKED = CLOSING + b"Transfer-Encoding: chunked\r\n"
DROP_SECONDS = 0.25

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


def posts(name: str, what: str, fields: bytes, body: bytes, answer: str, log: str = "") -> Attack:
    """A POST, to the view that counts the bytes it reads, and a second request behind, which is never run."""
    smuggled = get(b"/smuggled?NAME", CLOSING)
    return says(name, what, post(fields, body, UPLOAD_TARGET) + smuggled, answer, log)


def random_bytes(target: Target) -> str:
    source = random.Random(6455)
    return target.requests(*(source.randbytes(20_000) for _ in range(20)))


def slow_body(target: Target) -> str:
    with target.connect() as client:
        client.sendall(post(LOCAL + b"Content-Length: 100\r\n", b"half a body", target.path(UPLOAD)))
        return http_answer(client)


def slow_bodies(target: Target) -> str:
    """As many as there are threads for HTTP: meanwhile sockets open, and afterwards HTTP goes on."""
    with contextlib.ExitStack() as closing:
        clients = [closing.enter_context(target.connect()) for _ in range(64)]
        for client in clients:
            client.sendall(post(LOCAL + b"Content-Length: 100\r\n", b"half a body", target.path(UPLOAD)))
        with target.open() as peer:
            peer.send(b"\x88\x80\x00\x00\x00\x00")
            socket_ending = peer.ending()
        bodies = merged(http_answer(client) for client in clients)
    page = target.request(get(target.path(), CLOSING))
    return f"a socket: {socket_ending}; 64 bodies: {bodies}; then: {page}"


def short_body(target: Target) -> str:
    with target.connect() as client:
        client.sendall(post(LOCAL + b"Content-Length: 100\r\n", b"half a body", target.path(UPLOAD)))
        client.shutdown(socket.SHUT_WR)
        return http_answer(client)


def vanishing_bodies(target: Target) -> str:
    """The view waits for a body whose client has gone."""
    for _ in range(50):
        with target.connect() as client:
            client.sendall(post(LOCAL + b"Content-Length: 100\r\n", b"half a body", target.path(UPLOAD)))
    return target.request(get(target.path(), CLOSING))


def endless_body(target: Target) -> str:
    """A chunked body without an end, to a view that does not read it: so the server stops reading it."""
    with target.connect() as client:
        client.sendall(get(target.path("/ignored/"), CHUNKED, b"POST"))
        client.settimeout(PATIENCE)
        chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 64 << 20 and not select.select([client], [], [], 0)[0]:
                sent += client.send(chunk)
        assert sent < 64 << 20, "the server reads what nobody wants"
        return http_answer(client)


def continue_never_followed(target: Target) -> str:
    """Asks for 100 Continue, gets it, and sends nothing."""
    with target.connect() as client:
        fields = LOCAL + b"Content-Length: 100\r\nExpect: 100-continue\r\n"
        client.sendall(post(fields, target=target.path(UPLOAD)))
        return http_answer(client)


def never_reads_its_response(target: Target) -> str:
    """The view's thread comes back when the client has taken nothing for the write timeout."""
    with target.connect() as client:
        client.sendall(get(target.path(DOWNLOAD), LOCAL))
        target.wait_until_logged('" 200 ')
        received, _ = read_to_end(client)
        assert len(received) < 32 << 20, len(received)
        return f"{STATUS.findall(received)[0].decode()}, cut off"


def pipelined(target: Target) -> str:
    """Answered one after the other, in their order."""
    requests = [get(target.path() + b"&%d" % number, LOCAL) for number in range(999)]
    with target.connect() as client:
        client.sendall(b"".join(requests) + get(target.path(), CLOSING))
        received, end = read_to_end(client)
        statuses = [status.decode() for status in STATUS.findall(received)]
        return f"{len(statuses)} times {merged(statuses)}{end}"


def pipelined_unread(target: Target) -> str:
    """The server stops reading requests when it cannot write answers, and waits for the write timeout."""
    with target.connect() as client:
        client.sendall(get(target.path(DOWNLOAD), LOCAL) * 1000)
        poll = select.poll()
        poll.register(client, select.POLLRDHUP)
        assert poll.poll(PATIENCE * 1000), "the server keeps the connection"
        return "cut off"


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


HEADS = (
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

BODIES = (
    posts(
        "smuggling-te-cl",
        "Transfer-Encoding, then Content-Length.",
        CHUNKED + b"Content-Length: 4\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        "400",
    ),
    posts(
        "smuggling-cl-te",
        "Content-Length, then Transfer-Encoding.",
        CLOSING + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        "400",
    ),
    posts(
        "smuggling-te-te",
        "Two Transfer-Encodings.",
        CHUNKED + b"Transfer-Encoding: identity\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        "400",
    ),
    posts(
        "smuggling-te-hidden",
        "A Transfer-Encoding behind a vertical tab, and a Content-Length.",
        CLOSING + b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 4\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        "400",
    ),
    posts(
        "lengths-differ",
        "Two Content-Lengths.",
        CLOSING + b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"abc",
        "400",
    ),
    posts("length-list", "A list of Content-Lengths.", CLOSING + b"Content-Length: 2, 2\r\n", b"ab", "400"),
    posts("length-sign", "A Content-Length with a sign.", CLOSING + b"Content-Length: +2\r\n", b"ab", "400"),
    posts(
        "length-overflow",
        "A Content-Length of 24 digits.",
        CLOSING + b"Content-Length: 999999999999999999999999\r\n",
        b"ab",
        "400",
    ),
    posts(
        "chunk-size-overflow",
        "A chunk of 2^68 bytes.",
        CHUNKED,
        b"fffffffffffffffff\r\nab\r\n0\r\n\r\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    posts(
        "chunk-too-long",
        "A chunk longer than its size.",
        CHUNKED,
        b"2\r\nabX\r\n0\r\n\r\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    posts(
        "chunk-bare-lf",
        "Chunks that end in bare LFs.",
        CHUNKED,
        b"2\nab\n0\n\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    posts(
        "chunk-extension-huge",
        "A chunk extension of 100 kB.",
        CHUNKED,
        b"2;a=" + b"x" * 100_000 + b"\r\nab\r\n0\r\n\r\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    posts(
        "chunk-extensions",
        "10,000 chunks of a byte, each with an extension.",
        CHUNKED,
        b"1;a=b\r\nx\r\n" * 10_000 + b"0\r\n\r\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    posts(
        "trailers-huge",
        "100 kB of trailers.",
        CHUNKED,
        b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 16_000 + b"\r\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    posts(
        "trailer-length",
        "A Content-Length among the trailers.",
        CHUNKED,
        b"1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n",
        "400",
        'WARNING HTTP/1.1" 400',
    ),
    says(
        "length-huge",
        "A form that announces 2^62 bytes.",
        post(
            CLOSING
            + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 4611686018427387904\r\n",
            b"a=b",
            b"/form/?NAME",
        ),
        "400",
        "WARNING Request body exceeded",
    ),
    Attack("body-slow", "A body that stops half-way.", slow_body, "400", 'WARNING HTTP/1.1" 400'),
    Attack(
        "bodies-slow",
        "64 bodies that stop half-way: all threads of HTTP wait for them.",
        slow_bodies,
        "a socket: close without a code; 64 bodies: 400; then: 200",
        'WARNING HTTP/1.1" 400',
        alone=True,
    ),
    Attack("body-short", "A body that ends too early.", short_body, "400", 'WARNING HTTP/1.1" 400'),
    Attack(
        "bodies-vanishing",
        "50 clients that leave half-way in their body.",
        vanishing_bodies,
        "200",
        'WARNING HTTP/1.1" 400',
    ),
    Attack(
        "body-endless", "A body without an end that no view reads.", endless_body, "200", 'INFO HTTP/1.1" 200'
    ),
    Attack(
        "continue-nothing",
        "100-continue, and no body.",
        continue_never_followed,
        "100, 400",
        'WARNING HTTP/1.1" 400',
    ),
    Attack(
        "response-unread",
        "A response of 64 MiB that is never read.",
        never_reads_its_response,
        "200, cut off",
        'INFO HTTP/1.1" 200',
        alone=True,
    ),
    Attack("pipelined-1000", "1,000 requests at once.", pipelined, "1000 times 200", 'INFO HTTP/1.1" 200'),
    Attack(
        "pipelined-unread",
        "1,000 requests at once for 64 MiB each, and nothing is read.",
        pipelined_unread,
        "cut off",
        'INFO HTTP/1.1" 200',
        alone=True,
    ),
)

ATTACKS = (*HEADS, *BODIES)
