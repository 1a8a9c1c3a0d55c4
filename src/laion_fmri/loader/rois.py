"""ROIs on disk, in both layouts, and the words that choose them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import numpy as np

from laion_fmri.errors import GridMismatchError, NotFiniteError, UnknownRoiError
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import whole_volume
from laion_fmri.volumes.nifti import check_same_grid
from neurofetch.engine import parse_entities as parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.loader.layout import Layout
    from laion_fmri.volumes.nifti import Header

    RoiQuery = str | Iterable[str]
    Kind = Literal["volume", "surface", "label"]

__all__ = ["RoiFile", "Rois", "roi_volume"]

_KINDS: dict[str, Kind] = {
    ".nii": "volume",
    ".nii.gz": "volume",
    ".func.gii": "surface",
    ".label": "label",
}


@dataclass(frozen=True, slots=True)
class RoiFile:
    """One file of an ROI.

    Parameters
    ----------
    name : str
        The label without hyphens: ``FFA1``, also where a folder holds ``label-FFA-1``.
    category : str
        The folder: ``face``; empty in the older layout, which has none.
    kind : {"volume", "surface", "label"}
    hemi : str
        ``L`` or ``R``; empty for a volume.
    path : pathlib.Path
    """

    name: str
    category: str
    kind: Kind
    hemi: str
    path: Path


class Rois:
    """The ROIs of one subject.

    Parameters
    ----------
    layout : Layout
        ``derivatives/rois/<sub>/<category>/`` is looked at first, then the older
        ``derivatives/atlases/<sub>/rois/<ROI>.nii.gz``, for volumes that the first has not.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.files = list(_by_category(layout))
        known = {(file.name, file.kind) for file in self.files}
        self.files += [f for f in _older(layout) if (f.name, f.kind) not in known]

    def names(self, category: str | None = None) -> list[str]:
        """Return the ROIs, of one category or of all, sorted."""
        if category is not None and category not in self.categories():
            raise self._unknown(category, self.categories(), "category")
        return sorted({f.name for f in self.files if category in (None, f.category)})

    def categories(self) -> list[str]:
        """Return the categories, sorted."""
        return sorted({file.category for file in self.files if file.category})

    def resolve(self, query: RoiQuery) -> list[str]:
        """Return the ROIs that a name, a category, ``"all"`` or a list of these means.

        A name goes before a category of the same spelling. Each ROI comes once.
        """
        words = [query] if isinstance(query, str) else list(query)
        if not words:
            raise ValueError("roi is an empty list: name at least one ROI, a category, or 'all'.")
        if not self.files:
            self._layout.missing("the ROIs", suffix="mask")
        return list(dict.fromkeys(name for word in words for name in self._one(word)))

    def _one(self, word: object) -> list[str]:
        if not isinstance(word, str):
            raise TypeError(f"roi holds {word!r}: expected names (text), a category, or 'all'.")
        names = self.names()
        plain = word.replace("-", "")
        if plain in names:
            return [plain]
        if word in self.categories():
            return self.names(word)
        if word == "all":
            return names
        raise self._unknown(word, [*names, *self.categories(), "all"], "ROI or category")

    def of(self, name: str, kind: Kind) -> list[RoiFile]:
        """Return the files of an ROI that are of one kind.

        Raises
        ------
        DataNotDownloadedError
            If it has none of that kind here.
        """
        found = [file for file in self.files if (file.name, file.kind) == (name, kind)]
        extension = {"volume": "nii.gz", "surface": "func.gii", "label": "label"}[kind]
        return found or self._layout.missing(
            f"the {kind} of the ROI {name}", suffix="mask", extension=extension
        )

    def _unknown(self, word: str, known: list[str], what: str) -> UnknownRoiError:
        folded = {name.casefold(): name for name in known}
        close = get_close_matches(word.casefold(), list(folded), n=5, cutoff=0.5)
        near = [folded[name] for name in close]
        hint = f"Nearest: {', '.join(near)}. " if near else ""
        listed = ", ".join(known) or "none"
        return UnknownRoiError(
            f"{self._layout.subject} has no {what} {word!r} on disk. {hint}There are: {listed}."
        )


def _by_category(layout: Layout) -> Iterator[RoiFile]:
    root = layout.data_dir / "derivatives" / "rois" / layout.subject
    for folder in [root, *(path for path in _listed(root) if path.is_dir())]:
        category = "" if folder == root else folder.name
        for path in _listed(folder):
            said = parse(path.name)
            label, kind = said.get("label"), _KINDS.get(said.extension)
            if label and kind:
                name = label.replace("-", "")
                yield RoiFile(name, category, kind, said.get("hemi") or "", path)


def _older(layout: Layout) -> Iterator[RoiFile]:
    for path in _listed(layout.data_dir / "derivatives" / "atlases" / layout.subject / "rois"):
        name, dot, extension = path.name.partition(".")
        if _KINDS.get(dot + extension) == "volume":
            yield RoiFile(name.replace("-", ""), "", "volume", "", path)


def _listed(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []


def roi_volume(files: list[RoiFile], brain: Header) -> NDArray[np.bool_]:
    """Return an ROI as a mask over the brain mask's grid.

    Parameters
    ----------
    files : list of RoiFile
        The volumes of one ROI, of any resolution: those on the grid are taken.
    brain : Header
        Of the file that the brain mask comes from.

    Returns
    -------
    numpy.ndarray
        bool, shape ``brain.grid``.

    Raises
    ------
    GridMismatchError
        If none of the files lies on the grid.
    NotFiniteError
        If a file holds NaN.
    """
    mask = np.zeros(brain.grid, dtype=bool)
    elsewhere: list[GridMismatchError] = []
    for file in files:
        with open_file(file.path) as reader:
            reader.header.need(3)
            try:
                check_same_grid(reader.header, brain)
            except GridMismatchError as exc:
                elsewhere.append(exc)
                continue
            mask |= _as_mask(whole_volume(reader), file.path)
    if len(elsewhere) == len(files):
        raise elsewhere[0]
    return mask


def _as_mask(values: NDArray[np.generic], path: Path) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        count = int(np.isnan(values).sum())
        if count:
            raise NotFiniteError(str(path), f"is to be a mask, but {count} of its voxels are NaN")
    mask: NDArray[np.bool_] = values != 0
    return mask
