"""The ROIs of a subject: which are on disk, what a name means, and their masks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from laion_fmri.errors import DataNotDownloadedError, GridMismatchError, UnknownRoiError
from laion_fmri.loader.layout import content_missing
from laion_fmri.loader.masks import MASK_SOURCE, brain_of
from laion_fmri.loader.roi_files import read_label, read_surface, read_volumes
from laion_fmri.volumes.brain_mask import read_brain
from laion_fmri.volumes.voxel_array import on_mask
from neurofetch.engine import nearest
from neurofetch.engine import parse_entities as parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.loader.layout import Layout
    from laion_fmri.loader.masks import MaskSource
    from laion_fmri.volumes.brain_mask import Brain

    RoiQuery = str | Iterable[str]
    RoiKind = Literal["volume", "surface", "label"]

__all__ = ["RoiFile", "Rois"]

_KINDS: dict[str, RoiKind] = {
    ".nii": "volume",
    ".nii.gz": "volume",
    ".func.gii": "surface",
    ".label": "label",
}
#: The words that `Rois.data` takes for kinds of files.
_FORMATS: dict[str, tuple[RoiKind, ...]] = {
    "all": ("volume", "surface", "label"),
    "volume": ("volume",),
    "nii.gz": ("volume",),
    "gii": ("surface", "label"),
    "surface": ("surface",),
    "func.gii": ("surface",),
    "label": ("label",),
}
#: What brings a kind of file.
_HOW: dict[RoiKind, dict[str, str]] = {
    "volume": {"suffix": "mask", "extension": "nii.gz"},
    "surface": {"suffix": "mask", "extension": "func.gii"},
    "label": {"suffix": "mask", "extension": "label"},
}
#: The keys of `Rois.data` for what is on a surface.
_KEYS: dict[RoiKind, str] = {"surface": "func.gii", "label": "label"}


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
    kind: RoiKind
    hemi: str
    path: Path


class Rois:
    """The ROIs of one subject that are on disk; see `laion_fmri.subject.Subject.rois`.

    ``derivatives/rois/<sub>/<category>/`` comes first. The older layout,
    ``derivatives/atlases/<sub>/rois/<ROI>.nii.gz``, adds the volumes that the first does not have.

    Parameters
    ----------
    layout : Layout
        The folders are read once, when the object is made.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.files: list[RoiFile] = list(_by_category(layout))
        known = {(file.name, file.kind) for file in self.files}
        self.files += [f for f in _older(layout) if (f.name, f.kind) not in known]

    def __repr__(self) -> str:
        return f"<Rois of {self._layout.subject}: {', '.join(self.names()) or 'none'}>"

    def names(self, category: str | None = None) -> list[str]:
        """Return the names of the ROIs, sorted: of one category, or of all.

        Raises
        ------
        UnknownRoiError
            If there is no such category.
        """
        if category is not None and category not in self.categories():
            raise self._unknown(category, self.categories(), "category")
        return sorted({f.name for f in self.files if category in (None, f.category)})

    def categories(self) -> list[str]:
        """Return the categories, sorted; the older layout has none."""
        return sorted({file.category for file in self.files if file.category})

    def resolve(self, query: RoiQuery) -> list[str]:
        """Return the names of the ROIs that a query means, each once.

        Parameters
        ----------
        query : str or list of str
            A name, a category, ``"all"``, or a list of these. Hyphens and case are ignored, unless
            two names differ only in case. A category goes before a name of the same spelling.

        Raises
        ------
        UnknownRoiError
            If a word is neither a name nor a category.
        DataNotDownloadedError
            If no ROI is on disk.
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
        names, categories = self.names(), self.categories()
        plain = word.replace("-", "")
        if word in categories:
            return self.names(word)
        if plain in names:
            return [plain]
        if word == "all":
            return names
        alike = [name for name in names if name.lower() == plain.lower()]
        if len(alike) == 1:
            return alike
        alike = [one for one in categories if one.lower() == word.lower()]
        if len(alike) == 1:
            return self.names(alike[0])
        raise self._unknown(word, [*names, *categories, "all"], "ROI or category")

    def of(self, name: str, kind: RoiKind) -> list[RoiFile]:
        """Return the files of an ROI that are of one kind.

        Raises
        ------
        DataNotDownloadedError
            If no file of that kind is on disk.
        """
        found = [file for file in self.files if (file.name, file.kind) == (name, kind)]
        return found or self._layout.missing(f"the {kind} of the ROI {name}", **_HOW[kind])

    def mask(self, query: RoiQuery, mask_source: MaskSource = MASK_SOURCE) -> NDArray[np.bool_]:
        """Return the union of ROIs over the voxels of a brain mask.

        Parameters
        ----------
        query : str or list of str
            As in `resolve`.
        mask_source : {"anatomical", "rsquare"}

        Returns
        -------
        numpy.ndarray
            bool, shape (n_voxels,).
        """
        return self.on(brain_of(self._layout, mask_source), query)

    def on(self, brain: Brain, query: RoiQuery) -> NDArray[np.bool_]:
        """Return the same, over a brain mask that was read."""
        mask = np.zeros(len(brain), dtype=bool)
        for name in self.resolve(query):
            mask |= self._volume(name, brain)
        return on_mask(mask, brain.source)

    def _volume(self, name: str, brain: Brain) -> NDArray[np.bool_]:
        """Return one ROI over a brain mask. A resolution whose content is not here is no fault."""
        paths = [file.path for file in self.of(name, "volume")]
        here = [path for path in paths if not content_missing(path)]
        absent = [path for path in paths if path not in here]
        try:
            if here:
                return _one_mask(here, brain)
        except GridMismatchError:
            if not absent:
                raise
        return _one_mask([self._layout.present(path, **_HOW["volume"]) for path in absent], brain)

    def data(
        self,
        query: RoiQuery,
        format: str | None = None,  # noqa: A002 - the public name
        hemi: str | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> dict[str, dict[str, Any]]:
        """Return ROIs as volumes and on surfaces; see `laion_fmri.subject.Subject.get_roi_data`."""
        names = self.resolve(query)
        kinds = _FORMATS.get("all" if format is None else str(format).lstrip("."))
        if kinds is None:
            raise ValueError(f"format={format!r}: expected one of {', '.join(_FORMATS)}.")
        if hemi not in (None, "all", "L", "R"):
            raise ValueError(f"hemi={hemi!r}: expected 'L', 'R', or 'all'.")
        hemis = [hemi] if hemi in ("L", "R") else ["L", "R"]
        found: dict[str, dict[str, Any]] = {name: {} for name in names}
        if "volume" in kinds:
            brain = brain_of(self._layout, mask_source)
            for name in names:
                found[name]["volume"] = on_mask(self._volume(name, brain).copy(), brain.source)
        on_surface = [kind for kind in kinds if kind != "volume"]
        if on_surface:
            for name in names:
                found[name]["gii"] = {
                    f"hemi-{side}": {
                        _KEYS[kind]: self._on_surface(name, kind, side) for kind in on_surface
                    }
                    for side in hemis
                }
        return found

    def _on_surface(self, name: str, kind: RoiKind, hemi: str) -> NDArray[Any]:
        files = self.of(name, kind)
        of_hemi = [file for file in files if file.hemi == hemi]
        if not of_hemi:
            folder = files[0].path.parent
            raise DataNotDownloadedError(f"{folder} has no {kind} of {name} for hemi-{hemi}.")
        read: Callable[[Path], NDArray[Any]] = read_surface if kind == "surface" else read_label
        return read(self._layout.present(of_hemi[0].path, **_HOW[kind]))

    def _unknown(self, word: str, known: list[str], what: str) -> UnknownRoiError:
        near = nearest(word, known, count=5)
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
            parsed = parse(path.name)
            label, kind = parsed.get("label"), _KINDS.get(parsed.extension)
            if label and kind:
                name = label.replace("-", "")
                yield RoiFile(name, category, kind, parsed.get("hemi") or "", path)


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


def _one_mask(paths: list[Path], brain: Brain) -> NDArray[np.bool_]:
    """Return one ROI over the brain mask; kept in memory as long as its files are the same."""
    stats = [path.stat() for path in paths]
    times = tuple((now.st_size, now.st_mtime_ns) for now in stats)
    now = brain.path.stat().st_mtime_ns
    return _read_one_mask(tuple(paths), times, brain.path, brain.source, now)


@lru_cache(maxsize=256)
def _read_one_mask(
    paths: tuple[Path, ...],
    _times: tuple[tuple[int, int], ...],
    brain_path: Path,
    source: str,
    _mtime_ns: int,
) -> NDArray[np.bool_]:
    brain = read_brain(brain_path, source)
    mask = read_volumes(paths, brain.header).ravel()[brain.voxels.indices]
    mask.setflags(write=False)  # shared by all later calls
    return np.asarray(mask)
