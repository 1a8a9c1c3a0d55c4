"""From voxel values to NIfTI images, and from voxels to scanner coordinates.

For the voxels of a subject, `laion_fmri.subject.Subject.to_nifti` and ``get_voxel_coordinates`` are
shorter. These functions are for masks of your own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import laion_fmri.volumes  # noqa: F401 - names the extra where numpy is missing

# isort: split
import numpy as np

from laion_fmri.volumes.brain_mask import read_brain, voxel_coordinates
from neurofetch.store.atomic import replacing

if TYPE_CHECKING:
    import os

    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

    from laion_fmri.volumes.masking import Voxels
    from laion_fmri.volumes.nifti import Header

__all__ = [
    "brain_mask",
    "get_voxel_coordinates",
    "to_nifti",
    "volume_image",
    "voxel_coordinates",
    "write_image",
]


def brain_mask(path: str | os.PathLike[str]) -> NDArray[np.bool_]:
    """Return where a brain mask, or a mean-R² map, is neither 0 nor NaN.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    numpy.ndarray
        bool, shape (n_total_voxels,), in the order of a C-order ravel of the grid.

    Raises
    ------
    BadDataError
        If every voxel is 0 or NaN, or the file is damaged or not 3-D.
    """
    return read_brain(Path(path)).flat()


def to_nifti(  # noqa: PLR0917 - the public package's order
    values: NDArray[Any],
    output_path: str | os.PathLike[str],
    brain_mask_path: str | os.PathLike[str],
    affine: NDArray[Any] | None = None,
    roi_mask: NDArray[np.bool_] | None = None,
    custom_mask: NDArray[np.bool_] | None = None,
) -> None:
    """Write voxel values as a NIfTI file; 0 elsewhere.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (n_voxels,), or (n_volumes, n_voxels) for a 4-D file.
    output_path : str or path
        ``.nii`` or ``.nii.gz``; the file appears complete, or not at all.
    brain_mask_path : str or path
        The file whose voxels the values are of: see `brain_mask`.
    affine : numpy.ndarray, optional
        Of the result, shape (4, 4); default: that of `brain_mask_path`.
    roi_mask, custom_mask : numpy.ndarray, optional
        bool over the voxels of the brain: those that the values are of. The first one wins.

    Raises
    ------
    ValueError
        If the number of values is not the number of voxels, or a mask is not over the brain.
    """
    brain = read_brain(Path(brain_mask_path))
    header = brain.header if affine is None else replace(brain.header, affine=_checked(affine))
    part = brain.part(_columns(len(brain), roi_mask, custom_mask))
    write_image(volume_image(values, part, header), Path(output_path))


def get_voxel_coordinates(
    brain_mask_path: str | os.PathLike[str],
    affine: NDArray[Any] | None = None,
    roi_mask: NDArray[np.bool_] | None = None,
    custom_mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the coordinates of voxels; arguments as in `to_nifti`.

    Returns
    -------
    numpy.ndarray
        float64, shape (n_voxels, 3), in millimetres: the affine applied to voxel indices.
    """
    brain = read_brain(Path(brain_mask_path))
    header = brain.header if affine is None else replace(brain.header, affine=_checked(affine))
    return voxel_coordinates(brain.part(_columns(len(brain), roi_mask, custom_mask)), header)


def _checked(affine: NDArray[Any]) -> NDArray[np.float64]:
    array = np.asarray(affine, dtype=np.float64)
    if array.shape != (4, 4):
        raise ValueError(f"affine has the shape {array.shape}; expected (4, 4).")
    return array


def _columns(
    voxels: int, roi_mask: NDArray[np.bool_] | None, custom_mask: NDArray[np.bool_] | None
) -> NDArray[np.intp] | None:
    mask = custom_mask if roi_mask is None else roi_mask
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.shape != (voxels,) or array.dtype != bool:
        raise ValueError(
            f"the mask has the shape {array.shape} and type {array.dtype}; expected bool, "
            f"({voxels},): one value for each voxel of the brain."
        )
    return np.flatnonzero(array)


def volume_image(values: NDArray[Any], voxels: Voxels, header: Header) -> Nifti1Image:
    """Put values on the grid, 0 elsewhere.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (n_voxels,) or (n_volumes, n_voxels).
    voxels : Voxels
    header : Header
        Gives the affine.

    Returns
    -------
    nibabel.Nifti1Image
        float32, 3-D or 4-D.

    Raises
    ------
    ValueError
        If there are not as many values as voxels.
    """
    from nibabel.nifti1 import Nifti1Image

    array = np.asarray(values, dtype=np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] != len(voxels):
        raise ValueError(
            f"values have the shape {array.shape}; expected ({len(voxels)},), one for each voxel "
            f"chosen, or (n_volumes, {len(voxels)})."
        )
    volume = np.zeros((header.voxels, *array.shape[:-1]), dtype=np.float32)
    volume[voxels.indices] = array.T
    make: Any = Nifti1Image
    image: Nifti1Image = make(volume.reshape(*header.grid, *array.shape[:-1]), header.affine)
    image.header.set_xyzt_units("mm")
    return image


def write_image(image: Nifti1Image, path: Path) -> Path:
    """Write an image; the file appears complete, or not at all.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    ValueError
        If the name ends in neither ``.nii`` nor ``.nii.gz``.
    FileNotFoundError
        If its folder does not exist.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: expected a name that ends in .nii or .nii.gz.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent} is no folder; make it first, then write {path.name}."
        )
    save: Any = image.to_filename
    with replacing(path) as temporary:
        save(temporary)
    rename: Any = image.set_filename  # it has the name of the temporary file
    rename(path)
    return path
