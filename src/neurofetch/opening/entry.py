"""One version of one file in the cache: some of its blocks, each with a checksum of its own.

A folder with three files. ``about.json`` says what it is a copy of. ``data`` has the blocks, each
at its place in the file; where none came yet, it has a hole. ``index`` has 16 bytes for each block:
its CRC, its length, and a check of these two; zeros where the block is not here.

Any number of processes write at once, without a lock: what they write at one place is the same, and
a block counts only where its bytes have the CRC that the index says. So a crash, a full disk or a
damaged disk costs a block, and never gives wrong bytes. When all blocks are here and were compared
with what the server says of the whole, ``whole.json`` says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import struct
import sys
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch.integrity.checksums import CRC_BYTES, crc
from neurofetch.opening.forks import Flights, ForkingLock
from neurofetch.store.atomic import read_at, read_regular, write_at, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "ABOUT",
    "DATA",
    "FULL",
    "LARGEST",
    "SMALLEST",
    "Entry",
    "Version",
    "Whole",
    "make_private",
    "read_document",
    "removed",
]

ABOUT, DATA, _INDEX, _WHOLE = "about.json", "data", "index", "whole.json"
_FORMAT = 1
_SLOT = struct.Struct("<QII")
_LOOK = 1 << 16
"""Bytes of the index that are looked at together: a number of whole slots."""
SMALLEST, LARGEST = 4 << 10, 64 << 20
"""Bytes of a block, at least and at most."""
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A disk, or the share of it that a user has, takes no more."""
_MOST = 1 << 62
"""Bytes of a file: no disk takes more."""
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Version(NamedTuple):
    """Which version of which file.

    Parameters
    ----------
    place : str
        Server and name; no signature, and no password.
    tag : str
        What tells it from other versions: an ETag, or the time of its last change.
    size : int or None
        Bytes; None where the server does not say beforehand.
    """

    place: str
    tag: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of a file whose every byte is here and was verified.

    Parameters
    ----------
    verification : str
        How: see `neurofetch.model.VerificationLevel`.
    digest : str
        ``algorithm:hex``.
    size, mtime_ns : int
        Of the data as they were then.
    path : str
        Where it is under its own name, relative to the cache; "" where nobody asked for that.
    """

    verification: str
    digest: str
    size: int
    mtime_ns: int
    path: str = ""


def read_document(path: Path) -> dict[str, Any]:
    """Return a small JSON object; an empty one where there is none, or it is damaged."""
    try:
        found = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Entry:
    """One version of one file in the cache. Any number of threads and processes may use it.

    Parameters
    ----------
    folder : Path
        It exists, and is of this version.
    size, block : int
        Bytes of the file, and of each of its blocks but the last.
    algorithm : str
        The CRC of its blocks.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, folder: Path, size: int, block: int, algorithm: str) -> None:
        self.folder = folder
        self.size = size
        self.block = block
        self.blocks = -(-size // block)
        self.crc = crc(algorithm)
        self.flights = Flights()
        self.lock = ForkingLock()
        self._here: set[int] = set()
        self.writable = True
        self.users = 0
        """Readers in this process; kept by the cache."""
        self.beyond_limit = False
        """Whether all of it is kept, also where the cache has reached its limit."""
        self._data = self._index = -1
        self._busy, self._closed = 0, False
        try:
            self._data = self._opened(DATA, size)
            self._index = self._opened(_INDEX, self.blocks * _SLOT.size)
            self.look()
        except BaseException:
            self.close()
            raise

    def _opened(self, name: str, size: int) -> int:
        path = self.folder / name
        try:
            flags = os.O_RDWR | os.O_CREAT if self.writable else os.O_RDONLY
            fd = os.open(path, flags | _OPEN, 0o600)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE or not self.writable:
                raise
            self.writable = False
            fd = os.open(path, os.O_RDONLY | _OPEN)
        try:
            _fit(fd, size, writable=self.writable)
        except BaseException:
            os.close(fd)
            raise
        return fd

    # -- blocks ------------------------------------------------------------------------------

    def length(self, number: int) -> int:
        """Return the bytes of a block."""
        return min(self.block, self.size - number * self.block)

    def look(self) -> None:
        """See which blocks are here by now, by what the index says.

        Of a file of a terabyte the index has megabytes, and nearly all of it is a hole: that is
        passed over.
        """
        at, end = 0, self.blocks * _SLOT.size
        while at < end:
            at = _next_data(self._index, at)
            raw = os.pread(self._index, min(_LOOK, end - at), at) if at < end else b""
            if not raw:
                return
            if raw.count(0) < len(raw):
                self._look_at(at // _SLOT.size, raw)
            at += len(raw)

    def _look_at(self, first: int, raw: bytes) -> None:
        for number in range(first, first + len(raw) // _SLOT.size):
            if self._slot(number, raw, (number - first) * _SLOT.size) is not None:
                self._mark(number)

    def _mark(self, number: int) -> None:
        with self.lock:
            self._here.add(number)

    def _unmark(self, number: int) -> None:
        with self.lock:
            self._here.discard(number)

    def _slot(self, number: int, raw: memoryview | bytes, at: int) -> int | None:
        """Return the CRC of a block, as a slot of the index says it; None where it says none."""
        value, length, check = _SLOT.unpack_from(raw, at)
        good = length == self.length(number) and check == _check(number, value, length)
        return value if good else None

    def _told(self, number: int) -> int | None:
        raw = memoryview(bytearray(_SLOT.size))
        try:
            came = read_at(self._index, raw, number * _SLOT.size)
        except OSError:  # a disk that cannot read it, or an entry that another machine removed
            return None
        return self._slot(number, raw, 0) if came == len(raw) else None

    def read(self, number: int) -> bytes | None:
        """Return a block, verified by its CRC; None where it is not here, or damaged."""
        with self._in_use() as usable:
            return self._read(number) if usable else None

    def _read(self, number: int) -> bytes | None:
        value = self._told(number)
        if value is None:
            self._unmark(number)
            return None
        data = bytearray(self.length(number))
        try:
            came = read_at(self._data, memoryview(data), number * self.block)
        except OSError:  # a disk that cannot read it again: it is fetched again
            came = 0
        if came != len(data) or self.crc.update(data, 0) != value:
            self._unmark(number)
            return None
        self._mark(number)
        return bytes(data)

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Keep a block.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        with self._in_use() as usable:
            if not usable or not self.writable:
                return
            value = self.crc.update(data, 0)
            write_at(self._data, data, number * self.block)
            slot = _SLOT.pack(value, len(data), _check(number, value, len(data)))
            write_at(self._index, slot, number * _SLOT.size)
            self._mark(number)

    def claim(self, run: range) -> bool:
        """Say that this process fetches blocks; whether no other one does.

        It only spares requests: a claim goes with its process, and where the file system knows no
        locks, everybody fetches. A thread of this process is not held up by another: see `Flights`.
        """
        if not self.writable:
            return True
        try:
            self._lock_slots(fcntl.LOCK_EX | fcntl.LOCK_NB, run)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True

    def give_back(self, run: range) -> None:
        """Say that it does not fetch them any more."""
        if self.writable:
            with contextlib.suppress(OSError):
                self._lock_slots(fcntl.LOCK_UN, run)

    def _lock_slots(self, how: int, run: range) -> None:
        with self._in_use() as usable:
            if usable:
                fcntl.lockf(self._index, how, len(run) * _SLOT.size, run[0] * _SLOT.size)

    def has(self, number: int) -> bool:
        """Whether a block is here, as far as this process saw."""
        return number in self._here

    @property
    def complete(self) -> bool:
        """Whether every block is here, as far as this process saw."""
        return len(self._here) == self.blocks

    def parts(self) -> list[tuple[int, int, str]] | None:
        """Return CRC and length of every block, in order; None where one is not here."""
        raw = memoryview(bytearray(self.blocks * _SLOT.size))
        try:
            read_at(self._index, raw, 0)
        except OSError:
            return None
        values = [self._slot(number, raw, number * _SLOT.size) for number in range(self.blocks)]
        if None in values:
            return None
        return [(value or 0, self.length(number), "") for number, value in enumerate(values)]

    def damaged(self) -> list[int]:
        """Read every block, and return the numbers of those that are not here, or damaged."""
        return [number for number in range(self.blocks) if self.read(number) is None]

    def bytes(self) -> Iterator[bytes]:
        """Give all blocks in order.

        Raises
        ------
        OSError
            If one is not here, or damaged.
        """
        for number in range(self.blocks):
            data = self.read(number)
            if data is None:
                raise OSError(errno.EIO, "a block of the cache is damaged", str(self.folder))
            yield data

    # -- the whole ---------------------------------------------------------------------------

    @property
    def data_path(self) -> Path:
        """The file with the bytes; what it has where a block is missing means nothing."""
        return self.folder / DATA

    def in_place(self) -> bool:
        """Whether it is still where it was: anybody may remove a cache at any time."""
        try:
            return os.path.samestat(os.fstat(self._data), os.lstat(self.data_path))
        except OSError:
            return False

    def whole(self) -> Whole | None:
        """Return what was written down when all of it was verified; None where it was not.

        Also None where the data changed since: then every byte is to be looked at again.
        """
        told = read_document(self.folder / _WHOLE)
        try:
            found = Whole(**told)
            here = os.fstat(self._data)
        except (TypeError, OSError):
            return None
        same = (here.st_size, here.st_mtime_ns) == (found.size, found.mtime_ns)
        return found if same and found.size == self.size else None

    def whole_now(self, verification: str, digest: str, path: str = "") -> Whole:
        """Return what is known of the file, with its data as they are now."""
        here = os.fstat(self._data)
        return Whole(verification, digest, here.st_size, here.st_mtime_ns, path)

    def settle(self, whole: Whole) -> None:
        """Write down that all of it was verified.

        Raises
        ------
        OSError
        """
        path = self.folder / _WHOLE
        if path.is_dir() and not path.is_symlink():
            removed(path)
        content = json.dumps(asdict(whole)).encode()
        write_atomically(path, content, private=True, flush=False, own=True)

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[bool]:
        """Hold its files open for a moment; whether they are.

        A read that failed, or was interrupted, leaves requests that end by themselves: what they
        bring then must not be written to what another file has as its number by now.
        """
        with self.lock:
            usable = not self._closed
            self._busy += usable
        try:
            yield usable
        finally:
            with self.lock:
                self._busy -= usable
                if self._closed and not self._busy:
                    self._close_files()

    def close(self) -> None:
        """Close its files, as soon as no thread is at them; twice is no error."""
        with self.lock:
            self._closed = True
            if not self._busy:
                self._close_files()

    def _close_files(self) -> None:
        for fd in (self._data, self._index):
            if fd >= 0:
                os.close(fd)
        self._data = self._index = -1

    @staticmethod
    def describe(folder: Path, version: Version, size: int, block: int, algorithm: str) -> None:
        """Make the folder of an entry.

        Raises
        ------
        OSError
        """
        about = {
            "format": _FORMAT,
            "place": version.place,
            "tag": version.tag,
            "size": size,
            "block": block,
            "crc": algorithm,
        }
        make_private(folder)
        content = json.dumps(about, indent=1).encode()
        write_atomically(folder / ABOUT, content, private=True, flush=False, own=True)

    @staticmethod
    def described(folder: Path, version: Version) -> tuple[int, int, str] | None:
        """Return size, block and CRC of the entry in a folder; None where it is not of a version.

        Parameters
        ----------
        folder : Path
        version : Version
        """
        about = read_document(folder / ABOUT)
        size, block, name = (about.get(key) for key in ("size", "block", "crc"))
        same = (about.get("format"), about.get("place"), about.get("tag")) == (
            _FORMAT,
            version.place,
            version.tag,
        )
        if not same or not isinstance(size, int) or not isinstance(block, int):
            return None
        if version.size not in (None, size) or not 0 <= size <= _MOST:
            return None
        if not SMALLEST <= block <= LARGEST or str(name) not in CRC_BYTES:
            return None
        return size, block, str(name)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone.

    Raises
    ------
    OSError
    """
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_private(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def _next_data(fd: int, at: int) -> int:
    """Return where the next slot may be that is no hole; the largest number where none is."""
    try:
        found = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        return sys.maxsize if error.errno == errno.ENXIO else at
    return max(found // _SLOT.size * _SLOT.size, at)


def _fit(fd: int, size: int, *, writable: bool) -> None:
    """See that a file is a regular one, and let it have its size.

    Raises
    ------
    OSError
    """
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no regular file")
    if found.st_size != size and writable:
        os.ftruncate(fd, size)


def _check(number: int, value: int, length: int) -> int:
    """Return what tells a slot from zeros, from half a slot, and from that of another block."""
    return zlib.crc32(struct.pack("<QQI", number, value, length)) | 1


def removed(folder: Path) -> None:
    """Take away a folder that may be anything, or partly gone."""
    if folder.is_symlink() or folder.is_file():
        with contextlib.suppress(OSError):
            folder.unlink()
        return
    shutil.rmtree(folder, ignore_errors=True)
