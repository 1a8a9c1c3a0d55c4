"""Volumes for pictures: one frame, or the mean of all, in memory for two of them."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np

from neurofetch._shown import shown
from neurofetch.errors import UsageError, VerificationError
from neurofetch.pictures.looks import VOLUMES, Facts, Look, look_of, settled
from neurofetch.planning.results import of_description, of_name
from neurofetch.store.absent import content_missing, what_brings
from neurofetch.store.atomic import read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "NotHereError",
    "Volume",
    "check_here",
    "no_whole_file",
    "read_volume",
    "sidecar_of",
    "vertices_of",
]

MOST_VOXELS: Final = 40_000_000
"""Of a volume in a picture. Of a larger one, every second voxel of each axis is drawn, or fewer."""
MEAN_OF: Final = 2_000_000_000
"""Bytes, unpacked. Of a longer series, the first volume is drawn where nobody asks for the mean."""
_VERTICES = 642
"""Of the coarsest surface of FreeSurfer, fsaverage3."""
_LARGEST_SIDECAR = 1 << 20
_LARGEST_VALUE = 1e30
"""What is larger is drawn as this: sums of it have room."""
_UNREADABLE = (
    *(OSError, EOFError, ValueError, zlib.error, KeyError, IndexError, TypeError),
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.spatialimages.ImageDataError,
)


class NotHereError(UsageError, FileNotFoundError):
    """The content of a file was not fetched: a link or a pointer stands in its place."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of three dimensions, and what is said of it.

    Parameters
    ----------
    path : Path
    values : numpy.ndarray
        Shape (x, y, z), float32; NaN where there is no value.
    affine : numpy.ndarray
        Voxels to millimetres.
    look : Look
    frames : int
        How many volumes the file has.
    which : str
        Which of them this is: ``"volume 3 of 24"``, ``"mean of 24 volumes"``; empty for one of one.
    shape, zooms : tuple
        Of the file: voxels, and millimetres of a voxel.
    told : str
        The name of the contrast, where SPM wrote it into the header.
    mni : bool
        Whether the header says that it is in MNI space.
    """

    path: Path
    values: NDArray[Any]
    affine: NDArray[Any]
    look: Look
    frames: int
    which: str
    shape: tuple[int, ...]
    zooms: tuple[float, ...]
    told: str = ""
    mni: bool = False

    def image(self, values: NDArray[Any] | None = None) -> Any:
        """Return an image of nibabel, of these values or others on the same grid."""
        return nib.nifti1.Nifti1Image(self.values if values is None else values, self.affine)


def read_volume(
    path: Path, frame: int | str | None = None, *, map_type: str = "", look: Look | None = None
) -> Volume:
    """Read a volume, or of a series one or the mean.

    Parameters
    ----------
    path : Path
    frame : int or "mean", optional
        Which volume, counted from 1. By default the mean, and of phases and of very long series the
        first.
    map_type : str
        What NeuroVault calls it.
    look : Look, optional
        How it is drawn, where that is known; by default what is said of it decides.

    Raises
    ------
    NotHereError
        If its content was not fetched.
    VerificationError
        If the file is not whole.
    UsageError
        If it is of another kind, or has no such volume.
    """
    check_here(path)
    if vertices := vertices_of(path):
        raise UsageError(
            f"{shown(str(path))} has values of {vertices:,} vertices of a surface, and no volume. "
            f"It is not on this picture: 'neurofetch show' with the file alone draws it."
        )
    try:
        image: Any = nib.loadsave.load(path, keep_file_open=True)
    except _UNREADABLE as exc:
        raise no_whole_file(path, exc) from exc
    shape = tuple(int(size) for size in image.shape)
    if not hasattr(image, "affine") or len(shape) < 2 or image.affine is None:
        raise UsageError(f"{shown(str(path))} holds no volume: it is a {type(image).__name__}.")
    if image.get_data_dtype().fields or not np.prod(shape):
        raise UsageError(f"{shown(str(path))} holds no numbers that can be drawn as a map.")
    if not _is_somewhere(image.affine):
        raise UsageError(
            f"{shown(str(path))} does not say where its voxels are: the affine of its header "
            f"cannot be used. Nothing was drawn. Mend its sform or qform; or fetch the file again."
        )
    intent, description, space = _said_by(image.header)
    if look is None:
        look = look_of(
            *(str(path),), sidecar=sidecar_of(path), intent=intent, description=description,
            map_type=map_type,
        )  # fmt: skip
    series = _Series(path, image, _step(shape))
    chosen, which = _chosen(path, series, frame, look)
    try:
        values = series.mean() if chosen is None else series.frame(chosen)
    except (*_UNREADABLE, MemoryError) as exc:
        raise no_whole_file(path, exc) from exc
    if look.kind == "any":
        look = settled(look, replace(_facts(values), frames=series.frames))
    affine = image.affine @ np.diag([*series.step, 1])
    zooms = tuple(float(zoom) for zoom in image.header.get_zooms()[:3])
    told = of_description(description)[1]
    return Volume(path, values, affine, look, series.frames, which, shape, zooms, told, space == 4)


def _said_by(header: Any) -> tuple[int, str, int]:
    """Return what a header of NIfTI says: intent, description, and the code of its space."""
    if not isinstance(header, nib.nifti1.Nifti1Header):
        return 0, "", 0
    text = bytes(header["descrip"].item()).rstrip(b"\0").decode("utf-8", "replace")
    return int(header["intent_code"]), text, int(header["sform_code"])


def vertices_of(path: Path) -> int:
    """Return of how many vertices of a surface a file of FreeSurfer has values; 0 for a volume.

    ``lh.sig.mgh`` is no volume, though its name ends as that of one: all is along the first axis.

    Parameters
    ----------
    path : Path
    """
    if not path.name.lower().endswith((".mgh", ".mgz")):
        return 0
    try:
        with (gzip.open if path.name.lower().endswith("z") else open)(path, "rb") as file:
            _, length, *others = struct.unpack(">4i", file.read(16))
    except (OSError, EOFError, zlib.error, struct.error):  # damaged: who reads all of it says so
        return 0
    return length if others == [1, 1] and length >= _VERTICES else 0


def sidecar_of(path: Path) -> dict[str, object]:
    """Return the JSON file beside a file, as far as it can be read; empty where there is none."""
    name = path.name
    for end in (*VOLUMES, ".func.gii", ".shape.gii", ".gii", ".tsv"):
        if name.endswith(end):
            name = name.removesuffix(end)
            break
    try:
        beside = path.with_name(name + ".json")
        if beside == path or not 0 < beside.stat().st_size < _LARGEST_SIDECAR:
            return {}
        content = json.loads(read_regular(beside))
    except (OSError, ValueError):  # a picture needs no sidecar: one that is damaged says nothing
        return {}
    return content if isinstance(content, dict) else {}


def check_here(path: Path) -> None:
    """Raise `NotHereError` where a link or a pointer stands in place of a file.

    Parameters
    ----------
    path : Path
    """
    try:
        missing = content_missing(path)
    except OSError:  # it may not be read: who opens it says so
        return
    if missing:
        program = what_brings(missing)
        command = shown(f"{program} {shlex.quote(path.name)}")
        brings = f"'{command}' in its folder brings it. " if program else ""
        raise NotHereError(
            f"{shown(str(path))} is {shown(missing)}: its content was not fetched. Nothing was "
            f"drawn. {brings}If neurofetch fetched the data set, the same 'neurofetch get' does."
        )


def no_whole_file(path: Path, cause: BaseException, what: str = "an image") -> VerificationError:
    """Return the error of a file that cannot be read as what it is to be."""
    said = shown(str(cause) or type(cause).__name__)
    return VerificationError(
        f"{shown(str(path))} cannot be read as {what}: {said[:300]}. Nothing was drawn. "
        f"{_what_mends(path)}"
    )


def _what_mends(path: Path) -> str:
    of_vault = re.fullmatch(r"image_(\d+)(?:_resampled)?\.nii\.gz", path.name)
    if of_vault and re.fullmatch(r"collection_\d+", path.absolute().parent.name):
        return (
            f"'neurofetch neurovault verify' says whether it is damaged, and 'neurofetch "
            f"neurovault fetch --image {of_vault[1]}' brings it again."
        )
    return (
        "If neurofetch fetched it, 'neurofetch verify DIR --hash' says whether it is damaged, and "
        "the same 'get' again brings what is missing."
    )


def _is_somewhere(affine: NDArray[Any]) -> bool:
    """Whether an affine has numbers alone, and three directions."""
    return bool(np.isfinite(affine).all()) and np.linalg.matrix_rank(affine[:3, :3]) == 3


def _step(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return how many voxels of each axis stand for one, so that a volume has room."""
    sizes = [*shape[:3], 1][:3]
    step = [1, 1, 1]
    while sizes[0] // step[0] * (sizes[1] // step[1]) * (sizes[2] // step[2]) > MOST_VOXELS:
        step = [2 * one for one in step]
    return step[0], step[1], step[2]


