"""What there is: subjects, sessions, regions of interest and sizes, in the bucket and here."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from laion_fmri._dataset import BETAS, HELD_OUT, OLD_ROIS, ROIS, Extras
from laion_fmri._names import also_named
from laion_fmri.config import (
    DataDirNotSetError,
    chosen_directory,
    chosen_store_dir,
    stores_of,
)
from laion_fmri.download import Subjects, fetcher_for, labels_of, listed, subjects_of
from neurofetch.console import size, table
from neurofetch.engine import RunSettings, make_selection, parse_entities, query
from neurofetch.model import Action

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from neurofetch.engine import Fetcher, Selection
    from neurofetch.model import Plan, Step

__all__ = ["Info", "SubjectInfo", "directory_or_none", "info", "info_text"]


@dataclass(frozen=True, slots=True)
class SubjectInfo:
    """One subject.

    Parameters
    ----------
    subject : str
    sessions : tuple of str
        With betas that are public, in order.
    held_out : tuple of str
        Sessions that the owners withhold.
    rois : dict of str to tuple of str
        Names of regions by category.
    files, files_here : int
        Public files, and how many of them are in the data directory.
    bytes, bytes_here : int
    session_bytes : dict of str to int
    """

    subject: str
    sessions: tuple[str, ...]
    held_out: tuple[str, ...]
    rois: dict[str, tuple[str, ...]]
    files: int
    files_here: int
    bytes: int
    bytes_here: int
    session_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Info:
    """The dataset, as the bucket lists it.

    Parameters
    ----------
    bucket : str
        Its URL.
    data_dir : str or None
        None where none was chosen yet.
    subjects : tuple of SubjectInfo
    store_dir : str or None
        The folder with the beta stores of the data directory, whether there are any or not.
    """

    bucket: str
    data_dir: str | None
    subjects: tuple[SubjectInfo, ...]
    store_dir: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the values for JSON, in the words of ``docs/json.md``.

        Returns
        -------
        dict
            Values that JSON can hold.
        """
        told = asdict(self)
        for one in told["subjects"]:
            one["files_total"], one["bytes_total"] = one.pop("files"), one.pop("bytes")
        return told


