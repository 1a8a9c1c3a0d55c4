"""List what lies at a URL of a bucket: no more than can be wanted, and from the data set's root on.

`planning/listing.py` decides which folders matter; here they are asked for, many at once. A first
page of all files is asked for at the same time as the first level: where it is the only page, it is
all that there is, for one round trip.

If one subject is asked for, its folder is guessed before. That tells whether the server knows what
a level is; where it does not, a level would be the whole data set.
"""

from __future__ import annotations

import string
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from neurofetch.errors import MissingRemoteError, NothingMatchedError, ProtocolError, RefusedError
from neurofetch.planning.listing import Kind, Narrowing, Place, ancestors, root_by_subject
from neurofetch.planning.suggest import nearest, shorten
from neurofetch.planning.units import unit_of
from neurofetch.sources.source import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from neurofetch.model import RemoteFile

__all__ = ["Ask", "Found", "Lister", "PagedSource"]

T = TypeVar("T")

_DESCRIPTION = "dataset_description.json"
_PAGE = 1000
_SAMPLE = 8
"""Subject folders that are walked before it is told whether to walk all of them is cheaper."""
_NO_SUBJECT = (
    *sorted({*string.ascii_letters, *string.digits, ".", "_"} - {"s"}),
    *(f"s{letter}" for letter in string.ascii_lowercase if letter != "u"),
)
"""How the names in a data set's root begin, but for the subjects': 88 short lists."""


