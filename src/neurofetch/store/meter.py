"""How far the reading of files is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from neurofetch.events import Checking
from neurofetch.integrity.verification import read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["ReadingMeter"]


class ReadingMeter:
    """How many bytes were read; counted by threads, asked by another.

    Parameters
    ----------
    sizes : mapping of str to int
        Of the files that are looked at, by path.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._read = dict.fromkeys(sizes, 0)  # its keys stay, so no lock is needed
        self._over: set[str] = set()
        self._began = time.monotonic()

    def blocks(self, path: str, root: Path) -> Iterable[memoryview]:
        """Give the bytes of a file, and count them."""
        for block in read_blocks(str(root / path)):
            self._read[path] += len(block)
            yield block

    def over(self, path: str) -> None:
        """Count a file as dealt with, read or not."""
        self._read[path] = self._sizes[path]
        self._over.add(path)

    def event(self) -> Checking:
        """Return how far the reading is."""
        read, seconds = sum(self._read.values()), time.monotonic() - self._began
        rate = read / seconds if seconds > 0 else 0.0
        total = sum(self._sizes.values())
        return Checking(len(self._over), len(self._sizes), read, total, seconds, rate, 0)
