"""Read any bytes of one version of a file: from the cache, else from its server, block by block.

Every request carries the ETag of the version that was opened, so bytes of two versions never meet:
an object that changes is an error. Blocks that follow each other come with one request, more of
them where a file is read from front to back. When all blocks came, the whole is compared with what
the server says of it (see `neurofetch.integrity.verification`); a file that differs is an error.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from neurofetch._threads import together
from neurofetch.errors import (
    DestinationError,
    DiskFullError,
    OfflineError,
    RemoteChangedError,
    TransientError,
    UnreachableError,
    VerificationError,
)
from neurofetch.integrity.checksums import hasher, part_count
from neurofetch.integrity.verification import (
    EtagError,
    OnePiece,
    ServerChecksum,
    Verified,
    check_parts,
)
from neurofetch.opening.entry import FULL
from neurofetch.opening.forks import Flights, ForkingLock
from neurofetch.sources.ask import NoRangesError, ask, ask_part_length, check_answer, look, renewed
from neurofetch.sources.etag import is_weak, read_etag, same_etag
from neurofetch.store.atomic import read_at, write_all
from neurofetch.transfer.stream import fetch_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from neurofetch.errors import NeurofetchError
    from neurofetch.model import RemoteFile
    from neurofetch.net.response import Response
    from neurofetch.opening.cache import Cache
    from neurofetch.opening.entry import Entry, Whole
    from neurofetch.opening.remote import Found, Origin, Reach

__all__ = ["BlockReader", "LocalReader", "Reader", "spooled", "whole_pieces"]

_RUN = 8
"""Blocks that come with one request, at most."""
_REQUEST = 8 << 20
"""Bytes that do, where blocks are large."""
_SIDE_BY_SIDE = 4
"""Requests of one read that are under way at once, at most."""
_RECENT = 2
"""Blocks that an open file keeps in memory beside the cache."""
_WITHOUT = 2
"""Requests whose blocks it keeps in memory where there is no cache."""
_PIECE = 1 << 20
_OTHERS, _GLANCE = 5.0, 0.01
"""Seconds: so long another process that fetches the same blocks is waited for, and so often looked
at."""


class Reader(Protocol):
    """The bytes of one version of a file. Any number of threads may read at once."""

    size: int

    def into(self, view: memoryview, start: int) -> int:
        """Fill a buffer from a place of the file; fewer bytes come only at its end.

        Raises
        ------
        NeurofetchError
        OSError
        """
        ...

    def close(self) -> None:
        """Give up what it holds; twice is no error."""
        ...


class LocalReader:
    """A file of this machine.

    Parameters
    ----------
    fd : int
        Its descriptor, which this object closes.
    path : path, optional
        Where it is, if others may change it: bytes of before and after are an error then.
    """

    def __init__(self, fd: int, path: Path | None = None) -> None:
        self._fd = fd
        self._path = path
        here = os.fstat(fd)
        self.size = here.st_size
        self._as_opened = here.st_size, here.st_mtime_ns

    def into(self, view: memoryview, start: int) -> int:
        """Fill a buffer."""
        count = read_at(self._fd, view, start)
        if self._path is not None:
            here = os.fstat(self._fd)
            if (here.st_size, here.st_mtime_ns) != self._as_opened:
                msg = (
                    f"{self._path} was changed while it was open to be read. What was read last is "
                    "not given out. Open it again: a file that was changed is read from the server."
                )
                raise DestinationError(msg)
        return count

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class BlockReader:
    """A file on a server.

    Parameters
    ----------
    reach : Reach
    origin : Origin
    found : Found
        The version, whose size is known.
    name : str
        For messages.
    entry : Entry, optional
        Of this version.
    cache : Cache, optional
        Whose entry that is.
    block : int
        Bytes of a block, where there is no entry.
    offline : bool
        No server is asked.
    """

    def __init__(
        self,
        reach: Reach,
        origin: Origin,
        found: Found,
        name: str,
        *,
        entry: Entry | None = None,
        cache: Cache | None = None,
        block: int,
        offline: bool = False,
    ) -> None:
        self._reach = reach
        self._origin = origin
        self._remote = found.remote
        self._headers = found.headers
        self._name = name
        self._entry = entry
        self._cache = cache
        self._offline = offline
        self.size = found.remote.size or 0
        self._block = entry.block if entry is not None else block
        self._blocks = -(-self.size // self._block)
        self._run = max(1, min(_RUN, _REQUEST // self._block))
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._lock = ForkingLock()
        self._flights = entry.flights if entry is not None else Flights()
        self._spool: LocalReader | None = None
        self._broken: tuple[type[NeurofetchError], str] | None = None
        """Why nothing more is read: the file changed, or its bytes were wrong."""
        self._gave = False
        self._ranges = not found.remote.ranges
        """Whether it is settled that the server sends parts, or sends none."""
        self._ahead, self._next = 1, -2
        self._running: OnePiece | None = None
        self._running_at = 0
        self._settled = entry is not None and entry.whole() is not None

    @property
    def entry(self) -> Entry | None:
        """What is kept of it; None where nothing is."""
        return self._entry

    # -- reading -----------------------------------------------------------------------------

    def into(self, view: memoryview, start: int) -> int:
        """Fill a buffer from a place of the file."""
        length = min(len(view), self.size - start)
        if length <= 0:
            return 0
        if self._broken is not None:
            raise self._broken[0](self._broken[1])
        first, last = start // self._block, (start + length - 1) // self._block
        window = self._run * _SIDE_BY_SIDE
        for begin in range(first, last + 1, window):
            end = min(begin + window - 1, last)
            blocks = self._get(begin, end, self._look_ahead(begin, end))
            for number in range(begin, end + 1):
                _copy(view[:length], blocks[number], number * self._block - start)
        self._gave = True
        return length

    def _look_ahead(self, first: int, last: int) -> int:
        """Return the last block to fetch with these: a later one where reads follow each other."""
        with self._lock:
            follows = first in (self._next, self._next - 1) and last >= self._next
            if follows:
                self._ahead = min(self._ahead * 2, self._run)
            elif first != self._next - 1:
                self._ahead = 1
            self._next = last + 1
            return min(last + self._ahead - 1, self._blocks - 1) if follows else last

    def _get(self, first: int, last: int, until: int) -> dict[int, bytes]:
        """Return blocks; those behind the last, up to another, are fetched if any of these is."""
        got = {number: self._have(number) for number in range(first, last + 1)}
        missing = [number for number, data in got.items() if data is None]
        if missing:
            missing += [
                number for number in range(last + 1, until + 1) if not self._is_here(number)
            ]
        while missing:
            mine, others = self._flights.take(missing)
            try:
                wanted = [number for number in mine if not self._came(number, got, last)]
                got.update(self._fetched(wanted) if wanted else {})
            finally:
                self._flights.land(mine)
            for number in others:
                self._flights.wait(number)
                if first <= number <= last:
                    got[number] = self._have(number)
            missing = [n for n in others if first <= n <= last and got[n] is None]
        self._settle_if_complete()
        return {number: data for number, data in got.items() if data is not None}

    def _came(self, number: int, got: dict[int, bytes | None], last: int) -> bool:
        """Whether another thread brought a block since it was missed."""
        if number > last:
            return self._is_here(number)
        got[number] = self._have(number)
        return got[number] is not None

    def _have(self, number: int) -> bytes | None:
        with self._lock:
            data = self._recent.get(number)
            if data is not None:
                self._recent.move_to_end(number)
                return data
        if self._spool is not None:
            return self._from_spool(number)
        if self._entry is None:
            return None
        data = self._entry.read(number)
        if data is not None:
            self._keep_recent(number, data)
        return data

    def _is_here(self, number: int) -> bool:
        with self._lock:
            return number in self._recent or (self._entry is not None and self._entry.has(number))

    def _keep_recent(self, number: int, data: bytes) -> None:
        kept = self._entry is not None and self._cache is not None and not self._cache.stopped
        with self._lock:
            self._recent[number] = data
            self._recent.move_to_end(number)
            while len(self._recent) > (_RECENT if kept else _WITHOUT * self._run):
                self._recent.popitem(last=False)

    # -- fetching ----------------------------------------------------------------------------

    def _fetched(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Fetch blocks, and keep them."""
        self._check_usable()
        if not self._remote.ranges:
            self._fetch_all()
            return self._from_all(numbers)
        runs = list(_runs(numbers, self._run))
        try:
            if not self._ranges:  # one request tells whether the server sends parts
                fetched = [self._fetch_run(runs[0])]
                self._ranges = True
                runs = runs[1:]
            else:
                fetched = []
            calls = [partial(self._fetch_run, run) for run in runs]
            fetched += together(calls, _SIDE_BY_SIDE) if len(calls) > 1 else [c() for c in calls]
        except NoRangesError:
            self._remote = replace(self._remote, ranges=False)
            self._fetch_all()
            return self._from_all(numbers)
        blocks = {number: data for run in fetched for number, data in run.items()}
        with self._lock:
            for number in sorted(blocks):
                if number == self._running_at and not self._settled:
                    self._run_on(blocks[number])
        return blocks

    def _from_all(self, numbers: Iterable[int]) -> dict[int, bytes]:
        return {number: data for number in numbers if (data := self._have(number)) is not None}

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise self._broken[0](self._broken[1])
        if self._offline:
            msg = (
                f"{self._name}: this part of it is not in the cache, and no server is asked "
                "(offline). Nothing was fetched. Open it once with a network; cached_path() brings "
                "all of it."
            )
            raise OfflineError(msg)

    def _fetch_run(self, run: range) -> dict[int, bytes]:
        """Return blocks: where another process is fetching them, it is waited for."""
        entry = self._entry
        if entry is None or self._cache is None or self._cache.stopped:
            return self._fetch_now(run)
        until = time.monotonic() + _OTHERS
        while not (mine := entry.claim(run)) and time.monotonic() < until:
            time.sleep(_GLANCE)
        try:
            come = {number: entry.read(number) for number in run}
            if all(data is not None for data in come.values()):
                return {number: data for number, data in come.items() if data is not None}
            return self._fetch_now(run)
        finally:
            if mine:
                entry.give_back(run)

    def _fetch_now(self, run: range) -> dict[int, bytes]:
        begin = run[0] * self._block
        end = min(run[-1] * self._block + self._block, self.size)
        try:
            data = self._part(begin, end)
        except RemoteChangedError as error:
            if not self._is_same_after_all():
                raise self._has_changed() from error
            data = self._part(begin, end)
        fetched = {}
        for number in run:
            at = number * self._block - begin
            fetched[number] = block = bytes(data[at : at + self._block])
            self._store(number, block)
        return fetched

    def _part(self, begin: int, end: int) -> memoryview:
        """Return bytes of the version that was opened.

        Raises
        ------
        RemoteChangedError
        """
        told: list[bool] = []
        data = fetch_part(
            self._reach.client(),
            self._origin.source,
            self._remote,
            (begin, end),
            self._reach.attempts(),
            check=lambda response: told.append(self._tells_version(response)),
            whole=not self._ranges,
        )
        if not all(told) and not self._is_still_same():
            raise RemoteChangedError(f"{self._name}: changed on the server")
        return data

    def _is_same_after_all(self) -> bool:
        """Ask once more: one answer of another version may be that of a cache on the way."""
        remote = self._remote
        now, headers = look(
            self._reach.client(), self._origin.source, remote, self._reach.attempts(), doubt=True
        )
        told = renewed(remote, headers).modified
        same_time = remote.etag is not None or told in (None, remote.modified)
        return now.etag == remote.etag and now.size == remote.size and same_time

    def _is_still_same(self) -> bool:
        """Ask what version it is, after a part came that did not say it."""
        remote = self._remote
        bare = replace(remote, etag=None, modified=None)
        source, attempts = self._origin.source, self._reach.attempts()
        _, headers = look(self._reach.client(), source, bare, attempts)
        etag = read_etag(headers.get("etag", ""))
        if etag is not None and remote.etag is not None:
            return same_etag(etag, remote.etag)
        return headers.get("last-modified", remote.modified) == remote.modified

    def _tells_version(self, response: Response) -> bool:
        """Whether an answer says of which version it is; that of another one is an error.

        A server that knows no ``If-Match``, and leaves ETag and time out of its parts, says
        nothing: then it is asked afterwards whether the version is still the same.
        """
        remote = self._remote
        has_etag = remote.etag is not None and bool(response.headers.get("etag"))
        if has_etag and not is_weak(remote.etag or ""):
            return True
        told = response.headers.get("last-modified", "")
        if told and remote.modified and told != remote.modified:
            raise RemoteChangedError(f"{self._name}: changed on the server")
        known = remote.etag is not None or remote.modified is not None
        return has_etag or bool(told) or remote.digest is not None or not known

    def _has_changed(self) -> RemoteChangedError:
        so_far = "What was read of it so far is of the version that was opened. " * self._gave
        msg = (
            f"{self._name} changed on the server since it was opened. {so_far}No bytes of the new "
            "version were mixed in. Open it again to read that."
        )
        self._broken = RemoteChangedError, msg
        return RemoteChangedError(msg)

    def _store(self, number: int, block: bytes) -> None:
        self._keep_recent(number, block)
        if self._entry is not None and self._cache is not None:
            self._cache.keep(self._entry, number, block)

    def _keeps_all(self) -> bool:
        """Whether the cache takes all of the file."""
        cache, entry = self._cache, self._entry
        if cache is None or entry is None or cache.stopped:
            return False
        return entry.beyond_limit or cache.fits(self.size)

    def _run_on(self, block: bytes) -> None:
        """Hash what comes in order: of a file that is not kept, it cannot be read again."""
        kept = self._entry is not None and self._keeps_all()
        if kept and self._running is None:
            self._running_at = -1  # what is kept is read again at its end
            return
        if self._running is None:
            self._running = OnePiece(self._checksum(), once=True, part_length=self._part_length())
        self._running.update(block)
        self._running_at += 1

    # -- servers that send all or nothing --------------------------------------------------------

    def _fetch_all(self) -> None:
        """Fetch the file from its first byte to its last, into the cache or a temporary file."""
        with self._lock:
            if self._spool is not None or (self._entry is not None and self._entry.complete):
                return
            kept = self._entry is not None and self._entry.writable
            kept = kept and self._keeps_all()
            try:
                if not kept or not self._fetch_into_entry():
                    self._spool = self._spooled()
            except RemoteChangedError as error:
                raise self._has_changed() from error

    def _fetch_into_entry(self) -> bool:
        """Fetch all of it into the cache; whether it took it."""
        entry, cache = self._entry, self._cache
        assert entry is not None
        assert cache is not None
        rest, number = bytearray(), 0
        for piece in self._pieces():
            if piece is None:
                rest, number = bytearray(), 0
                continue
            rest += piece
            while number < entry.blocks and len(rest) >= entry.length(number):
                length = entry.length(number)
                cache.keep(entry, number, bytes(rest[:length]))
                del rest[:length]
                number += 1
        return entry.complete

    def _spooled(self) -> LocalReader:
        reader = spooled(self._pieces(), self._name)
        try:
            self._verify(_blocks_of(reader))
        except BaseException:
            reader.close()
            raise
        self._settled = True
        return reader

    def _from_spool(self, number: int) -> bytes:
        assert self._spool is not None
        begin = number * self._block
        data = bytearray(min(self._block, self.size - begin))
        self._spool.into(memoryview(data), begin)
        return bytes(data)

    def _pieces(self) -> Iterator[bytes | None]:
        """Give the bytes of the file in order; None where it begins anew after a cut line."""
        yield from whole_pieces(self._reach, self._origin, self._remote)

    # -- verifying ---------------------------------------------------------------------------

    def _checksum(self) -> ServerChecksum:
        return ServerChecksum.of(self._remote, self._told())

    def _told(self) -> dict[str, str]:
        """Return what the server says of the content; it is asked where only a listing told."""
        if not self._headers and not self._offline and self._remote.digest is None:
            now, headers = look(
                self._reach.client(), self._origin.source, self._remote, self._reach.attempts()
            )
            if self._remote.etag and not same_etag(now.etag, self._remote.etag):
                raise self._has_changed()
            self._headers = headers
        return self._headers

    def _part_length(self) -> Callable[[int], int | None] | None:
        if self._offline:
            return None
        parts = part_count(self._remote.etag or "")
        client, source = self._reach.client(), self._origin.source
        return lambda number: ask_part_length(client, source, self._remote, number, parts)

    def _settle_if_complete(self) -> None:
        """Verify the whole, once all blocks of it came."""
        with self._lock:
            if self._settled:
                return
            entry = self._entry
            # Where this fails for want of a network, the next read tries it again.
            if entry is not None and entry.complete:
                self.settled()
                self._settled = True
            elif self._running is not None and self._running_at == self._blocks:
                self._settle_running(self._running)
                self._settled = True

    def settled(self) -> Whole | None:
        """Verify what is in the cache as a whole, unless that was done; None without all of it.

        Raises
        ------
        VerificationError
            If it differs from what the server says; it is not in the cache any more.
        """
        entry = self._entry
        parts = entry.parts() if entry is not None else None
        if entry is None or parts is None or self._cache is None:
            return None
        known = entry.whole()
        if known is not None:
            return known
        checksum = self._checksum()
        try:
            verified = self._proved(checksum, entry, parts)
        except EtagError as error:
            verified = self._second(error)
        except VerificationError as error:
            raise self._wrong(error) from error
        return self._cache.settle(entry, verified.verification.value, verified.digest)

    def _proved(
        self, checksum: ServerChecksum, entry: Entry, parts: list[tuple[int, int, str]]
    ) -> Verified:
        if checksum.crc != entry.crc.name:  # the blocks have another CRC: all is hashed again
            return self._verify(entry.bytes())
        return check_parts(checksum, parts, entry.block, entry.bytes, self._part_length())

    def _verify(self, pieces: Iterable[bytes | memoryview]) -> Verified:
        piece = OnePiece(self._checksum(), once=True, part_length=self._part_length())
        for data in pieces:
            piece.update(data)
        try:
            return piece.settle()
        except EtagError as error:
            return self._second(error)

    def _settle_running(self, piece: OnePiece) -> None:
        try:
            piece.settle()
        except EtagError as error:
            self._second(error)
        except VerificationError as error:
            raise self._wrong(error) from error

    def _second(self, error: EtagError) -> Verified:
        """Read all of it once more: where the same bytes come, the ETag is no checksum (ADR 12)."""
        if self._offline:
            raise error
        algorithm = error.verified.digest.partition(":")[0]
        digest = hasher(algorithm)
        for data in self._again():
            digest.update(data)
        if f"{algorithm}:{digest.hexdigest()}" != error.verified.digest:
            raise self._wrong(error) from error
        return error.verified

    def _again(self) -> Iterator[memoryview | bytes]:
        """Give the bytes as the server sends them now, in order."""
        if not self._remote.ranges:
            for piece in self._pieces():
                if piece is None:
                    msg = f"{self._name}: the line was cut while it was read again"
                    raise UnreachableError(msg)
                yield piece
            return
        step = self._block * self._run
        for begin in range(0, self.size, step):
            yield self._part(begin, min(begin + step, self.size))

    def _wrong(self, error: VerificationError) -> VerificationError:
        if self._entry is not None and self._cache is not None:
            self._cache.drop(self._entry)
        self._recent.clear()
        msg = (
            f"{error}. What was read of {self._name} cannot be trusted, and the cache does not "
            "keep it. Open it again: it is then fetched anew."
        )
        self._broken = VerificationError, msg
        return VerificationError(msg)

    def verified(self) -> Whole | None:
        """Fetch what is missing, and verify the whole in the cache; None where it is not kept.

        Raises
        ------
        NeurofetchError
        """
        if self._entry is not None:
            known = self._entry.whole()
            if known is not None:
                return known
            self._entry.beyond_limit = True  # a path was asked for, and needs all of it
        step = self._run * _SIDE_BY_SIDE
        for begin in range(0, self._blocks, step):
            end = min(begin + step, self._blocks) - 1
            self._get(begin, end, end)
        return self.settled()

    def close(self) -> None:
        """Give up the entry, and the temporary file."""
        entry, self._entry = self._entry, None
        if entry is not None and self._cache is not None:
            self._cache.leave(entry)
        if self._spool is not None:
            self._spool.close()


