"""Which brain mask is meant: the anatomical one, or where the mean R² is not 0."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Literal, cast

from laion_fmri.loader.layout import how_to_get
from laion_fmri.volumes.brain_mask import read_brain

if TYPE_CHECKING:
    from laion_fmri.loader.layout import Layout
    from laion_fmri.volumes.brain_mask import Brain

    MaskSource = Literal["anatomical", "rsquare"]

__all__ = ["MASK_SOURCE", "brain_of", "checked_source", "outside"]

_SOURCES = ("anatomical", "rsquare")
#: The grid of the functional data.
_RES = "1pt8"


class _Unasked(str):
    """A default that can be told from the same text given by a caller."""

    __slots__ = ()


MASK_SOURCE: MaskSource = cast("MaskSource", _Unasked("anatomical"))
"""The brain mask where none is asked for."""


def checked_source(source: object) -> MaskSource:
    """Return the name of a brain mask, or say which there are."""
    if source not in _SOURCES:
        raise ValueError(f"mask_source={source!r}: expected 'anatomical' or 'rsquare'.")
    return cast("MaskSource", source)


def brain_of(layout: Layout, source: MaskSource = MASK_SOURCE, res: str | None = _RES) -> Brain:
    """Return a brain mask of a subject.

    Parameters
    ----------
    layout : Layout
    source : {"anatomical", "rsquare"}
    res : str or None
        Of the anatomical mask; None: full resolution, a grid that no other result is on.

    Raises
    ------
    DataNotDownloadedError
        If its file is not on disk.
    ValueError
        If there is no such mask.

    Warns
    -----
    UserWarning
        If none was asked for, and the anatomical mask is not on disk, but the mean-R² map is: data
        directories of older versions have only that. Its mask is taken then.
    """
    if checked_source(source) == "rsquare":
        return read_brain(layout.mean_rsquare(), "rsquare")
    if isinstance(source, _Unasked) and res == _RES and _only_rsquare(layout):
        warnings.warn(
            f"The anatomical brain mask of {layout.subject} is not in {layout.data_dir}, so its "
            "mean-R² map gives the voxels (mask_source='rsquare'); others have those of the "
            "anatomical mask. Ask for one of them by mask_source, or fetch the anatomical one:\n"
            + how_to_get(layout.data_dir, layout.subject, ses="averages", include_anatomical=True),
            stacklevel=outside(),
        )
        return read_brain(layout.mean_rsquare(), "rsquare")
    return read_brain(layout.anatomical("mask", res, "brain"), "anatomical")


def _only_rsquare(layout: Layout) -> bool:
    anatomical = layout.anatomical_path("mask", _RES, "brain")
    plain = anatomical.with_name(anatomical.name.removesuffix(".gz"))
    return not (os.path.lexists(anatomical) or os.path.lexists(plain)) and layout.has_mean_rsquare()


def outside() -> int:
    """Return the stack level of the caller of this package, seen from the caller of this."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        "laion_fmri."
    ):
        level, frame = level + 1, frame.f_back
    return level
