"""Where a subject's files are in a data directory, and which call brings what is missing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from laion_fmri._dataset import HELD_OUT, subject_label
from laion_fmri.config import get_data_dir
from laion_fmri.errors import (
    BadDataError,
    DataDirNotSetError,
    DataNotDownloadedError,
    SubjectNotFoundError,
)
from laion_fmri.reading.absent import content_missing
from neurofetch.engine import nearest
from neurofetch.engine import parse_entities as parse
from neurofetch.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    #: A session as an argument: "ses-04", "04" or 4.
    SessionName = str | int

__all__ = [
    "GLM",
    "Layout",
    "content_missing",
    "held_out",
    "how_to_get",
    "session_id",
    "session_ids",
    "sessions_asked",
    "subject_id",
    "subjects_on_disk",
]

GLM = "derivatives/glmsingle-tedana"
_VOLUME = (".nii", ".nii.gz")
#: A file that stands for content elsewhere is no larger.
#: The session of the anatomical images, and what brings them.
_ANATOMY = "ses-PrismaAnat"
#: Noise ceilings of a subject, over pictures that were shown so often.
_CEILINGS = ("Noiseceiling4rep", "Noiseceiling12rep", "NoiseceilingAllrep")
_ANATOMICAL: dict[str, str | bool] = {"ses": "averages", "include_anatomical": True}
_TOKEN = re.compile(r"[A-Za-z0-9]+")


def subject_id(subject: object) -> str:
    """Return the full BIDS form of a subject.

    Raises
    ------
    SubjectNotFoundError
        If it cannot be a subject.

    Examples
    --------
    >>> subject_id("03"), subject_id("sub-03")
    ('sub-03', 'sub-03')
    """
    try:
        return subject_label(subject)
    except UsageError:
        msg = f"{subject!r} is not a subject: expected its BIDS name, such as 'sub-03' or '03'."
        raise SubjectNotFoundError(msg) from None  # without "or 'all'", which a download takes


def session_id(session: object) -> str:
    """Return the full BIDS form of a session.

    Raises
    ------
    ValueError
        If it cannot be a session.

    Examples
    --------
    >>> session_id("04"), session_id("ses-04"), session_id(4)
    ('ses-04', 'ses-04', 'ses-04')
    """
    if session is None or (isinstance(session, str) and not session):
        raise ValueError("session is required: one such as 'ses-04', or a list of them.")
    if isinstance(session, (int, np.integer)) and not isinstance(session, bool):
        session = f"{session:02d}"
    token = f"ses-{session.removeprefix('ses-')}" if isinstance(session, str) else ""
    if not _TOKEN.fullmatch(token.removeprefix("ses-")):
        raise ValueError(
            f"{session!r} is not a session: expected one such as 'ses-04', '04' or 4, or a list."
        )
    return token


def sessions_asked(session: object) -> dict[Any, str]:
    """Return the full BIDS forms of the sessions of a list, each by what was asked.

    Raises
    ------
    ValueError
        If it is no list, or empty, or holds something that cannot be a session.

    Examples
    --------
    >>> sessions_asked(["ses-01", "02", 3])
    {'ses-01': 'ses-01', '02': 'ses-02', 3: 'ses-03'}
    """
    if isinstance(session, (bytes, bytearray)) or not isinstance(session, Iterable):
        return {session: session_id(session)}
    asked = {one: session_id(one) for one in ([session] if isinstance(session, str) else session)}
    if not asked:
        raise ValueError("session is required: the list is empty.")
    return asked


def session_ids(session: object) -> list[str]:
    """Return the full BIDS forms of the sessions of an argument that takes one or several.

    Raises
    ------
    ValueError
        As `sessions_asked`.

    Examples
    --------
    >>> session_ids("04"), session_ids(["ses-01", "02"])
    (['ses-04'], ['ses-01', 'ses-02'])
    """
    return list(sessions_asked(session).values())


def subjects_on_disk(root: Path) -> list[str]:
    """Return the subjects with any results or ROIs in a data directory, sorted."""
    trees = (GLM, "derivatives/rois", "derivatives/atlases")
    return sorted({p.name for tree in trees for p in root.glob(f"{tree}/sub-*") if p.is_dir()})


def _with_content(twins: list[Path]) -> Path:
    """Return the first of a plain file and its gzipped twin whose content is here, else the first.

    The plain one comes first: it can be read by position.
    """
    return next((path for path in twins if not content_missing(path)), twins[0])


def held_out(session: str) -> bool:
    """Whether a session is held out: the bucket lists its files and refuses to hand them out."""
    return session.removeprefix(f"{HELD_OUT.entity}-") in HELD_OUT.values


def how_to_get(root: Path, subject: str, **filters: str | bool) -> str:
    """Return the lines of Python that bring files to a data directory.

    Parameters
    ----------
    root : pathlib.Path
        Part of the call only if it is not the configured directory.
    subject : str
    **filters
        Keywords of `laion_fmri.download.download`.
    """
    given = {"subject": subject, **filters}
    if not _is_configured(root):
        given["data_dir"] = str(root)
    arguments = ", ".join(f"{name}={_literal(value)}" for name, value in given.items())
    return f"    from laion_fmri.download import download\n    download({arguments})"


def _literal(value: str | bool) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _is_configured(root: Path) -> bool:
    try:
        return os.path.samefile(get_data_dir(), root)
    except (DataDirNotSetError, ConfigError, OSError):
        return False


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one subject on disk.

    Parameters
    ----------
    data_dir : pathlib.Path
    subject : str
        Full form.
    """

    data_dir: Path
    subject: str

    @property
    def glm(self) -> Path:
        """The folder of the subject's GLMsingle results."""
        return self.data_dir / GLM / self.subject

    def exists(self) -> bool:
        """Whether anything of the subject's results is here."""
        return self.glm.is_dir()

    def sessions(self) -> list[str]:
        """Return the sessions that are here, sorted."""
        if not self.exists():
            return []
        with os.scandir(self.glm) as entries:
            found = [entry.name for entry in entries if entry.is_dir()]
        return sorted(name for name in found if name.startswith("ses-") and self._any(name))

    def _any(self, session: str) -> bool:
        func = self.glm / session / "func"
        return func.is_dir() and any(func.iterdir())

    def has_betas(self, session: str) -> bool:
        """Whether the single-trial betas of a session are here."""
        return self._here(session, suffix="statmap", desc="SingletrialBetas")

    def _betas(self, session: str) -> Path | None:
        return self._find(session, _VOLUME, suffix="statmap", desc="SingletrialBetas")

    def betas(self, session: str) -> Path:
        """Return the single-trial betas of a session."""
        found = self._betas(session)
        how = {"desc": "SingletrialBetas", "stat": "effect", "extension": "nii.gz"}
        return found or self.missing(f"the betas of {session}", ses=session, **how)

    def trials(self, session: str) -> Path:
        """Return the trial table of a session."""
        found = self._find(session, (".tsv",), suffix="trials", desc="SingletrialBetas")
        how = {"desc": "SingletrialBetas", "suffix": "trials"}
        return found or self.missing(f"the trials of {session}", ses=session, **how)

    def has_mean_rsquare(self) -> bool:
        """Whether the mean-R² map is here."""
        return self._here("", suffix="statmap", desc="R2mean")

    def mean_rsquare(self) -> Path:
        """Return the mean-R² map, which gives the brain mask ``"rsquare"``."""
        found = self._find("", _VOLUME, suffix="statmap", desc="R2mean")
        return found or self.missing(
            "the mean-R² map (it gives the brain mask 'rsquare')", ses="averages", desc="R2mean"
        )

    @property
    def freesurfer(self) -> Path:
        """The folder of FreeSurfer's results."""
        return self.data_dir / "derivatives" / "freesurfer" / self.subject

    @property
    def anatomy(self) -> Path:
        """The folder of the anatomical images."""
        return self.data_dir / "derivatives" / "anatomical" / self.subject

    def anatomical_path(self, suffix: str, res: str | None, desc: str = "") -> Path:
        """Return where an anatomical image in the space T1w lies, here or not."""
        name = f"{self.subject}_{_ANATOMY}_space-T1w"
        name += f"_res-{res}" if res else ""
        name += f"_desc-{desc}" if desc else ""
        return self.anatomy / _ANATOMY / "anat" / f"{name}_{suffix}.nii.gz"

    def anatomical(self, suffix: str, res: str | None, desc: str = "") -> Path:
        """Return an anatomical image in the space T1w, such as the brain mask.

        Parameters
        ----------
        suffix : str
            ``T1w``, ``T2w`` or ``mask``.
        res : str or None
            ``"1pt8"``, the grid of the functional data; None: full resolution.
        desc : str
            ``"brain"`` for the mask.
        """
        path = self.anatomical_path(suffix, res, desc)
        plain = path.with_name(path.name.removesuffix(".gz"))
        named = [one for one in (plain, path) if content_missing(one) or one.is_file()]
        if named:
            return self.present(_with_content(named), **_ANATOMICAL)
        here = sorted(one.name for one in path.parent.glob("*.nii*"))
        there = f" (here: {', '.join(here)})" if here else ""
        return self.missing(f"the anatomical image {path.name}{there}", **_ANATOMICAL)

    def present(self, path: Path, **filters: str | bool) -> Path:
        """Return a file that is here, or raise `DataNotDownloadedError` if its content is not."""
        if stands_for := content_missing(path):
            self.missing(f"{path} is {stands_for}: the file", **filters)
        return path

    def rsquare(self, session: str) -> Path:
        """Return the R² map of a session."""
        found = self._find(session, _VOLUME, suffix="statmap", desc="R2")
        return found or self.missing(f"the R² map of {session}", ses=session, desc="R2")

    def noise_ceiling(self, session: str = "", desc: str = "Noiseceiling") -> Path:
        """Return a noise ceiling: a session's, or the subject's of that `desc`."""
        found = self._find(session, _VOLUME, suffix="statmap", desc=desc)
        if found and desc.startswith("Noiseceiling"):  # other maps have other units
            return found
        here = ", ".join(name for name in self.descs() if name.startswith("Noise")) or "none"
        if session:
            return self.missing(f"the noise ceiling of {session}", ses=session, desc=desc)
        if desc not in _CEILINGS:  # no download would bring it
            near = nearest(desc, _CEILINGS)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataNotDownloadedError(
                f"There is no noise ceiling {desc!r} of {self.subject}.{hint} The data set has "
                f"{', '.join(_CEILINGS)}; here: {here}."
            )
        return self.missing(f"the noise ceiling {desc!r} (here: {here})", ses="averages", desc=desc)

    def descs(self) -> list[str]:
        """Return the ``desc`` values of the subject-level maps that are here."""
        found = {parse(path.name).get("desc") for path in self._volumes(self.glm)}
        return sorted(desc for desc in found if desc)

    def missing(self, what: str, **filters: str | bool) -> NoReturn:
        """Raise `DataNotDownloadedError` with the call that brings it."""
        session = str(filters.get("ses", ""))
        if held_out(session):
            raise DataNotDownloadedError(
                f"{session} is held out by the dataset's owners: the bucket lists it, but hands "
                f"out none of its files. Sessions here: {self._listed()}."
            )
        raise DataNotDownloadedError(
            f"Not downloaded to {self.data_dir}: {what} of {self.subject}. "
            f"Sessions here: {self._listed()}. This brings it:\n"
            f"{how_to_get(self.data_dir, self.subject, **filters)}"
        )

    def _listed(self) -> str:
        return ", ".join(self.sessions()) or "none"

    def _volumes(self, folder: Path) -> list[Path]:
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [folder / name for name in names if name.endswith(_VOLUME)]

    def _here(self, session: str, *, suffix: str, desc: str) -> bool:
        """Whether a volume is on disk; a name whose content was not fetched is not."""
        found = self._named(session, _VOLUME, suffix=suffix, desc=desc)
        return found is not None and not content_missing(found)

    def _find(
        self, session: str, extensions: tuple[str, ...], *, suffix: str, desc: str
    ) -> Path | None:
        found = self._named(session, extensions, suffix=suffix, desc=desc)
        how = {"ses": session or "averages", "desc": desc, "suffix": suffix}
        return found and self.present(found, **how)

    def _named(
        self, session: str, extensions: tuple[str, ...], *, suffix: str, desc: str
    ) -> Path | None:
        folder = self.glm / session / "func" if session else self.glm
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return None
        wanted = f"_desc-{desc}_"
        found = []
        for name in names:
            if wanted not in name:
                continue
            parsed = parse(name)
            if parsed.suffix == suffix and parsed.extension in extensions:
                found.append((parsed.get("space") or "T1w", parsed.extension, name))
        native = [name for space, _, name in found if space == "T1w"]
        if len(native) == 2 and native[1] == native[0] + ".gz":
            return _with_content([folder / name for name in native])
        if len(native) > 1:
            raise BadDataError(str(folder), f"has several files of one kind: {', '.join(native)}")
        return folder / native[0] if native else None
