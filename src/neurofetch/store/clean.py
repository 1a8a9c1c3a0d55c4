"""What is left over in a data directory: to be shown, and removed, by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError
from neurofetch.store.folder import Folder, given_path
from neurofetch.store.owner import Life
from neurofetch.store.partials import Partials
from neurofetch.store.receipts import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from neurofetch.store.partials import Leftover

__all__ = ["Remains", "clean"]

_USUAL = ".neurofetch"
_MARKS = frozenset({"receipts", "partial", "claims"})


@dataclass(frozen=True, slots=True)
class Remains:
    """What one run has, or left.

    Parameters
    ----------
    host : str
        Where it runs, or ran.
    process : int
        Its number there.
    life : Life
        What is known of it.
    files : int
        Files that are not complete.
    size : int
        Their bytes.
    claims : int
        Files that it says it is at work on.
    removed : bool
        Whether all of that was removed.
    """

    host: str
    process: int
    life: Life
    files: int
    size: int
    claims: int
    removed: bool

    @property
    def stays(self) -> bool:
        """Whether it is of use to nobody, and was not removed."""
        return not self.removed and self.life is not Life.LIVES


def clean(root: str | os.PathLike[str], *, dry_run: bool = False) -> list[Remains]:
    """Remove the partial files and claims of runs that are not under way.

    Receipts stay, and so do all files that have their final names. A file whose partial was removed
    is fetched from its start by the next run that wants it.

    Parameters
    ----------
    root : path
        The data directory.
    dry_run : bool
        Only look.

    Returns
    -------
    list of Remains
        One for each run; runs that are under way are among them, and keep what they have.

    Raises
    ------
    DestinationError
        If there is no such directory, or it cannot be read.
    UnsafeNameError
        If a link stands in the place of a folder of the program's own.
    """
    folder = given_path(root)
    found: list[Remains] = []
    if not _may_be(folder):
        msg = f"the data directory {folder} does not exist. Nothing was removed. Check the path."
        raise DestinationError(msg)
    try:
        for state in _states(folder):
            found += _cleaned(state, dry_run=dry_run)
    except OSError as error:
        msg = f"cannot clean {folder}: {error.strerror or error}. Check who may write there."
        raise DestinationError(msg) from error
    return found


def _may_be(folder: Path) -> bool:
    """Whether there is such a folder, as far as we may look."""
    try:
        return folder.is_dir()
    except PermissionError:
        return True


def _states(root: Path) -> list[Path]:
    """Return the state folders of a data directory: each dataset may name its own."""
    with Folder.root(root) as folder:
        dotted = sorted(name for name in folder.names() if name.startswith("."))
    return [root / name for name in dotted if name == _USUAL or _is_state(root / name)]


def _is_state(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    return "receipts" in (names := set(os.listdir(path))) and len(names & _MARKS) > 1


def _cleaned(state: Path, *, dry_run: bool) -> list[Remains]:
    journal = Journal(state)
    partials = Partials(state, journal.owner)
    if not partials.leftovers():
        return []
    if not dry_run:
        journal.open()  # so that our time can be compared with that of other hosts
    try:
        by_token: dict[str, list[Leftover]] = {}
        for one in partials.leftovers():
            by_token.setdefault(one.token, []).append(one)
        rows = [row for _, row in sorted(by_token.items())]
        found = [(row, _removed(partials, row, dry_run=dry_run)) for row in rows]
        # The seal alone is nothing to tell of, unless it should be gone and is not.
        return [
            one
            for row, one in found
            if not all(left.is_seal for left in row) or (one.stays and not dry_run)
        ]
    finally:
        partials.close()
        journal.close()


def _removed(partials: Partials, row: Sequence[Leftover], *, dry_run: bool) -> Remains:
    """Remove what a run has left, unless it is under way; say what it was."""
    life = row[0].life
    removed = life is not Life.LIVES and not dry_run
    if removed:
        for one in row:
            partials.remove(one)
        removed = all(one.folder.look(one.name) is None for one in row)
    files = [one for one in row if one.data or one.name.endswith(".tmp")]
    seals = sum(one.is_seal for one in row)
    host, process, _, _ = row[0].token.split("-")
    return Remains(
        host=host.partition("_")[0],
        process=int(process),
        life=life,
        files=sum(not one.name.endswith(".log") for one in files),
        size=sum(one.size for one in files),
        claims=len(row) - len(files) - seals,
        removed=removed,
    )
