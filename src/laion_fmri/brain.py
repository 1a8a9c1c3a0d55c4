"""From voxel values to NIfTI images, and from voxels to scanner coordinates.

For the voxels of a subject, `laion_fmri.subject.Subject.to_nifti` and ``get_voxel_coordinates`` are
shorter. These functions are for masks of your own.
"""

from __future__ import annotations

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

__all__ = ["brain_mask", "volume_image", "voxel_coordinates", "write_image"]


def brain_mask(path: str | os.PathLike[str]) -> NDArray[np.bool_]:
    """Return where a mean-R² map is above 0; NaN is not brain.

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
        If no voxel is above 0, or the file is damaged or not 3-D.
    """
    return read_brain(Path(path)).flat()


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
