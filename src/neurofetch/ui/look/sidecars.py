"""What JSON files say of a data file, by the inheritance principle of BIDS.

A JSON file applies to the files of its suffix, in its own folder and below, whose names have all of
its entities. Of several the nearest counts, word by word.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch.errors import UnsafeNameError
from neurofetch.planning.entities import parse
from neurofetch.store.folder import Folder
from neurofetch.ui.look.places import Place, read_small

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["about_column", "data_set_of", "metadata"]

_DESCRIPTION = "dataset_description.json"
_LONGEST_NAME = 120
_LARGEST = 1 << 20
_NAMES = 20_000
"""In a folder of more names, no JSON file of a name that only inherits is looked for."""


def metadata(place: Place) -> dict[str, Any]:
    """Return what JSON files say of a file.

    Parameters
    ----------
    place : Place
    """
    says: dict[str, Any] = {}
    for one in _applying(place):
        says.update(_read(one))
    return says


def data_set_of(place: Place) -> str | None:
    """Return what the data set of a file calls itself: the nearest one above it that says so.

    Parameters
    ----------
    place : Place
    """
    for depth in reversed(range(len(place.parts))):
        name = _read(Place(place.root, (*place.parts[:depth], _DESCRIPTION))).get("Name")
        if isinstance(name, str) and name.strip():
            return shown(name.strip())[:_LONGEST_NAME]
    return None


def about_column(says: Mapping[str, Any], column: str) -> str | None:
    """Return what the metadata of a table say of a column, with its unit and its levels.

    Parameters
    ----------
    says : mapping
    column : str

    Examples
    --------
    >>> about_column({"onset": {"Description": "begin", "Units": "s"}}, "onset")
    'begin (s)'
    >>> about_column({"sex": {"LongName": "Sex", "Levels": {"F": "female", "M": "male"}}}, "sex")
    'Sex: F = female, M = male'
    """
    said: object = says.get(column)
    if isinstance(said, str):
        return said or None
    if not isinstance(said, dict):
        return None
    text = ""
    for key in ("LongName", "Description"):
        word = said.get(key)
        text = word if isinstance(word, str) and word else text
    if isinstance(unit := said.get("Units"), str) and unit:
        text = f"{text} ({unit})" if text else unit
    levels = said.get("Levels")
    if isinstance(levels, dict) and levels:
        listed = ", ".join(f"{level} = {_level(what)}" for level, what in list(levels.items())[:20])
        text = f"{text}: {listed}" if text else listed
    return text or None


def _level(what: object) -> str:
    if isinstance(what, dict):
        what = what.get("Description", "")
    return what if isinstance(what, str) else str(what)


def _applying(place: Place) -> list[Place]:
    """Return the JSON files that apply to a file: the nearest last."""
    data = parse(place.path)
    found: list[Place] = []
    for depth in range(len(place.parts)):
        folder = place.parts[:depth]
        fitting = []
        for name in _names(place, folder):
            says = parse(name)
            fits = says.suffix == data.suffix and set(says.values) <= set(data.values)
            if fits:
                fitting.append((len(says.values), name))
        found += [Place(place.root, (*folder, name)) for _, name in sorted(fitting)]
    stem = place.parts[-1].partition(".")[0]
    record = f"{stem.removesuffix('_resampled')}_metadata.json"  # of a map of NeuroVault
    for own in (record, f"{stem}.json"):
        if place.beside(own) not in found:
            found.append(place.beside(own))
    return found


def _names(place: Place, folder: tuple[str, ...]) -> list[str]:
    try:
        with Folder.real(place.root) as root, root.below(folder) as here:
            names = here.names()
    except (OSError, UnsafeNameError):
        return []
    if len(names) > _NAMES:
        return []
    return [name for name in names if name.endswith(".json") and not name.startswith(".")]


def _read(place: Place) -> dict[str, Any]:
    block = read_small(place, _LARGEST + 1)
    if not block or len(block) > _LARGEST:
        return {}
    try:
        says = json.loads(block.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return says if isinstance(says, dict) else {}
