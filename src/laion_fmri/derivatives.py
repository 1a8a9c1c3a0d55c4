"""Paths of the localizers' maps on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laion_fmri._constants import resolve_subject_id
from laion_fmri._paths import number_of
from laion_fmri.config import chosen_directory
from laion_fmri.errors import DataNotDownloadedError
from laion_fmri.loader.layout import session_id

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = [
    "LOCALIZER_TASKS",
    "VOLUME_RESOLUTIONS",
    "localizer_effect_path",
    "localizer_statmap_path",
]

LOCALIZER_TASKS = ("floc", "oloc", "MotionLeft", "MotionRight", "MotionLoc")
VOLUME_RESOLUTIONS = ("1pt8", "1pt5")


def localizer_statmap_path(  # noqa: PLR0917 - the public package's order
    subject: str,
    task: str,
    contrast: str,
    session: str,
    space: str = "fsnative",
    hemi: str | None = None,
    res: str = "1pt5",
    data_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Return the map of z values of a localizer's contrast.

    Parameters
    ----------
    subject : str
        ``"sub-03"`` or ``"03"``.
    task : str
        One of `LOCALIZER_TASKS`.
    contrast : str
        Such as ``"faceVsOthers"``.
    session : str
        Such as ``"4BarScreenfLoc"``.
    space : str
        ``"fsnative"`` for a surface, ``"T1w"`` for a volume.
    hemi : str, optional
        ``"L"`` or ``"R"``, of a surface.
    res : str
        Of a volume: one of `VOLUME_RESOLUTIONS`.
    data_dir : path, optional
        By default the one that was configured.

    Raises
    ------
    ValueError
        If there can be no such map.
    DataNotDownloadedError
        If it is not here (a ``FileNotFoundError``).
    """
    ending = f"contrast-{contrast}_stat-z_statmap"
    return _present(subject, task, session, f"{_place(task, space, hemi, res)}_{ending}", data_dir)


def localizer_effect_path(  # noqa: PLR0917 - the public package's order
    subject: str,
    task: str,
    condition: str,
    session: str,
    run: int | str,
    space: str = "fsnative",
    hemi: str | None = None,
    res: str = "1pt5",
    data_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Return the map of effects of a condition in one run.

    Parameters
    ----------
    subject, task
        As for `localizer_statmap_path`.
    condition : str
        Such as ``"face"``.
    session : str
        As for `localizer_statmap_path`.
    run : int or str
        Its number.
    space, hemi, res, data_dir
        As for `localizer_statmap_path`.

    Returns
    -------
    pathlib.Path
        The file, which is here.
    """
    if task == "MotionLoc":
        msg = "there are no effects of MotionLoc: take MotionLeft or MotionRight"
        raise ValueError(msg)
    place = _place(task, space, hemi, res)
    number = number_of("run", run, 2)
    ending = f"contrast-{condition}_stat-effect_statmap"
    return _present(subject, task, session, f"_run-{number}{place}_{ending}", data_dir)


def _place(task: str, space: str, hemi: str | None, res: str) -> str:
    """Return the part of a name that tells where its values are."""
    if task not in LOCALIZER_TASKS:
        msg = f"there is no localizer {task!r}. There are {', '.join(LOCALIZER_TASKS)}."
        raise ValueError(msg)
    if space == "fsnative":
        if hemi not in {"L", "R"}:
            msg = f"a map in the space fsnative is of one hemisphere: hemi='L' or 'R', not {hemi!r}"
            raise ValueError(msg)
        return f"_hemi-{hemi}_space-fsnative"
    if space != "T1w":
        msg = f"space must be 'fsnative' or 'T1w', not {space!r}"
        raise ValueError(msg)
    if res not in VOLUME_RESOLUTIONS:
        msg = f"res must be one of {', '.join(VOLUME_RESOLUTIONS)}, not {res!r}"
        raise ValueError(msg)
    return f"_space-T1w_res-{res}"


def _present(
    subject: str,
    task: str,
    session: str,
    rest: str,
    data_dir: str | os.PathLike[str] | None,
) -> Path:
    name, session = resolve_subject_id(subject), session_id(session)
    extension = "func.gii" if "_space-fsnative_" in rest else "nii.gz"
    root = chosen_directory(data_dir)
    folder = root / "derivatives" / "localizers" / name / session / "func"
    path = folder / f"{name}_{session}_task-{task}{rest}.{extension}"
    if not path.is_file():
        msg = (
            f"{path} does not exist. The contrasts that are here are in the names of the files of "
            f'{folder}; download(subject="{name}", include_localizers=True) brings them all.'
        )
        raise DataNotDownloadedError(msg)
    return path
