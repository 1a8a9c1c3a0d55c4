"""The bytes of frames: by position in a plain file, else in one pass that is not made twice.

A session of 12 GB is gzipped: frame 500 is behind the 499 before it. The pass goes on where it
stopped, and what it passes is kept in a temporary file without a name, bounded in bytes. Where all
voxels of all frames fit, all are kept; else those inside of the head, if what is outside is the
same in all frames (as it is in results of a model). So a frame that was passed, and the course of
a voxel, are a few reads afterwards.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neurofetch.store.atomic import read_at, write_at
from neurofetch.store.inflating import Inflated
from neurofetch.ui.look.problems import damaged
from neurofetch.ui.look.spools import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from neurofetch.ui.look.headers import Header

__all__ = ["Frames", "Kept", "Plain", "Stream", "Zipped"]

_BLOCK = 1 << 20
_LARGE = 64 << 20
"""Frames of more bytes are not kept."""
_AFTER = 64 << 10
"""Bytes that may follow the last voxel."""
_BESIDE = 2_000_000
"""Voxels outside of the head, of all frames together, that may differ from those of the first."""
_log = logging.getLogger("neurofetch.ui")


class Frames(Protocol):
    """The frames of a file, as the bytes that are in it."""

    def frame(self, number: int) -> memoryview:
        """Return all bytes of a frame."""

    def planes(self, number: int, each: int, take: Callable[[int, memoryview], None]) -> None:
        """Hand over a frame plane by plane (each of so many bytes), in order."""

    def course(self, position: int, size: int) -> list[bytes]:
        """Return the bytes of one voxel in all frames."""


class Stream:
    """A decompressed file, read once from front to back.

    Parameters
    ----------
    fd : int
        Read by position: nobody else's place in it changes.
    name : str
        Of the file, for messages.

    Attributes
    ----------
    position : int
        Decompressed bytes that were read.
    is_broken : bool
        Whether it was found to be damaged: no more can be read then.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._inflated = Inflated(_ByPosition(fd).read)
        self._name = name
        self.position = 0
        self.is_broken = False

    def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer; return how many bytes there were.

        Raises
        ------
        UnreadableFileError
            If the stream is damaged, or ends before its own end.
        """
        filled = 0
        while filled < len(buffer):
            block = self._some(len(buffer) - filled)
            if not block:
                break
            buffer[filled : filled + len(block)] = block
            filled += len(block)
        self.position += filled
        return filled

    def read(self, size: int) -> bytes:
        """Return the next bytes; fewer only at the end."""
        block = bytearray(size)
        return bytes(block[: self.read_into(memoryview(block))])

    def skip(self, size: int) -> None:
        """Read on without keeping anything."""
        while size > 0:
            block = self._some(min(size, _BLOCK))
            if not block:
                return
            size -= len(block)
            self.position += len(block)

    def _some(self, size: int) -> bytes:
        try:
            return self._inflated.read(size)
        except EOFError:
            problem = "ends before its gzip stream does"
        except self._inflated.damage as error:
            problem = f"is damaged within its gzip stream ({error})"
        self.is_broken = True
        raise damaged(self._name, problem)


class _ByPosition:
    """Reads a descriptor on from a place of its own."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int) -> bytes:
        block = os.pread(self._fd, size, self._at)
        self._at += len(block)
        return block


class Plain:
    """The frames of a file that is not compressed.

    Parameters
    ----------
    fd : int
        Not closed here.
    header : Header
    """

    def __init__(self, fd: int, header: Header) -> None:
        self._fd = fd
        self._header = header

    def frame(self, number: int) -> memoryview:
        """Return all bytes of a frame."""
        return self._read(number * self._header.frame_bytes, self._header.frame_bytes)

    def planes(self, number: int, each: int, take: Callable[[int, memoryview], None]) -> None:
        """Hand over a frame plane by plane."""
        begin = number * self._header.frame_bytes
        for n in range(self._header.grid[2]):
            take(n, self._read(begin + n * each, each))

    def course(self, position: int, size: int) -> list[bytes]:
        """Return the bytes of one voxel in all frames."""
        each = self._header.frame_bytes
        return [bytes(self._read(n * each + position, size)) for n in range(self._header.frames)]

    def _read(self, position: int, size: int) -> memoryview:
        buffer = memoryview(bytearray(size))
        filled = read_at(self._fd, buffer, self._header.offset + position)
        if filled < size:
            raise _short(self._header, position + filled)
        return buffer


