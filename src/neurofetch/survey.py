"""Look at what is here, and subtract it from what is wanted: the way from a selection to a plan."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.model import Action, Plan, Step
from neurofetch.planning.dataset import without_clashes
from neurofetch.planning.local_path import meet, twins
from neurofetch.planning.plan import kept, make_steps, sharing, unresumed
from neurofetch.store.audit import recognised
from neurofetch.store.known import Receipts
from neurofetch.store.names import Names
from neurofetch.store.others import in_the_way
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from neurofetch.model import LocalFile, Want
    from neurofetch.store.directory import DataDirectory

__all__ = ["for_this_disk", "plan_wants"]

_STRETCH = 2000
"""Files that are looked at before their steps are made."""
_UNREAD = (
    "receipts that cannot be read: {}. Files that only they tell of count as those of another "
    "program."
)
_DAMAGED = (
    "receipts: {} of their lines are damaged. Files that only these tell of count as those of "
    "another program."
)


def plan_wants(
    directory: DataDirectory,
    wants: Sequence[Want],
    notes: tuple[str, ...] = (),
    *,
    overwrite: bool = False,
    adopt: bool = False,
    new: bool = False,
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
    new : bool
        There was no receipt of any of the files a while ago. If none of them is here either, the
        receipts of all others need not be read.

    Raises
    ------
    UnsafeNameError, DestinationError
        As `DataDirectory.survey` does.
    """
    if new and not any(directory.look(want.path) for want in wants if not want.problem):
        receipts = Receipts()
    else:
        receipts = read_receipts(directory.state, (want.path for want in wants))
    wants = for_this_disk(directory, wants, receipts, write=adopt)
    held = _held_bytes(directory, wants)
    steps: list[Step] = []
    # What is known of a file that is here is needed until its step is made, and is not small.
    size = len(wants) if any(want.remote.digest for want in wants) else _STRETCH
    for first in range(0, len(wants), size):
        some = wants[first : first + size]
        steps += _steps(directory, some, receipts, held, overwrite=overwrite, adopt=adopt)
    if any(want.remote.digest for want in wants):
        steps = sharing(steps, _contents_here(directory, steps, receipts))
    directory.surveyed = receipts
    receipts.forget()
    damaged = [_DAMAGED.format(f"{receipts.damaged:,}")] if receipts.damaged else []
    notes = (*notes, *map(_UNREAD.format, receipts.unread), *damaged, *unresumed(steps))
    return Plan(directory.root, tuple(steps), notes, directory.free())


def _contents_here(
    directory: DataDirectory, steps: Iterable[Step], receipts: Receipts
) -> dict[str, str]:
    """Return the contents of files that earlier runs fetched, which others want now, by digest."""
    wanted = {str(step.want.remote.digest) for step in steps if step.moves}
    replaced = {step.want.path for step in steps if step.moves}
    found: dict[str, str] = {}
    for path, receipt in receipts.items() if wanted else ():
        if receipt.digest not in wanted or receipt.digest in found or path in replaced:
            continue
        info = directory.look(path)
        if info is not None and (info.st_size, info.st_mtime_ns) == (
            receipt.size,
            receipt.mtime_ns,
        ):
            found[receipt.digest] = path
    return found


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
    if overwrite or not receipts.are_any:
        return _new_steps(directory, wants, receipts, held, overwrite=overwrite, adopt=adopt)
    same = kept(wants, directory.unchanged(wants, receipts))
    rest = [want for want, step in zip(wants, same, strict=True) if step is None]
    new = iter(_new_steps(directory, rest, receipts, held, overwrite=False, adopt=adopt))
    return [step or next(new) for step in same]


