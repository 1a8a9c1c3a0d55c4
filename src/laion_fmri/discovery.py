"""What there is: subjects and regions of interest, as the bucket lists them.

Where there is no network, the answer is of what is on disk, and a warning says so.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from laion_fmri._constants import resolve_subject_id
from laion_fmri._dataset import BETAS, DATASET, OLD_ROIS, ROIS, Extras
from laion_fmri._names import also_named
from laion_fmri.config import DataDirNotSetError, data_directory
from laion_fmri.download import fetcher_for
from laion_fmri.info import directory_or_none
from neurofetch.engine import Listing, nearest, twins_of
from neurofetch.errors import UnreachableError, WrongTypeError
from neurofetch.extras import need

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pandas as pd

    from neurofetch.engine import Fetcher

    Directory = str | os.PathLike[str] | None

__all__ = [
    "SUBJECT_PREFIXES",
    "describe",
    "get_participants",
    "get_rois",
    "get_subjects",
    "inspect_bucket",
]

SUBJECT_PREFIXES = (BETAS, ROIS, "derivatives/freesurfer/", "derivatives/anatomical/")
"""Where the bucket has a folder for each subject."""

_REGION = re.compile(
    r"derivatives/rois/[^/]+/([^/]+)/[^/]*_space-T1w_res-1pt8_[^/]*"
    r"label-([A-Za-z0-9-]+)_mask\.nii(?:\.gz)?"
)
_OLD_REGION = re.compile(r"derivatives/atlases/[^/]+/(?:[^/]+/)*([^/.]+)\.[^/]+")

T = TypeVar("T")


class _Region(NamedTuple):
    category: str
    name: str


class _Regions(NamedTuple):
    """The regions of a subject, and which subjects there are where that matters."""

    subject: str
    all: list[_Region]
    subjects: Sequence[str] = ()


def get_subjects(*, data_dir: Directory = None) -> list[str]:
    """Return the subjects that the bucket has, sorted.

    Parameters
    ----------
    data_dir : str or path, optional
        Where to look if there is no network; default: the configured directory.

    Returns
    -------
    list of str
        Names, such as ``"sub-03"``.

    Raises
    ------
    ServerError
        If the bucket cannot be asked, and no data directory is there either.

    Warns
    -----
    UserWarning
        If there are none, or if the answer is of the disk.
    """
    found, place = _asked(_subjects, _subjects_on_disk, data_dir, stacklevel=3)
    if not found:
        text = f"{place.has} no subjects. {place.advice}"
        warnings.warn(text, UserWarning, stacklevel=2)
    return found


@also_named(sub="subject")
def get_rois(
    subject: str | None = None, category: str | None = None, *, data_dir: Directory = None
) -> list[str]:
    """Return the regions of interest that the bucket has of a subject, sorted.

    Parameters
    ----------
    subject : str, optional
        ``"sub-03"`` or ``"03"``; default: the first subject.
    category : str, optional
        Such as ``"face"``; default: all.
    data_dir : str or path, optional
        Where to look if there is no network; default: the configured directory.

    Returns
    -------
    list of str
        Names, such as ``"FFA1"``.

    Raises
    ------
    SubjectNotFoundError
        If it cannot be a subject's name.
    ServerError
        If the bucket cannot be asked, and no data directory is there either.

    Warns
    -----
    UserWarning
        If there are none, or if the answer is of the disk.
    """
    name = None if subject is None else resolve_subject_id(subject)
    _check_category(category)

    def ask(fetcher: Fetcher) -> _Regions:
        found = _regions(fetcher, name)
        # Why there is nothing is worth a request: as a rule there is no such subject.
        return found if found.all else found._replace(subjects=_subjects(fetcher))

    found, place = _asked(ask, lambda root: _on_disk(root, name), data_dir, stacklevel=4)
    names = sorted({one.name for one in found.all if category in {None, one.category}})
    if found.subject and not names:
        text = _nothing(found, category, place)
        warnings.warn(text, UserWarning, stacklevel=3)  # past `also_named`
    return names


def _check_category(category: object) -> None:
    if category is not None and not isinstance(category, str):
        msg = f"category={category!r}: one category is text such as 'face'; None is all of them."
        raise WrongTypeError(msg)


class _Place(NamedTuple):
    """Where an answer comes from."""

    has: str
    advice: str = ""


def _nothing(found: _Regions, category: str | None, place: _Place) -> str:
    """Say why there are no regions: no such subject, no such category, or none at all."""
    if found.subject not in found.subjects and not found.all:
        near = twins_of(found.subject, found.subjects) or nearest(found.subject, found.subjects)
        hint = f" Did you mean {near[0]}?" if near else ""
        there = ", ".join(found.subjects) or "none"
        return f"{place.has} no subject {found.subject}.{hint} Subjects: {there}."
    if category is None or not found.all:
        return f"{place.has} no regions of interest of {found.subject}."
    categories = sorted({one.category for one in found.all})
    near = nearest(category, categories)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    there = ", ".join(categories)
    return f"{place.has} no category {category!r} of {found.subject}.{hint} Categories: {there}."


def _asked(
    bucket: Callable[[Fetcher], T],
    disk: Callable[[Path], T],
    data_dir: Directory = None,
    *,
    stacklevel: int,
) -> tuple[T, _Place]:
    """Ask the bucket; where there is no network, look on the disk, and say so."""
    try:
        with (
            directory_or_none(data_dir) as (root, _),
            fetcher_for(Extras(), root) as fetcher,
        ):
            return bucket(fetcher), _Place("The bucket has", "Check the endpoint.")
    except UnreachableError as error:
        try:
            here = data_directory(data_dir)
        except (DataDirNotSetError, FileNotFoundError):
            raise error from None  # there is nothing else to answer from
        text = f"The bucket cannot be reached, so this is what is in {here} ({error})"
        warnings.warn(text, UserWarning, stacklevel=stacklevel)
        advice = "Try again when the bucket can be reached."
        return disk(here), _Place(f"{here} has", advice)


def _folders(fetcher: Fetcher, prefixes: Iterable[str]) -> list[list[str]]:
    levels = fetcher.levels(list(prefixes))
    return [[one.rstrip("/").rpartition("/")[2] for one in level.folders] for level in levels]


def _subjects(fetcher: Fetcher) -> list[str]:
    found = {name for names in _folders(fetcher, SUBJECT_PREFIXES) for name in names}
    return sorted(name for name in found if name.startswith("sub-"))


def _subjects_on_disk(root: Path) -> list[str]:
    trees = (*SUBJECT_PREFIXES, OLD_ROIS)
    return sorted({path.name for tree in trees for path in root.glob(f"{tree}sub-*")})


def _regions(fetcher: Fetcher, subject: str | None) -> _Regions:
    """Return the regions of a subject, of the first one if none is named."""
    name = subject or next(iter(_subjects(fetcher)), "")
    if not name:
        return _Regions("", [])
    walks = (f"{ROIS}{name}/", f"{OLD_ROIS}{name}/")
    return _Regions(name, _read(file.key for file in fetcher.files(Listing(walks=walks))))


def _on_disk(root: Path, subject: str | None) -> _Regions:
    subjects = _subjects_on_disk(root)
    name = subject or next(iter(subjects), "")
    if not name:
        return _Regions("", [])
    paths = [path for tree in (ROIS, OLD_ROIS) for path in (root / tree / name).rglob("*")]
    found = _read(path.relative_to(root).as_posix() for path in paths if path.is_file())
    return _Regions(name, found, subjects)


def _read(keys: Iterable[str]) -> list[_Region]:
    found = []
    for key in keys:
        if region := _REGION.fullmatch(key):
            found.append(_Region(region[1], region[2].replace("-", "")))
        elif old := _OLD_REGION.fullmatch(key):  # of the layout before May 2026
            found.append(_Region("atlases", old[1]))
    return found


def describe(*, data_dir: Directory = None) -> None:
    """Print what the bucket has, in four lines: its subjects, and the regions of the first one.

    `laion_fmri.info.info` tells more, and how much of it is here.

    Parameters
    ----------
    data_dir : str or path, optional
        Where to look if there is no network; default: the configured directory.
    """

    def ask(fetcher: Fetcher) -> tuple[str, _Regions]:
        names = _subjects(fetcher)
        found = _regions(fetcher, names[0]) if names else _Regions("", [])
        return "", found._replace(subjects=names)

    def look(root: Path) -> tuple[str, _Regions]:
        where = f" (what is in {root}: the bucket cannot be reached)"
        return where, _on_disk(root, None)

    (where, regions), _ = _asked(ask, look, data_dir, stacklevel=3)
    names = sorted({one.name for one in regions.all})
    print(f"LAION-fMRI{where}")
    print(f"Bucket:    s3://{DATASET.bucket}")
    print(f"Subjects:  {_counted(regions.subjects)}")
    print(f"ROIs:      {_counted(names, f' of {regions.subject}')}")


def _counted(names: Sequence[str], of: str = "") -> str:
    return f"{len(names)}{of} ({', '.join(names)})" if names else "0"


def inspect_bucket() -> None:
    """Print the folders at the top of the bucket, and how much is directly below each.

    Raises
    ------
    ServerError
        If the bucket cannot be asked.
    """
    with directory_or_none(None) as (root, _), fetcher_for(Extras(), root) as fetcher:
        (top,) = fetcher.levels([""])
        levels = fetcher.levels(top.folders)
    print(f"Bucket: s3://{DATASET.bucket}")
    print(f"Top-level prefixes ({len(top.folders)}):")
    for prefix in top.folders:
        print(f"  {prefix}")
    for prefix, level in zip(top.folders, levels, strict=True):
        entries = [one.rstrip("/").rpartition("/")[2] for one in level.folders]
        entries += [file.key.rpartition("/")[2] for file in level.files]
        subjects = sum(entry.startswith("sub-") for entry in entries)
        print(f"{prefix}: {len(entries)} entries, {subjects} sub-* entries")


def get_participants(*, data_dir: Directory = None) -> pd.DataFrame:
    """Return ``participants.tsv`` of the disk, one row per participant; ``n/a`` is missing.

    Parameters
    ----------
    data_dir : str or path, optional
        Default: the configured directory.

    Returns
    -------
    DataFrame
        The table, with the columns of the file.

    Raises
    ------
    DataNotDownloadedError
        If it is not on disk.
    """
    need("get_participants()", "loader", "pandas")
    from laion_fmri.errors import DataNotDownloadedError
    from laion_fmri.io import load_tsv
    from laion_fmri.loader.layout import how_to_get

    path = data_directory(data_dir) / "participants.tsv"
    if not path.is_file():
        raise DataNotDownloadedError(
            f"{path} does not exist. Every download brings it; the smallest is:\n"
            f"{how_to_get(path.parent, 'all', ses='averages', desc='R2mean')}"
        )
    return load_tsv(path)
