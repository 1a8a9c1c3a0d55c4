"""The bytes of HTTP/1.1: requests to text, response heads to values. Pure.

Only what a client of file servers meets: no upgrades, no trailers worth keeping. What is ambiguous
is an error and never a guess, since a wrong guess about a body's length is a wrong file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurofetch.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HEAD_LIMIT", "Head", "body_length", "chunk_size", "parse_head", "request_bytes"]

HEAD_LIMIT = 64 * 1024
"""Bytes; a response head beyond this is refused."""

UNTIL_CLOSE = -1
CHUNKED = -2


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of a response; header names in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    keep_alive: bool


def request_bytes(
    method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    """Return a request, ready to send.

    Raises
    ------
    ProtocolError
        If a part of it holds a line break (a key with one must have been percent-quoted).
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        msg = f"a line break inside a request for {target!r}: not sent"
        raise ProtocolError(msg)
    return text.encode("latin-1") + b"\r\n\r\n" + (body or b"")


def parse_head(raw: bytes) -> Head:
    """Parse a response head, up to and without the empty line that ends it.

    Raises
    ------
    ProtocolError
        If it is not HTTP/1.x.
    """
    lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdigit():
        msg = f"expected an HTTP/1.1 status line, got {lines[0][:80]!r}"
        raise ProtocolError(msg)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            msg = f"expected a header line, got {line[:80]!r}"
            raise ProtocolError(msg)
        name = name.lower()
        if name in headers:
            value = _joined(name, headers[name], value.strip())
        headers[name] = value.strip()
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
    return Head(int(code), reason, headers, keep)


def _joined(name: str, known: str, value: str) -> str:
    """Return the value of a header that came twice."""
    if name != "content-length":
        return f"{known}, {value}"
    if known != value:
        msg = f"two different Content-Length headers: {known!r} and {value!r}"
        raise ProtocolError(msg)
    return known


def body_length(method: str, head: Head) -> int:
    """Return the length of the body that follows, or `CHUNKED`, or `UNTIL_CLOSE`.

    Follows RFC 9112, section 6.3, less what only servers meet.

    Raises
    ------
    ProtocolError
        If the length is not a number.
    """
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return 0
    if "transfer-encoding" in head.headers:
        coding = head.headers["transfer-encoding"].lower()
        if coding != "chunked":
            msg = f"a transfer coding that we did not ask for: {coding!r}"
            raise ProtocolError(msg)
        return CHUNKED
    text = head.headers.get("content-length")
    if text is None:
        return UNTIL_CLOSE
    if not (text.isascii() and text.isdigit()):
        msg = f"Content-Length is not a number: {text[:40]!r}"
        raise ProtocolError(msg)
    return int(text)


def chunk_size(line: bytes) -> int:
    """Return the size that a chunk's first line announces.

    Raises
    ------
    ProtocolError
        If it is not hexadecimal.
    """
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
        msg = f"expected the size of a chunk, got {line[:40]!r}"
        raise ProtocolError(msg)
    return int(digits, 16)
