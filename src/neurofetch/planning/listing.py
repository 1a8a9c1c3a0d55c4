"""Which folders of a data set can hold what was asked for, told from their names alone.

A bucket may hold 300,000 files, of which one subject has 200. A server lists 1,000 files a request,
but it also lists the folders directly below another one. So a level is looked at where its folders
tell of what lies in them: the subject folders of a data set, the session and datatype folders of a
subject. Where nothing is to be ruled out by a name, all files are listed at once: that is a walk.

The shape of a data set is that of the specification: subject folders lie in the root of a data set
(``sub-<label>``), session folders in those, datatype folders in either; derivatives are data sets
in ``derivatives/``, and source data may be in ``sourcedata/``
(https://bids-specification.readthedocs.io/en/stable/common-principles.html). Metadata that applies
to a file lies in the folders above it, or beside it: all files of a level that is looked at count.
"""

from __future__ import annotations

import enum
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.planning.bids_schema import DATATYPES
from neurofetch.planning.entities import DERIVATIVES, folder_label
from neurofetch.planning.suggest import Spellings, may_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurofetch.planning.query import Query

__all__ = ["Kind", "Narrowing", "Place", "Split", "ancestors", "root_by_subject"]

_WHOLE = re.compile(r"(sub|ses)-((?:(?!\.[A-Za-z])[^_])+)")
"""The name of a folder of a subject or session. ``sub-01.feat`` is none, though it is of one."""
_SUBJECT = "sub-"
_COLLECTIONS = frozenset({"derivatives", "rawdata", "sourcedata"})
"""Folders of a data set whose folders are data sets, or are laid out as if they were."""
_DEPTH = 2
"""Levels of folders in a collection that are looked at, if they are no subject's."""
_GUESSES = 4
"""More folders than this are not guessed: that is two requests each, all at the same time."""
_DIGITS = 4
"""Labels that are numbers have up to so many digits, with zeros before them."""
_MANY = 32
"""More subjects than this are not looked into, one by one: a request lists 1,000 files."""


class Kind(enum.Enum):
    """What a folder is in a data set."""

    DATASET = "data set"
    COLLECTION = "collection"
    SUBJECT = "subject"
    SESSION = "session"
    OTHER = "other"


class Place(NamedTuple):
    """A folder of a data set.

    Parameters
    ----------
    path : str
        Below the root: "" or ending in "/".
    kind : Kind
    depth : int
        Of a data set in a collection: how deep it lies there; 0 for one that lies in none.
    """

    path: str = ""
    kind: Kind = Kind.DATASET
    depth: int = 0

    def child(self, name: str) -> Place:
        """Return a folder directly below this one.

        Parameters
        ----------
        name : str
            Without slashes.

        Examples
        --------
        >>> Place().child("sub-01").child("ses-02").kind
        <Kind.SESSION: 'session'>
        >>> Place().child("sub-01_ses-2011").kind, Place().child("derivatives").kind
        (<Kind.OTHER: 'other'>, <Kind.COLLECTION: 'collection'>)
        """
        path = f"{self.path}{name}/"
        whole = _WHOLE.fullmatch(name)
        entity = whole[1] if whole else ""
        if self.kind in (Kind.DATASET, Kind.COLLECTION):
            if entity == "sub":
                return Place(path, Kind.SUBJECT)
            if name in _COLLECTIONS:
                return Place(path, Kind.COLLECTION)
            if self.kind is Kind.COLLECTION:
                return Place(path, Kind.DATASET, 1)
            if 0 < self.depth < _DEPTH:
                return Place(path, Kind.DATASET, self.depth + 1)
        elif self.kind is Kind.SUBJECT and entity == "ses":
            return Place(path, Kind.SESSION)
        return Place(path, Kind.OTHER)

    def below(self, path: str) -> Place:
        """Return the folder at a path below this one ("" or ending in "/")."""
        place = self
        for name in path.split("/")[:-1]:
            place = place.child(name)
        return place


