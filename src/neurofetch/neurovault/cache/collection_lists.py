"""Which collections are whole: their lists of images, written down when they were read to the end.

A mark says which images a collection had. Whether they are here is looked up on the disk, so a
mark can never hide a loss; without one, the server is asked.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from neurofetch.neurovault.cache.layout import TornRecordError, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["STATE", "Marks"]

STATE = ".neurofetch"
"""The package's own folder inside ``neurovault/``; no file in it ends in ``_metadata.json``."""


class _Mark(TypedDict):
    """What the file of one collection holds."""

    images: list[int]
    listed: float  # seconds since 1970


@dataclass(frozen=True)
class Marks:
    """The marks of one cache.

    Parameters
    ----------
    root : Path
        The ``neurovault`` folder.
    """

    root: Path

    def _path(self, collection_id: int) -> Path:
        return self.root / STATE / "collections" / f"{collection_id}.json"

    def read(self, collection_id: int) -> tuple[int, ...] | None:
        """Return the ids of a collection's images; None when no list of them is known."""
        try:
            mark = cast("_Mark | None", read_json(self._path(collection_id)))
            return None if mark is None else tuple(int(number) for number in mark["images"])
        except (TornRecordError, KeyError, TypeError, ValueError):
            return None  # it is written anew when the server is asked

    def write(self, collection_id: int, image_ids: Iterable[int]) -> None:
        """Write down the images of a collection whose list came to its end."""
        known = list(image_ids)
        if self.read(collection_id) != tuple(known):
            mark: _Mark = {"images": known, "listed": time.time()}
            write_atomically(self._path(collection_id), json.dumps(mark).encode())
