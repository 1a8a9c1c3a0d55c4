"""Why filters leave nothing, explained so that the reader can correct them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.planning.globs import glob_note
from neurofetch.planning.match import Matcher, Rules
from neurofetch.planning.query import STRICT, Query
from neurofetch.planning.suggest import shorten, spell, twins_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurofetch.planning.match import Entry

__all__ = ["explain"]


class _Filter(NamedTuple):
    """One filter of a query by itself."""

    name: str
    text: str
    matcher: Matcher
    values: tuple[str, ...]

    def value(self, entry: Entry) -> str | None:
        """Return what a file says of this filter's entity."""
        if self.name in ("suffix", "extension"):
            return str(getattr(entry.says, self.name))
        if self.name == "datatype":
            return entry.datatype
        return entry.says.get(self.name)

    def carries(self, entry: Entry) -> bool:
        return self.matcher.passes(entry) and self.matcher.carries(entry)


def explain(listed: Sequence[Entry], query: Query, rules: Rules) -> str:
    """Return the message for a query that chooses none of the listed files.

    Parameters
    ----------
    listed : sequence of Entry
        Without the files that are chosen whatever the filters.
    query : Query
        Resolved.
    rules : Rules
    """
    if not listed:
        return (
            "There is nothing to choose from: the server lists no file here. Nothing was fetched."
        )
    filters = _filters(query, rules)
    if not filters and not query.exclude:
        return f"There is nothing in {query.scope or 'the data set'}. Nothing was fetched."
    if not filters:
        return (
            f"The exclude globs ({', '.join(query.exclude)}) leave out all {len(listed)} files. "
            "Nothing was fetched. Remove one of the globs."
        )
    lines = [
        f"No file was chosen by {', '.join(one.text for one in filters)}. Nothing was fetched.",
        *(_alone(one, listed) for one in filters),
        *_contradictions(filters, listed),
        *_instead(filters, listed),
        *_idle_globs(listed, query),
    ]
    if query.exclude:
        lines.append(f"  left out: whatever matches {', '.join(query.exclude)}")
    return "\n".join([*lines, "Remove one of these filters, or change its value."])


def _filters(query: Query, rules: Rules) -> list[_Filter]:
    nothing = Query(strict=query.strict)
    found = [
        (entity, values, replace(nothing, entities=(pair,)))
        for pair in query.entities
        for entity, values in [pair]
    ]
    found += [
        (name, values, replace(nothing, **{name: values}))
        for name in ("suffix", "extension", "datatype", "include")
        if (values := getattr(query, name))
    ]
    return [
        _Filter(name, " or ".join(_spelled(name, values)), Matcher(one, rules), values)
        for name, values, one in found
    ]


def _spelled(name: str, values: Sequence[str]) -> list[str]:
    return [f"include {value}" if name == "include" else spell(name, value) for value in values]


def _alone(one: _Filter, listed: Sequence[Entry]) -> str:
    passing = [entry for entry in listed if one.matcher.passes(entry)]
    line = f"  {one.text} alone leaves {len(passing)} of {len(listed)} files"
    if one.matcher.permissive:
        carrying = sum(map(one.matcher.carries, passing))
        return f"{line} ({carrying} have it in their names; the others do not)"
    if one.name in one.matcher.query.strict - STRICT:
        lacking = sum(one.value(entry) is None for entry in listed)
        line += f" ({lacking} have no {one.name} in their names: --permissive lets them pass)"
    return line


def _instead(filters: Sequence[_Filter], listed: Sequence[Entry]) -> list[str]:
    """Say which value, much like one that was asked for, would choose files.

    It differs in case, in zeros, or in being compressed (``.nii`` and ``.nii.gz``).
    """
    lines = []
    for one in filters:
        others = [other for other in filters if other is not one]
        there = Counter(
            value
            for entry in listed
            if all(other.carries(entry) for other in others) and (value := one.value(entry))
        )
        for asked in one.values if one.name != "include" else ():
            twins = twins_of(asked, there)
            if one.name == "extension":
                plain = asked.removesuffix(".gz")
                twins = sorted({*twins, *{plain, f"{plain}.gz"}.intersection(there)} - {asked})
            lines += [
                f"  with {spell(one.name, twin)} instead of {spell(one.name, asked)}, "
                f"{there[twin]:,} file{'s' if there[twin] > 1 else ''} would be chosen"
                for twin in twins
            ]
    return lines


def _idle_globs(listed: Sequence[Entry], query: Query) -> list[str]:
    paths = [entry.path for entry in listed] if query.include else []
    notes = (glob_note("include", pattern, paths) for pattern in query.include)
    return [f"  {note}" for note in notes if note]


def _contradictions(filters: Sequence[_Filter], listed: Sequence[Entry]) -> list[str]:
    """Say which two filters no file satisfies together, and what there is instead."""
    carrying = {one.text: [entry for entry in listed if one.carries(entry)] for one in filters}
    lines = []
    for one, other in combinations(filters, 2):
        if any(map(other.carries, carrying[one.text])):
            continue
        lines.append(f"  no file has both {one.text} and {other.text}")
        lines += [
            f"    with {this.text} there is {that.name}: {shorten(values, 12)}"
            for this, that in ((one, other), (other, one))
            if that.name != "include"
            and (values := {v for e in carrying[this.text] if (v := that.value(e))})
        ]
    return lines
