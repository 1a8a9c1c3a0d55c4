"""Files of other data sets in a data directory: they are neither replaced, nor taken for ours.

Another data set may be one of several in the same state folder, or have a state folder of its own,
as that of another package has. Either may be fetched at this moment by another process.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.model import LocalFile
from neurofetch.store.data_source import has_further, read_sources, state_folders
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.model import Receipt, Want
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.known import Receipts

__all__ = ["Others", "in_the_way"]

_UNKNOWN = "?"
"""The data set of receipts in a state folder that does not say of which one it is."""


def in_the_way(receipt: Receipt) -> str:
    """Say that a file of another data set stands where one is wanted."""
    return (
        "a file of another data set has this name here (it was "
        f"{receipt.key!r} there), and it is not replaced"
    )


class Others:
    """What is known of the files of other data sets in a data directory.

    Parameters
    ----------
    root, state : Path
        The data directory, and the folder in it of the package that fetches.
    source : DataSource
        The data set that is fetched.
    """

    def __init__(self, root: Path, state: Path, source: DataSource) -> None:
        self._root = root
        self._state = state
        self._source = source
        self._lock = threading.Lock()
        self._mine: Receipts | None = None
        self._theirs = self._read_theirs()

    def _read_theirs(self) -> list[tuple[Receipts, dict[str, str]]]:
        """Read the other state folders: their receipts, and the data sets that these name."""
        found = []
        for folder in state_folders(self._root):
            if folder == self._state:
                continue
            sources = read_sources(folder)
            keys = {one.key: one for one in sources}
            if sources:
                keys[""] = sources[0]
            names = {key: "" if one.takes(self._source) else one.key for key, one in keys.items()}
            found.append((read_receipts(folder), names))
        return found

    def known(self, want: Want, here: LocalFile) -> LocalFile:
        """Return a file that is here with the receipt of another data set, if it is of one.

        Parameters
        ----------
        want : Want
            What is wanted in its place.
        here : LocalFile
            With the receipt of this package, if there is one.
        """
        if here.receipt is not None and not here.touched:
            return here
        for receipts, names in self._theirs:
            receipt = receipts.of(here.path, here.size, here.mtime_ns)
            source = names.get(receipt.source, _UNKNOWN) if receipt is not None else ""
            if receipt is None or not source:
                continue
            if source == _UNKNOWN and receipt.key == want.remote.key:
                continue  # so it is the same data set, as far as can be told
            theirs = replace(here, receipt=replace(receipt, source=source))
            if here.receipt is None or not theirs.touched:
                return theirs
        return here

    def came(self, want: Want, size: int, mtime_ns: int, source: str) -> Receipt | None:
        """Return the receipt of a file that came since the plan, if it is of another data set.

        Parameters
        ----------
        want : Want
            What is wanted in its place.
        size, mtime_ns : int
            Of the file that is here now.
        source : str
            How the receipts of this run name its data set.

        Raises
        ------
        DestinationError
            If it cannot be told.
        """
        if not source and not has_further(self._state) and not self._has_others():
            return None
        with self._lock:
            here = self._found(want, size, mtime_ns)
            if here.receipt is None or here.touched:  # written since they were read
                self._mine = read_receipts(self._state)
                self._theirs = self._read_theirs()
                here = self._found(want, size, mtime_ns)
        receipt = here.receipt
        if receipt is None or here.touched or receipt.source == source:
            return None
        return None if receipt.is_of(want.remote) else receipt

    def _has_others(self) -> bool:
        return any(folder != self._state for folder in state_folders(self._root))

    def _found(self, want: Want, size: int, mtime_ns: int) -> LocalFile:
        mine = None if self._mine is None else self._mine.of(want.path, size, mtime_ns)
        return self.known(want, LocalFile(want.path, size, mtime_ns, mine))
