"""What a source listed for a plan is written down, and is listed again when it cannot be asked.

`sources/remembered.py` knows what lists mean, `sources/packed_lists.py` how they are written, and
`store/listings.py` where; here they meet.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from neurofetch.errors import OfflineError
from neurofetch.sources.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from neurofetch.sources.remembered import Heard, Recording
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.listings import Kept

__all__ = ["Recall", "readable"]

_log = logging.getLogger("neurofetch")


class Recall:
    """What a data directory remembers of what its source has.

    Parameters
    ----------
    directory : DataDirectory
    name : callable
        Returns what the lists are of, as it is known by then: ``s3://BUCKET``, and behind a blank
        what else tells this kind of source from others.
    """

    def __init__(self, directory: DataDirectory, name: Callable[[], str]) -> None:
        self._directory = directory
        self._name = name
        self._new: tuple[tuple[str, ...], bytes] | None = None

    def __bool__(self) -> bool:
        """Whether anything that a source listed is remembered here."""
        return (self._directory.state / "listings").is_dir()

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
        state, source = self._directory.state, self._name()
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

        found, lists = readable(kept(self._directory.state, self._name()))
        name = self._name().partition(" ")[0].rstrip("@")  # as people know it
        if not found:
            msg = (
                f"{self._directory.root} does not remember what {name} has, and the network is not "
                "to be used. Nothing was fetched. Run the same call once with the network. "
                "(What is here can be checked without: neurofetch verify.)"
            )
            raise OfflineError(msg)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found[-1].when))
        note = f"{name} was not asked: this is from what it listed before, {when} the last time"
        return Remembered(lists, name, (note,))


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
