"""NIfTI files for the loader's tests, and the naive way to read them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

GRID = (7, 9, 6)
AFFINE = np.array([[-1.8, 0, 0, 9], [0, 1.8, 0.1, -12], [0, 0, 1.8, 3], [0, 0, 0, 1]])


def random_mask(seed: int = 0, grid: tuple[int, int, int] = GRID) -> np.ndarray:
    """Flat, C-order, about a third true."""
    return np.random.default_rng(seed).random(np.prod(grid)) < 0.3


def make_image(
    dtype: str, volumes: int, *, seed: int = 1, version: int = 1, scale: tuple | None = None
) -> nib.spatialimages.SpatialImage:
    rng = np.random.default_rng(seed)
    shape = (*GRID, volumes) if volumes else GRID
    values = rng.normal(0, 500, shape)
    if np.dtype(dtype).kind == "u":
        values = np.abs(values)
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    values = (values if info is None else np.clip(values, info.min, info.max)).astype(dtype)
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    order = "<" if np.dtype(dtype).byteorder in "=<|" else ">"
    header = kind.header_class(endianness=order)
    image = kind(values, AFFINE, header, dtype=np.dtype(dtype).newbyteorder("="))
    if scale:
        image.header.set_slope_inter(*scale)
    return image


def write_image(path: Path, image: nib.spatialimages.SpatialImage) -> Path:
    """Write the array as it is: the slope in the header is not divided out."""
    raw = image.header.copy()
    slope, inter = raw.get_slope_inter()
    raw["vox_offset"] = raw.single_vox_offset
    raw["magic"] = raw.single_magic
    raw["scl_slope"] = np.nan if slope is None else slope
    raw["scl_inter"] = np.nan if inter is None else inter
    data = np.asarray(image.dataobj).astype(raw.get_data_dtype())
    gap = b"\0" * (raw.single_vox_offset - len(raw.binaryblock))
    content = raw.binaryblock + gap + data.tobytes(order="F")
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(content, 1) if path.suffix == ".gz" else content
    path.write_bytes(packed)
    return path


def naive(path: Path, mask: np.ndarray) -> np.ndarray:
    """Load all with nibabel, then mask: (n_volumes, n_voxels) float64."""
    data = np.asarray(nib.load(path).get_fdata())
    return data.reshape(-1, data.shape[-1])[mask].T
