"""What a value that does not exist was meant to be."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING

from neurofetch.errors import UnknownValueError
from neurofetch.planning.entities import ENTITY_NAMES, INDEX_ENTITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = [
    "FILTERS",
    "LOOSE_ENTITIES",
    "Spellings",
    "all_meant",
    "habit_of",
    "may_mean",
    "meant",
    "nearest",
    "or_list",
    "shorten",
    "spell",
    "twins_of",
    "unknown_argument",
]

FILTERS = ("suffix", "extension", "datatype", "include", "exclude")
"""Filters that are no entities."""

LOOSE_ENTITIES = INDEX_ENTITIES | {"label"}
"""Entities of which one value has several spellings: ``run-1`` and ``run-01``; ``label-FFA-1`` on
a server and ``label-FFA1`` on disk."""

MANY = 30  # more values than this are not all listed in a message
FEW = 3  # of more values than this, not each has a message of its own


class Spellings:
    """Values that exist, by all that they may be written as: each is found without a search.

    Parameters
    ----------
    exists : iterable of str
    """

    def __init__(self, exists: Iterable[str]) -> None:
        self.values: frozenset[str] = frozenset(exists)
        self._ordered = sorted((_folded(value), value) for value in self.values)
        self._numbers: dict[str, list[str]] = {}
        self._folded: dict[str, list[str]] = {}
        self._heads: dict[str, list[str]] = {}
        for low, value in self._ordered:
            self._folded.setdefault(low, []).append(value)
            if value.isdecimal():
                self._numbers.setdefault(value.lstrip("0"), []).append(value)
            elif "." in low:
                self._heads.setdefault(low.partition(".")[0], []).append(value)

    @classmethod
    def of(cls, exists: Iterable[str] | Spellings) -> Spellings:
        """Return what was made already, or make it."""
        return exists if isinstance(exists, Spellings) else cls(exists)

    def same_number(self, value: str) -> list[str]:
        """Return the same number, however it is padded with zeros."""
        return sorted(self._numbers.get(value.lstrip("0"), ())) if value.isdecimal() else []

    def same_letters(self, value: str) -> list[str]:
        """Return what differs only in case, if at all."""
        return self._folded.get(_folded(value), [])

    def longer(self, value: str) -> list[str]:
        """Return what begins with it, whatever the case, and is longer."""
        low = _folded(value)
        found = []
        for number in range(bisect_left(self._ordered, (low,)), len(self._ordered)):
            other, real = self._ordered[number]
            if not other.startswith(low):
                break
            if _begins(other, low):
                found.append(real)
        return found

    def headed(self, value: str) -> list[str]:
        """Return what is this and an extension."""
        return self._heads.get(_folded(value), [])

    def twins(self, value: str) -> list[str]:
        """Return what differs only in case or in zeros before a number; see `twins_of`."""
        return [other for other in self._plain.get(_plain(value), ()) if other != value]

    @cached_property
    def _plain(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for value in sorted(self.values):
            found.setdefault(_plain(value), []).append(value)
        return found


def meant(name: str, value: str, exists: Collection[str] | Spellings) -> tuple[str, ...]:
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
    exists : collection of str or Spellings
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
    there = Spellings.of(exists)
    found, problem = _one_meant(name, value, there)
    if not found:
        raise UnknownValueError(problem or _unknown(name, value, there.values))
    return found


def all_meant(
    name: str, values: Sequence[str], exists: Spellings
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the existing values that each of some values means, and what is wrong with the rest.

    Parameters
    ----------
    name, values, exists
        As for `meant`.
    """
    found: dict[str, tuple[str, ...]] = {}
    unknown: list[str] = []
    problems: list[str] = []
    for value in values:
        meaning, problem = _one_meant(name, value, exists)
        if meaning:
            found[value] = meaning
        elif problem:
            problems.append(problem)
        else:
            unknown.append(value)
    if len(unknown) <= FEW:
        return found, [*problems, *(_unknown(name, one, exists.values) for one in unknown)]
    listed = shorten((spell(name, one) for one in unknown), 2 * FEW)
    there = f"There are: {shorten(exists.values)}." if exists.values else "There are none."
    text = f"{listed} do not exist. {there} Nothing was fetched. Leave them out, or correct them."
    return found, [*problems, text]


def _one_meant(name: str, value: str, there: Spellings) -> tuple[tuple[str, ...], str]:
    """Return what a value means; or nothing, and why that is not clear, if it may mean several."""
    spellings = _spellings(name, value, there)
    candidates = spellings or _candidates(value, there)
    if len(candidates) > 1 and not spellings:
        return (), _ambiguous(name, value, candidates)
    return candidates, ""


def _spellings(name: str, value: str, there: Spellings) -> tuple[str, ...]:
    """Return the spellings of a value that are all meant, where a value has several."""
    if name in INDEX_ENTITIES:
        return tuple(there.same_number(value))
    return _without_hyphens(value, there.values) if name == "label" else ()


def _candidates(value: str, there: Spellings) -> tuple[str, ...]:
    """Return what comes into question first; see `meant`."""
    if value in there.values:
        return (value,)
    return tuple(there.same_number(value) or there.same_letters(value) or there.longer(value))


def may_mean(values: Iterable[str], exists: Collection[str] | Spellings) -> frozenset[str]:
    """Return the existing values of which any value may be meant, as far as these tell.

    It is wider than `meant`, which has all that exists before it: there may be more elsewhere. Only
    where a value begins several others, and is none itself, none of them can be meant.

    Parameters
    ----------
    values : iterable of str
        What was asked for.
    exists : collection of str or Spellings
        What there is here.

    Examples
    --------
    >>> sorted(may_mean(["3"], ["03", "3", "33"])), sorted(may_mean(["pilot"], ["pilot1", "02"]))
    (['03', '3'], ['pilot1'])
    """
    there = Spellings.of(exists)
    found: set[str] = set()
    for value in values:
        spellings = {
            *there.same_letters(value),
            *there.headed(value),
            *there.same_number(value),
        }
        if not spellings:
            longer = there.longer(value)
            spellings = set(longer) if len(longer) == 1 else set()
        found |= spellings
    return frozenset(found)


