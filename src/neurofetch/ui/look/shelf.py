"""What is in a data directory, under ids: the page never names a path.

The walk is bounded in number and in time, goes through no link, and leaves out hidden files: what
programs keep of their own, and files that are still coming. Ids are numbers that are given out
here; the path that one stands for is opened again, step by step, each time.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch._shown import shown
from neurofetch.errors import UnsafeNameError
from neurofetch.planning.globs import natural
from neurofetch.store.folder import Folder
from neurofetch.ui.directories import checked_folder
from neurofetch.ui.look.kinds import kind_of, said
from neurofetch.ui.look.places import Place, link_leads_to
from neurofetch.ui.web import NotThereError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from neurofetch.ui.directories import Directories
    from neurofetch.ui.look.kinds import Item, Kind

__all__ = ["Found", "Seen", "Shelf"]

_FILES = 200_000
"""At most so many names of a directory are looked at."""
_SECONDS = 8.0
_DEEPEST = 24
_LONG = 0.3
_FRESH = 10.0
"""Seconds: of a walk that took longer than the first, the result counts for the second."""
_SHOWN = 5_000
"""At most so many files are named to the page at a time."""
_IDS = 300_000
"""Of so many files the ids are known; of more, the oldest are forgotten."""
_LEFT_OUT = frozenset({"__macosx", "thumbs.db", "lost+found"})


class Found(NamedTuple):
    """A file that is there.

    Parameters
    ----------
    place : Place
    kind : str
    size : int
        Bytes.
    """

    place: Place
    kind: Kind
    size: int

    @property
    def item(self) -> Item:
        """What its name says."""
        return said(self.place.path, self.kind)


class Seen(NamedTuple):
    """What a walk came by.

    Parameters
    ----------
    found : list of Found
        Sorted by path, numbers as numbers.
    whole : bool
        Whether it went through all of the directory.
    """

    found: list[Found]
    whole: bool


class Shelf:
    """Files of the data directories, and the ids by which the page knows them.

    Parameters
    ----------
    directories : Directories
    files, shown_at_once : int
        How many names are looked at, and how many files are named at a time.
    seconds : float
        For how long a walk goes on.
    """

    def __init__(
        self,
        directories: Directories,
        *,
        files: int = _FILES,
        shown_at_once: int = _SHOWN,
        seconds: float = _SECONDS,
    ) -> None:
        self._directories = directories
        self._files = files
        self._at_once = shown_at_once
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ids: OrderedDict[Place, str] = OrderedDict()
        self._places: dict[str, Place] = {}
        self._last = 0
        self._seen: dict[tuple[Path, tuple[str, ...]], tuple[float, Seen]] = {}

    def listed(
        self,
        directory: object,
        folder: object = "",
        *,
        find: str = "",
        kind: str = "",
        afresh: bool = False,
    ) -> dict[str, Any]:
        """Return what the page shows of a directory, or of a folder in it.

        Parameters
        ----------
        directory, folder : object
            As the page gives them.
        find : str
            Words that a path must contain, in any case.
        kind : str
            Only files of this kind.
        afresh : bool
            Look again, also where a walk through a large directory has just ended.
        """
        seen = self.seen(directory, folder, afresh=afresh)
        words = find.lower().split()
        chosen = [
            one
            for one in seen.found
            if (not kind or one.kind == kind)
            and all(word in one.place.path.lower() for word in words)
        ]
        items = [self.described(one) for one in chosen[: self._at_once]]
        more = len(chosen) > len(items) or not seen.whole
        return {"items": items, "more": more, "total": len(chosen), "whole": seen.whole}

    def seen(self, directory: object, folder: object = "", *, afresh: bool = False) -> Seen:
        """Walk through a directory, or a folder in it.

        Parameters
        ----------
        directory, folder : object
            As the page gives them.
        afresh : bool

        Raises
        ------
        NotThereError, UsageError
        """
        root = self._directories.find(directory).real
        name = checked_folder(folder)
        return self.walk(root, (name,) if name else (), afresh=afresh)

    def walk(self, root: Path, below: tuple[str, ...], *, afresh: bool = False) -> Seen:
        """Walk through a folder of a directory; what took long is not looked at again at once.

        Parameters
        ----------
        root : Path
        below : tuple of str
            The names on the way to it.
        afresh : bool

        Raises
        ------
        NotThereError
            If a link is in the way. A folder that is not there has no files.
        """
        begin = time.monotonic()
        ended, seen = self._seen.get((root, below), (-_FRESH, Seen([], whole=True)))
        if begin - ended < _FRESH and not afresh:
            return seen
        seen = self._walk(root, below)
        ended = time.monotonic()
        self._seen = {(root, below): (ended, seen)} if ended - begin > _LONG else {}
        return seen

    def _walk(self, root: Path, below: tuple[str, ...]) -> Seen:
        try:
            with Folder.real(root) as top, top.below(below) as start:
                walk = _Walk(root, self._files, time.monotonic() + self._seconds)
                found = list(walk.through(start, below))
        except UnsafeNameError:
            place = shown("/".join(below)) or f"{shown(str(root))}, or a folder above it,"
            msg = f"{place} is a symbolic link, and what is behind it is not shown. "
            raise NotThereError(f"{msg}Start `neurofetch ui` with the folder itself.") from None
        except (FileNotFoundError, NotADirectoryError):
            return Seen([], whole=True)
        except PermissionError:
            return Seen([], whole=False)
        return Seen(sorted(found, key=lambda one: natural(one.place.path)), walk.whole)

    def described(self, found: Found, beside: Item | None = None) -> dict[str, Any]:
        """Return what the page shows of a file.

        Parameters
        ----------
        found : Found
        beside : Item, optional
            What it is shown with.
        """
        return found.item.described(self._id_of(found.place), found.size, beside)

    def place(self, item: object) -> Place:
        """Return where the file of an id is.

        Parameters
        ----------
        item : object
            As the page gives it.

        Raises
        ------
        NotThereError
        """
        with self._lock:
            place = self._places.get(str(item))
            if place is not None:
                self._ids.move_to_end(place)
                return place
        raise NotThereError(f"no file {str(item)[:40]!r} is known here. Load the list again.")

    def item(self, place: Place) -> Item:
        """Return what the name of a file says.

        Parameters
        ----------
        place : Place
        """
        kind = kind_of(place.parts[-1])
        if kind is None:
            raise NotThereError(f"{place.shown} is of no kind that is shown here.")
        return said(place.path, kind)

    def _id_of(self, place: Place) -> str:
        with self._lock:
            known = self._ids.get(place)
            if known is not None:
                self._ids.move_to_end(place)
                return known
            self._last += 1
            name = f"f{self._last}"
            self._ids[place] = name
            self._places[name] = place
            while len(self._ids) > _IDS:
                _, old = self._ids.popitem(last=False)
                del self._places[old]
            return name


class _Walk:
    """One walk; folders nearest to the root come first, so that a bound leaves out the deepest."""

    def __init__(self, root: Path, files: int, until: float) -> None:
        self.whole = True
        self._root = root
        self._left = files
        self._until = until

    def through(self, start: Folder, below: tuple[str, ...]) -> Iterator[Found]:
        """Give the files below a folder that is open."""
        queue: deque[tuple[str, ...]] = deque([()])
        while queue:
            way = queue.popleft()
            try:
                with start.below(way) as folder:
                    for name, info in self._entries(folder):
                        if not stat.S_ISDIR(info.st_mode):
                            yield from self._file(folder, (*below, *way, name), info)
                        elif len(way) < _DEEPEST:
                            queue.append((*way, name))
                        else:
                            self.whole = False
            except (OSError, UnsafeNameError):  # gone meanwhile, or not ours to read
                self.whole = False
            if self._over():
                self.whole = self.whole and not queue
                return

    def _over(self) -> bool:
        return self._left <= 0 or time.monotonic() > self._until

    def _entries(self, folder: Folder) -> Iterator[tuple[str, os.stat_result]]:
        names = _sibling_free(name for name in folder.names() if _is_shown(name))
        for name in sorted(names):
            if self._over():
                self.whole = False
                return
            self._left -= 1
            info = folder.look(name)
            if info is not None:
                yield name, info

    def _file(
        self, folder: Folder, parts: tuple[str, ...], info: os.stat_result
    ) -> Iterator[Found]:
        kind = kind_of(parts[-1])
        if kind is None:
            return
        if stat.S_ISLNK(info.st_mode):
            size = self._linked(folder, parts)
        else:
            size = info.st_size if stat.S_ISREG(info.st_mode) else -1
        if size >= 0:
            yield Found(Place(self._root, parts), kind, size)

    def _linked(self, folder: Folder, parts: tuple[str, ...]) -> int:
        """Return the bytes behind a link that stays in the directory; -1 for any other."""
        if not link_leads_to(parts, folder.target(parts[-1])):
            return -1
        try:
            info = os.stat(parts[-1], dir_fd=folder.fd)  # only its size is taken from here
        except OSError:
            return -1
        return info.st_size if stat.S_ISREG(info.st_mode) else -1


def _is_shown(name: str) -> bool:
    if name.startswith(".") or name.lower() in _LEFT_OUT:
        return False
    return not name.endswith((".part", ".partial", ".crdownload", ".tmp", "~"))


def _sibling_free(names: Iterable[str]) -> list[str]:
    """Leave out headers (.hdr) that have no image (.img) beside them: they are of other formats."""
    there = set(names)
    alone = {
        name
        for name in there
        if name.lower().endswith(".hdr")
        and not {f"{name[:-4]}{end}" for end in (".img", ".IMG", ".img.gz")} & there
    }
    return list(there - alone)