@dataclass(slots=True)
class _Series:
    """The volumes of a file, read one after the other: of what is compressed, on from the last."""

    path: Path
    image: Any
    step: tuple[int, int, int]

    @property
    def frames(self) -> int:

        return int(np.prod(self.image.shape[3:]))

    @property
    def unpacked(self) -> int:

        return int(np.prod(self.image.shape)) * int(self.image.get_data_dtype().itemsize)

    def frame(self, number: int) -> NDArray[Any]:
        """Return a volume, counted from 0."""
        further = np.unravel_index(number, self.image.shape[3:], order="F") if self.frames else ()
        x, y, z = self.step
        if self.step == (1, 1, 1) or len(self.image.shape) < 3:
            values = np.asarray(
                self.image.dataobj[(..., *further)] if further else self.image.dataobj
            )
        else:  # plane by plane, so that a whole volume is never in memory
            planes = range(0, self.image.shape[2], z)
            read = self.image.dataobj
            values = np.stack(
                [np.asarray(read[(..., plane, *further)])[::x, ::y] for plane in planes], axis=2
            )
        if np.iscomplexobj(values):
            values = np.abs(values)
        values = values.astype(np.float32)
        values[~np.isfinite(values)] = np.nan
        np.clip(values, -_LARGEST_VALUE, _LARGEST_VALUE, out=values)
        return values[..., None] if values.ndim == 2 else values

    def mean(self) -> NDArray[Any]:
        """Return the mean of all volumes, of each voxel over those in which it has a value."""
        total, count = np.zeros(0), np.zeros(0)
        for number in range(self.frames):
            values = self.frame(number)
            if not number:
                total = np.zeros(values.shape)
                count = np.zeros(values.shape, dtype=np.int32)
            known = ~np.isnan(values)
            total[known] += values[known]
            count += known
        with np.errstate(invalid="ignore"):
            return np.asarray(total / np.where(count, count, np.nan), dtype=np.float32)


