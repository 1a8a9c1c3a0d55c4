"""The test of one file: a query and a dataset's rules, made ready for many files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from neurofetch.model import names_in
from neurofetch.planning.entities import Entities, Pairs, Reader, datatype_of, parse
from neurofetch.planning.query import Query, glob_test
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from neurofetch.model import RemoteFile

__all__ = ["Entry", "Family", "Matcher", "Rules", "entries", "passing"]

_Left = tuple[str, ...]
"""The entities with a filter that the folders of a file do not tell of."""


class Entry:
    """A listed file and what its name says; `path` is relative to the listed prefix.

    The name is read when it is asked for, and again when it is asked for again: to keep what a
    million names say takes more memory than all the rest.
    """

    __slots__ = ("path", "remote")

    def __init__(self, remote: RemoteFile, path: str) -> None:
        self.remote: RemoteFile = remote
        self.path: str = path

    @property
    def says(self) -> Entities:
        """What its name says."""
        return parse(self.path)

    @property
    def unit(self) -> str:
        """The recording that it is a piece of, where that is a folder; else empty."""
        return unit_of(self.path)

    @property
    def datatype(self) -> str:
        """What its folders say it holds (``func``); empty for nothing in particular."""
        return datatype_of(self.path)


def entries(files: Iterable[RemoteFile], base: str = "") -> list[Entry]:
    """Return the files with what their names say, each key once, in the order of the keys."""
    folder = base.rstrip("/") + "/" if base else ""
    files = files if isinstance(files, list) else list(files)
    names = names_in(files, folder)
    keys = [file.key for file in files] if names is None else names
    if any(map(str.__ge__, keys, islice(keys, 1, None))):  # they come in order, as a rule
        by_key = {file.key: file for file in files}
        files = [by_key[key] for key in sorted(by_key)]
        names = names_in(files, folder)
    if names is None:
        names = [file.key.removeprefix(folder) for file in files]
    return list(map(Entry, files, names))


@dataclass(frozen=True, slots=True)
class Family:
    """Files of a dataset that follow a rule of their own.

    Parameters
    ----------
    why : str
        The rule, as the plan names it beside each file.
    prefixes : tuple of str
        Beginnings of their paths; empty for anywhere.
    entities : tuple of (entity, value)
        What all of them carry.
    extension : str
        Theirs; empty for any.
    """

    why: str
    prefixes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    extension: str = ""

    def holds(self, entry: Entry) -> bool:
        """Whether a file is one of them."""
        if self.prefixes and not entry.path.startswith(self.prefixes):
            return False
        if not self.extension and not self.entities:
            return True
        says = entry.says
        if self.extension and says.extension != self.extension:
            return False
        return all(says.get(entity) == value for entity, value in self.entities)


@dataclass(frozen=True, slots=True)
class Rules:
    """What comes along in a dataset beside what was asked for; the default is: nothing.

    Parameters
    ----------
    root_files : tuple of str
        Paths that are always chosen.
    averages : str
        The value of a session filter that stands for the files of no session; empty for none.
    with_sessions : tuple of Family
        Companions: chosen whenever sessions are named, whatever the other filters (but the
        subject's); each with its JSON sidecar, unless a filter on the extension leaves that out.
    sessionless : tuple of Family
        Files to which a filter on the session does not apply.
    mirrored : tuple of Family
        Files that are listed only where they were asked for in another way, and then all chosen.
    sidecars : bool
        Whether the JSON sidecar of a file that a filter on the suffix chose comes along, though
        a filter on the extension leaves it out.
    companions : bool
        Whether all comes along that BIDS has beside what was asked for: see
        `neurofetch.planning.companions`.
    """

    root_files: tuple[str, ...] = ()
    averages: str = ""
    with_sessions: tuple[Family, ...] = ()
    sessionless: tuple[Family, ...] = ()
    mirrored: tuple[Family, ...] = ()
    sidecars: bool = False
    companions: bool = False

    def always(self, entry: Entry) -> str:
        """Return the rule that chooses a file whatever the filters; empty where none does."""
        if entry.path in self.root_files:
            return "root file"
        if not self.mirrored:
            return ""
        return next((family.why for family in self.mirrored if family.holds(entry)), "")


_ASKED = "asked for"


@lru_cache(maxsize=256)
def passing(lacks: tuple[str, ...]) -> str:
    """Return why a file was chosen that lacks some of the entities with a filter.

    Examples
    --------
    >>> passing(()), passing(("proc", "run"))
    ('asked for', 'has no proc, no run: passes')
    """
    return f"has {', '.join(f'no {entity}' for entity in lacks)}: passes" if lacks else _ASKED


def _asked_for(_: str) -> str:
    return _ASKED


def _matches(test: Callable[[str], object], entry: Entry) -> bool:
    """Whether a glob matches a file, or the recording that it is a piece of."""
    if test(entry.path) is not None:
        return True
    unit = entry.unit
    return bool(unit) and test(unit) is not None


class Matcher:
    """A query and rules, made ready.

    Parameters
    ----------
    query : Query
        Its values are compared letter by letter: near misses are resolved before.
    rules : Rules
    """

    def __init__(self, query: Query, rules: Rules) -> None:
        self.query = query
        self.rules = rules
        self._wanted = {entity: frozenset(values) for entity, values in query.entities}
        self._permissive = frozenset(self._wanted) - query.strict
        self._datatype = frozenset(query.datatype)
        self._suffix = frozenset(query.suffix)
        self._extension = frozenset(query.extension)
        self._reads = bool(self._wanted or self._suffix or self._extension)
        self._says = self._reader(self._wanted)
        self._says_with_any_session = self._reader(
            {entity: values for entity, values in self._wanted.items() if entity != "ses"}
        )
        self._include = glob_test(query.include) if query.include else None
        self._exclude = glob_test(query.exclude) if query.exclude else None
        sessions = self._wanted.get("ses", frozenset())
        self.averages = bool(rules.averages) and rules.averages in sessions
        self.companions = rules.with_sessions if sessions - {rules.averages} else ()
        self._sessionless = rules.sessionless if sessions else ()

    @property
    def by_name(self) -> Callable[[str], str] | None:
        """What tells of a path why it is chosen, where its name alone counts; else None."""
        rules = self.rules
        families = rules.mirrored or self.companions or self._sessionless
        if families or self._include or self._exclude or self._datatype or self.query.scope:
            return None
        return self._says if self._reads else _asked_for

    def excluded(self, entry: Entry) -> bool:
        """Whether a glob drops a file, whatever else speaks for it."""
        return self._exclude is not None and _matches(self._exclude, entry)

    def excluded_as_one(self, unit: str) -> bool:
        """Whether a glob drops a recording that is a folder, by its own name."""
        return self._exclude is not None and self._exclude(unit) is not None

    def passes(self, entry: Entry, *, any_session: bool = False) -> bool:
        """Whether a file passes every filter (but perhaps that on the session)."""
        return bool(self.why(entry, any_session=any_session))

    def why(self, entry: Entry, *, any_session: bool = False) -> str:
        """Return why a file passes every filter; empty where it does not."""
        if self._include is not None and not _matches(self._include, entry):
            return ""
        scope = self.query.scope
        if scope and entry.path != scope and not entry.path.startswith(f"{scope}/"):
            return ""
        if self._datatype and entry.datatype not in self._datatype:
            return ""
        if not self._reads:
            return _ASKED
        return (self._says_with_any_session if any_session else self._says)(entry.path)

    def _reader(self, wanted: Mapping[str, frozenset[str]]) -> Reader[_Left | None, str]:
        """Return what tells of a path why its name passes the filters on what it says."""

        def of_head(pairs: Pairs) -> _Left | None:
            """Return the filters that are left for the rest of the name; None: it does not pass."""
            said = dict(pairs)
            if any(value not in wanted.get(entity, (value,)) for entity, value in pairs):
                return None
            return tuple(entity for entity in wanted if entity not in said)

        def of_rest(left: _Left | None, rest: str) -> str:
            if left is None:
                return ""
            says = parse(rest)
            if (self._suffix and says.suffix not in self._suffix) or (
                self._extension and says.extension not in self._extension
            ):
                return ""
            lacks = []
            for entity in left:
                value = says.get(entity)
                if value is None and self._lacking(entity):
                    if entity in self._permissive:
                        lacks.append(entity)
                elif value not in wanted[entity]:
                    return ""
            return passing(tuple(lacks))

        return Reader(of_head, of_rest)

    def _lacking(self, entity: str) -> bool:
        """Whether a file without this entity passes the filter on it."""
        return entity in self._permissive or (entity == "ses" and self.averages)

    def companion(self, entry: Entry) -> str:
        """Return the rule by which a file comes along with sessions; empty for none."""
        for family in self.companions:
            if family.holds(entry):
                subjects = self._wanted.get("sub")
                return family.why if not subjects or entry.says.get("sub") in subjects else ""
        return ""

    def sessionless(self, entry: Entry) -> str:
        """Return the rule that frees a file from the filter on the session; empty for none."""
        if not self._sessionless:
            return ""
        return next((family.why for family in self._sessionless if family.holds(entry)), "")

    def asked(self, entry: Entry) -> str:
        """Return why the filters choose a file; empty where they do not."""
        if rule := self.sessionless(entry):
            return rule if self.passes(entry, any_session=True) else ""
        return self.why(entry)

    @property
    def permissive(self) -> frozenset[str]:
        """The entities with a filter that lets files without the entity pass."""
        return self._permissive

    def carries(self, entry: Entry) -> bool:
        """Whether a file that passes does so for what it says, not only for what it lacks."""
        if not self._permissive:
            return True
        return any(entry.says.get(entity) is not None for entity in self._permissive)
