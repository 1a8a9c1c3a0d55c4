"""Small volumes that look like statistical maps of a brain, made from a seed."""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# An ellipsoid around the brain of the MNI template: centre and semi-axes in mm.
CENTRE = np.array([0.0, -18.0, 10.0])
RADII = np.array([68.0, 88.0, 62.0])
# The corner voxel and the extent of the template's usual bounding box, in mm.
CORNER = np.array([-90.0, -126.0, -72.0])
EXTENT = np.array([180.0, 216.0, 180.0])


@functools.lru_cache(maxsize=64)
def brain_map(seed: int, voxel_mm: float = 4.0) -> bytes:
    """Return the bytes of an uncompressed NIfTI-1 volume of T values.

    Values are float32, zero outside the brain; the affine is that of the MNI box.
    """
    image = nib.Nifti1Image(_values(seed, voxel_mm), _affine(voxel_mm))
    image.header.set_intent("t test", (20,))
    image.header["descrip"] = f"seed {seed}".encode()
    return bytes(image.to_bytes())


@functools.lru_cache(maxsize=64)
def brain_map_gz(seed: int, voxel_mm: float = 4.0) -> bytes:
    """Return :func:`brain_map` as one gzip member, the same bytes on each run."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(brain_map(seed, voxel_mm)) + packer.flush()


def _affine(voxel_mm: float) -> npt.NDArray[np.float64]:
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = CORNER
    return affine


def _values(seed: int, voxel_mm: float) -> npt.NDArray[np.float32]:
    """Sum a few blobs, weigh them by the brain's shape, round to sixteenths (packs well)."""
    rng = np.random.default_rng(seed)
    axes = [CORNER[i] + voxel_mm * np.arange(int(EXTENT[i] // voxel_mm) + 1) for i in range(3)]
    brain = _gauge(axes, CENTRE, RADII) < 1.0
    total = np.zeros(brain.shape)
    for _ in range(7):
        centre = CENTRE + RADII * rng.uniform(-0.62, 0.62, 3)
        height = rng.choice([-1.0, 1.0], p=[0.3, 0.7]) * rng.uniform(3.0, 7.0)
        total += height * np.exp(-0.5 * _gauge(axes, centre, rng.uniform(7.0, 15.0, 3)))
    return np.asarray(np.where(brain, np.round(total * 16) / 16, 0.0), dtype=np.float32)


def _gauge(
    axes: list[npt.NDArray[np.float64]],
    centre: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Squared distance from `centre` in units of `radii`, on the grid of `axes`."""
    x, y, z = (((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    return np.asarray(x[:, None, None] + y[None, :, None] + z[None, None, :])
