"""Read the files of an ROI: volumes, surface masks, FreeSurfer labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import BadDataError, CorruptFileError, GridMismatchError
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import as_mask, whole_volume
from laion_fmri.volumes.nifti import check_same_grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.volumes.nifti import Header

__all__ = ["read_label", "read_surface", "read_volumes"]

#: GIFTI's codes for what an array is.
_POINTSET, _TRIANGLE = 1008, 1009
#: Of a label's line: vertex, x, y, z, value.
_LABEL_COLUMNS = 5


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
        bool, shape ``brain.grid``: true where any of the volumes is neither 0 nor NaN.

    Raises
    ------
    GridMismatchError
        If none of the files lies on the grid; it names the one that comes nearest.
    """
    mask = np.zeros(brain.grid, dtype=bool)
    elsewhere: list[tuple[bool, GridMismatchError]] = []
    for path in paths:
        with open_file(path) as reader:
            reader.header.need(3)
            try:
                check_same_grid(reader.header, brain)
            except GridMismatchError as exc:
                elsewhere.append((reader.header.grid == brain.grid, exc))
                continue
            mask |= as_mask(whole_volume(reader))
    if len(elsewhere) == len(paths):
        # A file of another resolution is as it should be; one of the right shape is not.
        raise next((error for like, error in elsewhere if like), elsewhere[0][1])
    return mask


def read_surface(path: Path) -> NDArray[np.bool_]:
    """Read a ``.func.gii`` mask: bool, shape (n_vertices,); true where it is neither 0 nor NaN.

    Raises
    ------
    CorruptFileError
        If the file is not GIFTI, or holds no values.
    BadDataError
        If it is a mesh, or has more than one value a vertex.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        first = image.darrays[0]
        values = np.asarray(first.data)
        intent = int(first.intent)
    except FileNotFoundError:
        raise
    except Exception as exc:
        raise CorruptFileError(str(path), f"cannot be read as GIFTI ({exc})") from exc
    if intent in (_POINTSET, _TRIANGLE):
        raise BadDataError(str(path), "is a mesh (the points or triangles of a surface), no mask")
    if values.size != values.shape[0]:
        problem = f"should be a mask, but its values have the shape {values.shape}"
        raise BadDataError(str(path), problem)
    return as_mask(values.ravel())


def read_label(path: Path) -> NDArray[np.int64]:
    """Read a FreeSurfer ``.label``: vertex numbers, int64, shape (n_label_vertices,).

    Raises
    ------
    CorruptFileError
        If the file is not a FreeSurfer label, or has more or fewer vertices than it says.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.readline()  # a comment
            count = int(file.readline())
            # Trailing blank lines do no harm; a line that is cut does.
            rows = [line.split() for line in file if not line.isspace()]
        vertices = np.array([int(row[0]) for row in rows], dtype=np.int64)
        whole = all(len(row) == _LABEL_COLUMNS for row in rows)
    except (ValueError, IndexError) as exc:
        raise CorruptFileError(str(path), f"cannot be read as a label ({exc})") from exc
    if len(vertices) != count or not whole:
        problem = f"says that it has {count} vertices, but has {len(vertices)} lines"
        raise CorruptFileError(str(path), f"{problem}; fetch it again")
    return vertices