def whole_pieces(reach: Reach, origin: Origin, remote: RemoteFile) -> Iterator[bytes | None]:
    """Give the bytes of a file in order; None where it begins anew, after the line was cut.

    Parameters
    ----------
    reach : Reach
    origin : Origin
    remote : RemoteFile

    Raises
    ------
    RemoteChangedError
        If the object is another one now.
    ServerError
    """
    attempts, failed = reach.attempts(), 0
    while True:
        came = 0
        try:
            with ask(reach.client(), origin.source, remote, {}) as response:
                check_answer(response, remote)
                _check_same(response, remote)
                buffer = memoryview(bytearray(_PIECE))
                while count := response.readinto(buffer):
                    came += count
                    yield bytes(buffer[:count])
        except TransientError as error:
            if attempts.rode_out(error, failed, last=failed + 1 >= reach.rules.attempts):
                failed = 0
            else:
                failed += 1
                wait = attempts.wait(failed, error)
                if wait is None:
                    msg = f"{str(error).rstrip('.')}; gave up after {failed} attempts"
                    raise UnreachableError(msg) from error
                attempts.stop.wait(wait)
            yield None
            continue
        if remote.size is None or came == remote.size:
            return
        msg = f"{remote.key}: {came} bytes came, but the server says {remote.size}"
        raise VerificationError(msg)


