"""Which collection an image is in, without reading every collection.

The index is one small binary file, ``.neurofetch-index``: sorted pairs of numbers. It only makes
things faster. What it says is checked on the disk. What it does not know is looked for in the
folders that changed since. Without it everything still works.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.neurovault.cache.layout import (
    Cache,
    scan_collections,
    scan_images,
    write_atomically,
)
from neurofetch.store.atomic import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "INDEX_NAME",
    "Index",
    "locate",
    "read_index",
    "refreshed",
]

INDEX_NAME = ".neurofetch-index"
_MAGIC = b"NVINDEX1" if sys.byteorder == "little" else b"NVINDEX>"
# A folder that changed shortly before it was read may have changed once more within the same tick
# of the file system's clock: next time it is read again.
_TICK_NS = 2_000_000_000
_FEW = 3  # for more unknown images than these, it is cheaper to list each folder once


@dataclass(frozen=True)
class Index:
    """Folders as they were seen, and the images in them.

    Attributes
    ----------
    folders : dict of int to int
        Collection id to modification time in ns; 0 when the folder must be read again.
    image_ids, collection_ids : array of int64
        The images, sorted, and the collection of each.
    """

    folders: dict[int, int] = field(default_factory=dict)
    image_ids: array[int] = field(default_factory=lambda: array("q"))
    collection_ids: array[int] = field(default_factory=lambda: array("q"))

    def collections_of(self, image_id: int) -> list[int]:
        """Return the collections in which an image was seen (nearly always one)."""
        place, found = bisect_left(self.image_ids, image_id), []
        while place < len(self.image_ids) and self.image_ids[place] == image_id:
            found.append(self.collection_ids[place])
            place += 1
        return found


def locate(cache: Cache, image_ids: Iterable[int], *, write: bool = True) -> dict[int, int]:
    """Find the collections of images that have a record in the cache.

    Parameters
    ----------
    cache : Cache
        Where to look.
    image_ids : iterable of int
        The images.
    write : bool, default=True
        Whether the index may be written when it is out of date. A folder that cannot be written to
        is no error.

    Returns
    -------
    dict of int to int
        Image id to collection id, in the order asked; what is not in the cache is left out.

    Notes
    -----
    An image that the index knows costs one look at the disk. One that it does not know costs one
    look at each collection's folder (not at its files), and a listing of those that changed. When
    nothing may be written, a few unknown images are looked for by name in each folder instead:
    with no index at all that is five times faster than listing them.
    """
    wanted = list(image_ids)
    index = read_index(cache.root)
    found = _confirmed(cache, index, wanted)
    missing = set(wanted).difference(found)
    if missing and not write and len(missing) <= _FEW:
        found |= _confirmed(cache, _probed(cache.root, missing), missing)
    elif missing:
        fresh = refreshed(cache.root, index)
        if write and fresh != index:
            _write_index(cache.root, fresh)
        found |= _confirmed(cache, fresh, missing)
    return {number: found[number] for number in wanted if number in found}


def _confirmed(cache: Cache, index: Index, wanted: Iterable[int]) -> dict[int, int]:
    """Return where the images are by the index, after a look at the disk.

    Of several folders with an image's record, the one that also has its volume is taken.
    """
    found: dict[int, int] = {}
    for number in wanted:
        folders = [c for c in index.collections_of(number) if cache.image_json(c, number).is_file()]
        whole = (c for c in folders if cache.image(c, number).is_file())
        if folders:
            found[number] = next(whole, folders[0])
    return found


def _probed(root: Path, image_ids: Iterable[int]) -> Index:
    """Look for a few images by name in each folder, without listing the folders.

    The search for an image ends at a folder that holds its volume too.
    """
    try:
        folders = [name for name in os.listdir(root) if name.startswith("collection_")]
    except FileNotFoundError:
        return Index()
    images, collections = array("q"), array("q")
    for number in sorted(image_ids):
        name = f"{os.sep}image_{number}_metadata.json"
        for folder in folders:
            if os.access(f"{root}{os.sep}{folder}{name}", os.F_OK) and folder[11:].isdigit():
                images.append(number)
                collections.append(int(folder[11:]))
                if os.access(f"{root}{os.sep}{folder}{os.sep}image_{number}.nii.gz", os.F_OK):
                    break
    return Index({}, images, collections)


def refreshed(root: Path, old: Index, now_ns: int | None = None) -> Index:
    """Return an index of the folders as they are now; only those that changed are listed.

    Parameters
    ----------
    root : Path
        The ``neurovault`` folder.
    old : Index
        The index from before.
    now_ns : int, optional
        The time, in ns since the epoch.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    folders: dict[int, int] = {}
    listed: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for number, entry in scan_collections(root):
        folders[number] = changed = entry.stat().st_mtime_ns
        if old.folders.get(number) != changed:
            listed.add(number)
            pairs += [(image, number) for image in scan_images(entry)]
            folders[number] = changed if changed + _TICK_NS < now_ns else 0
    kept = zip(old.image_ids, old.collection_ids, strict=True)
    pairs += [pair for pair in kept if pair[1] in folders and pair[1] not in listed]
    pairs.sort()
    images, collections = array("q", (p[0] for p in pairs)), array("q", (p[1] for p in pairs))
    return Index(folders, images, collections)


def read_index(root: Path) -> Index:
    """Return the index on disk; an empty one when there is none, or not a whole one."""
    try:
        content = read_regular(root / INDEX_NAME)
    except OSError:
        return Index()
    if len(content) % 8 or not content.startswith(_MAGIC) or len(content) < 24:
        return Index()
    numbers = array("q")
    numbers.frombytes(content[8:])
    n_folders, n_images = numbers[0], numbers[1]
    if min(n_folders, n_images) < 0 or len(numbers) != 2 + 2 * n_folders + 2 * n_images:
        return Index()
    parts, place = [], 2
    for length in (n_folders, n_folders, n_images, n_images):
        parts.append(numbers[place : place + length])
        place += length
    return Index(dict(zip(parts[0], parts[1], strict=True)), parts[2], parts[3])


def _write_index(root: Path, index: Index) -> None:
    numbers = array("q", [len(index.folders), len(index.image_ids), *index.folders])
    numbers.extend(index.folders.values())
    numbers.extend(index.image_ids)
    numbers.extend(index.collection_ids)
    # A folder without write access, a full disk: the result is right without the index.
    with contextlib.suppress(OSError):
        write_atomically(root / INDEX_NAME, _MAGIC + numbers.tobytes())
