"""Every file below a folder, sorted by path, with the data set that it is of and its receipt.

A folder is listed, not held: in memory are the names in the folders from the root to where the walk
is, and the receipts of the data directories on that way.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import DestinationError
from neurofetch.index.entities import SUBJECT
from neurofetch.model import STATE_FOLDERS, LocalFile
from neurofetch.store.data_source import read_sources, state_folders
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from neurofetch.model import Receipt
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.known import Receipts

__all__ = ["Found", "Place", "Walk", "as_text"]

_DESCRIPTION = "dataset_description.json"
_ANNEX = re.compile(r"(MD5|SHA(?:1|224|256|384|512))E?(?:-[smSC]\d+)*--([0-9a-f]{32,128})(?:\..*)?")
"""A key of git-annex: https://git-annex.branchable.com/internals/key_format/."""
_MANY = 4096


class Place(NamedTuple):
    """The data set that files are of.

    Parameters
    ----------
    name : str or None
        Of its folder, after those of the data sets that it lies in; None for no data set of BIDS.
    root : str
        Its folder, or the one that was asked for, as the system takes it.
    top : str
        That of the topmost data set that it lies in.
    """

    name: str | None
    root: str
    top: str

    def holds_subject(self, folder: str) -> bool:
        """Whether a folder is that of a subject, or lies in one: no other data set is there."""
        inside = folder[len(self.root.rstrip("/")) + 1 :]
        return self.name is not None and SUBJECT.fullmatch(inside.partition("/")[0]) is not None


class Found(NamedTuple):
    """A file, or what a receipt tells of one that is gone.

    Parameters
    ----------
    path : str
        The whole path, as text that can be written as UTF-8.
    name : str
        The whole path, as the system takes it.
    place : Place
    local : LocalFile or None
        None where it is missing.
    receipt : Receipt or None
    source : DataSource or None
        The data set that the receipt is of.
    annex : str
        ``algorithm:hex`` of the content, where a link of git-annex stands for it; else "".
    """

    path: str
    name: str
    place: Place
    local: LocalFile | None
    receipt: Receipt | None = None
    source: DataSource | None = None
    annex: str = ""


