"""The brain mask: the voxels that are the columns of every result."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from laion_fmri.errors import BadDataError, GridMismatchError
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import Voxels, as_mask, whole_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laion_fmri.volumes.nifti import Header

__all__ = ["Brain", "BrainFile", "read_brain", "voxel_coordinates"]


@dataclass(frozen=True, slots=True)
class Brain:
    """The voxels of the brain, where a file is neither 0 nor NaN.

    Parameters
    ----------
    header : Header
        Of that file: grid and affine.
    voxels : Voxels
        In the order of a C-order ravel of the grid.
    source : {"anatomical", "rsquare"}
        The anatomical brain mask, or the mean-R² map of the subject.
    digest : str
        Of the voxels: the same for the same columns.
    """

    header: Header
    voxels: Voxels
    source: str = "rsquare"
    digest: str = ""

    def __len__(self) -> int:
        return len(self.voxels)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.header.path)

    @property
    def file(self) -> BrainFile:
        """The mask by its file, for other processes."""
        return BrainFile(self.path, self.source, self.digest)

    def flat(self) -> NDArray[np.bool_]:
        """Return the mask over the whole grid, flat."""
        mask = np.zeros(self.header.voxels, dtype=bool)
        mask[self.voxels.indices] = True
        return mask

    def part(self, columns: NDArray[np.intp] | None) -> Voxels:
        """Return some of the voxels, by their positions in the mask; None for all."""
        if columns is None:
            return self.voxels
        return Voxels(self.voxels.grid, self.voxels.indices[columns])


@dataclass(frozen=True, slots=True)
class BrainFile:
    """A brain mask by its file: some bytes for another process, in place of some megabytes.

    Parameters
    ----------
    path : pathlib.Path
    source : {"anatomical", "rsquare"}
    digest : str
        Of the voxels that are meant.
    """

    path: Path
    source: str
    digest: str

    def read(self) -> Brain:
        """Read the mask.

        Raises
        ------
        GridMismatchError
            If it has other voxels than those that are meant.
        """
        brain = read_brain(self.path, self.source)
        if brain.digest != self.digest:
            problem = (
                "gives other voxels here than where these betas were asked for: it has changed "
                "since then, or is another file on this machine; ask for the betas again"
            )
            raise GridMismatchError(str(self.path), problem)
        return brain


def read_brain(path: Path, source: str = "rsquare") -> Brain:
    """Read the brain mask from a file; kept in memory as long as the file is the same.

    Raises
    ------
    BadDataError
        If every voxel is 0 or NaN, or the file is damaged or not 3-D.
    """
    now = path.stat()
    return _read(path, source, now.st_size, now.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, source: str, _size: int, _mtime_ns: int) -> Brain:
    with open_file(path) as reader:
        header = reader.header
        header.need(3)
        mask = as_mask(whole_volume(reader))
    inside = np.flatnonzero(mask.ravel())  # in C order, whatever the order in memory
    if not len(inside):
        raise BadDataError(str(path), "every voxel is 0 or NaN: no brain mask")
    inside.setflags(write=False)  # shared by all later calls
    digest = hashlib.blake2b(f"{header.grid}".encode() + inside.tobytes(), digest_size=16)
    return Brain(header, Voxels(header.grid, inside), source, digest.hexdigest())


def voxel_coordinates(voxels: Voxels, header: Header) -> NDArray[np.float64]:
    """Return the scanner coordinates of voxels in millimetres, shape (n_voxels, 3).

    Returns
    -------
    numpy.ndarray
        float64, shape (n_voxels, 3): x, y, z in millimetres.
    """
    ijk = np.stack(np.unravel_index(voxels.indices, voxels.grid), axis=1)
    return ijk @ header.affine[:3, :3].T + header.affine[:3, 3]
