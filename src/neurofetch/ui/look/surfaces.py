"""Surfaces (GIfTI): whether a file is a mesh or values on one, and which meshes fit its values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch.ui.look.places import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neurofetch.ui.look.kinds import Item
    from neurofetch.ui.look.places import Place
    from neurofetch.ui.look.shelf import Found, Shelf

__all__ = ["surface_of"]

_BEGIN = 1 << 16
_POINTS = b"NIFTI_INTENT_POINTSET"
_ARRAY = re.compile(rb"<DataArray\b([^>]*)>")
_SIZE = re.compile(rb"Dim0\s*=\s*[\"'](\d{1,12})[\"']")
_LOOKED_AT = 40
_OWN = ("subject", "hemisphere", "space", "density")
_ORDER = ("inflated", "midthickness", "pial", "white")
"""What is drawn under values, the best first."""


class _Said(NamedTuple):
    """What the begin of a GIfTI file says of its first array."""

    is_mesh: bool
    vertices: int


def surface_of(shelf: Shelf, place: Place, item: Item) -> dict[str, Any]:
    """Return whether a surface is a mesh, its number of vertices, and the meshes that fit values.

    Parameters
    ----------
    shelf : Shelf
    place : Place
    item : Item
        What its name says.
    """
    says = _read(place)
    meshes: list[dict[str, Any]] = []
    if not says.is_mesh:
        seen = shelf.walk(place.root, ()).found
        meshes = [shelf.described(one, item) for one in _fitting(seen, item, says.vertices)]
    return {"is_mesh": says.is_mesh, "vertices": says.vertices or None, "meshes": meshes}


def _fitting(seen: Iterable[Found], item: Item, vertices: int) -> list[Found]:
    own = item.entities
    named = [
        (one, one.item)
        for one in seen
        if one.kind == "surface" and ".surf.gii" in one.place.parts[-1].lower()
    ]
    near = [
        (_rank(other), one)
        for one, other in named
        if all(own.get(name) == other.entities.get(name) for name in _OWN if name in own)
    ]
    near.sort(key=lambda pair: pair[0])
    return [one for _, one in near[:_LOOKED_AT] if _read(one.place) == _Said(True, vertices)]


def _rank(item: Item) -> int:
    return _ORDER.index(item.says.suffix) if item.says.suffix in _ORDER else len(_ORDER)


def _read(place: Place) -> _Said:
    first = _ARRAY.search(read_small(place, _BEGIN))
    if first is None:
        return _Said(False, 0)
    size = _SIZE.search(first[1])
    return _Said(_POINTS in first[1], int(size[1]) if size else 0)
