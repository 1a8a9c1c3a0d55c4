"""Choose the wanted files from a listing.

The rules, in the order in which they speak for a file: an exclude glob drops it, whatever else
speaks for it; a root file and a mirrored family come along always; a companion comes along when
sessions are named; all other files must pass every filter. A filter on a strict entity (subject,
session) drops the files that lack the entity; any other filter lets them pass. In a plain BIDS
dataset every filter is strict, and what comes along follows from the specification (see
`companions`). A recording that is a folder is chosen whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import NothingMatchedError, UnknownValueError
from neurofetch.planning.bids_schema import DATATYPES
from neurofetch.planning.companions import companions, with_all_above
from neurofetch.planning.entities import DERIVATIVES, Reader, derivative_of, full, parse
from neurofetch.planning.explain import explain
from neurofetch.planning.globs import glob_note
from neurofetch.planning.match import Entry, Family, Matcher, Rules, entries
from neurofetch.planning.query import Query, query
from neurofetch.planning.suggest import (
    FEW,
    LOOSE_ENTITIES,
    Spellings,
    all_meant,
    nearest,
    shorten,
    spell,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from neurofetch.model import RemoteFile
    from neurofetch.planning.entities import Pairs

__all__ = [
    "Chosen",
    "Family",
    "Query",
    "Rules",
    "Selection",
    "choose",
    "query",
    "resolve",
    "select",
]


class Chosen(NamedTuple):
    """A file and the rule that chose it."""

    remote: RemoteFile
    why: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Parameters
    ----------
    files : tuple of Chosen
        In the order of the keys.
    notes : tuple of str
        Values that were resolved (``desc-singletrial → desc-SingletrialBetas``), a filter that
        only let files pass which do not name its entity, globs that match nothing.
    query : Query
        With the values that exist.
    """

    files: tuple[Chosen, ...]
    notes: tuple[str, ...]
    query: Query


def select(
    files: Iterable[RemoteFile],
    query: Query,
    rules: Rules | None = None,
    *,
    base: str = "",
    elsewhere: Mapping[str, Collection[str]] | None = None,
    whole: Callable[[str], bool] | None = None,
) -> Selection:
    """Choose the files that a query wants, and those that a dataset's rules add.

    Parameters
    ----------
    files : iterable of RemoteFile
        The listing, in any order.
    query : Query
    rules : Rules, optional
        The dataset's; by default nothing comes along.
    base : str
        The listed prefix, a folder: globs, root files and families are relative to it.
    elsewhere : mapping of str to collection of str, optional
        Values, by filter, that exist too, in folders of which not all files were listed.
    whole : callable, optional
        Whether all files of a folder were listed ("" or ending in "/", below the base); by default
        those of each were.

    Raises
    ------
    UnknownValueError
        If a value does not exist, nor is near to exactly one that does.
    NothingMatchedError
        If no file was chosen for what was asked (companions alone do not count). It says what
        each filter leaves, which two contradict each other, and what exists.
    """
    rules = rules or Rules()
    elsewhere = elsewhere or {}
    listed = _without_derivatives(entries(files, base), query, elsewhere.get("derivatives", ()))
    resolved, notes = _resolve(listed, query, rules, elsewhere)
    matcher = Matcher(resolved, rules)
    chosen, more = _choose(listed, matcher, whole)
    notes += [*more, *_judge(listed, matcher), *_idle_globs(listed, query)]
    return Selection(tuple(chosen), tuple(notes), resolved)


