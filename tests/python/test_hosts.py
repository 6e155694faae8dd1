"""Hosts and origins: how a browser's spelling is read, and what a setting names."""

from __future__ import annotations

import pytest
from dwebsocket.hosts import NULL, Origin, host_of, is_local, parse_entry, parse_origin


@pytest.mark.parametrize(
    ("field", "scheme", "host", "port"),
    [
        ("https://example.com", "https", "example.com", 443),
        ("http://example.com", "http", "example.com", 80),
        ("http://example.com:80", "http", "example.com", 80),
        ("http://example.com:8000", "http", "example.com", 8000),
        ("HTTPS://Example.COM", "https", "example.com", 443),
        ("https://example.com.", "https", "example.com", 443),
        ("https://xn--bcher-kva.example", "https", "xn--bcher-kva.example", 443),
        ("https://a_b.example", "https", "a_b.example", 443),
        ("http://127.0.0.1:5173", "http", "127.0.0.1", 5173),
        ("http://[::1]:5173", "http", "[::1]", 5173),
        ("http://[0:0:0:0:0:0:0:1]", "http", "[::1]", 80),
        ("http://[2001:DB8::A]", "http", "[2001:db8::a]", 80),
        ("http://example.com:65535", "http", "example.com", 65535),
        ("wss://example.com", "https", "example.com", 443),
        ("ws://example.com:8000", "http", "example.com", 8000),
        ("capacitor://localhost", "capacitor", "localhost", None),
        ("moz-extension://0a1b-2c", "moz-extension", "0a1b-2c", None),
        ("file://", "file", "", None),
        ("null", "null", "", None),
        (f"http://{'a' * 63}.example", "http", f"{'a' * 63}.example", 80),
    ],
)
def test_an_origin_is_read_in_its_canonical_spelling(
    field: str, scheme: str, host: str, port: int | None
) -> None:
    assert parse_origin(field) == Origin(scheme, host, port)


@pytest.mark.parametrize(
    "field",
    [
        "",
        " ",
        "*",
        "example.com",
        "//example.com",
        "https:example.com",
        "https:/example.com",
        "https://",
        "https://.",
        "https://.example.com",
        "https://*.example.com",
        "https://example..com",
        "https://example.com..",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?query",
        "https://example.com#fragment",
        "https://user@example.com",
        "https://user:word@example.com",
        "https://example.com@evil.example",
        "https://example.com:443@evil.example",
        "https://evil.example\\@example.com",
        "https://evil.example\\.example.com",
        "https://evil.example%2eexample.com",
        "https://evil.example%00.example.com",
        "https://evil.example\x00.example.com",
        "https://evil.example example.com",
        "https://example.com\n",
        "https://example.com, https://evil.example",
        "https://example.com,https://evil.example",
        "https://example.com https://evil.example",
        "null, null",
        "NULL",
        "null://",
        "https://example.com:",
        "https://example.com:65536",
        "https://example.com:-1",
        "https://example.com:80:80",
        "https://example.com:８０",
        "https://ｅxample.com",
        "https://example。com",
        "https://bücher.example",
        "https://\u212aelvin.example",
        "https://example.com\u200b",
        "http://127.1",
        "http://0x7f.0.0.1",
        "http://2130706433",
        "http://127.0.0.01",
        "http://127.0.0.256",
        "http://1.2.3.4.5",
        "http://[::1",
        "http://::1",
        "http://[::1]evil.example",
        "http://[::1%eth0]",
        "http://[]",
        "http://[localhost]",
        f"http://{'a' * 64}.example",
        f"http://{'.'.join(['a' * 49] * 5)}.example",
    ],
)
def test_what_no_browser_sends_is_no_origin(field: str) -> None:
    assert parse_origin(field) is None


