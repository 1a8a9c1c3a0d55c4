"""What a source listed before: kept while it lists, and listed again without asking it.

Keys have a tree, and each list that a source gives tells all that there is in a part of it: below a
prefix (a walk), or directly in a folder (a level). So lists of several days make one picture, in
which a later list replaces what earlier ones said of its part; and a list that was never asked for
can be put together from others, or it is known that it cannot.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import MissingRemoteError, OfflineError, ProtocolError, RefusedError
from neurofetch.sources.source import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from neurofetch.errors import ServerError
    from neurofetch.model import RemoteFile
    from neurofetch.sources.source import PagedSource

__all__ = ["PROBLEMS", "Heard", "Recording", "Remembered"]

_key = attrgetter("key")
PROBLEMS = {"missing": MissingRemoteError, "refused": RefusedError, "protocol": ProtocolError}
"""What a source says of a place again and again: that it cannot, or may not, be listed."""


class Heard(NamedTuple):
    """Some lists of a source.

    Parameters
    ----------
    walks : dict of str to list of RemoteFile
        By prefix: every file whose key begins with it, sorted by key.
    levels : dict of str to Level
        By prefix: the files and folders whose names begin so, none of those in the folders.
    problems : dict of str to (str, str)
        By prefix: what the source said instead, as a name in `PROBLEMS`, and its message.
    """

    walks: dict[str, list[RemoteFile]]
    levels: dict[str, Level]
    problems: dict[str, tuple[str, str]]

    @classmethod
    def nothing(cls) -> Heard:
        """Return no lists."""
        return cls({}, {}, {})

    def __bool__(self) -> bool:
        return bool(self.walks or self.levels)


class Recording:
    """A source that keeps the lists it gives. Any number of threads may call it.

    Parameters
    ----------
    source : PagedSource
    """

    def __init__(self, source: PagedSource) -> None:
        self._source = source
        self._heard = Heard.nothing()

    @property
    def base(self) -> str:
        """The prefix at which the data set begins; see `PagedSource`."""
        return self._source.base

    @base.setter
    def base(self, base: str) -> None:
        self._source.base = base

    def taken(self) -> Heard:
        """Return the lists so far, and keep them no longer."""
        heard, self._heard = self._heard, Heard.nothing()
        return heard

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`."""
        try:
            found = self._source.walk(prefix)
        except (MissingRemoteError, RefusedError, ProtocolError) as error:
            self._cannot(prefix, error)
            raise
        self._heard.walks[prefix] = found
        return found

    def level(self, prefix: str) -> Level:
        """Return the files and folders whose names begin so, none of those in the folders."""
        try:
            found = self._source.level(prefix)
        except (MissingRemoteError, RefusedError, ProtocolError) as error:
            self._cannot(prefix, error)
            raise
        self._heard.levels[prefix] = found
        return found

    def first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        """Return the first files whose keys begin with `prefix`, and whether they are all."""
        files, whole = self._source.first_page(prefix)
        if whole:
            self._heard.walks[prefix] = files
        return files, whole

    def _cannot(self, prefix: str, error: ServerError) -> None:
        name = next(name for name, kind in PROBLEMS.items() if isinstance(error, kind))
        self._heard.problems[prefix] = name, str(error)