def _without_derivatives(
    listed: list[Entry], query: Query, elsewhere: Collection[str]
) -> list[Entry]:
    """Return the files without those of derivatives that do not count.

    Raises
    ------
    UnknownValueError
        If one of those that count does not exist.
    """
    if query.derivatives is None:
        return listed
    derived = [derivative_of(entry.path) for entry in listed]
    there = {name for name in derived if name} | {*elsewhere}
    unknown = [name for name in query.derivatives if name not in there]
    if unknown:
        have = f"It has {shorten(there, 12)}." if there else "It has none."
        near = nearest(unknown[0], there)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        msg = (
            f"the data set has no derivatives named {', '.join(unknown)}. {have}{meant} "
            "Nothing was fetched."
        )
        raise UnknownValueError(msg)
    # What describes the folder as a data set describes each of them.
    described = f"{DERIVATIVES}dataset_description.json" if query.derivatives else ""
    return [
        entry
        for entry, name in zip(listed, derived, strict=True)
        if name in query.derivatives
        or entry.path == described
        or not entry.path.startswith(DERIVATIVES)
    ]


def choose(
    files: Iterable[RemoteFile], query: Query, rules: Rules | None = None, *, base: str = ""
) -> tuple[Chosen, ...]:
    """Choose files by values that exist, and raise nothing: `select` without its checks.

    Parameters
    ----------
    files, query, rules, base
        As for `select`; values are compared letter by letter.
    """
    return tuple(_choose(entries(files, base), Matcher(query, rules or Rules()))[0])


def resolve(
    files: Iterable[RemoteFile], query: Query, rules: Rules | None = None, *, base: str = ""
) -> tuple[Query, tuple[str, ...]]:
    """Return a query with the values that exist, and a note for each that was only near.

    Parameters
    ----------
    files, query, rules, base
        As for `select`.

    Raises
    ------
    UnknownValueError
        It names every value that does not exist.
    """
    resolved, notes = _resolve(entries(files, base), query, rules or Rules(), {})
    return resolved, tuple(notes)


def _choose(
    listed: Sequence[Entry], matcher: Matcher, whole: Callable[[str], bool] | None = None
) -> tuple[list[Chosen], list[str]]:
    """Return what is chosen and why, and what is to be said of it."""
    reasons, sidecars = _asked_for(listed, matcher)
    notes = _whole_units(listed, matcher, reasons)
    if matcher.rules.companions and not all(reasons):
        _add_companions(listed, matcher, reasons, whole)
        notes += _scans_left_out(listed, reasons)
    return _with_sidecars(listed, matcher, reasons, sidecars), notes


def _asked_for(listed: Sequence[Entry], matcher: Matcher) -> tuple[list[str], dict[str, str]]:
    """Return why each file was asked for, and the sidecars of those that bring one by rule."""
    chosen: list[str] = []
    sidecars: dict[str, str] = {}
    json_wanted = _json_wanted(matcher.query)
    for_suffix = matcher.rules.sidecars and bool(matcher.query.suffix)
    passes = None if for_suffix else matcher.by_name
    if passes is not None:
        roots = frozenset(matcher.rules.root_files)
        paths = map(attrgetter("path"), listed)
        if roots:
            return ["root file" if path in roots else passes(path) for path in paths], sidecars
        return list(map(passes, paths)), sidecars
    for entry in listed:
        excluded = matcher.excluded(entry)
        why = "" if excluded else matcher.rules.always(entry)
        if not why and not excluded:
            why = matcher.companion(entry)
            if why and json_wanted:
                sidecars[_sidecar(entry)] = entry.path
            asked = matcher.asked(entry)
            if asked and for_suffix:
                sidecars[_sidecar(entry)] = entry.path
            why = why or asked
        chosen.append(why)
    return chosen, sidecars


def _whole_units(listed: Sequence[Entry], matcher: Matcher, reasons: list[str]) -> list[str]:
    """See that each recording that is a folder is chosen whole or not at all.

    Only globs can tell its files apart. One that matches some of them chooses the recording; one
    that excludes some of them does nothing, and a note says so.
    """
    if not (matcher.query.include or matcher.query.exclude):
        return []
    units: dict[str, list[int]] = {}
    for number, entry in enumerate(listed):
        if unit := entry.unit:
            units.setdefault(unit, []).append(number)
    kept = []
    for unit, numbers in units.items():
        why = next(filter(None, (reasons[number] for number in numbers)), "")
        if not why or matcher.excluded_as_one(unit):
            continue
        if any(matcher.excluded(listed[number]) for number in numbers):
            kept.append(unit)
        for number in numbers:
            reasons[number] = why
    if not kept:
        return []
    more = f" and {len(kept) - 1:,} more" if len(kept) > 1 else ""
    return [
        f"{kept[0]}{more}: a recording that is a folder comes whole, though --exclude names some "
        "of its files"
    ]


