"""Read a remote file from its first byte to its last, in parts that come side by side.

For what is to be digested and not kept. Parts are fetched ahead on several connections, handed out
in order, and checked as a whole at the end, before the reader is told that there is no more.
"""

from __future__ import annotations

import mmap
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import RemoteChangedError, TransientError, VerificationError
from neurofetch.integrity.checksums import MultipartHasher, hasher
from neurofetch.integrity.verification import ServerChecksum
from neurofetch.net.client import Request
from neurofetch.net.failures import failure
from neurofetch.net.retry import Attempts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofetch.integrity.checksums import Hasher
    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import RetryRules

__all__ = ["stream"]

_PART = 2 << 20
_AHEAD = 4
#: Part sizes of a multipart upload that are tried: the usual ones come first.
_GUESSES = 6


def stream(
    client: Client, remote: RemoteFile, *, rules: RetryRules | None = None
) -> Iterator[memoryview]:
    """Give the bytes of a remote file in order; memory holds a few parts of 2 MB.

    Parameters
    ----------
    client : Client
    remote : RemoteFile
    rules : RetryRules, optional
        How patient to be with each part.

    Yields
    ------
    memoryview

    Raises
    ------
    VerificationError
        At the end: if the bytes are not those that the server promised (its full-object checksum,
        else an MD5 ETag, else a multipart ETag, else the size).
    RemoteChangedError
        If the object changed meanwhile.
    ServerError
        If the server refuses, has no such object, or cannot be reached.
    """
    attempts = Attempts(rules)
    remote, checksum = attempts.run(lambda: _ask_head(client, remote))
    check = _Check(checksum)
    with ThreadPoolExecutor(_AHEAD, "neurofetch-stream") as pool:
        waiting: deque[Future[memoryview]] = deque()
        begins = iter(range(0, remote.size or 0, _PART))
        try:
            for begin in begins:
                waiting.append(pool.submit(_part, client, remote, begin, attempts))
                if len(waiting) == _AHEAD:
                    yield check.passed(waiting.popleft().result())
            while waiting:
                yield check.passed(waiting.popleft().result())
        finally:
            attempts.stop.set()
            for future in waiting:
                future.cancel()
    check.settle()


def _ask_head(client: Client, remote: RemoteFile) -> tuple[RemoteFile, ServerChecksum]:
    """Ask for size, ETag and checksum of the object as it is now."""
    headers = {"x-amz-checksum-mode": "ENABLED"}
    with client.send(Request(remote.url, headers, "HEAD")) as response:
        if response.status >= 300:
            raise failure(response)
        said = response.headers
    etag = said.get("etag", "").strip('"') or None
    if remote.etag and etag != remote.etag:
        raise RemoteChangedError(f"{remote.key}: changed on the server since it was listed")
    length = said.get("content-length", "")
    size = int(length) if length.isdigit() else remote.size
    now = replace(remote, etag=etag, size=size)
    return now, ServerChecksum.of(now, said)


def _part(client: Client, remote: RemoteFile, begin: int, attempts: Attempts) -> memoryview:
    end = min(begin + _PART, remote.size or 0)
    headers = {"Range": f"bytes={begin}-{end - 1}"}
    if remote.etag:
        headers["If-Match"] = f'"{remote.etag}"'

    # Anonymous memory, given back when the part is done with: a heap would keep it, per thread.
    part = memoryview(mmap.mmap(-1, end - begin))

    def once() -> int:
        with client.send(Request(remote.url, headers)) as response:
            if response.status == 412:
                raise RemoteChangedError(f"{remote.key}: changed while it was read")
            if response.status >= 300:
                raise failure(response)
            _check_range(response, remote, begin, end)
            return _fill(response, part)

    came = attempts.run(once)
    if came != len(part):
        raise VerificationError(f"{remote.key}: {came} bytes came for {len(part)} asked for")
    return part


def _fill(response: Response, part: memoryview) -> int:
    """Read a body into a part; return how many bytes came."""
    filled = 0
    while filled < len(part):
        count = response.readinto(part[filled:])
        if not count:
            break
        filled += count
    return filled


def _check_range(response: Response, remote: RemoteFile, begin: int, end: int) -> None:
    """Distrust an answer for another range than ours; 200 is good when it is the whole."""
    whole = response.status == 200 and begin == 0 and end == remote.size
    promised = f"bytes {begin}-{end - 1}/{remote.size}"
    if not whole and response.headers.get("content-range") != promised:
        found = response.headers.get("content-range")
        raise TransientError(f"{remote.key}: asked for {promised}, the answer says {found}")


class _Check:
    """Hash what passes, and hold it against the promise at the end."""

    def __init__(self, checksum: ServerChecksum) -> None:
        self._checksum = checksum
        self._length = 0
        self._hashers, self._expected = _choose(checksum)

    def passed(self, data: memoryview) -> memoryview:
        """Take the next bytes and hand them on."""
        self._length += len(data)
        for one in self._hashers:
            one.update(data)
        return data

    def settle(self) -> None:
        """Raise `VerificationError` unless the promise was kept."""
        checksum = self._checksum
        if checksum.size is not None and self._length != checksum.size:
            problem = f"{self._length} bytes came, {checksum.size} were promised"
            raise VerificationError(f"{checksum.name}: {problem}")
        found = [one.hexdigest() for one in self._hashers]
        if found and self._expected not in found:
            raise VerificationError(f"{checksum.name}: {self._problem(found)}; nothing was kept")

    def _problem(self, found: list[str]) -> str:
        if len(found) == 1:
            return f"its checksum is {found[0]}, the server promised {self._expected}"
        return (
            f"none of {len(found)} usual part sizes gives its ETag {self._expected}: it is "
            f"damaged, or was uploaded in unusual parts; a download can tell"
        )


def _choose(checksum: ServerChecksum) -> tuple[list[Hasher], str]:
    if checksum.digest is not None:
        return [hasher(checksum.digest.algorithm)], checksum.digest.value
    if checksum.kind == "md5" and checksum.etag:
        return [hasher("md5")], checksum.etag.lower()
    sizes = checksum.likely_part_sizes[:_GUESSES]
    return [MultipartHasher(size) for size in sizes], (checksum.etag or "").lower()
