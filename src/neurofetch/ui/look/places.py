"""Files of a data directory are opened step by step, and never through a link that leads out.

Each folder on the way is held open while the next one is opened in it, and none is a link (see
`neurofetch.store.folder`). So what another user puts in the place of a folder or a file cannot lead
anywhere else. A file that is itself a link, as git-annex makes them, is followed by hand: what the
link says is worked out as text, must lie in the same directory, and is opened in the same way.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._shown import shown
from neurofetch.errors import DestinationError, UnsafeNameError
from neurofetch.store.folder import Folder
from neurofetch.ui.look.problems import changed, gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Opened", "Place", "link_leads_to", "opened", "read_small"]

_LINKS = 4
"""At most so many links behind each other."""
_ANNEX = (".git", "annex", "objects")


class Place(NamedTuple):
    """Where a file is: in which directory, and on which way.

    Parameters
    ----------
    root : Path
        The real path of the data directory, when it was opened.
    parts : tuple of str
        The names on the way, the last one that of the file.
    """

    root: Path
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        """Below the directory, with slashes."""
        return "/".join(self.parts)

    @property
    def shown(self) -> str:
        """The same, as it can be shown."""
        return shown(self.path)

    @property
    def whole(self) -> str:
        """The whole path, for commands that the user copies."""
        return os.path.join(self.root, *self.parts)

    def beside(self, name: str) -> Place:
        """Return where a file of this name would be in the same folder."""
        return Place(self.root, (*self.parts[:-1], name))


class Opened(NamedTuple):
    """An open file.

    Parameters
    ----------
    fd : int
    size : int
        Bytes.
    identity : tuple of int
        Tells it from another file of the same name, and from itself after it was written to.
    name : str
        For messages.
    """

    fd: int
    size: int
    identity: tuple[int, int, int, int]
    name: str

    @property
    def version(self) -> str:
        """What the page knows it by."""
        return "-".join(f"{number:x}" for number in self.identity[1:])

    def check_same(self) -> None:
        """Raise `NotThereError` if it was written to since it was opened."""
        if _identity(self.fd) != self.identity:
            raise changed(self.name)


@contextmanager
def opened(place: Place) -> Iterator[Opened]:
    """Open a file.

    Parameters
    ----------
    place : Place

    Raises
    ------
    NotThereError
        If it is gone, or is no regular file, or a link that leads out of the directory.
    DestinationError
        If it may not be read.
    """
    try:
        fd = _descend(place)
    except (FileNotFoundError, NotADirectoryError, UnsafeNameError):
        raise gone(place.shown) from None
    except OSError as error:
        msg = f"{place.shown} cannot be read: {error.strerror or error}. It is not shown. "
        raise DestinationError(f"{msg}See who may read it: ls -l.") from error
    try:
        identity = _identity(fd)
        yield Opened(fd, identity[2], identity, place.shown)
    finally:
        os.close(fd)


def read_small(place: Place, limit: int) -> bytes:
    """Return the first bytes of a file; none where it cannot be read.

    Parameters
    ----------
    place : Place
    limit : int
    """
    try:
        fd = _descend(place)
    except (OSError, UnsafeNameError):
        return b""
    with open(fd, "rb", buffering=0) as file:
        try:
            return file.read(limit)
        except OSError:
            return b""


def _identity(fd: int) -> tuple[int, int, int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def _descend(place: Place) -> int:
    parts = place.parts
    with Folder.real(place.root) as root:
        for _ in range(_LINKS):
            with root.below(parts[:-1]) as folder:
                target = folder.target(parts[-1])
                if not target:
                    return folder.open(parts[-1])
            parts = _target(parts, target)
    raise FileNotFoundError(place.path)


def _target(parts: tuple[str, ...], target: str) -> tuple[str, ...]:
    """Return what a link leads to, below the directory.

    Raises
    ------
    FileNotFoundError
        If that is outside, or in a folder that is not shown.
    """
    if target.startswith("/"):
        raise FileNotFoundError(target)
    way = list(parts[:-1])
    for name in target.split("/"):
        if name in {"", "."}:
            continue
        if name != "..":
            way.append(name)
        elif way:
            way.pop()
        else:
            raise FileNotFoundError(target)
    hidden = any(name.startswith(".") for name in way)
    if not way or (hidden and not _is_annexed(way)):
        raise FileNotFoundError(target)
    return tuple(way)


def _is_annexed(way: list[str]) -> bool:
    """Whether this is content that git-annex keeps, of this data set or of one in it."""
    at = next(n for n, name in enumerate(way) if name.startswith("."))
    return tuple(way[at : at + 3]) == _ANNEX


def link_leads_to(parts: tuple[str, ...], target: str) -> bool:
    """Whether a link may be shown, by what it says.

    Parameters
    ----------
    parts : tuple of str
        The way to the link.
    target : str
        What it says.

    Examples
    --------
    >>> link_leads_to(("sub-01", "T1w.nii.gz"), "../.git/annex/objects/a/b/KEY/KEY")
    True
    >>> link_leads_to(("sub-01", "T1w.nii.gz"), "../../secret.nii.gz")
    False
    >>> link_leads_to(("README",), ".git/config"), link_leads_to(("README",), "/etc/passwd")
    (False, False)
    """
    try:
        _target(parts, target)
    except FileNotFoundError:
        return False
    return True