def _add_companions(
    listed: Sequence[Entry],
    matcher: Matcher,
    reasons: list[str],
    whole: Callable[[str], bool] | None,
) -> None:
    """Write in what comes along by the rules of BIDS."""
    found = companions(
        [entry.path for entry in listed],
        [bool(why) for why in reasons],
        lambda number: not matcher.excluded(listed[number]),
        listed=whole,
    )
    for number, why in found.items():
        reasons[number] = why


def _scans_left_out(listed: Sequence[Entry], reasons: Sequence[str]) -> list[str]:
    """Note the lists of scans that would name files that are not here."""
    folders = {
        entry.path.rpartition("/")[0] for entry, why in zip(listed, reasons, strict=True) if why
    }
    above = {parent for folder in folders for parent in with_all_above(folder)}
    left = sum(
        1
        for entry, why in zip(listed, reasons, strict=True)
        if not why and entry.path.endswith("_scans.tsv") and entry.path.rpartition("/")[0] in above
    )
    if not left:
        return []
    files = "scans.tsv lists" if left == 1 else f"{left:,} scans.tsv list"
    return [
        f"{files} also files that are not chosen, and a data set with it would not be valid: left "
        "out (filter by subject or session alone, or add the suffix scans, to have it)"
    ]


def _with_sidecars(
    listed: Sequence[Entry], matcher: Matcher, chosen: Sequence[str], sidecars: dict[str, str]
) -> list[Chosen]:
    reasons = list(chosen)
    for number, entry in enumerate(listed) if sidecars else ():
        if not reasons[number] and entry.path in sidecars and not matcher.excluded(entry):
            name = sidecars[entry.path].rpartition("/")[2]
            reasons[number] = f"sidecar of {name}"
    remotes = map(attrgetter("remote"), compress(listed, reasons))
    return list(map(Chosen, remotes, filter(None, reasons)))


def _sidecar(entry: Entry) -> str:
    """Return the path of the JSON file that describes a file."""
    extension = entry.says.extension
    return entry.path.removesuffix(extension) + ".json"


def _json_wanted(query: Query) -> bool:
    return not query.extension or ".json" in query.extension


def _judge(listed: Sequence[Entry], matcher: Matcher) -> list[str]:
    """Raise when nothing was chosen for what was asked; note what only passed for its silence.

    A file that came by a rule counts only where it says what was asked for by entity or suffix.
    A file that names none of the filtered entities passes each filter; but where there are
    several and all chosen files are of that kind, the filters contradict each other.
    """
    if any(_counts(entry, matcher) for entry in listed):
        return []
    unruled = _unruled(listed, matcher.rules)
    asked = any(matcher.passes(entry) and not matcher.excluded(entry) for entry in unruled)
    if not asked or len(matcher.permissive) != 1:
        raise NothingMatchedError(explain(unruled, matcher.query, matcher.rules))
    (entity,) = matcher.permissive
    values = " or ".join(full(entity, value) for value in matcher.query.get(entity))
    return [
        f"no file has {values} together with the other filters: the chosen files "
        f"have no {entity} in their names"
    ]


def _idle_globs(listed: Sequence[Entry], query: Query) -> list[str]:
    """Note every glob that matches nothing: it may be misspelt."""
    globs = [("include", one) for one in query.include] + [("exclude", o) for o in query.exclude]
    paths = [entry.path for entry in listed] if globs else []
    return [note for name, pattern in globs if (note := glob_note(name, pattern, paths))]


