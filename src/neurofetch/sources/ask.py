"""Request a file of a source at a valid address; an unsuccessful response becomes an error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import RefusedError, RemoteChangedError, TransientError
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.refusals import check_no_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.sources.source import Source

__all__ = ["ASK_FOR_CHECKSUM", "NoRangesError", "ask", "ask_head", "ask_range", "renewed"]

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
            return _no_page(response, remote)
        with response:
            error = failure(response)
        if not signed or fresh or not isinstance(error, RefusedError):
            break
    raise error


def _no_page(response: Response, remote: RemoteFile) -> Response:
    try:
        check_no_page(response, remote.key, remote.size, remote.etag)
    except BaseException:
        response.close()
        raise
    return response


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


class NoRangesError(Exception):
    """The server cannot, or does not, send parts. A turn of events, not a failure."""


def ask_range(
    client: Client, source: Source, remote: RemoteFile, first: int, last: int
) -> Response:
    """Ask for some bytes of this version of a file; the response is just these.

    Everything else is distrusted: another range, another length, another version.

    Parameters
    ----------
    client : Client
    source : Source
    remote : RemoteFile
        Its ETag, where it has one, guards against another version.
    first, last : int
        The first and the last byte.

    Raises
    ------
    NoRangesError
        If the whole file comes instead.
    RemoteChangedError
        If the object is another one now.
    TransientError
        If the response is for something else: another attempt may cure it.
    ServerError
        If the server refuses.
    """
    headers = {"Range": f"bytes={first}-{last}"}
    if remote.etag:
        headers["If-Match"] = f'"{remote.etag}"'
    response = ask(client, source, remote, headers)
    try:
        _check_range(response, remote, first, last)
    except BaseException:
        response.close()
        raise
    return response


def _check_range(response: Response, remote: RemoteFile, first: int, last: int) -> None:
    whole = response.length in (None, remote.size)
    if response.status == 200 and whole and (first, last + 1) == (0, remote.size):
        return  # the range was all of it
    if response.status == 200 and whole:
        raise NoRangesError
    etag = response.headers.get("etag", "").strip('"')
    if etag and remote.etag and etag != remote.etag:
        msg = f"{remote.key}: changed on the server while it was fetched"
        raise RemoteChangedError(msg)
    got = response.headers.get("content-range", "")
    problem = ""
    if got != f"bytes {first}-{last}/{remote.size}":
        problem = repr(got) if got else f"{response.status} without a range"
    elif response.length not in (None, last - first + 1):
        problem = f"{response.length} bytes"
    if problem:
        msg = f"{remote.key}: asked for bytes {first}-{last}, got {problem}"
        raise TransientError(msg)


def renewed(remote: RemoteFile, headers: Mapping[str, str]) -> RemoteFile:
    """Return what an object is like now, as the headers of a response for the whole of it say."""
    text = headers.get("etag", "")
    weak = remote.etag is None and text.startswith("W/")  # it guards no parts: as good as none
    etag = None if weak else text.strip('"') or None
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdecimal() else None
    return replace(remote, etag=etag, size=size, modified=headers.get("last-modified"), digest=None)
