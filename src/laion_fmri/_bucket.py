"""The betas of a session straight from the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laion_fmri._dataset import dataset
from laion_fmri._layout import GLM, held_out
from laion_fmri._stream import masked_from_stream
from laion_fmri._trials import read_trials
from neurofetch import Link, Listing, stream
from neurofetch import parse_entities as parse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from laion_fmri._brain import Brain
    from laion_fmri._layout import Layout
    from laion_fmri._trials import Trials
    from neurofetch import RemoteFile

__all__ = ["betas_from_bucket"]


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
        If the bucket has no such betas, or holds them out.
    ServerError, VerificationError
        If they cannot be had whole.
    BadDataError
        As for a file on disk.
    """
    if held_out(session):
        layout.missing(f"the betas of {session}", ses=session)
    trials = _trials(layout, session, needed=stimuli is not None)
    folder = f"{GLM}/{layout.subject}/{session}/func/"
    with Link(dataset(), layout.data_dir) as link:
        remote = _find(link.files(Listing((folder,))), layout, session)
        return masked_from_stream(
            stream(link.client, remote),
            brain,
            columns,
            name=f"s3://{link.dataset.bucket}/{remote.key}",
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
        said = parse(file.key)
        kind = (said.get("desc"), said.suffix, said.extension, said.get("space") or "T1w")
        if kind == ("SingletrialBetas", "statmap", ".nii.gz", "T1w"):
            return file
    return layout.missing(f"the betas of {session} (nor does the bucket have any)", ses=session)
