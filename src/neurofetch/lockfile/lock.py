"""Lock files: make one of a data directory, read one, hold a directory against it."""

from __future__ import annotations

import errno
import json
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch._threads import few_collections
from neurofetch.credentials.access import Access
from neurofetch.display.progress import listener
from neurofetch.display.text import count
from neurofetch.errors import (
    DestinationError,
    NothingMatchedError,
    SelectionWarning,
    UsageError,
    WrongTypeError,
)
from neurofetch.fetcher import RunSettings
from neurofetch.lockfile.compare import check_files, diff_files
from neurofetch.lockfile.fetching import ANY, Wish, get_locked, plan_locked
from neurofetch.lockfile.here import Here
from neurofetch.lockfile.places import checked_places
from neurofetch.lockfile.reading import read_lock
from neurofetch.lockfile.strays import strays
from neurofetch.lockfile.values import Head, LockedFile, file_line, head_line
from neurofetch.model import RemoteFile
from neurofetch.planning.dataset import Dataset, make_selection
from neurofetch.planning.entities import ENTITY_NAMES
from neurofetch.planning.query import query
from neurofetch.store.atomic import read_regular, write_atomically
from neurofetch.store.data_source import DataSource, described
from neurofetch.store.folder import given_path
from neurofetch.transfer.options import check_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from neurofetch.events import Event
    from neurofetch.lockfile.compare import Difference
    from neurofetch.model import LocalFile, Plan, Report
    from neurofetch.planning.query import Query, Values

    Where = str | os.PathLike[str]
    Places = Where | Sequence[Where]
    How = str | bool | Callable[[Event], None] | None

__all__ = ["Lock", "lock", "made_of"]

