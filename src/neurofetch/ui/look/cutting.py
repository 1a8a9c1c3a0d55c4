"""A frame, or a run of frames, as a NIfTI of its own: never more than the viewer can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from neurofetch.ui.look.problems import UnreadableFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurofetch.ui.look.headers import Header
    from neurofetch.ui.look.passing import Frames

__all__ = ["Cut", "Plan", "cut", "plan", "voxels_of"]

_ROOM = 1024
"""For the header of what is made."""


class Plan(NamedTuple):
    """How frames are cut.

    Parameters
    ----------
    step : int
        Every so-manieth voxel of each axis is taken; 1 for all of them.
    dtype : numpy.dtype
        Of the voxels in what is made.
    grid : tuple of int
        Shape of a frame in what is made.
    fitting : int
        So many frames fit.
    """

    step: int
    dtype: np.dtype[Any]
    grid: tuple[int, int, int]
    fitting: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame in what is made."""
        return _product(self.grid) * self.dtype.itemsize

    def why(self, header: Header) -> str | None:
        """Return what is not as in the file, in words; None where nothing is."""
        said = []
        if self.step > 1:
            ordinal = {2: "second", 3: "third"}.get(self.step, f"{self.step}th")
            size = f"{header.frame_bytes / 1e6:,.0f} MB"
            said.append(f"every {ordinal} voxel of each axis is shown, since a volume has {size}")
        if self.dtype != header.dtype:
            what = "the magnitude" if header.dtype.kind == "c" else "less precision"
            said.append(f"{what} of its {header.dtype.name} values is shown")
        if header.frames > self.fitting:
            many = "one comes" if self.fitting == 1 else f"up to {self.fitting:,} come"
            said.append(f"it has {header.frames:,} volumes, of which {many} at a time")
        return "; ".join(said) or None


class Cut(NamedTuple):
    """What was made of some frames.

    Parameters
    ----------
    body : bytes
        A NIfTI file, not compressed.
    first, frames : int
        Which of the file's.
    """

    body: bytes
    first: int
    frames: int


def plan(header: Header, limit: int) -> Plan:
    """Return how frames of a file are cut.

    Parameters
    ----------
    header : Header
    limit : int
        Bytes of what is made, at most.

    Raises
    ------
    UnreadableFileError
        If a single slice of the file is larger than that.
    """
    dtype = header.dtype
    if not header.is_plain:
        dtype = np.dtype(np.float32 if dtype.kind == "c" else np.float64)
    room = limit - _ROOM
    step = 1
    while _product(_thinned(header.grid, step)) * dtype.itemsize > room:
        step += 1
    plane = header.grid[0] * header.grid[1] * header.dtype.itemsize
    if step > 1 and plane > max(limit, 1 << 20):
        problem = f"has slices of {plane >> 20:,} MB each, and {limit >> 20} MB is the most"
        raise UnreadableFileError(header.name, problem, "Resample it before you look at it.")
    grid = _thinned(header.grid, step)
    fitting = room // max(1, _product(grid) * dtype.itemsize)
    return Plan(step, dtype, grid, min(fitting, header.frames, 32_767))


def cut(header: Header, frames: Frames, how: Plan, first: int, count: int) -> Cut:
    """Return some frames as a NIfTI file.

    Parameters
    ----------
    header : Header
    frames : Frames
    how : Plan
    first : int
        Number of a frame that there is.
    count : int
        At most so many; fewer where more do not fit, or the file ends.
    """
    count = max(1, min(count, how.fitting, header.frames - first))
    parts = [_header(header, how, count)]
    for number in range(first, first + count):
        if how.step == 1:
            parts.append(_as(header, how, np.frombuffer(frames.frame(number), header.dtype)))
        else:
            parts.extend(_thin(header, frames, how, number))
    return Cut(b"".join(parts), first, count)


def voxels_of(made: Cut, header: Header, how: Plan) -> NDArray[Any]:
    """Return the voxels of the first frame of what was made, in the order of the file.

    Parameters
    ----------
    made : Cut
    header : Header
        Of the file that it was made of.
    how : Plan
    """
    begin = _kind(header).single_vox_offset
    return np.frombuffer(made.body, how.dtype, count=_product(how.grid), offset=begin)


def _as(header: Header, how: Plan, voxels: NDArray[Any]) -> bytes:
    if how.dtype == header.dtype:
        return voxels.tobytes()
    return header.values(voxels).astype(how.dtype).tobytes()


def _thin(header: Header, frames: Frames, how: Plan, number: int) -> list[bytes]:
    across, down, _ = header.grid
    parts: list[bytes] = []

    def take(k: int, plane: memoryview) -> None:
        if k % how.step == 0:
            rows = np.frombuffer(plane, header.dtype).reshape(down, across)
            parts.append(_as(header, how, rows[:: how.step, :: how.step]))

    frames.planes(number, across * down * header.dtype.itemsize, take)
    return parts


def _kind(header: Header) -> Any:
    return Nifti2Header if header.raw.sizeof_hdr == Nifti2Header.sizeof_hdr else Nifti1Header


def _header(header: Header, how: Plan, count: int) -> bytes:
    kind = _kind(header)
    raw = kind(header.raw.binaryblock, endianness=header.raw.endianness, check=False)
    raw["magic"] = kind.single_magic
    raw["vox_offset"] = kind.single_vox_offset
    raw["dim"] = [4 if count > 1 else 3, *how.grid, count, 1, 1, 1]
    if how.dtype != header.dtype:
        raw.set_data_dtype(how.dtype)
        raw.set_slope_inter(1.0, 0.0)
    if how.step > 1:
        raw["pixdim"][1:4] *= how.step
        thinned = header.affine @ np.diag([how.step, how.step, how.step, 1.0])
        raw.set_sform(thinned, code=int(raw["sform_code"]) or int(raw["qform_code"]) or 1)
        for name in ("slice_start", "slice_end", "slice_code"):
            raw[name] = 0
    return bytes(raw.binaryblock) + bytes(kind.single_vox_offset - kind.sizeof_hdr)


def _thinned(grid: tuple[int, int, int], step: int) -> tuple[int, int, int]:
    return (-(-grid[0] // step), -(-grid[1] // step), -(-grid[2] // step))


def _product(grid: tuple[int, int, int]) -> int:
    return grid[0] * grid[1] * grid[2]
