"""The betas of a session straight from the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laion_fmri._dataset import dataset
from laion_fmri.loader.layout import GLM, held_out
from laion_fmri.loader.trials import read_trials
from laion_fmri.volumes.byte_stream import open_chunks
from laion_fmri.volumes.masking import masked
from laion_fmri.volumes.nifti import check_same_grid
from neurofetch.engine import Fetcher, Listing, stream
from neurofetch.engine import parse_entities as parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from laion_fmri.loader.layout import Layout
    from laion_fmri.loader.trials import Trials
    from laion_fmri.volumes.brain_mask import Brain
    from neurofetch.model import RemoteFile

__all__ = ["betas_from_bucket", "masked_from_stream"]


def masked_from_stream(
    chunks: Iterable[bytes | memoryview],
    brain: Brain,
    columns: NDArray[np.intp] | None = None,
    *,
    name: str,
    trials: Trials | None = None,
    stimuli: str | None = None,
    finite: bool = False,
) -> NDArray[np.float32]:
    """Mask the betas of a session while they arrive.

    Parameters
    ----------
    chunks : iterable of bytes or memoryview
        The file from its first byte to its last, gzipped or not. It is read to its end, so that
        an error of a check at its end is raised.
    brain : Brain
    columns : numpy.ndarray, optional
        Positions in the brain mask, ascending; default: all.
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


def betas_from_bucket(
    layout: Layout,
    session: str,
    brain: Brain,
    columns: NDArray[np.intp] | None,
    stimuli: str | None,
    *,
    finite: bool,
) -> NDArray[np.float32]:
    """Decompress and mask a session's betas while they arrive; nothing is written to disk.

    Parameters
    ----------
    layout, session, brain, columns
        As for betas on disk.
    stimuli : {"shared", "unique"} or None
        Needs the session's trials.tsv on disk.
    finite : bool
        Whether NaN and infinite values are an error.

    Raises
    ------
    DataNotDownloadedError
        If the bucket has no such betas, or they are held out.
    ServerError, VerificationError
        If they cannot be fetched completely.
    BadDataError
        As for a file on disk.
    """
    if held_out(session):
        layout.missing(f"the betas of {session}", ses=session)
    trials = _trials(layout, session, needed=stimuli is not None)
    folder = f"{GLM}/{layout.subject}/{session}/func/"
    with Fetcher(dataset(), layout.data_dir) as fetcher:
        remote = _find(fetcher.files(Listing((folder,))), layout, session)
        return masked_from_stream(
            stream(fetcher.client, remote),
            brain,
            columns,
            name=f"s3://{fetcher.dataset.bucket}/{remote.key}",
            trials=trials,
            stimuli=stimuli,
            finite=finite,
        )


def _trials(layout: Layout, session: str, *, needed: bool) -> Trials | None:
    try:
        return read_trials(layout.trials(session))
    except FileNotFoundError:
        if needed:
            raise
        return None


def _find(files: list[RemoteFile], layout: Layout, session: str) -> RemoteFile:
    for file in files:
        parsed = parse(file.key)
        kind = (parsed.get("desc"), parsed.suffix, parsed.extension, parsed.get("space") or "T1w")
        if kind == ("SingletrialBetas", "statmap", ".nii.gz", "T1w"):
            return file
    return layout.missing(f"the betas of {session} (nor does the bucket have any)", ses=session)
