"""Filters that choose collections and images by their metadata.

They behave as those of nilearn 0.14.1. In addition, :class:`ResultFilter` understands ``&``, ``|``,
``^`` and ``~``, and every filter made here can be pickled.
"""

# ruff: noqa: PLW1641 - a value that is equal to many others cannot have a hash

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Container, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from neurofetch.neurovault.records import as_time

__all__ = [
    "Contains",
    "Filter",
    "GreaterOrEqual",
    "GreaterThan",
    "IsIn",
    "IsNull",
    "LessOrEqual",
    "LessThan",
    "NotContains",
    "NotEqual",
    "NotIn",
    "NotNull",
    "Pattern",
    "ResultFilter",
    "SpecialValue",
    "basic_collection_terms",
    "basic_image_terms",
    "empty_filter",
]


class SpecialValue:
    """Base of the values that are equal to many others."""

    __hash__ = None  # type: ignore[assignment]  # equal to many: no hash could agree

    def __eq__(self, other: object) -> bool:
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self.__eq__(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class IsNull(SpecialValue):
    """Equal to every value whose truth is False: None, 0, False, empty text.

    Examples
    --------
    >>> IsNull() == "", IsNull() == "a"
    (True, False)
    """

    def __eq__(self, other: object) -> bool:
        return not bool(other)


class NotNull(SpecialValue):
    """Equal to every value whose truth is True.

    Examples
    --------
    >>> NotNull() == 0, NotNull() == "a"
    (False, True)
    """

    def __eq__(self, other: object) -> bool:
        return bool(other)


class NotEqual(SpecialValue):
    """Equal to every value but one.

    Parameters
    ----------
    negated : object
        The one.

    Examples
    --------
    >>> NotEqual("atlas") == "statistic_map", NotEqual("atlas") == "atlas"
    (True, False)
    """

    def __init__(self, negated: object) -> None:
        self.negated_ = negated

    def __eq__(self, other: object) -> bool:
        return not self.negated_ == other  # the special values define ==, so != will not do

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.negated_!r})"


class _Order(SpecialValue):
    """Equal to the values on one side of a bound, after a cast to the bound's type."""

    _holds: Callable[[Any, Any], object]

    def __init__(self, bound: Any) -> None:
        self.bound_ = bound

    def __eq__(self, other: object) -> bool:
        bound, value = self.bound_, other
        if (time := _time(bound)) is not None and (given := _time(other)) is not None:
            return bool(self._holds(given, time))
        try:
            return bool(self._holds(type(bound)(value), bound))
        except (TypeError, ValueError, OverflowError):
            return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bound_!r})"


class GreaterOrEqual(_Order):
    """Equal to every value at or above a bound.

    Parameters
    ----------
    bound : object
        A number, a text, or a time (a `datetime`, or text such as
        ``"2020-07-20T22:14:26Z"``). Candidates are cast to its type; what cannot be cast, or
        compared, is not equal.

    Examples
    --------
    >>> GreaterOrEqual(2) == 2, GreaterOrEqual(2) == None
    (True, False)
    >>> GreaterOrEqual("2020-07-20T22:00:00Z") == "2020-07-20T23:30:00+02:00"
    False
    """

    _holds = staticmethod(operator.ge)


class GreaterThan(_Order):
    """Equal to every value above a bound; see :class:`GreaterOrEqual`.

    Parameters
    ----------
    bound : object
        A number, a text or a time.

    Examples
    --------
    >>> GreaterThan(2) == 2, GreaterThan(2) == 3
    (False, True)
    """

    _holds = staticmethod(operator.gt)


class LessOrEqual(_Order):
    """Equal to every value at or below a bound; see :class:`GreaterOrEqual`.

    Parameters
    ----------
    bound : object
        A number, a text or a time.

    Examples
    --------
    >>> LessOrEqual(2) == 2, LessOrEqual(2) == 3
    (True, False)
    """

    _holds = staticmethod(operator.le)


