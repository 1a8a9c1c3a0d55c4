"""What a source listed for a plan is written down, and is listed again when it cannot be asked.

`sources/remembered.py` knows what lists mean, `sources/packed_lists.py` how they are written, and
`store/listings.py` where; here they meet.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import OfflineError, UnsafeNameError
from neurofetch.sources.remembered import Remembered
from neurofetch.store.listings import LISTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from neurofetch.sources.remembered import Heard, Recording
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.folder import Folder
    from neurofetch.store.listings import Kept

__all__ = ["Recall", "pinned_lists", "readable"]

_log = logging.getLogger("neurofetch")


class Recall:
    """What a data directory remembers of what its source has.

    Parameters
    ----------
    directory : DataDirectory
    name : callable
        Returns what the lists are of, as it is known by then: ``s3://BUCKET``, and behind a blank
        what else tells this kind of source from others.
    state : Path, optional
        Where the lists are, if not in the state folder: those of one run.
    """

    def __init__(
        self, directory: DataDirectory, name: Callable[[], str], state: Path | None = None
    ) -> None:
        self._directory = directory
        self._state = state or directory.state
        self._pinned = state is not None
        self._name = name
        self.opened: Folder | None = None
        """The folder that they are in, where it is held open."""
        self._new: tuple[tuple[str, ...], bytes] | None = None

    def __bool__(self) -> bool:
        """Whether anything that a source listed is remembered here."""
        return (self._state / LISTINGS).is_dir()

    def keep_in_mind(self, listing: Recording, *, write: bool) -> None:
        """Take what was listed, in little room, until it is written.

        Parameters
        ----------
        listing : Recording
            It keeps nothing any more afterwards.
        write : bool
            Whether it is to be written at all.
        """
        heard = listing.taken()
        if write and heard:
            from neurofetch.sources.packed_lists import pack  # noqa: PLC0415 - not while it lists

            names = (*(f"walk {one}" for one in sorted(heard.walks)), *sorted(heard.levels))
            self._new = names, pack(heard)

    def take(self, other: Recall) -> None:
        """Write down what another one has in mind; a disk that takes nothing costs a listing."""
        self._new = other._new
        try:
            self.write()
        except OSError as error:
            _log.debug("the listing cannot be kept for all tasks: %s", error)

    def write(self) -> None:
        """Write down what was listed for the plan that is carried out.

        Raises
        ------
        OSError
        """
        if self._new is None:
            return
        from neurofetch.sources.packed_lists import pack  # noqa: PLC0415 - few runs need it
        from neurofetch.store.listings import keep, kept, merge  # noqa: PLC0415 - few runs need it

        (names, packed), self._new = self._new, None
        state, source = self._state, self._name()
        if keep(state, source, names, packed):
            found, lists = readable(kept(state, source))
            merge(state, source, found, pack(Remembered(lists, "").whole()))

    def lists(self) -> Remembered:
        """Return what lists from memory.

        Raises
        ------
        OfflineError
            If nothing is remembered.
        """
        from neurofetch.store.listings import kept  # noqa: PLC0415 - few runs need it

        found, lists = readable(kept(self._state, self._name()))
        name = self._name().partition(" ")[0].rstrip("@")  # as people know it
        if not found:
            msg = (
                f"{self._directory.root} does not remember what {name} has, and the network is not "
                "to be used. Nothing was fetched. Run the same call once with the network. "
                "(What is here can be checked without: neurofetch verify.)"
            )
            raise OfflineError(msg)
        if self._pinned:
            return Remembered(lists, name)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found[-1].when))
        note = f"{name} was not asked: this is from what it listed before, {when} the last time"
        return Remembered(lists, name, (note,))


def pinned_lists(
    directory: DataDirectory, run: str, name: Callable[[], str], *, make: bool = False
) -> Recall:
    """Return what was listed for all tasks of a run, which lies in the folder of the run.

    Where that folder cannot be opened, or is behind a link, there is nothing, and nothing is kept.

    Parameters
    ----------
    directory : DataDirectory
    run : str
    name : callable
        See `Recall`.
    make : bool
        The folder is made.
    """
    from neurofetch.store.runs import folder_of_run  # noqa: PLC0415 - few runs need it

    try:
        if make:
            directory.root.mkdir(parents=True, exist_ok=True)
        folder = folder_of_run(directory.state, run, make=make)
        folder.below((LISTINGS,), make=make).close()
    except (OSError, UnsafeNameError) as error:
        _log.debug("nothing is listed for all tasks of %s: %s", run, error)
        return Recall(directory, name, Path(os.devnull))
    pinned = Recall(directory, name, Path(folder.way))
    pinned.opened = folder
    return pinned


def readable(kept: Sequence[Kept]) -> tuple[list[Kept], list[Heard]]:
    """Return the remembered lists that can be read, and what is in them.

    Parameters
    ----------
    kept : sequence of Kept
    """
    from neurofetch.sources.packed_lists import (  # noqa: PLC0415 - few runs need it
        UnreadableListingError,
        unpack,
    )

    found, lists = [], []
    for one in kept:
        try:
            lists.append(unpack(one.packed))
        except UnreadableListingError as error:
            _log.debug("%s: %s", one.path, error)
            continue
        found.append(one)
    return found, lists
