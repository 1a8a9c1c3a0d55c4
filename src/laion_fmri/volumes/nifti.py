"""The header of a NIfTI file: what its volumes are, where they begin, and on which grid."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from laion_fmri.errors import BadDataError, CorruptFileError, GridMismatchError
from laion_fmri.reading.absent import pointer_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Header", "check_same_grid", "read_header"]

_BYTE_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
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
        Scaling of the values; 1 and 0 if the file has none.
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
        """Whether the values have to be scaled."""
        return (self.slope, self.inter) != (1.0, 0.0)

    def need(self, dimensions: int) -> None:
        """Raise `BadDataError` unless the file is 3-D, or 4-D, as asked."""
        single = dimensions == 3 and self.volumes == 1
        if self.dimensions != dimensions and not single:
            shape = (*self.grid, self.volumes) if self.dimensions == 4 else self.grid
            problem = f"expected a {dimensions}-D volume, found {self.dimensions}-D, shape {shape}"
            raise BadDataError(self.path, problem)


def read_header(read: Callable[[int], bytes], path: str) -> Header:
    """Read the header from the beginning of a decompressed stream, with nibabel.

    As in `nibabel.load`, a header is checked and small faults are repaired, such as a negative
    voxel size. Extensions are not read: they lie before the first voxel.

    Parameters
    ----------
    read : callable
        Gives the next bytes; fewer than asked only at the end.
    path : str
        The file, for messages.

    Raises
    ------
    CorruptFileError
        If the bytes are not the header of a single-file NIfTI, end too early, or make no sense.

    Warns
    -----
    UserWarning
        If a fault was repaired that can change what the file means.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    block = read(Nifti1Header.sizeof_hdr)
    sizes = {int.from_bytes(block[:4], order) for order in _BYTE_ORDERS}
    if pointer := pointer_to(block):
        raise CorruptFileError(path, f"is {pointer}, and no NIfTI file: its content is not here")
    kind: Any = Nifti1Header
    if Nifti2Header.sizeof_hdr in sizes and not Nifti1Header.may_contain_header(block):
        kind = Nifti2Header
        block += read(Nifti2Header.sizeof_hdr - len(block))
    if len(block) < kind.sizeof_hdr:
        raise CorruptFileError(path, f"ends after {len(block)} bytes, within the NIfTI header")
    if kind.sizeof_hdr not in sizes and not kind.may_contain_header(block):
        raise CorruptFileError(path, f"is no NIfTI file: it begins with {block[:8]!r}")
    try:
        raw = kind(block, check=False)
        _check(raw, path)
        return _values(raw, path)
    except CorruptFileError:
        raise
    except Exception as exc:
        raise CorruptFileError(path, f"the NIfTI header makes no sense ({exc})") from exc


class _Repairs(list[str]):
    """A logger for nibabel's check of a header, which keeps what would be printed."""

    def log(self, level: int, message: str) -> None:
        if level >= logging.WARNING:
            self.append(message)


def _check(raw: Any, path: str) -> None:
    """Check and repair a header as nibabel does when it loads an image."""
    # Some tools write the magic of a pair of files (ni1) into a single file.
    if raw["magic"].item() not in (raw.single_magic, raw.pair_magic):
        raise CorruptFileError(path, "is not a single-file NIfTI (.nii or .nii.gz)")
    if not 0 <= raw["dim"][0] <= 7:
        raise CorruptFileError(path, f"claims {raw['dim'][0]} dimensions; NIfTI has up to 7")
    repairs = _Repairs()
    raw.check_fix(logger=repairs, error_level=logging.ERROR)
    if repairs:
        warnings.warn(f"{path}: the NIfTI header was repaired: {'; '.join(repairs)}", stacklevel=2)


def _values(raw: Any, path: str) -> Header:
    shape = tuple(int(size) for size in raw.get_data_shape())
    if len(shape) > 4:  # dimensions of size 1 add nothing: one of them is a series of volumes
        longer = [size for size in shape[3:] if size != 1] or [1]
        shape = (*shape[:3], *longer)
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise CorruptFileError(path, f"expected a 3-D or 4-D volume, found shape {shape}")
    dtype = raw.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise CorruptFileError(path, f"holds {dtype} values; the loader reads int and float")
    slope, inter = raw.get_slope_inter()
    return Header(
        path=path,
        grid=shape[:3],  # type: ignore[arg-type]
        volumes=shape[3] if len(shape) == 4 else 1,
        dimensions=len(shape),
        dtype=dtype,
        # 0 means that the voxels follow the header at once.
        offset=raw.get_data_offset() or raw.single_vox_offset,
        slope=1.0 if slope is None else float(slope),
        inter=0.0 if inter is None else float(inter),
        affine=np.asarray(raw.get_best_affine(), dtype=np.float64),
    )


def check_same_grid(header: Header, other: Header) -> None:
    """Raise `GridMismatchError` unless both files have the same grid (shape and affine)."""
    if header.grid != other.grid:
        problem = f"has the grid {header.grid}, but {other.path} has {other.grid}"
        raise GridMismatchError(header.path, problem)
    apart = float(np.abs(header.affine - other.affine).max())
    if not apart <= _AFFINE_TOLERANCE:
        problem = f"has the shape of {other.path}, but lies elsewhere (affines differ by {apart:g})"
        raise GridMismatchError(header.path, problem)