class LessThan(_Order):
    """Equal to every value below a bound; see :class:`GreaterOrEqual`.

    Parameters
    ----------
    bound : object
        A number, a text or a time.

    Examples
    --------
    >>> LessThan(2) == 2, LessThan(2) == 1
    (False, True)
    """

    _holds = staticmethod(operator.lt)


class IsIn(SpecialValue):
    """Equal to every value that is among those given.

    Parameters
    ----------
    *accepted : object
        The values.

    Examples
    --------
    >>> IsIn("T map", "Z map") == "Z map", IsIn("T map", "Z map") == "F map"
    (True, False)
    """

    def __init__(self, *accepted: object) -> None:
        self.accepted_ = accepted

    def __eq__(self, other: object) -> bool:
        return other in self.accepted_

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.accepted_!r}"


class NotIn(SpecialValue):
    """Equal to every value that is not among those given.

    Parameters
    ----------
    *rejected : object
        The values.

    Examples
    --------
    >>> NotIn("ROI/mask", "anatomical") == "Z map"
    True
    """

    def __init__(self, *rejected: object) -> None:
        self.rejected_ = rejected

    def __eq__(self, other: object) -> bool:
        return other not in self.rejected_

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.rejected_!r}"


class Contains(SpecialValue):
    """Equal to every container (text, list) that holds all that is given.

    Parameters
    ----------
    *must_be_contained : object
        Items, or pieces of text.

    Examples
    --------
    >>> Contains("face", "house") == "face vs house", Contains("face") == None
    (True, False)
    """

    def __init__(self, *must_be_contained: Any) -> None:
        self.must_be_contained_ = must_be_contained

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return False
        return all(item in other for item in self.must_be_contained_)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.must_be_contained_!r}"


class NotContains(SpecialValue):
    """Equal to every container (text, list) that holds nothing of what is given.

    Parameters
    ----------
    *must_not_be_contained : object
        Items, or pieces of text.

    Examples
    --------
    >>> NotContains("bad", "test") == "good image", NotContains("bad") == None
    (True, False)
    """

    def __init__(self, *must_not_be_contained: Any) -> None:
        self.must_not_be_contained_ = must_not_be_contained

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return False
        return all(item not in other for item in self.must_not_be_contained_)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.must_not_be_contained_!r}"


class Pattern(SpecialValue):
    """Equal to every text that a regular expression matches from its beginning.

    Parameters
    ----------
    pattern : str
        The expression, as for :func:`re.match`.
    flags : int, default=0
        As for :func:`re.match`, for example ``re.IGNORECASE``.

    Examples
    --------
    >>> Pattern("motor", re.IGNORECASE) == "Motor lips"
    True
    """

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern_ = pattern
        self.flags_ = flags

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.match(self.pattern_, other, self.flags_) is not None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(pattern={self.pattern_!r}, flags={self.flags_})"


def _time(value: object) -> datetime | None:
    return as_time(value) if isinstance(value, str | datetime) else None


Filter = Callable[[Any], object]
"""Takes a record and says, by the truth of what it returns, whether the record passes."""


def empty_filter(_: Mapping[str, Any]) -> bool:
    """Let everything pass: the default of each filter."""
    return True


