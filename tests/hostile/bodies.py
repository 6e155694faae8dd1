"""Attacks by bodies: requests whose bodies lie or never come, responses that nobody reads."""

from __future__ import annotations

import contextlib
import select
import socket

from attack import PATIENCE, STATUS, Attack, Target, http_answer, merged, read_to_end
from hostile_requests import get, post
from http_abuse import CHUNKED, DOWNLOAD, UPLOAD, UPLOAD_TARGET, says

from wire import CLOSING, LOCAL


def posts(name: str, what: str, fields: bytes, body: bytes, answer: str, log: str = "") -> Attack:
    """A POST, to the view that counts the bytes it reads, and a second request behind, which is never run."""
    smuggled = get(b"/smuggled?NAME", CLOSING)
    return says(name, what, post(fields, body, UPLOAD_TARGET) + smuggled, answer, log)


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


ATTACKS = (
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
