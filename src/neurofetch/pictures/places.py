"""Where a file belongs: its data set, where that came from, and an anatomy to draw on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch.errors import DestinationError
from neurofetch.planning.entities import parse
from neurofetch.store.atomic import read_regular
from neurofetch.store.data_source import read_sources, state_folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Entry", "Origin", "anatomies", "is_mni", "origin_of"]

_HIGHEST = 8
"""Folders above a file in which its data set is looked for."""
_MOST = 200
"""Files that are looked at for an anatomy."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to draw.

    Parameters
    ----------
    path : Path
    title : str
        Of the cell; by default what its name says.
    map_type : str
        As NeuroVault calls it.
    mni : bool or None
        Whether it is in MNI space; None: as its name says.
    thresholded : bool
        Whether what does not count is 0 in it already.
    """

    path: Path
    title: str = ""
    map_type: str = ""
    mni: bool | None = None
    thresholded: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """The data set that a file is of.

    Parameters
    ----------
    root : Path or None
        Its folder.
    name : str
        As it calls itself; empty where it does not.
    source : str
        Where it was fetched from, with the version, as far as that is remembered.
    """

    root: Path | None = None
    name: str = ""
    source: str = ""

    def name_in(self, path: Path) -> str:
        """Return the path of a file in the data set; where that lies is not told."""
        if self.root is not None and path.absolute().is_relative_to(self.root.absolute()):
            return path.absolute().relative_to(self.root.absolute()).as_posix()
        return path.name

    @property
    def told(self) -> str:
        """Both, as they stand below a picture."""
        return " · ".join(part for part in (self.name, self.source) if part)


def origin_of(path: Path) -> Origin:
    """Return the data set of a file or folder: the nearest folder above that describes itself.

    Parameters
    ----------
    path : Path
    """
    root, name, source = None, "", ""
    here = path.absolute()
    for folder in [here, *here.parents][:_HIGHEST]:
        if not name and (folder / "dataset_description.json").is_file():
            root, name = root or folder, _name(folder / "dataset_description.json")
        if found := _source(folder):
            root, source = folder, found
            break
    return Origin(root, shown(name)[:120], shown(source)[:160])


def _name(path: Path) -> str:
    try:
        content = json.loads(read_regular(path))
    except (OSError, ValueError):  # a picture needs no name of a data set
        return ""
    name = content.get("Name") if isinstance(content, dict) else None
    return name if isinstance(name, str) else ""


def _source(folder: Path) -> str:
    for state in state_folders(folder):
        try:
            sources = read_sources(state)
        except (DestinationError, OSError):  # of a newer version, or unreadable: nothing is told
            continue
        if sources:
            first = sources[0]
            return first.url + (f", version {first.version}" if first.version else "")
    return ""


def is_mni(path: str) -> bool:
    """Whether a name says that a file is in MNI space.

    Examples
    --------
    >>> is_mni("sub-01_space-MNI152NLin2009cAsym_statmap.nii.gz"), is_mni("sub-01_T1w.nii.gz")
    (True, False)
    """
    return dict(parse(path).values).get("space", "").upper().startswith("MNI")


def anatomies(
    path: Path, root: Path | None, *, fine: bool = False
) -> Iterator[tuple[Path, Path | None]]:
    """Yield anatomical images of a file's own space, with their brain masks: the best first.

    Of a file in the space of its subject's T1w, these are the T1w images of the subject in the same
    data set.

    Parameters
    ----------
    path : Path
    root : Path or None
        The folder of the data set.
    fine : bool
        Whether that of the smallest voxels is the best; else that of voxels as the file has.
    """
    values = dict(parse(str(path)).values)
    subject, space = values.get("sub"), values.get("space")
    if root is None or subject is None or space != "T1w":
        return
    found = []
    for pattern in (f"derivatives/*/sub-{subject}/**/anat", f"sub-{subject}/**/anat"):
        for number, folder in enumerate(root.glob(pattern)):
            if number > _MOST:
                break
            found += sorted(folder.glob(f"sub-{subject}_*T1w.nii.gz"))[:_MOST]
    in_space = [one for one in found if dict(parse(one.name).values).get("space") == "T1w"]
    best = "" if fine else values.get("res", "1pt8")
    for one in sorted(in_space, key=lambda one: (_res(one) != best, str(one))):
        mask = one.with_name(one.name.replace("_T1w.nii.gz", "_desc-brain_mask.nii.gz"))
        yield one, mask if mask.is_file() else None


def _res(path: Path) -> str:
    return dict(parse(path.name).values).get("res", "")
