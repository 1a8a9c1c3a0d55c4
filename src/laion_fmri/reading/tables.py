"""The tables beside the stimuli, as pandas reads them; names and free text stay text."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from laion_fmri.errors import BadDataError
from neurofetch.extras import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = ["as_index", "as_name", "as_names", "read_table"]

_ABSENT = [
    "",
    "None",
    "n/a",
    "N/A",
    "#N/A",
    "NA",
    "<NA>",
    "nan",
    "NaN",
    "-nan",
    "-NaN",
    "null",
    "NULL",
]
"""What stands for no value, in columns that are no texts; as pandas takes it by default."""


def read_table(path: Path, columns: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file.

    Parameters
    ----------
    path : pathlib.Path
    columns : sequence of str
        Those that it must have.
    texts : sequence of str
        Columns whose every value is a text: also "NA", "null" or an empty one.

    Raises
    ------
    BadDataError
        If it is no such table.
    """
    need(f"reading {path.name}", "stimuli", "pandas")
    import pandas as pd

    try:
        # utf-8-sig: a spreadsheet may have added a byte order mark to the first column's name.
        head = pd.read_csv(path, encoding="utf-8-sig", nrows=0).columns
        table = pd.read_csv(
            path,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(texts, str),
            keep_default_na=False,
            na_values={name: _ABSENT for name in head if name not in texts},
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as exc:
        raise BadDataError(str(path), f"is not a table of comma-separated values ({exc})") from exc
    absent = [name for name in columns if name not in table.columns]
    if absent:
        problem = f"lacks the columns {', '.join(absent)}; it has {list(table.columns)}"
        raise BadDataError(str(path), problem)
    return table


def as_index(key: Any, length: int, what: str) -> int:
    """Return a number that counts from 0, of whatever integer type.

    Raises
    ------
    TypeError
        If it is none.
    IndexError
        If there are not so many; negative numbers do not count from the end.
    """
    if isinstance(key, bool):
        raise TypeError(f"{what} {key!r}: expected a whole number, not a bool.")
    try:
        number = operator.index(key)
    except TypeError:
        name = type(key).__name__
        raise TypeError(f"{what} {key!r}: expected a whole number, not {name}.") from None
    if not 0 <= number < length:
        raise IndexError(f"{what} {number} is out of range: there are {length}, from 0.")
    return number


def as_name(key: Any) -> str:
    """Return the name of a picture, which is text.

    Raises
    ------
    TypeError
        If it is none: the number of a trial or of a row finds no picture by name.
    """
    if not isinstance(key, str):
        raise TypeError(f"{key!r} is no name of a picture: expected text, not {_type(key)}.")
    return key


def as_names(keys: str | Iterable[Any]) -> list[Any]:
    """Return several names of pictures, or rows, as a list.

    Raises
    ------
    TypeError
        If they are not several: of a text, letters would be looked for.
    """
    if isinstance(keys, str | bytes):
        raise TypeError(f"{keys!r} is one name: expected a list of them.")
    try:
        return list(keys)
    except TypeError:
        msg = f"{keys!r}: expected names of pictures in a list, not {_type(keys)}."
        raise TypeError(msg) from None


def _type(value: object) -> str:
    return type(value).__name__
