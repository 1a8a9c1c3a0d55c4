"""Masks and regions that lie on the same grid as a volume: the nearest by name first."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from neurofetch.errors import NeurofetchError
from neurofetch.ui.look.volumes import same_grid

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.ui.look.kinds import Item
    from neurofetch.ui.look.places import Place
    from neurofetch.ui.look.shelf import Found, Shelf
    from neurofetch.ui.look.volumes import Volumes

__all__ = ["Overlays"]

_MOST = 100
_SECONDS = 3.0
"""For so long headers are read."""
_FRESH = 20.0
"""Seconds after which a directory is looked through again."""
_OWN = ("subject", "session", "space", "hemisphere", "resolution")
"""If two files differ in one of these, one does not go over the other."""


class Overlays:
    """Finds what can be laid over a volume.

    Parameters
    ----------
    shelf : Shelf
    volumes : Volumes
    """

    def __init__(self, shelf: Shelf, volumes: Volumes) -> None:
        self._shelf = shelf
        self._volumes = volumes
        self._lock = threading.Lock()
        self._seen: dict[Path, tuple[float, list[Found]]] = {}

    def over(self, place: Place, item: Item) -> list[dict[str, Any]]:
        """Return masks and images of labels on the grid of a volume, as the page shows them.

        Parameters
        ----------
        place : Place
        item : Item
            What its name says.
        """
        fitting = [one for one in self._candidates(place.root) if _fits(item, one.item)]
        fitting = [one for one in fitting if one.place != place]
        fitting.sort(key=lambda one: -_nearness(item, one.item))  # else in the order of paths
        header = self._volumes.header(place)
        until = time.monotonic() + _SECONDS
        found: list[dict[str, Any]] = []
        for one in fitting:
            if len(found) == _MOST or time.monotonic() > until:
                break
            try:
                other = self._volumes.header(one.place)
            except NeurofetchError:  # damaged, or gone meanwhile: it is nothing to lay over
                continue
            if same_grid(header, other):
                found.append(self._shelf.described(one))
        return found

    def _candidates(self, root: Path) -> list[Found]:
        with self._lock:
            when, found = self._seen.get(root, (0.0, []))
            if not when or time.monotonic() - when > _FRESH:
                seen = self._shelf.walk(root, ()).found
                found = [one for one in seen if _is_overlay(one.item)]
                self._seen[root] = (time.monotonic(), found)
            return found


def _is_overlay(item: Item) -> bool:
    return item.kind == "volume" and (item.is_mask or item.is_labels)


def _fits(item: Item, other: Item) -> bool:
    mine, its = item.entities, other.entities
    return all(
        mine.get(name) == its.get(name) or not (mine.get(name) and its.get(name)) for name in _OWN
    )


def _nearness(item: Item, other: Item) -> int:
    mine, its = item.entities, other.entities
    shared = sum(mine[name] == its.get(name) for name in mine)
    own = sum(name in mine and mine[name] == its.get(name) for name in _OWN)
    folder = item.path.rpartition("/")[0] == other.path.rpartition("/")[0]
    return 10 * own + shared + 2 * folder
