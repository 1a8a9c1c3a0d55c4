"""What is in the data directory. Nothing here uses the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laion_fmri._names import also_named
from laion_fmri.config import data_directory
from laion_fmri.loader.layout import GLM, Layout, how_to_get, subject_id
from laion_fmri.loader.rois import Rois
from neurofetch.extras import need

if TYPE_CHECKING:
    import os

    import pandas as pd

__all__ = ["describe", "get_participants", "get_rois", "get_subjects"]

_TREES = (GLM, "derivatives/rois", "derivatives/atlases")


def get_subjects(*, data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the subjects with any results or ROIs on disk, sorted.

    Parameters
    ----------
    data_dir : str or path, optional
        Default: the configured directory.
    """
    root = data_directory(data_dir)
    found = {path.name for tree in _TREES for path in root.glob(f"{tree}/sub-*") if path.is_dir()}
    return sorted(found)


@also_named(sub="subject")
def get_rois(
    subject: str, category: str | None = None, *, data_dir: str | os.PathLike[str] | None = None
) -> list[str]:
    """Return the ROIs of a subject that are on disk, sorted.

    Parameters
    ----------
    subject : str
        ``"sub-03"`` or ``"03"``.
    category : str, optional
        Such as ``"face"``; default: all.
    data_dir : str or path, optional
        Default: the configured directory.

    Raises
    ------
    UnknownRoiError
        If there is no such category.
    """
    return Rois(Layout(data_directory(data_dir), subject_id(subject))).names(category)


def get_participants(*, data_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return ``participants.tsv``, one row per participant; ``n/a`` is missing.

    Raises
    ------
    DataNotDownloadedError
        If it is not on disk.
    """
    need("get_participants()", "loader", "pandas")
    from laion_fmri.errors import DataNotDownloadedError
    from laion_fmri.io import load_tsv

    path = data_directory(data_dir) / "participants.tsv"
    if not path.is_file():
        raise DataNotDownloadedError(
            f"{path} does not exist. Every download brings it; the smallest is:\n"
            f"{how_to_get(path.parent, 'all', ses='averages', desc='R2mean')}"
        )
    return load_tsv(path)


def describe(*, data_dir: str | os.PathLike[str] | None = None) -> None:
    """Print what is on disk: subjects, their sessions, and their ROIs by category."""
    root = data_directory(data_dir)
    print(f"LAION-fMRI in {root}")
    for subject in get_subjects(data_dir=root):
        layout = Layout(root, subject)
        rois = Rois(layout)
        sessions = layout.sessions()
        span = f" ({sessions[0]} … {sessions[-1]})" if sessions else ""
        print(f"  {subject}: {len(sessions)} sessions{span}, {len(rois.names())} ROIs")
        for category in rois.categories():
            print(f"      {category}: {', '.join(rois.names(category))}")
