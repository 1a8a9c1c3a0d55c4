"""All sessions as one lazy array, and trial tables as pandas has them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from laion_fmri.beta_store.zarr_layout import CHUNK_VOXELS
from laion_fmri.loader.trials import read_trials
from laion_fmri.volumes.brain_mask import voxel_coordinates

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from laion_fmri.loader.betas import SessionBetas
    from laion_fmri.loader.layout import Layout
    from laion_fmri.loader.trials import Trials

__all__ = ["lazy_betas", "trial_frame"]

#: Voxels of one Dask chunk: 34 MB of a real session.
_VOXELS = 64 * CHUNK_VOXELS


def trial_frame(trials: Trials) -> pd.DataFrame:
    """Return a trial table as pandas has it: numbers as numbers, ``n/a`` as missing."""
    import pandas as pd

    frame = pd.DataFrame(trials.columns)
    for name in frame.columns:
        if name not in ("session", "label"):
            frame[name] = _numbers(frame[name].replace("n/a", np.nan))
    return frame


def _numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def lazy_betas(
    sessions: list[SessionBetas], layout: Layout, columns: NDArray[np.intp] | None = None
) -> xr.DataArray:
    """Return the betas of sessions, one after another.

    See `laion_fmri.subject.Subject.get_lazy_betas`; `columns` are positions in the brain mask.
    """
    import dask.array
    import pandas as pd
    import xarray as xr

    da: Any = dask.array
    tables = [read_trials(layout.trials(betas.session)) for betas in sessions]
    blocks = []
    for betas, table in zip(sessions, tables, strict=True):
        lazy = _LazySession.of(betas, columns)
        table.check(lazy.shape[0], betas.path)
        blocks.append(_dask_array(lazy))
    frames = [trial_frame(table) for table in tables]
    trials = pd.concat(frames, ignore_index=True)
    brain = sessions[0].brain
    voxels = brain.part(columns)
    xyz = voxel_coordinates(voxels, brain.header)
    coordinates: dict[str, Any] = {
        name: ("trial", trials[name].to_numpy()) for name in ("run", "beta_index")
    }
    for name in ("session", "label"):
        coordinates[name] = ("trial", trials[name].to_numpy(dtype=str))
    coordinates["index"] = ("voxel", voxels.indices)
    coordinates |= {axis: ("voxel", xyz[:, number]) for number, axis in enumerate("xyz")}
    return xr.DataArray(
        da.concatenate(blocks, axis=0),
        dims=("trial", "voxel"),
        coords=coordinates,
        name="betas",
        attrs={
            "subject": layout.subject,
            "grid": list(brain.header.grid),
            "mask_source": brain.source,
        },
    )


def _dask_array(lazy: _LazySession) -> Any:
    """Return a session as a Dask array.

    Each chunk depends on one task that builds the store where there is none, so that chunks that
    many processes compute do not build it at once.
    """
    import dask.array
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    da: Any = dask.array
    # Without a store the file is read from its beginning for each chunk: then there is one.
    width = _VOXELS if lazy.stored else lazy.shape[1]
    chunks = (lazy.shape[0], max(min(width, lazy.shape[1]), 1))
    name = lazy.token(chunks)
    meta = np.empty((0, 0), dtype=np.float32)  # otherwise Dask asks for an empty slice
    plain = da.from_array(lazy, chunks=chunks, asarray=False, name=name, meta=meta)
    layers = dict(plain.dask.layers)
    (source,) = (key for key in layers if key != name)
    layers[source] = MaterializedLayer({source: (_prepared, lazy)})
    graph: Any = HighLevelGraph
    return da.Array(graph(layers, plain.dask.dependencies), name, plain.chunks, meta=meta)


def _prepared(lazy: _LazySession) -> _LazySession:
    """Build the session's store where there is to be one."""
    if lazy.stored:
        lazy.betas.any_store()
    return lazy


@dataclass(frozen=True, slots=True)
class _LazySession:
    """A session as an array for Dask: a shape, and slices that are read when they are taken.

    It is some kilobytes when it is sent to another process, which opens files of its own; with
    `columns`, positions in the brain mask, eight bytes more for each.
    """

    betas: SessionBetas
    shape: tuple[int, int]
    stored: bool
    columns: NDArray[np.intp] | None

    @classmethod
    def of(cls, betas: SessionBetas, columns: NDArray[np.intp] | None) -> _LazySession:
        whole = betas.header().volumes, len(betas.brain)
        shape = whole if columns is None else (whole[0], len(columns))
        return cls(betas, shape, betas.can_store(whole), columns)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    def token(self, chunks: tuple[int, int]) -> str:
        """Return a name that changes with the files, so that Dask does not confuse two arrays."""
        from dask.base import tokenize

        sources, name = self.betas.sources, cast("Any", tokenize)
        where = os.path.realpath(sources.data_dir)
        which = name(where, sources.identity(), self.shape, chunks, self.columns)
        return f"betas-{self.betas.session}-{which}"

    def __getitem__(self, key: tuple[Any, Any]) -> NDArray[np.float32]:
        rows, columns = (
            np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True)
        )
        ascending, inverse = np.unique(columns, return_inverse=True)
        whole = np.array_equal(rows, np.arange(self.shape[0]))
        places = ascending if self.columns is None else self.columns[ascending]
        values = self.betas.read_part(places, None if whole else rows, build=self.stored)
        if not np.array_equal(ascending, columns):
            values = values[:, inverse]
        squeeze = tuple(i for i, part in enumerate(key) if isinstance(part, (int, np.integer)))
        return values.squeeze(axis=squeeze)
