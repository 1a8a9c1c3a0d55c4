"""The data directories that were opened: where the page may look, and where it may fetch into.

They are named when the page is started, never by the page. The page may add one thing: the name of
a folder in one of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch._shown import shown
from neurofetch.errors import DestinationError, NeurofetchError, UnsafeNameError, UsageError
from neurofetch.store.data_source import read_sources, state_folders
from neurofetch.store.folder import Folder, given_path
from neurofetch.ui.web import NotThereError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Directories", "Directory", "checked_folder", "to_of"]

_FOLDERS = 200
"""At most so many folders of a directory are named to the page."""
_LOOKED_AT = 5_000
"""At most so many names of a directory are looked at for data sets."""

_MARKS = ("dataset_description.json", ".neurofetch", ".laion_fmri", "neurovault")
"""What lies in the folder of a data set."""


class Directory(NamedTuple):
    """A data directory that was opened.

    Parameters
    ----------
    name : str
        By which the page knows it: "d1".
    root : Path
        As the user named it.
    real : Path
        Where that led when it was opened. What is put in its place later, as a link to another
        folder, is not looked into.
    """

    name: str
    root: Path
    real: Path


class Directories:
    """The data directories that were opened.

    Parameters
    ----------
    named : sequence of str or path
        What the user named; none twice is opened twice.

    Raises
    ------
    DestinationError
        If one of them is something else than a folder.
    """

    def __init__(self, named: Sequence[str | os.PathLike[str]]) -> None:
        roots = list(dict.fromkeys(map(given_path, named)))
        for root in roots:
            if root.exists() and not root.is_dir():
                msg = f"{shown(str(root))} is no folder. Nothing was opened. Name a data directory."
                raise DestinationError(msg)
        self._all = tuple(
            Directory(f"d{n}", root, Path(os.path.realpath(root)))
            for n, root in enumerate(roots, start=1)
        )

    def all(self) -> Sequence[Directory]:
        """Return them in the order in which they were named."""
        return self._all

    def find(self, name: object) -> Directory:
        """Return the directory of this name.

        Parameters
        ----------
        name : object
            As the page gives it.

        Raises
        ------
        NotThereError
        """
        for one in self._all:
            if one.name == name:
                return one
        raise NotThereError(
            f"no data directory {str(name)[:40]!r} was opened. Open the page again."
        )

    def place(self, name: object, folder: object = "") -> Path:
        """Return where a data set lies or comes to lie: a directory, or a folder in it.

        Parameters
        ----------
        name : object
        folder : object
            One plain name, or nothing.

        Raises
        ------
        NotThereError, UsageError
        """
        root = self.find(name).root
        chosen = checked_folder(folder)
        place = root / chosen if chosen else root
        if place.is_symlink():
            msg = f"{shown(str(place))} is a symbolic link. Nothing was done. "
            raise UsageError(f"{msg}Start `neurofetch ui` with the folder that it leads to.")
        return place

    def described(self) -> list[dict[str, Any]]:
        """Return what the page shows of each."""
        return [_described(one) for one in self._all]


def checked_folder(folder: object) -> str:
    """Return the name of a folder in a data directory, or nothing for the directory itself.

    Parameters
    ----------
    folder : object
        As the page gives it.

    Raises
    ------
    UsageError
        If it is not one plain name.

    Examples
    --------
    >>> checked_folder("ds000001"), checked_folder(None)
    ('ds000001', '')
    """
    if folder is None or folder == "":
        return ""
    if isinstance(folder, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+ -]{0,99}", folder):
        return folder.rstrip()
    msg = f"{shown(str(folder))[:100]!r} cannot be the name of a folder here. Nothing was done. "
    msg += "Give one name of letters and digits, with . _ + - or spaces between."
    raise UsageError(msg)


def _described(directory: Directory) -> dict[str, Any]:
    root = directory.root
    data_set, folders = None, list[str]()
    with contextlib.suppress(OSError, UnsafeNameError), Folder.real(directory.real) as folder:
        data_set = _data_set(Path(folder.way))
        folders = sorted(islice(_data_sets_in(folder), _FOLDERS))
    return {
        "directory": directory.name,
        "name": shown(str(root)),
        "free": _free(root),
        "data_set": data_set,
        "writable": _writable(root),
        "folders": folders,
    }


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    return folder


def _free(root: Path) -> int | None:
    try:
        return shutil.disk_usage(_existing(root)).free
    except OSError:
        return None


def _writable(root: Path) -> bool:
    return os.access(_existing(root), os.W_OK | os.X_OK)


def _data_set(root: Path) -> str | None:
    """Return what is kept in a folder, as it calls itself."""
    try:
        for state in state_folders(root):
            for source in read_sources(state):
                return source.url
    except (NeurofetchError, OSError):
        return None
    return None


def _data_sets_in(folder: Folder) -> Iterator[str]:
    """Give the names of folders in which data sets are kept."""
    try:
        with os.scandir(folder.way) as entries:
            for entry in islice(entries, _LOOKED_AT):
                if entry.is_dir(follow_symlinks=False) and _is_data_set(folder, entry.name):
                    yield entry.name
    except OSError:
        return


def _is_data_set(root: Folder, name: str) -> bool:
    try:
        checked_folder(name)
        with root.below((name,)) as folder:
            return any(folder.look(mark) is not None for mark in _MARKS)
    except (UsageError, OSError):  # no name for the page, gone meanwhile, or not ours to read
        return False


def to_of(given: object) -> Mapping[str, object]:
    """Return where the page says that something is to come."""
    if not isinstance(given, dict):
        raise UsageError("the page did not say where to. Nothing was done. Choose a directory.")
    directory, folder = given.get("directory"), given.get("folder")
    return {"directory": str(directory)[:40], "folder": checked_folder(folder)}
