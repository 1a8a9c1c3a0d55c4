"""All sessions as one lazy array, and trial tables as pandas has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

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


def lazy_betas(sessions: list[SessionBetas], layout: Layout) -> xr.DataArray:
    """Return the betas of sessions, one after another; see `laion_fmri.subject.Subject.betas`."""
    import dask.array
    import pandas as pd
    import xarray as xr

    da: Any = dask.array
    frames = [trial_frame(read_trials(layout.trials(betas.session))) for betas in sessions]
    meta = np.empty((0, 0), dtype=np.float32)  # otherwise Dask asks for an empty slice
    blocks = []
    for betas, frame in zip(sessions, frames, strict=True):
        lazy = _LazySession(betas)
        read_trials(layout.trials(betas.session)).check(lazy.shape[0], betas.path)
        # Without a store the file is read from its beginning for each chunk: then there is one.
        width = _VOXELS if betas.can_store() else lazy.shape[1]
        chunks = (len(frame), max(min(width, lazy.shape[1]), 1))
        blocks.append(da.from_array(lazy, chunks=chunks, asarray=False, name=lazy.token, meta=meta))
    trials = pd.concat(frames, ignore_index=True)
    brain = sessions[0].brain
    xyz = voxel_coordinates(brain.voxels, brain.header)
    coordinates: dict[str, Any] = {
        name: ("trial", trials[name].to_numpy()) for name in ("run", "beta_index")
    }
    for name in ("session", "label"):
        coordinates[name] = ("trial", trials[name].to_numpy(dtype=str))
    coordinates["index"] = ("voxel", brain.voxels.indices)
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


@dataclass
class _LazySession:
    """A session as an array for Dask: a shape, and slices that are read when they are taken."""

    betas: SessionBetas
    ndim = 2
    dtype = np.dtype(np.float32)

    @cached_property
    def shape(self) -> tuple[int, int]:
        return self.betas.header().volumes, len(self.betas.brain)

    @property
    def token(self) -> str:
        """A name that changes with the files, so that Dask does not confuse two arrays."""
        from dask.base import tokenize

        name: Any = tokenize
        return f"betas-{self.betas.session}-{name(self.betas.sources.identity(), self.shape)}"

    def __getitem__(self, key: tuple[Any, Any]) -> NDArray[np.float32]:
        rows, columns = (
            np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True)
        )
        ascending, inverse = np.unique(columns, return_inverse=True)
        whole = np.array_equal(rows, np.arange(self.shape[0]))
        store, trials = self.betas.any_store(), None if whole else rows
        if store is None:
            values = self.betas.from_file(ascending, trials)
        else:
            values = store.read(ascending, trials)
        if not np.array_equal(ascending, columns):
            values = values[:, inverse]
        squeeze = tuple(i for i, part in enumerate(key) if isinstance(part, (int, np.integer)))
        return values.squeeze(axis=squeeze)
