"""The data directory as a lock sees it: which files are here, and which hashes they have."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._shown import shown
from neurofetch._threads import together
from neurofetch.errors import (
    DestinationError,
    NothingMatchedError,
    UsageError,
    WrongTypeError,
)
from neurofetch.integrity.checksums import hasher
from neurofetch.lockfile.remembered import Fact, read_facts, write_facts
from neurofetch.lockfile.values import path_problem, spelled
from neurofetch.model import STATE_FOLDERS, VerificationLevel
from neurofetch.store.data_source import DataSource, has_further, read_sources, state_folders
from neurofetch.store.directory import DataDirectory
from neurofetch.store.meter import ReadingMeter
from neurofetch.store.names import encodable
from neurofetch.store.origins import origin_of
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from neurofetch.events import Event
    from neurofetch.model import LocalFile

    Listen = Callable[[Event], None]

__all__ = ["Here", "Seen"]

_LOOKS = 3
"""So often a file is read that is replaced while it is."""
_STRETCH = 2000
"""Files that are looked at together."""
_NONE = (
    "{} has nothing that neurofetch fetched, as far as it is written down there. Nothing was done. "
    "Name the data directory. To take every file that is in it, whoever put it there, add --all "
    "(every=True)."
)


def _changed(here: LocalFile) -> DestinationError:
    msg = f"{shown(here.path)} changed while it was read. Nothing was done. Wait until"
    return DestinationError(f"{msg} whoever writes it has ended, and run it again.")


class Seen(NamedTuple):
    """A file that is here.

    Parameters
    ----------
    path : str
    size : int
    hashes : tuple of str
        Those that were asked for, in that order, as a lock spells them.
    url, key : str
        Where it came from; "" where that is not known, or where these are other bytes.
    changed : bool
        Whether it has other bytes than those that were fetched.
    mtime_ns : int
        When it was modified.
    """

    path: str
    size: int
    hashes: tuple[str, ...]
    url: str = ""
    key: str = ""
    changed: bool = False
    mtime_ns: int = 0


class Here:
    """A data directory, or any other one.

    Parameters
    ----------
    root : path
    state : str, optional
        The name of the folder with what is written down; by default that which is there.

    Attributes
    ----------
    receipts : Receipts
    sources : dict of str to DataSource
        The data sets that receipts are of, by what receipts call them; "" is the first.

    Raises
    ------
    DestinationError
        If there is no such directory, or what is written down cannot be read.
    UsageError
        If it has several state folders, and none was named; or if `state` can be no name of one.
    """

    def __init__(self, root: str | os.PathLike[str], state: str = "") -> None:
        name = _checked_state(state) or _state_of(DataDirectory(root).root)
        self.directory = DataDirectory(root, name)
        self.receipts = read_receipts(self.directory.state)
        if self.receipts.unread:
            msg = (
                f"cannot tell what was fetched: {self.receipts.unread[0]}. Nothing was done. Ask "
                "the owner of that file to let you read it."
            )
            raise DestinationError(msg)
        found = read_sources(self.directory.state)
        self.sources: dict[str, DataSource] = {one.key: one for one in found}
        self.sources |= dict(zip([""], found, strict=False))
        self.several: bool = has_further(self.directory.state)
        self._facts = read_facts(self.directory.state)
        self._learnt = False

    @property
    def root(self) -> Path:
        """Where it is."""
        return self.directory.root

    # -- which files -------------------------------------------------------------------------

    def paths(self, *, every: bool, without: Iterable[Path] = ()) -> tuple[list[str], list[str]]:
        """Return the files that a lock may name, and those that are left out, each with the reason.

        Parameters
        ----------
        every : bool
            All that are in it, and not only those that were fetched.
        without : iterable of Path
            Files that are none of data, such as the lock itself.

        Returns
        -------
        tuple of (list of str, list of str)
            Sorted by path; of those left out, texts for people.
        """
        left: list[str] = []
        paths: list[str] = []
        names = sorted(self.walk(left) if every else self.receipts)
        hidden = {os.path.realpath(path) for path in without}
        for name in names:
            problem = _locale_problem(name) or path_problem(name)
            if problem:
                left.append(f"{shown(name)}: {problem}")
            elif not (every and hidden and os.path.realpath(self.root / name) in hidden):
                paths.append(name)
        if not names and not every:
            raise NothingMatchedError(_NONE.format(self.root))
        return paths, left

    def walk(self, left: list[str] | None = None) -> Iterator[str]:
        """Give every file below the root; programs' own folders are left out.

        Parameters
        ----------
        left : list of str, optional
            Gets what is no file, with the reason, as texts for people.
        """
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    found = list(entries)
            except OSError as error:
                msg = f"{self.root / folder} cannot be read: {error.strerror or error}"
                raise DestinationError(
                    f"{msg}. Nothing was done. Check who may read it."
                ) from error
            for entry in found:
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != ".git" and (folder or entry.name not in STATE_FOLDERS):
                        folders.append(f"{path}/")
                elif not (problem := _no_file(entry)):
                    yield path
                elif left is not None:
                    left.append(f"{shown(path)}: {problem}")

    def is_of_first(self, path: str) -> bool:
        """Whether a file was fetched, and is of the data set that the directory is of."""
        receipt = self.receipts.get(path)
        return receipt is not None and receipt.source in ("", *list(self.sources)[:1])

    def look(self, paths: Iterable[str]) -> dict[str, LocalFile]:
        """Return those of the files that are here.

        Parameters
        ----------
        paths : iterable of str
        """
        return self.directory.survey(paths, self.receipts, strict=False)

    def present(self, paths: Sequence[str]) -> list[str]:
        """Return those of the files that are here, in their order.

        Parameters
        ----------
        paths : sequence of str
        """
        return [path for some in _stretches(paths) for path in self.look(some)]

    # -- their hashes ------------------------------------------------------------------------

    def seen(
        self,
        paths: Sequence[str],
        wanted: Callable[[LocalFile], Sequence[str] | None],
        listen: Listen,
        *,
        read_all: bool = False,
    ) -> Iterator[Seen]:
        """Give those of the files that are here, with their hashes; what is not known is read.

        There may be a million of them: only some are looked at and in memory at a time.

        Parameters
        ----------
        paths : sequence of str
        wanted : callable
            Returns the hashes that a file is to have, by their names in a lock; None where nobody
            needs to look into it.
        listen : callable
            Gets a `Checking` event now and then while files are read.
        read_all : bool
            Read every byte, whatever is known.

        Raises
        ------
        DestinationError
            If a file cannot be read, or changes meanwhile.
        """
        needs = partial(self._needs, wanted, read_all=read_all)
        sizes = {
            one.path: one.size
            for some in _stretches(paths)
            for one in self.look(some).values()
            if needs(one)
        }
        meter = ReadingMeter(sizes)
        try:
            for some in _stretches(paths):
                local = self.look(some)
                reads = [(one, names) for one in local.values() if (names := needs(one))]
                found = self._read([one for one in reads if one[0].path in sizes], meter, listen)
                for path, one in local.items():
                    yield self._seen(one, wanted(one) or (), found.get(path, {}))
        finally:
            self.write()
        if sizes:
            listen(meter.event())

    def _needs(
        self,
        wanted: Callable[[LocalFile], Sequence[str] | None],
        one: LocalFile,
        *,
        read_all: bool,
    ) -> list[str]:
        """Return the hashes for which a file is to be read."""
        names = wanted(one)
        if names is None:
            return []
        known = {} if read_all else self._known(one)
        return [name for name in dict.fromkeys((*names, *self._doubt(one))) if name not in known]

    def source_hash(self, here: LocalFile) -> str:
        """Return the name of the hash under which the source files a file; "" where it has none."""
        receipt = here.receipt
        if receipt is None or receipt.verification is not VerificationLevel.CHECKSUM:
            return ""
        if receipt.digest == f"md5:{receipt.listed.lower()}":
            return ""  # the source's ETag, by which a mirror's bytes were known
        name = spelled(receipt.digest).partition(":")[0]
        return "" if name == "sha256" else name

    def listed(self, here: LocalFile) -> tuple[str, ...]:
        """Return the names of the hashes that the lock has by which a file came; none without."""
        fact = self._fact(here)
        return tuple(map(_name, fact.hashes[: fact.listed]))

    def strong(self, here: LocalFile) -> str:
        """Return the name of a strong hash that is known without reading; "" where none is."""
        known = (_name(spelled(one)) for one in self._known(here).values())
        return next(filter(None, known), "")

    def learn(self, path: str, fact: Fact) -> None:
        """Take note of what is known of a file; `write` writes it down."""
        if self._facts.get(path) != fact:
            self._facts[path] = fact
            self._learnt = True

    def write(self) -> None:
        """Write down what was found out, for the next time."""
        if self._learnt:
            write_facts(self.directory.state, self._facts)
            self._learnt = False

    def _fact(self, here: LocalFile) -> Fact:
        """Return what is remembered of a file; nothing where it is another by now."""
        known = self._facts.get(here.path)
        if known is not None and (known.size, known.mtime_ns) == (here.size, here.mtime_ns):
            return known
        return Fact(here.size, here.mtime_ns, ())

    def _known(self, here: LocalFile) -> dict[str, str]:
        """Return the hashes that are known of the bytes that are here, by their names."""
        told = spelled(here.content) or here.content
        return {_name(one): one for one in (told, *self._fact(here).hashes) if one}

    @staticmethod
    def _doubt(here: LocalFile) -> Sequence[str]:
        """Return the hash that tells whether a file, whose time changed, is what was fetched."""
        receipt = here.receipt
        if receipt is None or receipt.size != here.size or not (here.touched or here.damaged):
            return ()
        name = _name(spelled(receipt.digest) or receipt.digest)
        return (name,) if name else ()

    def _read(
        self,
        files: Sequence[tuple[LocalFile, Sequence[str]]],
        meter: ReadingMeter,
        listen: Listen,
    ) -> dict[str, dict[str, str]]:
        """Read files, many at once; return the hashes that were asked for, by path and name."""
        looks = [partial(self._hashed, one, names, meter) for one, names in files]
        threads = max(2, os.cpu_count() or 2)
        found = together(looks, threads, lambda: listen(meter.event()))
        return dict(zip((one.path for one, _ in files), found, strict=True))

    def _hashed(self, here: LocalFile, names: Sequence[str], meter: ReadingMeter) -> dict[str, str]:
        """Read a file, and return its hashes.

        It is read once more where another run put its own copy in its place meanwhile.
        """
        for _ in range(_LOOKS):
            hashers = {one: hasher("gitblob" if one == "git" else one, here.size) for one in names}
            try:
                for block in meter.blocks(here.path, self.root):
                    for one in hashers.values():
                        one.update(block)
                info = os.stat(self.root / here.path)
            except OSError as error:
                msg = f"{shown(here.path)} cannot be read: {error.strerror or error}. Nothing was"
                raise DestinationError(f"{msg} done. Check who may read it.") from error
            same = info.st_size == here.size
            if same and info.st_mtime_ns == here.mtime_ns:
                break
            here = replace(here, mtime_ns=info.st_mtime_ns)
            if not same:
                raise _changed(here)
        else:
            raise _changed(here)
        meter.over(here.path)
        found = {name: f"{name}:{one.hexdigest()}" for name, one in hashers.items()}
        fact = self._fact(here)
        if any(fact.knows(name) not in ("", digest) for name, digest in found.items()):
            fact = Fact(here.size, here.mtime_ns, ())  # other bytes, of the same size and time
        self.learn(here.path, fact.joined(found))
        return found

    def _seen(self, here: LocalFile, wanted: Sequence[str], found: Mapping[str, str]) -> Seen:
        known = {**self._known(here), **found}
        hashes = tuple(known[name] for name in wanted)  # and none where nobody asked
        changed = self._is_changed(here, known)
        url, key = ("", "") if changed else self._origin(here)
        return Seen(here.path, here.size, hashes, url, key, changed, here.mtime_ns)

    def _is_changed(self, here: LocalFile, known: Mapping[str, str]) -> bool:
        """Whether a file has other bytes than those that were fetched."""
        receipt = here.receipt
        if receipt is None or receipt.size != here.size:
            return receipt is not None
        doubt = self._doubt(here)
        return bool(doubt) and known.get(doubt[0]) != (spelled(receipt.digest) or receipt.digest)

    def _origin(self, here: LocalFile) -> tuple[str, str]:
        """Return the URL of a file, and its key where that is not told by its path."""
        fact, receipt = self._fact(here), here.receipt
        if fact.listed:
            return fact.url, fact.key
        source = None if receipt is None else self.sources.get(receipt.source)
        if receipt is None or source is None:
            return "", ""
        scheme, _, place = source.url.partition("://")
        prefix = place.partition("/")[2]
        base = f"{prefix}/" if scheme == "s3" and prefix else ""
        url, named = origin_of(receipt, source)
        return url, "" if named == f"{base}{here.path}" else named


def _locale_problem(name: str) -> str:
    """Say why this locale keeps a file from being named; "" if it does not."""
    if name.isascii():
        return ""
    if not encodable(name):
        return "its name cannot be written in this locale: set LC_ALL=C.UTF-8"
    try:
        other = os.fsencode(name).decode() != name
    except UnicodeDecodeError:  # in no locale can it be text
        return ""
    return "its name cannot be read in this locale: set LC_ALL=C.UTF-8" if other else ""


def _no_file(entry: os.DirEntry[str]) -> str:
    """Say why an entry of a folder, which is none itself, is no file; "" if it is one."""
    try:
        if entry.is_file():
            return ""
        folder = entry.is_dir()
    except OSError as error:  # links in a circle, or to where nobody may look
        return f"a link that cannot be followed: {error.strerror or error}"
    if entry.is_symlink():
        return "a link to a folder" if folder else "a link that leads to no file"
    return "it is no file"


def _stretches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(paths), _STRETCH):
        yield paths[first : first + _STRETCH]


def _checked_state(state: object) -> str:
    """Return the name of a state folder that a user gave; it is directly in the data directory."""
    if not isinstance(state, str):
        msg = f"state is the name of a folder, not {state!r} ({type(state).__name__})."
        raise WrongTypeError(f"{msg} Nothing was done.")
    if state in (".", "..") or {"/", "\0", os.sep} & set(state):
        msg = f"state is the name of a folder in the data directory, and not {shown(state)}."
        raise UsageError(f"{msg} Nothing was done. Leave it out, or give the name alone.")
    return state


def _name(digest: str) -> str:
    return digest.partition(":")[0]


def _state_of(root: Path) -> str:
    """Return the name of the state folder of a directory; the usual one where it has none."""
    found = [folder.name for folder in state_folders(root)]
    if len(found) > 1:
        msg = (
            f"{root} was filled by several programs, each of which wrote down what it fetched: "
            f"{', '.join(found)}. Nothing was done. Say which of them is meant: --state NAME "
            "(state=...)."
        )
        raise UsageError(msg)
    return found[0] if found else ".neurofetch"
