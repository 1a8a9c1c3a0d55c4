"""From a subject's voxels to a template: the steps behind `laion_fmri.templates`."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from laion_fmri.errors import BadDataError
from laion_fmri.loader.layout import Layout
from laion_fmri.loader.masks import brain_of
from laion_fmri.loader.voxels import check_source
from neurofetch.errors import UnknownValueError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = [
    "SIDES",
    "Hemisphere",
    "Maps",
    "MaskSource",
    "OfSubject",
    "check_surface",
    "in_mni305",
    "maps_of",
    "on_fsaverage",
    "on_own_surface",
    "one_of",
    "sphere_weights",
    "without_nan",
]

Hemisphere = Literal["L", "R"]
MaskSource = Literal["anatomical", "rsquare"]

SIDES: dict[Hemisphere, str] = {"L": "lh", "R": "rh"}

_BLOCK = 16
"""Volumes that are on the grid at a time: 16 are 190 MB on the grid of the data set."""


class OfSubject(Protocol):
    """What is asked of a subject: its name, and where its files are."""

    @property
    def subject_id(self) -> str:
        """Full BIDS name."""
        ...

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        ...


def one_of(what: str, value: object, known: Iterable[str]) -> str:
    """Return a word that is one of those that are known.

    Raises
    ------
    UnknownValueError
        If it is none.
    """
    if isinstance(value, str) and value in known:
        return value
    raise UnknownValueError(f"{what}={value!r}: expected one of {', '.join(known)}.")


def check_surface(surface: object) -> None:
    """Raise `UnknownValueError` if this cannot be the name of a surface."""
    if not (isinstance(surface, str) and re.fullmatch(r"\w+", surface)):
        raise UnknownValueError(f"surface={surface!r}: expected a surface such as 'white'.")


# --- what is on the voxels ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Maps:
    """One or several volumes of a subject, some of them at a time.

    Parameters
    ----------
    affine, grid
    count : int
        How many volumes there are.
    several : bool
        Whether the result has an axis for them.
    read : callable
        Takes start and stop; gives float32, shape (*grid, stop - start), without NaN.
    """

    affine: NDArray[np.float64]
    grid: tuple[int, int, int]
    count: int
    several: bool
    read: Callable[[int, int], Floats]

    def blocks(self) -> list[tuple[int, int]]:
        return [(start, min(start + _BLOCK, self.count)) for start in range(0, self.count, _BLOCK)]


def maps_of(subject: OfSubject, values: Any, mask_source: str) -> Maps:
    """Return what is to be resampled: of an image, of its path, or of values of a mask's voxels."""
    import numpy as np

    if isinstance(values, (str, os.PathLike)):
        import nibabel as nib

        path = Path(values).expanduser()
        with _damage(path, "image", "make it again"):
            image = nib.load(path)
        return _of_image(image)
    if hasattr(values, "dataobj"):
        return _of_image(values)
    array = numbers(values)
    source = cast("MaskSource", one_of("mask_source", mask_source, ("anatomical", "rsquare")))
    brain = brain_of(Layout(Path(subject.data_dir), subject.subject_id), source)
    check_source(values, brain, "the array of values")
    voxels, grid, affine = brain.voxels.indices, brain.header.grid, brain.header.affine
    if array.ndim not in (1, 2) or array.shape[-1] != len(voxels):
        raise UsageError(
            f"values have the shape {array.shape}; expected ({len(voxels)},), or (n_trials, "
            f"{len(voxels)}): one for each voxel of the mask of {mask_source!r} of "
            f"{subject.subject_id}."
        )
    rows = np.atleast_2d(array)
    _check_count(array.shape, len(rows))

    def read(start: int, stop: int) -> Floats:
        volume = np.zeros((int(np.prod(grid)), stop - start), dtype=np.float32)
        volume[voxels] = without_nan(rows[start:stop]).T
        return volume.reshape(*grid, stop - start)

    return Maps(affine, grid, len(rows), array.ndim == 2, read)


def _of_image(image: Any) -> Maps:
    import numpy as np

    if len(image.shape) not in (3, 4):
        raise UsageError(f"values have the shape {image.shape}; expected a 3-D or a 4-D volume.")
    several = len(image.shape) == 4
    grid = image.shape[:3]
    _check_count(image.shape, image.shape[3] if several else 1)

    name = Path(image.get_filename() or "values")

    def read(start: int, stop: int) -> Floats:
        with _damage(name, "image", "make it again"):
            part = np.asarray(image.dataobj[..., start:stop] if several else image.dataobj)
        return without_nan(part).reshape(*grid, stop - start)

    return Maps(image.affine, grid, image.shape[3] if several else 1, several, read)


def _check_count(shape: tuple[int, ...], count: int) -> None:
    if not count:
        raise UsageError(f"values have the shape {shape}: there is no trial to resample.")


