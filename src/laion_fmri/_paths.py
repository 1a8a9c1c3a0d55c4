"""Where files lie in a data directory, here or not, by the names that older scripts import.

Each function takes the data directory first, a subject as ``"sub-03"`` or ``"03"``, a session as
``"ses-01"``, ``"01"`` or 1, and returns a path; none looks whether it exists, but
`roi_mask_path`, which has to look for the category of the region.
"""

from __future__ import annotations

from glob import escape
from operator import index
from typing import TYPE_CHECKING

from laion_fmri._constants import resolve_subject_id
from laion_fmri.errors import DataNotDownloadedError
from laion_fmri.loader.layout import session_id
from neurofetch.errors import UsageError
from neurofetch.store.folder import given_path

if TYPE_CHECKING:
    import os
    from pathlib import Path

    Directory = str | os.PathLike[str]

__all__ = [
    "anatomical_dir",
    "anatomical_file_path",
    "betas_path",
    "freesurfer_dir",
    "freesurfer_surf_path",
    "glmsingle_subject_dir",
    "noise_ceiling_path",
    "number_of",
    "r2mean_path",
    "raw_bold_path",
    "raw_events_path",
    "raw_sbref_path",
    "roi_mask_path",
    "rois_subject_dir",
    "trials_path",
]

_SIDES = {"L": "lh", "R": "rh", "lh": "lh", "rh": "rh"}
_ANATOMY = "ses-PrismaAnat"


def _tree(data_dir: Directory, name: str, subject: str) -> Path:
    return given_path(data_dir) / "derivatives" / name / resolve_subject_id(subject)


def glmsingle_subject_dir(data_dir: Directory, subject: str) -> Path:
    """Return the folder of a subject's GLMsingle results."""
    return _tree(data_dir, "glmsingle-tedana", subject)


def rois_subject_dir(data_dir: Directory, subject: str) -> Path:
    """Return the folder of a subject's regions of interest."""
    return _tree(data_dir, "rois", subject)


def freesurfer_dir(data_dir: Directory, subject: str) -> Path:
    """Return the FreeSurfer folder of a subject."""
    return _tree(data_dir, "freesurfer", subject)


def anatomical_dir(data_dir: Directory, subject: str) -> Path:
    """Return the folder of a subject's anatomical images."""
    return _tree(data_dir, "anatomical", subject)


def r2mean_path(data_dir: Directory, subject: str) -> Path:
    """Return the mean-R² map of a subject."""
    folder = glmsingle_subject_dir(data_dir, subject)
    ending = "task-images_space-T1w_stat-rsquare_desc-R2mean_statmap.nii.gz"
    return folder / f"{folder.name}_{ending}"


def _of_session(data_dir: Directory, subject: str, session: str, ending: str) -> Path:
    folder = glmsingle_subject_dir(data_dir, subject)
    session = session_id(session)
    return folder / session / "func" / f"{folder.name}_{session}_task-images_{ending}"


def betas_path(data_dir: Directory, subject: str, session: str) -> Path:
    """Return the single-trial betas of a session."""
    ending = "space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
    return _of_session(data_dir, subject, session, ending)


def trials_path(data_dir: Directory, subject: str, session: str) -> Path:
    """Return the trial table of a session."""
    return _of_session(data_dir, subject, session, "desc-SingletrialBetas_trials.tsv")


def noise_ceiling_path(
    data_dir: Directory, subject: str, session: str | None = None, desc: str = "Noiseceiling"
) -> Path:
    """Return a noise ceiling: that of a session, or the subject's of that `desc`."""
    if session is not None:
        ending = "space-T1w_desc-Noiseceiling_statmap.nii.gz"
        return _of_session(data_dir, subject, session, ending)
    folder = glmsingle_subject_dir(data_dir, subject)
    return folder / f"{folder.name}_task-images_space-T1w_desc-{desc}_statmap.nii.gz"


