"""Recordings that are folders: a CTF ``.ds``, the run folder of a 4D scanner, a Zarr store.

Such a folder is one recording. Its name carries the entities, the suffix and the extension; what is
inside is no file of the dataset for itself, and none of it can be read without the rest.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from neurofetch.planning.bids_schema import EXTENSIONS

__all__ = ["UNIT_EXTENSIONS", "is_unit", "unit_of"]

FOLDER_SUFFIXES: Final = frozenset({"meg"})
"""Those of recordings that are folders without an extension."""

UNIT_EXTENSIONS: Final = tuple(
    sorted(
        {one.rstrip("/") for one in EXTENSIONS if one.endswith("/")}
        # Beside those of the schema: EGI's recordings, which BIDS takes as source data, and stores
        # that are one file by their format (any Zarr; NWB may be kept in one).
        | {".mff", ".zarr", ".nwb"}
    )
)
"""Ends of the names of folders that are recordings."""


def unit_of(path: str) -> str:
    """Return the folder that a file is a piece of, if that is a recording.

    Parameters
    ----------
    path : str
        A key or a relative path, with forward slashes.

    Returns
    -------
    str
        The path of the outermost such folder, without a slash at its end; "" for a file of its own.

    Examples
    --------
    >>> unit_of("sub-01/meg/sub-01_task-AEF_meg.ds/hz.ds/hz.acq")
    'sub-01/meg/sub-01_task-AEF_meg.ds'
    >>> unit_of("sub-01/meg/sub-01_task-rest_meg/config"), unit_of("sub-01/meg/sub-01_meg.fif")
    ('sub-01/meg/sub-01_task-rest_meg', '')
    """
    return _unit_of_folder(path.rpartition("/")[0])


@lru_cache(maxsize=4096)
def _unit_of_folder(folder: str) -> str:
    start = 0
    while start < len(folder):
        end = folder.find("/", start)
        end = len(folder) if end < 0 else end
        if is_unit(folder[start:end]):
            return folder[:end]
        start = end + 1
    return ""


def is_unit(name: str) -> bool:
    """Whether a folder of this name is a recording.

    A recording of a 4D or BTi scanner is a folder without an extension, and so is a run of a KIT
    scanner: there the suffix must say what it is, and the name begin with a subject.

    Parameters
    ----------
    name : str
        Of the folder alone.

    Examples
    --------
    >>> is_unit("sub-01_meg.ds"), is_unit("sub-01_meg"), is_unit("meg"), is_unit(".zarr")
    (True, True, False, False)
    """
    if name.endswith(UNIT_EXTENSIONS):
        return not name.startswith(".")
    return name.startswith("sub-") and name.rpartition("_")[2] in FOLDER_SUFFIXES
