"""The server's records and the caller's ids, brought into one form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from numbers import Real
from operator import index
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from neurofetch.errors import UsageError

__all__ = [
    "as_time",
    "clean",
    "is_newer",
    "normal_ids",
    "server_url",
]

# The words by which uploaders (and the server's own choice list) say that nothing is known.
# The whole text must be one of them: "None of the voxels survived" is text.
_NULL_WORDS = frozenset({"", "n/a", "na", "none", "null", "none / other"})
_NULL_LENGTH = max(map(len, _NULL_WORDS))
_DATED = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d|$)")
_SHOWN = 5  # wrong ids that a message lists


def clean(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a server's record in which text that says nothing is None.

    That is text which is empty, or as a whole ``n/a``, ``na``, ``none``, ``null`` or
    ``None / Other``, whatever the case; text that only begins so is kept.

    Examples
    --------
    >>> clean({"id": 7, "DOI": "N/A", "name": "None of the voxels", "authors": ""})
    {'id': 7, 'DOI': None, 'name': 'None of the voxels', 'authors': None}
    """
    return {key: None if _says_nothing(value) else value for key, value in record.items()}


def _says_nothing(value: object) -> bool:
    if not isinstance(value, str):
        return False
    bare = value.strip()
    return len(bare) <= _NULL_LENGTH and bare.lower() in _NULL_WORDS


def as_time(value: object) -> datetime | None:
    """Read a record's date as a time in UTC; None for what is not a date.

    A date without a zone is taken as UTC, a day without an hour as its midnight.

    Examples
    --------
    >>> as_time("2016-01-21T18:22:58.807468+01:00")
    datetime.datetime(2016, 1, 21, 17, 22, 58, 807468, tzinfo=datetime.timezone.utc)
    >>> as_time("yesterday") is None
    True
    """
    if isinstance(value, str):
        if not _DATED.match(value):
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def is_newer(record: Mapping[str, Any], than: Mapping[str, Any]) -> bool:
    """Say whether `record` was modified after another version of it.

    A version without a readable ``modify_date`` counts as older than one that has it.

    Examples
    --------
    >>> ours = {"modify_date": "2016-01-27T22:59:40+01:00"}
    >>> is_newer({"modify_date": "2016-01-27T21:59:40Z"}, than=ours)
    False
    """
    mine, other = as_time(record.get("modify_date")), as_time(than.get("modify_date"))
    return mine is not None and (other is None or mine > other)


def normal_ids(values: object, name: str = "ids") -> tuple[int, ...]:
    """Return ids as a tuple of unique ints in the order given.

    Parameters
    ----------
    values : int, str or iterable of them, or None
        Ints of any kind (NumPy's too), text of digits, whole floats as pandas makes them; an
        array of any shape, a range, a generator; a set, which comes out sorted; one id alone.
    name : str
        The argument's name, for the error.

    Raises
    ------
    UsageError
        When something is not an id; it names what and where.

    Examples
    --------
    >>> normal_ids([1952, "32015", 1952])
    (1952, 32015)
    >>> normal_ids(1952)
    (1952,)
    """
    good: dict[int, None] = {}
    wrong: list[str] = []
    for place, value in enumerate(_items(values, name)):
        number = _id(value)
        if number is None:
            wrong.append(f"{value!r} (number {place + 1})")
        else:
            good[number] = None
    if wrong:
        raise UsageError(_wrong_ids(name, wrong, len(good)))
    return tuple(sorted(good)) if isinstance(values, Set) else tuple(good)


def _items(values: object, name: str) -> Iterable[object]:
    if values is None:
        return ()
    if isinstance(values, str | bytes | Real):
        return (values,)
    if hasattr(values, "__array__") and hasattr(values, "ravel"):
        return list(values.ravel())
    if not isinstance(values, Iterable):
        raise UsageError(f"{name} must be ids or a collection of ids, not {values!r}.")
    return values


def _id(value: object) -> int | None:
    """Return one id, None for what is not one (a truth value is not)."""
    if isinstance(value, str):
        bare = value.strip()
        number = int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 20 else 0
    elif isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    elif isinstance(value, Real) and float(value).is_integer():
        number = int(float(value))
    else:
        try:
            number = index(value)  # type: ignore[arg-type]  # that is the question
        except TypeError:
            return None
    return number if number > 0 else None


def _wrong_ids(name: str, wrong: list[str], good: int) -> str:
    shown = ", ".join(wrong[:_SHOWN]) + (", …" if len(wrong) > _SHOWN else "")
    return (
        f"{name}: {len(wrong)} of {len(wrong) + good} are not ids: {shown}. An id is a whole "
        "number above zero, as in the address https://neurovault.org/collections/1952/. "
        "Nothing was fetched."
    )


def server_url(url: str, api_url: str) -> str:
    """Return an address from a record as it is best asked for.

    The server writes ``http://`` into its records and then redirects each request; on its own
    host, when the API is asked by https, the address is upgraded at once. An address without a
    host is completed; one of another host is left as it is.

    Examples
    --------
    >>> api = "https://neurovault.org/api/"
    >>> server_url("http://neurovault.org/media/images/658/a%20b.nii.gz", api)
    'https://neurovault.org/media/images/658/a%20b.nii.gz'
    >>> server_url("http://mirror.org/a.nii.gz", api)
    'http://mirror.org/a.nii.gz'
    """
    base, parts = urlsplit(api_url), urlsplit(urljoin(api_url, url))
    own = parts.hostname == base.hostname and parts.port in (None, 80, base.port)
    if parts.scheme == "http" and base.scheme == "https" and own:
        parts = parts._replace(scheme="https", netloc=base.netloc)
    return urlunsplit(parts)
