"""A head to make data of: the MNI template where nilearn is installed, and a drawn one elsewhere.

nilearn's wheel ships the ICBM 2009a templates (T1, grey and white matter, 1 mm). They are read from
its folder, without importing it. Where it is not installed, ellipsoids stand in for them: the same
shapes and sizes, and the same names of places.

Coordinates are those of MNI, in millimetres: x grows to the right, y to the front, z to the top.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["CENTRE", "Axes", "Axis", "Tissue", "coordinates", "smooth", "smooth_noise", "tissue"]

#: The middle of the brain, in MNI coordinates.
CENTRE = (0.0, -22.0, 9.5)

# The grid of the templates.
_SHAPE = (197, 233, 189)
_CORNER = (-98.0, -134.0, -72.0)


class Axis(NamedTuple):
    """Where the voxels of an axis lie, in MNI millimetres: the first, the step, and how many."""

    start: float
    step: float
    voxels: int

    @property
    def places(self) -> NDArray[np.float64]:
        """The coordinate of each voxel."""
        return np.asarray(self.start + self.step * np.arange(self.voxels, dtype=float))


Axes = tuple[Axis, Axis, Axis]
if TYPE_CHECKING:
    Template = NDArray[np.uint8] | NDArray[np.float32]
    Templates = tuple[Template, Template, Template]


class Tissue(NamedTuple):
    """A head on a grid: each from 0 to 1.

    Parameters
    ----------
    t1
        How bright the brain is in a T1-weighted image; 0 outside of it.
    grey, white
        The share of the voxel.
    hull
        About 1 deep in the brain, 0.5 on its surface, and falling to 0 some 2 cm outside.
    """

    t1: Floats
    grey: Floats
    white: Floats
    hull: Floats

    @property
    def fluid(self) -> Floats:
        """The share of the voxel that is in the brain, and neither grey nor white."""
        rest = np.clip((self.t1 > 0.05) - self.grey - self.white, 0, 1)
        return np.asarray(rest, dtype=np.float32)

    @property
    def scalp(self) -> Floats:
        """Skin and fat around a dark skull, in a T1-weighted image."""
        levels = ([0, 0.02, 0.05, 0.12, 0.17, 0.30, 0.36], [0, 0, 0.8, 0.7, 0.08, 0.1, 0.0])
        return np.asarray(np.interp(self.hull, *levels), dtype=np.float32)


@functools.lru_cache(maxsize=16)
def tissue(axes: Axes, width: float = 0.0) -> Tissue:
    """Return the head on a grid.

    Parameters
    ----------
    axes
        Where the voxels lie.
    width
        Over how many millimetres to average; a voxel, where that is wider.
    """
    reach = max(width, *(abs(axis.step) for axis in axes))
    t1, grey, white = (_averaged(values, axes, width) for values in _level(min(reach / 2, 4)))
    hull = _averaged((_level(4)[0] > 50) * np.float32(255), axes, 26.0)
    return Tissue(t1, grey, white, hull)


def coordinates(axes: Axes) -> NDArray[np.float64]:
    """Return where each voxel lies, shape (3, *grid)."""
    return np.stack(np.meshgrid(*(axis.places for axis in axes), indexing="ij"))


def smooth(values: Floats, times: int = 2) -> Floats:
    """Return values, averaged with their neighbours along the first three axes.

    Twice is about as wide as 2.4 voxels. What leaves the grid on one side comes in on the other.
    """
    for axis in range(3):
        for _ in range(times):
            beside = np.roll(values, 1, axis) + np.roll(values, -1, axis)
            values = (0.5 * values + 0.25 * beside).astype(np.float32)
    return values


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], times: int = 2) -> Floats:
    """Return noise of standard deviation 1 that is smooth along the first three axes.

    A fourth axis is a series of volumes that have nothing to do with each other.
    """
    noise = np.empty(shape, dtype=np.float32)
    kernel = np.ones(1)
    for _ in range(times):
        kernel = np.convolve(kernel, [0.25, 0.5, 0.25])
    scale = np.float32((kernel**2).sum() ** -1.5)
    if len(shape) == 3:
        return smooth(rng.standard_normal(shape, dtype=np.float32), times) * scale
    for start in range(0, shape[3], 16):  # little room for long series
        part = noise[..., start : start + 16]
        part[...] = smooth(rng.standard_normal(part.shape, dtype=np.float32), times) * scale
    return noise


def _level(most: float) -> Templates:
    """Return T1, grey and white matter, from 0 to 255, of the largest voxels up to ``most``."""
    return _reduced(max(0, int(np.log2(max(most, 1.0)))))


@functools.lru_cache(maxsize=4)
def _reduced(times: int) -> Templates:
    """Return the templates, halved along each axis so many times: quicker to average."""
    t1, grey, white = (_halved(one) for one in _reduced(times - 1)) if times else _template()
    return t1, grey, white


def _halved(values: Template) -> Template:
    """Return the averages of blocks of two voxels along each axis."""
    for axis in range(3):
        pairs = np.moveaxis(values, axis, 0)
        pairs = pairs[: len(pairs) // 2 * 2].astype(np.uint16 if values.dtype == np.uint8 else None)
        values = np.moveaxis(pairs[::2] + pairs[1::2], 0, axis)
    return np.ascontiguousarray(values / np.float32(8), dtype=np.float32)


def _template() -> Templates:
    """Return T1, grey and white matter of 1 mm, from 0 to 255."""
    spec = importlib.util.find_spec("nilearn")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "datasets" / "data"
        names = [f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in _NAMES]
        if all((folder / name).is_file() for name in names):
            t1, grey, white = (
                np.asarray(nib.nifti1.load(folder / name).dataobj, dtype=np.uint8) for name in names
            )
            return t1, grey, white
    return _drawn()


_NAMES = ("t1", "gm", "wm")


def _drawn() -> Templates:
    """Return a brain of ellipsoids: two hemispheres, a rim of grey, a cerebellum, ventricles."""
    open_axes = [
        (corner + np.arange(count, dtype=np.float32)).reshape(
            [-1 if i == k else 1 for k in range(3)]
        )
        for i, (corner, count) in enumerate(zip(_CORNER, _SHAPE, strict=True))
    ]
    x, y, z = open_axes
    side = np.abs(x)
    folds = 0.05 * np.sin(side / 5) * np.sin(y / 6) + 0.05 * np.sin(z / 6 + y / 9)
    outer = _gauge((side, y, z), (20, -18, 12), (50, 88, 68)) + folds
    outer = np.where((side < 1.5) & (z > 20), 9, outer)
    small = _gauge((side, y, z), (18, -62, -38), (34, 30, 24))
    stem = _gauge((side, y, z), (0, -28, -42), (13, 14, 34))
    hollow = _gauge((side, y, z), (12, -12, 14), (7, 34, 11))
    brain = (outer < 1) | (small < 1) | (stem < 1)
    empty = brain & (hollow < 1)
    white = brain & ((outer < 0.86) | (small < 0.5) | (stem < 1)) & ~empty
    grey = brain & ~white & ~empty
    t1 = 255 * (0.68 * grey + 0.9 * white + 0.3 * empty)
    return t1.astype(np.uint8), grey * np.uint8(255), white * np.uint8(255)


def _gauge(
    where: tuple[NDArray[np.float32], ...], middle: tuple[float, ...], half: tuple[float, ...]
) -> NDArray[np.float32]:
    """Return the distance from the middle of an ellipsoid: 1 on its surface."""
    parts = zip(where, middle, half, strict=True)
    squares = [((values - centre) / size) ** 2 for values, centre, size in parts]
    return np.asarray(np.sqrt(squares[0] + squares[1] + squares[2]), dtype=np.float32)


def _averaged(values: Template, axes: Axes, width: float) -> Floats:
    """Return a template on a grid, from 0 to 1: each voxel an average of what lies around it.

    One product of matrices for each axis: the grid stands straight in the template.
    """
    size = 2 ** round(np.log2(_SHAPE[0] / values.shape[0]))  # millimetres
    out = values.astype(np.float32)
    for axis, corner in zip(axes, _CORNER, strict=True):
        reach = max(abs(axis.step), width, 1.0)
        apart = int(np.ceil(reach / size))
        inside = slice(apart, apart + out.shape[0])
        source = corner + (size - 1) / 2 + size * np.arange(-apart, out.shape[0] + apart)
        weights = np.clip(1 - np.abs(axis.places[:, None] - source) / reach, 0, None)
        total = np.maximum(weights.sum(axis=1, keepdims=True), 0.5)  # what lies outside is 0
        weights = (weights / total)[:, inside].astype(np.float32)
        # the axis that was first comes out last: after three turns, they stand as they stood
        out = np.tensordot(out, weights, axes=(0, 1))
    return np.asarray(np.clip(np.round(out) / 255, 0, 1), dtype=np.float32)
