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
from neurofetch.errors import UsageError
from neurofetch.extras import need

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from laion_fmri.subject import Subject
    from laion_fmri.volumes.brain_mask import Brain

__all__ = ["show"]

_CUTS = 6
#: Smaller values stay black: the outside of the brain.
_NOTHING = 1e-6
#: Of outlines; each is drawn on a wider black line, so that it is visible on bright colours too.
_COLOURS = ("#56B4E9", "#5CFF8A", "#FFFFFF", "#FF77C8", "#E69F00", "#D55E00", "#F0E442", "#0072B2")


class _Row(NamedTuple):
    """One row of slices."""

    title: str
    values: NDArray[np.float32]
    colours: str
    symmetric: bool
    unit: str


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
        The picture; the suffix sets the format (``.png``, ``.pdf``, ``.svg``).
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
    plotting, plt = _libraries()
    target = _checked_target(Path(out))
    sub = load_subject(subject, data_dir=data_dir)
    token = session_id(session)
    outlines = _outlines(sub, roi)
    rows = _rows(sub, token)
    cuts = _cuts(sub, outlines)
    with plt.style.context("dark_background"):
        figure = plt.figure(figsize=(2.1 * _CUTS + 1.2, 8.2), facecolor="black")
        try:
            for number, row in enumerate(rows):
                display = _draw(plotting, figure, number, row, sub, cuts)
                _outline(display, sub, outlines)
            _legend(plt, figure, outlines)
            title = f"{sub.subject_id}   {token}"
            figure.text(0.012, 0.985, title, size=16, weight="bold", va="top", color="white")
            figure.savefig(target, dpi=110, facecolor="black")
        finally:
            plt.close(figure)
    return target


def _libraries() -> tuple[Any, Any]:
    need("drawing", "plot")
    import matplotlib.pyplot as plt
    from nilearn import plotting

    return plotting, plt


def _checked_target(path: Path) -> Path:
    """Return the path of the picture, or raise an error now, before any file is read."""
    from matplotlib.backend_bases import FigureCanvasBase

    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().lstrip(".") not in formats:
        raise UsageError(f"{path}: expected a name that ends in one of .{', .'.join(formats)}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent} is no folder; make it first, then draw {path.name}."
        )
    return path


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
    return [
        _Row("mean R² of all sessions", rsquare, "inferno", symmetric=False, unit="%"),
        _Row("noise ceiling", ceiling, "viridis", symmetric=False, unit="%"),
        _Row(f"mean of {trials} betas", beta, "cold_hot", symmetric=True, unit="beta"),
    ]


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


def _draw(  # noqa: PLR0917 - the parts of a picture
    plotting: Any,
    figure: Any,
    number: int,
    row: _Row,
    sub: Subject,
    cuts: list[float],
) -> Any:
    low, high = _limits(row)
    bottom = 0.64 - number * 0.315
    axes = figure.add_axes((0.01, bottom, 0.89, 0.275))
    values = np.nan_to_num(row.values, nan=0.0)
    display = plotting.plot_img(
        sub.to_nifti(values),
        display_mode="z",
        cut_coords=cuts,
        axes=axes,
        cmap=row.colours,
        vmin=low,
        vmax=high,
        colorbar=False,
        black_bg=True,
        annotate=True,
        threshold=_NOTHING,
    )
    figure.text(0.012, bottom + 0.278, row.title, size=12, va="bottom", color="white")
    _bar(figure, (0.915, bottom + 0.03, 0.012, 0.21), row, low, high)
    return display


def _outline(display: Any, sub: Subject, outlines: dict[str, NDArray[np.bool_]]) -> None:
    for index, mask in enumerate(outlines.values()):
        if mask.any():
            image = sub.to_nifti(mask.astype(np.float32))
            colour = _COLOURS[index % len(_COLOURS)]
            for line, width in (("black", 3.2), (colour, 1.5)):
                display.add_contours(image, levels=[0.5], colors=[line], linewidths=width)


def _limits(row: _Row) -> tuple[float, float]:
    finite = row.values[np.isfinite(row.values)]
    if row.symmetric:
        reach = float(np.percentile(np.abs(finite), 99)) or 1.0
        return -reach, reach
    return 0.0, float(np.percentile(finite, 99.5)) or 1.0


def _bar(figure: Any, place: tuple[float, ...], row: _Row, low: float, high: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(low, high), row.colours)
    bar = figure.colorbar(scale, cax=figure.add_axes(place))
    bar.set_label(row.unit, color="white", size=10)
    bar.ax.tick_params(labelsize=9, colors="white")


def _legend(plt: Any, figure: Any, outlines: dict[str, NDArray[np.bool_]]) -> None:
    handles = [
        plt.Line2D([0], [0], color=_COLOURS[index % len(_COLOURS)], lw=2.5, label=name)
        for index, (name, mask) in enumerate(outlines.items())
        if mask.any()
    ]
    if handles:
        figure.legend(
            handles=handles[:12],
            loc="upper right",
            ncols=min(len(handles), 8),
            frameon=False,
            fontsize=10,
            bbox_to_anchor=(0.995, 0.998),
        )