class PagedSource(Protocol):
    """A source that can say what its first page holds; see `neurofetch.sources.source.Source`."""

    base: str
    """The prefix at which the data set begins: names are kept relative to it."""

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`."""
        ...

    def level(self, prefix: str) -> Level:
        """Return the files and folders whose names begin so, none of those in the folders."""
        ...

    def first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        """Return the first files whose keys begin with `prefix`, and whether they are all."""
        ...


class Ask(Protocol):
    """Makes calls at the same time, and returns what they return, in their order."""

    def __call__(self, calls: Iterable[Callable[[], T]]) -> list[T]:
        """Make them."""
        ...


class Found(NamedTuple):
    """What lies at a URL.

    Parameters
    ----------
    base : str
        The root of the data set: "" or ending in "/".
    scope : str
        What the URL names, below the base; "" for all of it.
    files : list of RemoteFile
        In the order of their keys. Those of the folders between root and URL are among them.
    walks : tuple of str
        Prefixes whose every file is among them.
    levels : tuple of str
        Prefixes of which only the files directly below are.
    named : dict of str to frozenset of str
        Values that folders are named by, those that were passed over included, by filter.
    hides : bool
        Whether what was passed over could explain why nothing is chosen from these files.
    """

    base: str
    scope: str
    files: list[RemoteFile]
    walks: tuple[str, ...]
    levels: tuple[str, ...] = ()
    named: dict[str, frozenset[str]] = {}  # noqa: RUF012 - never changed
    hides: bool = False

    def has_all(self, folder: str) -> bool:
        """Whether all that lies in a folder was listed ("" or ending in "/", below the base)."""
        return f"{self.base}{folder}".startswith(self.walks)


@dataclass(slots=True)
class _Gathered:
    """What came so far. Pieces are put together by their first key: no two of them overlap."""

    walks: dict[str, list[RemoteFile]] = field(default_factory=dict)
    levels: dict[str, list[RemoteFile]] = field(default_factory=dict)

    def files(self) -> list[RemoteFile]:
        """Return all files, in the order of their keys, each once."""
        if len(self.walks) == 1 and not self.levels:
            return next(iter(self.walks.values()))
        walks = tuple(self.walks)
        pieces = list(self.walks.items())
        for files in self.levels.values():
            pieces += [(file.key, [file]) for file in files if not file.key.startswith(walks)]
        found: list[RemoteFile] = []
        for _, piece in sorted(pieces, key=lambda pair: pair[0]):
            found += piece
        return found


class _Peek(NamedTuple):
    """A first look at the URL itself."""

    files: list[RemoteFile]
    whole: bool
    level: Level | None


class Lister:
    """Lists what lies at a URL.

    Parameters
    ----------
    source : PagedSource
    ask : callable
        Makes calls at the same time.
    place : str
        What stands before a key in messages, such as ``s3://BUCKET/``.
    root : str, optional
        The root of the data set, where that is known beforehand.
    """

    def __init__(self, source: PagedSource, ask: Ask, place: str, root: str | None = None) -> None:
        self._source = source
        self._ask = ask
        self._place = place
        self._known_root = root
        self._here: dict[str, list[RemoteFile]] = {}
        """Folders that are listed already."""
        self._in_part: set[str] = set()
        """Levels that lack folders which were ruled out."""

    def find(self, prefix: str, narrowing: Narrowing) -> Found:
        """List what can be wanted of what lies at a prefix, and what describes it above.

        A recording that is a folder is one: a prefix in it stands for all of it.

        Parameters
        ----------
        prefix : str
            Of a folder or a file; with or without a slash at its end.
        narrowing : Narrowing

        Raises
        ------
        NothingMatchedError
            If there is nothing. It says what there is instead.
        ServerError
        """
        key = prefix.rstrip("/")
        place = f"{key}/" if key else ""
        self._source.base = place
        peek = self._peek(place, narrowing)
        if not peek.files:
            return self._one_file(key, narrowing)
        base = self._root(place, peek)
        if whole := _recording_around(place, base):
            return self.find(whole, narrowing)
        self._source.base = base
        gathered = _Gathered()
        if peek.whole:
            gathered.walks[place] = peek.files
        above = [folder for folder in ancestors(place)[1:] if folder.startswith(base)]
        if place != base:
            gathered.levels = self._directly_in(above, base)
        if not peek.whole:
            start = Place().below(place[len(base) :])
            self._narrow(base, start, peek.level, narrowing, gathered)
        return Found(
            base,
            key[len(base) :],
            gathered.files(),
            tuple(gathered.walks),
            tuple(gathered.levels),
            narrowing.named,
            narrowing.hides,
        )

    def _peek(self, place: str, narrowing: Narrowing) -> _Peek:
        if not narrowing.narrows:
            (files,) = self._ask([partial(self._source.walk, place)])
            return _Peek(files, whole=True, level=None)
        if root_by_subject(place) is None:
            subjects = self._guess(place, narrowing.guesses)
            if subjects:
                root = self._level_by_letters(place, subjects)
                there = sorted(chain(root.files, *self._here.values()), key=attrgetter("key"))
                return _Peek(there, whole=False, level=root)
        calls: list[Callable[[], object]] = [
            partial(self._source.first_page, place),
            partial(self._level, place),
        ]
        first, level = self._ask(calls)
        files, whole = cast("tuple[list[RemoteFile], bool]", first)
        if not files and not whole:  # much was deleted here: pages come that are empty
            (files,), whole = self._ask([partial(self._source.walk, place)]), True
        return _Peek(files, whole, cast("Level | None", level))

    def _guess(self, place: str, names: Sequence[str]) -> list[str]:
        """Ask for subject folders, and keep those that are there.

        Returns
        -------
        list of str
            The folders, if the server answers as if it knew no delimiter, and any of them is there.
        """
        folders = [f"{place}{name}/" for name in names]
        calls: list[Callable[[], object]] = [
            *(partial(self._source.first_page, folder) for folder in folders),
            *(partial(self._level, folder) for folder in folders),
        ]
        answers = self._ask(calls)
        pages = cast("list[tuple[list[RemoteFile], bool]]", answers[: len(folders)])
        self._here = {
            folder: files for folder, (files, whole) in zip(folders, pages, strict=True) if whole
        }
        if all(level is not None for level in answers[len(folders) :]):
            return []
        return folders if any(files for files, _ in pages) else []

    def _level_by_letters(self, place: str, subjects: Sequence[str]) -> Level:
        """Return a data set's root without a delimiter, and only with these subjects' folders.

        The prefix of a list needs no delimiter: every prefix is asked for that a name may begin
        with, but for the subjects'. A name that begins with another letter than a-z, a digit, ``.``
        or ``_`` is not seen.
        """
        begun = [
            *(f"{folder[:-1]}{end}" for folder in subjects for end in ("/", "_")),
            *(f"{place}{start}" for start in _NO_SUBJECT),
        ]
        walks = self._ask([partial(self._source.walk, prefix) for prefix in begun])
        files = sorted((file for files in walks for file in files), key=attrgetter("key"))
        level, self._here = _divided(place, files)
        self._in_part.add(place)
        return level

    def _level(self, prefix: str) -> Level | None:
        """Return a level; None where the server does not know what that is."""
        files = self._listed(prefix)
        if files is not None:
            return _divided(prefix, files)[0]
        try:
            return self._source.level(prefix)
        except ProtocolError:
            return None

    # -- the root of the data set ------------------------------------------------------------

    def _root(self, place: str, peek: _Peek) -> str:
        """Return the root of the data set that a folder lies in: "" or ending in "/".

        It is the nearest folder, from this one on upwards, that holds a description of a data set;
        else the folder of the first subject folder in the path; else the folder itself.
        """
        if self._known_root is not None:
            return self._known_root
        own = f"{place}{_DESCRIPTION}"
        if _has(peek.files, own) or (peek.level and _has(peek.level.files, own)):
            return place
        folders = ancestors(place)
        if peek.whole or peek.level:
            del folders[0]  # it was seen to have none
        told = self._ask([partial(self._is_described, folder) for folder in folders])
        described = dict(zip(folders, told, strict=True))
        for folder, is_root in described.items():
            if is_root:
                return folder
        by_subject = root_by_subject(place)
        # What may not be listed cannot be the root: what describes the files could not come along.
        return place if by_subject is None or described.get(by_subject) is None else by_subject

    def _is_described(self, folder: str) -> bool | None:
        """Whether a folder holds the description of a data set; None where it may not be listed."""
        name = f"{folder}{_DESCRIPTION}"
        try:
            return any(file.key == name for file in self._source.walk(name))
        except (MissingRemoteError, RefusedError):
            return None
        except ProtocolError:
            return False

    # -- a file, or nothing ------------------------------------------------------------------

    def _one_file(self, key: str, narrowing: Narrowing) -> Found:
        """Return the one file of this key, with those of the folders above it."""
        near = self._near(key) if key else Level([], [])
        if all(file.key != key for file in near.files):
            raise NothingMatchedError(self._nothing(key, near))
        folder = key[: key.rfind("/") + 1]
        base = self._root(folder, _Peek(near.files, whole=False, level=None))
        if whole := _recording_around(key, base):
            return self.find(whole, narrowing)
        self._source.base = base
        gathered = _Gathered()
        gathered.levels = self._directly_in(
            [one for one in ancestors(folder) if one.startswith(base)], base
        )
        return Found(base, key[len(base) :], gathered.files(), (), tuple(gathered.levels))

    def _near(self, prefix: str) -> Level:
        """Return the files and folders whose names begin so, as far as the server tells them."""
        level = self._level(prefix)
        if level is not None:
            return level
        return _divided(prefix, self._source.first_page(prefix)[0])[0]

    def _directly_in(self, folders: Sequence[str], base: str) -> dict[str, list[RemoteFile]]:
        """Return the files directly in folders of the data set: those that describe what is below.

        Where the server does not know what that is, a subject's folder is walked, and of another
        folder what does not lie in those of subjects.
        """
        levels = self._ask([partial(self._level, folder) for folder in folders])
        found = {}
        for folder, level in zip(folders, levels, strict=True):
            if level is not None:
                found[folder] = level.files
                continue
            starts = ("",) if root_by_subject(folder[len(base) :]) is not None else _NO_SUBJECT
            walks = self._ask([partial(self._source.walk, f"{folder}{start}") for start in starts])
            files = sorted((file for files in walks for file in files), key=attrgetter("key"))
            found[folder] = _divided(folder, files)[0].files
        return found

    def _nothing(self, key: str, near: Level) -> str:
        """Return the message for a URL of nothing: what would match, or what part of it exists."""
        url = self._place
        there = _names(near)
        start = f"there is nothing at {url}{key}."
        if there:
            names = shorten((f"{url}{name}" for name in there), 12)
            return f"{start} Nothing was fetched. What begins so: {names}. Name one of these."
        for folder in ancestors(key):
            below = [name[len(folder) :] for name in _names(self._near(folder))]
            if below:
                missing = key[len(folder) :].partition("/")[0]
                close = nearest(missing, [name.rstrip("/") for name in below])
                hint = f" Did you mean {url}{folder}{close[0]}?" if close else ""
                if close and _same_letters(close[0], missing):
                    hint += " (The same letters, but the accents are encoded in another way.)"
                return (
                    f"{start} Nothing was fetched.{hint} {url}{folder} exists and holds: "
                    f"{shorten(below, 12)}."
                )
        return f"{start} Nothing was fetched. There are no files in the bucket."

    # -- only what can be wanted -------------------------------------------------------------

    def _narrow(
        self,
        base: str,
        start: Place,
        level: Level | None,
        narrowing: Narrowing,
        gathered: _Gathered,
    ) -> None:
        """Look at one level after another, and walk what no name rules out."""
        walks: list[str] = []
        groups: list[tuple[str, list[str], int]] = []
        looked: list[tuple[Place, Level | None]] = [(start, level)]
        while looked:
            looks: list[Place] = []
            for place, found in looked:
                here = f"{base}{place.path}"
                if found is None:
                    walks.append(here)
                    continue
                gathered.levels[here] = found.files
                names = [folder[len(here) : -1] for folder in found.folders]
                split = narrowing.split(place, names, all_of_them=here not in self._in_part)
                looks += split.looks
                walks += [f"{base}{path}" for path in split.walks]
                if split.subjects:
                    paths = [f"{base}{path}" for path in split.subjects]
                    groups.append((f"{here}sub-", paths, split.there))
            looked = self._looked(base, looks, gathered)
        self._walk(walks, groups, gathered)

    def _looked(
        self, base: str, places: Sequence[Place], gathered: _Gathered
    ) -> list[tuple[Place, Level | None]]:
        """Return the levels of some folders, but of small subjects: those are here whole."""
        parts = [place for place in places if place.kind in (Kind.SUBJECT, Kind.SESSION)]
        prefixes = [f"{base}{place.path}" for place in parts]
        pages = self._ask([partial(self._first_page, prefix) for prefix in prefixes])
        large = [place for place in places if place not in parts]
        for place, prefix, (files, whole) in zip(parts, prefixes, pages, strict=True):
            if whole:
                gathered.walks[prefix] = files
            else:
                large.append(place)
        levels = self._ask([partial(self._level, f"{base}{place.path}") for place in large])
        return list(zip(large, levels, strict=True))

    def _first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        files = self._listed(prefix)
        return self._source.first_page(prefix) if files is None else (files, True)

    def _walk(
        self,
        walks: list[str],
        groups: list[tuple[str, list[str], int]],
        gathered: _Gathered,
    ) -> None:
        """Walk folders; where many subjects are wanted, see whether to walk all is cheaper."""
        sampled = [prefix for _, paths, _ in groups for prefix in paths[:_SAMPLE]]
        gathered.walks.update(self._walked([*walks, *sampled]))
        rest: list[str] = []
        for prefix, paths, there in groups:
            sample, more = paths[:_SAMPLE], paths[_SAMPLE:]
            keys = sum(len(gathered.walks[path]) for path in sample) / len(sample)
            if len(more) > there * keys / _PAGE + 1:
                for path in sample:
                    del gathered.walks[path]
                rest.append(prefix)
            else:
                rest += more
        gathered.walks.update(self._walked(rest))

    def _walked(self, prefixes: list[str]) -> dict[str, list[RemoteFile]]:
        walks = self._ask([partial(self._walk_or_listed, prefix) for prefix in prefixes])
        return dict(zip(prefixes, walks, strict=True))

    def _walk_or_listed(self, prefix: str) -> list[RemoteFile]:
        files = self._listed(prefix)
        return self._source.walk(prefix) if files is None else files

    def _listed(self, prefix: str) -> list[RemoteFile] | None:
        """Return the files below a prefix if they are listed already."""
        for folder, files in self._here.items():
            if prefix.startswith(folder):
                return [file for file in files if file.key.startswith(prefix)]
        return None


def _same_letters(one: str, other: str) -> bool:
    return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


def _recording_around(key: str, base: str) -> str:
    """Return the recording that is a folder, and in which a key lies; "" where it lies in none."""
    unit = unit_of(key[len(base) :])
    return f"{base}{unit}" if unit and unit != key[len(base) :].rstrip("/") else ""


def _has(files: Sequence[RemoteFile], key: str) -> bool:
    """Whether a file is among these, which are in the order of their keys."""
    at = bisect_left(files, key, key=attrgetter("key"))
    return at < len(files) and files[at].key == key


def _divided(place: str, files: Iterable[RemoteFile]) -> tuple[Level, dict[str, list[RemoteFile]]]:
    """Return the level that files below a place make, and the files of each of its folders.

    The files come in the order of their keys, and so do those of the level.
    """
    direct: list[RemoteFile] = []
    below: dict[str, list[RemoteFile]] = {}
    for file in files:
        name, slash, _ = file.key[len(place) :].partition("/")
        if slash:
            below.setdefault(f"{place}{name}/", []).append(file)
        else:
            direct.append(file)
    return Level(direct, list(below)), below


def _names(level: Level) -> list[str]:
    return [*level.folders, *(file.key for file in level.files)]