def _chosen(
    path: Path, series: _Series, frame: int | str | None, look: Look
) -> tuple[int | None, str]:
    """Return which volume to read, counted from 0 (None: the mean), and what the picture says."""
    frames = series.frames
    if isinstance(frame, int) and not 1 <= frame <= frames:
        some = f"1 to {frames}" if frames > 1 else "1 alone"
        raise UsageError(f"{shown(str(path))} has no volume {frame}: it has {some}.")
    if frames == 1:
        return 0, ""
    if frame is None and (_differ(path, look) or series.unpacked > MEAN_OF):
        frame = 1
    if isinstance(frame, int):
        return frame - 1, f"volume {frame:,} of {frames:,}"
    return None, f"mean of {frames:,} volumes"


def _differ(path: Path, look: Look) -> bool:
    """Whether a mean over the volumes of a file has no meaning: of several contrasts, say."""
    return look.kind in ("phase", "labels", "statistic") or of_name(path.name) == "bundle"


def _facts(values: NDArray[Any]) -> Facts:
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return Facts(0.0, 0.0, whole=True, distinct=0)
    few = known[:: max(1, known.size // 200_000)]
    whole = bool((few == np.round(few)).all())
    distinct = len(np.unique(few)) if whole else few.size
    return Facts(float(known.min()), float(known.max()), whole=whole, distinct=distinct)
