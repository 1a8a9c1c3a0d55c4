"""Courses out of a beta store: all trials of a voxel of LAION-fMRI in one short read.

A data directory may hold the single-trial betas a second time, by voxel: a Zarr group for each
session, in ``.laion_fmri/store``, in a layout that is fixed and written down (see
``docs/adr/0020-beta-store.md``). It is read here by that layout, with no other package. A store
counts only if it was made from the very file that is looked at, by path, size and time.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofetch.errors import UnsafeNameError
from neurofetch.planning.entities import parse
from neurofetch.store.atomic import read_at
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurofetch.ui.look.places import Opened, Place

__all__ = ["stored_course"]

_FORMAT = 1
_CHUNK = 128
"""Voxels in a chunk, which holds all trials of them, trial by trial."""
_FLOAT = np.dtype("<f4")
_LARGEST = 1 << 20
_MOST = 1 << 28
"""Bytes of a chunk, and of the list of voxels."""


def stored_course(
    place: Place, file: Opened, grid: tuple[int, int, int], voxel: tuple[int, int, int]
) -> list[float] | None:
    """Return the values of a voxel in all trials; None where no store has them.

    Parameters
    ----------
    place : Place
        The session's betas.
    file : Opened
        The same, open.
    grid, voxel : tuple of int
        The shape of a volume, and a place in it.
    """
    says = parse(place.path)
    subject, session = says.get("sub"), says.get("ses")
    if not (subject and session and says.suffix == "statmap"):
        return None
    group = (".laion_fmri", "store", f"sub-{subject}.zarr", f"ses-{session}")
    for depth in (0, 1):  # a directory may hold the data set in a folder of its own
        below, rest = place.parts[:depth], "/".join(place.parts[depth:])
        try:
            with Folder.real(place.root) as root, root.below((*below, *group)) as folder:
                return _course(folder, rest, file, grid, voxel)
        except (OSError, UnsafeNameError, ValueError, LookupError, TypeError, RecursionError):
            continue  # none there, of another version, or damaged: the file has it all
    return None


def _course(
    folder: Folder, path: str, file: Opened, grid: tuple[int, ...], voxel: tuple[int, int, int]
) -> list[float] | None:
    made = json.loads(folder.read("zarr.json", _LARGEST))["attributes"]
    trials, voxels = int(made["trials"]), int(made["voxels"])
    source: dict[str, Any] = made["sources"][0]
    told = (made["format"], source["path"], source["size"], source["mtime_ns"], made["grid"])
    if told != (_FORMAT, path, file.size, file.identity[3], list(grid)):
        return None
    place = _place(folder, voxels, int(np.ravel_multi_index(voxel, grid)))
    if place is None:
        return None
    chunk = trials * _CHUNK * _FLOAT.itemsize
    size = -(-voxels // _CHUNK) * (chunk + 16) + 4  # the index of the shard follows its chunks
    begin = place // _CHUNK * chunk
    block = _read(folder, ("betas", "c", "0", "0"), size, begin, chunk)
    return [float(value) for value in block.view(_FLOAT).reshape(trials, _CHUNK)[:, place % _CHUNK]]


def _place(folder: Folder, voxels: int, wanted: int) -> int | None:
    """Return the number of a voxel in the brain mask; None if it is outside."""
    inside = _read(folder, ("voxel", "c", "0"), voxels * 8, 0, voxels * 8).view("<i8")
    place = int(np.searchsorted(inside, wanted))
    return place if place < voxels and inside[place] == wanted else None


def _read(
    folder: Folder, way: Sequence[str], whole: int, begin: int, size: int
) -> NDArray[np.uint8]:
    """Read a part of a file that has to have this size."""
    if not 0 < size <= _MOST:
        raise ValueError(size)
    with folder.below(way[:-1]) as below:
        fd = below.open(way[-1])
    try:
        if os.fstat(fd).st_size != whole:
            raise ValueError(whole)
        block = np.empty(size, dtype=np.uint8)
        if read_at(fd, block.data, begin) < size:
            raise ValueError(size)
        return block
    finally:
        os.close(fd)
