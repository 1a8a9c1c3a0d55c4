"""Remove what runs left that ended before their time, and what nobody can use any more."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from neurofetch.errors import UnsafeNameError
from neurofetch.model import Action
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from neurofetch.model import Step
    from neurofetch.store.partials import Held

__all__ = ["tidy", "useful"]


def useful(steps: Iterable[Step], held: Mapping[str, Sequence[Held]]) -> set[str]:
    """Return the partials that can be resumed, now or later.

    Parameters
    ----------
    steps : iterable of Step
        Of the plan: of a file that it keeps, or makes of another one, no partial is of use. Of a
        file that it does not name, a later run may want it.
    held : mapping of str to sequence of Held
        All partials, by the short name of their file.

    Returns
    -------
    set of str
        Their data files.
    """
    kept: set[str] = set()
    known: set[str] = set()
    for step in steps:
        if step.action is Action.LEAVE:
            continue  # its name is none
        short, remote = name_of(step.want.path), step.want.remote
        if step.action is not Action.REFUSE:
            known.add(short)
        if step.moves and not step.copy_of:
            unsure = remote.etag is None and remote.digest is None
            kept.update(
                one.data
                for one in held.get(short, ())
                if unsure or one.log.may_be_of(remote.etag, one.log.size, remote.digest)
            )
    kept.update(one.data for short in held.keys() - known for one in held[short])
    return kept


def tidy(state: Path, steps: Iterable[Step] = ()) -> None:
    """Sweep up in a run that fetches nothing; where nothing is left over, nothing is written.

    Parameters
    ----------
    state : Path
        The state folder; it need not exist.
    steps : iterable of Step
        Of the plan.
    """
    with contextlib.suppress(OSError, UnsafeNameError):  # such as a disk that is read only
        journal = Journal(state)
        partials = Partials(state, journal.owner)
        if not partials.leftovers():
            return
        journal.open()  # now it can tell who lives, whatever the clock of this host says
        try:
            partials.sweep(useful(steps, partials.survey()))
        finally:
            partials.close()
            journal.close()
