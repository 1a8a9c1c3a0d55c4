"""A picture of a session: mean R², noise ceiling and mean beta, with the outlines of ROIs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import laion_fmri.volumes  # noqa: F401 - names the extra where numpy is missing

# isort: split
import numpy as np

from laion_fmri._names import also_named
from laion_fmri.errors import NotFiniteError
from laion_fmri.loader.layout import session_id
from laion_fmri.loader.voxels import read_map
from laion_fmri.subject import load_subject
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import forward_pass
from laion_fmri.volumes.nifti import check_same_grid
from neurofetch.extras import need
from neurofetch.pictures.looks import Look, limits, look_of
from neurofetch.pictures.places import origin_of
from neurofetch.pictures.targets import checked_target

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from laion_fmri.subject import Subject
    from laion_fmri.volumes.brain_mask import Brain

__all__ = ["show"]

_CUTS = 6


class _Row(NamedTuple):
    """One row of slices."""

    title: str
    values: NDArray[np.float32]
    look: Look
    path: Path


@also_named(ses="session", sub="subject")
def show(
    subject: str,
    session: str,
    roi: str | Iterable[str] | None = None,
    out: str | os.PathLike[str] = "laion-fmri.png",
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Draw a session of a subject.

    Three rows of axial slices: the mean R² over sessions, the session's noise ceiling, and the mean
    of its single-trial betas. Slices go through the ROIs, or through the brain where there is none.

    Parameters
    ----------
    subject, session : str
        ``"sub-03"`` or ``"03"``, ``"ses-01"`` or ``"01"``.
    roi : str or list of str, optional
        ROIs to outline, as in `laion_fmri.subject.Subject.get_roi_mask`; default: each category on
        disk, as one outline.
    out : str or path
        The picture; the suffix sets the format (``.png``, ``.svg``, ``.pdf``, or ``.html`` for a
        page that needs no network).
    data_dir : str or path, optional
        Default: the configured directory.

    Returns
    -------
    pathlib.Path
        Where the picture is.

    Raises
    ------
    MissingExtraError
        If nilearn or matplotlib is not installed (an ``ImportError``):
        ``pip install 'neurofetch[plot]'``.
    DataNotDownloadedError
        If a map is not on disk; the message has the call that brings it.
    UnknownRoiError
        If there is no such ROI.
    NotFiniteError
        If a map has no value in the brain.
    UsageError
        If the name of the picture does not end in a format that can be drawn.
    """
    need("drawing", "plot")
    target = _checked_target(Path(out))
    sub = load_subject(subject, data_dir=data_dir)
    token = session_id(session)
    outlines = _outlines(sub, roi)
    rows = _rows(sub, token)
    _draw(sub, token, rows, outlines, target)
    return target


def _checked_target(path: Path) -> Path:
    """Return the path of the picture, or raise an error now, before any file is read."""
    if not path.parent.is_dir() and path.suffix:
        raise FileNotFoundError(
            f"{path.parent} is no folder; make it first, then draw {path.name}."
        )
    return checked_target(path)


def _outlines(sub: Subject, roi: str | Iterable[str] | None) -> dict[str, NDArray[np.bool_]]:
    """Return the masks to outline, by what the legend calls them."""
    if roi is not None:
        return sub.get_roi_masks(roi)
    names = sub.get_available_categories() or sub.get_available_rois()
    return {name: sub.get_roi_mask(name) for name in names}


def _rows(sub: Subject, session: str) -> list[_Row]:
    brain, layout = sub.brain, sub.layout
    trials = len(sub.get_trial_info(session))
    ceiling = _drawable(read_map(path := layout.noise_ceiling(session), brain), path)
    rsquare = _drawable(read_map(path := layout.mean_rsquare(), brain), path)
    beta = _drawable(_mean_beta(path := layout.betas(session), brain), path)
    several = [
        ("mean R² of all sessions", rsquare, layout.mean_rsquare()),
        ("noise ceiling", ceiling, layout.noise_ceiling(session)),
        (f"mean of {trials} single-trial betas", beta, layout.betas(session)),
    ]
    return [_Row(title, values, look_of(path.name), path) for title, values, path in several]