@also_named(sub="subject")
def info(
    subject: Subjects | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> Info:
    """List what there is, and how much of it is here.

    Parameters
    ----------
    subject : str, int or several, optional
        Only these; by default all that the bucket has.
    data_dir : path, optional
        By default the one that was configured; where there is none, or it is gone, nothing is
        here.

    Returns
    -------
    Info
        Subjects, sessions, regions of interest, numbers of files and bytes.

    Raises
    ------
    SubjectNotFoundError
        If the bucket has no such subject.
    ServerError
        If the bucket cannot be listed.

    Examples
    --------
    ::

        from laion_fmri.info import info

        for one in info().subjects:
            print(one.subject, len(one.sessions), one.bytes, one.bytes_here)
    """
    labels = labels_of(subject) if subject is not None else None
    with directory_or_none(data_dir) as (root, named), fetcher_for(Extras(), root) as fetcher:
        subjects = labels or subjects_of(fetcher, Extras())
        settings = RunSettings(dry_run=True)
        found: list[str] = []
        plan = fetcher.prepare(lambda: _everything(fetcher, subjects, found), settings)
        name = fetcher.source.name
    stores = None if named is None else str(stores_of(named, chosen_store_dir()))
    return Info(name, named, tuple(_subject(label, plan) for label in found), stores)


def _everything(fetcher: Fetcher, subjects: Sequence[str], found: list[str]) -> Selection:
    """Choose all files of some subjects, and say which these are."""
    real, files, _ = listed(fetcher, subjects, Extras())
    found += real
    return make_selection(files, query(), fetcher.dataset)


@contextmanager
def directory_or_none(named: str | os.PathLike[str] | None) -> Iterator[tuple[Path, str | None]]:
    """Give the data directory, and its name.

    Where none was chosen yet, that is an empty directory, and None. Where the one that was chosen
    is gone (a disk that is not mounted), it is an empty one too: what the bucket has can be told
    nevertheless.
    """
    try:
        chosen = chosen_directory(named)
    except DataDirNotSetError:
        name = None
    else:
        name = str(chosen)
        if named is not None or chosen.is_dir():
            yield chosen, name
            return
    with TemporaryDirectory(prefix="laion-fmri-") as empty:
        yield Path(empty), name


def _subject(subject: str, plan: Plan) -> SubjectInfo:
    mine = [step for step in plan.steps if f"/{subject}/" in f"/{step.want.path}"]
    public = [step for step in mine if step.action is not Action.REFUSE]
    here = [step for step in public if step.action is Action.KEEP]
    by_session = _by_session(step for step in public if step.want.path.startswith(BETAS))
    withheld = _by_session(step for step in mine if step.action is Action.REFUSE)
    return SubjectInfo(
        subject,
        tuple(sorted(by_session)),
        tuple(sorted(ses for ses in withheld if ses.removeprefix("ses-") in HELD_OUT.values)),
        _rois(step.want.path for step in public),
        len(public),
        len(here),
        _bytes(public),
        _bytes(here),
        {session: _bytes(steps) for session, steps in sorted(by_session.items())},
    )


def _bytes(steps: Iterable[Step]) -> int:
    return sum(step.want.remote.size or 0 for step in steps)


def _by_session(steps: Iterable[Step]) -> dict[str, list[Step]]:
    groups: dict[str, list[Step]] = {}
    for step in steps:
        session = parse_entities(step.want.path).get("ses")
        if session is not None:
            groups.setdefault(f"ses-{session}", []).append(step)
    return groups


def _rois(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        if path.startswith(ROIS):
            label = parse_entities(path).get("label")
            if label is not None:
                found.setdefault(path.split("/")[3], set()).add(label)
        elif path.startswith(OLD_ROIS):
            name = path.rpartition("/")[2].partition(".")[0]
            found.setdefault("atlases", set()).add(name)
    return {category: tuple(sorted(names)) for category, names in sorted(found.items())}


def info_text(found: Info, *, details: bool) -> str:
    """Return what `info` prints.

    Parameters
    ----------
    found : Info
    details : bool
        Also each session's size and the names of the regions.

    Returns
    -------
    str
        Several lines of text.
    """
    rows: list[tuple[str, ...]] = [
        ("subject", "sessions", "held out", "ROIs", "files", "bytes", "here")
    ]
    for one in found.subjects:
        regions = sum(len(names) for names in one.rois.values())
        here = f"{one.files_here:,} files, {size(one.bytes_here)}" if one.files_here else "-"
        rows.append(
            (
                one.subject,
                str(len(one.sessions)),
                str(len(one.held_out)),
                str(regions),
                f"{one.files:,}",
                size(one.bytes),
                here,
            )
        )
    where = found.data_dir or "none yet; choose one: laion-fmri config --data-dir DIR"
    if found.data_dir and not Path(found.data_dir).is_dir():
        where += " (it does not exist; choose another: laion-fmri config --data-dir DIR)"
    pieces = [f"LAION-fMRI at {found.bucket}", f"data directory: {where}"]
    pieces += [f"beta stores: {found.store_dir}"] if found.store_dir else []
    pieces += ["", table(rows, right=(1, 2, 3, 4, 5))]
    if details:
        pieces += [_details(one) for one in found.subjects]
    return "\n".join(pieces)


def _details(one: SubjectInfo) -> str:
    rows: list[tuple[str, ...]] = [("session", "bytes")]
    rows += [(session, size(number)) for session, number in one.session_bytes.items()]
    rows += [(session, HELD_OUT.why) for session in one.held_out]
    lines = ["", one.subject, table(rows), ""]
    lines += [f"{category}: {', '.join(names)}" for category, names in one.rois.items()]
    return "\n".join(lines)
