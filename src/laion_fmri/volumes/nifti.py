"""The head of a NIfTI file: what its volumes are and where they begin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import BadDataError, CorruptFileError, GridMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Header", "check_same_grid", "read_header"]

_SIZES = {348: "nifti1", 540: "nifti2"}
#: Scanner millimetres by which two affines of one grid may differ: float32 against float64 headers.
_AFFINE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Header:
    """What the loader needs to know of a NIfTI file.

    Parameters
    ----------
    path : str
        The file, for messages.
    grid : tuple of int
        Shape of one volume.
    volumes : int
        Number of volumes; 1 for a 3-D file.
    dimensions : int
        3 or 4, as the file says.
    dtype : numpy.dtype
        On disk, with its byte order.
    offset : int
        Of the first voxel in the (decompressed) file.
    slope, inter : float
        Scaling of the file; 1 and 0 where it has none.
    affine : numpy.ndarray
        Voxel index to scanner millimetres, shape (4, 4).
    """

    path: str
    grid: tuple[int, int, int]
    volumes: int
    dimensions: int
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    affine: NDArray[np.float64]

    @property
    def voxels(self) -> int:
        """Number of voxels in one volume."""
        return math.prod(self.grid)

    @property
    def volume_bytes(self) -> int:
        """Size of one volume on disk, decompressed."""
        return self.voxels * self.dtype.itemsize

    @property
    def scaled(self) -> bool:
        """Whether the file asks for its values to be scaled."""
        return (self.slope, self.inter) != (1.0, 0.0)

    def need(self, dimensions: int) -> None:
        """Raise `BadDataError` unless the file is 3-D, or 4-D, as asked."""
        single = dimensions == 3 and self.volumes == 1
        if self.dimensions != dimensions and not single:
            shape = (*self.grid, self.volumes) if self.dimensions == 4 else self.grid
            problem = f"expected a {dimensions}-D volume, found {self.dimensions}-D, shape {shape}"
            raise BadDataError(self.path, problem)


def read_header(read: Callable[[int], bytes], path: str) -> Header:
    """Read the header from the beginning of a decompressed stream.

    Parameters
    ----------
    read : callable
        Gives the next bytes; fewer than asked only at the end.
    path : str
        The file, for messages.

    Raises
    ------
    CorruptFileError
        If the bytes are no header of a single-file NIfTI, or end within it.
    """
    block = read(348)
    kind = _kind(block, path)
    if kind == "nifti2":
        block += read(540 - 348)
    try:
        return _from_nibabel(_nibabel_header(kind, block), path)
    except CorruptFileError:
        raise
    except Exception as exc:
        raise CorruptFileError(path, f"the NIfTI header makes no sense ({exc})") from exc


def _kind(block: bytes, path: str) -> str:
    if len(block) < 348:
        raise CorruptFileError(path, f"ends after {len(block)} bytes, within the NIfTI header")
    size = block[:4]
    for number in (int.from_bytes(size, "little"), int.from_bytes(size, "big")):
        kind = _SIZES.get(number)
        if kind:
            return kind
    raise CorruptFileError(path, f"is no NIfTI file: it begins with {block[:8]!r}")


def _nibabel_header(kind: str, block: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    header: Any = Nifti1Header if kind == "nifti1" else Nifti2Header
    return header(block, check=False)


def _from_nibabel(raw: Any, path: str) -> Header:
    if not bytes(raw["magic"]).startswith((b"n+1", b"n+2")):
        raise CorruptFileError(path, "is not a single-file NIfTI (.nii or .nii.gz)")
    shape = tuple(int(size) for size in raw.get_data_shape())
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise CorruptFileError(path, f"expected a 3-D or 4-D volume, found shape {shape}")
    dtype = raw.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise CorruptFileError(path, f"holds {dtype} values; the loader reads int and float")
    slope, inter = raw.get_slope_inter()
    offset = int(raw["vox_offset"])
    minimum = raw.single_vox_offset
    return Header(
        path=path,
        grid=shape[:3],  # type: ignore[arg-type]
        volumes=shape[3] if len(shape) == 4 else 1,
        dimensions=len(shape),
        dtype=dtype,
        offset=max(offset, minimum),
        slope=1.0 if slope is None else float(slope),
        inter=0.0 if inter is None else float(inter),
        affine=np.asarray(raw.get_best_affine(), dtype=np.float64),
    )


def check_same_grid(header: Header, other: Header) -> None:
    """Raise `GridMismatchError` unless both files lie on one grid (shape and affine)."""
    if header.grid != other.grid:
        problem = f"has the grid {header.grid}, but {other.path} has {other.grid}"
        raise GridMismatchError(header.path, problem)
    apart = float(np.abs(header.affine - other.affine).max())
    if not apart <= _AFFINE_TOLERANCE:
        problem = f"has the shape of {other.path}, but lies elsewhere (affines differ by {apart:g})"
        raise GridMismatchError(header.path, problem)
