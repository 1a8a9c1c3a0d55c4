"""The forward pass: volumes are read once, and only the voxels that were asked for are kept.

In a NIfTI file x varies fastest (Fortran order). The loader's voxels are in the order of a C-order
ravel of the grid (z varies fastest), as in the dataset's own masks. `Voxels` computes the mapping
once, so that each stretch of a file needs one gather, from the processor's cache.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import GridMismatchError, NotFiniteError
from laion_fmri.volumes.byte_stream import ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from laion_fmri.volumes.byte_stream import Reader
    from laion_fmri.volumes.nifti import Header

    RowFor = Callable[[int], NDArray[np.float32]]

__all__ = ["Voxels", "as_mask", "forward_pass", "masked", "whole_volume"]

#: Bytes of one stretch: small enough for the processor's cache.
_STRETCH = 1 << 20
#: In a plain file, a gap of unneeded bytes up to this size is read; a longer one is skipped.
_GAP = 1 << 16


class Voxels:
    """Some voxels of a grid, in the loader's order.

    Parameters
    ----------
    grid : tuple of int
        Shape of a volume.
    indices : numpy.ndarray
        Positions in the C-order ravel of the grid, shape (n_voxels,). Column ``i`` of a result is
        voxel ``indices[i]``.
    """

    def __init__(self, grid: tuple[int, int, int], indices: NDArray[np.intp]) -> None:
        self.grid = grid
        self.indices = indices
        i, j, k = np.unravel_index(indices, grid)
        on_disk = i + grid[0] * (j + grid[1] * k)
        by_disk = np.argsort(on_disk, kind="stable")
        self._on_disk = on_disk[by_disk]
        #: For each column, its position among the voxels in the order of the disk.
        self.places: NDArray[np.intp] = np.empty_like(by_disk)
        self.places[by_disk] = np.arange(len(by_disk))

    def __len__(self) -> int:
        return len(self.indices)

    def __reduce__(self) -> tuple[Any, ...]:
        return Voxels, (self.grid, self.indices)  # the rest follows from these

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], grid: tuple[int, int, int]) -> Voxels:
        """Take the voxels where a flat C-order mask is true."""
        return cls(grid, np.flatnonzero(mask))

    def stretches(self, itemsize: int, by_position: bool) -> list[_Stretch]:
        """Divide a volume on disk into stretches.

        Parameters
        ----------
        itemsize : int
            Bytes of a voxel.
        by_position : bool
            True to leave out what holds no voxel that was asked for; False to cover everything.
        """
        length = max(_STRETCH // itemsize, 1)
        spans = self._spans(_GAP // itemsize) if by_position else [(0, int(np.prod(self.grid)))]
        return [
            self._stretch(start, min(start + length, stop))
            for begin, stop in spans
            for start in range(begin, stop, length)
        ]

    def _spans(self, gap: int) -> list[tuple[int, int]]:
        places = self._on_disk
        if not len(places):
            return []
        breaks = np.flatnonzero(np.diff(places) > gap)
        begins = np.concatenate([places[:1], places[breaks + 1]])
        ends = np.concatenate([places[breaks], places[-1:]]) + 1
        return [(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]

    def _stretch(self, start: int, stop: int) -> _Stretch:
        first, last = np.searchsorted(self._on_disk, [start, stop])
        local = (self._on_disk[first:last] - start).astype(np.intp)
        return _Stretch(start, stop, local, int(first), int(last))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Consecutive voxels on disk, from `start` to `stop`, and which of them are kept.

    Those at `local` in the stretch are the voxels `first` to `last` in the order of the disk.
    """

    start: int
    stop: int
    local: NDArray[np.intp]
    first: int
    last: int


