"""Requests that a server and a proxy in front of it could understand differently, and other nonsense."""

from __future__ import annotations

HOST = b"Host: a\r\nConnection: close\r\n"
CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n"


def post(fields: bytes, body: bytes = b"", target: bytes = b"/p") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + fields + b"\r\n" + body


def get(target: bytes = b"/", fields: bytes = HOST, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n"


REQUESTS = {
    # Where the body ends.
    "Content-Length": post(HOST + b"Content-Length: 2\r\n", b"ab"),
    "Content-Length before Transfer-Encoding": post(
        HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    ),
    "Transfer-Encoding before Content-Length": post(CHUNKED + b"Content-Length: 2\r\n", b"0\r\n\r\n"),
    "two different Content-Lengths": post(HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n", b"abc"),
    "the same Content-Length twice": post(HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab"),
    "a list of Content-Lengths": post(HOST + b"Content-Length: 2, 2\r\n", b"ab"),
    "Content-Length with plus": post(HOST + b"Content-Length: +2\r\n", b"ab"),
    "Content-Length with minus": post(HOST + b"Content-Length: -2\r\n", b"ab"),
    "Content-Length in hexadecimal": post(HOST + b"Content-Length: 0x2\r\n", b"ab"),
    "Content-Length with underscore": post(HOST + b"Content-Length: 1_0\r\n", b"ab"),
    "Content-Length with a space inside": post(HOST + b"Content-Length: 1 2\r\n", b"ab"),
    "empty Content-Length": post(HOST + b"Content-Length:\r\n"),
    "Transfer-Encoding identity": post(HOST + b"Transfer-Encoding: identity\r\n"),
    "unknown Transfer-Encoding": post(HOST + b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunked not last": post(HOST + b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "chunked behind gzip": post(HOST + b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "Transfer-Encoding twice": post(CHUNKED + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked twice": post(HOST + b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "Transfer-Encoding behind a tab": post(
        HOST + b"Transfer-Encoding:\tchunked\r\n", b"2\r\nab\r\n0\r\n\r\n"
    ),
    "Transfer-Encoding behind a vertical tab": post(
        HOST + b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"
    ),
    "Transfer-Encoding in quotes": post(HOST + b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "Transfer-Encoding in capitals": post(HOST + b"Transfer-Encoding: CHUNKED\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    "Transfer-Encoding in HTTP/1.0": get(fields=CHUNKED, method=b"POST", version=b"1.0") + b"0\r\n\r\n",
    "Transfer-Encoding with a space before the colon": post(
        HOST + b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"
    ),
    "Transfer-Encoding on a folded line": post(HOST + b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    # Chunks.
    "chunk size with plus": post(CHUNKED, b"+2\r\nab\r\n0\r\n\r\n"),
    "chunk size with minus": post(CHUNKED, b"-2\r\nab\r\n0\r\n\r\n"),
    "chunk size with 0x": post(CHUNKED, b"0x2\r\nab\r\n0\r\n\r\n"),
    "empty chunk size": post(CHUNKED, b"\r\nab\r\n0\r\n\r\n"),
    "chunk size with a space behind": post(CHUNKED, b"2 \r\nab\r\n0\r\n\r\n"),
    "chunk extension": post(CHUNKED, b"2;a=b\r\nab\r\n0\r\n\r\n"),
    "chunk extension with a bare LF": post(CHUNKED, b"2;a=b\nab\r\n0\r\n\r\n"),
    "chunk extension of 100 kB": post(CHUNKED, b"2;a=" + b"x" * 100_000 + b"\r\nab\r\n0\r\n\r\n"),
    "chunk longer than its size": post(CHUNKED, b"2\r\nabX0\r\n\r\n"),
    "trailer": post(CHUNKED, b"2\r\nab\r\n0\r\nX-T: v\r\n\r\n"),
    "Content-Length as trailer": post(CHUNKED, b"2\r\nab\r\n0\r\nContent-Length: 9\r\n\r\n"),
    "malformed trailer": post(CHUNKED, b"2\r\nab\r\n0\r\nX T: v\r\n\r\n"),
    # Lines and fields.
    "bare LFs": b"GET / HTTP/1.1\nHost: a\nConnection: close\n\n",
    "one bare LF": get(fields=b"X: y\n" + HOST),
    "bare CR in a value": get(fields=HOST + b"X: a\rb\r\n"),
    "folded line": get(fields=HOST + b"X: a\r\n b\r\n"),
    "NUL in a value": get(fields=HOST + b"X: a\x00b\r\n"),
    "control byte in a value": get(fields=HOST + b"X: a\x01b\r\n"),
    "DEL in a value": get(fields=HOST + b"X: a\x7fb\r\n"),
    "byte above ASCII in a value": get(fields=HOST + b"X: \xe4\r\n"),
    "space before the colon": get(fields=HOST + b"X : a\r\n"),
    "empty name": get(fields=HOST + b": a\r\n"),
    "no colon": get(fields=HOST + b"nonsense\r\n"),
    "NUL in a name": get(fields=HOST + b"X\x00: a\r\n"),
    "bracket in a name": get(fields=HOST + b"X(y): a\r\n"),
    "space before the first field": get(fields=b" Host: a\r\n"),
    "empty lines first": b"\r\n\r\n" + get(),
    "two Hosts": get(fields=b"Host: b\r\n" + HOST),
    "underscore in a name": get(fields=HOST + b"X_Forwarded_For: 1\r\n"),
    "underscore beside a hyphen": get(fields=HOST + b"X_Forwarded_For: 1\r\nX-Forwarded-For: 2\r\n"),
    "Content_Length": get(fields=HOST + b"Content_Length: 5\r\n"),
    "Proxy": get(fields=HOST + b"Proxy: evil\r\n"),
    "Expect of something else": get(fields=HOST + b"Expect: nonsense\r\n"),
    # Request lines.
    "authority as target": get(b"other:80"),
    "asterisk with GET": get(b"*"),
    "fragment": get(b"/x#y"),
    "double slash": get(b"//x/../y"),
    "NUL in the target": get(b"/\x00"),
    "escaped NUL in the target": get(b"/%00"),
    "byte above ASCII in the target": get("/ä".encode()),
    "space in the target": get(b"/a b"),
    "tabs in the request line": b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces in the request line": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP in small letters": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2.0": get(version=b"2.0"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.10": get(version=b"1.10"),
    "method in small letters": get(method=b"get"),
    "method with a bracket": get(method=b"GE(T"),
    "method nobody knows": get(method=b"FROB"),
    "TRACE": get(method=b"TRACE"),
    "body with GET": get(fields=HOST + b"Content-Length: 2\r\n") + b"ab",
    "upgrade to h2c": get(fields=HOST + b"Upgrade: h2c\r\n"),
}
