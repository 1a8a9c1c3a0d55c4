"""The bytes of volumes: a plain file is read by position, anything else in order.

Gzip is recognised by its first bytes, not by the file name. Reading and decompression (igzip) run
in a thread of their own without the GIL, so that masking runs at the same time.
"""

from __future__ import annotations

import io
import mmap
import os
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, cast

from laion_fmri.errors import CorruptFileError
from laion_fmri.volumes.nifti import Header, read_header
from neurofetch.store.atomic import read_at
from neurofetch.store.inflating import GZIP, Inflated

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

__all__ = ["Reader", "ahead", "open_chunks", "open_file"]

_BLOCK = 1 << 19
#: How many stretches are read or in use at a time.
_AHEAD = 3


class Reader(Protocol):
    """A file of volumes, read one stretch of bytes at a time."""

    header: Header
    #: True if stretches can be read in any order; False if all bytes are read once, in order.
    by_position: bool

    def fill(self, buffer: memoryview, position: int) -> None:
        """Fill `buffer` from `position`, in bytes after the first voxel."""

    def finish(self) -> None:
        """Read to where a checksum is, so that damage after the last volume is found too."""


def ahead(reader: Reader, jobs: Iterable[tuple[int, int]]) -> Generator[memoryview, None, None]:
    """Read stretches in a thread, a few ahead of the one that is in use.

    Parameters
    ----------
    reader : Reader
    jobs : iterable of (position, size)
        In bytes; in the order of the file where the reader is not by position.

    Yields
    ------
    memoryview
        The bytes of each job, valid until the next one is asked for.
    """
    free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
    full: SimpleQueue[memoryview | BaseException | None] = SimpleQueue()
    for _ in range(_AHEAD):
        free.put(mmap.mmap(-1, _BLOCK))
    work = threading.Thread(target=_fill_all, args=(reader, jobs, free, full), daemon=True)
    try:
        work.start()
    except (RuntimeError, MemoryError):  # the system gives no more threads: then in this one
        yield from _one_by_one(reader, jobs)
        return
    try:
        while (item := full.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            free.put(cast("mmap.mmap", item.obj))
    finally:
        free.put(None)
        work.join()


def _one_by_one(reader: Reader, jobs: Iterable[tuple[int, int]]) -> Iterator[memoryview]:
    for position, size in jobs:
        view = memoryview(mmap.mmap(-1, max(1, size)))[:size]
        reader.fill(view, position)
        yield view


def _fill_all(
    reader: Reader,
    jobs: Iterable[tuple[int, int]],
    free: SimpleQueue[mmap.mmap | None],
    full: SimpleQueue[memoryview | BaseException | None],
) -> None:
    try:
        for position, size in jobs:
            buffer = free.get()
            if buffer is None:  # the rest is not needed
                return
            if len(buffer) < size:
                # Unlike the heap, its memory is given back to the system at once.
                buffer = mmap.mmap(-1, size)
            view = memoryview(buffer)[:size]
            reader.fill(view, position)
            full.put(view)
    except BaseException as exc:  # noqa: BLE001 - raised in the thread that uses the bytes
        full.put(exc)
    else:
        full.put(None)


@contextmanager
def open_file(path: Path) -> Iterator[Reader]:
    """Open a NIfTI file on disk, gzipped or not, either byte order.

    Raises
    ------
    CorruptFileError
        On leaving or within: if the file is damaged or too short.
    """
    with open(path, "rb", buffering=0) as raw:
        if raw.read(2) != GZIP:
            yield _ByPosition(raw, str(path))
            return
        raw.seek(0)
        with _inflating(raw, str(path)) as reader:
            yield reader


@contextmanager
def open_chunks(chunks: Iterable[bytes | memoryview], name: str) -> Iterator[Reader]:
    """Open a NIfTI file that arrives as chunks of bytes, gzipped or not.

    Parameters
    ----------
    chunks : iterable of bytes or memoryview
        Read to its end, also beyond the last volume, so that a check at its end is made.
    name : str
        Of the file, for messages.
    """
    raw = _Chunks(chunks)
    if raw.peek(2) == GZIP:
        with _inflating(raw, name) as reader:
            yield reader
            raw.exhaust()
    else:
        yield _InOrder(io.BufferedReader(raw, _BLOCK), name)
        raw.exhaust()


@contextmanager
def _inflating(raw: io.RawIOBase, name: str) -> Iterator[Reader]:
    inflated = Inflated(lambda size: raw.read(size) or b"")
    try:
        yield _InOrder(inflated, name)
    except EOFError as exc:
        raise CorruptFileError(name, "ends before its gzip stream does; fetch it again") from exc
    except inflated.damage as exc:
        said = str(exc)
    else:
        return
    # Not "from exc": its class cannot be pickled, and then the error could not leave its process.
    raise CorruptFileError(name, f"the gzip stream is damaged ({said}); fetch it again")


class _InOrder:
    """Reads all bytes once, in the order of the file."""

    by_position = False

    def __init__(self, stream: io.BufferedIOBase | Inflated, name: str) -> None:
        self._stream = stream
        self._consumed = 0
        self.header = read_header(self._read, name)
        self._skip_to(self.header.offset)

    def fill(self, buffer: memoryview, position: int) -> None:
        filled = 0
        while filled < len(buffer):
            count = self._stream.readinto(buffer[filled:])
            if not count:
                raise _short(self.header, position + filled)
            filled += count

    def finish(self) -> None:
        if isinstance(self._stream, Inflated):
            self._stream.finish()

    def _read(self, size: int) -> bytes:
        block = b""
        while len(block) < size and (more := self._stream.read(size - len(block))):
            block += more
        self._consumed += len(block)
        return block

    def _skip_to(self, offset: int) -> None:
        while self._consumed < offset:
            if not self._read(min(offset - self._consumed, _BLOCK)):
                raise CorruptFileError(self.header.path, "ends before its first voxel")


class _ByPosition:
    """Reads only what is asked for."""

    by_position = True

    def __init__(self, raw: io.FileIO, name: str) -> None:
        raw.seek(0)
        self._fd = raw.fileno()
        self.header = read_header(lambda size: raw.read(size) or b"", name)
        size = os.fstat(self._fd).st_size
        if size < self.header.offset + self.header.volumes * self.header.volume_bytes:
            raise _short(self.header, size - self.header.offset)

    def fill(self, buffer: memoryview, position: int) -> None:
        filled = read_at(self._fd, buffer, self.header.offset + position)
        if filled < len(buffer):
            raise _short(self.header, position + filled)

    def finish(self) -> None:
        """Do nothing: the size was checked on opening."""


class _Chunks(io.RawIOBase):
    """A file object over an iterable of bytes."""

    def __init__(self, chunks: Iterable[bytes | memoryview]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._next():
            return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def peek(self, size: int) -> bytes:
        """Return the first bytes; they are read again by `readinto`."""
        begin = bytes(self._rest)
        while len(begin) < size and self._next():
            begin += bytes(self._rest)
        self._rest = memoryview(begin)
        return begin[:size]

    def exhaust(self) -> None:
        """Read the iterable to its end."""
        while self._next():
            continue

    def _next(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._rest = memoryview(chunk)
                return True
        self._rest = memoryview(b"")
        return False


def _short(header: Header, position: int) -> CorruptFileError:
    whole = max(position, 0) // header.volume_bytes
    problem = f"ends within volume {whole} of {header.volumes} (counted from 0); fetch it again"
    return CorruptFileError(header.path, problem)
