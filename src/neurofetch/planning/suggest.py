"""What a value that does not exist was meant to be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from neurofetch.errors import UnknownValueError
from neurofetch.planning.entities import ENTITY_NAMES, INDEX_ENTITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = [
    "LOOSE_ENTITIES",
    "may_mean",
    "meant",
    "nearest",
    "shorten",
    "spell",
]

LOOSE_ENTITIES = INDEX_ENTITIES | {"label"}
"""Entities of which one value has several spellings: ``run-1`` and ``run-01``; ``label-FFA-1`` on
a server and ``label-FFA1`` on disk."""

_OTHER_FILTERS = ("suffix", "extension", "datatype", "include", "exclude")
MANY = 30  # more values than this are not all listed in a message


def meant(name: str, value: str, exists: Collection[str]) -> tuple[str, ...]:
    """Return the existing values that a value means.

    In this order: the value itself; the same number, however it is padded with zeros; one that
    differs only in case; one that begins with it, whatever the case. Text that ends in a digit
    is never the beginning of a longer number: ``1`` does not mean ``10``. The zeros of
    an index and the hyphens of a label do not count: there all spellings are meant.

    Parameters
    ----------
    name : str
        A short entity name, ``suffix``, ``extension`` or ``datatype``.
    value : str
        Bare.
    exists : collection of str
        The values that exist.

    Returns
    -------
    tuple of str
        One value; for an index (run, echo, …) or a label every spelling of it that exists.

    Raises
    ------
    UnknownValueError
        If no value, or more than one, comes into question; it lists them.

    Examples
    --------
    >>> meant("desc", "singletrial", ["R2", "SingletrialBetas"])
    ('SingletrialBetas',)
    >>> meant("run", "1", ["01", "1", "02"])
    ('01', '1')
    """
    numbers = sorted(other for other in exists if _same_number(value, other))
    if name in INDEX_ENTITIES and numbers:
        return tuple(numbers)
    if name == "label" and (spellings := _without_hyphens(value, exists)):
        return spellings
    if value in exists:
        return (value,)
    folded = value.casefold()
    same = [other for other in exists if other.casefold() == folded]
    longer = [other for other in exists if _begins(other.casefold(), folded)]
    for candidates in (numbers, same, longer):
        if len(candidates) == 1:
            return tuple(candidates)
        if candidates:
            raise UnknownValueError(_ambiguous(name, value, candidates))
    raise UnknownValueError(_unknown(name, value, exists))


def may_mean(values: Iterable[str], exists: Collection[str]) -> frozenset[str]:
    """Return the existing values of which any value may be meant, as far as these tell.

    It is wider than `meant`, which has all that exists before it: there may be more elsewhere. Only
    where a value begins several others, and is none itself, none of them can be meant.

    Parameters
    ----------
    values, exists : collection of str
        What was asked for, and what there is here.

    Examples
    --------
    >>> sorted(may_mean(["3"], ["03", "3", "33"])), sorted(may_mean(["pilot"], ["pilot1", "02"]))
    (['03', '3'], ['pilot1'])
    """
    found: set[str] = set()
    for value in values:
        folded = value.casefold()
        spellings = {
            other
            for other in exists
            if folded in (low := other.casefold(), low.partition(".")[0])
            or _same_number(value, other)
        }
        if not spellings:
            longer = [other for other in exists if _begins(other.casefold(), folded)]
            spellings = set(longer) if len(longer) == 1 else set()
        found |= spellings
    return frozenset(found)


def _same_number(one: str, two: str) -> bool:
    both = one.isdecimal() and two.isdecimal()
    return both and one.lstrip("0") == two.lstrip("0")


def _without_hyphens(value: str, exists: Collection[str]) -> tuple[str, ...]:
    plain = value.replace("-", "")
    return tuple(sorted(other for other in exists if other.replace("-", "") == plain))


def _begins(longer: str, beginning: str) -> bool:
    if not longer.startswith(beginning) or longer == beginning:
        return False
    return not (beginning[-1:].isdigit() and longer[len(beginning)].isdigit())


def spell(name: str, value: str) -> str:
    """Return a filter as a reader knows it: ``ses-01``, ``suffix bold``."""
    apart = name in ("suffix", "extension", "datatype")
    return f"{name} {value}" if apart else f"{name}-{value}"


def shorten(values: Iterable[str], limit: int = MANY) -> str:
    """Return sorted values as text, the middle left out where they are many.

    Examples
    --------
    >>> shorten("dcba", limit=3)
    'a, b, … (1 more) …, d'
    """
    ordered = sorted(set(values))
    if len(ordered) <= limit:
        return ", ".join(ordered)
    return ", ".join([*ordered[: limit - 1], f"… ({len(ordered) - limit} more) …", ordered[-1]])


def _ambiguous(name: str, value: str, candidates: Collection[str]) -> str:
    return (
        f"{spell(name, value)} does not exist and could mean {len(candidates)} others: "
        f"{shorten(candidates)}. Nothing was fetched. Choose one of them."
    )


def _unknown(name: str, value: str, exists: Collection[str]) -> str:
    if not exists:
        where = "path" if name == "datatype" else "name"
        known = {*ENTITY_NAMES, *ENTITY_NAMES.values(), *_OTHER_FILTERS}
        near = [] if name in known else nearest(name, known, count=2, cutoff=0.7)
        hint = f" Did you mean the filter {' or '.join(near)}?" if near else ""
        return (
            f"{spell(name, value)} does not exist: no file listed here has any {name!r} in its "
            f"{where}.{hint} Nothing was fetched. Leave this filter out."
        )
    near = nearest(value, exists)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return (
        f"{spell(name, value)} does not exist.{hint} There are: {shorten(exists)}. "
        "Nothing was fetched. Use one of these, or leave the filter out."
    )


def nearest(value: str, exists: Iterable[str], count: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return the names that look most like one that does not exist, nearest first.

    Upper and lower case are the same here. Names that contain the one that was given come first;
    of names that are equally alike, the one whose number at the end is nearer.

    Parameters
    ----------
    value : str
        What was given.
    exists : iterable of str
        The names that there are.
    count : int
        How many to return at the most.
    cutoff : float
        As in `difflib.get_close_matches`: 0 takes all, 1 only equal ones. A name that contains
        the one that was given has at least half of the likeness.

    Examples
    --------
    >>> nearest("ffa3", ["FFA1", "FFA2", "EBA"])
    ['FFA2', 'FFA1']
    >>> nearest("betas", ["R2mean", "SingletrialBetas"])
    ['SingletrialBetas']
    >>> nearest("--sutfix", ["--suffix", "--subject", "--ses"], count=1, cutoff=0.75)
    ['--suffix']
    """
    from difflib import SequenceMatcher  # noqa: PLC0415 - only an error needs it

    folded = value.casefold()
    number = _number_at_the_end(value)
    ranked = []
    for other in set(exists) if folded else ():
        low = other.casefold()
        likeness = SequenceMatcher(None, folded, low).ratio()
        contained = folded in low
        if (0.5 + likeness / 2 if contained else likeness) >= cutoff:
            distance = abs(_number_at_the_end(other) - number)
            ranked.append((not contained, -likeness, distance, other))
    return [other for *_, other in sorted(ranked)[:count]]


def _number_at_the_end(text: str) -> int:
    found = re.search(r"[0-9]+$", text)
    return int(found[0]) if found else 0
