"""What a user gives to a search, as the catalogue's columns compare it. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from neurofetch.errors import UsageError
from neurofetch.neurovault.records import as_time

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["bound", "checked_limit", "checked_text", "comparable"]

_LARGEST = 2**63
"""What a BIGINT cannot hold."""
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def checked_limit(limit: object) -> int | None:
    """Return the most rows that are wanted; None for all.

    Raises
    ------
    UsageError
        If it is no whole number from 1.

    Examples
    --------
    >>> checked_limit(None), checked_limit(10), checked_limit("10")
    (None, 10, 10)
    """
    if limit is None:
        return None
    number = _plain(limit)
    if isinstance(number, str) and number.strip().isascii() and number.strip().isdigit():
        number = int(number[:30])
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < _LARGEST:
        raise UsageError(
            f"limit must be a whole number from 1, such as 10, not {limit!r}. To get all that "
            "matches, leave it out."
        )
    return number


def checked_text(name: str, text: object) -> None:
    """See that words to look for are text.

    Raises
    ------
    UsageError
        If they are not.
    """
    if text is not None and not isinstance(text, str):
        raise UsageError(f"{name} must be words such as 'motor' or '\"left hand\"', not {text!r}.")


def comparable(values: Iterable[object], sql_type: str, name: str) -> list[object]:
    """Return those of some values that a column can hold, in its own type.

    A number that no column of its kind can hold (5.5 as an id) is left out: no record has it.

    Parameters
    ----------
    values : iterable
        None is not among them.
    sql_type : {"BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "VARCHAR"}
    name : str
        The field's.

    Raises
    ------
    UsageError
        If one is no such value at all; it names the field and what it takes.

    Examples
    --------
    >>> comparable([5, "6", 5.5], "BIGINT", "id")
    [5, 6]
    """
    found = [_CONVERT[sql_type](_plain(value), name) for value in values]
    return [value for value in found if value is not None]


def bound(value: object, sql_type: str, name: str) -> object:
    """Return a bound as a column of numbers or times compares it.

    Raises
    ------
    UsageError
        If it is no number, or no time.
    """
    if sql_type == "TIMESTAMP":
        return _time(value, name)
    number = _number(_plain(value), name)
    return max(-float(_LARGEST), min(float(_LARGEST), number))


def _plain(value: object) -> object:
    return value.item() if hasattr(value, "item") else value  # a NumPy scalar


def _number(value: object, name: str) -> float | int:
    if not isinstance(value, bool) and isinstance(value, int):
        return value
    try:
        number = float(value) if isinstance(value, float | str) else math.nan
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise UsageError(f"{name} must be a number such as 12, not {value!r}.")
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else number


def _whole(value: object, name: str) -> int | None:
    number = _number(value, name)
    if abs(number) >= _LARGEST or number != int(number):
        return None
    return int(number)


def _real(value: object, name: str) -> float | None:
    number = _number(value, name)
    return float(number) if abs(number) < 2**1000 else None


def _truth(value: object, name: str) -> bool:
    found = value if isinstance(value, bool) else _BOOLEANS.get(str(value).strip().lower())
    if found is None:
        raise UsageError(f"{name} must be true or false, not {value!r}.")
    return found


def _time(value: object, name: str) -> object:
    time = as_time(value)
    if time is None:
        raise UsageError(f"{name} must be a date such as '2020-07-20T22:14:26Z', not {value!r}.")
    return time.replace(tzinfo=None)


def _words(value: object, name: str) -> str | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, str | int | float):
        raise UsageError(f"{name} must be text, not {value!r}.")
    return str(value).encode("utf-8", "replace").decode()


_CONVERT = {
    "BIGINT": _whole,
    "DOUBLE": _real,
    "BOOLEAN": _truth,
    "TIMESTAMP": _time,
    "VARCHAR": _words,
}
