"""Responses read by `http.client.HTTPResponse` from the sockets of our pool.

What it takes for a body it reads straight into our buffers, behind a buffer of its own.
"""

from __future__ import annotations

from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from typing import cast

from neurofetch.errors import ProtocolError
from neurofetch.net import client, http1, response

__all__ = ["install"]


class Connection(response.Connection):
    """One socket of the pool."""

    __slots__ = ("said",)

    def hear(self, failed: OSError | None) -> http1.Head:
        """Return the head of the response to a request that was sent, or failed to be."""
        if failed is not None:
            raise failed
        self.said = self._begun()
        while self.said.status < 200:
            self.said = self._begun()
        headers: dict[str, str] = {}
        for name, value in self.said.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        return http1.Head(self.said.status, self.said.reason, headers, not self.said.will_close)

    def _begun(self) -> HTTPResponse:
        said = HTTPResponse(self.sock)
        try:
            said.begin()
        except RemoteDisconnected:
            raise
        except HTTPException as error:
            raise ProtocolError(str(error)) from error
        return said

    def into(self, view: memoryview) -> int:
        """Fill the front of `view`; 0 at the end."""
        return self.said.readinto(view)


class Response(response.Response):
    """A response, whose small body is read in one call."""

    def _read_known(self, limit: int) -> bytes:
        if self._kind > limit:
            raise self._too_long(limit)
        body = cast("Connection", self._connection).said.read()
        if len(body) != self._todo:
            raise self._pool.broken(self.shown_url, ConnectionResetError("ended early"))
        self._todo, self._done = 0, True
        self._watch(len(body))
        return body


def _body_length(method: str, head: http1.Head) -> int:
    """Return the length of a body; it takes chunks apart itself, and says where they end."""
    kind = http1.body_length(method, head)
    return http1.UNTIL_CLOSE if kind == http1.CHUNKED else kind


def install() -> None:
    """Let the client use it."""
    vars(client).update(Connection=Connection, Response=Response)
    vars(response).update(body_length=_body_length)
