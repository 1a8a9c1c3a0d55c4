"""Request a file of a source at a valid address; an unsuccessful response becomes an error."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING

from neurofetch.errors import (
    InterruptedTransferError,
    MissingRemoteError,
    NetworkAwayError,
    ProtocolError,
    RefusedError,
    RemoteChangedError,
    ServerError,
    TransientError,
)
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.outage import LineError
from neurofetch.net.refusals import PORTAL, check_no_page
from neurofetch.sources.etag import if_match, is_weak, read_etag, same_etag
from neurofetch.sources.source import is_pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import Attempts
    from neurofetch.sources.source import Source

    Tell = Callable[[TransientError, float], None]

__all__ = [
    "ASK_FOR_CHECKSUM",
    "PAST_CACHES",
    "NoRangesError",
    "OtherLengthError",
    "OtherPartError",
    "UntoldPartError",
    "ask",
    "ask_first",
    "ask_head",
    "ask_part_length",
    "ask_range",
    "check_answer",
    "look",
    "moment",
    "moved_on",
    "renewed",
    "tells_etag",
    "version_told",
]

ASK_FOR_CHECKSUM: Mapping[str, str] = {"x-amz-checksum-mode": "ENABLED"}
"""The header with which S3 is asked to tell the checksum that it keeps of an object."""
PAST_CACHES: Mapping[str, str] = {"Cache-Control": "no-cache"}
"""The header that asks caches on the way to ask the server: what they keep may be damaged."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"(?:bytes[ =])?\s*([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HEADS = 2
"""So many attempts are made with HEAD, where it fails in a way that passes; the rest with GET."""
_NO_HEAD = (MissingRemoteError, ProtocolError, RefusedError)
"""What a HEAD may end with where a GET is answered."""
_WHOLE = (200, 203)
"""Statuses with which all of a file comes; 203 is what a proxy makes of a 200."""


def version_told(headers: Mapping[str, str]) -> str:
    """Return the version of an object, as S3 counts them; "" where it keeps none.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html: "null" is no version.

    Parameters
    ----------
    headers : mapping of str to str
        Of a response for the object, names in lower case.
    """
    told = headers.get("x-amz-version-id", "").strip()
    return told if _VERSION.fullmatch(told) and told != "null" else ""


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
        request, began = Request(source.address(remote, fresh=fresh), headers, method), monotonic()
        response = client.send(request)
        if response.status < 300:
            if method == "HEAD":
                return response
            try:
                return _no_page(response, remote)
            except TransientError as page:
                raise client.page_came(request, began, page) from page
        with response:
            error = failure(response)
        if method == "HEAD" and response.status == 501:  # it knows no HEAD, and never will
            error = ProtocolError(str(error))
        if not signed or fresh or not isinstance(error, RefusedError):
            break
    if isinstance(error, RefusedError) and error.advice == PORTAL:
        raise client.page_came(request, began, error) from error
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
    GET alone: there it is `ask_first`.

    Returns
    -------
    dict of str to str
        The headers, names in lower case; ``content-length`` is that of the whole object, and absent
        where the server does not say it.

    Raises
    ------
    ServerError
    """
    if source.signed(remote):
        return ask_first(client, source, remote)
    with ask(client, source, remote, ASK_FOR_CHECKSUM, "HEAD") as response:
        return response.headers


def ask_first(client: Client, source: Source, remote: RemoteFile) -> dict[str, str]:
    """Ask what an object is like now by a GET of its first byte.

    Where there may be no first byte, the whole is asked for; its content is not read.

    Returns
    -------
    dict of str to str
        As `ask_head`.

    Raises
    ------
    ServerError
    """
    first = {"Range": "bytes=0-0"} if remote.size and remote.ranges else {}
    try:
        response = ask(client, source, remote, {**ASK_FOR_CHECKSUM, **first})
    except ProtocolError:
        if not first:
            raise
        response = ask(client, source, remote, ASK_FOR_CHECKSUM)  # it may be empty by now
    with response:
        headers = dict(response.headers)
    if response.status == 206:
        total = headers.pop("content-range", "").rpartition("/")[2]
        headers.pop("content-length", None)
        if _NUMBER.fullmatch(total):
            headers["content-length"] = total
    return headers


def ask_part_length(
    client: Client, source: Source, remote: RemoteFile, number: int, parts: int
) -> int | None:
    """Ask how large a part of the upload of an object was: one HEAD.

    S3 tells it (``?partNumber=``, https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html),
    MinIO and Ceph do. Others answer as if no part had been asked for.

    Parameters
    ----------
    client : Client
    source : Source
    remote : RemoteFile
    number : int
        From 1.
    parts : int
        How many there are, as the ETag says.

    Returns
    -------
    int or None
        Bytes; None where the server does not tell, or tells of another object.
    """
    if source.signed(remote):
        return None
    try:
        address = source.address(remote)
        mark = "&" if "?" in address else "?"
        request = Request(f"{address}{mark}partNumber={number}", if_match(remote), "HEAD")
        headers, status = _told_of_part(client, request)
    except (InterruptedTransferError, NetworkAwayError):
        raise
    except ServerError:
        return None
    length, told = headers.get("content-length", ""), headers.get("x-amz-mp-parts-count", "")
    etag = read_etag(headers.get("etag", ""))
    if status not in (200, 206) or not same_etag(etag, remote.etag):
        return None
    if not _NUMBER.fullmatch(length) or (told and told != str(parts)):
        return None
    whole = parts > 1 and int(length) >= (remote.size or 0)
    return None if whole or int(length) < 1 else int(length)


def _told_of_part(client: Client, request: Request) -> tuple[dict[str, str], int]:
    """Ask once; again only when the network was away."""
    while True:
        try:
            with client.send(request) as response:
                return response.headers, response.status
        except LineError as error:
            if not client.outages.rode_out(error):
                raise


class NoRangesError(Exception):
    """The server cannot, or does not, send parts. A turn of events, not a failure."""


class OtherPartError(TransientError):
    """Another part came than was asked for, or one that does not say of what it is a part."""


class OtherLengthError(TransientError):
    """A file of known content comes with another length: so it is another file, or an error."""


class UntoldPartError(OtherPartError):
    """A part came without the ETag that the server tells of the object."""


def ask_range(
    client: Client,
    source: Source,
    remote: RemoteFile,
    first: int,
    last: int,
    *,
    guard: bool = True,
    tells: bool = False,
    past_caches: bool = False,
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
    guard : bool
        Send the ETag as the condition of the request. Without it, each response must tell the ETag.
    tells : bool
        Only the ETag says whose part it is, and the server tells it: an answer without it is none.
    past_caches : bool
        It came wrong before: ask the server itself.

    Raises
    ------
    NoRangesError
        If the whole file comes instead.
    RemoteChangedError
        If the object is another one now.
    OtherPartError
        If the response is for something else: another attempt may cure it.
    ServerError
        If the server refuses.
    """
    more = {**(if_match(remote) if guard else {}), **(PAST_CACHES if past_caches else {})}
    response = ask(client, source, remote, {"Range": f"bytes={first}-{last}", **more})
    try:
        check_answer(response, remote, (first, last), told=not guard, tells=tells)
    except BaseException:
        response.close()
        raise
    return response


def check_answer(
    response: Response,
    remote: RemoteFile,
    span: tuple[int, int] | None = None,
    *,
    told: bool = False,
    tells: bool = False,
) -> None:
    """See that a response is the answer to what was asked, as far as its head can prove it.

    Parameters
    ----------
    response : Response
        A successful one.
    remote : RemoteFile
        What was asked for. Its ETag is compared as a text: also one that is no checksum tells one
        object from another.
    span : tuple of (int, int), optional
        The first and the last byte that were asked for; by default all.
    told : bool
        A part counts only where the response tells the ETag.
    tells : bool
        So it is, and the server is known to tell it.

    Raises
    ------
    NoRangesError
        If the whole file comes instead of a part, or it cannot be told of what it is a part.
    RemoteChangedError
        If it is of another version of the object, or of another object.
    TransientError
        If it is for something else: another attempt may cure it.
    """
    etag = read_etag(response.headers.get("etag", ""))
    if etag and remote.etag and not same_etag(etag, remote.etag):
        msg = f"{remote.key}: changed on the server since it was listed"
        raise RemoteChangedError(msg)
    proved = same_etag(etag, remote.etag)
    if span is not None:
        _check_part(response, remote, span, proved=proved)
        if tells and etag is None:
            msg = f"{remote.key}: an answer without the ETag that the server tells of it"
            raise UntoldPartError(msg)
        if told and not proved:
            raise NoRangesError
        return
    size, length = remote.size, response.length
    if size is not None and length not in (None, size):
        msg = f"{remote.key}: {length} bytes announced, {size} listed"
        if remote.digest is not None and response.status in _WHOLE:
            raise OtherLengthError(msg)
        raise TransientError(msg)
    if response.status in _WHOLE:
        return
    span = (0, size - 1) if size else None
    if response.status != 206 or span is None:
        msg = f"{remote.key}: asked for all of it, got an answer {response.status}"
        raise TransientError(msg)
    _check_part(response, remote, span, proved=proved)


def _check_part(
    response: Response, remote: RemoteFile, span: tuple[int, int], *, proved: bool
) -> None:
    first, last = span
    whole = response.length in (None, remote.size)
    if response.status in _WHOLE and whole:
        if (first, last + 1) == (0, remote.size):
            return  # the range was all of it
        raise NoRangesError
    got = response.headers.get("content-range", "")
    told = _RANGE.fullmatch(got.strip())
    problem = ""
    if told is None or (int(told[1]), int(told[2])) != span:
        problem = repr(got[:80]) if got else f"{response.status} without a range"
    elif told[3] == "*" and not (proved and response.length == last - first + 1):
        problem = f"{got!r}, which does not say of how many"
    elif told[3] not in ("*", str(remote.size)):
        problem = repr(got)
    elif response.length not in (None, last - first + 1):
        problem = f"{response.length} bytes"
    if problem:
        msg = f"{remote.key}: asked for bytes {first}-{last}, got {problem}"
        raise OtherPartError(msg)


def look(
    client: Client,
    source: Source,
    remote: RemoteFile,
    attempts: Attempts,
    tell: Tell | None = None,
    *,
    doubt: bool = False,
) -> tuple[RemoteFile, dict[str, str]]:
    """Ask what an object is like now, and believe it only as far as the object itself bears it out.

    A HEAD is a hint: gateways, caches and portals answer it in their own way, or not at all. Where
    it agrees with the listing, or with nothing, its headers count. Where it says another ETag or
    length, the object is asked by a GET of its first byte, and that decides. So two answers must
    agree before a file is another one than was listed: an answer to some other request does not do.

    Parameters
    ----------
    client : Client
    source : Source
    remote : RemoteFile
        As it was listed.
    attempts : Attempts
    tell : callable, optional
        Called as that of `Attempts.run`.
    doubt : bool
        An answer said already that the object is another one: a HEAD without an ETag does not do.

    Returns
    -------
    tuple of (RemoteFile, dict of str to str)
        The object as it is now, and the headers that tell of its content; none where no answer
        could be used.

    Raises
    ------
    ServerError
    """
    if is_pinned(source, remote):
        return remote, {}  # its content is known: another one is of no use
    try:
        hint, first = _hinted(client, source, remote, attempts, tell)
    except _NO_HEAD as error:
        if source.signed(remote):
            raise
        if remote.etag is None and isinstance(error, ProtocolError):
            return remote, {}  # it knows no HEAD, and there is nothing to compare
        hint, first = {}, {}  # a GET may well be answered
    said = renewed(remote, hint)
    if hint and _agrees(remote, said) and (said.etag or not doubt):
        return (remote if remote.etag else replace(remote, etag=said.etag)), hint
    if source.signed(remote):
        return moved_on(remote, hint), hint
    first = first or attempts.run(lambda: _first(client, source, remote), tell)
    now = renewed(remote, first)
    if _agrees(remote, now):
        told = {"etag": first["etag"]} if "etag" in first else {}
        return (remote if remote.etag else replace(remote, etag=now.etag)), told
    bears_out = bool(hint) and same_etag(said.etag, now.etag) and said.size in (None, now.size)
    return moved_on(remote, first), hint if bears_out else {}


def tells_etag(client: Client, source: Source, remote: RemoteFile, attempts: Attempts) -> bool:
    """Whether the server tells the ETag of a file: then an answer without it may be another's.

    Raises
    ------
    ServerError
        If it does not answer.
    """
    try:
        hint, first = _hinted(client, source, remote, attempts)
        headers = hint or first
    except _NO_HEAD:
        headers = attempts.run(lambda: ask_first(client, source, remote))
    return read_etag(headers.get("etag", "")) is not None


def _hinted(
    client: Client,
    source: Source,
    remote: RemoteFile,
    attempts: Attempts,
    tell: Tell | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a HEAD says, or where it fails again and again, what a GET says instead.

    There are servers, and more so proxies, that answer every HEAD with a 5xx, or with silence. So
    the later ones of the attempts are made with what the file itself is asked for with.
    """
    tried = 0

    def attempt() -> tuple[dict[str, str], dict[str, str]]:
        nonlocal tried
        tried += 1
        if tried <= _HEADS or source.signed(remote):
            return ask_head(client, source, remote), {}
        return {}, _first(client, source, remote)

    return attempts.run(attempt, tell)


def _first(client: Client, source: Source, remote: RemoteFile) -> dict[str, str]:
    headers = ask_first(client, source, remote)
    now = renewed(remote, headers)
    same = now.etag is None or remote.etag is None or same_etag(now.etag, remote.etag)
    if same and None not in (now.size, remote.size) and now.size != remote.size:
        msg = f"{remote.key}: {now.size} bytes announced, {remote.size} listed"
        raise TransientError(msg)
    return headers


def _agrees(listed: RemoteFile, said: RemoteFile) -> bool:
    """Whether what a server says of an object is not at odds with the listing."""
    etag = said.etag is None or listed.etag is None or same_etag(said.etag, listed.etag)
    return etag and (said.size is None or listed.size is None or said.size == listed.size)


def moved_on(remote: RemoteFile, headers: Mapping[str, str]) -> RemoteFile:
    """Return what an object is like now, where it is not what the listing said.

    Then it changed since, or the listing of this server always tells another ETag than the object.
    Unless the object is younger than the listing, what was listed is remembered, so that the next
    run knows the file by it. A length that is not told is taken to be the one that was listed.

    Parameters
    ----------
    remote : RemoteFile
    headers : mapping of str to str
        Of a response for the whole of it, or as `ask_head` returns them.
    """
    now = renewed(remote, headers)
    now = replace(now, size=remote.size) if now.size is None else now
    listed = remote.listed or remote.etag or ""
    if now.size != remote.size or _younger(now.modified, remote.modified) or listed == now.etag:
        listed = ""
    return replace(now, listed=listed)


def _younger(now: str | None, listed: str | None) -> bool:
    """Whether one moment is after another, where both are known, by more than a second."""
    one, other = moment(now or ""), moment(listed or "")
    return one is not None and other is not None and one - other > 1.0


def moment(text: str) -> float | None:
    """Return seconds since the epoch: of a date as HTTP writes it, or as a listing does."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text)
            return found.timestamp() if found.tzinfo else None
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def renewed(remote: RemoteFile, headers: Mapping[str, str]) -> RemoteFile:
    """Return what an object is like now, as the headers of a response for the whole of it say."""
    etag = read_etag(headers.get("etag", ""))
    if remote.etag is None and is_weak(etag):
        etag = None  # it guards no parts: as good as none
    length = headers.get("content-length", "")
    size = int(length) if _NUMBER.fullmatch(length) else None
    return replace(remote, etag=etag, size=size, modified=headers.get("last-modified"), digest=None)
