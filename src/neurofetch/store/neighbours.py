"""Directories of others on this machine that have the same bytes: a colleague's, a lab's.

A file there is only a hint: it is read, and held against what the listing says of the content, when
it is copied.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import UsageError
from neurofetch.integrity.checksums import etag_identity
from neurofetch.store.data_source import state_folders
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from neurofetch.model import Plan, Receipt, RemoteFile, Step

__all__ = ["check_folders", "from_neighbours"]


def check_folders(root: Path, folders: Sequence[str]) -> None:
    """See that none of the folders is the data directory.

    Parameters
    ----------
    root : Path
        The data directory.
    folders : sequence of str

    Raises
    ------
    UsageError
        If one is.
    """
    for folder in folders:
        if os.path.realpath(folder) == os.path.realpath(root):
            msg = f"{folder} is the data directory itself: it is no mirror of it. Nothing was done."
            raise UsageError(msg)


def from_neighbours(
    plan: Plan,
    folders: Sequence[str],
    identity_of: Callable[[RemoteFile], str],
    name_of: Callable[[str], str],
) -> Plan:
    """Return a plan in which files that others have are copied from there, and not fetched.

    Parameters
    ----------
    plan : Plan
    folders : sequence of str
        Absolute paths. In each, a file is looked for under the same path, under the name that its
        server has, and under any other by the digest in the receipts there.
    identity_of : callable
        Returns what tells a file's content, as text; "" where nothing does: then it is fetched.
    name_of : callable
        Returns the name of a key in its data set: other programs keep it as it is.
    """
    neighbours = [_Neighbour(Path(folder)) for folder in folders]
    steps: list[Step] = []
    found: dict[str, list[int]] = {}
    for step in plan.steps:
        content = identity_of(step.want.remote) if step.moves else ""
        if not content or (step.copy_of and not step.archived):
            steps.append(step)
            continue
        names = dict.fromkeys((step.want.path, name_of(step.want.remote.key)))
        for one in neighbours:
            path = one.path_of(names, step.want.remote.size, content)
            if path:
                found.setdefault(str(one.root), []).append(step.want.remote.size or 0)
                steps.append(replace(step, have=0, copy_of=path))
                break
        else:
            steps.append(step)
    notes = [_found(folder, len(sizes), sum(sizes)) for folder, sizes in found.items()]
    return replace(plan, steps=tuple(steps), notes=(*plan.notes, *notes))


def _found(folder: str, files: int, size: int) -> str:
    """Say what is in a folder.

    Examples
    --------
    >>> _found("/lab", 1, 9)
    '1 file (9 bytes) is in /lab: copied from there, if its content is what was listed'
    """
    what = (
        f"{files:,} file ({size:,} bytes) is"
        if files == 1
        else f"{files:,} files ({size:,} bytes) are"
    )
    whose = "its" if files == 1 else "their"
    return f"{what} in {folder}: copied from there, if {whose} content is what was listed"


class _Neighbour:
    """A directory of another user, or of another project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_content: dict[str, str] | None = None

    def path_of(self, names: Iterable[str], size: int | None, content: str) -> str:
        """Return where a file seems to be: its path, or that of one of the same content; or ""."""
        if size is None:
            return ""
        for name in names:
            same = f"{self.root}/{name}"
            if _is_file(same, size):
                return same
        if self._by_content is None:
            self._by_content = {
                identity: os.path.join(self.root, receipt.path)
                for state in state_folders(self.root)
                for receipt in read_receipts(state).values()
                for identity in _identities(receipt)
            }
        other = self._by_content.get(content, "")
        return other if other and _is_file(other, size) else ""


def _identities(receipt: Receipt) -> Iterator[str]:
    """Give what tells the content of a file that was fetched, as text."""
    if receipt.digest:
        yield receipt.digest
    yield from filter(None, map(etag_identity, (receipt.etag, receipt.listed)))


def _is_file(path: str, size: int) -> bool:
    try:
        info = os.stat(path)  # also through a link, as that of git-annex to a content
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(info.st_mode) and info.st_size == size and os.access(path, os.R_OK)
