"""Read a remote file from its first byte to its last, in parts that come side by side.

For what is to be digested and not kept. Parts are fetched ahead on several connections, handed out
in order, and checked as a whole at the end, before the reader is told that there is no more.
"""

from __future__ import annotations

import mmap
from collections import deque
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from neurofetch._pool import Pool
from neurofetch.errors import ProtocolError, RemoteChangedError, TransientError, VerificationError
from neurofetch.integrity.checksums import hasher, part_count
from neurofetch.integrity.verification import EtagError, OnePiece, ServerChecksum
from neurofetch.net.retry import Attempts
from neurofetch.sources.ask import (
    NoRangesError,
    OtherPartError,
    ask_part_length,
    ask_range,
    look,
    renewed,
)
from neurofetch.sources.etag import same_etag
from neurofetch.sources.source import ListedSource
from neurofetch.transfer.receive import tell_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import RetryRules
    from neurofetch.sources.source import Source

__all__ = ["fetch_part", "stream"]

_PART = 2 << 20
_AHEAD = 4


def stream(
    client: Client,
    remote: RemoteFile,
    *,
    source: Source | None = None,
    rules: RetryRules | None = None,
) -> Iterator[memoryview]:
    """Give the bytes of a remote file in order; memory holds a few parts of 2 MB.

    Parameters
    ----------
    client : Client
    remote : RemoteFile
    source : Source, optional
        Gives the address; by default it is ``remote.url``.
    rules : RetryRules, optional
        How patient to be with each part.

    Yields
    ------
    memoryview

    Raises
    ------
    VerificationError
        At the end: if the bytes do not match what the server says (its full-object checksum,
        else an MD5 ETag, else a multipart ETag, else the size). Where an ETag does not match, all
        is read once more, and it is an error only if other bytes come.
    RemoteChangedError
        If the object changed meanwhile.
    ServerError
        If the server refuses, has no such object, sends no ranges, or cannot be reached.
    """
    source = source or ListedSource([remote])
    attempts = Attempts(rules, outages=client.outages)
    now, headers = _as_it_is_now(client, source, remote, attempts)
    parts = part_count(now.etag or "")
    piece = OnePiece(
        ServerChecksum.of(now, headers),
        once=True,
        part_length=lambda number: ask_part_length(client, source, now, number, parts),
    )
    for data in _pass(client, source, now, attempts):
        piece.update(data)
        yield data
    try:
        piece.settle()
    except EtagError as error:
        attempts = Attempts(rules, outages=client.outages)  # those of the first pass are ended
        _read_again(error, _pass(client, source, now, attempts))


def _pass(
    client: Client, source: Source, remote: RemoteFile, attempts: Attempts
) -> Iterator[memoryview]:
    """Give the bytes once, in order."""

    def part(begin: int) -> memoryview:
        end = min(begin + _PART, remote.size or 0)
        return fetch_part(client, source, remote, (begin, end), attempts)

    with Pool(_AHEAD, "neurofetch-stream") as pool:
        waiting: deque[Future[memoryview]] = deque()
        begins = iter(range(0, remote.size or 0, _PART))
        try:
            waiting.extend(pool.submit(part, begin) for begin in islice(begins, _AHEAD))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(part, begin) for begin in islice(begins, 1))
        finally:
            attempts.stop.set()
            for future in waiting:
                future.cancel()


def _read_again(error: EtagError, again: Iterator[memoryview]) -> None:
    """Read all of it once more: where the same bytes come, the ETag is no checksum (see ADR 12)."""
    algorithm = error.verified.digest.partition(":")[0]
    digest = hasher(algorithm)
    for data in again:
        digest.update(data)
    if f"{algorithm}:{digest.hexdigest()}" != error.verified.digest:
        raise VerificationError(f"{error}; other bytes came the second time; nothing was kept")


def _as_it_is_now(
    client: Client, source: Source, remote: RemoteFile, attempts: Attempts
) -> tuple[RemoteFile, dict[str, str]]:
    """Ask for size, ETag and checksum of the object as it is now."""
    now, headers = look(client, source, remote, attempts)
    if remote.etag and not same_etag(now.etag, remote.etag):
        raise RemoteChangedError(f"{remote.key}: changed on the server since it was listed")
    size = renewed(remote, headers).size if remote.size is None else now.size
    return replace(now, size=size, digest=remote.digest), headers


def fetch_part(
    client: Client,
    source: Source,
    remote: RemoteFile,
    span: tuple[int, int],
    attempts: Attempts,
    *,
    check: Callable[[Response], None] | None = None,
    whole: bool = False,
) -> memoryview:
    """Return some bytes of this version of a file; what a cut line left is not asked for again.

    Parameters
    ----------
    client : Client
    source : Source
    remote : RemoteFile
    span : tuple of (int, int)
        The first byte, and the one behind the last.
    attempts : Attempts
    check : callable, optional
        Looks at the head of each response, and raises what it finds.
    whole : bool
        Raise a `NoRangesError` where the server sends all of the file; otherwise another attempt is
        made, since it has sent parts before.

    Raises
    ------
    RemoteChangedError
        If the object changed meanwhile.
    ServerError
    """
    begin, end = span
    # Anonymous memory, given back when the part is done with: a heap would keep it, per thread.
    part = memoryview(mmap.mmap(-1, end - begin))

    came, resumes = 0, True

    def once() -> None:
        """Fetch what is missing of it: an attempt goes on where the last one ended."""
        nonlocal came, resumes
        came = before = came if resumes else 0
        if came == len(part):
            return  # its last byte came, and then the connection broke
        try:
            with _asked(
                client, source, remote, (begin + came, end), check=check, whole=whole
            ) as response:
                while count := response.readinto(part[came:]):
                    came += count
        except (OtherPartError, ProtocolError) as error:
            if not before:
                raise
            resumes = False
            msg = f"{error}; so this part begins anew"
            raise TransientError(msg) from error
        except TransientError as error:
            if resumes:
                tell_progress(error, came - before)
            raise
        if came < len(part):  # a body of no stated length
            msg = f"{remote.key}: {came} of {len(part)} bytes came, and then the body ended"
            early = TransientError(msg)
            tell_progress(early, came - before if resumes else 0)
            raise early

    attempts.run(once)
    return part


def _asked(
    client: Client,
    source: Source,
    remote: RemoteFile,
    span: tuple[int, int],
    *,
    check: Callable[[Response], None] | None,
    whole: bool,
) -> Response:
    """Ask for a part; its head is looked at."""
    try:
        response = ask_range(client, source, remote, span[0], span[1] - 1)
    except NoRangesError as error:
        if whole:
            raise
        msg = f"{remote.key}: asked for a part of the file, got all of it"
        raise TransientError(msg) from error
    if check is not None:
        try:
            check(response)
        except BaseException:
            response.close()
            raise
    return response