_DESCRIPTION = 1 << 20
"""Bytes. What is larger is no description of a data set."""
_LONGEST = 10_000
"""Letters of a name, a licence or the like."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock: which bytes a data directory has.

    Parameters
    ----------
    head : Head
        Of which data set it is.
    files : tuple of LockedFile
        Sorted by path.
    notes : tuple of str
        What was noticed when it was made. It is no part of the lock.
    path : str
        The file that it was read from, which is none of the data; "" where it was made.

    Examples
    --------
    ::

        lock = neurofetch.lock("ds000001")
        lock.write("paper.lock")
        neurofetch.lock("paper.lock").get("elsewhere")
    """

    head: Head
    files: tuple[LockedFile, ...] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    path: str = field(default="", repr=False, compare=False)

    def _repr_html_(self) -> str | None:
        from neurofetch.display.page import safely  # noqa: PLC0415 - for notebooks alone
        from neurofetch.lockfile.view import lock_page  # noqa: PLC0415

        return safely(lambda: lock_page(self))

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[LockedFile]:
        return iter(self.files)

    def lines(self) -> Iterator[bytes]:
        """Give the lines of the lock file, one at a time, each with its end."""
        yield head_line(self.head)
        yield from map(file_line, self.files)

    @classmethod
    def read(cls, path: Where) -> Lock:
        """Read a lock file.

        Parameters
        ----------
        path : path

        Raises
        ------
        LockFileError
            If it cannot be read, or is not a whole lock. It names the line.
        """
        where = _checked_path(path)
        return cls(*read_lock(where), path=where)

    def write(self, path: Where, form: str = "lock") -> Path:
        """Write the lock file; a reader sees the old one or the new one, whole.

        Parameters
        ----------
        path : path
            One that exists is replaced.
        form : {"lock", "sha256sum", "pooch", "croissant", "datapackage"}
            The format; see `export`.

        Returns
        -------
        Path

        Raises
        ------
        DestinationError
            If it cannot be written.
        UsageError
            If the format cannot say what the lock says.
        """
        return _written(path, self.lines() if form == "lock" else [self.export(form)])

    def export(self, form: str) -> bytes:
        """Return the lock in the format of another tool.

        Parameters
        ----------
        form : {"lock", "sha256sum", "pooch", "croissant", "datapackage"}

        Raises
        ------
        UsageError
            If there is no such format, or it cannot say what the lock says.
        """
        from neurofetch.lockfile.exports import exported  # noqa: PLC0415 - few need it

        return b"".join(self.lines()) if form == "lock" else exported(form, self.head, self.files)

    def check(
        self,
        where: Where = ".",
        *,
        read_all: bool = False,
        state: str = "",
        progress: How = "none",
    ) -> Difference:
        """Hold a directory against the lock.

        Parameters
        ----------
        where : path
            The directory; it need not be one that neurofetch filled.
        read_all : bool
            Read every byte. By default a file is not read whose hash is known and whose size and
            time are what they were then.
        state : str
            The folder in it with what is written down; by default that which is there.
        progress : {"none", "auto", "bar", "lines", "json"}, bool or callable, optional
            How to show progress of the reading; a callable gets every event.

        Returns
        -------
        Difference
            ``ok`` says whether nothing differs; iterate over it for what does.

        Raises
        ------
        DestinationError
            If there is no such directory, or a file in it cannot be read.
        """
        check_switches(read_all=read_all)
        here = Here(where, state)
        with few_collections():
            others: list[str] = []
            if self.head.every or here.receipts:
                mine = [Path(self.path)] if self.path else []
                others = here.paths(every=self.head.every, without=mine)[0]
            if self.head.query:
                others = []  # whatever else is here was not asked for
            found = check_files(here, self.files, others, listener(progress), read_all=read_all)
        here.write()
        return found

    def plan(
        self,
        dest: Where | None = None,
        *,
        data_dir: Where | None = None,
        places: Places = (),
        profile: str | None = None,
        signed: bool = False,
        requester_pays: bool = False,
        endpoint: str | None = None,
        overwrite: bool = False,
        shard: tuple[int, int] | None = None,
        mix: bool = False,
        update: bool = False,
        verify: bool = False,
        offline: bool | None = None,
        progress: How = "none",
        **filters: Values,
    ) -> Plan:
        """Say what `get` would do: every file, its bytes, what is here already, and why.

        Parameters
        ----------
        dest, data_dir, places, profile, signed, requester_pays, endpoint
        overwrite, shard, mix, update, verify, offline, progress, **filters
            As for `get`.
        """
        settings = RunSettings.checked(
            shard=shard,
            overwrite=overwrite,
            verify=verify,
            mix=mix,
            update=update,
            offline=offline,
            progress=progress,
            dry_run=True,
        )
        access = Access.checked(
            profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
        )
        return plan_locked(self._wish(dest, data_dir, places, filters, access), settings)

    def get(
        self,
        dest: Where | None = None,
        *,
        data_dir: Where | None = None,
        places: Places = (),
        profile: str | None = None,
        signed: bool = False,
        requester_pays: bool = False,
        endpoint: str | None = None,
        n_jobs: int = 1,
        overwrite: bool = False,
        shard: tuple[int, int] | None = None,
        limit_rate: float | None = None,
        patience: float | None = None,
        mix: bool = False,
        update: bool = False,
        verify: bool = False,
        offline: bool | None = None,
        progress: How = None,
        **filters: Values,
    ) -> Report:
        """Bring exactly what the lock names, from any place that has it; what is here is kept.

        Parameters
        ----------
        dest : path, optional
            The data directory; it is created if it does not exist. By default a folder of the name
            of the data set, in the current directory.
        data_dir : path, optional
            Another name of `dest`.
        places : str, path or several, optional
            Where to look first, in this order: ``s3://BUCKET/PREFIX``, an address of the web, or a
            directory, below which the files lie as in the data set. The addresses in the lock come
            last. No place need be trusted: what has not the hash in the lock is not kept.
        profile, signed, requester_pays, endpoint : optional
            As for `neurofetch.get`. Signed are requests to buckets in `places`, to the endpoint,
            and at AWS to the bucket of the data set; never those to another address in the lock.
        n_jobs, overwrite, shard, limit_rate, patience, mix, update, verify, progress
            As for `neurofetch.get`.
        offline : bool, optional
            Do not use the network: bring what directories in `places` have, and name what is not
            here then. By default what ``NEUROFETCH_OFFLINE`` says (1 or 0), or False.
        **filters
            As for `neurofetch.get`: only these files of the lock.

        Returns
        -------
        Report

        Raises
        ------
        IncompleteError
            At the end, if no place has some of the files; it names each, and what places said.
        UnknownValueError, NothingMatchedError
            If the lock has no such files.
        UsageError, DestinationError, OtherDatasetError
            Before any byte moves.
        """
        settings = RunSettings.checked(
            n_jobs=n_jobs,
            shard=shard,
            limit_rate=limit_rate,
            patience=patience,
            progress=progress,
            overwrite=overwrite,
            verify=verify,
            mix=mix,
            update=update,
            offline=offline,
        )
        access = Access.checked(
            profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
        )
        return get_locked(self._wish(dest, data_dir, places, filters, access), settings)

    def _wish(
        self,
        dest: Where | None,
        data_dir: Where | None,
        places: Places,
        filters: Mapping[str, Values],
        access: Access,
    ) -> Wish:
        """Check what a user gave, before any server is asked."""
        if dest is not None and data_dir is not None:
            msg = "dest and data_dir are the same, but both were given. Nothing was done. Leave one"
            raise UsageError(f"{msg} out.")
        where = dest if dest is not None else data_dir
        if where is None and not self.head.folder:
            msg = "no data directory was given, and the lock tells of no name for one. Nothing was"
            raise UsageError(f"{msg} done. Say where the files are to be: data_dir=...")
        if isinstance(where, str) and "://" in where:
            msg = f"the data directory cannot be {shown(where)}. Nothing was done. To look for the"
            raise UsageError(f"{msg} files there: places=.")
        root = given_path(self.head.folder if where is None else where)
        files = self._chosen(query(**filters)) if filters else self.files
        return Wish(self.head, files, root, checked_places(places, root), access)

    def _chosen(self, wanted: Query) -> tuple[LockedFile, ...]:
        """Return the files of the lock that filters leave, and what comes along with them."""
        remotes = [RemoteFile(one.path, "", one.size) for one in self.files]
        chosen = make_selection(remotes, wanted.strictly(), Dataset("the lock"))
        paths = {want.path for want in chosen.wants}
        return tuple(one for one in self.files if one.path in paths)

    def diff(self, other: Lock) -> Difference:
        """Hold this lock against another one: what was added there, is gone, or changed.

        Parameters
        ----------
        other : Lock
            Addresses do not count: the same bytes may be had from elsewhere.

        Raises
        ------
        UsageError
            If `other` is no lock.
        """
        given: object = other
        if not isinstance(given, Lock):
            msg = f"a lock is compared with another lock, not with {given!r}. Nothing was done."
            raise WrongTypeError(f"{msg} Read a lock file with neurofetch.lock(FILE).")
        return diff_files((self.head, self.files), (other.head, other.files))


