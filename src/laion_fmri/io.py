"""Read single files of the dataset as arrays and tables, and list all files in one table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import laion_fmri.volumes  # noqa: F401 - names the extra where numpy is missing

# isort: split
import numpy as np

from laion_fmri._names import also_named
from laion_fmri.config import data_directory
from laion_fmri.errors import BadDataError, CorruptFileError
from laion_fmri.loader.roi_files import read_label, read_surface
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import Voxels, as_mask, masked, whole_volume
from neurofetch.engine import ENTITY_NAMES, datatype_of
from neurofetch.engine import parse_entities as parse
from neurofetch.extras import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    StrPath = str | os.PathLike[str]

__all__ = [
    "index",
    "load_freesurfer_label",
    "load_gifti_mask",
    "load_nifti_4d",
    "load_nifti_data",
    "load_nifti_mask",
    "load_nifti_with_affine",
    "load_tsv",
]

_FIRST = ("sub", "ses")  # in the table; in a file name, a template may stand between them
_ENTITIES = (*_FIRST, *(name for name in ENTITY_NAMES.values() if name not in _FIRST))


def load_nifti_mask(path: StrPath) -> NDArray[np.bool_]:
    """Read a 3-D mask.

    Returns
    -------
    numpy.ndarray
        bool, shape (n_total_voxels,), C order; true where the file is neither 0 nor NaN.

    Raises
    ------
    CorruptFileError, BadDataError
        If it is damaged, or not 3-D.
    """
    need("load_nifti_mask()", "loader", "nibabel", "isal")
    with open_file(Path(path)) as reader:
        reader.header.need(3)
        return as_mask(whole_volume(reader)).ravel()


@also_named(mask="mask_path")
def load_nifti_data(
    path: StrPath, mask_path: StrPath | NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Read a 3-D map.

    Parameters
    ----------
    path : str or path
    mask_path : str, path or numpy.ndarray, optional
        Which voxels: a mask file (see `load_nifti_mask`), or bool over the whole grid, flat in C
        order or 3-D. Default: all voxels.

    Returns
    -------
    numpy.ndarray
        float32, shape (n_voxels,); NaN stays NaN.

    Raises
    ------
    ValueError
        If the mask is not of the map's grid.
    CorruptFileError, BadDataError
        If a file is damaged, or not 3-D.
    """
    need("load_nifti_data()", "loader", "nibabel", "isal")
    mask = _mask_over(mask_path)
    with open_file(Path(path)) as reader:
        reader.header.need(3)
        voxels = _voxels(mask, reader.header.grid, path)
        values: NDArray[np.float32] = masked(reader, voxels, finite=False)[0]
    return values


@also_named(mask="voxel_mask", mask_path="voxel_mask")
def load_nifti_4d(
    path: StrPath,
    voxel_mask: NDArray[np.bool_] | StrPath | None = None,
    streaming: bool = False,  # noqa: ARG001 - every read streams
) -> NDArray[np.float32]:
    """Read a 4-D file in one pass; memory holds the result and little more.

    Parameters
    ----------
    path : str or path
    voxel_mask : numpy.ndarray, str or path, optional
        As `mask_path` in `load_nifti_data`.
    streaming : bool
        An argument of the public package. It has no effect here: every read streams.

    Returns
    -------
    numpy.ndarray
        float32, shape (n_volumes, n_voxels), C-contiguous; NaN stays NaN.

    Raises
    ------
    ValueError
        If the mask is not of the file's grid, or the file is not 4-D (a `BadDataError`).
    CorruptFileError
        If a file is damaged.
    """
    need("load_nifti_4d()", "loader", "nibabel", "isal")
    mask = _mask_over(voxel_mask)
    with open_file(Path(path)) as reader:
        reader.header.need(4)
        return masked(reader, _voxels(mask, reader.header.grid, path), finite=False)