def freesurfer_surf_path(data_dir: Directory, subject: str, hemi: str, name: str) -> Path:
    """Return a surface of FreeSurfer.

    Parameters
    ----------
    data_dir : path
    subject : str
    hemi : str
        ``"L"`` or ``"R"``; FreeSurfer's ``"lh"`` and ``"rh"`` are taken too.
    name : str
        Such as ``"pial"``.
    """
    side = _SIDES.get(hemi) if isinstance(hemi, str) else None
    if side is None:
        msg = f"hemi must be 'L' or 'R', not {hemi!r}"
        raise ValueError(msg)
    return freesurfer_dir(data_dir, subject) / "surf" / f"{side}.{name}"


def roi_mask_path(data_dir: Directory, subject: str, roi: str, res: str = "1pt8") -> Path:
    """Return the volume of a region; of which category it is, the folders say.

    Raises
    ------
    DataNotDownloadedError
        If no category has it here.
    """
    folder = rois_subject_dir(data_dir, subject)
    label, res_ = escape(str(roi).replace("-", "")), escape(str(res))
    found = sorted(folder.glob(f"*/*_space-T1w_res-{res_}_*label-{label}_mask.nii.gz"))
    if not found:
        msg = (
            f"no category in {folder} has the region {roi!r} at the resolution {res!r}. "
            f'download(subject="{folder.name}", ses="averages") brings the regions.'
        )
        raise DataNotDownloadedError(msg)
    return found[0]


def anatomical_file_path(
    data_dir: Directory,
    subject: str,
    *,
    suffix: str,
    res: str | None = None,
    desc: str | None = None,
) -> Path:
    """Return an anatomical image in the space T1w: ``T1w``, ``T2w`` or a ``mask``."""
    folder = anatomical_dir(data_dir, subject)
    parts = [folder.name, _ANATOMY, "space-T1w"]
    parts += [f"res-{res}"] if res else []
    parts += [f"desc-{desc}"] if desc else []
    return folder / _ANATOMY / "anat" / ("_".join([*parts, suffix]) + ".nii.gz")


def _raw(data_dir: Directory, subject: str, session: str, run: int | str, ending: str) -> Path:
    name, session = resolve_subject_id(subject), session_id(session)
    stem = f"{name}_{session}_task-images_run-{number_of('run', run, 2)}"
    return given_path(data_dir) / name / session / "func" / f"{stem}_{ending}"


def number_of(entity: str, value: int | str, digits: int = 1) -> str:
    """Return the number of a run or an echo as names have it.

    Parameters
    ----------
    entity : str
        ``"run"`` or ``"echo"``.
    value : int or str
        Such as 1, ``"1"``, ``"01"`` or ``"run-01"``.
    digits : int
        How many there are at least.

    Raises
    ------
    UsageError
        If it is no number (a ``ValueError``).

    Examples
    --------
    >>> number_of("run", 1, 2), number_of("echo", "01"), number_of("echo", "echo-1")
    ('01', '1', '1')
    """
    text = value.removeprefix(f"{entity}-") if isinstance(value, str) else value
    try:
        number = int(text) if isinstance(text, str) else index(text)
    except (TypeError, ValueError):
        msg = f"{entity}={value!r} is no number of {entity}s: expected one such as 1 or '01'."
        raise UsageError(msg) from None
    return f"{number:0{digits}d}"


def raw_bold_path(  # noqa: PLR0917 - the public package's order
    data_dir: Directory,
    subject: str,
    session: str,
    run: int | str,
    echo: int | str,
    part: str = "mag",
) -> Path:
    """Return a raw image series."""
    ending = f"echo-{number_of('echo', echo)}_part-{part}_bold.nii.gz"
    return _raw(data_dir, subject, session, run, ending)


def raw_sbref_path(  # noqa: PLR0917 - the public package's order
    data_dir: Directory,
    subject: str,
    session: str,
    run: int | str,
    echo: int | str,
    part: str = "mag",
) -> Path:
    """Return the single-band reference of a raw image series."""
    ending = f"echo-{number_of('echo', echo)}_part-{part}_sbref.nii.gz"
    return _raw(data_dir, subject, session, run, ending)


def raw_events_path(data_dir: Directory, subject: str, session: str, run: int | str) -> Path:
    """Return the table of events of a run."""
    return _raw(data_dir, subject, session, run, "events.tsv")
