"""Filters that choose collections and images by their metadata.

They behave as those of nilearn 0.14.1 do; besides, :class:`ResultFilter` understands ``&``, ``|``,
``^`` and ``~``, and every filter made here can be pickled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from neurofetch.neurovault._special import (
    Contains,
    GreaterOrEqual,
    GreaterThan,
    IsIn,
    IsNull,
    LessOrEqual,
    LessThan,
    NotContains,
    NotEqual,
    NotIn,
    NotNull,
    Pattern,
    SpecialValue,
)

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
    "Record",
    "ResultFilter",
    "SpecialValue",
    "basic_collection_terms",
    "basic_image_terms",
    "empty_filter",
]

Record = Mapping[str, Any]
Filter = Callable[[Record], object]


def empty_filter(_: Record) -> bool:
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

    def __call__(self, candidate: Record) -> bool:
        """Say whether a record passes."""
        for key, value in self.query_terms_.items():
            if value != candidate.get(key):
                return False
        return all(accepts(candidate) for accepts in self.callable_filters_)

    def AND(self, other_filter: Filter) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what passes both."""
        return _combined(_both, self, other_filter)

    def OR(self, other_filter: Filter) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what passes at least one."""
        return _combined(_either, self, other_filter)

    def XOR(self, other_filter: Filter) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what passes exactly one."""
        return _combined(_one, self, other_filter)

    def NOT(self) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Pass what does not pass."""
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


def _both(first: Filter, second: Filter, record: Record) -> bool:
    return bool(first(record)) and bool(second(record))


def _either(first: Filter, second: Filter, record: Record) -> bool:
    return bool(first(record)) or bool(second(record))


def _one(first: Filter, second: Filter, record: Record) -> bool:
    return bool(first(record)) != bool(second(record))


def _neither(only: Filter, record: Record) -> bool:
    return not only(record)


def basic_collection_terms() -> dict[str, Any]:
    """Return the default terms for collections: those that hold images.

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
