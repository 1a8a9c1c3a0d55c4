"""Hold files against a lock: which are the same, added, changed or gone."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from neurofetch.events import Event
    from neurofetch.lockfile.here import Here, Seen
    from neurofetch.lockfile.values import Head, LockedFile
    from neurofetch.model import LocalFile

__all__ = ["Change", "Difference", "State", "check_files", "diff_files"]


class State(enum.StrEnum):
    """How a file differs from what a lock says."""

    ADDED = "added"
    CHANGED = "changed"
    GONE = "gone"


class Change(NamedTuple):
    """A file that differs.

    Parameters
    ----------
    path : str
    state : State
    reason : str
        For people.
    """

    path: str
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between a lock and a directory, or another lock.

    Parameters
    ----------
    changes : tuple of Change
        Sorted by path.
    same : int
        How many files are as the lock says.
    head : tuple of str
        What differs in what the locks say of the data set, for people.
    """

    changes: tuple[Change, ...]
    same: int
    head: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.changes and not self.head

    def of(self, state: State) -> tuple[Change, ...]:
        """Return the files that differ in this way.

        Parameters
        ----------
        state : State
        """
        return tuple(change for change in self.changes if change.state is state)

    @property
    def counts(self) -> dict[str, int]:
        """How many files there are of each kind, "same" among them."""
        found = Counter(change.state.value for change in self.changes)
        return {"same": self.same} | {state.value: found[state.value] for state in State}

    @property
    def summary(self) -> str:
        """It in one line."""
        return ", ".join(f"{count:,} {word}" for word, count in self.counts.items())

    def __str__(self) -> str:
        lines = [
            f"{change.state.value:8}{shown(change.path)}  ({change.reason})"
            for change in self.changes
        ]
        return "\n".join([*self.head, *lines, self.summary])

    def _repr_html_(self) -> str | None:
        from neurofetch.display.page import safely  # noqa: PLC0415 - for notebooks alone
        from neurofetch.lockfile.view import difference_page  # noqa: PLC0415

        return safely(lambda: difference_page(self))

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


def check_files(
    here: Here,
    files: Sequence[LockedFile],
    others: Sequence[str],
    listen: Callable[[Event], None],
    *,
    read_all: bool = False,
) -> Difference:
    """Hold the files of a directory against a lock.

    Parameters
    ----------
    here : Here
    files : sequence of LockedFile
    others : sequence of str
        The files that a lock of this directory would name: what is among them and not in the lock,
        was added.
    listen : callable
        Gets a `Checking` event now and then while files are read.
    read_all : bool
        Read every byte. By default a file is not read of which the hash is known, and whose size
        and time are what they were then.
    """
    locked = {one.path: one for one in files}

    def wanted(one: LocalFile) -> list[str] | None:
        file = locked[one.path]
        same = one.size == file.size
        return [digest.partition(":")[0] for digest in file.hashes] if same else None

    gone = dict.fromkeys(locked)
    changes = []
    for seen in here.seen([*locked], wanted, listen, read_all=read_all):
        del gone[seen.path]
        if problem := _problem(seen, locked[seen.path]):
            changes.append(Change(seen.path, State.CHANGED, problem))
    for path in gone:
        why = here.directory.obstacle(path) or "it is not here"
        changes.append(Change(path, State.GONE, why))
    more = here.present([path for path in others if path not in locked])
    changes += [Change(path, State.ADDED, "it is not in the lock") for path in more]
    return Difference(tuple(sorted(changes)), len(files) + len(more) - len(changes))


def _problem(seen: Seen, locked: LockedFile) -> str:
    """Say how a file that is here differs from one of a lock; "" if it is the same."""
    if seen.size != locked.size:
        return f"{seen.size:,} bytes, {locked.size:,} in the lock"
    for one, other in zip(seen.hashes, locked.hashes, strict=True):
        if one != other:
            return f"{one}, in the lock {other.partition(':')[2]}"
    return ""


def diff_files(
    before: tuple[Head, Sequence[LockedFile]], after: tuple[Head, Sequence[LockedFile]]
) -> Difference:
    """Hold a lock against another one.

    Parameters
    ----------
    before, after : tuple of (Head, sequence of LockedFile)
    """
    old = {one.path: one for one in before[1]}
    new = {one.path: one for one in after[1]}
    changes = [
        Change(path, State.GONE, "it is not in the other lock") for path in old if path not in new
    ]
    changes += [
        Change(path, State.ADDED, "only the other lock has it") for path in new if path not in old
    ]
    both = [path for path in old if path in new]
    changes += [
        Change(path, State.CHANGED, problem)
        for path in both
        if (problem := _differs(old[path], new[path]))
    ]
    same = len(both) - sum(change.state is State.CHANGED for change in changes)
    return Difference(tuple(sorted(changes)), same, tuple(_heads(before[0], after[0])))


def _differs(old: LockedFile, new: LockedFile) -> str:
    """Say how two files of one path differ; "" if they are the same. Addresses do not count."""
    if old.size != new.size:
        return f"{old.size:,} bytes, {new.size:,} in the other lock"
    hashes = {one.partition(":")[0]: one for one in old.hashes}
    both = [(hashes[name], one) for one in new.hashes if (name := one.partition(":")[0]) in hashes]
    if not both:
        return "the locks have hashes of different kinds, so nothing tells whether it is the same"
    return next(
        (f"{one}, in the other lock {more.partition(':')[2]}" for one, more in both if one != more),
        "",
    )


def _heads(old: Head, new: Head) -> Iterator[str]:
    for name in ("source", "version", "commit", "doi", "license"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            old_text, new_text = (shown(text) or "not said" for text in (before, after))
            yield f"{name}: {old_text}, in the other lock {new_text}"
