"""The bytes of HTTP/1.1: requests to text, responses to values. Pure.

Responses are read by llhttp, the strict parser of Node.js (the package ``httptools``). What is
ambiguous is an error and never a guess, since a wrong guess about a body's length is a wrong file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from neurofetch.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHUNKED",
    "HEAD_LIMIT",
    "UNTIL_CLOSE",
    "Chunks",
    "Head",
    "Request",
    "body_length",
    "parse_head",
    "quoted_url",
    "redirected",
    "request_bytes",
    "shown",
]

HEAD_LIMIT = 64 * 1024
"""Bytes; a response head beyond this is refused."""

UNTIL_CLOSE = -1
CHUNKED = -2
_PRIVATE = frozenset({"authorization", "cookie"})
"""Headers that are only for the server they were given for."""
_NO_BODY = 4096
"""Bytes of a chunked body that hold nothing of it (trailers, say), one after another, at most."""
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
"""Tells a parser that chunks follow, and that what follows on them is no second response."""


_IN_URLS = "%/:=&?~#+!$,;'@()*[]"
"""Characters that a URL of a server keeps; all others but letters and digits are quoted."""


def quoted_url(url: str | bytes) -> str:
    """Return a URL as a server wrote it, quoted where it has to be; what is quoted stays so.

    Examples
    --------
    >>> quoted_url("http://host/a map%20of é.nii.gz?x=1")
    'http://host/a%20map%20of%20%C3%A9.nii.gz?x=1'
    """
    return quote(url, safe=_IN_URLS)


def shown(url: str) -> str:
    """Return of a URL what may be shown: neither a signature in its query, nor a password.

    Examples
    --------
    >>> shown("https://name:password@host/a@b?X-Amz-Signature=c")
    'https://host/a@b'
    """
    plain = url.partition("?")[0]
    if "@" not in plain:
        return plain
    scheme, separator, rest = plain.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask.

    Parameters
    ----------
    url : str
        Absolute, percent-quoted.
    headers : mapping of str to str
    method : str
    body : bytes or None
    redirects : int
        How many to follow. From https to http none is followed.
    patience : float
        Seconds without a byte that are allowed, where that is more than for others: for an answer
        that takes long to be worked out.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None
    redirects: int = 5
    patience: float = 0.0

    @property
    def shown_url(self) -> str:
        """The URL without its query, which may carry a signature, and without a password."""
        return shown(self.url)


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
        If a part of it holds a line break (a key with one must have been percent-quoted), or a
        character that HTTP cannot carry.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        msg = f"a line break inside a request for {target!r}: not sent"
        raise ProtocolError(msg)
    try:
        return text.encode("latin-1") + b"\r\n\r\n" + (body or b"")
    except UnicodeEncodeError as error:
        odd = error.object[error.start]
        msg = f"a request for {target!r} holds {odd!r}, which HTTP cannot carry: not sent"
        raise ProtocolError(msg) from error


def redirected(request: Request, status: int, location: str) -> Request:
    """Return the request that a redirect leads to.

    Parameters
    ----------
    request : Request
        The one that was answered so.
    status : int
    location : str
        The header, as it came.

    Raises
    ------
    ProtocolError
        If it leads to no ``http://`` or ``https://`` address, or from https to http.
    """
    old = urlsplit(request.url)
    try:
        new = urlsplit(urljoin(request.url, quoted_url(location.encode("latin-1"))))
        usable = new.scheme in ("http", "https") and bool(new.hostname) and new.port != 0
    except ValueError as error:  # a bracket without its other half, a port that is none
        msg = f"{request.shown_url}: a redirect ({status}) to an address that is none"
        raise ProtocolError(msg) from error
    place = new.netloc.rpartition("@")[2]
    if not usable or (old.scheme, new.scheme) == ("https", "http"):
        shown = f"{new.scheme}://{place}{new.path}"[:200]
        msg = f"{request.shown_url}: a redirect from {old.scheme} to {shown} is not followed"
        raise ProtocolError(msg)
    headers = dict(request.headers)
    if old.netloc != new.netloc:
        headers = {k: v for k, v in headers.items() if k.lower() not in _PRIVATE}
    method, body = request.method, request.body
    if status == 303 and method != "HEAD":
        method, body = "GET", None
    url = urlunsplit((new.scheme, place, new.path, new.query, ""))
    return Request(url, headers, method, body, request.redirects)


def parse_head(raw: bytes) -> Head:
    """Parse a response head, up to and with the empty line that ends it.

    Raises
    ------
    ProtocolError
        If it is not HTTP/1.x, or breaks its rules.
    """
    if not raw.startswith(b"HTTP/1."):  # llhttp takes HTTP/2.0, RTSP and ICE as well
        msg = f"expected an HTTP/1.1 status line, got {_first_line(raw)}"
        raise ProtocolError(msg)
    lines = _Lines()
    parser = HttpResponseParser(lines)
    try:
        parser.feed_data(raw)
    except (HttpParserError, HttpParserUpgrade) as error:
        what = error if isinstance(error, HttpParserError) else "a switch to another protocol"
        msg = f"a response that breaks the rules of HTTP/1.1: {what}, after {_first_line(raw)}"
        raise ProtocolError(msg) from error
    # The parser's own `should_keep_alive` forgets "close" when no body follows.
    connection = lines.headers.get("connection", "").lower()
    keep = "close" not in connection and (raw[7:8] != b"0" or "keep-alive" in connection)
    return Head(parser.get_status_code(), lines.reason, lines.headers, keep)


def _first_line(raw: bytes) -> str:
    return repr(raw.partition(b"\r\n")[0][:80].decode("latin-1"))


class _Lines:
    """What the parser finds in a head."""

    __slots__ = ("headers", "reason")

    def __init__(self) -> None:
        self.reason = ""
        self.headers: dict[str, str] = {}

    def on_status(self, reason: bytes) -> None:
        self.reason = reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = _key(name), value.decode("latin-1").rstrip(" \t")
        known = self.headers.setdefault(key, text)
        if known != text:  # what proxies say once more is said once: one ETag stays that
            self.headers[key] = f"{known}, {text}"


@lru_cache(256)
def _key(name: bytes) -> str:
    """Return the name of a header as it is looked up."""
    return name.decode("latin-1").lower()


def body_length(method: str, head: Head) -> int:
    """Return the length of the body that follows, or `CHUNKED`, or `UNTIL_CLOSE`.

    Follows RFC 9112, section 6.3; the parser has seen to it that there is one length, and that it
    is a number.

    Raises
    ------
    ProtocolError
        If the body comes in a coding that was not asked for.
    """
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return 0
    coding = head.headers.get("transfer-encoding")
    if coding is None:
        return int(head.headers.get("content-length", UNTIL_CLOSE))
    if coding.lower() != "chunked":
        msg = f"a transfer coding that was not asked for: {coding!r}"
        raise ProtocolError(msg)
    return CHUNKED


class Chunks:
    """A chunked body: what the server sent goes in, the bytes of the body come out.

    Attributes
    ----------
    ended : bool
        Whether the last chunk came, and all that belongs to it.
    extra : bool
        Whether more came after that.
    """

    __slots__ = ("_body", "_idle", "_parser", "ended", "extra", "on_body")

    def __init__(self) -> None:
        self.ended = self.extra = False
        self._body = bytearray()
        self._idle = 0
        self.on_body = self._body.extend
        self._parser = HttpResponseParser(self)
        # Old servers pad the size of a chunk with spaces, which no reader can misread.
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self._parser.feed_data(_CHUNKED_HEAD)

    def on_message_complete(self) -> None:
        """Note that the last chunk came: for the parser to call."""
        self.ended = True

    def feed(self, data: bytes) -> None:
        """Take what the server sent.

        Raises
        ------
        ProtocolError
            If it is no chunked body, or one that never ends.
        """
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self.extra = self.ended
            if not self.ended:
                msg = f"a chunked body that breaks the rules of HTTP/1.1: {error}"
                raise ProtocolError(msg) from error
        self._idle = 0 if self._body else self._idle + len(data)
        if self._idle > _NO_BODY:
            msg = f"more than {_NO_BODY} bytes of trailers, or of a chunk without its bytes"
            raise ProtocolError(msg)

    def take(self, view: memoryview) -> int:
        """Fill the front of `view`; 0 when there is nothing to take."""
        count = min(len(self._body), len(view))
        view[:count] = self._body[:count]
        del self._body[:count]
        return count