def numbers(values: Any) -> NDArray[Any]:
    """Return values as an array of numbers; NaN where an array of numpy.ma is masked.

    Raises
    ------
    UsageError
        If they are no real numbers.
    """
    import numpy as np

    masked = np.ma.isMaskedArray(values)
    array = np.asarray(values.astype(np.float32).filled(np.nan) if masked else values)
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as exc:
            raise UsageError(f"values are no numbers ({exc}).") from exc
    if array.dtype.kind not in "biuf":
        raise UsageError(f"values are of the type {array.dtype}; expected real numbers.")
    return array


def without_nan(values: Any) -> Floats:
    """Return float32 with 0 in the place of NaN."""
    import numpy as np

    array = numbers(values).astype(np.float32)
    array[np.isnan(array)] = 0
    return array


def _freesurfer(subject: OfSubject, name: str) -> Path:
    layout = Layout(Path(subject.data_dir), subject.subject_id)
    path = layout.freesurfer / name
    how: dict[str, str | bool] = {"ses": "averages", "include_freesurfer": True}
    if not os.path.lexists(path):
        here = sorted(one.name for one in path.parent.glob(f"{path.stem.split('.')[0]}.*"))
        there = f" (here: {', '.join(here)})" if here else ""
        layout.missing(f"FreeSurfer's {name}{there}", **how)
    return layout.present(path, **how)


# --- to a volume ----------------------------------------------------------------------------------


def in_mni305(subject: OfSubject, maps: Maps) -> Nifti1Image:
    """Give each voxel of the template the value of the nearest voxel of the subject.

    Which voxel that is is found once, by resampling the voxels' numbers.
    """
    import nibabel as nib
    import numpy as np
    from nitransforms.linear import Affine
    from nitransforms.resampling import apply

    path = _freesurfer(subject, "mri/transforms/talairach.lta")
    try:
        affine = Affine.from_filename(str(path), fmt="lta")
    except Exception as exc:  # its reader asserts, indexes and converts
        raise BadDataError(str(path), f"is no linear transform of FreeSurfer ({exc})") from exc
    numbers = np.arange(1, np.prod(maps.grid) + 1, dtype=np.float64).reshape(maps.grid)
    make: Any = nib.Nifti1Image
    source = make(numbers, maps.affine)
    reference = _mni305_grid() or make(np.zeros(maps.grid, dtype=np.uint8), maps.affine)
    placed = apply(affine, source, reference=reference, order=0)
    nearest = np.asarray(placed.dataobj).astype(np.intp)
    found = np.zeros((*nearest.shape, maps.count), dtype=np.float32)
    for start, stop in maps.blocks():
        values = maps.read(start, stop).reshape(-1, stop - start)
        outside = np.zeros((1, stop - start), dtype=np.float32)
        found[..., start:stop] = np.concatenate([outside, values])[nearest]
    image: Nifti1Image = make(found if maps.several else found[..., 0], placed.affine)
    image.header.set_xyzt_units("mm")
    return image


def _mni305_grid() -> Any:
    import nibabel as nib

    try:
        path = _template("MNI305", suffix="T1w", extension=".nii.gz")
    except UnreachableError as exc:
        warnings.warn(
            f"{exc} The result is on the grid of the input, in the coordinates of MNI305.",
            UserWarning,
            stacklevel=4,
        )
        return None
    with _damage(path, "image", _AGAIN):
        return nib.load(path)


# --- to a surface ---------------------------------------------------------------------------------


def on_own_surface(
    subject: OfSubject, maps: Maps, side: Hemisphere, surface: str, interpolation: str
) -> Floats:
    """Sample volumes at a surface; shape (n_vertices,), or (n_maps, n_vertices)."""
    import nibabel as nib
    import numpy as np
    from nilearn.surface import InMemoryMesh, vol_to_surf

    path = _freesurfer(subject, f"surf/{SIDES[side]}.{surface}")
    points, faces, about = _geometry(path, read_metadata=True)
    # The file counts from the middle of the volume that the surface was made from.
    mesh = InMemoryMesh(points + about.get("cras", 0), faces)
    make: Any = nib.Nifti1Image
    sampled = []
    for start, stop in maps.blocks():
        image = make(maps.read(start, stop), maps.affine)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            found = np.asarray(vol_to_surf(image, mesh, interpolation=interpolation))
        sampled.append(found.reshape(len(points), stop - start).T)
    values = np.concatenate(sampled).astype(np.float32)
    if outside := np.isnan(values).any(axis=0).sum():
        warnings.warn(
            f"{outside:,} of {len(points):,} vertices of {path.name} lie outside of the volume: "
            f"they have no value, and are NaN.",
            UserWarning,
            stacklevel=3,
        )
    return values if maps.several else np.asarray(values[0])


