"""What an object holds: bytes, a file, or gigabytes made up as they are read."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

STEP = 1 << 20


class Blob(Protocol):
    """Content of known size that can be read from any place, by many threads at once."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to ``stop``."""
        ...


@dataclass(frozen=True)
class Bytes:
    """Content in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, stop: int) -> bytes:
        return self.content[start:stop]


@dataclass(frozen=True)
class File:
    """Content of a file, which is opened for every read."""

    path: Path

    @cached_property
    def size(self) -> int:
        return self.path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), stop - start, start)


@dataclass(frozen=True)
class Generated:
    """Content that is computed as it is read: no two MiB of it are the same.

    Parameters
    ----------
    size
        Bytes in all.
    seed
        Another seed gives other bytes.

    Examples
    --------
    >>> big = Generated(10 * 2**30)
    >>> big.read(5 * 2**30, 5 * 2**30 + 8) == big.read(5 * 2**30 - 8, 5 * 2**30 + 8)[8:]
    True
    """

    size: int
    seed: int = 0

    @cached_property
    def _block(self) -> bytes:
        return hashlib.shake_128(str(self.seed).encode()).digest(STEP)

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        first = start // STEP
        blocks = b"".join(
            number.to_bytes(8, "big") + self._block[8:] for number in range(first, -(-stop // STEP))
        )
        return blocks[start - first * STEP : stop - first * STEP]


def pieces(blob: Blob, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield a blob, or a stretch of it, a MiB at a time."""
    stop = blob.size if stop is None else stop
    for at in range(start, stop, STEP):
        yield blob.read(at, min(at + STEP, stop))
