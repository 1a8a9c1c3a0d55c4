"""What of the cache is whole: records that can be read, volumes that are what they should be.

A volume whose receipt still fits (size and time) is trusted. Any other is read to its end once;
when it is good it gets a receipt, so the next call trusts it too. Offline nothing is written, and
what was read is remembered for the life of the process.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from neurofetch._threads import together
from neurofetch.errors import VerificationError
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.neurovault.cache.collection_lists import STATE
from neurofetch.neurovault.cache.volume_check import check_volume
from neurofetch.store.receipts import Journal, read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import LocalImageRecord

__all__ = ["Held", "Looked", "Shelf"]

_CHECKERS = 4
_BYTES_A_CHECK = 100_000
"""Reading so many bytes of receipts takes about as long as reading one volume."""

_Stamp = tuple[int, int]
_checked: dict[str, _Stamp] = {}
"""Volumes that this process has read to their end: path to size and time."""


@dataclass(frozen=True)
class Held:
    """An image that is here, whole.

    Parameters
    ----------
    collection_id : int
    record : LocalImageRecord
        With the paths of its files.
    """

    collection_id: int
    record: LocalImageRecord


@dataclass(frozen=True)
class Looked:
    """What a look at the cache found.

    Parameters
    ----------
    good : dict of int to Held
        By image id.
    bad : dict of int to str
        What is wrong with an image that has a record but is not whole.
    """

    good: dict[int, Held]
    bad: dict[int, str]


class Shelf:
    """Looks at images in the cache.

    Parameters
    ----------
    cache : Cache
    write : bool
        Whether receipts may be written.
    resampled : bool
        Whether the resampled volumes are meant.
    """

    def __init__(self, cache: Cache, *, write: bool, resampled: bool = False) -> None:
        self.cache = cache
        self._write = write
        self._resampled = resampled
        self._receipts: dict[str, Receipt] | None = None
        self._asked = 0
        self._good: list[str] = []

    def path(self, collection_id: int, image_id: int) -> Path:
        """Return the file that is meant by an image."""
        place = self.cache.resampled if self._resampled else self.cache.image
        return place(collection_id, image_id)

    def look(
        self, places: Mapping[int, int], records: Mapping[int, LocalImageRecord] | None = None
    ) -> Looked:
        """Look at images that have a record.

        Parameters
        ----------
        places : mapping of int to int
            Image id to collection id.
        records : mapping of int to LocalImageRecord, optional
            Records that were read already.
        """
        looked, known = Looked({}, {}), records or {}
        for image_id, collection_id in places.items():
            try:
                record = known.get(image_id) or self.cache.read_image(collection_id, image_id)
            except (VerificationError, OSError) as error:
                looked.bad[image_id] = f"its record cannot be used: {error}"
                continue
            if record is not None:
                looked.good[image_id] = Held(collection_id, record)
        pairs = {number: held.collection_id for number, held in looked.good.items()}
        for image_id, problem in self.problems(pairs).items():
            del looked.good[image_id]
            looked.bad[image_id] = problem
        return looked

    def problems(self, places: Mapping[int, int]) -> dict[int, str]:
        """Return what is wrong with the volumes of images; those that are whole are left out.

        Parameters
        ----------
        places : mapping of int to int
            Image id to collection id.
        """
        found: dict[int, str] = {}
        doubtful: dict[int, str] = {}
        receipts = self._known(len(places))
        for image_id, collection_id in places.items():
            path = self.path(collection_id, image_id)
            stamp = _stamp(path)
            if stamp is None:
                found[image_id] = self._absent(collection_id, image_id)
            elif _checked.get(str(path)) != stamp and not _fits(
                receipts.get(self._relative(path)), stamp
            ):
                doubtful[image_id] = str(path)
        found |= self._read_through(doubtful)
        return found

    def _absent(self, collection_id: int, image_id: int) -> str:
        if self._resampled and self.cache.image(collection_id, image_id).is_file():
            return "it is here, but not resampled yet"
        return "there is no volume"

    def _relative(self, path: Path) -> str:
        return f"{path.parent.name}/{path.name}"

    def _known(self, images: int) -> Mapping[str, Receipt]:
        """Return the receipts, once reading them is quicker than reading the volumes."""
        self._asked += images
        if self._receipts is None:
            state = self.cache.root / STATE
            if not images or _receipt_bytes(state) > self._asked * _BYTES_A_CHECK:
                return {}
            self._receipts = read_receipts(state)
        return self._receipts

    def _read_through(self, volumes: Mapping[int, str]) -> dict[int, str]:
        calls = [partial(_problem, path) for path in volumes.values()]
        answers = dict(zip(volumes, together(calls, _CHECKERS), strict=True))
        self._good += [volumes[number] for number, (problem, _) in answers.items() if not problem]
        return {number: problem for number, (problem, _) in answers.items() if problem}

    def adopt(self) -> None:
        """Write receipts for the volumes that were read and found whole."""
        good, self._good = self._good, []
        if not good or not self._write:
            return
        with contextlib.suppress(OSError):  # a receipt saves work; the answer stands without it
            self._append(good)

    def _append(self, paths: Iterable[str]) -> None:
        journal = Journal(self.cache.root / STATE)
        try:
            for path in paths:
                size, mtime_ns = _checked[path]
                folder, name = os.path.split(path)
                relative = f"{os.path.basename(folder)}/{name}"
                journal.append(
                    Receipt(
                        relative, "", "", size, mtime_ns, VerificationLevel.CONTENT, "", time.time()
                    )
                )
        finally:
            journal.close()


def _problem(path: str) -> tuple[str, _Stamp | None]:
    """Read a volume to its end; return what is wrong with it, or nothing."""
    stamp = _stamp(path)
    if stamp is None:
        return "there is no volume", None
    try:
        volume = check_volume(path)
    except VerificationError as error:
        return f"damaged: {error}", None
    except OSError as error:
        return f"cannot be read: {error.strerror or error}", None
    if not volume.gzipped:
        return "damaged: a plain volume under a name that says that it is gzipped", None
    _checked[path] = stamp
    return "", stamp


def _stamp(path: str | os.PathLike[str]) -> _Stamp | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def _fits(receipt: Receipt | None, stamp: _Stamp) -> bool:
    return receipt is not None and (receipt.size, receipt.mtime_ns) == stamp


def _receipt_bytes(state: Path) -> int:
    try:
        with os.scandir(state / "receipts") as entries:
            return sum(entry.stat().st_size for entry in entries)
    except OSError:
        return 0
