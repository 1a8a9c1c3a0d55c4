"""The partial file of one large file: its bytes, the log of its parts, their checksums.

Bytes are only written at their position. A part counts as held when the log names it and its
bytes, read back after an interruption, have the checksum that the log says.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from neurofetch.integrity.checksums import crc, hasher
from neurofetch.integrity.verification import ServerChecksum, Verified, check_parts, read_blocks
from neurofetch.store.atomic import read_at, write_all, write_at
from neurofetch.store.partials import Held, PartLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neurofetch.integrity.verification import PartLength
    from neurofetch.transfer.context import TransferContext

__all__ = ["BUFFER", "Noted", "PartFile", "part_size_for"]

BUFFER = 1 << 20
_MOST_PARTS = 10_000

Noted = tuple[int, str]
"""CRC of a part and, where it was computed, its MD5 in hexadecimal."""


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
    short : str
        The file's short name; see `name_of`.
    checksum : ServerChecksum
        Of the version that is fetched; its size is known.
    held : iterable of Held
        Partials of this file that other runs left: the fullest one of the same version is taken
        over, if its run has ended.

    Attributes
    ----------
    path : str
        Of the bytes.
    part_size : int
        Bytes of every part but the last.
    parts : dict of int to Noted
        The parts that are held, by number from 0.
    with_md5 : bool
        Whether the MD5s of the parts will be needed: our parts are those of the upload.
    """

    def __init__(
        self, context: TransferContext, short: str, checksum: ServerChecksum, held: Iterable[Held]
    ) -> None:
        self.checksum = checksum
        self.size = checksum.size or 0
        self._context = context
        self._short = short
        self._fd = self._log_fd = -1
        log = self._take_over(held)
        self.part_size = (
            log.part_size if log else part_size_for(checksum, context.options.part_size)
        )
        self.with_md5 = checksum.digest is None and self.part_size in checksum.likely_part_sizes
        self.path, self._log_path = context.partials.paths(short)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self.parts = self._reread(log) if log else {}
            self._begin_log()
        except BaseException:
            self.close()
            raise

    def _take_over(self, held: Iterable[Held]) -> PartLog | None:
        """Take over the fullest partial of the same version whose run has ended."""
        partials = self._context.partials
        for one in sorted(held, key=lambda one: -one.log.bytes_held()):
            if self._is_of(one.log) and partials.free_to_take(one):
                log = partials.take_over(self._short, one)
                if log is not None and self._is_of(log):
                    return log
        return None

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

    def _read(self, number: int, algorithm: str, *, with_md5: bool) -> Noted:
        update, value = crc(algorithm).update, 0
        md5 = hasher("md5") if with_md5 else None
        position, left = number * self.part_size, self.length(number)
        with self._context.buffers.lend(BUFFER) as buffer:
            while left > 0:
                count = read_at(self._fd, buffer[: min(left, BUFFER)], position)
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
        fresh = self._context.partials.temporary(self._short)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._log_fd = os.open(fresh, flags, 0o666)
        try:
            write_all(self._log_fd, log.header() + b"".join(lines))
            os.replace(fresh, self._log_path)
        except OSError:
            os.unlink(fresh)
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

    @property
    def descriptor(self) -> int:
        """The file's descriptor, for the last flush."""
        return self._fd

    def length(self, number: int) -> int:
        """Return the bytes of a part."""
        return min(self.part_size, self.size - number * self.part_size)

    def write(self, data: memoryview, position: int) -> None:
        """Write all of it at its position, whatever the system takes at once."""
        write_at(self._fd, data, position)

    def note(self, number: int, noted: Noted) -> None:
        """Note that a part is held: its bytes are written."""
        os.write(self._log_fd, PartLog.line(number, *noted))
        self.parts[number] = noted

    # -- the end -----------------------------------------------------------------------------

    def verify(self, part_length: PartLength | None = None) -> tuple[int, Verified]:
        """Compare the whole file with the server checksum.

        Parameters
        ----------
        part_length : callable, optional
            Asks how large a part of the upload is.

        Returns
        -------
        tuple of (int, Verified)
            The file's descriptor, for the last flush, and how it was verified.

        Raises
        ------
        VerificationError
            If the bytes do not match the server checksum.
        """
        held = ((*self.parts[n], self.length(n)) for n in range(self.total))
        parts = [(value, length, md5) for value, md5, length in held]
        os.ftruncate(self._fd, self.size)
        again = lambda: read_blocks(self.path)  # noqa: E731
        return self._fd, check_parts(self.checksum, parts, self.part_size, again, part_length)

    def forget_log(self) -> None:
        """Remove the log: the file has taken its final name."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._log_path)

    def discard(self) -> None:
        """Close and remove all of it."""
        self.close()
        self._context.partials.discard(self._short)

    def close(self) -> None:
        """Close it; the next run can resume. No thread may be at work on it any more."""
        fds, self._fd, self._log_fd = (self._fd, self._log_fd), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)
