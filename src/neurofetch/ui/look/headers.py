"""The header of a NIfTI file, as nibabel reads it: what its frames are, and where they begin."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

from neurofetch.store.absent import pointer_to, what_brings
from neurofetch.ui.look.problems import UnreadableFileError, damaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HEADER_BYTES", "Header", "read_header"]

HEADER_BYTES = 540
"""Of the longer kind of header, NIfTI-2."""
_SAFE = 1 << 62
_OTHER = "Look at it with another program."


@dataclass(frozen=True, slots=True)
class Header:
    """What has to be known of a NIfTI file.

    Parameters
    ----------
    name : str
        The file, for messages.
    raw : Nifti1Header or Nifti2Header
        Checked, and repaired where nibabel would.
    grid : tuple of int
        Shape of one frame.
    frames : int
        Number of volumes; of a file of more than four dimensions, all of the further ones together.
    dtype : numpy.dtype
        On disk, with its byte order.
    offset : int
        Of the first voxel in the (decompressed) file.
    slope, inter : float
        Scaling of the values; 1 and 0 where the file has none.
    affine : numpy.ndarray
        Voxel index to scanner millimetres, shape (4, 4).
    repaired : bool
        Whether something of it had to be mended: then nobody gets it as it is.
    pair : bool
        Whether the voxels are in a file of their own (.img).
    """

    name: str
    raw: Any
    grid: tuple[int, int, int]
    frames: int
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    affine: NDArray[np.float64]
    repaired: bool
    pair: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, decompressed."""
        return math.prod(self.grid) * self.dtype.itemsize

    @property
    def whole_bytes(self) -> int:
        """Bytes of the file, decompressed, with all of its frames."""
        return self.offset + self.frames * self.frame_bytes

    @property
    def is_colour(self) -> bool:
        """Whether each voxel is a colour."""
        return self.dtype.names is not None

    @property
    def is_plain(self) -> bool:
        """Whether viewers read its type of numbers."""
        return self.is_colour or (self.dtype.kind in "iuf" and self.dtype.itemsize <= 8)

    def values(self, voxels: NDArray[Any]) -> NDArray[np.float64]:
        """Return numbers as they are meant: scaled, and of complex ones the magnitude.

        Parameters
        ----------
        voxels : numpy.ndarray
            As they are in the file.
        """
        scaled = voxels if self.slope == 1 and self.inter == 0 else voxels * self.slope + self.inter
        found = np.abs(scaled) if np.iscomplexobj(scaled) else scaled
        return np.asarray(found, dtype=np.float64)


def read_header(block: bytes, name: str, *, pair: bool = False) -> Header:
    """Read the header at the begin of a (decompressed) file.

    Parameters
    ----------
    block : bytes
        The first `HEADER_BYTES`, fewer where the file is shorter.
    name : str
    pair : bool
        Whether this is a file of its own (.hdr).

    Raises
    ------
    UnreadableFileError
    """
    kind = _kind(block, name, pair=pair)
    try:
        raw = kind(block[: kind.sizeof_hdr], check=False)
        repairs = _Repairs()
        raw.check_fix(logger=repairs, error_level=logging.CRITICAL)
        return _read(raw, name, repaired=bool(repairs), pair=pair)
    except UnreadableFileError:
        raise
    except Exception as error:
        raise damaged(name, f"has a NIfTI header that makes no sense ({error})") from error


class _Repairs(list[str]):
    """A logger for nibabel's check of a header, which keeps what would be printed."""

    def log(self, level: int, message: str) -> None:
        if level >= logging.WARNING:
            self.append(message)


def _kind(block: bytes, name: str, *, pair: bool) -> Any:
    if not block:
        raise damaged(name, "is empty")
    if pointer := pointer_to(block):
        advice = f"Get its content: `{what_brings(pointer)}`."
        raise UnreadableFileError(name, f"is {pointer}: its content is not here", advice)
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    if sizes & {348, 540} and len(block) < min(sizes & {348, 540}):
        raise damaged(name, f"ends after {len(block)} bytes, within the NIfTI header")
    for one in (Nifti2PairHeader, Nifti1PairHeader) if pair else (Nifti2Header, Nifti1Header):
        if one.sizeof_hdr in sizes and block[:4] and _has_magic(one, block, pair=pair):
            return one
    if 348 in sizes:
        other = "ANALYZE 7.5" if block[344:348] not in (b"n+1\0", b"ni1\0") else "a pair of files"
        advice = "Convert it to NIfTI: nibabel.load(...), then nibabel.save(...)."
        raise UnreadableFileError(name, f"is {other}, and no NIfTI file of this name", advice)
    raise damaged(name, f"is no NIfTI file: it begins with {bytes(block[:8])!r}")


def _has_magic(kind: Any, block: bytes, *, pair: bool) -> bool:
    begin, length = (4, 4) if kind.sizeof_hdr == 540 else (344, 4)
    magic = block[begin : begin + length].rstrip(b"\0")
    # Some tools write the magic of a pair into a single file; nibabel reads that too.
    single, double = kind.single_magic.rstrip(b"\0"), kind.pair_magic.rstrip(b"\0")
    return magic == double or (magic == single and not pair)


def _read(raw: Any, name: str, *, repaired: bool, pair: bool) -> Header:
    dim = [int(size) for size in raw["dim"]]
    if not 1 <= dim[0] <= 7:
        raise damaged(name, f"claims {dim[0]} dimensions, and NIfTI has 1 to 7")
    shape = [*dim[1 : dim[0] + 1], *[1] * (3 - dim[0])]
    if min(shape) < 1:
        raise damaged(name, f"claims the shape {tuple(shape)}, which holds no voxel")
    dtype = raw.get_data_dtype()
    if dtype.kind not in "iufcV" or (dtype.kind == "V" and dtype.names is None):
        problem = f"holds values of the type {raw.get_value_label('datatype')}"
        raise UnreadableFileError(name, f"{problem}, which we do not read", _OTHER)
    if math.prod(shape) * dtype.itemsize > _SAFE:
        raise damaged(name, f"claims the shape {tuple(shape)}, more than any disk holds")
    slope, inter = raw.get_slope_inter()
    grid = (shape[0], shape[1], shape[2])
    affine = np.asarray(raw.get_best_affine(), dtype=np.float64)
    if not np.isfinite(affine).all():
        raise damaged(name, "does not say where its voxels are: its affine has NaN")
    return Header(
        name=name,
        raw=raw,
        grid=grid,
        frames=math.prod(shape[3:]),
        dtype=dtype,
        offset=_offset(raw, pair=pair),
        slope=1.0 if slope is None else float(slope),
        inter=0.0 if inter is None else float(inter),
        affine=affine,
        repaired=repaired or raw["magic"].item().rstrip(b"\0") == b"ni1",
        pair=pair,
    )


def _offset(raw: Any, *, pair: bool) -> int:
    said = raw.get_data_offset()
    return int(said) if said or pair else int(raw.single_vox_offset)