class ResultFilter:
    """A filter made of wanted fields and of functions.

    A record passes when ``record[key] == value`` for every term and every function says yes; a
    field that the record lacks counts as None. Filters are combined by ``AND``, ``OR``, ``XOR``
    and ``NOT``, or by ``&``, ``|``, ``^`` and ``~``; the result keeps a copy of its parts.

    Parameters
    ----------
    query_terms : mapping, optional
        Fields and the values they must equal: plain ones, or special ones such as
        :class:`NotNull`.
    callable_filter : callable, optional
        Called with the record.
    **kwargs : object
        More terms.

    Attributes
    ----------
    query_terms_ : dict
        The terms; ``filter[key] = value`` adds one, ``del filter[key]`` removes one.
    callable_filters_ : list of callable
        The functions.

    Examples
    --------
    >>> wanted = ResultFilter(map_type="Z map") & ~ResultFilter(modality=IsIn("PET", "EEG"))
    >>> wanted({"map_type": "Z map", "modality": "fMRI-BOLD"})
    True
    >>> wanted({"map_type": "Z map", "modality": "PET"})
    False
    """

    def __init__(
        self,
        query_terms: Mapping[str, Any] | None = None,
        callable_filter: Filter = empty_filter,
        **kwargs: Any,
    ) -> None:
        self.query_terms_: dict[str, Any] = dict(query_terms or {}, **kwargs)
        self.callable_filters_: list[Filter] = [callable_filter]

    def __call__(self, candidate: Mapping[str, Any]) -> bool:
        """Say whether a record passes."""
        for key, value in self.query_terms_.items():
            if value != candidate.get(key):
                return False
        return all(accepts(candidate) for accepts in self.callable_filters_)

    def AND(self, other_filter: Filter) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what passes both.

        Returns
        -------
        ResultFilter
            A new filter.
        """
        return _combined(_both, self, other_filter)

    def OR(self, other_filter: Filter) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what passes at least one.

        Returns
        -------
        ResultFilter
            A new filter.
        """
        return _combined(_either, self, other_filter)

    def XOR(self, other_filter: Filter) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what passes exactly one.

        Returns
        -------
        ResultFilter
            A new filter.
        """
        return _combined(_one, self, other_filter)

    def NOT(self) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what does not pass.

        Returns
        -------
        ResultFilter
            A new filter.
        """
        return _combined(_neither, self)

    __and__ = AND
    __or__ = OR
    __xor__ = XOR
    __invert__ = NOT

    def __getitem__(self, item: str) -> Any:
        return self.query_terms_[item]

    def __setitem__(self, item: str, value: Any) -> None:
        self.query_terms_[item] = value

    def __delitem__(self, item: str) -> None:
        self.query_terms_.pop(item, None)

    def add_filter(self, callable_filter: Filter) -> None:
        """Add a function that must say yes too."""
        self.callable_filters_.append(callable_filter)

    def __str__(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        functions = [f for f in self.callable_filters_ if f is not empty_filter]
        more = f", callable_filters={functions!r}" if functions else ""
        return f"{type(self).__name__}({self.query_terms_!r}{more})"


def _combined(rule: Callable[..., bool], *parts: Filter) -> ResultFilter:
    return ResultFilter(callable_filter=functools.partial(rule, *deepcopy(parts)))


def _both(first: Filter, second: Filter, record: Mapping[str, Any]) -> bool:
    return bool(first(record)) and bool(second(record))


def _either(first: Filter, second: Filter, record: Mapping[str, Any]) -> bool:
    return bool(first(record)) or bool(second(record))


def _one(first: Filter, second: Filter, record: Mapping[str, Any]) -> bool:
    return bool(first(record)) != bool(second(record))


def _neither(only: Filter, record: Mapping[str, Any]) -> bool:
    return not only(record)


def basic_collection_terms() -> dict[str, Any]:
    """Return the default terms for collections: those that hold images.

    Returns
    -------
    dict
        Fields and what they must be, for ``collection_terms=``.

    Examples
    --------
    >>> basic_collection_terms()
    {'number_of_images': NotNull()}
    """
    return {"number_of_images": NotNull()}


def basic_image_terms() -> dict[str, Any]:
    """Return the default terms for images: unthresholded statistic maps in MNI space.

    Left out is what is not in MNI space, is thresholded, is a mask, an anatomical image or a
    parcellation by its map type, or is an atlas.

    Returns
    -------
    dict
        Fields and what they must be, for ``image_terms=``.

    Examples
    --------
    >>> basic_image_terms()["map_type"]
    NotIn('ROI/mask', 'anatomical', 'parcellation')
    """
    return {
        "not_mni": False,
        "is_thresholded": False,
        "map_type": NotIn("ROI/mask", "anatomical", "parcellation"),
        "image_type": NotEqual("atlas"),
    }