def _check_same(response: Response, remote: RemoteFile) -> None:
    """See that a file that came as a whole is of the version that was opened."""
    now = renewed(remote, response.headers)
    timed = remote.etag is None and now.modified and remote.modified
    if timed and now.modified != remote.modified:
        msg = f"{remote.key}: changed on the server since it was opened"
        raise RemoteChangedError(msg)


def spooled(pieces: Iterable[bytes | None], name: str) -> LocalReader:
    """Return a file whose bytes came one after the other, in a temporary file without a name.

    Parameters
    ----------
    pieces : iterable of bytes or None
        As `whole_pieces` gives them.
    name : str
        For messages.

    Raises
    ------
    DiskFullError
        If the disk takes no more.
    """
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            if piece is None:
                os.ftruncate(file.fileno(), 0)
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                continue
            try:
                write_all(file.fileno(), piece)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                msg = (
                    f"no room for {name} in {tempfile.gettempdir()}: {error.strerror}. Its server "
                    "sends no parts, so all of it has to come. What came is removed. Make room, "
                    "or name another place with the variable TMPDIR."
                )
                raise DiskFullError(msg) from error
        return LocalReader(os.dup(file.fileno()))


def _runs(numbers: Sequence[int], most: int) -> Iterator[range]:
    """Give stretches of numbers that follow each other, none longer than one request."""
    begin = previous = None
    for number in sorted(numbers):
        if begin is None or previous is None:
            begin = number
        elif number != previous + 1 or number - begin >= most:
            yield range(begin, previous + 1)
            begin = number
        previous = number
    if begin is not None and previous is not None:
        yield range(begin, previous + 1)


def _copy(view: memoryview, data: bytes, at: int) -> None:
    """Copy a block to where it belongs in a buffer, as far as it is part of it."""
    piece = memoryview(data)
    if at < 0:
        piece, at = piece[-at:], 0
    piece = piece[: len(view) - at]
    view[at : at + len(piece)] = piece


def _blocks_of(reader: LocalReader) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_PIECE))
    at = 0
    while count := reader.into(buffer, at):
        yield buffer[:count]
        at += count