class Zipped:
    """The frames of a gzipped file, in one pass that goes on where it stopped.

    Parameters
    ----------
    fd : int
        A descriptor of its own is made of it.
    header : Header
    keep : int
        Bytes that the temporary file may take.
    memory : int
        Bytes of courses that are kept where the temporary file cannot hold them.
    """

    def __init__(self, fd: int, header: Header, *, keep: int, memory: int) -> None:
        self._fd = os.dup(fd)
        self._closed = weakref.finalize(self, os.close, self._fd)
        self._header = header
        self._keep = keep
        self._memory = memory
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._kept: Kept | None = None
        self._near: tuple[NDArray[np.int64], NDArray[Any]] | None = None

    def frame(self, number: int) -> memoryview:
        """Return all bytes of a frame."""
        kept = self._kept
        if kept is not None and (known := kept.frame(number)) is not None:
            return known
        with self._lock:
            self._pass_to(number)
            return self._next(number)

    def planes(self, number: int, each: int, take: Callable[[int, memoryview], None]) -> None:
        """Hand over a frame plane by plane."""
        with self._lock:
            stream = self._at(number)
            buffer = memoryview(bytearray(each))
            for n in range(self._header.grid[2]):
                self._fill(stream, buffer)
                take(n, buffer)
            self._check_end(stream, number)

    def course(self, position: int, size: int) -> list[bytes]:
        """Return the bytes of one voxel in all frames."""
        voxel = position // size
        with self._lock:
            if self._header.frame_bytes <= _LARGE:
                if self._kept is None or self._kept.may_hold(voxel):
                    self._pass_to(self._header.frames)
                if self._kept is not None and (held := self._kept.course(voxel)) is not None:
                    return held
            return self._course_near(voxel, size)

    def _at(self, number: int) -> Stream:
        """Return the stream where a frame begins; a new one if that was passed."""
        target = self._header.offset + number * self._header.frame_bytes
        stream = self._stream
        if stream is None or stream.is_broken or stream.position > target:
            stream = self._stream = Stream(self._fd, self._header.name)
        stream.skip(target - stream.position)
        if stream.position < target:
            raise _short(self._header, stream.position - self._header.offset)
        return stream

    def _pass_to(self, number: int) -> None:
        """Keep what comes before a frame, as far as it is kept."""
        if self._kept is None:
            first = self._next(0, keep=False)
            self._kept = Kept(self._header, first, self._keep)
            self._kept.put(0, first)
        while self._kept.count < number and self._kept.takes_more:
            self._next(self._kept.count)

    def _next(self, number: int, *, keep: bool = True) -> memoryview:
        stream = self._at(number)
        buffer = memoryview(bytearray(self._header.frame_bytes))
        self._fill(stream, buffer)
        self._check_end(stream, number)
        if keep and self._kept is not None:
            self._kept.put(number, buffer)
        return buffer

    def _fill(self, stream: Stream, buffer: memoryview) -> None:
        filled = stream.read_into(buffer)
        if filled < len(buffer):
            raise _short(self._header, stream.position - self._header.offset)

    def _check_end(self, stream: Stream, number: int) -> None:
        """After the last frame, read to where the checksum of the stream is.

        Raises
        ------
        UnreadableFileError
        """
        if number == self._header.frames - 1:
            stream.skip(self._header.whole_bytes - stream.position + _AFTER)

    def _course_near(self, voxel: int, size: int) -> list[bytes]:
        """Return the course of a voxel; those of its neighbours come along in the same pass."""
        if self._near is None or voxel not in self._near[0]:
            self._near = self._pass_near(voxel, size)
        near, courses = self._near
        column = courses[:, int(np.flatnonzero(near == voxel)[0])]
        return [one.tobytes() for one in column]

    def _pass_near(self, voxel: int, size: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        header = self._header
        near = _around(voxel, header.grid, self._memory // (size * header.frames))
        courses = np.empty((header.frames, len(near)), dtype=f"V{size}")
        begin, end = int(near[0]) * size, (int(near[-1]) + 1) * size
        if end - begin > _LARGE:
            near, begin, end = np.array([voxel]), voxel * size, (voxel + 1) * size
            courses = courses[:, :1]
        buffer = memoryview(bytearray(end - begin))
        for number in range(header.frames):
            stream = self._at(number)
            stream.skip(begin)
            self._fill(stream, buffer)
            courses[number] = np.frombuffer(buffer, courses.dtype)[near - begin // size]
        self._check_end(stream, header.frames - 1)
        return near, courses


class Kept:
    """Frames that were passed, in a temporary file: whole, or what is inside of the head.

    Parameters
    ----------
    header : Header
    first : memoryview
        The first frame: what is not zero and not NaN in it is inside.
    limit : int
        Bytes.

    Attributes
    ----------
    count : int
        Frames that are kept: those from the first on.
    """

    def __init__(self, header: Header, first: memoryview, limit: int) -> None:
        self.count = 0
        self._header = header
        self._voxel = _whole_numbers(header.dtype.itemsize)
        self._first = np.frombuffer(first, self._voxel).copy()
        self._spool = Spool()
        self._beside: dict[int, tuple[NDArray[np.int64], NDArray[Any]]] = {}
        self._room_beside = _BESIDE
        self._odd: set[int] = set()
        limit = min(limit, self._spool.room() // 4)
        self._inside: NDArray[np.int64] | None = None
        if header.frames * header.frame_bytes > limit:
            inside = _inside(header, first)
            if 0 < len(inside) * header.frames * self._voxel.itemsize <= limit:
                self._inside = inside
        self._each = self._voxel.itemsize * (
            len(self._first) if self._inside is None else len(self._inside)
        )
        self._most = min(header.frames, limit // self._each)

    @property
    def takes_more(self) -> bool:
        """Whether the next frame is kept too."""
        return self.count < self._most

    def put(self, number: int, frame: memoryview) -> None:
        """Keep a frame, if it is the next one and there is room."""
        if number != self.count or not self.takes_more:
            return
        part: Any = frame
        if self._inside is not None:
            voxels = np.frombuffer(frame, self._voxel)
            part = voxels.take(self._inside).data.cast("B")
            self._note_outside(number, voxels)
        try:
            write_at(self._spool.fd, part, self.count * self._each)
        except OSError as error:  # the disk is full: what is kept stays, and no more comes
            _log.debug("no more frames are kept: %s", error)
            self._most = self.count
            return
        self.count += 1

    def frame(self, number: int) -> memoryview | None:
        """Return a frame; None if it is not kept."""
        if number >= self.count or number in self._odd:
            return None
        part = self._read(number * self._each, self._each)
        if self._inside is None:
            return memoryview(part)
        whole = self._first.copy()
        whole[self._inside] = np.frombuffer(part, self._voxel)
        if number in self._beside:
            places, voxels = self._beside[number]
            whole[places] = voxels
        return whole.data.cast("B")

    def may_hold(self, voxel: int) -> bool:
        """Whether the course of a voxel can be had when all frames were passed."""
        return self._most == self._header.frames and (
            self._inside is None or not self._odd or self._place(voxel) is not None
        )

    def course(self, voxel: int) -> list[bytes] | None:
        """Return the bytes of a voxel in all frames; None if they are not all kept."""
        if self.count < self._header.frames:
            return None
        place = self._place(voxel)
        if place is None:
            return None if self._odd else self._course_outside(voxel)
        size = self._voxel.itemsize
        at = range(place * size, self.count * self._each, self._each)
        return [bytes(self._read(one, size)) for one in at]

    def _place(self, voxel: int) -> int | None:
        if self._inside is None:
            return voxel
        place = int(np.searchsorted(self._inside, voxel))
        there = place < len(self._inside) and self._inside[place] == voxel
        return place if there else None

    def _note_outside(self, number: int, voxels: NDArray[Any]) -> None:
        """Keep what of a frame is outside and not as in the first, if that is little."""
        differs = voxels != self._first
        differs[self._inside] = False
        if not differs.any():
            return
        places = np.flatnonzero(differs).astype(np.int64)
        self._room_beside -= len(places)
        if self._room_beside < 0:
            self._odd.add(number)
        else:
            self._beside[number] = places, voxels[places]

    def _course_outside(self, voxel: int) -> list[bytes]:
        found = [self._first[voxel].tobytes()] * self.count
        for number, (places, voxels) in self._beside.items():
            at = int(np.searchsorted(places, voxel))
            if at < len(places) and places[at] == voxel:
                found[number] = voxels[at].tobytes()
        return found

    def _read(self, position: int, size: int) -> bytearray:
        block = bytearray(size)
        read_at(self._spool.fd, memoryview(block), position)
        return block


def _whole_numbers(size: int) -> np.dtype[Any]:
    """Return whole numbers as long as a voxel: they are compared quickly, and NaN is itself."""
    return np.dtype({1: "u1", 2: "u2", 4: "u4", 8: "u8"}.get(size, f"V{size}"))


def _inside(header: Header, first: memoryview) -> NDArray[np.int64]:
    """Return the voxels of a frame that are neither zero nor NaN."""
    if header.is_colour or header.dtype.itemsize > 8:
        return np.empty(0, dtype=np.int64)
    values = np.frombuffer(first, header.dtype)
    told = values != 0
    if header.dtype.kind in "fc":
        told &= np.isfinite(values)
    return np.flatnonzero(told).astype(np.int64)


def _around(voxel: int, grid: tuple[int, int, int], most: int) -> NDArray[np.int64]:
    """Return a box of at most so many voxels around one, in the order of the file."""
    reach = max(0, int(max(1, most) ** (1 / 3) - 1) // 2)
    place = (voxel % grid[0], voxel // grid[0] % grid[1], voxel // (grid[0] * grid[1]))
    i, j, k = (
        np.arange(max(0, at - reach), min(size, at + reach + 1), dtype=np.int64)
        for at, size in zip(place, grid, strict=True)
    )
    box = i[None, None, :] + grid[0] * (j[None, :, None] + grid[1] * k[:, None, None])
    return box.ravel()


def _short(header: Header, position: int) -> Exception:
    whole = max(position, 0) // header.frame_bytes
    return damaged(header.name, f"ends within frame {whole} of {header.frames} (counted from 0)")