def _drawable(values: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    if not np.isfinite(values).any():
        raise NotFiniteError(str(path), "nothing to draw: NaN everywhere in the brain mask")
    return values


def _mean_beta(path: Path, brain: Brain) -> NDArray[np.float32]:
    """Return the mean over trials, in memory for two volumes."""
    with open_file(path) as reader:
        reader.header.need(4)
        check_same_grid(reader.header, brain.header)
        row = np.empty(len(brain), dtype=np.float32)
        total = np.zeros(len(brain))
        for _ in forward_pass(reader, brain.voxels, lambda _: row, finite=False):
            total += row
        return (total / reader.header.volumes).astype(np.float32)


def _cuts(sub: Subject, outlines: dict[str, NDArray[np.bool_]]) -> list[float]:
    """Return heights of axial slices: through the outlines where there are any."""
    z = sub.get_voxel_coordinates()[:, 2]
    inside = np.any(list(outlines.values()), axis=0) if outlines else np.ones(len(z), dtype=bool)
    heights = z[inside] if inside.any() else z
    low, high = np.percentile(heights, [8, 92] if outlines else [12, 90])
    step = abs(float(sub.brain.header.affine[2, 2])) or 1.0
    spread = max(high - low, step * (_CUTS - 1))
    middle = (low + high) / 2
    return [float(cut) for cut in np.linspace(middle - spread / 2, middle + spread / 2, _CUTS)]


def _draw(
    sub: Subject,
    session: str,
    rows: list[_Row],
    outlines: dict[str, NDArray[np.bool_]],
    target: Path,
) -> None:
    """Draw rows of slices, one below the other, and write the picture."""
    from neurofetch.pictures.drawing import QUIET, Panel, bar, figure, legend, say, slices
    from neurofetch.pictures.outputs import Words, save

    cuts = _cuts(sub, outlines)
    lines = _lines(sub, outlines)
    fig = figure(2.0 * _CUTS + 1.3, 8.4)
    title = f"{sub.subject_id} · {session}"
    say(fig, 0.015, 0.985, title, size=16, weight="bold")
    legend(fig, lines, (0.16, 0.998), ncols=min(len(lines), 8), fontsize=10)
    for number, row in enumerate(rows):
        low, high = _limits(row)
        bottom = 0.665 - number * 0.305
        what = Panel(sub.to_nifti(np.nan_to_num(row.values)), row.look, low, high, outlines=lines)
        say(fig, 0.015, bottom + 0.256, row.title, size=11)
        slices(fig, (0.01, bottom, 0.89, 0.235), what, cuts, size=9)
        bar(fig, (0.92, bottom + 0.025, 0.011, 0.19), what)
    origin = origin_of(sub.data_dir)
    below = f"L is the left of the head · {origin.told}" if origin.told else "L is the left"
    say(fig, 0.015, 0.022, below, size=8, color=QUIET)
    names = ", ".join(outlines)
    described = f"Axial slices of {title}: {', '.join(row.title for row in rows)}"
    described += f"; outlines of {names}" if names else ""
    files = [
        {"file": origin.name_in(row.path), "what it is": row.title, "unit": row.look.unit}
        for row in rows
    ]
    save(fig, target, Words(title, described, files, [origin.told] if origin.told else []))


def _lines(sub: Subject, outlines: dict[str, NDArray[np.bool_]]) -> list[Any]:
    """Return what is outlined; each keeps its colour when others have no voxel."""
    from neurofetch.pictures.drawing import Outline

    return [
        Outline(name, sub.to_nifti(mask.astype(np.float32)), number)
        for number, (name, mask) in enumerate(outlines.items())
        if mask.any()
    ]


def _limits(row: _Row) -> tuple[float, float]:
    finite = row.values[np.isfinite(row.values)]
    if row.look.symmetric:
        reach = float(np.percentile(np.abs(finite), row.look.percentile))
        return limits(row.look, -reach, reach)
    low, high = np.percentile(finite, [100 - row.look.percentile, row.look.percentile])
    return limits(row.look, float(low), float(high))
