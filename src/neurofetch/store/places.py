"""Find data directories of ours: here, in a folder above, or in one below."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.store.data_source import state_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "find_places"]

_COLLECTION = re.compile(r"collection_\d+")
_RECORD = re.compile(r"collection_metadata\.json|image_\d+[._]")
_VAULT = "neurovault"
_DEEP = 2
"""Folders below the one that was named in which a data directory is looked for."""


class Place(NamedTuple):
    """A data directory.

    Parameters
    ----------
    root : Path
    state : str
        The name of the folder in it with the receipts; "" for a cache of NeuroVault.
    """

    root: Path
    state: str


def find_places(start: str | os.PathLike[str]) -> list[Place]:
    """Return the data directories of ours that a folder is, lies in, or has in it.

    Parameters
    ----------
    start : path
        A folder.

    Returns
    -------
    list of Place
        Those of the nearest folder: itself, then the folders above it. Where these have none, all
        that lie in it, up to two folders down. Empty where there is none.
    """
    here = Path(os.path.abspath(start))
    for folder in (here, *here.parents):
        found = _at(folder)
        if found:
            return found
    level, all_found = [here], []
    for _ in range(_DEEP):
        level = [below for folder in level for below in _folders(folder)]
        found = [place for folder in level for place in _at(folder)]
        all_found += found
        roots = {place.root for place in found} | {place.root.parent for place in found}
        level = [folder for folder in level if folder not in roots]
    return all_found


def _at(folder: Path) -> list[Place]:
    vaults = [one for one in (folder, folder / _VAULT) if _is_vault(one)]
    states = [] if folder in vaults else state_folders(folder)
    return [Place(folder, state.name) for state in states] + [Place(one, "") for one in vaults]


def _is_vault(folder: Path) -> bool:
    """Whether it is a cache in the layout of nilearn: a folder for each collection, and files."""
    collections = (below for below in _folders(folder) if _COLLECTION.fullmatch(below.name))
    return any(map(_has_records, collections))


def _has_records(collection: Path) -> bool:
    try:
        return any(map(_RECORD.match, os.listdir(collection)))
    except OSError:
        return False


def _folders(folder: Path) -> Iterator[Path]:
    """Give the folders in one, sorted; hidden ones are none of data."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            )
    except OSError:  # such as one that nobody lets us into
        return
    yield from (folder / name for name in names)
