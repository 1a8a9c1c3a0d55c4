"""Look again at what is in the data directory."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from laion_fmri._dataset import DATASET, Extras, dataset, listing
from laion_fmri.access.gated_files import Gate
from laion_fmri.download import subjects_of
from neurofetch.engine import (
    Audit,
    DataDirectory,
    Fetcher,
    Rules,
    audit,
    listener,
    make_selection,
    query,
)

if TYPE_CHECKING:
    import os

__all__ = ["check"]

_ALL = Extras(
    stimuli=True, embeddings=True, freesurfer=True, anatomical=True, raw=True, localizers=True
)


def check(
    data_dir: str | os.PathLike[str],
    *,
    read_all: bool = False,
    remote: bool = False,
    progress: str | None = None,
) -> Audit:
    """Hold the data directory against its receipts, and against the bucket.

    Parameters
    ----------
    data_dir : path
    read_all : bool
        Read every byte.
    remote : bool
        Ask the bucket too. With `read_all`, files of other tools are hashed, and adopted when
        they are the bucket's.
    progress : str, optional
        How to show progress of reading every byte; as for `download`.

    Returns
    -------
    Audit
    """
    listen = listener(progress)
    if not remote:
        return audit(DataDirectory(data_dir, DATASET.state), read_all=read_all, listen=listen)
    with Fetcher(dataset(_ALL), data_dir) as fetcher:
        here = _subjects_here(fetcher)
        exist = [subject for subject in subjects_of(fetcher, _ALL) if subject in here]
        gate = Gate(fetcher)
        files = gate.files(fetcher.files(listing(tuple(exist), _ALL)), fetch=False)
        everything = replace(fetcher.dataset, rules=Rules())  # nothing is chosen, all is compared
        wants = gate.known(make_selection(files, query(), everything).wants)
        found = audit(
            fetcher.directory,
            read_all=read_all,
            remote=wants,
            checksum=fetcher.checksum,
            listen=listen,
        )
    for note in gate.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return gate.audited(found)


def _subjects_here(fetcher: Fetcher) -> set[str]:
    """Return the subjects of which anything is on the disk."""
    root = fetcher.directory.root
    folders = [root, *root.glob("derivatives/*")]
    return {p.name for folder in folders for p in folder.glob("sub-*") if p.is_dir()}
