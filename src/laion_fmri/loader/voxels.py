"""Which voxels of the brain mask are meant: by ROI, by a mask, by noise ceiling."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import GridMismatchError
from laion_fmri.loader.rois import Rois
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import masked
from laion_fmri.volumes.nifti import check_same_grid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.loader.layout import Layout
    from laion_fmri.loader.rois import RoiQuery
    from laion_fmri.volumes.brain_mask import Brain

__all__ = ["check_source", "read_map", "voxel_columns"]

_PERCENT = 100


def voxel_columns(
    layout: Layout,
    brain: Brain,
    *,
    roi: RoiQuery | None = None,
    mask: NDArray[Any] | None = None,
    nc_threshold: float | None = None,
    session: str = "",
) -> NDArray[np.intp] | None:
    """Return the positions of voxels in the brain mask, ascending; None for all voxels.

    Parameters
    ----------
    layout : Layout
    brain : Brain
    roi, mask, nc_threshold
        As in `laion_fmri.subject.Subject.get_betas`.
    session : str
        Full form; its noise ceiling is the one that `nc_threshold` is compared with.

    Raises
    ------
    ValueError
        If both `roi` and `mask` are given, the mask does not fit the brain, or the threshold
        cannot be percent.
    TypeError
        If the threshold is not a number.
    """
    if roi is not None and mask is not None:
        raise ValueError(
            "roi and mask are mutually exclusive: combine get_roi_mask(...) with yours."
        )
    chosen = None
    if roi is not None:
        chosen = Rois(layout).on(brain, roi)
    if mask is not None:
        chosen = _checked_mask(mask, brain)
    if nc_threshold is not None:
        threshold = _checked_threshold(nc_threshold)
        above = read_map(layout.noise_ceiling(session), brain) >= threshold  # NaN is below
        chosen = above if chosen is None else chosen & above
    return None if chosen is None else np.flatnonzero(chosen)


def check_source(values: object, brain: Brain, what: str) -> None:
    """Raise `GridMismatchError` if values say that they are of another brain mask."""
    source = getattr(values, "mask_source", None)
    if source not in (None, brain.source):
        raise GridMismatchError(
            str(brain.path),
            f"gives the brain mask {brain.source!r}, but {what} is over the voxels of "
            f"{source!r}: pass mask_source={source!r} here, or {brain.source!r} where it was made",
        )


def _checked_mask(mask: NDArray[Any], brain: Brain) -> NDArray[np.bool_]:
    """Return a caller's mask as bool, or say what is wrong with it."""
    check_source(mask, brain, "the mask")
    array = np.asarray(mask)
    if array.shape != (len(brain),):
        hint = ""
        if array.size == brain.header.voxels:
            hint = " It covers the whole grid: take mask.ravel()[sub.get_brain_mask()]."
        raise ValueError(
            f"mask has the shape {array.shape}; expected ({len(brain)},), one value for each voxel "
            f"of the brain mask {brain.source!r} from {brain.path}.{hint}"
        )
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        kind = (
            "NaN" if array.dtype.kind == "f" and np.isnan(array).any() else f"{array.dtype} values"
        )
        raise ValueError(f"mask holds {kind}; expected True and False (or 1 and 0) only.")
    return array.astype(bool)


def _checked_threshold(value: object) -> float:
    """Return a noise-ceiling threshold as a float, or say what is wrong with it."""
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"nc_threshold={value!r}: expected a number, in percent (0 to 100).")
    number = float(value)
    if not 0 <= number <= _PERCENT:
        raise ValueError(
            f"nc_threshold={value!r} cannot be a noise ceiling in percent: expected 0 to 100."
        )
    if 0 < number < 1:
        _tell_fraction(number)
    return number


@cache
def _tell_fraction(number: float) -> None:
    """Say once that a threshold that looks like a fraction is percent.

    In the log, and no Python warning: the owners' own examples have such a threshold.
    """
    logging.getLogger(__name__).warning(
        "nc_threshold=%g means %g percent, in the unit of the maps; a fraction of %g would be "
        "nc_threshold=%g",
        number,
        number,
        number,
        100 * number,
    )


def read_map(path: Path, brain: Brain) -> NDArray[np.float32]:
    """Return a 3-D map inside the brain mask, shape (n_voxels,) float32; NaN stays NaN."""
    with open_file(path) as reader:
        reader.header.need(3)
        check_same_grid(reader.header, brain.header)
        values: NDArray[np.float32] = masked(reader, brain.voxels, finite=False)[0]
    return values