def as_text(name: str) -> str:
    r"""Return a name as text: bytes that are no UTF-8 are written as ``\xNN``.

    Examples
    --------
    >>> as_text("größe"), as_text("a\udcff")
    ('größe', 'a\\xff')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(name).decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:  # half a letter, which no file can have in its name
            return name.encode("utf-8", "backslashreplace").decode()
    return name


class _Known:
    """What is written down of the files of one data directory."""

    def __init__(self, root: str, states: Sequence[Path]) -> None:
        self.root = root
        self.below = root.rstrip("/") + "/"
        self.names = frozenset(state.name for state in states)
        self.damaged = 0
        self._books: list[tuple[Receipts, dict[str, DataSource]]] = []
        for state in states:
            receipts = read_receipts(state)
            if receipts.unread:
                msg = (
                    f"cannot tell what was fetched: {receipts.unread[0]}. No index was made. Ask "
                    "the owner of that file to let you read it."
                )
                raise DestinationError(msg)
            found = read_sources(state)
            sources = {one.key: one for one in found} | dict(zip([""], found, strict=False))
            self._books.append((receipts, sources))
            self.damaged += receipts.damaged

    def told(self, within: str) -> Iterator[tuple[str, str]]:
        """Give the files that receipts tell of, below a folder: as text, and as they are named."""
        start = within[len(self.below) :]
        start = f"{start}/" if start else ""
        books = [receipts for receipts, _ in self._books]
        names: Iterable[str] = books[0] if len(books) == 1 else set().union(*books)
        names = [path for path in names if path.startswith(start) and _is_below(path)]
        names.sort(key=as_text)
        for name in names:
            whole = self.below + name
            yield as_text(whole), whole

    def of(self, found: Found) -> Found:
        """Return a file with its receipt, if it has one here."""
        path = found.name[len(self.below) :]
        for receipts, sources in self._books:
            if path not in receipts:
                continue
            local = found.local
            receipt = receipts[path] if local is None else None
            if local is not None:
                receipt = receipts.of(path, local.size, local.mtime_ns)
                local = LocalFile(local.path, local.size, local.mtime_ns, receipt)
            source = None if receipt is None else sources.get(receipt.source)
            return found._replace(local=local, receipt=receipt, source=source)
        return found

    def describes(self, folder: str) -> bool:
        """Whether the description of a data set in this folder was fetched."""
        path = f"{folder}/{_DESCRIPTION}"[len(self.below) :]
        return any(path in receipts for receipts, _ in self._books)


def _is_below(path: str) -> bool:
    return "\0" not in path and not {"", ".", ".."} & set(path.split("/"))


class Walk:
    """A walk through the files below a folder.

    Parameters
    ----------
    start : str
        The whole path of the folder.
    without : iterable of str
        Whole paths of files that are no data: the index itself.

    Attributes
    ----------
    notes : list of str
        Folders that could not be read, and receipts that are damaged.
    complete : bool
        Whether all folders could be read.
    """

    def __init__(self, start: str, without: Iterable[str] = ()) -> None:
        self.start = start
        self.notes: list[str] = []
        self.complete = True
        self._without = frozenset(without)
        self._known: list[_Known] = []
        self._place = _around(start)
        self._places: dict[str, Place] = {}

    def __iter__(self) -> Iterator[Found]:
        """Give all files, sorted by path."""
        rows = self._folder(self.start, self._place, [])
        if not state_folders(Path(self.start)):
            for above in Path(self.start).parents:
                if states := state_folders(above):
                    rows = self._merged(rows, _Known(str(above), states), self.start)
                    break
        yield from rows

    # -- what is on the disk -----------------------------------------------------------------

    def _folder(self, folder: str, place: Place, above: Sequence[str]) -> Iterator[Found]:
        """Give the files below a folder; if it is a data directory, with its receipts."""
        names, links = self._names(folder, above)
        states: list[Path] = []
        if any(name.startswith(".") for _, name in names):
            states = state_folders(Path(folder))
        own = {".git", *STATE_FOLDERS, *(state.name for state in states)}
        own.update(*(known.names for known in self._known))  # also on other file systems
        names = [one for one in names if not (one[1] in own and one[0].endswith("/"))]
        if not states:
            yield from self._listed(folder, place, above, names, links)
            return
        known = _Known(folder, states)
        self._known.append(known)
        rows = self._listed(folder, place, above, names, links)
        yield from self._merged(rows, known, folder)
        self._known.remove(known)

    def _listed(
        self,
        folder: str,
        place: Place,
        above: Sequence[str],
        names: Iterable[tuple[str, str]],
        links: Collection[str],
    ) -> Iterator[Found]:
        if folder != self.start:
            place = self._place_of(folder, place, (name for _, name in names))
        below = folder.rstrip("/") + "/"
        for text, name in names:
            if text.endswith("/"):
                yield from self._folder(below + name, place, [*above, folder])
            elif below + name not in self._without:
                found = _looked_at(below + name, place, linked=name in links)
                if found is not None:
                    yield found

    def _names(self, folder: str, above: Sequence[str]) -> tuple[list[tuple[str, str]], set[str]]:
        """Return what is in a folder, sorted, and which of it are links; folders end in a slash."""
        names, links = [], set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_symlink():
                        links.add(name)
                    if not _is_folder(entry):
                        names.append((as_text(name), name))
                    elif not (name in links and _leads_back(entry.path, [*above, folder])):
                        names.append((f"{as_text(name)}/", name))
        except OSError as error:
            self.complete = False
            self.notes.append(
                f"{as_text(folder)} cannot be read: {error.strerror or error}. What is in it is "
                "not in the index."
            )
        return sorted(names), links

    def _place_of(self, folder: str, place: Place, names: Iterable[str]) -> Place:
        """Return the data set that the files in a folder are of."""
        if place.holds_subject(folder):
            return place
        described = any(known.describes(folder) for known in self._known)
        if not _is_dataset(os.path.basename(folder), names, described=described):
            return place
        top = place.top or folder
        return Place(_name_below(folder, top), folder, top)

    # -- what is written down ----------------------------------------------------------------

    def _merged(self, rows: Iterator[Found], known: _Known, within: str) -> Iterator[Found]:
        """Give files with their receipts, and between them what receipts tell of that is gone."""
        if known.damaged:
            self.notes.append(
                f"{known.damaged:,} lines of the receipts in {as_text(known.root)} are damaged. "
                "Files that only these tell of count as those of another program."
            )
        told = known.told(within)
        ahead = next(told, None)
        for found in rows:
            while ahead is not None and ahead[0] < found.path:
                if gone := self._gone(ahead, known):
                    yield gone
                ahead = next(told, None)
            if ahead is not None and ahead[0] == found.path:
                ahead = next(told, None)
                found = known.of(found) if found.receipt is None else found  # noqa: PLW2901
            yield found
        while ahead is not None:
            if gone := self._gone(ahead, known):
                yield gone
            ahead = next(told, None)

    def _gone(self, told: tuple[str, str], known: _Known) -> Found | None:
        """Return what a receipt tells of a file that the walk did not come by."""
        path, name = told
        if name in self._without:
            return None
        try:
            info = os.stat(name)
        except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
            local = None
        except OSError:  # its folder could not be read, which is said
            return None
        else:
            if not stat.S_ISREG(info.st_mode):
                return None
            local = LocalFile(name, info.st_size, info.st_mtime_ns)
        return known.of(Found(path, name, self._nearest(name.rpartition("/")[0]), local))

    def _nearest(self, folder: str) -> Place:
        """Return the data set that a file in this folder would be of, also if that is gone."""
        if len(folder) <= len(self.start):
            return self._place
        found = self._places.get(folder)
        if found is None:
            above = self._nearest(folder.rpartition("/")[0])
            try:
                names = os.listdir(folder)
            except (OSError, UnicodeEncodeError):
                names = []
            if len(self._places) >= _MANY:
                self._places.clear()
            found = self._places[folder] = self._place_of(folder, above, names)
        return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _leads_back(link: str, above: Iterable[str]) -> bool:
    """Whether a link leads to a folder that it lies in: the walk would never end."""
    try:
        target = os.stat(link)
        return any(os.path.samestat(target, os.stat(folder)) for folder in above)
    except OSError:
        return True


def _looked_at(path: str, place: Place, *, linked: bool) -> Found | None:
    """Return a file with its size and time; None for what is none, or has just gone."""
    annex = _in_annex(path) if linked else ""
    try:
        info = os.stat(path)
    except OSError:
        # As of git-annex: a name that leads to content that is not here.
        return Found(as_text(path), path, place, None, annex=annex) if linked else None
    if not stat.S_ISREG(info.st_mode):
        return None
    local = LocalFile(path, info.st_size, info.st_mtime_ns)
    return Found(as_text(path), path, place, local, annex=annex)


def _in_annex(link: str) -> str:
    """Return the hash of the content that a link of git-annex stands for; "" for any other link."""
    try:
        folder, _, key = os.readlink(link).rpartition("/")
    except OSError:
        return ""
    found = _ANNEX.fullmatch(key) if "annex/objects/" in f"{folder}/" else None
    return f"{found[1].lower()}:{found[2]}" if found else ""


# -- data sets -------------------------------------------------------------------------------


def _is_dataset(name: str, names: Iterable[str], *, described: bool = False) -> bool:
    """Whether a folder is a data set of BIDS: it has a description, or folders of subjects."""
    if name.startswith(".") or SUBJECT.fullmatch(name):
        return False
    if described:
        return True
    subjects = False
    for one in names:
        if one == _DESCRIPTION:
            return True
        subjects = subjects or (one.startswith("sub-") and SUBJECT.fullmatch(one) is not None)
    return subjects and not PurePath(name).suffix


def _around(start: str) -> Place:
    """Return the nearest data set that a folder is or lies in."""
    nearest = top = ""
    folder = start
    while folder.rstrip("/"):
        try:
            with os.scandir(folder) as entries:
                found = _is_dataset(os.path.basename(folder), (entry.name for entry in entries))
        except OSError:
            found = False
        if found:
            nearest, top = nearest or folder, folder
        folder = os.path.dirname(folder)
    return Place(_name_below(nearest, top), nearest, top) if nearest else Place(None, start, "")


def _name_below(folder: str, top: str) -> str:
    """Return the name of a data set in others, from the topmost one down.

    Examples
    --------
    >>> _name_below("/data/ds000001/derivatives/fmriprep", "/data/ds000001")
    'ds000001/derivatives/fmriprep'
    """
    return as_text(folder[len(top.rpartition("/")[0]) + 1 :])
