"""What a notebook shows of a lock, and of what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from neurofetch.display.page import Chip, Fold, Lines, Page, Part, Table, Words
from neurofetch.display.text import count, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from neurofetch.lockfile.values import Head, LockedFile

__all__ = ["difference_page", "lock_page"]

_MOST, _FEW, _HASH = 1000, 100, 20
_TONES = {"same": "good", "added": "new", "changed": "part", "gone": "bad"}


class _Lock(Protocol):
    @property
    def head(self) -> Head: ...
    @property
    def files(self) -> tuple[LockedFile, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def path(self) -> str: ...


class _Change(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...


class _Difference(Protocol):
    @property
    def changes(self) -> Sequence[_Change]: ...
    @property
    def head(self) -> tuple[str, ...]: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def ok(self) -> bool: ...


def lock_page(lock: _Lock) -> Page:
    """Return what is shown of a lock.

    Parameters
    ----------
    lock : Lock
    """
    head = lock.head
    told = [
        ("data set", head.source),
        ("name", head.name),
        ("version", head.version),
        ("commit", head.commit),
        ("DOI", head.doi),
        ("licence", head.license),
        *((f"only {name}", ", ".join(values)) for name, values in head.query.items()),
    ]
    parts: list[Part] = [Table(("of", "what"), [row for row in told if row[1]], words=(1,))]
    parts.append(Words([f"Note: {note}" for note in lock.notes[:_FEW]]))
    if lock.files:
        lines = [
            f"{size(one.size):>10}  {_short(one.strongest)}  {one.path}"
            for one in lock.files[:_MOST]
        ]
        title = f"all {count(len(lock.files))}"
        if len(lock.files) > _MOST:
            title = f"the first {_MOST:,} of {count(len(lock.files))}"
        parts.append(Fold(title, [Lines(lines)], scrolls=True))
    chips = [Chip(size(head.bytes)), Chip("all files" if head.every else "what was fetched")]
    where = f"in {lock.path}" if lock.path else ""
    return Page(f"Lock of {count(len(lock.files))}", where, chips, parts)


def _short(digest: str) -> str:
    """Return the beginning of a hash: all of it would leave a path no room in its line."""
    return digest if len(digest) <= _HASH else f"{digest[:_HASH]}…"


def difference_page(difference: _Difference) -> Page:
    """Return what is shown of what differs.

    Parameters
    ----------
    difference : Difference
    """
    chips = [
        Chip(f"{number:,} {word}", _TONES.get(word, ""))
        for word, number in difference.counts.items()
        if number
    ]
    parts: list[Part] = [Words(list(difference.head), "part")]
    changes = difference.changes
    if changes:
        rows = [(one.path, f"{one.state}: {one.reason}") for one in changes[:_FEW]]
        title = f"{count(len(changes))} differ" if len(changes) > 1 else "1 file differs"
        if len(changes) > _FEW:
            title += f" (the first {_FEW} are here; iterate over it for all)"
        table = Table(("file", "what differs"), rows, words=(1,))
        parts.append(Fold(title, [table], "part", is_open=True))
    return Page("Nothing differs" if difference.ok else "What differs", "", chips, parts)
