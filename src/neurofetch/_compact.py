"""Values that take little room, since there is one for every file: what many share is stored once.

A plan may hold a million files. So what a file has for itself is packed, and what it has in common
with the others of its listing (the server, the reason, the rule) is one object for all of them. The
classes in `neurofetch.model` show all of it as attributes, made when they are asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import Field

__all__ = [
    "Shared",
    "Told",
    "Value",
    "etag_of",
    "pack",
    "pack_all",
    "quoted",
    "restored",
    "shape_of",
    "unpack",
]

Told = bytes | tuple[str | None, str | None]
"""An ETag and a time, as `pack` returns them."""

T = TypeVar("T")

_MANY = 4096
_LATELY = 1024
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/")
_QUOTED = [chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in range(256)]

_SECONDS = {f"{number:02}.000Z": f"{number:02}" for number in range(60)}
_MINUTE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):")


class _Minutes(dict[str, str]):
    """The digits of a time up to its seconds; "" for what is none."""

    def __missing__(self, text: str) -> str:
        if len(self) >= _MANY:
            self.clear()
        found = _MINUTE.fullmatch(text)
        digits = self[text] = "".join(found.groups()) if found else ""
        return digits


_minutes = _Minutes()


class Value:
    """A value whose fields are read-only attributes: compared, shown and copied by them.

    ``dataclasses.replace``, ``fields`` and ``asdict`` take it as they take a dataclass. A field
    with ``compare=False`` or ``repr=False`` is not compared, or not shown.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = {}
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.__match_args__ = tuple(cls.__dataclass_fields__)  # type: ignore[misc]

    def _fields(self) -> tuple[Any, ...]:
        fields = self.__dataclass_fields__.items()
        return tuple(getattr(self, name) for name, field in fields if field.compare)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        names = [name for name, field in self.__dataclass_fields__.items() if field.repr]
        pairs = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({pairs})"

    @classmethod
    def _slots(cls) -> tuple[str, ...]:
        return tuple(cls.__slots__)

    def __reduce__(self) -> tuple[Any, ...]:
        return (restored, (type(self), *(getattr(self, name) for name in self._slots())))


def restored(cls: type[Value], *values: object) -> Value:
    """Return a value as it was packed; what several share stays shared in one pickle."""
    made = cls.__new__(cls)
    for name, value in zip(cls._slots(), values, strict=True):
        setattr(made, name, value)
    return made


def shape_of(cls: type[Any]) -> dict[str, Field[Any]]:
    """Return the fields of a dataclass, for a `Value` that has the same ones."""
    found: dict[str, Field[Any]] = cls.__dataclass_fields__
    return found


class Shared(Generic[T]):
    """Equal objects as one. What is seldom the same is forgotten now and then.

    Examples
    --------
    >>> same = Shared[tuple[int, ...]]()
    >>> same((1, 2)) is same((1, 2))
    True
    """

    def __init__(self) -> None:
        self._known: dict[T, T] = {}

    def __call__(self, value: T) -> T:
        """Return an equal object that others hold already, where one is known; else this one."""
        known = self._known
        if len(known) > _MANY:
            known.clear()
        return known.setdefault(value, value)


def pack(etag: str | None, modified: str | None) -> Told:
    """Return an ETag and a time in little room; what is not as S3 writes it stays as it is.

    Examples
    --------
    >>> pack("0" * 32 + "-12", "2024-05-01T10:20:30.000Z").hex()
    '0000000000000000000000000000000020240501102030000c'
    >>> unpack(pack("0" * 32 + "-12", "2024-05-01T10:20:30.000Z"))
    ('00000000000000000000000000000000-12', '2024-05-01T10:20:30.000Z')
    >>> pack("abc", None)
    ('abc', None)
    """
    if etag is None or modified is None or not 32 <= len(etag) <= 37:
        return etag, modified
    minute, second = _minutes[modified[:17]], _SECONDS.get(modified[17:])
    if not minute or not second:
        return etag, modified
    if len(etag) == 32:
        packed = etag + minute + second
    else:
        parts = etag[33:]
        if etag[32] != "-" or not parts.isdecimal() or not parts.isascii() or parts[0] == "0":
            return etag, modified
        packed = f"{etag[:32]}{minute}{second}{int(parts):04x}"
    try:
        told = bytes.fromhex(packed)
    except ValueError:
        return etag, modified
    return told if told.hex() == packed else (etag, modified)  # it takes capitals, and spaces


def pack_all(etags: Sequence[str | None], times: Sequence[str | None]) -> list[Told]:
    """Return what `pack` returns of each of many, in less time.

    Examples
    --------
    >>> pack_all(["0" * 32], ["2024-05-01T10:20:30.000Z"]) == [
    ...     pack("0" * 32, "2024-05-01T10:20:30.000Z")
    ... ]
    True
    """
    try:
        texts = [
            etag + _minutes[time[:17]] + _SECONDS[time[17:]] if len(etag) == 32 else ""  # type: ignore[arg-type, index, operator]
            for etag, time in zip(etags, times, strict=True)
        ]
        text = "".join(texts)
        packed = bytes.fromhex(text)
    except (KeyError, TypeError, ValueError):
        return list(map(pack, etags, times))
    if not {46, 0}.issuperset(map(len, texts)) or packed.hex() != text:
        return list(map(pack, etags, times))
    found: list[Told] = []
    at = 0
    for one, etag, time in zip(texts, etags, times, strict=True):
        if one:
            found.append(packed[at : at + 23])
            at += 23
        else:
            found.append(pack(etag, time))
    return found


@lru_cache(_LATELY)
def etag_of(told: Told) -> str | None:
    """Return the ETag of what was packed."""
    if type(told) is tuple:
        return told[0]
    etag = told[:16].hex()  # type: ignore[union-attr]
    return etag if len(told) < 25 else f"{etag}-{int.from_bytes(told[23:], 'big')}"


def unpack(told: Told) -> tuple[str | None, str | None]:
    """Return what was packed: an ETag and a time."""
    if type(told) is tuple:
        return told
    text = told.hex()  # type: ignore[union-attr]
    etag = text[:32] + (f"-{int(text[46:], 16)}" if len(text) > 46 else "")
    m = text[32:46]
    return etag, f"{m[:4]}-{m[4:6]}-{m[6:8]}T{m[8:10]}:{m[10:12]}:{m[12:]}.000Z"


@lru_cache(_LATELY)
def quoted(key: str) -> str:
    """Return a key as it stands in a URL, slashes as they are.

    Examples
    --------
    >>> quoted("a b/c+%?#é")
    'a%20b/c%2B%25%3F%23%C3%A9'
    """
    return "".join(map(_QUOTED.__getitem__, key.encode("utf-8", "surrogateescape")))
