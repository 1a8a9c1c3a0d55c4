"""The lists of the images of collections, each written when it was read from the server to its end.

A list says which images a collection had. Whether they are here is looked up on the disk, so a list
can never hide that a file is lost. Where there is no list, the server is asked.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from neurofetch.neurovault.cache.layout import STATE, TornRecordError, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["CollectionLists"]


class _ListFile(TypedDict):
    """The content of a file."""

    images: list[int]
    listed: float  # seconds since 1970


@dataclass(frozen=True)
class CollectionLists:
    """The lists of one cache.

    Parameters
    ----------
    root : Path
        The ``neurovault`` folder.
    """

    root: Path

    def _path(self, collection_id: int) -> Path:
        return self.root / STATE / "collections" / f"{collection_id}.json"

    def read(self, collection_id: int) -> tuple[int, ...] | None:
        """Return the ids of a collection's images; None when there is no list that can be read."""
        try:
            content = cast("_ListFile | None", read_json(self._path(collection_id)))
            return None if content is None else tuple(int(number) for number in content["images"])
        except (TornRecordError, KeyError, TypeError, ValueError, OverflowError):
            return None  # the server is asked, and the list is written anew

    def write(self, collection_id: int, image_ids: Iterable[int]) -> None:
        """Write the ids of a collection's images, unless the file says the same."""
        images = list(image_ids)
        if self.read(collection_id) != tuple(images):
            content: _ListFile = {"images": images, "listed": time.time()}
            write_atomically(self._path(collection_id), json.dumps(content).encode())