def _counts(entry: Entry, matcher: Matcher) -> bool:
    """Whether a file is what was asked for, by what it says."""
    if matcher.excluded(entry):
        return False
    if entry.path == matcher.query.scope:  # it was named itself
        return matcher.passes(entry)
    if matcher.rules.always(entry) or not matcher.carries(entry):
        return False
    if matcher.passes(entry):
        return True
    by_rule = matcher.sessionless(entry) or matcher.companion(entry)
    specific = matcher.permissive or matcher.query.suffix or matcher.query.datatype
    return bool(by_rule and specific) and matcher.passes(entry, any_session=True)


def _unruled(listed: Sequence[Entry], rules: Rules) -> list[Entry]:
    """Return the files that do not come along whatever the filters."""
    roots = frozenset(rules.root_files)
    if rules.mirrored:
        return [entry for entry in listed if not rules.always(entry)]
    return [entry for entry in listed if entry.path not in roots]


def _resolve(
    listed: Sequence[Entry],
    query: Query,
    rules: Rules,
    elsewhere: Mapping[str, Collection[str]],
) -> tuple[Query, list[str]]:
    """Replace the values asked for by those that exist; every unknown one is in the error."""
    there = _existing(listed, query, rules)
    for name, values in elsewhere.items():
        if name in there:
            there[name][0].update(values)
            there[name][1].update(values)
    wanted = _Values(there, lambda: _existing(listed, replace(query, suffix=("any",)), rules))
    found = {"sub": wanted.real("sub", query.get("sub"))}
    if found["sub"] and query.get("ses"):
        own = _sessions_of(listed, found["sub"], rules.averages)
        found["ses"] = wanted.real("ses", query.get("ses"), own)
    resolved = replace(
        query,
        entities=tuple(
            (entity, found[entity] if entity in found else wanted.real(entity, asked))
            for entity, asked in query.entities
        ),
        suffix=wanted.real("suffix", query.suffix),
        extension=wanted.real("extension", query.extension),
        datatype=wanted.real("datatype", query.datatype),
    )
    if wanted.problems:
        raise UnknownValueError("\n".join(wanted.problems))
    return resolved, wanted.notes


