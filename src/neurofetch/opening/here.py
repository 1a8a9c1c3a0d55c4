"""Files that are in a data directory already: what was fetched there is not asked for again."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from neurofetch.opening.forks import ForkingLock
from neurofetch.planning.local_path import placed
from neurofetch.store.data_source import read_sources, state_folders
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.model import Receipt, RemoteFile
    from neurofetch.opening.address import Address

__all__ = ["DataDirectoryFiles"]


class DataDirectoryFiles:
    """The files of a data directory, by their names on the server.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[tuple[str, str], list[Receipt]] = {}
        self._seen: object = None
        self._lock = ForkingLock()

    def find(self, address: Address, remote: RemoteFile | None) -> Path | None:
        """Return the path of a file that is here, unchanged since it was fetched and verified.

        Parameters
        ----------
        address : Address
        remote : RemoteFile or None
            The version that is asked for; None for the one that is here.

        Raises
        ------
        DestinationError
            If what is known of the directory cannot be read.
        """
        if address.kind == "web":
            return None
        with self._lock:
            journals = self._journals()
            if journals != self._seen:  # the first time, and when something was fetched since
                self._known, self._seen = self._read(), journals
        place = address.place.partition("@")[0]
        for receipt in self._known.get((place, address.key), ()):
            if receipt.damaged or (remote is not None and not receipt.is_of(remote)):
                continue
            if placed(receipt.path) != (receipt.path, ""):  # it would lead out of the directory
                continue
            path = self.root / receipt.path
            try:
                here = os.stat(path)
            except OSError:
                continue
            if (here.st_size, here.st_mtime_ns) == (receipt.size, receipt.mtime_ns):
                return path
        return None

    def _journals(self) -> list[tuple[str, int, int]]:
        found = []
        for state in state_folders(self.root):
            with contextlib.suppress(OSError), os.scandir(state / "receipts") as entries:
                for one in entries:
                    info = one.stat()
                    found.append((one.path, info.st_size, info.st_mtime_ns))
        return sorted(found)

    def _read(self) -> dict[tuple[str, str], list[Receipt]]:
        known: dict[tuple[str, str], list[Receipt]] = {}
        for state in state_folders(self.root):
            sources = read_sources(state)
            buckets = {source.key: _place(source.url) for source in sources}
            first = _place(sources[0].url) if sources else ""
            for receipt in read_receipts(state).all():
                bucket = buckets.get(receipt.source, "") if receipt.source else first
                known.setdefault((bucket, receipt.key), []).append(receipt)
        return known


def _place(url: str) -> str:
    """Return the bucket, or the accession number, of a data set."""
    if url.startswith("openneuro:"):
        return url.partition(":")[2].partition("@")[0].partition("/")[0]
    scheme, _, rest = url.partition("://")
    return rest.partition("/")[0] if scheme == "s3" else ""