def lock(
    where: Where = ".",
    *,
    every: bool = False,
    quick: bool = False,
    state: str = "",
    progress: How = "none",
    **filters: Values,
) -> Lock:
    """Make a lock of a data directory; or read one, where a lock file is named.

    The same data give the same lock, wherever and whenever it is made: it holds no time, no name of
    a machine and no version of a program.

    Parameters
    ----------
    where : path
        A data directory, or a lock file.
    every : bool
        Take every file that is in the directory, whoever put it there. By default those are taken
        that were fetched, as the receipts tell: only they can be brought elsewhere.
    quick : bool
        Take what hashes the receipts have (SHA-256, git's, MD5), and read only files of which they
        have none. By default each file has its SHA-256, and is read once for that; what was found
        out is remembered in the directory.
    state : str
        The folder in the directory with what is written down; by default that which is there.
    progress : {"none", "auto", "bar", "lines", "json"}, bool or callable, optional
        How to show progress of the reading; a callable gets every event.
    **filters
        As for `neurofetch.get` (``subject="01"``, ``suffix="bold"``, …): only these files, and what
        comes along with them. The lock tells of it.

    Returns
    -------
    Lock

    Raises
    ------
    LockFileError
        If `where` is a file, and no whole lock.
    NothingMatchedError
        If nothing was fetched into the directory, or nothing is left of it.
    UsageError
        If an argument cannot be used.
    DestinationError
        If there is no such directory, or a file in it cannot be read.

    Warns
    -----
    SelectionWarning
        Of files that are left out, that are gone, and that have other bytes than were fetched.
    """
    check_switches(every=every, quick=quick)
    if isinstance(where, str | os.PathLike) and os.path.isfile(os.path.expanduser(where)):
        if every or quick or state or filters:
            msg = (
                f"{os.fspath(where)} is a lock file, and is read as it is. Nothing was done. Leave"
            )
            raise UsageError(f"{msg} out every=, quick=, state= and filters, or name a directory.")
        return Lock.read(where)
    made = made_of(where, every=every, quick=quick, state=state, progress=progress, filters=filters)
    for note in made.notes:
        warnings.warn(note, SelectionWarning, stacklevel=2)
    return made