def on_fsaverage(subject: OfSubject, values: Floats, side: Hemisphere, density: str) -> Floats:
    """Take values of a subject's own surface to a sphere of fsaverage."""
    import numpy as np

    sphere = _freesurfer(subject, f"surf/{SIDES[side]}.sphere.reg")
    template = _template(
        "fsaverage", hemi=side, density=density, suffix="sphere", extension=".surf.gii"
    )
    resampler = _resampler(sphere, _when(sphere), template, _when(template))
    vertices = resampler.moving._npoints
    if values.ndim not in (1, 2) or values.shape[-1] != vertices:
        raise UsageError(
            f"values have the shape {values.shape}; expected ({vertices},), or (n_maps, {vertices})"
            f": one for each vertex of the {side} hemisphere of {subject.subject_id}."
        )
    return np.asarray(resampler.apply(values), dtype=np.float32)


def _geometry(path: Path, **keywords: bool) -> Any:
    """Read a surface of FreeSurfer."""
    from nibabel.freesurfer import io as freesurfer

    read: Any = freesurfer.read_geometry
    with _damage(path, "surface of FreeSurfer", "fetch it again"):
        return read(path, **keywords)


_AGAIN = "remove it, and TemplateFlow fetches it again"


@contextmanager
def _damage(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Name the file that a reader stumbles over: each stumbles in its own way."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as exc:
        raise BadDataError(str(path), f"is no whole {what} ({exc}): {remedy}") from exc


def _when(path: Path) -> tuple[int, int]:
    now = path.stat()
    return now.st_size, now.st_mtime_ns


@lru_cache(maxsize=4)
def _resampler(sphere: Path, _sphere: object, template: Path, _template: object) -> Any:
    """Return the weights between two spheres, kept as long as the files are the same."""
    from nitransforms.base import SurfaceMesh
    from nitransforms.surface import SurfaceResampler

    points, faces = _geometry(sphere)
    moving = SurfaceMesh.from_arrays(points, faces)
    with _damage(template, "surface", _AGAIN):
        reference = SurfaceMesh(str(template))
    # Its own weights are the same, but take minutes for 163,842 vertices.
    weights = sphere_weights(reference._coords, points, faces)
    return SurfaceResampler(reference, moving, mat=weights)


def sphere_weights(targets: NDArray[Any], points: NDArray[Any], faces: NDArray[Any]) -> Any:
    """Return barycentric weights: where the ray to each target meets a triangle of a sphere.

    Parameters
    ----------
    targets, points : numpy.ndarray
        Shape (n_targets, 3) and (n_points, 3), on spheres about the origin.
    faces : numpy.ndarray
        Shape (n_faces, 3): each triangle's points.

    Returns
    -------
    scipy.sparse.csr_array
        Shape (n_points, n_targets); each column adds up to 1.
    """
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.spatial import KDTree

    rays = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    a, b, c = (points / np.linalg.norm(points, axis=1, keepdims=True))[faces].swapaxes(0, 1)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c))
    flat = np.abs(volume) < 1e-15  # no ray meets such a triangle in one place
    volume[flat] = 1
    # A ray is u a + v b + w c, where u is its triple product with b and c over that of a, b and c.
    normals = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    normals /= volume[:, None, None]
    near = KDTree(a + b + c)
    chosen = np.zeros(len(rays), dtype=np.intp)
    weights = np.zeros((len(rays), 3))
    left = np.arange(len(rays))
    for neighbours in (6, 48, 384):  # uneven triangles: their middles may be far
        _, candidates = near.query(3 * rays[left], k=min(neighbours, len(faces)))
        shares = np.einsum("tkij,tj->tki", normals[candidates], rays[left])
        shares[flat[candidates]] = -1
        best = shares.min(axis=2).argmax(axis=1)
        rows = np.arange(len(left))
        chosen[left], weights[left] = candidates[rows, best], shares[rows, best]
        left = left[weights[left].min(axis=1) < -1e-9]
        if not len(left):
            break
    weights = np.clip(weights, 0, None)  # beside the triangle by rounding, or in a gap
    weights /= weights.sum(axis=1, keepdims=True)
    columns = np.repeat(np.arange(len(rays)), 3)
    shape = len(points), len(rays)
    return csr_array((weights.ravel(), (faces[chosen].ravel(), columns)), shape=shape)


# --- templates ------------------------------------------------------------------------------------


def _template(name: str, **entities: str) -> Path:
    """Return a file of TemplateFlow, which fetches it unless it is in ``TEMPLATEFLOW_HOME``."""
    what = " ".join([name, *entities.values()])
    try:
        found = _client(os.environ.get("TEMPLATEFLOW_HOME", "")).get(name, desc=None, **entities)
    except (OSError, RuntimeError) as exc:
        raise UnreachableError(f"TemplateFlow does not get its {what}: {exc}.") from exc
    if not isinstance(found, Path):
        raise UnreachableError(
            f"TemplateFlow has {len(found)} files of {what}; expected one. Update it: "
            f"templateflow update."
        )
    return found


@lru_cache(maxsize=1)
def _client(home: str) -> Any:
    from templateflow.client import TemplateFlowClient

    return TemplateFlowClient(root=home or None)
