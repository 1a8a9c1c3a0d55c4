"""Check the files in the data directory."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from laion_fmri._dataset import DATASET, Extras, listing
from laion_fmri.config import get_data_dir
from laion_fmri.download import fetcher_for, subjects_of
from neurofetch.engine import (
    Audit,
    DataDirectory,
    Fetcher,
    Listing,
    Rules,
    audit,
    check_switches,
    listener,
    make_selection,
    query,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from neurofetch.events import Event

__all__ = ["verify"]

_ALL = Extras(
    stimuli=True, embeddings=True, freesurfer=True, anatomical=True, raw=True, localizers=True
)


def verify(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    read_all: bool = False,
    remote: bool = False,
    progress: str | bool | Callable[[Event], None] | None = None,
) -> Audit:
    """Compare the data directory with its receipts, and with the bucket.

    Parameters
    ----------
    data_dir : path, optional
        By default the one that was configured.
    read_all : bool
        Read every byte.
    remote : bool
        Ask the bucket too. With `read_all`, files of other tools are read, and adopted when they
        are the bucket's.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress of a long listing, and of reading every byte; a callable gets every
        event.

    Returns
    -------
    Audit
        ``audit.ok``, and ``audit.problems``: the files that are missing or differ.

    Raises
    ------
    DataDirNotSetError
        If no data directory was chosen.
    ServerError
        With `remote`, if the bucket cannot be listed.

    Warns
    -----
    UserWarning
        With `remote`, if the access service of the stimuli does not respond.
    """
    check_switches(read_all=read_all, remote=remote)
    root = get_data_dir() if data_dir is None else data_dir
    listen = listener(progress)
    if not remote:
        return audit(DataDirectory(root, DATASET.state), read_all=read_all, listen=listen)
    with fetcher_for(_ALL, root, fetch=False) as fetcher:
        fetcher.listen = listen
        here = _subjects_here(fetcher)
        exist = tuple(subject for subject in subjects_of(fetcher, _ALL) if subject in here)
        places = listing(exist, _ALL)
        files = fetcher.files(places)
        everything = replace(fetcher.dataset, rules=Rules())  # nothing is chosen, all is compared
        wants = make_selection(files, query(), everything).wants
        if fetcher.source.notes:  # not all that there is was listed
            places = Listing(())
        found = fetcher.audit(wants, read_all=read_all, listing=places, listen=listen)
    for note in fetcher.source.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return found


def _subjects_here(fetcher: Fetcher) -> set[str]:
    """Return the subjects of which anything is on the disk."""
    root = fetcher.directory.root
    folders = [root, *root.glob("derivatives/*")]
    return {p.name for folder in folders for p in folder.glob("sub-*") if p.is_dir()}