_LEADING_ZEROS = re.compile(r"(?<![0-9.])0+(?=[0-9])")


def twins_of(value: str, exists: Iterable[str] | Spellings) -> list[str]:
    """Return the other values that differ only in case or in zeros before a number, sorted.

    The zeros of a fraction count: ``0.07mm`` is not ``0.7mm``.

    Examples
    --------
    >>> twins_of("day02", ["day2", "day20", "Day002", "day02"])
    ['Day002', 'day2']
    >>> twins_of("0.07mm", ["0.7mm", "07mm", "7mm", "00.07mm"])
    ['00.07mm']
    """
    return Spellings.of(exists).twins(value)


def _folded(value: str) -> str:
    """Return what two values share that differ only in case, or in how accents are written."""
    return unicodedata.normalize("NFC", value).casefold()


def _plain(value: str) -> str:
    return _LEADING_ZEROS.sub("", _folded(value))


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
    if not exists and name not in {*ENTITY_NAMES.values(), *FILTERS}:
        near = nearest(name, [*ENTITY_NAMES, *ENTITY_NAMES.values(), *FILTERS], 1, cutoff=0.7)
        hint = f" Did you mean {near[0]}=?" if near else ""
        return (
            f"{name} is no argument and no entity of BIDS, and no file listed here has any "
            f"{name + '-…'!r} in its name.{hint} Nothing was fetched."
        )
    if not exists:
        where = "path" if name == "datatype" else "name"
        return (
            f"{spell(name, value)} does not exist: no file listed here has any {name!r} in its "
            f"{where}. Nothing was fetched. Leave this filter out."
        )
    twins = twins_of(value, exists)
    near = nearest(value, exists)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    hint = f" Did you mean {or_list(twins)}?" if twins else hint
    hint = _not_one_value(value, exists) or hint
    return (
        f"{spell(name, value)} does not exist.{hint} There are: {shorten(exists)}. "
        "Nothing was fetched. Use one of these, or leave the filter out."
    )


def _not_one_value(value: str, exists: Collection[str]) -> str:
    """Say of a text that is no value what it is: several of them, or a glob."""
    pieces = [piece for piece in re.split(r"[,;\s]+", value) if piece]
    if len(pieces) > 1 and all(may_mean([piece], exists) for piece in pieces):
        listed = ", ".join(map(repr, pieces))
        return f" For several values, write {' '.join(pieces)}; in Python, [{listed}]."
    if re.search(r"[*?\[{]", value):
        return " A filter takes values. For globs there are --include and --exclude (include=)."
    return ""


def nearest(value: str, exists: Iterable[str], count: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return the names that look most like one that does not exist, nearest first.

    Upper and lower case are the same here, and so are the two ways to write an accent. Names that
    contain the one that was given come first; of names that are equally alike, the one whose number
    at the end is nearer.

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
        low = unicodedata.normalize("NFC", other).casefold()
        likeness = SequenceMatcher(None, folded, low).ratio()
        contained = folded in low
        if (0.5 + likeness / 2 if contained else likeness) >= cutoff:
            distance = abs(_number_at_the_end(other) - number)
            ranked.append((not contained, -likeness, distance, other))
    return [other for *_, other in sorted(ranked)[:count]]


def unknown_argument(function: str, name: str, takes: Iterable[str]) -> str:
    """Return what to say of a keyword that a function does not take.

    Parameters
    ----------
    function, name : str
    takes : iterable of str
        The keywords that it does take.

    Examples
    --------
    >>> unknown_argument("get", "n_job", ["n_jobs", "overwrite"])
    "get() has no argument 'n_job'. Did you mean n_jobs=?"
    """
    near = nearest(name, takes, 2, cutoff=0.7)
    hint = f" Did you mean {or_list([f'{one}=' for one in near])}?" if near else ""
    return f"{function}() has no argument {name!r}.{hint}"


_HABITS = {
    "dataset": "name the data set first, as in ds000246",
    "tag": "a version is part of the name, as in openneuro:ds000246@1.0.1",
    "max_concurrent_downloads": "how many come at once is found out",
    "metadata_timeout": "patience (--patience) says how long to wait for the network",
    "max_retries": "patience (--patience) says how long to wait for the network",
    "verify_hash": "every file is verified as it comes",
    "no_verify_hash": "every file is verified as it comes",
    "verify_size": "every file is verified as it comes",
    "no_verify_size": "every file is verified as it comes",
    "nemar_checksums": "OpenNeuro itself has a hash of each file, and it is compared",
}
"""What users of openneuro-py write, and what there is in its place."""


def habit_of(name: str) -> str:
    """Return what there is in the place of an argument of another program; "" where it is none.

    Parameters
    ----------
    name : str
        Of an argument or of a flag.

    Examples
    --------
    >>> habit_of("--tag")
    'a version is part of the name, as in openneuro:ds000246@1.0.1'
    >>> habit_of("subject")
    ''
    """
    return _HABITS.get(name.lstrip("-").replace("-", "_"), "")


def or_list(names: Sequence[str]) -> str:
    """Return names as a choice between them.

    Examples
    --------
    >>> or_list(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _number_at_the_end(text: str) -> int:
    found = re.search(r"[0-9]+$", text)
    return int(found[0]) if found else 0