def load_nifti_with_affine(path: StrPath) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read a 3-D or 4-D file as it is.

    Returns
    -------
    data : numpy.ndarray
        float32, shape (x, y, z) or (x, y, z, n_volumes); NaN stays NaN.
    affine : numpy.ndarray
        float64, shape (4, 4): from voxel indices to millimetres in the scanner.

    Raises
    ------
    CorruptFileError, BadDataError
        If it is damaged, or neither 3-D nor 4-D.
    """
    need("load_nifti_with_affine()", "loader", "nibabel", "isal")
    with open_file(Path(path)) as reader:
        header = reader.header
        values = masked(reader, _voxels(None, header.grid, path), finite=False)
    if header.dimensions == 3:
        return values[0].reshape(header.grid), header.affine
    return np.ascontiguousarray(values.T).reshape(*header.grid, -1), header.affine


def _mask_over(mask: NDArray[np.bool_] | StrPath | None) -> NDArray[np.bool_] | None:
    return load_nifti_mask(mask) if isinstance(mask, (str, os.PathLike)) else mask


def _voxels(mask: NDArray[np.bool_] | None, grid: tuple[int, int, int], path: StrPath) -> Voxels:
    total = int(np.prod(grid))
    flat = np.ones(total, dtype=bool) if mask is None else np.asarray(mask).ravel()
    if flat.dtype != bool or flat.size != total:
        raise ValueError(
            f"mask has {flat.size} values of type {flat.dtype}; {path} has {total} voxels, grid "
            f"{grid}: expected as many values of type bool."
        )
    return Voxels.from_mask(flat, grid)


def load_tsv(path: StrPath) -> pd.DataFrame:
    """Read a BIDS table: tab-separated, ``n/a`` is missing, nothing else is.

    Returns
    -------
    pandas.DataFrame
        One row per line, with the columns of the file.

    Raises
    ------
    CorruptFileError
        If it is no such table.
    """
    need("load_tsv()", "loader", "pandas")
    import pandas as pd

    try:
        return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
        raise CorruptFileError(str(path), f"cannot be read as a table ({exc})") from exc


def load_gifti_mask(path: StrPath) -> NDArray[np.bool_]:
    """Read a ``.func.gii`` mask: bool, shape (n_vertices,); true where neither 0 nor NaN.

    Returns
    -------
    numpy.ndarray
        bool, shape (n_vertices,).

    Raises
    ------
    CorruptFileError, BadDataError
        If it is no GIFTI, or a mesh.
    """
    need("load_gifti_mask()", "loader", "nibabel")
    return read_surface(Path(path))


def load_freesurfer_label(path: StrPath) -> NDArray[np.int64]:
    """Read a FreeSurfer ``.label``: vertex numbers, int64, shape (n_label_vertices,).

    Returns
    -------
    numpy.ndarray
        int64, shape (n_label_vertices,).

    Raises
    ------
    CorruptFileError
        If it is no label, or has more or fewer vertices than it says.
    """
    need("load_freesurfer_label()", "loader", "nibabel")
    return read_label(Path(path))


def index(data_dir: StrPath | None = None) -> pd.DataFrame:
    """Return a table of all files in a data directory, with what their names say.

    The folders are walked once, and no file is opened. Hidden files and folders are left out, also
    ``.laion_fmri``. Links are followed; a link to nothing, or to a folder above it, is one row.

    Parameters
    ----------
    data_dir : str or path, optional
        Default: the configured directory.

    Returns
    -------
    pandas.DataFrame
        One row per file, sorted by path. Columns as bids2table's: ``dataset`` (the directory's
        name), one per BIDS entity by its short name (``sub``, ``ses``, ``task``, …), ``datatype``,
        ``suffix``, ``ext``, ``extra_entities`` (a dict, or None), ``root``, ``path`` (relative,
        with forward slashes); and ``size`` in bytes. What a name does not say is missing.
        Values are text, as they are in the name.
    """
    need("index()", "loader", "pandas")
    import pandas as pd

    root = data_directory(data_dir)
    files = sorted(_walk(str(root), "", ()))
    values: dict[str, list[Any]] = {}
    for number, (path, _) in enumerate(files):
        for name, value in _facts(path):
            column = values.get(name)
            if column is None:
                column = values[name] = [None] * len(files)
            column[number] = value
    nothing = [None] * len(files)
    columns: dict[str, list[Any]] = {"dataset": [root.name] * len(files)}
    for name in [*_ENTITIES, "datatype", "suffix", "ext", "extra_entities"]:
        columns[name] = values.get(name, nothing)
    columns["root"] = [str(root)] * len(files)
    columns["path"] = [path for path, _ in files]
    columns["size"] = [size for _, size in files]
    return pd.DataFrame(columns)


def _walk(folder: str, prefix: str, passed: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    try:
        entries = os.scandir(folder)
    except OSError as exc:
        raise BadDataError(folder, f"cannot be listed ({exc.strerror})") from exc
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            at = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{at}/", passed)
            elif not entry.is_symlink():
                yield at, entry.stat().st_size
            elif entry.is_dir() and not _leads_back(entry.path, here := (*passed, folder)):
                yield from _walk(entry.path, f"{at}/", here)
            else:
                yield at, entry.stat(follow_symlinks=entry.is_file()).st_size


def _leads_back(link: str, passed: tuple[str, ...]) -> bool:
    """Whether a link leads to a folder that the walk is in, by the links followed so far."""
    target = Path(os.path.realpath(link))
    return any(Path(os.path.realpath(folder)).is_relative_to(target) for folder in passed)


def _facts(path: str) -> Iterator[tuple[str, Any]]:
    """Yield what a path says, as column and value."""
    parsed = parse(path)
    extra = {}
    for name, value in parsed.values:
        if name in _ENTITIES:
            yield name, value
        else:
            extra[name] = value
    if extra:
        yield "extra_entities", extra
    if parsed.suffix:
        yield "suffix", parsed.suffix
    if parsed.extension:
        yield "ext", parsed.extension
    if datatype := datatype_of(path):
        yield "datatype", datatype