class Split(NamedTuple):
    """What to do with the folders of a level.

    Parameters
    ----------
    walks : tuple of str
        Prefixes, below the root, whose every file is to be listed.
    looks : tuple of Place
        Folders to be looked at as a level.
    subjects : tuple of str
        Subject folders to be walked, where walking all there are may be cheaper.
    there : int
        How many subject folders there are.
    """

    walks: tuple[str, ...] = ()
    looks: tuple[Place, ...] = ()
    subjects: tuple[str, ...] = ()
    there: int = 0


class Narrowing:
    """What a query rules out by the names of folders.

    It keeps the names, also of what it passed over: so a value that does not exist can still be
    told from one that is only misspelt.

    Parameters
    ----------
    query : Query
        As it was asked: values may be near misses.
    derivatives : tuple of str, optional
        The folders of ``derivatives/`` that are wanted; none for none of them. By default all.
    """

    def __init__(self, query: Query, derivatives: tuple[str, ...] | None = None) -> None:
        entities = {
            entity: query.get(entity) for entity in ("sub", "ses") if entity in query.strict
        }
        asked = {"datatype": query.datatype} | entities
        self._asked: dict[str, tuple[str, ...]] = {
            what: values for what, values in asked.items() if values
        }
        self._derivatives = derivatives
        if derivatives is not None:
            self._asked["derivatives"] = derivatives
        self._named: dict[str, set[str]] = defaultdict(set)
        self._passed_over = False
        self._missing = set(self._asked.get("sub", ()))

    @property
    def narrows(self) -> bool:
        """Whether any name could be ruled out."""
        return bool(self._asked)

    @property
    def named(self) -> dict[str, frozenset[str]]:
        """The values that folders are named by, those that were passed over included, by filter."""
        return {what: frozenset(values) for what, values in self._named.items()}

    @property
    def hides(self) -> bool:
        """Whether what was passed over could explain why nothing was found.

        It cannot where a subject is none of those that there are.
        """
        return self._passed_over and not self._missing

    @property
    def guesses(self) -> tuple[str, ...]:
        """Names of subject folders, one of which will do for each subject that was asked for.

        None where a guess is no use: no subject was asked for, or many were.

        Examples
        --------
        >>> from neurofetch.planning.query import query
        >>> Narrowing(query(subject="3")).guesses
        ('sub-3', 'sub-03', 'sub-003', 'sub-0003')
        """
        values = self._asked.get("sub", ())
        labels = dict.fromkeys(one for value in values for one in _spellings(value))
        return tuple(f"{_SUBJECT}{label}" for label in labels) if len(labels) <= _GUESSES else ()

    def split(self, place: Place, folders: Sequence[str], *, all_of_them: bool = True) -> Split:
        """Say what to do with the folders of a level.

        Parameters
        ----------
        place : Place
        folders : sequence of str
            The names of its folders, without slashes.
        all_of_them : bool, optional
            False if some were ruled out before.
        """
        kept = self._kept(place, folders)
        self._passed_over |= not all_of_them
        subjects = [child for child in kept if _is_of_subject(place, child)]
        within = self._inside(Kind.SUBJECT) and len(subjects) <= _MANY
        looks, walks, plain = [], [], []
        for child in kept:
            if child.kind is Kind.SUBJECT and not within:
                plain.append(child.path)
            elif self._inside(child.kind):
                looks.append(child)
            elif _is_of_subject(place, child):
                plain.append(child.path)
            else:
                walks.append(child.path)
        if all_of_them and len(kept) == len(folders) and not looks:
            return Split((place.path,))  # nothing is ruled out
        there = sum(name.startswith(_SUBJECT) for name in folders)
        if all_of_them and len(plain) == there > 1:
            return Split((*walks, f"{place.path}{_SUBJECT}"), tuple(looks))
        return Split(tuple(walks), tuple(looks), tuple(plain), there)

    def _inside(self, kind: Kind) -> bool:
        """Whether the folders in such a folder may be ruled out."""
        if kind is Kind.COLLECTION:
            return self.narrows
        within = {
            Kind.DATASET: {"sub", "ses", "datatype"},
            Kind.SUBJECT: {"ses", "datatype"},
            Kind.SESSION: {"datatype"},
        }
        return not within.get(kind, set()).isdisjoint(self._asked)

    def _kept(self, place: Place, folders: Sequence[str]) -> list[Place]:
        """Return the folders that can hold what was asked for."""
        labels = [self._labels(place, name) for name in folders]
        wanted = {
            what: may_mean(values, {label[what] for label in labels if what in label})
            for what, values in self._asked.items()
        }
        subjects = {label["sub"] for label in labels if "sub" in label}
        here = Spellings(subjects)
        self._missing = {one for one in self._missing if not may_mean([one], here)}
        begun = tuple(map(str.casefold, self._asked.get("datatype", ())))
        wanted["datatype"] = frozenset(name for name in DATATYPES if name.startswith(begun))
        kept = []
        for name, label in zip(folders, labels, strict=True):
            for what, value in label.items():
                self._named[what].add(value)
            if all(value in wanted[what] for what, value in label.items()):
                kept.append(place.child(name))
            else:
                self._passed_over = True
        return kept

    def _labels(self, place: Place, name: str) -> dict[str, str]:
        """Return what a folder's name says of what was asked for."""
        label = _labels(name)
        if place.kind in (Kind.SUBJECT, Kind.SESSION) and name in DATATYPES:
            label["datatype"] = name
        of_all = place.kind is Kind.DATASET and name == "derivatives" and not self._derivatives
        if of_all or place.path == DERIVATIVES:
            label["derivatives"] = name
        return {what: value for what, value in label.items() if what in self._asked}


