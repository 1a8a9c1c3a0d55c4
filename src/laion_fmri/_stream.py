"""Betas that are masked while they arrive: the file itself is never kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laion_fmri._bytes import open_chunks
from laion_fmri._forward import masked
from laion_fmri._nifti import check_same_grid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from laion_fmri._brain import Brain
    from laion_fmri._trials import Trials

__all__ = ["masked_from_stream"]


def masked_from_stream(
    chunks: Iterable[bytes | memoryview],
    brain: Brain,
    columns: NDArray[np.intp] | None = None,
    *,
    name: str,
    trials: Trials | None = None,
    stimuli: str | None = None,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Mask the betas of a session as they come.

    Parameters
    ----------
    chunks : iterable of bytes or memoryview
        The file from its first byte to its last, gzipped or not. It is read to its end, so that
        one that checks what it delivered, and raises, is heard.
    brain : Brain
    columns : numpy.ndarray, optional
        Places in the brain mask, ascending; default: all.
    name : str
        Of the file, for messages.
    trials : Trials, optional
        The session's table; its rows are checked against the volumes.
    stimuli : {"shared", "unique"}, optional
        Keep trials by the beginning of their label; needs `trials`.
    finite : bool
        Whether NaN and infinite values are an error.

    Returns
    -------
    numpy.ndarray
        float32, shape (n_trials, n_voxels).

    Raises
    ------
    BadDataError
        As for a file on disk.
    """
    with open_chunks(chunks, name) as reader:
        header = reader.header
        header.need(4)
        check_same_grid(header, brain.header)
        keep = None
        if trials is not None:
            trials.check(header.volumes, name)
            if stimuli is not None:
                keep = np.zeros(header.volumes, dtype=bool)
                keep[trials.of(stimuli)] = True
        return masked(reader, brain.part(columns), keep, finite=finite)
