"""What a call by filters has looked at: to say why nothing passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.neurovault.filters import SpecialValue
from neurofetch.planning.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Seen"]

_MOST = 1000
"""So many values of a field are remembered."""
_FEW = 8
"""So many of them are all listed."""


@dataclass
class Seen:
    """The records of one kind that were held against terms.

    Parameters
    ----------
    kind : str
        ``"image"`` or ``"collection"``.
    number : int
        How many there were.
    fields : set of str
        The fields that any of them had.
    values : dict of str to set of str
        For each term's field, the texts that it was.
    """

    kind: str
    number: int = 0
    fields: set[str] = field(default_factory=set)
    values: dict[str, set[str]] = field(default_factory=dict)
    _good: dict[str, int] = field(default_factory=dict)

    def note(self, record: Mapping[str, object], terms: Mapping[str, object]) -> None:
        """Remember a record, and which of the terms it fulfils."""
        self.number += 1
        self.fields.update(record)
        for name, wanted in terms.items():
            value = record.get(name)
            self._good[name] = self._good.get(name, 0) + bool(wanted == value)
            seen = self.values.setdefault(name, set())
            if isinstance(value, str) and len(seen) < _MOST:
                seen.add(value)

    def problems(self, terms: Mapping[str, object]) -> list[str]:
        """Return a line for each term that no record fulfils."""
        if not self.number:
            return []
        return [
            self._problem(name, wanted)
            for name, wanted in terms.items()
            if not self._good.get(name)
        ]

    def _problem(self, name: str, wanted: object) -> str:
        if name not in self.fields:
            near = nearest(name, self.fields)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            return f"  no {self.kind} has a field {name!r}.{meant}"
        line = f"  {name}={wanted!r}: no {self.kind} passes."
        there = self.values.get(name, set())
        plain = isinstance(wanted, str) and not isinstance(wanted, SpecialValue)
        if near := nearest(str(wanted), there) if plain else []:
            return f"{line} Did you mean {' or '.join(map(repr, near))}?"
        if isinstance(wanted, list | tuple | set | range):
            return f"{line} For several values, write IsIn(...)."
        return f"{line} There are {', '.join(sorted(there))}." if 0 < len(there) <= _FEW else line