def made_of(
    where: Where,
    *,
    every: bool = False,
    quick: bool = False,
    state: str = "",
    progress: How = "none",
    filters: Mapping[str, Values] | None = None,
    without: Iterable[Path] = (),
) -> Lock:
    """Make a lock of a directory; as `lock`, but what was noticed is only noted.

    Parameters
    ----------
    where, every, quick, state, progress
        As for `lock`.
    filters : mapping, optional
        As the keywords of `lock`.
    without : iterable of Path
        Files that are none of data, such as the lock itself.
    """
    wanted = query(**filters) if filters else None
    listen = listener(progress)
    here = Here(where, state)
    with few_collections():
        paths, left = here.paths(every=every, without=without)
        present = here.present(paths)
        gone = [] if len(present) == len(paths) else sorted({*paths}.difference(present))
        if not present:
            which = "there is no file" if every else "no file that was fetched is left"
            advice = "Check the path." if every else "Fetch them."
            raise NothingMatchedError(f"{which} in {here.root}. Nothing was done. {advice}")
        if wanted is not None:
            present = _selected(present, wanted, here)
        files, changed = [], []
        for one in here.seen(present, _wanted(here, quick=quick), listen):
            files.append(LockedFile(*one[:5]))
            if one.changed:
                changed.append(one.path)
        notes = [*_left_out(left), *_gone(gone), *_changed(changed)]
        if not every:
            notes += _strangers(here, without)
        mine = [one for one in files if here.is_of_first(one.path)]
        notes += _strays(strays(here.directory.state, _head(here), mine, {*changed}), here)
    head = replace(_head(here), every=every, files=len(files), bytes=sum(one.size for one in files))
    return Lock(replace(head, query=_said(wanted)), tuple(files), tuple(notes))


def _wanted(here: Here, *, quick: bool) -> Callable[[LocalFile], tuple[str, ...]]:
    """Return what says which hashes a file is to have: nothing but its content and its source."""

    def names(one: LocalFile) -> tuple[str, ...]:
        if listed := here.listed(one):
            return listed
        if quick:
            return (here.strong(one) or "sha256",)
        source = here.source_hash(one)
        return (source, "sha256") if source else ("sha256",)

    return names


def _selected(present: Sequence[str], wanted: Query, here: Here) -> list[str]:
    """Return the files that a query chooses, and what comes along with them."""
    remotes = [RemoteFile(path, "", 1) for path in present]
    chosen = make_selection(remotes, wanted.strictly(), Dataset(str(here.root)))
    return sorted(want.path for want in chosen.wants)


def _said(wanted: Query | None) -> dict[str, list[str]]:
    """Return a query in the words of its flags."""
    if wanted is None:
        return {}
    long = {short: name for name, short in ENTITY_NAMES.items()}
    found = {long.get(name, name): values for name, values in wanted.entities}
    for name in ("suffix", "extension", "datatype", "include", "exclude"):
        found[name] = getattr(wanted, name)
    return {name: sorted(values) for name, values in found.items() if values}


