"""Check which images of the cache are complete: a record that can be read, and a whole volume.

A volume is trusted when its receipt still fits: the same size and time. Any other volume is read to
its end once. When it is whole it gets a receipt, so that the next call need not read it. Offline
nothing is written; then the process remembers which volumes it has read.
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
from neurofetch.neurovault.cache.layout import STATE
from neurofetch.neurovault.cache.volume_check import check_volume
from neurofetch.store.receipts import Journal, read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import LocalImageRecord

__all__ = ["CacheCheck", "CheckedImages", "LocalImage"]

_THREADS = 4
_BYTES_A_VOLUME = 100_000
"""Reading so many bytes of receipts takes about as long as reading one volume."""

_Stamp = tuple[int, int]
_read: dict[str, _Stamp] = {}
"""Volumes that this process has read and found whole: path to size and time."""


@dataclass(frozen=True)
class LocalImage:
    """An image that is in the cache and complete.

    Parameters
    ----------
    collection_id : int
    record : LocalImageRecord
    """

    collection_id: int
    record: LocalImageRecord


@dataclass(frozen=True)
class CheckedImages:
    """What a check of images found. An image without a record is in neither of the two.

    Parameters
    ----------
    complete : dict of int to LocalImage
        By image id.
    damaged : dict of int to str
        What is wrong, by image id.
    """

    complete: dict[int, LocalImage]
    damaged: dict[int, str]


class CacheCheck:
    """Checks images of one cache.

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
        self._receipts: Mapping[str, Receipt] | None = None
        self._asked = 0
        self._without_receipt: list[str] = []

    def path(self, collection_id: int, image_id: int) -> Path:
        """Return the file of an image's volume."""
        path = self.cache.resampled if self._resampled else self.cache.image
        return path(collection_id, image_id)

    def images(
        self,
        collection_of: Mapping[int, int],
        records: Mapping[int, LocalImageRecord] | None = None,
    ) -> CheckedImages:
        """Check the records and volumes of images.

        Parameters
        ----------
        collection_of : mapping of int to int
            Image id to collection id.
        records : mapping of int to LocalImageRecord, optional
            Records that were read before.
        """
        checked, known = CheckedImages({}, {}), records or {}
        for image_id, collection_id in collection_of.items():
            try:
                record = known.get(image_id) or self.cache.read_image(collection_id, image_id)
            except (VerificationError, OSError) as error:
                checked.damaged[image_id] = f"its record cannot be used: {error}"
                continue
            if record is not None:
                checked.complete[image_id] = LocalImage(collection_id, record)
        pairs = {number: image.collection_id for number, image in checked.complete.items()}
        for image_id, problem in self.volumes(pairs).items():
            del checked.complete[image_id]
            checked.damaged[image_id] = problem
        return checked

    def volumes(self, collection_of: Mapping[int, int]) -> dict[int, str]:
        """Check the volumes of images; return what is wrong, and nothing for those that are whole.

        Parameters
        ----------
        collection_of : mapping of int to int
            Image id to collection id.
        """
        problems: dict[int, str] = {}
        unknown: dict[int, str] = {}
        receipts = self._worthwhile_receipts(len(collection_of))
        for image_id, collection_id in collection_of.items():
            path = self.path(collection_id, image_id)
            stamp = _stamp(path)
            if stamp is None:
                problems[image_id] = self._missing(collection_id, image_id)
                continue
            receipt = receipts.get(f"{path.parent.name}/{path.name}")
            trusted = receipt is not None and (receipt.size, receipt.mtime_ns) == stamp
            if not trusted and _read.get(str(path)) != stamp:
                unknown[image_id] = str(path)
        calls = [partial(_problem, path) for path in unknown.values()]
        for image_id, problem in zip(unknown, together(calls, _THREADS), strict=True):
            if problem:
                problems[image_id] = problem
            else:
                self._without_receipt.append(unknown[image_id])
        return problems

    def _missing(self, collection_id: int, image_id: int) -> str:
        if self._resampled and self.cache.image(collection_id, image_id).is_file():
            return "it is here, but not resampled yet"
        return "there is no volume"

    def _worthwhile_receipts(self, images: int) -> Mapping[str, Receipt]:
        """Return the receipts, or none while reading the volumes is quicker than reading them."""
        self._asked += images
        if self._receipts is None:
            state = self.cache.root / STATE
            if not images or _receipt_bytes(state) > self._asked * _BYTES_A_VOLUME:
                return {}
            self._receipts = read_receipts(state)
        return self._receipts

    def write_receipts(self) -> None:
        """Write receipts for the volumes that were read and found whole."""
        paths, self._without_receipt = self._without_receipt, []
        if not paths or not self._write:
            return
        with contextlib.suppress(OSError):  # a receipt saves work; the result is right without it
            _append_receipts(Journal(self.cache.root / STATE), paths)


def _append_receipts(journal: Journal, paths: Iterable[str]) -> None:
    try:
        for path in paths:
            size, mtime_ns = _read[path]
            folder, name = os.path.split(path)
            relative = f"{os.path.basename(folder)}/{name}"
            level = VerificationLevel.CONTENT
            journal.append(Receipt(relative, "", "", size, mtime_ns, level, "", time.time()))
    finally:
        journal.close()


def _problem(path: str) -> str:
    """Read a volume to its end; return what is wrong with it, "" when it is whole."""
    stamp = _stamp(path)
    if stamp is None:
        return "there is no volume"
    try:
        volume = check_volume(path)
    except VerificationError as error:
        return f"damaged: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not volume.gzipped:
        return "damaged: it is not gzipped, and its name says that it is"
    _read[path] = stamp
    return ""


def _stamp(path: str | os.PathLike[str]) -> _Stamp | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def _receipt_bytes(state: Path) -> int:
    try:
        with os.scandir(state / "receipts") as entries:
            return sum(entry.stat().st_size for entry in entries)
    except OSError:
        return 0
