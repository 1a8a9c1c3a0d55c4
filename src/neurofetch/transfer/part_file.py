"""The partial file of one large file: its bytes, the log of its parts, their checksums.

Bytes are only written at their position. A part counts as held when the log names it and its
bytes, read back after an interruption, have the checksum that the log says. The file is one that
no other process has open for writing: it was made by this run, or by one that was seen to have
ended. From any other partial, the parts that are held are copied.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from typing import TYPE_CHECKING

from neurofetch.integrity.checksums import crc, hasher
from neurofetch.integrity.verification import ServerChecksum, Verified, check_parts
from neurofetch.store.atomic import read_at, write_all, write_at
from neurofetch.store.directory import FULL
from neurofetch.store.partials import Held, PartLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neurofetch.integrity.verification import PartLength
    from neurofetch.store.partials import Temporary
    from neurofetch.transfer.context import TransferContext

__all__ = ["BUFFER", "LostPartialError", "Noted", "PartFile", "part_size_for"]

BUFFER = 1 << 20
_MOST_PARTS = 10_000

Noted = tuple[int, str]
"""CRC of a part and, where it was computed, its MD5 in hexadecimal."""


class LostPartialError(Exception):
    """Another run has the file now: this one was silent for long. A turn of events, no failure."""


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
        over, if its run has ended; if its run is silent, its parts are copied.

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
        held: Iterable[Held],
    ) -> None:
        self.checksum = checksum
        self.size = checksum.size or 0
        self._context = context
        self._path = path
        self._short = short
        self._log_fd = -1
        self.part_size = part_size_for(checksum, context.options.part_size)
        self.parts: dict[int, Noted] = {}
        self.file, log, old = self._opened(held)
        try:
            if log is not None:
                self.part_size = log.part_size
            self.with_md5 = checksum.digest is None and self.part_size in checksum.likely_part_sizes
            if log is not None:
                self.parts = self._reread(log) if old is None else self._copied(log, old)
            self._begin_log()
        except BaseException:
            if log is None or old is not None:  # else it is the only one with these parts
                self.file.discard()
            self.close()
            raise
        if old is not None:
            old.remove()  # its parts are ours now; a run that wakes up will see that

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

    def _reread(self, log: PartLog) -> dict[int, Noted]:
        """Read back the parts that a log names; those whose bytes are as it says are held."""
        found: dict[int, Noted] = {}
        algorithm = self.checksum.crc
        for number, noted in sorted(log.parts.items()):
            if self._context.attempts.stop.is_set():
                break
            if self._read(number, log.algorithm, with_md5=bool(noted[1])) != noted:
                continue
            if log.algorithm != algorithm or (self.with_md5 and not noted[1]):
                noted = self._read(number, algorithm, with_md5=self.with_md5)  # noqa: PLW2901
            found[number] = noted
        return found

    def _copied(self, log: PartLog, old: Held) -> dict[int, Noted]:
        """Copy the parts that are held into our own file, and check the copy.

        Where the file system can share blocks between files, nothing is written.
        """
        with contextlib.suppress(FileNotFoundError):  # finished, or taken by a third run
            fd = old.open()
            try:
                if not _shared(fd, self.file.fd):
                    for number in sorted(log.parts):
                        self._copy(fd, number)
            except OSError as error:
                if error.errno not in FULL:  # what has room is copied, and the rest comes anew
                    raise
            finally:
                os.close(fd)
        return self._reread(log)

    def _copy(self, fd: int, number: int) -> None:
        position, left = number * self.part_size, self.length(number)
        with self._context.buffers.lend(BUFFER) as buffer:
            while left > 0 and not self._context.attempts.stop.is_set():
                count = read_at(fd, buffer[: min(left, BUFFER)], position)
                if not count:
                    return
                self.write(buffer[:count], position)
                position, left = position + count, left - count

    def _read(self, number: int, algorithm: str, *, with_md5: bool) -> Noted:
        update, value = crc(algorithm).update, 0
        md5 = hasher("md5") if with_md5 else None
        position, left = number * self.part_size, self.length(number)
        with self._context.buffers.lend(BUFFER) as buffer:
            while left > 0:
                count = read_at(self.file.fd, buffer[: min(left, BUFFER)], position)
                if not count:
                    return -1, ""  # the file is shorter than its log says
                value = update(buffer[:count], value)
                if md5 is not None:
                    md5.update(buffer[:count])
                position, left = position + count, left - count
        return value, md5.hexdigest() if md5 else ""

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
        lines = [PartLog.line(n, *self.parts[n]) for n in sorted(self.parts)]
        folder, draft = self.file.folder, f"{self.file.base[:-16]}{secrets.token_hex(8)}.tmp"
        self._log_fd = folder.create(draft, os.O_WRONLY | os.O_APPEND)
        try:
            write_all(self._log_fd, log.header() + b"".join(lines))
            folder.rename(draft, folder, self._log)
        except OSError:
            folder.remove(draft)
            raise

    # -- parts -------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        """The number of parts."""
        return -(-self.size // self.part_size)

    @property
    def held(self) -> int:
        """Bytes of the parts that are held."""
        return sum(map(self.length, list(self.parts)))

    def length(self, number: int) -> int:
        """Return the bytes of a part."""
        return min(self.part_size, self.size - number * self.part_size)

    def write(self, data: memoryview, position: int) -> None:
        """Write all of it at its position, whatever the system takes at once."""
        write_at(self.file.fd, data, position)
        self.file.wrote(len(data), position)

    def note(self, number: int, noted: Noted) -> None:
        """Note that a part is held: its bytes are written.

        Raises
        ------
        LostPartialError
            If another run has the file now.
        """
        self.check_mine()
        os.write(self._log_fd, PartLog.line(number, *noted))
        self.parts[number] = noted

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
