"""Check the files in the data directory."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from laion_fmri._dataset import DATASET, Extras, listing
from laion_fmri.config import chosen_directory
from laion_fmri.download import fetcher_for, subjects_of
from laion_fmri.errors import DataDirNotSetError
from neurofetch.engine import (
    Audit,
    DataDirectory,
    Fetcher,
    Listing,
    Rules,
    audit,
    check_switches,
    find_places,
    listener,
    make_selection,
    query,
)
from neurofetch.errors import NothingMatchedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.engine import Place
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
        A data directory, a folder in one, or one that has it in it. By default the one that was
        configured; where none was, the current directory.
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
        If no data directory was chosen, and the current directory is none.
    UsageError
        If there are several in the folder.
    NothingMatchedError
        If nothing is there that was fetched, or ``neurofetch get`` fetched it, which has receipts
        of its own.
    ServerError
        With `remote`, if the bucket cannot be listed.

    Warns
    -----
    UserWarning
        With `remote`, if the access service of the stimuli does not respond.
    """
    check_switches(read_all=read_all, remote=remote)
    root = _root(data_dir, remote=remote)
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


def _root(data_dir: str | os.PathLike[str] | None, *, remote: bool) -> str | os.PathLike[str]:
    """Return the data directory that is meant: this one, or the one above or below it."""
    named: str | os.PathLike[str] = "."
    try:
        named = chosen_directory(data_dir)
    except DataDirNotSetError:
        if not _places("."):
            raise
    places = _places(named)
    ours = [place.root for place in places if place.state == DATASET.state]
    if len(ours) > 1:
        several = ", ".join(map(str, ours))
        msg = f"there are several data directories: {several}. Nothing was checked. Name one."
        raise UsageError(msg)
    if not ours and not remote and any(place.state for place in places):
        msg = (
            f"what is in {places[0].root} was fetched by neurofetch get, and laion-fmri has no "
            f"receipts of it. Nothing was checked. Use: neurofetch verify {places[0].root}"
        )
        raise NothingMatchedError(msg)
    if not ours and not remote:
        DataDirectory(named)  # raises where there is no folder
        msg = (
            f"nothing that laion-fmri fetched is in {os.path.abspath(named)}, nor in a folder "
            "above or below it. Nothing was checked. Name the data directory. To compare files of "
            "other tools with the bucket, use --hash --remote (read_all=True, remote=True)."
        )
        raise NothingMatchedError(msg)
    return ours[0] if ours else named


def _places(folder: str | os.PathLike[str]) -> list[Place]:
    """Return the data directories of ours, of any kind, that a folder is, lies in or has in it."""
    return find_places(folder) if os.path.isdir(folder) else []


def _subjects_here(fetcher: Fetcher) -> set[str]:
    """Return the subjects of which anything is on the disk."""
    root = fetcher.directory.root
    folders = [root, *root.glob("derivatives/*")]
    return {p.name for folder in folders for p in folder.glob("sub-*") if p.is_dir()}