class Remembered:
    """What is known of a source without asking it. Any number of threads may list.

    All is kept folder by folder. A walk tells of each folder below a prefix, a level of one; what
    is newer takes the place of what was known. A folder of which only the name is known makes each
    list that needs its content unknown.

    Parameters
    ----------
    lists : iterable of Heard
        The oldest first.
    name : str
        What the source is called in messages.
    notes : tuple of str
        For the plan.
    """

    def __init__(self, lists: Iterable[Heard], name: str, notes: tuple[str, ...] = ()) -> None:
        self.base = ""
        self.notes = notes
        self._name = name
        self._levels: dict[str, Level] = {}
        """By folder ("" or ending in "/"): all that is directly in it."""
        self._parts: dict[str, Level] = {}
        """By prefix that ends in the middle of a name: what of the folder begins so."""
        self._problems: dict[str, tuple[str, str]] = {}
        for heard in lists:
            self._add(heard)

    def whole(self) -> Heard:
        """Return one set of lists that says the same as all of them."""
        return Heard({}, {**self._levels, **self._parts}, dict(self._problems))

    # -- to list ---------------------------------------------------------------------------------

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`, sorted by key.

        Raises
        ------
        OfflineError
            If not all of that was listed before.
        """
        self._raise_problem(prefix)
        found = self._walk(prefix)
        if found is None:
            raise self._unknown(prefix)
        return found

    def level(self, prefix: str) -> Level:
        """Return the files and folders whose names begin so, none of those in the folders.

        Raises
        ------
        OfflineError
            If that was not listed before.
        """
        self._raise_problem(prefix)
        level = self._level(prefix)
        if level is None:
            raise self._unknown(prefix)
        return level

    def first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        """Return files whose keys begin with `prefix`, and whether they are all.

        Raises
        ------
        OfflineError
            If nothing of that was listed before.
        """
        self._raise_problem(prefix)
        found = self._walk(prefix)
        if found is not None:
            return found, True
        some = self._some(prefix)
        if not some:
            raise self._unknown(prefix)
        return some, False

    def _some(self, prefix: str) -> list[RemoteFile]:
        """Return files that are known below a prefix: those of one folder, where there are any."""
        level = self._level(prefix) or Level([], [])
        found = level.files or (self._some(folder) for folder in level.folders)
        return found if isinstance(found, list) else next(filter(None, found), [])

    def _unknown(self, prefix: str) -> OfflineError:
        what = f"what begins with {prefix!r}" if prefix else "all of it"
        msg = (
            f"{self._name} is not asked, and {what} was not listed when it was last asked. "
            "Run the same call once with the network."
        )
        return OfflineError(msg)

    def _raise_problem(self, prefix: str) -> None:
        kind, message = self._problems.get(prefix, ("", ""))
        if kind:
            raise PROBLEMS[kind](message)

    # -- what is known ---------------------------------------------------------------------------

    def _walk(self, prefix: str) -> list[RemoteFile] | None:
        """Return every file whose key begins so; None where not all of them are known."""
        level = self._level(prefix)
        if level is None:
            return None
        found = list(level.files)
        for folder in level.folders:
            below = self._walk(folder)
            if below is None:
                return None
            found += below
        found.sort(key=_key)
        return found

    def _level(self, prefix: str) -> Level | None:
        """Return what of a folder begins so; None where that is not known."""
        folder = _folder_of(prefix)
        level = self._levels.get(folder)
        if level is None:
            starts = (prefix[:end] for end in range(len(folder) + 1, len(prefix) + 1))
            level = next(filter(None, map(self._parts.get, starts)), None)
        if level is None and self._is_absent(folder):
            return Level([], [])
        if level is None or folder == prefix:
            return level
        return Level(
            [file for file in level.files if file.key.startswith(prefix)],
            [name for name in level.folders if name.startswith(prefix)],
        )

    def _is_absent(self, folder: str) -> bool:
        """Whether a folder is known not to be there: what it would lie in is known."""
        above = _folder_of(folder[:-1])
        if not folder:
            return False
        level = self._level(folder[:-1])
        if level is not None:
            return folder not in level.folders
        return self._is_absent(above)

    # -- to put lists together -------------------------------------------------------------------

    def _add(self, heard: Heard) -> None:
        """Take some lists, which are newer than those that are here."""
        self._problems |= heard.problems
        for prefix, files in sorted(heard.walks.items()):  # a folder before what is in it
            self._put(prefix, _levels_of(prefix, files))
        for prefix, level in sorted(heard.levels.items()):
            self._put(prefix, {prefix: level})

    def _put(self, prefix: str, levels: dict[str, Level]) -> None:
        """Take what is new of a folder, or of what in it begins so, and of what is below."""
        self._problems.pop(prefix, None)
        folder, top = _folder_of(prefix), levels.pop(prefix)
        old = self._level(prefix)
        gone = set(old.folders if old else ()) - set(top.folders)
        self._forget([*gone, *(one for one in top.folders if one in levels)])
        self._levels |= levels
        for part in [one for one in self._parts if one.startswith(prefix)]:
            if _folder_of(part) == folder:
                del self._parts[part]
        if folder == prefix:
            self._levels[folder] = top
            return
        wider = [prefix[:end] for end in range(len(folder) + 1, len(prefix))]
        around = [one for one in wider if one in self._parts]
        for one in around:
            self._parts[one] = _replaced(self._parts[one], prefix, top)
        if folder in self._levels:
            self._levels[folder] = _replaced(self._levels[folder], prefix, top)
        elif not around:
            self._parts[prefix] = top

    def _forget(self, folders: Sequence[str]) -> None:
        """Forget what is in some folders."""
        below = tuple(folders)
        if not below:
            return
        for known in (self._levels, self._parts):
            for one in [one for one in known if one.startswith(below)]:
                del known[one]


def _replaced(level: Level, prefix: str, top: Level) -> Level:
    """Return a level in which what begins so is replaced."""
    files = [file for file in level.files if not file.key.startswith(prefix)]
    names = [name for name in level.folders if not name.startswith(prefix)]
    files = sorted([*files, *top.files], key=_key)
    return Level(files, sorted([*names, *top.folders]))


def _folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def _levels_of(prefix: str, files: Iterable[RemoteFile]) -> dict[str, Level]:
    """Return the levels that a walk makes: of the prefix itself, and of each folder below."""
    levels = {prefix: Level([], [])}
    for file in files:
        folder = _folder_of(file.key)
        if not folder.startswith(prefix):  # directly behind a prefix that ends in a name
            folder = prefix
        level = levels.get(folder)
        if level is None:
            level = _with_folders_above(levels, prefix, folder)
        level.files.append(file)
    return levels


def _with_folders_above(levels: dict[str, Level], prefix: str, folder: str) -> Level:
    """Add a folder below a prefix, and those that it is in; return its level."""
    levels[folder] = made = Level([], [])
    while True:
        above = _folder_of(folder[:-1])
        above = above if above.startswith(prefix) else prefix
        known = above in levels
        levels.setdefault(above, Level([], [])).folders.append(folder)
        if known:
            return made
        folder = above