def _left_out(left: Sequence[str]) -> Iterator[str]:
    if left:
        yield f"left out, since no lock can name it: {count(len(left))} ({_some(left)})"


def _gone(gone: Sequence[str]) -> Iterator[str]:
    if gone:
        yield (
            f"fetched, but not here any more, and so not in the lock: {count(len(gone))} "
            f"({_some(gone)})"
        )


def _changed(changed: Sequence[str]) -> Iterator[str]:
    if changed:
        yield (
            f"other bytes than were fetched: {count(len(changed))} ({_some(changed)}). The lock "
            "has them as they are, without an address, since nobody else may have them. To fetch "
            "them anew, use get --verify"
        )


def _strays(paths: Sequence[str], here: Here) -> Iterator[str]:
    if paths:
        source = here.sources[""]
        version = shown(source.version)
        yield (
            f"not known to be of version {version}, of which the directory is: "
            f"{count(len(paths))} ({_some(paths)}). An update leaves what it was not asked for, "
            "and the lock has it as it is. To bring all to that version: neurofetch get "
            f"{source.url}@{version}; what it does not have is yours to remove"
        )


def _strangers(here: Here, without: Iterable[Path]) -> Iterator[str]:
    ours = {os.path.realpath(path) for path in without}
    more = [path for path in here.walk() if path not in here.receipts]
    more = [path for path in more if os.path.realpath(here.root / path) not in ours]
    if more:
        yield (
            "here, but not fetched as far as is written down, and so not in the lock: "
            f"{count(len(more))} ({_some(sorted(more))}). Those that are the source's become known "
            "by verify --hash --remote; --all (every=True) takes all of them, without addresses"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(shown, names[:5])) + more


def _head(here: Here) -> Head:
    """Return what is known of the data set that a directory is of."""
    source = here.sources.get("", DataSource("", ""))
    if source.kind == ANY:  # of a lock that told of no data set
        source = DataSource("", "")
    told = described(here.root, replace(source, name="", doi="", version=""))
    versioned = Head(source.url).is_versioned
    if versioned:  # then its source knows which version it is, and its files may not
        told = replace(told, doi=source.doi or told.doi, version=source.version or told.version)
    return Head(
        source.url,
        source.kind,
        _writable(told.name),
        _writable(told.version),
        source.commit,
        _writable(told.doi),
        _writable(_license(here.root)),
    )


def _writable(text: str) -> str:
    """Return what a data set says of itself, as a line can have it: JSON allows half a letter."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def _license(root: Path) -> str:
    """Return the licence that the data set's own description names; "" where it names none."""
    path = root / "dataset_description.json"
    try:
        if path.stat().st_size > _DESCRIPTION:
            return ""
        said: Any = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return ""
    text = said.get("License") if isinstance(said, dict) else ""
    return text.strip() if isinstance(text, str) else ""


def _checked_path(path: object) -> str:
    """Return the path of a lock file that a user named; ``~`` is the home folder."""
    if not isinstance(path, str | os.PathLike):
        msg = f"a lock file is text or a path, not {path!r} ({type(path).__name__})."
        raise WrongTypeError(f"{msg} Nothing was done.")
    return os.path.expanduser(os.fsdecode(path))


def _written(path: Where, content: Iterable[bytes]) -> Path:
    """Write a file whole, or say why that cannot be."""
    target = Path(os.path.abspath(_checked_path(path)))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(target))
        if target.exists() and not target.is_file():  # a pipe, or a device such as /dev/stdout
            with open(target, "wb") as file:
                file.writelines(content)
        else:
            write_atomically(os.path.realpath(target), content)  # what a link leads to
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        msg = f"the lock cannot be written to {shown(str(target))}: {why}. What was there"
        raise DestinationError(f"{msg} is as it was. Choose another place.") from error
    return target
