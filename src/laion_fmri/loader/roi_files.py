"""Read the files of an ROI: volumes, surface masks, FreeSurfer labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import CorruptFileError, GridMismatchError
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import as_mask, whole_volume
from laion_fmri.volumes.nifti import check_same_grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.volumes.nifti import Header

__all__ = ["read_label", "read_surface", "read_volumes"]


def read_volumes(paths: Sequence[Path], brain: Header) -> NDArray[np.bool_]:
    """Read an ROI as a mask over the grid of the brain mask.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The volumes of one ROI, of any resolution. Those on the grid are used; the others are not.
    brain : Header
        Header of the file that the brain mask comes from.

    Returns
    -------
    numpy.ndarray
        bool, shape ``brain.grid``: true where any of the volumes is not 0.

    Raises
    ------
    GridMismatchError
        If none of the files lies on the grid.
    NotFiniteError
        If a file holds NaN.
    """
    mask = np.zeros(brain.grid, dtype=bool)
    elsewhere: list[GridMismatchError] = []
    for path in paths:
        with open_file(path) as reader:
            reader.header.need(3)
            try:
                check_same_grid(reader.header, brain)
            except GridMismatchError as exc:
                elsewhere.append(exc)
                continue
            mask |= as_mask(whole_volume(reader), path)
    if len(elsewhere) == len(paths):
        raise elsewhere[0]
    return mask


def read_surface(path: Path) -> NDArray[np.bool_]:
    """Read a ``.func.gii`` mask: bool, shape (n_vertices,).

    Raises
    ------
    CorruptFileError
        If the file is not GIFTI, or holds no values.
    NotFiniteError
        If it holds NaN.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        values = np.asarray(image.darrays[0].data)
    except Exception as exc:
        raise CorruptFileError(str(path), f"cannot be read as GIFTI ({exc})") from exc
    return as_mask(values, path, "vertices")


def read_label(path: Path) -> NDArray[np.int64]:
    """Read a FreeSurfer ``.label``: vertex numbers, int64, shape (n_label_vertices,).

    Raises
    ------
    CorruptFileError
        If the file is not a FreeSurfer label.
    """
    from nibabel.freesurfer import io as freesurfer

    reader: Any = freesurfer.read_label
    try:
        return np.asarray(reader(path), dtype=np.int64).reshape(-1)
    except Exception as exc:
        raise CorruptFileError(str(path), f"cannot be read as a label ({exc})") from exc
