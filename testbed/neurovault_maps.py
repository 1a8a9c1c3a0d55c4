"""Small volumes that look like statistical maps of a brain, made from a seed.

A seed is a task and a sample: the same regions answer to the same task, in other places by a few
millimetres, with other noise. Maps are in MNI space.
"""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from testbed import _head

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["TASKS", "brain_map", "brain_map_gz", "task_of"]

# The corner voxel and the extent of the template's usual bounding box, in mm.
CORNER = (-90.0, -126.0, -72.0)
EXTENT = (180.0, 216.0, 180.0)

Focus = tuple[float, float, float, float]

TASKS: dict[str, tuple[Focus, ...]] = {
    # Middles in MNI space, and T values: the right hand moves, so the left motor cortex answers.
    "motor task": (
        *((-38, -24, 54, 12.0), (-3, -6, 56, 5.5), (18, -52, -22, 5.0), (-52, -22, 18, 4.0)),
        *((38, -22, 56, -3.5), (-28, -8, 2, 3.5), (40, -68, -38, -2.5)),
    ),
    "working memory fMRI task paradigm": (
        *((-44, 24, 30, 6.5), (44, 30, 30, 6.5), (-34, -52, 46, 7.0), (38, -50, 46, 7.0)),
        *((-2, 16, 48, 6.0), (32, 22, 0, 4.5), (-32, 22, 0, 4.5), (0, 52, -6, -5.5)),
        *((-4, -52, 26, -5.0), (-46, -68, 34, -4.0), (48, -64, 32, -4.0)),
    ),
    "language": (
        *((-50, 20, 14, 7.5), (-46, 28, -6, 5.5), (-56, -38, 4, 7.0), (-54, -6, -14, 5.0)),
        *((-4, 12, 60, 4.5), (54, -30, 2, 3.5), (-46, -58, -14, 4.5), (36, -72, -4, -2.5)),
    ),
    "face perception": (
        *((41, -52, -19, 8.0), (-40, -54, -20, 6.0), (38, -80, -12, 6.5), (-38, -82, -12, 5.0)),
        *((52, -46, 8, 5.5), (20, -6, -16, 5.0), (-20, -6, -16, 4.0), (27, -45, -9, -4.0)),
        *((-27, -45, -9, -4.0), (18, -56, 13, -3.0)),
    ),
}
"""What answers to a task."""


def task_of(seed: int) -> str:
    """Return the task of a seed's map: one of `TASKS`."""
    return list(TASKS)[seed % len(TASKS)]


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


def _values(seed: int, voxel_mm: float) -> npt.NDArray[np.float32]:
    """Sum the task's blobs and smooth noise in the brain, in steps that pack well."""
    rng = np.random.default_rng(seed)
    x, y, z = (
        _head.Axis(corner, voxel_mm, int(extent // voxel_mm) + 1)
        for corner, extent in zip(CORNER, EXTENT, strict=True)
    )
    tissue = _head.tissue((x, y, z), 4.0)
    total = _noise(rng, (x, y, z))
    for *centre, height in TASKS[task_of(seed)]:
        place = np.array(centre) + rng.normal(0, 2.0, 3)
        width = rng.uniform(7.5, 11.0)
        near = [
            np.exp(-0.5 * ((axis.places - middle) / width) ** 2).astype(np.float32)
            for axis, middle in zip((x, y, z), place, strict=True)
        ]
        blob = near[0][:, None, None] * near[1][:, None] * near[2]
        total += height * rng.uniform(0.85, 1.15) * blob * (0.5 + 0.8 * tissue.grey)
    return np.where(tissue.t1 > 0.2, np.round(total * 8) / 8, 0).astype(np.float32)


def _noise(rng: np.random.Generator, axes: _head.Axes) -> npt.NDArray[np.float32]:
    """Return noise that is smooth over some 14 mm, whatever the size of a voxel."""
    knots = _head.smooth_noise(rng, (26, 30, 26), 1)
    for axis, corner in zip(axes, CORNER, strict=True):
        where = (axis.places - corner) / 8.0
        weights = np.clip(1 - np.abs(where[:, None] - np.arange(knots.shape[0])), 0, None)
        knots = np.tensordot(knots, weights.astype(np.float32), axes=(0, 1))
    return knots


def _affine(voxel_mm: float) -> npt.NDArray[np.float64]:
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = CORNER
    return affine
