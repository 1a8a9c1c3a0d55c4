"""The partial file of one large file: its bytes, the log of its parts, their checksums.

Bytes are only written at their position, and a part from its first byte on. A part counts as held
when the log names it and its bytes, read back after an interruption, have the checksum that the log
says; and so does the front of a part that is not whole. The file is one that no other process has
open for writing: it was made by this run, or by one that was seen to have ended. From any other
partial, what is held is copied.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
from typing import TYPE_CHECKING

from neurofetch.errors import InterruptedTransferError
from neurofetch.integrity.checksums import crc, hasher
from neurofetch.integrity.verification import ServerChecksum, Verified, check_parts
from neurofetch.store.atomic import read_at, write_all, write_at
from neurofetch.store.directory import FULL
from neurofetch.store.partials import Held, PartLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from neurofetch.integrity.checksums import Hasher
    from neurofetch.integrity.verification import PartLength
    from neurofetch.store.partials import Temporary
    from neurofetch.transfer.context import TransferContext

__all__ = ["BUFFER", "LostPartialError", "Noted", "PartFile", "part_size_for"]

BUFFER = 1 << 20
_MOST_PARTS = 10_000
_GROWTH = 1 << 20
"""Bytes of notes after which a log is written anew, without those that later ones overrule."""

Noted = tuple[int, str]
"""CRC of a part and, where it was computed, its MD5 in hexadecimal."""


class LostPartialError(Exception):
    """Another run has the file now: this one was silent for long. A turn of events, no failure."""


class _Front:
    """What came of a part, from its first byte on; written by one thread.

    Attributes
    ----------
    mark : tuple of (int, int)
        How many bytes, and their CRC: one value, since another thread may write the log anew.
    md5 : Hasher or None
        Of the same bytes, where it will be needed.
    """

    __slots__ = ("mark", "md5")

    def __init__(self, *, with_md5: bool) -> None:
        self.mark = (0, 0)
        self.md5: Hasher | None = hasher("md5") if with_md5 else None

    def update(self, algorithm: str, data: memoryview) -> None:
        """Take the next bytes."""
        count, value = self.mark
        if self.md5 is not None:
            self.md5.update(data)
        self.mark = (count + len(data), crc(algorithm).update(data, value))

    @property
    def noted(self) -> Noted:
        """What is noted of the part, once this is all of it."""
        return self.mark[1], self.md5.hexdigest() if self.md5 else ""


def part_size_for(checksum: ServerChecksum, wanted: int) -> int:
    """Return the size of the parts in which to fetch a file.

    Where the parts of the upload are known and not far from what we want, ours are the same, so
    that their MD5s can be computed as they arrive.
    """
    likely = checksum.likely_part_sizes
    if likely and wanted // 2 <= likely[0] <= 4 * wanted:
        return likely[0]
    size = checksum.size or 0
    return max(wanted, -(-size // _MOST_PARTS))


class PartFile:
    """A partial that is open. Any number of threads may write and note parts.

    Parameters
    ----------
    context : TransferContext
    path : str
        The final name, relative to the root.
    short : str
        Its short name; see `name_of`.
    checksum : ServerChecksum
        Of the version that is fetched; its size is known.
    held : iterable of Held
        Partials of this file that other runs left: the fullest one of the same version is taken
        over, if its run has ended; if its run is silent, what it holds is copied.
    stream : tuple of (Temporary, int), optional
        The file is this one: so many bytes of it came in one piece. It is one part then.

    Attributes
    ----------
    file : Temporary
        The bytes.
    part_size : int
        Bytes of every part but the last.
    parts : dict of int to Noted
        The parts that are held, by number from 0.
    with_md5 : bool
        Whether the MD5s of the parts will be needed: our parts are those of the upload.
    """

    def __init__(
        self,
        context: TransferContext,
        path: str,
        short: str,
        checksum: ServerChecksum,
        *,
        held: Iterable[Held] = (),
        stream: tuple[Temporary, int] | None = None,
    ) -> None:
        self.checksum = checksum
        self.size = checksum.size or 0
        self._context = context
        self._path = path
        self._short = short
        self._log_fd = -1
        self._grown = 0
        self._lock = threading.Lock()
        """Held while the log is written: it may be written anew."""
        self._fronts: dict[int, _Front] = {}
        self.part_size = part_size_for(checksum, context.options.part_size)
        self.parts: dict[int, Noted] = {}
        if stream is None:
            self._open(held)
        else:
            self.file, count = stream
            self._go_on_with(count)

    def _open(self, held: Iterable[Held]) -> None:
        """Open what another run left, or a new file, and find out what is held."""
        self.file, log, old = self._opened(held)
        try:
            if log is not None:
                self.part_size = log.part_size
            self.with_md5 = self._needs_md5()
            if log is not None:
                if old is not None:
                    self._copy_held(log, old)
                self._reread(log)
            self._begin_log()
        except BaseException:
            if log is None or old is not None:  # else it is the only one with these parts
                self.file.discard()
            self.close()
            raise
        if old is not None:
            old.remove()  # its parts are ours now; a run that wakes up will see that

    def _go_on_with(self, count: int) -> None:
        """Make a partial of one part of a file that has been coming in one piece."""
        self.part_size = self.size
        self.with_md5 = self._needs_md5()
        self._fronts[0] = self._read(0, count, self.checksum.crc, with_md5=self.with_md5)
        self.file.become_partial()
        self._begin_log()

    def _needs_md5(self) -> bool:
        checksum = self.checksum
        return checksum.digest is None and self.part_size in checksum.likely_part_sizes

    def _opened(self, held: Iterable[Held]) -> tuple[Temporary, PartLog | None, Held | None]:
        """Open the partial: that of a run that ended, or a new one.

        Returns
        -------
        tuple of (Temporary, PartLog or None, Held or None)
            The file; the log of what another run left; and where that is to be copied from.
        """
        partials = self._context.partials
        for one in sorted(held, key=lambda one: -one.log.bytes_held()):
            if not self._is_of(one.log) or not partials.free_to_take(one):
                continue
            log = one.read_log()
            if log is None or not self._is_of(log):
                continue
            taken = partials.take_over(one, self._path, self._short)
            if taken is not None:
                return taken, log, None
            return self._new(), log, one
        return self._new(), None, None

    def _new(self) -> Temporary:
        file = self._context.partials.part(self._short, self._path)
        file.open()
        return file

    def _is_of(self, log: PartLog) -> bool:
        """Whether a log tells of the version that is fetched."""
        checksum = self.checksum
        return log.is_of(checksum.etag, checksum.size, checksum.listed)

    def _reread(self, log: PartLog) -> None:
        """Read back what a log names: what has the checksum that it says, is held."""
        algorithm = self.checksum.crc
        for number, noted in sorted(log.parts.items()):
            self._check_going()
            length = self.length(number)
            part = self._read(number, length, log.algorithm, with_md5=bool(noted[1]))
            if part.mark[0] < length or part.noted != noted:
                continue
            if log.algorithm != algorithm or (self.with_md5 and not noted[1]):
                part = self._read(number, length, algorithm, with_md5=self.with_md5)
            self.parts[number] = part.noted
        for number, marks in sorted(log.fronts.items()):
            self._check_going()
            count = self._proved(number, log.algorithm, marks)
            front = self._read(number, count, algorithm, with_md5=self.with_md5)
            if front.mark[0] == self.length(number):
                self.parts[number] = front.noted
            elif count:
                self._fronts[number] = front

    def _proved(self, number: int, algorithm: str, marks: Sequence[tuple[int, int]]) -> int:
        """Return how many bytes of the front of a part are as they were noted, as it grew."""
        front, proved = _Front(with_md5=False), 0
        for mark in marks:
            self._read_on(front, number, mark[0], algorithm)
            if front.mark != mark:
                break
            proved = mark[0]
        return proved

    def _check_going(self) -> None:
        """See that nobody wants to stop; what is here stays what it is then."""
        if self._context.attempts.stop.is_set():
            raise InterruptedTransferError("stopped on request")

    def _copy_held(self, log: PartLog, old: Held) -> None:
        """Copy what is held into our own file; it is read back like all that others left.

        Where the file system can share blocks between files, nothing is written.
        """
        with contextlib.suppress(FileNotFoundError):  # finished, or taken by a third run
            fd = old.open()
            try:
                if not _shared(fd, self.file.fd):
                    for number in sorted(log.parts):
                        self._copy(fd, number, self.length(number))
                    for number, marks in sorted(log.fronts.items()):
                        self._copy(fd, number, marks[-1][0])
            except OSError as error:
                if error.errno not in FULL:  # what has room is copied, and the rest comes anew
                    raise
            finally:
                os.close(fd)

    def _copy(self, fd: int, number: int, left: int) -> None:
        position = number * self.part_size
        with self._context.buffers.lend(BUFFER) as buffer:
            while left > 0:
                self._check_going()
                count = read_at(fd, buffer[: min(left, BUFFER)], position)
                if not count:
                    return
                self.write(buffer[:count], position)
                position, left = position + count, left - count

    def _read(self, number: int, count: int, algorithm: str, *, with_md5: bool) -> _Front:
        """Read back the front of a part; less of it where the file is shorter."""
        front = _Front(with_md5=with_md5)
        self._read_on(front, number, count, algorithm)
        return front

    def _read_on(self, front: _Front, number: int, until: int, algorithm: str) -> None:
        with self._context.buffers.lend(BUFFER) as buffer:
            while (left := until - front.mark[0]) > 0:
                position = number * self.part_size + front.mark[0]
                count = read_at(self.file.fd, buffer[: min(left, BUFFER)], position)
                if not count:
                    return
                front.update(algorithm, buffer[:count])

    def _begin_log(self) -> None:
        """Write what is held to a new log, and put it in the place of the old one in one step."""
        checksum = self.checksum
        log = PartLog(
            checksum.etag or "",
            self.size,
            self.part_size,
            checksum.crc,
            digest=str(checksum.listed or ""),
            listed=checksum.listed_etag,
        )
        # First the fronts: a part that becomes whole meanwhile is then among the parts.
        fronts = [(n, *front.mark) for n, front in list(self._fronts.items())]
        parts = dict(self.parts)
        lines = [PartLog.line(n, *noted) for n, noted in sorted(parts.items())]
        lines += [PartLog.front(*front) for front in fronts if front[1] and front[0] not in parts]
        folder, draft = self.file.folder, f"{self.file.base[:-16]}{secrets.token_hex(8)}.tmp"
        fd = folder.create(draft, os.O_RDWR | os.O_APPEND)
        try:
            write_all(fd, log.header() + b"".join(lines))
            folder.rename(draft, folder, self._log, file=fd)
        except OSError:
            os.close(fd)
            folder.remove(draft)
            raise
        before, self._log_fd, self._grown = self._log_fd, fd, 0
        if before >= 0:
            os.close(before)

    # -- parts -------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        """The number of parts."""
        return -(-self.size // self.part_size)

    @property
    def held(self) -> int:
        """Bytes of the parts that are held, and of the fronts of further ones."""
        return sum(map(self.length, list(self.parts))) + sum(
            front.mark[0] for front in list(self._fronts.values())
        )

    def length(self, number: int) -> int:
        """Return the bytes of a part."""
        return min(self.part_size, self.size - number * self.part_size)

    def front(self, number: int) -> int:
        """Return how many bytes came of a part that is not held as a whole."""
        front = self._fronts.get(number)
        return front.mark[0] if front is not None else 0

    def take(self, number: int, data: memoryview) -> None:
        """Take the next bytes of a part: write them, and note that they are held.

        Raises
        ------
        LostPartialError
            If another run was seen to have the file now.
        OSError
        """
        front = self._fronts.get(number)
        if front is None:
            front = self._fronts[number] = _Front(with_md5=self.with_md5)
        self.write(data, number * self.part_size + front.mark[0])
        front.update(self.checksum.crc, data)
        count, value = front.mark
        if count < self.length(number):
            self._append(PartLog.front(number, count, value))

    def forget(self, number: int) -> int:
        """Begin a part anew; return how many bytes of it do not count any more."""
        front = self._fronts.pop(number, None)
        if front is None or not front.mark[0]:
            return 0
        self._append(PartLog.front(number, 0, 0))
        return front.mark[0]

    def write(self, data: memoryview, position: int) -> None:
        """Write all of it at its position, whatever the system takes at once."""
        write_at(self.file.fd, data, position)
        self.file.wrote(len(data), position)

    def note(self, number: int) -> None:
        """Note that a part is held: all its bytes were taken.

        Raises
        ------
        LostPartialError
            If another run has the file now.
        """
        self.check_mine()
        noted = self._fronts[number].noted
        self._append(PartLog.line(number, *noted))
        self.parts[number] = noted
        self._fronts.pop(number)

    def _append(self, line: bytes) -> None:
        """Add a line to the log; one that grew long is written anew."""
        with self._lock:
            os.write(self._log_fd, line)
            self._grown += len(line)
            if self._grown > _GROWTH:
                self.check_mine()
                self._begin_log()

    def check_mine(self) -> None:
        """See that no other run took the file while this one was silent.

        Raises
        ------
        LostPartialError
            If one did.
        """
        if not self._context.partials.is_mine(self._short) or not self.file.is_there():
            raise LostPartialError

    # -- the end -----------------------------------------------------------------------------

    def verify(self, part_length: PartLength | None = None) -> Verified:
        """Compare the whole file with the server checksum.

        Parameters
        ----------
        part_length : callable, optional
            Asks how large a part of the upload is.

        Raises
        ------
        VerificationError
            If the bytes do not match the server checksum.
        """
        held = ((*self.parts[n], self.length(n)) for n in range(self.total))
        parts = [(value, length, md5) for value, md5, length in held]
        os.ftruncate(self.file.fd, self.size)
        again = self.file.blocks
        return check_parts(self.checksum, parts, self.part_size, again, part_length)

    def forget_log(self) -> None:
        """Remove the log: the file has taken its final name."""
        self.file.folder.remove(self._log)

    @property
    def _log(self) -> str:
        return f"{self.file.base}.log"

    def discard(self) -> None:
        """Close and remove all of it."""
        self.close()
        self.file.discard()
        self.forget_log()

    def close(self) -> None:
        """Close it; the next run can resume. No thread may be at work on it any more."""
        self.file.close()
        fd, self._log_fd = self._log_fd, -1
        if fd >= 0:
            os.close(fd)


_SHARE_BLOCKS = 0x40049409
"""FICLONE, see ioctl_ficlone(2): the new file has the blocks of the old one until it is written."""


def _shared(source: int, target: int) -> bool:
    """Make one file share all blocks of another; False where the file system cannot do that."""
    if not sys.platform.startswith("linux"):
        return False
    import fcntl  # noqa: PLC0415 - not on every system

    try:
        fcntl.ioctl(target, _SHARE_BLOCKS, source)
    except OSError:
        return False
    return True
