"""What a data directory remembers of what its source has: packed lists, each in a file of its own.

They lie beside the receipts, in ``listings/``. A file is named by what was listed, and takes the
place of an older one of the same lists; so no run undoes what another wrote, and the youngest list
of a place counts. When there are many, they are put together. What is in them is the business of
`neurofetch.sources.remembered`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.store.atomic import read_regular, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LISTINGS", "Kept", "keep", "kept", "merge"]

LISTINGS = "listings"
_END = ".jsonl.gz"
MANY = 32
"""Files of one source; when there are more, they are put together."""


class Kept(NamedTuple):
    """Packed lists, and when they were made.

    Parameters
    ----------
    path : Path
    when : float
        Seconds since the epoch: the time of the file.
    stamp : int
        Its time in nanoseconds.
    packed : bytes
    """

    path: Path
    when: float
    stamp: int
    packed: bytes


def kept(state: Path, source: str) -> list[Kept]:
    """Return what is remembered of a source, the oldest first.

    Parameters
    ----------
    state : Path
        The state folder.
    source : str
        What tells the source from others, such as ``s3://BUCKET``.
    """
    found = []
    for path, stamp in _times(state / LISTINGS, source).items():
        with contextlib.suppress(OSError):  # another process put it together with others
            found.append(Kept(path, stamp / 1e9, stamp, read_regular(path)))
    return sorted(found, key=lambda one: one.stamp)


def _times(folder: Path, source: str) -> dict[Path, int]:
    """Return the files of a source, and when each was written: nanoseconds since the epoch."""
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    start, found = f"{_short(source)}-", {}
    for name in sorted(names):
        if name.startswith(start) and name.endswith(_END):
            with contextlib.suppress(OSError):  # another process put it together with others
                found[folder / name] = (folder / name).stat().st_mtime_ns
    return found


def keep(state: Path, source: str, lists: Sequence[str], packed: bytes) -> bool:
    """Write down what was listed; whether there are many files now.

    Parameters
    ----------
    state : Path
        The state folder; it must exist.
    source : str
    lists : sequence of str
        What was listed: the name of the file depends on it.
    packed : bytes

    Raises
    ------
    OSError
    """
    folder = state / LISTINGS
    which = hashlib.sha256("\0".join(lists).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    path = folder / f"{_short(source)}-{which}{_END}"
    times = _times(folder, source)
    same = False
    with contextlib.suppress(OSError):
        same = path in times and read_regular(path) == packed
    if same:
        if times[path] < max(times.values()):
            os.utime(path)  # it is the youngest again
        return False
    write_atomically(path, packed, flush=False)  # a lost one costs a request, no data
    return len(times) >= MANY


def merge(state: Path, source: str, old: Sequence[Kept], packed: bytes) -> None:
    """Put one file in the place of several that say the same.

    Parameters
    ----------
    state : Path
    source : str
    old : sequence of Kept
        What the new one was made from. One that was written anew meanwhile stays.
    packed : bytes

    Raises
    ------
    OSError
    """
    path = state / LISTINGS / f"{_short(source)}-{'0' * 16}{_END}"
    write_atomically(path, packed)
    newest = max(one.stamp for one in old)
    os.utime(path, ns=(newest, newest))
    for one in old:
        with contextlib.suppress(OSError):
            if one.path != path and one.path.stat().st_mtime_ns == one.stamp:
                one.path.unlink()


def _short(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12]
