"""A server between a client and another server: it hands on, keeps a log, and can misbehave."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from testbed._blobs import Bytes
from testbed._faults import Reply
from testbed._wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.s3 import Request

_OWN = frozenset({"content-length", "connection", "server", "date", "transfer-encoding"})


class Relay(WireServer):
    """Stand before an S3 server that can neither misbehave nor make its pages short.

    Parameters
    ----------
    url
        Of the server behind.
    page_size
        Keys on a page of a listing.
    """

    def __init__(self, url: str, page_size: int) -> None:
        super().__init__()
        self._behind = urlsplit(url).netloc
        self._page_size = page_size

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        bucket, _, key = path.removeprefix("/").partition("/")
        return ("LIST" if "list-type" in query else method), bucket, key

    def answer(self, request: Request) -> Reply:
        query = dict(request.query)
        listing = request.method == "LIST"
        if listing:
            query["max-keys"] = str(self._page_size)
        target = quote(f"/{request.bucket}/{request.key}") + (
            f"?{urlencode(query)}" if query else ""
        )
        kept = {name: value for name, value in request.headers.items() if name != "host"}
        connection = http.client.HTTPConnection(self._behind, timeout=10)
        try:
            connection.request("GET" if listing else request.method, target, headers=kept)
            came = connection.getresponse()
            headers = {name: value for name, value in came.getheaders() if name.lower() not in _OWN}
            length = came.getheader("Content-Length")
            if request.method == "HEAD" and length:
                headers["Content-Length"] = length
            return Reply(came.status, headers, Bytes(came.read()))
        finally:
            connection.close()
