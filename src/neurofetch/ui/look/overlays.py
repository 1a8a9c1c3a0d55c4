"""Masks and regions that lie on the same grid as a volume: the nearest by name first."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from neurofetch.errors import NeurofetchError
from neurofetch.ui.look.volumes import same_grid

if TYPE_CHECKING:
    from collections.abc import Sequence
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
        self._seen: dict[Path, tuple[float, Sequence[tuple[Found, dict[str, str]]]]] = {}

    def over(self, place: Place, item: Item) -> list[dict[str, Any]]:
        """Return masks and images of labels on the grid of a volume, as the page shows them.

        Parameters
        ----------
        place : Place
        item : Item
            What its name says.
        """
        own = item.entities
        fitting = [
            (-_nearness(place, own, one.place, its), number, one)  # else in the order of paths
            for number, (one, its) in enumerate(self._candidates(place.root))
            if _fits(own, its) and one.place != place
        ]
        header = self._volumes.header(place)
        until = time.monotonic() + _SECONDS
        found: list[dict[str, Any]] = []
        for _, _, one in sorted(fitting):
            if len(found) == _MOST or time.monotonic() > until:
                break
            try:
                other = self._volumes.header(one.place)
            except NeurofetchError:  # damaged, or gone meanwhile: it is nothing to lay over
                continue
            if same_grid(header, other):
                found.append(self._shelf.described(one, item))
        return found

    def _candidates(self, root: Path) -> Sequence[tuple[Found, dict[str, str]]]:
        """Return what can be laid over something, and what the names say of it."""
        with self._lock:
            when, found = self._seen.get(root, (0.0, []))
            if not when or time.monotonic() - when > _FRESH:
                volumes = (one for one in self._shelf.walk(root, ()).found if one.kind == "volume")
                named = ((one, one.item) for one in volumes)
                found = [(one, item.entities) for one, item in named if _is_overlay(item)]
                self._seen[root] = (time.monotonic(), found)
            return found


def _is_overlay(item: Item) -> bool:
    return item.is_mask or item.is_labels


def _fits(own: dict[str, str], its: dict[str, str]) -> bool:
    return all(own[name] == its[name] for name in _OWN if name in own and name in its)


def _nearness(place: Place, own: dict[str, str], other: Place, its: dict[str, str]) -> int:
    shared = [name for name in own if own[name] == its.get(name)]
    folder = place.parts[:-1] == other.parts[:-1]
    return len(shared) + 10 * sum(name in _OWN for name in shared) + 2 * folder