@pytest.mark.parametrize(
    ("entry", "named", "others"),
    [
        (
            "https://example.com",
            ["https://example.com", "https://example.com:443", "wss://example.com"],
            ["http://example.com", "https://example.com:8443", "https://www.example.com", "null"],
        ),
        (
            "https://example.com:8443",
            ["https://example.com:8443"],
            ["https://example.com", "http://example.com:8443"],
        ),
        (
            "https://*.example.com",
            ["https://example.com", "https://www.example.com", "https://a.b.example.com"],
            ["http://www.example.com", "https://www.example.com:8443", "https://badexample.com"],
        ),
        ("https://*.example.com:8443", ["https://a.example.com:8443"], ["https://a.example.com"]),
        (
            "example.com",
            ["http://example.com", "https://example.com", "http://example.com:8000"],
            ["http://www.example.com", "capacitor://example.com", "http://example.com.evil.example"],
        ),
        (
            ".example.com",
            ["http://example.com", "https://www.example.com:8443"],
            ["https://badexample.com", "https://example.com.evil.example", "https://com"],
        ),
        ("*.example.com", ["http://example.com", "https://www.example.com"], ["https://badexample.com"]),
        (
            "example.com:8000",
            ["http://example.com:8000", "https://example.com:8000"],
            ["http://example.com", "https://example.com:8001"],
        ),
        ("Example.COM.", ["https://example.com", "https://example.com."], ["https://example.org"]),
        ("[::1]", ["http://[::1]", "http://[::1]:5173"], ["http://[::2]", "http://127.0.0.1"]),
        ("[0:0::1]:80", ["http://[::1]"], ["http://[::1]:8000"]),
        ("127.0.0.1", ["http://127.0.0.1:5173"], ["http://127.0.0.2", "http://a.127.0.0.1.example"]),
        (
            "bücher.example",
            ["https://xn--bcher-kva.example"],
            ["https://bucher.example", "https://xn--bcher-kva.example.org"],
        ),
        ("https://*.BÜCHER.example", ["https://www.xn--bcher-kva.example"], []),
        ("https://straße.example", ["https://xn--strae-oqa.example"], ["https://strasse.example"]),
        ("例え。テスト", ["https://xn--r8jz45g.xn--zckzah"], []),
        ("ｅｘａｍｐｌｅ．com", ["https://example.com"], []),
        ("null", ["null"], ["http://null", "file://"]),
        ("file://", ["file://"], ["null"]),
        ("capacitor://localhost", ["capacitor://localhost"], ["http://localhost", "ionic://localhost"]),
    ],
)
def test_an_entry_names_its_origins_and_no_others(entry: str, named: list[str], others: list[str]) -> None:
    parsed = parse_entry(entry)
    assert parsed is not None
    origins = {field: parse_origin(field) for field in [*named, *others]}
    assert [field for field, origin in origins.items() if origin and parsed.names(origin)] == named


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        ".",
        "*.",
        "https://*",
        "https://",
        "https://example.com/",
        "https://user@example.com",
        "*example.com",
        "*.*.example.com",
        "www.*.example.com",
        "example.com:port",
        "example.com:*",
        "::1",
        "*.[::1]",
        ".0.0.1",
        "*.127.0.0.1",
        "a／b.example",
        "NULL://",
    ],
)
def test_an_entry_that_is_no_host_names_nobody(entry: str) -> None:
    assert parse_entry(entry) is None


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com:8000", "example.com"),
        ("example.com.:8000", "example.com"),
        ("[::1]:8000", "[::1]"),
        (".example.com", None),
        ("", None),
        ("a, b", None),
        ("user@example.com", None),
    ],
)
def test_the_host_of_a_request_is_read_as_that_of_an_origin(authority: str, host: str | None) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("0.0.0.0", True),
        ("[::1]", True),
        ("[::]", True),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("128.0.0.1", False),
        ("192.168.0.1", False),
        ("[::2]", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_localhost_has_many_spellings(host: str, local: bool) -> None:
    assert is_local(host) is local


@pytest.mark.parametrize("field", ["https://example.com", "http://[::1]:5173", "null", "file://", "a://b"])
def test_an_origin_is_written_as_a_browser_sends_it(field: str) -> None:
    assert str(parse_origin(field)) == field


def test_an_origin_is_written_without_its_default_port() -> None:
    assert str(parse_origin("https://Example.com.:443")) == "https://example.com"
    assert str(NULL) == "null"
