"""Look at what is here, and subtract it from what is wanted: the way from a selection to a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.model import Plan
from neurofetch.planning.dataset import without_clashes
from neurofetch.planning.local_path import twins
from neurofetch.planning.plan import kept, make_steps, unresumed
from neurofetch.store.audit import recognised
from neurofetch.store.names import Names
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from neurofetch.model import Step, Want
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.known import Receipts

__all__ = ["for_this_disk", "plan_wants"]

_STRETCH = 2000
"""Files that are looked at before their steps are made."""
_UNREAD = (
    "receipts that cannot be read: {}. Files that only they tell of count as those of another "
    "program."
)


def plan_wants(
    directory: DataDirectory,
    wants: Sequence[Want],
    notes: tuple[str, ...] = (),
    *,
    overwrite: bool = False,
    adopt: bool = False,
) -> Plan:
    """Look at what is here, and subtract it from what is wanted.

    Parameters
    ----------
    directory : DataDirectory
    wants : sequence of Want
    notes : tuple of str
    overwrite : bool
        Fetch also what is here.
    adopt : bool
        Whether files of other tools that are the server's get a receipt.

    Raises
    ------
    UnsafeNameError, DestinationError
        As `DataDirectory.survey` does.
    """
    wants = for_this_disk(directory, wants, write=adopt)
    receipts = read_receipts(directory.state, (want.path for want in wants))
    held = _held_bytes(directory, wants)
    steps: list[Step] = []
    # What is known of a file that is here is needed until its step is made, and is not small.
    size = len(wants) if any(want.remote.digest for want in wants) else _STRETCH
    for first in range(0, len(wants), size):
        some = wants[first : first + size]
        steps += _steps(directory, some, receipts, held, overwrite=overwrite, adopt=adopt)
    directory.surveyed = receipts
    receipts.forget()
    notes = (*notes, *map(_UNREAD.format, receipts.unread), *unresumed(steps))
    return Plan(directory.root, tuple(steps), notes, directory.free())


def _steps(
    directory: DataDirectory,
    wants: Sequence[Want],
    receipts: Receipts,
    held: Mapping[str, int],
    *,
    overwrite: bool,
    adopt: bool,
) -> Iterable[Step]:
    """Return the steps of some files, in their order."""
    same: list[Step | None] = [None] * len(wants)
    if not overwrite and receipts.are_any:
        same = kept(wants, directory.unchanged(wants, receipts))
        if None not in same:
            return same  # type: ignore[return-value]
    rest = [want for want, step in zip(wants, same, strict=True) if step is None]
    looked_at = [want for want in rest if not want.problem]
    local = directory.survey((want.path for want in looked_at), receipts)
    if not overwrite:
        local = recognised(directory, looked_at, local, adopt=adopt)
    others = make_steps(rest, local, held, overwrite=overwrite)
    if len(others) == len(same):
        return others
    following = iter(others)
    return [step or next(following) for step in same]


def for_this_disk(
    directory: DataDirectory, wants: Sequence[Want], *, write: bool
) -> tuple[Want, ...]:
    """Return the same files; those that the disk cannot hold have a problem."""
    names = Names(directory.root, directory.state)
    found = tuple(wants)
    if not names.are_short([want.path for want in found]):
        found = tuple(
            replace(want, problem=problem)
            if not want.problem and (problem := names.problem(want.path))
            else want
            for want in wants
        )
    if not twins([want.path for want in found if not want.problem]):
        return found
    case, accents = names.folds(write=write)
    return without_clashes(found, case=case, accents=accents)


def _held_bytes(directory: DataDirectory, wants: Sequence[Want]) -> dict[str, int]:
    """Return the bytes in partials that a transfer could take over, by path."""
    partials = Partials(directory.state, Journal(directory.state).owner)
    found = partials.survey()
    if not found:
        return {}
    held: dict[str, int] = {}
    for want in wants:
        if want.problem:
            continue
        remote = want.remote
        usable = (
            partial.log.bytes_held()
            for partial in found.get(name_of(want.path), ())
            if partial.log.may_be_of(remote.etag, remote.size, remote.digest)
            and partials.free_to_take(partial)
        )
        best = max(usable, default=0)
        if best:
            held[want.path] = best
    return held
