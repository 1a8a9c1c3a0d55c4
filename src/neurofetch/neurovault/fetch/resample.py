"""Resample volumes as nilearn does, with nilearn's own function; it is an extra."""

from __future__ import annotations

import gzip
import warnings
from typing import TYPE_CHECKING, Any

from neurofetch.errors import NeurofetchError
from neurofetch.extras import need
from neurofetch.neurovault.cache.volume_check import read_volume

if TYPE_CHECKING:
    import os

__all__ = ["ResamplingError", "check_resampling", "resampled_bytes"]

# Voxels of 3 mm in the box of the MNI template: what nilearn resamples NeuroVault's images to.
_GRID = ((3, 0, 0, -90), (0, 3, 0, -126), (0, 0, 3, -72), (0, 0, 0, 1))
_PACK = 1  # gzip level: resampling takes far longer than packing
_LARGEST = 512
"""Voxels along an edge of a resampled volume, at most: a metre and a half."""


class ResamplingError(NeurofetchError, ValueError):
    """A volume, whole as it is, that cannot be resampled to voxels of 3 mm."""


def check_resampling() -> None:
    """See that nilearn is installed.

    Raises
    ------
    MissingExtraError
        If it is not; it names the extra.
    """
    need("resample=True", "resample")


def resampled_bytes(source: str | os.PathLike[str], interpolation: str) -> bytes:
    """Return a volume resampled to voxels of 3 mm, gzipped.

    Parameters
    ----------
    source : path-like
        A whole volume, gzipped or not, whatever its name.
    interpolation : {"continuous", "linear", "nearest"}

    Raises
    ------
    ResamplingError
        When that cannot be done: colours, two dimensions, an affine that has no inverse or that
        makes a metre of a brain.
    """
    import nibabel as nib  # noqa: PLC0415 - comes with nilearn
    import numpy as np  # noqa: PLC0415
    from nilearn.image import resample_img  # noqa: PLC0415 - an extra

    plain = read_volume(source)
    grid = np.array(_GRID, dtype=float)
    try:
        second = nib.Nifti2Header.may_contain_header(plain)
        image = (nib.Nifti2Image if second else nib.Nifti1Image).from_bytes(plain)
        _check(image, grid)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # of NaN and infinity
            resampled = resample_img(image, target_affine=grid, interpolation=interpolation)
        content = resampled.to_bytes()
    except ResamplingError:
        raise
    except Exception as exc:  # whatever the libraries raise, it is this one volume's
        raise ResamplingError(_message(" ".join(str(exc).split()) or type(exc).__name__)) from exc
    return gzip.compress(content, _PACK, mtime=0)


def _check(image: Any, grid: Any) -> None:
    """See that a volume has three dimensions of numbers, at a size and place that a head may have.

    Raises
    ------
    ResamplingError
    """
    import numpy as np  # noqa: PLC0415 - comes with nilearn

    if image.get_data_dtype().names:
        raise ResamplingError(_message("its voxels are colours, not numbers"))
    if len(image.shape) < 3:
        raise ResamplingError(_message(f"it has {len(image.shape)} dimensions, not three"))
    affine = image.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ResamplingError(_message("its affine has no inverse"))
    ends = [[0, size - 1] for size in image.shape[:3]]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1)
    places = affine[:3, :3] @ corners + affine[:3, 3:]
    edge = (np.linalg.inv(grid[:3, :3]) @ (places - grid[:3, 3:])).max()
    if edge > _LARGEST:
        metres = edge * grid[0, 0] / 1000
        raise ResamplingError(_message(f"by its affine it reaches {metres:,.1f} m"))


def _message(why: str) -> str:
    return f"cannot be resampled: {why}. Without resample=True it comes as it is"