def forward_pass(
    reader: Reader,
    voxels: Voxels,
    row_for: RowFor,
    keep: NDArray[np.bool_] | None = None,
    *,
    finite: bool = True,
) -> Iterator[int]:
    """Read all volumes once; yield the number of each volume that is kept when its row is filled.

    Parameters
    ----------
    reader : Reader
        An open file.
    voxels : Voxels
        What to keep of each volume.
    row_for : callable
        Gives, for a volume's number, the row to fill, shape (n_voxels,) float32, contiguous.
    keep : numpy.ndarray, optional
        Which volumes to keep, shape (n_volumes,) bool; default: all.
    finite : bool
        Whether NaN and infinite values are an error.

    Raises
    ------
    GridMismatchError
        If the file has another shape than `voxels`.
    CorruptFileError
        If the file is damaged or too short.
    NotFiniteError
        If `finite` and a voxel that is kept is not.
    """
    header = reader.header
    if header.grid != voxels.grid:
        problem = f"has the grid {header.grid}, the brain mask has {voxels.grid}"
        raise GridMismatchError(header.path, problem)
    wanted = np.ones(header.volumes, dtype=bool) if keep is None else keep
    passing = [n for n in range(header.volumes) if wanted[n] or not reader.by_position]
    stretches = voxels.stretches(header.dtype.itemsize, reader.by_position)
    volume = np.empty(len(voxels), dtype=np.float32)  # its voxels, in the order of the disk
    unfit: NotFiniteError | None = None
    with closing(ahead(reader, _jobs(header, passing, stretches))) as pieces:
        for number in passing:
            for stretch in stretches:
                _gather(next(pieces), stretch, header, volume if wanted[number] else None)
            if wanted[number]:
                row = row_for(number)
                volume.take(voxels.places, out=row, mode="clip")
                if finite and unfit is None:
                    unfit = _not_finite(header, voxels, number, row)
                if unfit and reader.by_position:
                    raise unfit
                yield number
    reader.finish()
    if unfit:  # only now: damaged bytes can be NaN too, and the checksum at the end tells
        raise unfit


def _jobs(
    header: Header, volumes: list[int], stretches: list[_Stretch]
) -> Iterator[tuple[int, int]]:
    """Yield position and size of each stretch of each volume, in bytes."""
    size = header.dtype.itemsize
    for number in volumes:
        for stretch in stretches:
            position = number * header.volume_bytes + stretch.start * size
            yield position, (stretch.stop - stretch.start) * size


def _gather(
    view: memoryview, stretch: _Stretch, header: Header, volume: NDArray[np.float32] | None
) -> None:
    if volume is None or stretch.first == stretch.last:
        return
    values: NDArray[Any] = np.frombuffer(view, header.dtype)
    target = volume[stretch.first : stretch.last]
    if header.dtype == target.dtype and not header.scaled:
        values.take(stretch.local, out=target, mode="clip")
        return
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # values beyond float32 become infinite, which is reported below
        target[:] = _scaled(values.take(stretch.local), header)


def _scaled(values: NDArray[Any], header: Header) -> NDArray[Any]:
    return values.astype(np.float64) * header.slope + header.inter if header.scaled else values


def _not_finite(
    header: Header, voxels: Voxels, number: int, row: NDArray[np.float32]
) -> NotFiniteError | None:
    good = np.isfinite(row)
    if good.all():
        return None
    bad = np.flatnonzero(~good)
    where = tuple(int(axis) for axis in np.unravel_index(voxels.indices[bad[0]], voxels.grid))
    problem = (
        f"volume {number} (counted from 0) has NaN or infinite values in {len(bad)} of the "
        f"{len(row)} voxels asked for, the first at {where}; nan='keep' takes them as they are"
    )
    return NotFiniteError(header.path, problem)


def masked(
    reader: Reader,
    voxels: Voxels,
    keep: NDArray[np.bool_] | None = None,
    *,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Return the voxels of all volumes, or of those where `keep` is true.

    Returns
    -------
    numpy.ndarray
        float32, shape (n_volumes, n_voxels), C-contiguous.
    """
    volumes = reader.header.volumes
    wanted = np.ones(volumes, dtype=bool) if keep is None else keep
    rows = np.cumsum(wanted) - 1
    out = np.empty((int(wanted.sum()), len(voxels)), dtype=np.float32)

    def row_for(number: int) -> NDArray[np.float32]:
        row: NDArray[np.float32] = out[rows[number]]
        return row

    for _ in forward_pass(reader, voxels, row_for, wanted, finite=finite):
        continue
    return out


def whole_volume(reader: Reader) -> NDArray[Any]:
    """Return the first volume, scaled; shape ``grid``, in memory as on disk (Fortran order)."""
    header = reader.header
    values = np.empty(header.voxels, header.dtype)
    reader.fill(values.view(np.uint8).data, 0)
    reader.finish()
    return _scaled(values.reshape(header.grid, order="F"), header)


def as_mask(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where values are neither 0 nor NaN."""
    mask: NDArray[np.bool_] = (values != 0) & (values == values)  # noqa: PLR0124 - NaN is not
    return mask
