"""HTTP/1.1 as the load generator needs it: request bytes out, one response in, nothing more.

Not a general client: no TLS, no compression, no pipelining. Parsing does as little as possible so that
the generator stays far cheaper than what it measures. RFC 9112 sections 5 and 6.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote_plus, urlencode

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LOCATION = re.compile(rb"\r\nlocation: *([^\r]*)", re.IGNORECASE)
_SET_COOKIE = re.compile(rb"\r\nset-cookie: *([^=;\r]+)=([^;\r]*)([^\r]*)", re.IGNORECASE)
_EXPIRED = re.compile(rb"max-age=0(?:;|$)|expires=thu, 01[ -]jan[ -]1970", re.IGNORECASE)


class MalformedResponseError(Exception):
    """The bytes received are not an HTTP/1.1 response this generator can read."""


class Response:
    """One response: `status`, the raw `head` (status line and headers) and the `body` without its framing."""

    __slots__ = ("body", "head", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.head = head
        self.body = body

    @property
    def location(self) -> str | None:
        """The redirect target as sent (it may be relative), or None."""
        found = _LOCATION.search(self.head)
        return found.group(1).decode("ascii") if found else None

    @property
    def closes(self) -> bool:
        """Does the server end the connection after this response?"""
        return _CLOSE.search(self.head) is not None

    def set_cookies(self) -> Iterator[tuple[str, str | None]]:
        """Each cookie set as (name, value); value None means that the cookie was deleted."""
        for name, value, attributes in _SET_COOKIE.findall(self.head):
            gone = _EXPIRED.search(attributes) is not None
            yield name.decode("ascii").strip(), None if gone else value.decode("ascii")


def parse_response(buffer: bytes) -> tuple[Response, int] | None:
    """The response at the start of `buffer` and how many bytes it took, or None when more bytes are needed.

    Raises MalformedResponseError when the bytes cannot become a response with a known length.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not buffer.startswith(b"HTTP/1."):
        raise MalformedResponseError(repr(buffer[:60]))
    status = int(buffer[9:12])
    start = end + 4
    head = buffer[:end]
    length = _LENGTH.search(head)
    if length is not None:
        stop = start + int(length.group(1))
        return (Response(status, head, buffer[start:stop]), stop) if len(buffer) >= stop else None
    if _CHUNKED.search(head) is not None:
        unchunked = _unchunk(buffer, start)
        return None if unchunked is None else (Response(status, head, unchunked[0]), unchunked[1])
    if status in (204, 304):
        return Response(status, head, b""), start
    raise MalformedResponseError("neither a length nor chunks")


def _unchunk(buffer: bytes, at: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(buffer[at:line_end].split(b";", 1)[0], 16)
        at = line_end + 2
        if len(buffer) < at + size + 2:
            return None
        if size == 0:
            return b"".join(parts), at + 2
        parts.append(buffer[at : at + size])
        at += size + 2


def get(host: str, target: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a GET of `target` (path and query)."""
    return _head("GET", host, target, headers) + b"\r\n"


def post(host: str, target: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a POST of `form` as application/x-www-form-urlencoded."""
    body = urlencode(form).encode("ascii")
    return (
        _head("POST", host, target, headers)
        + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )


def _head(method: str, host: str, target: str, headers: Mapping[str, str] | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines.extend(f"{name}: {value}" for name, value in (headers or {}).items())
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def basic(client_id: str, client_secret: str) -> dict[str, str]:
    """The Authorization header of client_secret_basic (RFC 6749 section 2.3.1: both halves form-encoded first)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode("ascii")
    return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def bearer(token: str) -> dict[str, str]:
    """The Authorization header of RFC 6750 section 2.1."""
    return {"Authorization": f"Bearer {token}"}
