"""Files that chosen files name: stimuli, an empty-room recording, the images of a field map.

A plan says which of them are not chosen. With `follow` they are chosen too, and what they name in
turn. To know it, the metadata that can name others is read: from the data directory where it is
here as it was fetched, else from the source. Where nothing chosen can name anything, nothing is
read; without `follow` only a little is, since it is for a note.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._shown import shown
from neurofetch._threads import together
from neurofetch.display.log import logged
from neurofetch.display.text import size
from neurofetch.errors import NetworkAwayError, ServerError, VerificationError
from neurofetch.events import Checking
from neurofetch.model import names_in
from neurofetch.planning.dataset import Selection, extended
from neurofetch.planning.entities import parse
from neurofetch.planning.listing import ancestors
from neurofetch.planning.query import glob_test
from neurofetch.planning.references import (
    ATLAS,
    STIM_FILE,
    atlas_of,
    can_name,
    home_of,
    links,
    references,
)
from neurofetch.planning.select import Chosen
from neurofetch.planning.units import unit_of
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from neurofetch.events import Event
    from neurofetch.fetcher import Fetcher
    from neurofetch.model import RemoteFile, Want
    from neurofetch.planning.query import Query
    from neurofetch.planning.references import Reference

    Along = Callable[[Sequence[RemoteFile], Sequence[RemoteFile]], Iterable[Chosen]]

__all__ = ["with_named"]

_FILES, _BYTES = 200, 4_000_000
"""What is read for a note, at most."""
_LARGEST = 64_000_000
"""Bytes of one file, at most, also with `follow`: what is larger is no metadata."""
_AT_ONCE = 16
_QUICK = 1.0
"""Seconds: nothing is said of reading that takes less."""
_SHOWN = 3
_DESCRIPTION = "dataset_description.json"
_WHY = {STIM_FILE: "named by events", ATLAS: "describes an atlas"}


def with_named(
    fetcher: Fetcher,
    selection: Selection,
    files: Sequence[RemoteFile],
    query: Query,
    *,
    follow: bool = False,
    along: Along | None = None,
    listed: Callable[[str], bool] | None = None,
) -> Selection:
    """Return a selection that tells which files its files name; with `follow`, has them.

    Parameters
    ----------
    fetcher : Fetcher
    selection : Selection
    files : sequence of RemoteFile
        The listing that it was made from.
    query : Query
        What its exclude globs leave out is neither told nor followed.
    follow : bool
        Choose what is named, and what that names, until there is nothing new.
    along : callable, optional
        Returns what comes along with files that were followed, such as their sidecars. It takes
        these, and all files that are known by then.
    listed : callable, optional
        Whether a folder ("" or ending in "/", below the data set's root) was listed with all that
        is in it. What is named in another is looked up. By default all were.

    Raises
    ------
    ServerError
        If the network stays away, or a folder cannot be listed.
    """
    if len(selection.wants) >= len(files) and listed is None:
        return selection  # nothing is left that could be named
    base = fetcher.dataset.base
    naming = [
        want
        for want in selection.wants
        if can_name(want.path) and not want.refused and not want.remote.withheld
    ]
    if not naming and not any("atlas-" in want.path for want in selection.wants):
        return selection
    chosen = _Sorted((want.remote for want in selection.wants), base)
    search = _Search(fetcher, _Tree(fetcher, files, listed), query, chosen)
    if follow:
        more = search.follow(selection.wants, naming, along)
        selection = extended(selection, more, fetcher.dataset)
    else:
        search.look(selection.wants, naming)
    return selection._replace(notes=(*selection.notes, *search.notes()))


class _Sorted:
    """Files by their paths, in little room: a set of a million keys would take much."""

    def __init__(self, files: Iterable[RemoteFile], base: str) -> None:
        self.files = files if isinstance(files, list) else list(files)
        self.paths = _paths_of(self.files, base)
        if any(map(str.__ge__, self.paths, islice(self.paths, 1, None))):
            by_key = {file.key: file for file in self.files}
            self.files = [by_key[key] for key in sorted(by_key)]
            self.paths = _paths_of(self.files, base)

    def __contains__(self, path: str) -> bool:
        number = bisect_left(self.paths, path)
        return number < len(self.paths) and self.paths[number] == path

    def at(self, path: str) -> RemoteFile | None:
        number = bisect_left(self.paths, path)
        return self.files[number] if path in self else None

    def below(self, folder: str) -> Iterator[RemoteFile]:
        """Give the files in a folder, which ends in "/"."""
        for number in range(bisect_left(self.paths, folder), len(self.paths)):
            if not self.paths[number].startswith(folder):
                return
            yield self.files[number]


def _paths_of(files: list[RemoteFile], base: str) -> list[str]:
    names = names_in(files, base)
    return [file.key[len(base) :] for file in files] if names is None else names


class _Tree:
    """The files of a listing by their paths; it grows by what was not listed and is asked for."""

    def __init__(
        self, fetcher: Fetcher, files: Sequence[RemoteFile], listed: Callable[[str], bool] | None
    ) -> None:
        self._fetcher = fetcher
        self._base = fetcher.dataset.base
        self._files = _Sorted(files, self._base)
        self._listed = listed
        self._looked_up: set[str] = set()
        suffix = "/" + _DESCRIPTION
        self.roots: list[str] = [
            path.removesuffix(_DESCRIPTION)
            for path in self._files.paths
            if path.endswith(_DESCRIPTION) and (path == _DESCRIPTION or path.endswith(suffix))
        ]

    def path(self, file: RemoteFile) -> str:
        return file.key[len(self._base) :]

    def at(self, path: str) -> list[RemoteFile]:
        """Return the file of a path, or all of a recording that is a folder."""
        file = self._files.at(path)
        if file is not None:
            return [file]
        if not _is_recording(path):
            return []
        below = self._files.below(path + "/")
        return [file for file in below if file.size or not file.key.endswith("/")]

    @property
    def files(self) -> list[RemoteFile]:
        """All files that are known."""
        return self._files.files

    def look_around(self, files: Iterable[RemoteFile]) -> None:
        """List the folders of files and those above: what comes along with them lies there."""
        paths = map(self.path, files)
        folders = {(unit_of(path) or path).rpartition("/")[0] for path in paths}
        # The root itself was looked at with the listing.
        self.look_up(
            above for one in folders for above in ancestors(f"{one}/" if one else "") if above
        )

    def look_up(self, paths: Iterable[str]) -> None:
        """List the folders of paths that were not listed before."""
        if self._listed is None:
            return
        folders = {path[: path.rfind("/") + 1] for path in paths}
        # Stimuli may lie in many folders, so all of them are asked for at once.
        folders = {one[: one.find("stimuli/") + 8] if "stimuli/" in one else one for one in folders}
        new = {one for one in folders if one not in self._looked_up and not self._listed(one)}
        self._looked_up |= new
        walks = {one for one in new if one.endswith("stimuli/")}
        levels = [self._base + one for one in sorted(new - walks)]
        found = list(self._files.files)
        for level in self._fetcher.levels(levels):
            found += level.files
            recordings = (one for one in level.folders if _is_recording(one.rstrip("/")))
            walks.update(one[len(self._base) :] for one in recordings)
        if walks:
            from neurofetch.fetcher import Listing  # noqa: PLC0415 - it is loaded by now

            prefixes = tuple(self._base + one for one in sorted(walks))
            found += self._fetcher.files(Listing(prefixes))
        if new:
            self._files = _Sorted(found, self._base)


def _is_recording(path: str) -> bool:
    """Whether this may be the name of a recording that is a folder; never that of a subject's."""
    says = parse(path.rpartition("/")[2])
    return bool(says.values and says.suffix)


class _Read(NamedTuple):
    """What a file names, or why that is not known."""

    want: Want
    found: tuple[Reference, ...] = ()
    problem: str = ""


class _Meter:
    """How far the reading of some files is.

    Parameters
    ----------
    naming : sequence of Want
    listen : callable
        Gets the events, in the thread that waits; none before a second is over.
    """

    def __init__(self, naming: Sequence[Want], listen: Callable[[Event], None]) -> None:
        self._listen = listen
        self._files = len(naming)
        self._bytes = sum(want.remote.size or 0 for want in naming)
        self._read: list[int] = []
        self._began = time.monotonic()
        self._told = False

    def counted(self, call: Callable[[], _Read], want: Want) -> Callable[[], _Read]:
        """Return a call that counts when it is made; it reads a file."""

        def made() -> _Read:
            found = call()
            self._read.append(want.remote.size or 0)
            return found

        return made

    def before(self, poll: Callable[[], None]) -> Callable[[], None]:
        """Return a call that says how far it is, unless it has only begun, and makes another."""

        def both() -> None:
            read = len(self._read)  # all of them: then `over` says so, and only once
            if read < self._files and (self._told or time.monotonic() - self._began >= _QUICK):
                self._told = True
                self._say(read)
            poll()

        return both

    def over(self) -> None:
        """Say that it is over, if anything was said before."""
        if self._told:
            self._say(self._files)

    def _say(self, files: int) -> None:
        seconds, read = time.monotonic() - self._began, sum(self._read)
        event = Checking(files, self._files, read, self._bytes, seconds, read / seconds, 0)
        logged(event)
        self._listen(event)


class _Search:
    """Reads what files name, and finds it."""

    def __init__(self, fetcher: Fetcher, tree: _Tree, query: Query, chosen: _Sorted) -> None:
        self._fetcher = fetcher
        self._tree = tree
        self._chosen = chosen
        self._more: dict[str, Chosen] = {}
        self._excluded = glob_test(query.exclude) if query.exclude else None
        self._reading = threading.Lock()
        self._links: dict[str, dict[str, str]] = {}
        self._seen: dict[Reference, tuple[RemoteFile, ...]] = {}
        self._named_by: Counter[str] = Counter()
        self._left_out: dict[str, dict[str, int]] = {}
        self._missing: dict[str, None] = {}
        self._elsewhere: dict[str, None] = {}
        self._problems: list[str] = []
        self._unread = 0
        self._naming = 0

    # -- what is done --------------------------------------------------------------------------

    def look(self, wants: Sequence[Want], naming: Sequence[Want]) -> None:
        """See what files name; only so many are read."""
        self._naming = len(naming)
        some = list(_within_bounds(naming))
        self._unread = len(naming) - len(some)
        for read in self._read(wants, some):
            fields: dict[str, None] = {}
            for one in read.found:
                for file in self._seen[one]:
                    fields[one.field] = None
                    self._left_out.setdefault(one.field, {})[file.key] = file.size or 0
            self._named_by.update(fields.keys())

    def follow(
        self, wants: Sequence[Want], naming: Sequence[Want], along: Along | None
    ) -> Iterable[Chosen]:
        """Return what files name, what comes along with it, and what all of these name."""
        self._naming = len(naming)
        while wants:
            new: list[Chosen] = []
            for read in self._read(wants, naming):
                for one in read.found:
                    why = _WHY.get(one.field) or f"named in {one.field}"
                    new += self._taken(Chosen(file, why) for file in self._seen[one])
            if along and new:
                followed = [one.remote for one in new]
                self._tree.look_around(followed)
                new += self._taken(along(followed, self._tree.files))
            wants = extended(Selection((), ()), new, self._fetcher.dataset).wants
            naming = [want for want in wants if can_name(want.path)]
        return self._more.values()

    def _taken(self, files: Iterable[Chosen]) -> list[Chosen]:
        """Choose those of some files that are not chosen yet."""
        new = [one for one in files if self._is_new(one.remote)]
        self._more.update((self._tree.path(one.remote), one) for one in new)
        return new

    def _is_new(self, file: RemoteFile) -> bool:
        path = self._tree.path(file)
        return path not in self._more and path not in self._chosen

    def _is_excluded(self, files: Sequence[RemoteFile]) -> bool:
        """Whether a glob leaves out a file, or all of a recording that is a folder, or its name."""
        if self._excluded is None:
            return False
        paths = list(map(self._tree.path, files))
        unit = unit_of(paths[0])
        return all(map(self._excluded, paths)) or bool(unit and self._excluded(unit))

    # -- reading -------------------------------------------------------------------------------

    def _read(self, wants: Sequence[Want], naming: Sequence[Want]) -> list[_Read]:
        """Read files, and find what they name, and what the names of all of them do."""
        here = self._here(naming)
        meter = _Meter(naming, self._fetcher.listen)
        calls = [partial(self._read_one, want, want.path in here) for want in naming]
        poll = self._fetcher.client.outages.poll
        try:
            reads = together(map(meter.counted, calls, naming), _AT_ONCE, meter.before(poll))
        finally:
            meter.over()
        self._problems += [f"{read.want.path}: {read.problem}" for read in reads if read.problem]
        for want in wants:
            if "atlas-" in want.path:
                path = self._tree.path(want.remote)
                atlas = atlas_of(path, home_of(path, self._tree.roots))
                reads += [_Read(want, (atlas,))] if atlas else []
        new = dict.fromkeys(one for read in reads for one in read.found if one not in self._seen)
        paths = {one: one.paths for one in new}
        self._tree.look_up(path for some in paths.values() for path in some)
        for one in new:
            self._seen[one] = self._resolved(one)
        return reads

    def _resolved(self, one: Reference) -> tuple[RemoteFile, ...]:
        """Return the files that a reference leads to, but those that are chosen."""
        if one.elsewhere:
            self._elsewhere[one.text] = None
            return ()
        for path in one.paths:
            if found := self._tree.at(path):
                if self._is_excluded(found):
                    return ()
                return tuple(file for file in found if self._is_new(file))
        if one.field == ATLAS:  # few atlases are described
            return ()
        if self._excluded is None or not any(map(self._excluded, one.paths)):
            # Where it could mean several, what is written there tells most.
            self._missing[one.paths[0] if len(one.paths) == 1 else one.text] = None
        return ()

    def _here(self, naming: Sequence[Want]) -> set[str]:
        """Return the paths of those that are here as they were fetched, and as they are listed."""
        directory = self._fetcher.directory
        there = {}
        for want in naming:
            info = None if want.problem else directory.look(want.path)
            if info is not None and info.st_size == want.remote.size:
                there[want.path] = want.remote
        if not there:
            return set()
        known = directory.survey(there, read_receipts(directory.state, there), strict=False)
        return {
            path
            for path, local in known.items()
            if local.receipt and not local.touched and local.receipt.is_of(there[path])
        }

    def _read_one(self, want: Want, here: bool) -> _Read:
        path = self._tree.path(want.remote)
        try:
            content = self._content(want, here=here)
            home = home_of(path, self._tree.roots)
            if b"bids:" in content:
                home = home._replace(links=self._links_of(home.root))
        except NetworkAwayError:
            raise
        except (ServerError, VerificationError) as error:
            return _Read(want, problem=str(error))
        found = references(path, content, home)
        return _Read(want, problem="it is no JSON") if found is None else _Read(want, found)

    def _content(self, want: Want, *, here: bool) -> bytes:
        if here:
            try:
                return (self._fetcher.directory.root / want.path).read_bytes()
            except OSError:  # the source has it
                return self._fetcher.read(want.remote, limit=_LARGEST)
        return self._fetcher.read(want.remote, limit=_LARGEST)

    def _links_of(self, root: str) -> dict[str, str]:
        """Return the links of a data set; its description is read once."""
        with self._reading:
            if root not in self._links:
                found = self._tree.at(root + _DESCRIPTION)
                content = self._fetcher.read(found[0], limit=_LARGEST) if found else b""
                self._links[root] = links(content)
            return self._links[root]

    # -- what is said --------------------------------------------------------------------------

    def notes(self) -> Iterator[str]:
        """Give what a reader of the plan should know."""
        for name, files in self._left_out.items():
            count, many = self._named_by[name], len(files)
            chosen = _many(count, "chosen run" if name == STIM_FILE else "chosen file")
            who = f"{name} of {chosen} names"
            if name == STIM_FILE:
                who = f"the events of {chosen} name"
            what = _many(many, "stimulus file" if name == STIM_FILE else "file")
            be = "is" if many == 1 else "are"
            yield (
                f"{who} {what} ({size(sum(files.values()))}) that {be} not chosen: "
                f"--follow (in Python follow=True) fetches {'it' if many == 1 else 'them'} too"
            )
        if self._missing:
            where = "are not in the bucket" if "" in self._tree.roots else "are not below the URL"
            yield f"files that are named by chosen files {where}: {_some(self._missing)}"
        if self._elsewhere:
            yield (
                "files in other data sets are named by chosen files, and not followed: "
                f"{_some(self._elsewhere)}"
            )
        if self._unread:
            yield (
                f"only {self._naming - self._unread:,} of {self._naming:,} metadata files were "
                "read for what they name; --follow (in Python follow=True) reads all of them"
            )
        if self._problems:
            unknown = _many(len(self._problems), "chosen file")
            first = shown(self._problems[0])
            yield f"what is named by {unknown} is not known. The first is {first}"


def _within_bounds(naming: Sequence[Want]) -> Iterator[Want]:
    """Give the files that are read for a note: the first, as many as are few and small."""
    total = 0
    for want in naming[:_FILES]:
        total += want.remote.size or 0
        if total > _BYTES:
            return
        yield want


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' if count != 1 else ''}"


def _some(names: Iterable[str]) -> str:
    listed = [shown(name) for name in names]
    more = f" and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
