"""Can these terms match any record? What cannot is told before the server is asked. Pure.

NeuroVault's own fields have types, and two of them a list of values. So a misspelt field and a
value of another type can be told from them alone. A field that an uploader added can be anything: a
name that is like none of NeuroVault's is left to the records.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from neurofetch.errors import UnknownValueError, UsageError
from neurofetch.neurovault.filters import (
    Contains,
    GreaterOrEqual,
    GreaterThan,
    IsIn,
    LessOrEqual,
    LessThan,
    NotContains,
    NotEqual,
    NotIn,
    Pattern,
    ResultFilter,
    SpecialValue,
)
from neurofetch.neurovault.records import (
    LocalCollectionRecord,
    LocalImageRecord,
    as_time,
    says_nothing,
)
from neurofetch.planning.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from neurofetch.neurovault.filters import Filter

__all__ = ["check_terms", "terms_of", "with_numbers"]

_Kind = Literal["image", "collection"]
_MAP_TYPES = (
    "T map", "Z map", "F map", "Chi squared map", "P map (given null hypothesis)",
    '1-P map ("inverted" probability)', "multivariate-beta map", "univariate-beta map", "ROI/mask",
    "parcellation", "anatomical", "variance", "other",
)  # fmt: skip
_VALUES = {
    "map_type": _MAP_TYPES,
    "image_type": ("statistic_map", "atlas", "NIDM results statistic map"),
}
"""The values of fields that have a fixed list of them (NeuroVault's source, 2025-02)."""
_MEANT = {
    "collection": "collection_id", "collections": "collection_id",
    "collection_ids": "collection_id", "image": "id", "images": "id", "image_id": "id",
    "image_ids": "id", "ids": "id",
}  # fmt: skip
"""Names under which ids are asked for elsewhere."""
_BY_IDS = {"collection_ids": "collection_ids", "image_ids": "image_ids", "ids": "image_ids"}
_IDS = ("id", "collection_id")
_ALIKE = 0.8
_ORDERS = (GreaterOrEqual, GreaterThan, LessOrEqual, LessThan)
_SHOWN = 4
"""So many values of a list are shown."""


@cache
def _fields(kind: _Kind) -> dict[str, frozenset[type]]:
    """Return the types of NeuroVault's own fields; an empty set where any will do."""
    record = LocalImageRecord if kind == "image" else LocalCollectionRecord
    hints = get_type_hints(record)
    plain = {bool, int, float, str}
    return {name: frozenset(plain & {hint, *get_args(hint)}) for name, hint in hints.items()}


def terms_of(terms: Mapping[str, object], function: Filter) -> dict[str, object]:
    """Return terms, and those of a filter that is one `ResultFilter`: all must be fulfilled."""
    more = function.query_terms_ if type(function) is ResultFilter else {}
    return {**more, **terms}


def with_numbers(terms: Mapping[str, object]) -> dict[str, object]:
    """Return terms in which ids that are given as text are numbers, as in calls by ids.

    Examples
    --------
    >>> with_numbers({"collection_id": "7", "id": IsIn("5", 6), "name": "7"})
    {'collection_id': 7, 'id': IsIn(5, 6), 'name': '7'}
    """
    return {n: _number(wanted) if n in _IDS else wanted for n, wanted in terms.items()}


def _number(wanted: object) -> object:
    if isinstance(wanted, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", wanted, re.ASCII):
        return int(wanted)
    return IsIn(*map(_number, wanted.accepted_)) if type(wanted) is IsIn else wanted


def check_terms(
    images: Mapping[str, object], collections: Mapping[str, object], arguments: Collection[str]
) -> list[str]:
    """See that every term can be fulfilled by some record.

    Parameters
    ----------
    images, collections : mapping
        Fields and what they must be.
    arguments : collection of str
        The names of the function's own arguments: a misspelt one arrives as an image term.

    Returns
    -------
    list of str
        What has no effect, or less than it seems.

    Raises
    ------
    UnknownValueError, UsageError
        If a term can be fulfilled by no record; it names all such terms, and what is near.
    """
    checks = [_Check("image", n, wanted, arguments) for n, wanted in images.items()]
    checks += [_Check("collection", n, wanted) for n, wanted in collections.items()]
    problems, unknown, notes = list[str](), False, list[str]()
    for check in checks:
        check.look()
        problems += check.problems
        notes += check.notes
        unknown = unknown or (check.unknown and bool(check.problems))
    if problems:
        kind = UnknownValueError if unknown else UsageError
        raise kind("\n".join([*_head(problems), "Nothing was asked or fetched."]))
    return notes


def _head(problems: list[str]) -> list[str]:
    if len(problems) == 1:
        return [f"No record can pass: {problems[0]}"]
    return ["No record can pass:", *(f"  {problem}" for problem in problems)]


@dataclass
class _Check:
    """One term, what is wrong with it, and what is odd about it.

    Parameters
    ----------
    kind : {"image", "collection"}
    name : str
        Of the field.
    wanted : object
    arguments : collection of str
    """

    kind: _Kind
    name: str
    wanted: object
    arguments: Collection[str] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: bool = False

    def look(self) -> None:
        if self.name in _MEANT and not _is_text(self.wanted):
            self._not_a_field(_MEANT[self.name])
        elif self.name in _fields(self.kind):
            self._value(self.wanted)
        else:
            self._unknown_field()

    # -- fields ------------------------------------------------------------------------------

    def _unknown_field(self) -> None:
        other: _Kind = "collection" if self.kind == "image" else "image"
        near = _like(self.name, {*_fields(self.kind), *self.arguments})
        elsewhere = [self.name] if self.name in _fields(other) else []
        elsewhere = elsewhere or ([] if near else _like(self.name, _fields(other)))
        if elsewhere:
            shown = f"{other}_terms={{{elsewhere[0]!r}: {self.wanted!r}}}"
            self._tell(f"{self.name!r} is no field of {self.kind}s. Did you mean {shown}?")
        elif near:
            self._tell(
                f"no {self.kind} has a field {self.name!r}. Did you mean {' or '.join(near)}?"
            )

    def _not_a_field(self, meant: str) -> None:
        values, by_ids = _items(self.wanted), _BY_IDS.get(self.name)
        written = _in(values) if values else repr(self.wanted)
        line = f"{self.name!r} is no field to filter by. Did you mean {meant}={written}?"
        if by_ids:
            line += f" Or call fetch_neurovault_ids({by_ids}=…)."
        self._tell(line)

    def _tell(self, line: str) -> None:
        """Tell of a field that no record has: it is None everywhere."""
        self.unknown = True
        if _accepts_none(self.wanted):
            self.notes.append(f"{self.name}={self.wanted!r} leaves nothing out: {line}")
        else:
            self.problems.append(line)

    # -- values ------------------------------------------------------------------------------

    def _value(self, wanted: object) -> None:
        if isinstance(wanted, IsIn):
            self._alternatives(wanted.accepted_, "IsIn")
        elif isinstance(wanted, NotIn):
            self._exclusions(wanted.rejected_, "NotIn")
        elif type(wanted) is NotEqual:
            self._exclusions((wanted.negated_,), "NotEqual")
        elif isinstance(wanted, Contains):
            self._pieces(wanted.must_be_contained_, "Contains")
        elif isinstance(wanted, NotContains):
            self._pieces(wanted.must_not_be_contained_, "NotContains")
        elif isinstance(wanted, Pattern):
            self._pattern(wanted)
        elif isinstance(wanted, _ORDERS):
            self._order(wanted.bound_, type(wanted).__name__)
        elif not isinstance(wanted, SpecialValue) and (why := self._cannot(wanted)):
            self.problems.append(f"{self.name}={wanted!r}: {why}")
        elif isinstance(wanted, str) and self._unlisted(wanted):
            listed = ", ".join(map(repr, _VALUES[self.name]))
            self.notes.append(f"{self.name}={wanted!r} is none of NeuroVault's values: {listed}.")

    def _unlisted(self, value: str) -> bool:
        return self.name in _VALUES and value not in _VALUES[self.name]

    def _cannot(self, value: object) -> str:
        """Return why no record can have a value in this field, and what is near; "" if one can."""
        kinds = _fields(self.kind)[self.name]
        values = _items(value)
        if values is not None and kinds:
            return f"this field has one value. For several, write {self.name}={_in(values)}."
        if isinstance(value, str):
            return self._cannot_text(value, kinds)
        if value is None or not kinds or not isinstance(value, bytes | bool | Real):
            return ""
        if isinstance(value, bytes) or kinds <= {str}:
            return f"it is a text, such as {self.name}={_as_text(value)!r}."
        if bool in kinds:
            return "" if value in (0, 1) else "it is True or False."
        return self._cannot_number(value, kinds)

    def _cannot_number(self, value: Real | bool, kinds: frozenset[type]) -> str:
        number = float(value)
        if math.isnan(number):
            return "NaN is equal to nothing. For unknown values, write None."
        least = 1 if self.name in _IDS else 0
        whole = int in kinds and float not in kinds
        if whole and (not number.is_integer() or number < least):
            return f"it is a whole number from {least}."
        return ""

    def _cannot_text(self, value: str, kinds: frozenset[type]) -> str:
        if kinds and str not in kinds:
            example = "True or False" if bool in kinds else "a number"
            meant = _meant_value(value, kinds)
            hint = "" if meant is None else f" Write {self.name}={meant}, without quotes."
            return f"it is {example}, not text.{hint}"
        if says_nothing(value):
            return f"such text is None in records. Write {self.name}=None."
        if self._unlisted(value) and (near := nearest(value, _VALUES[self.name], cutoff=0.7)):
            return f"did you mean {' or '.join(map(repr, near))}?"
        return ""

    def _alternatives(self, values: tuple[object, ...], what: str) -> None:
        bad = {n: why for n, value in enumerate(values) if (why := self._cannot(value))}
        lines = [f"{what}: {values[n]!r}: {why}" for n, why in bad.items()]
        if len(values) == 1 and (inner := _items(values[0])) is not None and bad:
            lines = [f"{what} takes the values one by one. Write {self.name}={_in(inner)}."]
        if not values:
            self.problems.append(f"{self.name}=IsIn(): it names no value.")
        elif len(bad) == len(values):
            self.problems += [f"{self.name}={line}" for line in lines]
        else:
            self.notes += [f"{self.name}={line}" for line in lines]

    def _exclusions(self, values: tuple[object, ...], what: str) -> None:
        for value in values:
            inner = _items(value)
            if inner is not None and _fields(self.kind)[self.name]:
                written = _in(inner).replace("IsIn", "NotIn", 1)
                self.notes.append(
                    f"{self.name}={what}({value!r}) leaves nothing out. Write {written}."
                )
            elif isinstance(value, str) and says_nothing(value):
                self.notes.append(
                    f"{self.name}={what}({value!r}) leaves nothing out: such text is None in "
                    f"records. Write {self.name}=NotNull()."
                )
            elif why := self._cannot(value):
                self.notes.append(f"{self.name}={what}({value!r}) leaves nothing out: {why}")

    def _pieces(self, values: tuple[Any, ...], what: str) -> None:
        kinds = _fields(self.kind)[self.name]
        if kinds and str not in kinds:
            self.problems.append(f"{self.name}={what}(…): this field is not text.")
        for value in values if kinds == {str} else ():
            inner = _items(value)
            if inner is not None:
                written = ", ".join(map(repr, inner[:_SHOWN]))
                self.problems.append(
                    f"{self.name}={what}({value!r}): it takes the pieces one by one. Write "
                    f"{what}({written})."
                )
            elif not isinstance(value, str):
                self.problems.append(f"{self.name}={what}({value!r}): a piece of text is text.")

    def _pattern(self, wanted: Pattern) -> None:
        kinds = _fields(self.kind)[self.name]
        if kinds and str not in kinds:
            self.problems.append(f"{self.name}={wanted!r}: this field is not text.")
        try:
            re.match(wanted.pattern_, "", wanted.flags_)
        except (re.error, TypeError, ValueError) as error:
            self.problems.append(f"{self.name}={wanted!r}: no regular expression: {error}.")

    def _order(self, bound: object, what: str) -> None:
        kinds = _fields(self.kind)[self.name]
        title = f"{self.name}={what}({bound!r})"
        if bound is None or _items(bound) is not None or isinstance(bound, bytes):
            self.problems.append(f"{title}: a bound is one number, text or time.")
        elif self.name.endswith("_date"):
            if as_time(bound) is None:
                self.problems.append(f"{title}: a date is such as '2020-07-20T22:14:26Z'.")
        elif isinstance(bound, str) and kinds and str not in kinds:
            self.notes.append(f"{title} compares numbers as text: '10' is less than '9' then.")
        elif isinstance(bound, Real) and math.isnan(bound):
            self.problems.append(f"{title}: nothing is more or less than NaN.")


def _accepts_none(wanted: object) -> bool:
    try:
        return bool(wanted == None)  # noqa: E711 - it is the special value that decides
    except Exception:  # noqa: BLE001 - a value of the user's own, or an array of values
        return False


def _is_text(wanted: object) -> bool:
    return isinstance(wanted, str | Contains | NotContains | Pattern)


def _items(value: object) -> list[object] | None:
    """Return what a list, a set, an array or the like holds; None for a single value."""
    if isinstance(value, list | tuple | set | frozenset | range | dict):
        return list(value)
    if hasattr(value, "__array__") and getattr(value, "ndim", False):
        return list(value.tolist()) if hasattr(value, "tolist") else list(value)  # type: ignore[call-overload]
    return None


def _in(values: list[object]) -> str:
    shown = ", ".join(map(repr, values[:_SHOWN]))
    return f"IsIn({shown}{', …' if len(values) > _SHOWN else ''})"


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _meant_value(text: str, kinds: frozenset[type]) -> str | None:
    """Return the value that a text stands for, as one writes it."""
    bare = text.strip()
    if bool in kinds:
        return {"true": "True", "false": "False", "yes": "True", "no": "False"}.get(bare.lower())
    return bare if re.fullmatch(r"[0-9]+(\.[0-9]+)?", bare) else None


def _like(name: str, there: Iterable[str]) -> list[str]:
    """Return the names that one is probably a misspelling of, the nearest first."""
    folded = _folded(name)
    alike = {other: _likeness(folded, _folded(other)) for other in there}
    best = sorted(
        (other for other in alike if alike[other] >= _ALIKE), key=lambda o: (-alike[o], o)
    )
    return best[:2]


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _likeness(one: str, two: str) -> float:
    swapped = sorted(one) == sorted(two)
    return max(SequenceMatcher(None, one, two).ratio(), 0.9 if swapped else 0.0)