def _spellings(value: str) -> list[str]:
    """Return the labels that a value is likely to stand for, the most likely one first."""
    if not (value.isascii() and value.isdecimal()):
        return [value]
    number = value.lstrip("0") or "0"
    padded = [number.zfill(digits) for digits in range(len(number), _DIGITS + 1)]
    return list(dict.fromkeys([value, *padded]))


def _is_of_subject(place: Place, child: Place) -> bool:
    return child.path.startswith(f"{place.path}{_SUBJECT}")


def _labels(name: str) -> dict[str, str]:
    """Return the subject and the session that a folder's name begins with.

    Examples
    --------
    >>> _labels("sub-01_ses-2011"), _labels("ses-02"), _labels("sub-01_task-rest.feat")
    ({'sub': '01', 'ses': '2011'}, {'ses': '02'}, {'sub': '01'})
    >>> _labels("sub-01.feat")
    {'sub': '01'}
    """
    found: dict[str, str] = {}
    for chunk in map(folder_label, name.split("_")):
        whole = _WHOLE.fullmatch(chunk)
        if whole is None:
            break
        found.setdefault(whole[1], whole[2])
    return found


def ancestors(path: str) -> list[str]:
    """Return a folder and those above it, the deepest first; each is "" or ends in "/".

    Examples
    --------
    >>> ancestors("ds/sub-01/")
    ['ds/sub-01/', 'ds/', '']
    """
    names = path.split("/")[:-1]
    return ["".join(f"{name}/" for name in names[:count]) for count in range(len(names), -1, -1)]


def root_by_subject(path: str) -> str | None:
    """Return the folder in which the first subject folder of a path lies; None without one.

    Examples
    --------
    >>> root_by_subject("ds/sub-01/anat/"), root_by_subject("ds/code/")
    ('ds/', None)
    """
    names = path.split("/")[:-1]
    for number, name in enumerate(names):
        whole = _WHOLE.fullmatch(name)
        if whole and whole[1] == "sub":
            return "".join(f"{one}/" for one in names[:number])
    return None
