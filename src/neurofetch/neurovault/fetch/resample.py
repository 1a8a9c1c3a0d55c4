"""Resample volumes as nilearn does, with nilearn's own function; it is an extra."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from neurofetch.extras import need

if TYPE_CHECKING:
    import os

__all__ = ["check_resampling", "resampled_bytes"]

# Voxels of 3 mm in the box of the MNI template: what nilearn resamples NeuroVault's images to.
_GRID = ((3, 0, 0, -90), (0, 3, 0, -126), (0, 0, 3, -72), (0, 0, 0, 1))
_PACK = 1  # gzip level: resampling takes far longer than packing


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
    """
    import nibabel as nib  # noqa: PLC0415 - comes with nilearn
    import numpy as np  # noqa: PLC0415
    from nilearn.image import resample_img  # noqa: PLC0415 - an extra

    with open(source, "rb") as file:
        plain = file.read()
    if plain.startswith(b"\x1f\x8b"):
        plain = gzip.decompress(plain)
    second = nib.Nifti2Header.may_contain_header(plain)
    image = (nib.Nifti2Image if second else nib.Nifti1Image).from_bytes(plain)
    resampled = resample_img(
        image, target_affine=np.array(_GRID, dtype=float), interpolation=interpolation
    )
    return gzip.compress(resampled.to_bytes(), _PACK, mtime=0)