class _Values:
    """The values that exist, and what is to be said of those that were asked for.

    Parameters
    ----------
    there : dict of str to tuple of two sets
        Values that exist, and those that a near miss may mean, by filter.
    of_all : callable
        Returns the same of the filters for which nothing was asked.
    """

    def __init__(
        self,
        there: Mapping[str, tuple[set[str], set[str]]],
        of_all: Callable[[], Mapping[str, tuple[set[str], set[str]]]],
    ) -> None:
        self._there = there
        self._of_all = of_all
        self.notes: list[str] = []
        self.problems: list[str] = []

    def real(
        self, name: str, values: Sequence[str], nearer: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Return the existing values that are meant.

        Parameters
        ----------
        name : str
        values : sequence of str
        nearer : collection of str, optional
            Those that are meant rather than others.
        """
        if not values:
            return ()
        exists, likely = self._there.get(name, (set(), set()))
        near, spellings = Spellings(nearer), Spellings(likely)
        unlikely = exists - likely
        meaning: dict[str, tuple[str, ...]] = {one: (one,) for one in values if one in unlikely}
        meaning |= all_meant(name, values, near)[0] if nearer else {}
        others, wrong = all_meant(name, [one for one in values if one not in meaning], spellings)
        meaning |= others
        if wrong:
            self.problems += wrong
            asked = {name: [one for one in values if one not in meaning]}
            self.problems += _of_another_filter(asked, self._of_all())
        found = dict.fromkeys(one for value in values for one in meaning.get(value, ()))
        if name not in LOOSE_ENTITIES:
            self.notes += _few(_taken_for(name, meaning))
        twins = {twin for one in found for twin in (near if nearer else spellings).twins(one)}
        if twins := twins.difference(found):
            listed = shorten(spell(name, one) for one in twins)
            self.notes.append(f"there is also {listed}: not chosen")
        return tuple(found)


def _taken_for(name: str, meaning: Mapping[str, Sequence[str]]) -> list[str]:
    """Say of each value that does not exist for which one it was taken."""
    return [
        f"{spell(name, value)} → {spell(name, existing[0])}"
        for value, existing in meaning.items()
        if value not in existing
    ]


def _sessions_of(listed: Sequence[Entry], subjects: Sequence[str], averages: str) -> frozenset[str]:
    """Return the sessions of some subjects.

    One subject may have ``ses-1`` where another one has ``ses-01``: what a session means is told
    by the subjects that were asked for, whatever else was listed.
    """
    there: set[str] = {averages} - {""}
    wanted = frozenset(subjects)

    def of_rest(told: Pairs, rest: str) -> bool:
        says = dict((*parse(rest).values, *told))
        if says.get("sub") in wanted and "ses" in says:
            there.add(says["ses"])
        return True

    for _ in map(Reader(lambda pairs: pairs, of_rest), map(attrgetter("path"), listed)):
        pass
    return frozenset(there)


def _of_another_filter(
    asked: Mapping[str, Sequence[str]], there: Mapping[str, tuple[set[str], set[str]]]
) -> Iterator[str]:
    """Say of values that do not exist that another filter has them: ``bold`` is no datatype."""
    others = {name: there.get(name, (set(), set()))[1] for name in ("suffix", "extension")}
    others["datatype"] = set(DATATYPES)
    for name, values in asked.items():
        for value in values:
            for other, exists in others.items():
                real = f".{value.lstrip('.')}" if other == "extension" else value.lstrip(".")
                if other != name and real in exists:
                    plain = real.lstrip(".")
                    kind = "an extension" if other == "extension" else f"a {other}"
                    yield f"{plain} is {kind}: --{other} {plain} ({other}={plain!r})."


def _few(notes: list[str]) -> list[str]:
    """Return notes of one kind; many of them as one."""
    if len(notes) <= FEW:
        return notes
    return [f"{', '.join(notes[:FEW])} and {len(notes) - FEW:,} more in the same way"]


def _existing(
    listed: Sequence[Entry], query: Query, rules: Rules
) -> dict[str, tuple[set[str], set[str]]]:
    """Return the values that exist, and those of them that a near miss may mean, by filter.

    What a dataset adds by rule is not among them. A figure's name (``design0001.png``) is a
    suffix to the letter, but nobody means it by half a word. Each name is read once.
    """
    entities: dict[str, set[str]] = {entity: set() for entity, values in query.entities if values}
    suffixes: dict[str, bool] = {}
    extensions: set[str] = set()
    unruled = _unruled(listed, rules) if entities or query.suffix or query.extension else ()

    def note_pairs(pairs: Pairs) -> tuple[str, ...]:
        for name, value in pairs:
            if name in entities:
                entities[name].add(value)
        return tuple(name for name, _ in pairs)

    def note_rest(told: tuple[str, ...], rest: str) -> bool:
        says = parse(rest)
        for name, values in entities.items():
            value = None if name in told else says.get(name)
            if value is not None:
                values.add(value)
        extensions.add(says.extension)
        likely = bool(told) or "-" in rest.rpartition("/")[2]
        suffixes[says.suffix] = suffixes.get(says.suffix, False) or likely
        return True

    for _ in map(Reader(note_pairs, note_rest), map(attrgetter("path"), unruled)):
        pass
    if rules.averages and "ses" in entities:
        entities["ses"].add(rules.averages)
    suffixes.pop("", None)
    formal = {suffix for suffix, likely in suffixes.items() if likely}
    found = {name: (values, values) for name, values in entities.items()}
    found["suffix"] = (set(suffixes), formal)
    found["extension"] = (extensions - {""}, extensions - {""})
    if query.datatype:
        types = {entry.datatype for entry in _unruled(listed, rules)} - {""}
        found["datatype"] = (types, types)
    return found
