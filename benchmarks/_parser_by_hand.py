"""Heads and chunks taken apart with the methods of `str` and `bytes`: what there was at first.

It is more lenient than is good: it takes line breaks and NULs in a value, spaces in a name.
"""

from __future__ import annotations

from neurofetch.errors import ProtocolError
from neurofetch.net import http1, response

__all__ = ["install"]

_SIZE, _LAST = -1, -2


def parse_head(raw: bytes) -> http1.Head:
    """Parse a response head."""
    lines = raw[:-4].decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdigit():
        raise ProtocolError(lines[0][:80])
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ProtocolError(line[:80])
        name = name.lower()
        if name in headers:
            value = _joined(name, headers[name], value.strip())
        headers[name] = value.strip()
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
    return http1.Head(int(code), reason, headers, keep)


def _joined(name: str, known: str, value: str) -> str:
    if name != "content-length":
        return f"{known}, {value}"
    if known != value:
        raise ProtocolError(value)
    return known


class Chunks:
    """A chunked body; see `neurofetch.net.http1.Chunks`."""

    def __init__(self) -> None:
        self.ended = self.extra = False
        self._raw = self._body = b""
        self._todo = _SIZE

    def feed(self, data: bytes) -> None:
        """Take what the server sent."""
        self._raw += data
        while self._step():
            pass
        self.extra = self.ended and bool(self._raw)

    def _step(self) -> bool:
        """Take one line, or what there is of a chunk; whether there may be more."""
        if self._todo > 0:
            piece, self._raw = self._raw[: self._todo], self._raw[self._todo :]
            self._body += piece
            self._todo -= len(piece)
            return bool(piece)
        line, end, rest = self._raw.partition(b"\r\n")
        if not end or self.ended:
            return False
        self._raw = rest
        if self._todo == 0:  # the end of a chunk
            self._todo = _SIZE
        elif self._todo == _SIZE:
            self._todo = int(line.partition(b";")[0], 16) or _LAST
        else:
            self.ended = not line
        return True

    def take(self, view: memoryview) -> int:
        """Fill the front of `view`; 0 when there is nothing to take."""
        count = min(len(self._body), len(view))
        view[:count], self._body = self._body[:count], self._body[count:]
        return count


def install() -> None:
    """Let the client use it."""
    vars(response).update(parse_head=parse_head, Chunks=Chunks)
