"""What a file's name says, as columns of an index: those of bids2table, value by value. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from neurofetch.planning.bids_schema import ENTITIES, INDEX_ENTITIES, VALUES_OF
from neurofetch.planning.entities import datatype_of, parse
from neurofetch.planning.units import unit_of

__all__ = ["COLUMNS", "SUBJECT", "Said", "said"]

COLUMNS: Final = (*ENTITIES.values(), "datatype", "suffix", "ext")
"""Names of the columns: the entities in the order of a file name, and what no entity says."""

SUBJECT: Final = re.compile(r"sub-[a-zA-Z0-9]+")
"""The folder of a subject."""
_DATATYPE = re.compile(r"sub-[a-zA-Z0-9]+(?:/ses-[a-zA-Z0-9]+)?/([a-z]+)/")
_PLACE: Final = {name: number for number, name in enumerate(COLUMNS)}
_NONE: Final[tuple[None, ...]] = (None,) * len(COLUMNS)
_LARGEST = (1 << 31) - 1


class Said(NamedTuple):
    """What a name says.

    Parameters
    ----------
    values : list of str, int or None
        One for each of `COLUMNS`.
    extra : list of (str, str)
        Entities that BIDS does not have, and values that an entity of BIDS cannot have.
    unit : str
        The recording that the file is a piece of, where that is a folder; else "".
    """

    values: list[str | int | None]
    extra: list[tuple[str, str]]
    unit: str


def said(path: str) -> Said:
    """Return what the name of a file says.

    A name such as ``sub-01_bold.nii.gz`` says all by itself, as bids2table reads it. What has no
    such name, and is left out by bids2table, is read as for the filters of ``get``: the folders
    tell the subject and the session. A file in a recording that is a folder says what that says.

    Parameters
    ----------
    path : str
        Below the root of its data set, with forward slashes.

    Examples
    --------
    >>> found = said("sub-01/func/sub-01_task-rest_run-02_colour-red_bold.nii.gz")
    >>> dict(zip(COLUMNS, found.values))["run"], found.extra
    (2, [('colour', 'red')])
    """
    unit = unit_of(path)
    whole = unit or path
    pairs = _pairs(whole.rpartition("/")[2])
    if pairs:
        found = _DATATYPE.search(whole)
        datatype = found[1] if found else ""
    else:
        name = parse(whole)
        pairs = dict(name.values) | _not_empty(suffix=name.suffix, ext=name.extension)
        datatype = datatype_of(path)
    pairs |= _not_empty(datatype=datatype)
    values: list[str | int | None] = list(_NONE)
    extra = []
    for entity, text in pairs.items():
        value = _value(entity, text)
        if value is None:
            extra.append((entity, text))
        else:
            values[_PLACE[entity]] = value
    return Said(values, extra, unit)


def _pairs(name: str) -> dict[str, str]:
    """Return what bids2table reads in a name, the last of a kind; nothing for one it leaves out."""
    *chunks, last = name.split("_")
    suffix, dot, extension = last.partition(".")
    if not (name.startswith("sub-") and suffix and extension) or "-" in suffix:
        return {}
    pairs = [chunk.split("-", 1) for chunk in chunks if "-" in chunk]
    return dict(pairs) | {"suffix": suffix, "ext": dot + extension}


def _not_empty(**pairs: str) -> dict[str, str]:
    return {name: value for name, value in pairs.items() if value}


def _value(entity: str, text: str) -> str | int | None:
    """Return a value as its column has it; None where it can have no such value."""
    if entity in INDEX_ENTITIES:
        try:
            number = int(text)
        except ValueError:
            return None
        return number if -_LARGEST - 1 <= number <= _LARGEST else None
    if entity not in _PLACE or text not in VALUES_OF.get(entity, (text,)):
        return None
    return text
