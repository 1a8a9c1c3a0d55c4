"""An open file: what Python's own `open` gives for a local one, to be read only."""

from __future__ import annotations

import errno
import io
import operator
import os
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from neurofetch.errors import ReadOnlyError, UsageError
from neurofetch.opening.forks import ForkingLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer

    from neurofetch.opening.reader import Reader

__all__ = ["OpenedFile", "TextFile", "read_only"]

_SHORT, _LINE = 1 << 9, 1 << 16
"""Bytes that are looked through for the end of a line, at first and at most."""


class _BeforeStartError(UsageError, OSError):
    """A seek to before the beginning: an `OSError`, as of a file of this machine.

    Libraries rely on it: ``zipfile`` learns so that a file is too short to be an archive.
    """

    errno = errno.EINVAL


def read_only(what: str, name: str) -> ReadOnlyError:
    """Return the error for what would write.

    Parameters
    ----------
    what : str
        What was asked for, as in "write to".
    name : str
    """
    return ReadOnlyError(
        f"cannot {what} {name}: neurofetch only reads from servers. Nothing was changed. To keep a "
        "copy that you can change, use `neurofetch get`, or cached_path() and copy that file."
    )


class OpenedFile(io.BufferedIOBase):
    """A file on a server, open for reading. Any number of threads may use it.

    Parameters
    ----------
    reader : Reader
    name : str
        The URL, as it may be shown.
    again : tuple
        A function and its arguments that open the same version of the file once more: for copies
        in other processes.

    Attributes
    ----------
    size : int
        Bytes.
    name : str
    mode : str
    """

    mode = "rb"

    def __init__(
        self,
        reader: Reader,
        name: str,
        again: tuple[Callable[..., OpenedFile], tuple[object, ...]],
    ) -> None:
        super().__init__()
        self._reader = reader
        self.name: str = name
        self._again = again
        self._at = 0
        self._lock = ForkingLock()
        self._ends = ForkingLock()
        self._preads, self._ending = 0, False
        self.size: int = reader.size

    def _check_open(self, *, closed: bool = False) -> None:
        if closed or self.closed:
            msg = f"{self.name}: the file is closed, and nothing can be read from it. Open it again"
            raise UsageError(msg)

    # -- reading -----------------------------------------------------------------------------

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes: all that follow, or as many as are asked for."""
        with self._lock:
            self._check_open()
            rest = max(self.size - self._at, 0)
            length = rest if size is None or size < 0 else min(size, rest)
            data = bytearray(length)
            came = self._reader.into(memoryview(data), self._at) if length else 0
            self._at += came
            return bytes(data) if came == length else bytes(data[:came])

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the next bytes: no more than one block is fetched for it."""
        return self.read(_LINE if size < 0 else size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer with the next bytes."""
        with self._lock:
            self._check_open()
            view = memoryview(buffer)
            if not view.nbytes:
                return 0
            came = self._reader.into(view.cast("B"), self._at)
            self._at += came
            return came

    def readinto1(self, buffer: Buffer, /) -> int:
        """Fill a buffer with the next bytes."""
        return self.readinto(buffer)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some of the next bytes without moving on."""
        with self._lock:
            at = self._at
            try:
                return self.read(size if size > 0 else _LINE)
            finally:
                self._at = at

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line, its end included."""
        with self._lock:
            limit = self.size if size is None or size < 0 else size
            pieces: list[bytes] = []
            step = _SHORT
            while limit > 0:
                piece, step = self.peek(step)[:limit], min(step * 4, _LINE)
                end = piece.find(b"\n") + 1
                piece = piece[:end] if end else piece
                if not piece:
                    break
                self._at += len(piece)
                limit -= len(piece)
                pieces.append(piece)
                if end:
                    break
            self._check_open()
            return b"".join(pieces)

    def pread(self, size: int, start: int) -> bytes:
        """Return bytes from a place of the file, whatever the position is.

        Parameters
        ----------
        size : int
        start : int
            The first byte.

        Raises
        ------
        UsageError
            If one of them is negative, or the file is closed.
        """
        self._check_open()
        if size < 0 or start < 0:
            msg = f"{self.name}: size and start are 0 or more, not {size} and {start}"
            raise UsageError(msg)
        with self._ends:
            if self._ending:
                self._check_open(closed=True)
            self._preads += 1
        try:
            data = bytearray(max(min(size, self.size - start), 0))
            came = self._reader.into(memoryview(data), start)
            return bytes(data[:came])
        finally:
            with self._ends:
                self._preads -= 1
                if self._ending and not self._preads:
                    self._reader.close()

    # -- the position --------------------------------------------------------------------------

    def seek(self, offset: SupportsIndex, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place of the file; return it.

        Raises
        ------
        UsageError
            If it is before the beginning (then it is an `OSError`, too), or `whence` is none of
            0, 1 and 2.
        """
        with self._lock:
            self._check_open()
            base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}.get(whence)
            if base is None:
                msg = f"{self.name}: whence is 0 (start), 1 (here) or 2 (end), not {whence!r}"
                raise UsageError(msg)
            place = base + operator.index(offset)
            if place < 0:
                msg = f"{self.name}: cannot seek to {place}, before the beginning of the file"
                raise _BeforeStartError(msg)
            self._at = place
            return place

    def tell(self) -> int:
        """Return the position."""
        self._check_open()
        return self._at

    def readable(self) -> bool:
        """Return True."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """Return True."""
        self._check_open()
        return True

    # -- what it does not do ---------------------------------------------------------------------

    def writable(self) -> bool:
        """Return False."""
        self._check_open()
        return False

    def write(self, data: Buffer, /) -> NoReturn:  # noqa: ARG002
        """Raise an error: nothing is written to servers."""
        raise read_only("write to", self.name)

    def writelines(self, lines: Iterable[Buffer], /) -> NoReturn:  # noqa: ARG002
        """Raise an error: nothing is written to servers."""
        raise read_only("write to", self.name)

    def truncate(self, size: int | None = None, /) -> NoReturn:  # noqa: ARG002
        """Raise an error: nothing is written to servers."""
        raise read_only("cut short", self.name)

    def close(self) -> None:
        """Close it; twice is no error. A `pread` of another thread ends first."""
        if not self.closed and hasattr(self, "_ends"):
            with self._lock, self._ends:
                self._ending = True
                if not self._preads:
                    self._reader.close()
        super().close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[object, ...]:
        """Return what opens the same version in another process, at the same position."""
        self._check_open()
        function, arguments = self._again
        return function, arguments, self._at

    def __setstate__(self, position: int) -> None:
        self._at = position

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size:,} bytes"
        return f"<OpenedFile {self.name}: {state}>"


if TYPE_CHECKING:
    _Text = io.TextIOWrapper[OpenedFile]
else:
    _Text = io.TextIOWrapper


class TextFile(_Text):
    """A file on a server, open for reading as text."""

    mode = "r"

    def write(self, text: str, /) -> NoReturn:  # noqa: ARG002
        """Raise an error: nothing is written to servers."""
        raise read_only("write to", str(self.name))
