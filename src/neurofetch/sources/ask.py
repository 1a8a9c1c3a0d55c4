"""Ask for a file of a source, at an address that holds; what is no success becomes an error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import RefusedError
from neurofetch.net.client import Request
from neurofetch.net.failures import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.sources.source import Source

__all__ = ["ASK_FOR_CHECKSUM", "ask", "ask_head", "renewed"]

ASK_FOR_CHECKSUM: Mapping[str, str] = {"x-amz-checksum-mode": "ENABLED"}
"""The header with which S3 is asked to tell the checksum that it keeps of an object."""


def ask(
    client: Client,
    source: Source,
    remote: RemoteFile,
    headers: Mapping[str, str],
    method: str = "GET",
) -> Response:
    """Ask for a file; the response is a success.

    Parameters
    ----------
    client : Client
    source : Source
        Asked for the address; once more for a fresh one, where a signed address is refused.
    remote : RemoteFile
    headers : mapping of str to str
    method : str

    Raises
    ------
    ServerError
        What an unsuccessful response stands for.
    """
    signed = source.signed(remote)
    for fresh in (False, True):
        request = Request(source.address(remote, fresh=fresh), headers, method)
        response = client.send(request)
        if response.status < 300:
            return response
        with response:
            error = failure(response)
        if not signed or fresh or not isinstance(error, RefusedError):
            break
    raise error


def ask_head(client: Client, source: Source, remote: RemoteFile) -> dict[str, str]:
    """Ask what an object is like now, without its content: one request.

    It is a HEAD that asks for the checksum of the whole object, too. A signed address is good for
    GET alone: there the first byte is asked for (or the whole, where there may be no first byte;
    its content is not read).

    Returns
    -------
    dict of str to str
        The headers, names in lower case; ``content-length`` is that of the whole object, and absent
        where the server does not say it.

    Raises
    ------
    ServerError
    """
    if not source.signed(remote):
        with ask(client, source, remote, ASK_FOR_CHECKSUM, "HEAD") as response:
            return response.headers
    first = {"Range": "bytes=0-0"} if remote.size else {}
    with ask(client, source, remote, {**ASK_FOR_CHECKSUM, **first}) as response:
        headers = dict(response.headers)
    if response.status == 206:
        total = headers.pop("content-range", "").rpartition("/")[2]
        headers.pop("content-length", None)
        if total.isdecimal():
            headers["content-length"] = total
    return headers


def renewed(remote: RemoteFile, headers: Mapping[str, str]) -> RemoteFile:
    """Return what an object is like now, as the headers of a response for the whole of it say."""
    text = headers.get("etag", "")
    weak = remote.etag is None and text.startswith("W/")  # it guards no parts: as good as none
    etag = None if weak else text.strip('"') or None
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdecimal() else None
    return replace(remote, etag=etag, size=size, modified=headers.get("last-modified"), digest=None)
