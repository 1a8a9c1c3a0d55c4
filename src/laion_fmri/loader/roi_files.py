"""ROI files as they are: volumes, surface masks, FreeSurfer labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import BadDataError, CorruptFileError, NotFiniteError
from laion_fmri.loader.rois import roi_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.loader.voxels import Selection

__all__ = ["read_label", "read_surface", "roi_data"]

_FORMATS = {
    "volume": "volume",
    "nii.gz": "volume",
    "surface": "surface",
    "func.gii": "surface",
    "gii": "surface",
    "label": "label",
}


def roi_data(select: Selection, name: str, format: str, hemi: str | None) -> Any:  # noqa: A002
    """Return one ROI in one format; see `laion_fmri.subject.Subject.get_roi_data`."""
    kind = _FORMATS.get(format.lstrip("."))
    if kind is None:
        raise ValueError(f"format={format!r}: expected 'volume', 'surface' or 'label'.")
    if hemi not in (None, "L", "R"):
        raise ValueError(f"hemi={hemi!r}: expected 'L', 'R', or None for both.")
    if kind == "volume":
        if hemi is not None:
            raise ValueError("hemi goes with format='surface' or 'label': volumes have both.")
        return roi_volume(select.rois.of(name, "volume"), select.brain.header)
    files = select.rois.of(name, "surface" if kind == "surface" else "label")
    read: Callable[[Path], Any] = read_surface if kind == "surface" else read_label
    if hemi is None:
        return {file.hemi: read(file.path) for file in files}
    of_hemi = [file for file in files if file.hemi == hemi]
    if not of_hemi:
        raise BadDataError(str(files[0].path.parent), f"{name} has no {kind} for hemisphere {hemi}")
    return read(of_hemi[0].path)


def read_surface(path: Path) -> NDArray[np.bool_]:
    """Read a ``.func.gii`` mask: bool, shape (n_vertices,).

    Raises
    ------
    CorruptFileError
        If the file is no GIFTI, or holds no values.
    NotFiniteError
        If it holds NaN.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        values = np.asarray(image.darrays[0].data)
    except Exception as exc:
        raise CorruptFileError(str(path), f"cannot be read as GIFTI ({exc})") from exc
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise NotFiniteError(str(path), "is to be a mask, but some of its vertices are NaN")
    mask: NDArray[np.bool_] = values != 0
    return mask


def read_label(path: Path) -> NDArray[np.int64]:
    """Read a FreeSurfer ``.label``: vertex numbers, int64, shape (n_label_vertices,).

    Raises
    ------
    CorruptFileError
        If the file is no label.
    """
    from nibabel.freesurfer import io as freesurfer

    reader: Any = freesurfer.read_label
    try:
        return np.asarray(reader(path), dtype=np.int64).reshape(-1)
    except Exception as exc:
        raise CorruptFileError(str(path), f"cannot be read as a label ({exc})") from exc
