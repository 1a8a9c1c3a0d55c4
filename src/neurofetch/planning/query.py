"""The filters that were given, normalised and checked before any request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from operator import index
from typing import SupportsIndex, TypeAlias

from neurofetch.errors import UsageError
from neurofetch.planning.entities import ENTITY_NAMES, bare
from neurofetch.planning.globs import glob_problem, glob_test

__all__ = ["STRICT", "Query", "Values", "glob_test", "items_of", "query"]

Values: TypeAlias = str | SupportsIndex | Iterable[str | SupportsIndex] | None
"""One value, several (a list, set, array, column of a table, …), or None for no filter."""

STRICT = frozenset({"sub", "ses"})
"""Entities whose absence from a name excludes the file, when there is a filter on them."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which files are wanted; an empty one wants all. Made by `query`.

    Parameters
    ----------
    entities : tuple of (entity, values)
        Short names with bare values; a file may carry any of the values.
    suffix, extension : tuple of str
        Extensions with their leading dot.
    datatype : tuple of str
        Names of folders (``func``); a file that lies in none does not pass.
    include, exclude : tuple of str
        Globs on the path below the prefix; see the notes.
    strict : frozenset of str
        Entities whose absence excludes a file when there is a filter on them. A file that lacks
        any other entity passes the filter on it.
    scope : str
        A folder or a file below the prefix: only that, or what lies in it, is wanted.
    derivatives : tuple of str or None
        Folders in ``derivatives/`` that count; none for none of them, None for all.

    Notes
    -----
    A glob matches files, and folders with everything in them. Upper and lower case differ.

    ======================  =====================================================================
    ``*.json``, ``anat``    without a slash: the name of a file or folder, at any depth
    ``sub-0[1-3]``
    ``sub-01/``             only folders of that name, at any depth
    ``*/anat/*``            with a slash: the path from the root on, and ``*`` passes over
                            folders, as in `fnmatch`: ``sub-01/anat/…``, ``sub-01/ses-1/anat/…``
    ``/*.json``             with a slash (or ``./``) in front: the path from the root on, and
    ``./sub-*/anat``        ``*`` stays in its folder, as in a shell: only the root's files
    ``sub-01/**/*.json``    ``**/`` is any number of folders, also none
    ``?``, ``[ab]``         one letter, one of these, none of these; never a slash
    ``[!ab]``
    ``{anat,func}``         either
    ======================  =====================================================================
    """

    entities: tuple[tuple[str, tuple[str, ...]], ...] = ()
    suffix: tuple[str, ...] = ()
    extension: tuple[str, ...] = ()
    datatype: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strict: frozenset[str] = STRICT
    scope: str = ""
    derivatives: tuple[str, ...] | None = None

    def strictly(self) -> Query:
        """Return a query that leaves out each file that lacks an entity that was asked for.

        Examples
        --------
        >>> sorted(query(task="rest", run=1).strictly().strict)
        ['run', 'ses', 'sub', 'task']
        """
        return replace(self, strict=STRICT.union(entity for entity, _ in self.entities))

    def with_derivatives(self, given: Values) -> Query:
        """Return a query of the raw data and some of its derivatives.

        Parameters
        ----------
        given : {"all", "none"}, str or several, optional
            Names of folders in ``derivatives/``; by default all.

        Raises
        ------
        UsageError

        Examples
        --------
        >>> query().with_derivatives("fmriprep").derivatives
        ('fmriprep',)
        >>> query().with_derivatives("none").derivatives
        ()
        """
        problems: list[str] = []
        names = tuple(
            name.rstrip("/").removeprefix("derivatives/")
            for name in _texts("derivatives", given, problems)
        )
        problems += [
            f"derivatives {word!r} goes with no other name"
            for word in ("all", "none")
            if word in names and len(names) > 1
        ]
        if problems:
            msg = f"these filters cannot be used: {'; '.join(problems)}. Nothing was fetched."
            raise UsageError(msg)
        wanted = {(): None, ("all",): None, ("none",): ()}.get(names, names)
        return replace(self, derivatives=wanted)

    def get(self, entity: str) -> tuple[str, ...]:
        """Return the values asked for of an entity (short name); empty without a filter."""
        return dict(self.entities).get(entity, ())


def query(
    *,
    suffix: Values = None,
    extension: Values = None,
    datatype: Values = None,
    include: Values = None,
    exclude: Values = None,
    **entities: Values,
) -> Query:
    """Normalise what was asked for.

    Parameters
    ----------
    suffix, extension : str or several, optional
        An extension with or without its leading dot.
    datatype : str or several, optional
        The folder of the data, such as ``"func"``.
    include, exclude : str or several, optional
        Globs; see `Query`.
    **entities : str, int or several, optional
        By short or long name; values bare (``"04"``) or full (``"ses-04"``).

    Raises
    ------
    UsageError
        It names every argument that cannot be used: an empty text or list, a value of another
        type, a glob that is both included and excluded.

    Examples
    --------
    >>> query(session=["ses-01", "02"], run=1, extension="nii.gz").entities
    (('ses', ('01', '02')), ('run', ('1',)))
    """
    problems: list[str] = []
    wanted: dict[str, tuple[str, ...]] = {}
    for argument, given in entities.items():
        entity = ENTITY_NAMES.get(argument, argument)
        values = _texts(argument, given, problems, entity)
        if values and entity in wanted:
            problems.append(f"{argument} and {entity} are the same entity, but both were given")
        if values:
            wanted[entity] = values
    dotted = tuple("." + text.lstrip(".") for text in _texts("extension", extension, problems))
    if "." in dotted:
        problems.append("extension is only a dot")
    result = Query(
        tuple(wanted.items()),
        _texts("suffix", suffix, problems),
        tuple(dict.fromkeys(dotted)),
        _texts("datatype", datatype, problems),
        _globs("include", include, problems),
        _globs("exclude", exclude, problems),
    )
    both = sorted(set(result.include) & set(result.exclude))
    problems += [f"include and exclude both name {glob!r}, so nothing is left" for glob in both]
    if problems:
        found = "; ".join(problems)
        msg = f"these filters cannot be used: {found}. Nothing was fetched."
        raise UsageError(msg)
    return result


def _texts(argument: str, given: Values, problems: list[str], entity: str = "") -> tuple[str, ...]:
    """Return the values of one argument as text, each once, and note what is wrong with them."""
    if given is None:
        return ()
    items = items_of(given)
    if not items:
        problems.append(f"{argument} is an empty list (leave it out to take everything)")
    texts: dict[str, None] = {}
    for item in items:
        text = _text(item)
        if text is None:
            kind = type(item).__name__
            problems.append(f"{argument} takes text, or a list of texts, not {item!r} ({kind})")
        elif value := bare(entity, text) if entity else text:
            texts[value] = None
        else:
            problems.append(f"{argument} is empty text ({item!r})")
    return tuple(texts)


def items_of(given: object) -> list[object]:
    """Return what was given, one by one; text, and what holds pairs, is one thing.

    Examples
    --------
    >>> items_of(range(2)), items_of({"b", "a"}), items_of("ab"), items_of(3)
    ([0, 1], ['a', 'b'], ['ab'], [3])
    """
    if isinstance(given, str | bytes | bytearray | Mapping):
        return [given]
    try:
        items = list(given)  # type: ignore[call-overload]
    except TypeError:  # an array without dimensions has `__iter__`, too
        return [given]
    return sorted(items, key=str) if isinstance(given, Set) else items


def _text(item: object) -> str | None:
    """Return a value as text: a text stripped, a whole number from 0 on; None for the rest."""
    if isinstance(item, str):
        return item.strip()
    if isinstance(item, bool):
        return None
    try:
        number = index(item)  # type: ignore[arg-type]
    except TypeError:
        return None
    return str(number) if number >= 0 else None


def _globs(argument: str, given: Values, problems: list[str]) -> tuple[str, ...]:
    patterns = _texts(argument, given, problems)
    problems += [f"{argument} {found}" for found in map(glob_problem, patterns) if found]
    return patterns