def _new_steps(
    directory: DataDirectory,
    wants: Sequence[Want],
    receipts: Receipts,
    held: Mapping[str, int],
    *,
    overwrite: bool,
    adopt: bool,
) -> list[Step]:
    """Return the steps of files of which nothing is known to be as it was."""
    looked_at = [want for want in wants if not want.problem]
    local = directory.survey([want.path for want in looked_at], receipts)
    if directory.others is not None and local:
        known = directory.others.known
        local |= {
            want.path: known(want, local[want.path]) for want in looked_at if want.path in local
        }
    if not overwrite:
        local = recognised(directory, looked_at, local, adopt=adopt)
    steps = make_steps(wants, local, held, overwrite=overwrite)
    return [_own(directory, step, local) for step in steps] if local else steps


def _own(directory: DataDirectory, step: Step, local: Mapping[str, LocalFile]) -> Step:
    """Return the step, or leave the file that is here where it is of another data set."""
    here = local.get(step.want.path) if step.moves else None
    if here is None or here.receipt is None or here.receipt.source == directory.source:
        return step
    problem = in_the_way(here.receipt)
    return Step(replace(step.want, problem=problem), Action.LEAVE, problem)


def for_this_disk(
    directory: DataDirectory, wants: Sequence[Want], earlier: Iterable[str] = (), *, write: bool
) -> tuple[Want, ...]:
    """Return the same files; those that the disk cannot hold have a problem.

    Parameters
    ----------
    directory : DataDirectory
    wants : sequence of Want
    earlier : iterable of str
        Paths of files that earlier runs fetched.
    write : bool
        Whether files may be made in the state folder, for a moment, to find out.
    """
    names = Names(directory.root, directory.state)
    found = tuple(wants)
    if not names.are_short([want.path for want in found]):
        found = tuple(
            replace(want, problem=problem)
            if not want.problem and (problem := names.problem(want.path, write=write))
            else want
            for want in wants
        )
    found = _not_through_links(directory, found)
    between = twins([want.path for want in found if not want.problem])
    if not between and not (names.may_fold() and any(True for _ in earlier)):
        return found
    case, accents = names.folds(write=write, known=earlier)
    here: list[str] = []
    if case or accents:
        here = _still_here(directory, found, earlier, case=case, accents=accents)
    return without_clashes(found, case=case, accents=accents, here=here)


def _still_here(
    directory: DataDirectory,
    wants: Iterable[Want],
    earlier: Iterable[str],
    *,
    case: bool,
    accents: bool,
) -> list[str]:
    """Return the files of earlier runs that are here, under these names, and in the way of others.

    The disk finds a file by each of its names. Which of them it has is told by its folder alone.
    """
    asked = {want.path for want in wants if not want.problem}
    others = [path for path in earlier if path not in asked]
    if not meet([*asked, *others], case=case, accents=accents):
        return []
    shown: dict[str, frozenset[str]] = {}
    found = []
    for path in earlier:
        folder, _, name = path.rpartition("/")
        if folder not in shown:
            try:
                shown[folder] = frozenset(os.listdir(directory.root / folder))
            except OSError:
                shown[folder] = frozenset()
        if name in shown[folder]:
            found.append(path)
    return found


def _not_through_links(directory: DataDirectory, wants: tuple[Want, ...]) -> tuple[Want, ...]:
    """Return the same files; where a link leads two to one place, one of them has a problem."""
    led = {
        folder: real
        for folder in directory.existing(
            {want.path.rpartition("/")[0] for want in wants if not want.problem}
        )
        if (real := directory.led_to(folder)) != folder
    }
    if not led:
        return wants
    places = {want.path: _place(want.path, led) for want in wants if not want.problem}
    first: dict[str, str] = {}
    for path, place in sorted(places.items(), key=lambda one: one[0] != one[1]):
        first.setdefault(place, path)
    return tuple(
        replace(want, problem=f"a link leads it to the place of {first[places[want.path]]!r}")
        if not want.problem and first[places[want.path]] != want.path
        else want
        for want in wants
    )


def _place(path: str, led: Mapping[str, str]) -> str:
    folder, _, name = path.rpartition("/")
    real = led.get(folder, folder)
    return f"{real}/{name}" if real else name


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
