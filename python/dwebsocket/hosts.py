"""Hosts and origins (RFC 6454), as browsers send them and as settings name them. Reads no setting itself."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
"""The schemes of web pages; an origin leaves its scheme's port out."""

_PAGE_SCHEMES: Final = {"ws": "http", "wss": "https"}
"""Native clients put the scheme of the WebSocket's address into the field; no browser does."""

_SCHEME: Final = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
_AUTHORITY: Final = r"(?P<host>\[[^\[\]]*\]|[^\[\]:/?#@\s]*)(?::(?P<port>[0-9]{1,5}))?"
_ORIGIN: Final = re.compile(_SCHEME + _AUTHORITY)
_ENTRY: Final = re.compile(rf"(?:{_SCHEME})?(?P<subdomains>\*?\.)?{_AUTHORITY}")
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LAST_PORT: Final = 65_535
_LONGEST_HOST: Final = 253
_LONGEST_CACHED: Final = 300


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from, in the spelling of browsers: lower case, no trailing dot, ``xn--`` labels.

    Attributes:
        scheme: "https", and so on; "null" alone for an origin that is kept secret.
        host: an IPv6 address in brackets; empty for "null" and ``file://``.
        port: the scheme's own one where none was given; None for a scheme that has none.
    """

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        """As a browser sends it."""
        if self == NULL:
            return "null"
        port = "" if self.port == DEFAULT_PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def is_of_web_page(self) -> bool:
        """Whether the page came by HTTP, so that its host is a host of the network."""
        return self.scheme in DEFAULT_PORTS


NULL: Final = Origin("null", "", None)
"""The origin of a sandboxed frame, a ``data:`` page and whatever else must not be told from others."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a setting names: an origin, or a host whatever the port, each perhaps with its subdomains.

    Attributes:
        scheme: None stands for http and https.
        host: as in ``Origin``.
        subdomains: whether the hosts below it are meant as well.
        port: None stands for any where the scheme is None.
    """

    scheme: str | None
    host: str
    subdomains: bool
    port: int | None

    def names(self, origin: Origin) -> bool:
        """Whether the origin is meant."""
        if self.scheme is None:
            fits = origin.is_of_web_page and self.port in (None, origin.port)
        else:
            fits = (self.scheme, self.port) == (origin.scheme, origin.port)
        below = self.subdomains and origin.host.endswith(f".{self.host}")
        return fits and (below or self.host == origin.host)


def parse_origin(field: str) -> Origin | None:
    """The origin that a browser sent.

    Args:
        field: the value of ``Origin``.

    Returns:
        None for what no browser sends: several origins, a path, a user name, a letter outside ASCII.
    """
    # Long ones, which no browser sends, would only fill the cache.
    parse = _parse_origin if len(field) <= _LONGEST_CACHED else _parse_origin.__wrapped__
    return parse(field)


@lru_cache(1024)
def _parse_origin(field: str) -> Origin | None:
    if field == "null":
        return NULL
    match = _ORIGIN.fullmatch(field)
    return _origin(match["scheme"], match["host"], match["port"]) if match else None


@lru_cache(1024)
def parse_entry(text: str) -> Entry | None:
    """What a setting names by ``https://example.com``, ``*.example.com``, ``.example.com`` or ``[::1]:8000``.

    A host may have letters outside ASCII. A name with subdomains means the domain itself too, as in Django.

    Returns:
        None when it names nothing.
    """
    if text == "null":
        return Entry("null", "", False, None)
    match = _ENTRY.fullmatch(text)
    if match is None:
        return None
    host = match["host"] if match["host"].isascii() else _to_ascii(match["host"])
    origin = _origin(match["scheme"] or "http", host, match["port"])
    if origin is None or (match["subdomains"] and not _is_name(origin.host)):
        return None
    if match["scheme"]:
        return Entry(origin.scheme, origin.host, bool(match["subdomains"]), origin.port)
    return Entry(None, origin.host, bool(match["subdomains"]), origin.port if match["port"] else None)


def host_of(authority: str) -> str | None:
    """The host of a ``Host`` field, as an ``Origin`` has it; None when there is none."""
    origin = parse_origin(f"http://{authority}")
    return origin.host if origin else None


def is_local(host: str) -> bool:
    """Whether a host, as an ``Origin`` has it, is always the machine itself."""
    if _is_name(host):
        return host == "localhost" or host.endswith(".localhost")
    address = IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    # What is unspecified (0.0.0.0, [::]) leads to the machine itself when it is connected to.
    return address.is_loopback or address.is_unspecified


def _origin(scheme: str, host: str, port: str | None) -> Origin | None:
    scheme = scheme.lower()
    scheme = _PAGE_SCHEMES.get(scheme, scheme)
    canonical = "" if scheme == "file" and not host else _canonical(host)
    number = DEFAULT_PORTS.get(scheme) if port is None else int(port)
    if canonical is None or (number is not None and number > _LAST_PORT):
        return None
    return Origin(scheme, canonical, number)


def _canonical(host: str) -> str | None:
    # Lower case comes behind this look: the Kelvin sign, for one, has a "k" as its small letter.
    if not host.isascii():
        return None
    host = host.lower()
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
            return None if address.scope_id else f"[{address.compressed}]"
        host = host.removesuffix(".")
        if not _is_name(host):
            return str(IPv4Address(host))
    except ValueError:
        return None
    labels = host.split(".")
    fits = len(host) <= _LONGEST_HOST and all(_LABEL.fullmatch(label) for label in labels)
    return host if fits else None


def _is_name(host: str) -> bool:
    # A host whose last label is a number is an IPv4 address to a browser (WHATWG URL, "ends in a number").
    return not host.startswith("[") and not _NUMBER.fullmatch(host.rpartition(".")[2])


def _to_ascii(host: str) -> str:
    # What UTS #46 does to letters, without its tables. Python's "idna" codec is IDNA 2003, by which straße.de
    # is strasse.de, a name that another may own.
    mapped = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", host).lower()).replace("。", ".")
    labels = mapped.split(".")
    return ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels
    )
