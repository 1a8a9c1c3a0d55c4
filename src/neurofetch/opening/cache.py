"""The cache of opened files: a folder that any number of processes share, with a limit.

    entries/HH/NAME/   a version of a file: see `neurofetch.opening.entry`
    latest/NAME.json   the version of a file that was opened last, for when there is no network
    files/FOLDER/      files that are here as a whole, under their own names, beside each other
    uses/              what is in use: see `neurofetch.opening.uses`

What goes wrong with the cache goes wrong with the cache alone: files are then read without it, and
a warning says so, once.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import CacheWarning
from neurofetch.opening.entry import (
    ABOUT,
    FULL,
    Entry,
    Version,
    Whole,
    make_private,
    read_document,
    removed,
)
from neurofetch.opening.forks import ForkingLock
from neurofetch.opening.uses import Uses
from neurofetch.store.afresh import rename
from neurofetch.store.atomic import is_there, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCK", "LIMIT", "Cache", "cache_at", "default_folder"]

BLOCK = 1 << 20
"""Bytes of a block."""
LIMIT = 20 << 30
"""Bytes that a cache may take, where nobody said how many."""
_ENTRIES, _LATEST, _FILES, _USES, _TRASH = "entries", "latest", "files", "uses", "trash"
_LOW = 0.9
"""When room is made, it is made down to this part of the limit."""
_OFTEN = 16
"""Room is looked after whenever a 16th of the limit was written."""
_ABANDONED = 600.0
"""Seconds after which who put an entry away would have removed it."""
_PAUSE = 60.0
"""Seconds after which a disk that took no more is tried again."""
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Blocks of files that neurofetch opened. All of it may be removed.\n"
    "# See https://bford.info/cachedir/\n"
)
_ELSE = (
    errno.EEXIST,
    errno.ELOOP,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EINVAL,
    errno.ENXIO,
    errno.ENODEV,
    errno.EACCES,
    errno.EPERM,
)
_TRIES = 5
"""How often an entry is made that others remove."""
_GONE = (errno.ENOENT, errno.ESTALE)
"""An entry that somebody removed, on this machine or on another one that shares the disk."""
_BUSY = (errno.EMFILE, errno.ENFILE)


class _Kept(NamedTuple):
    """An entry on the disk, for who makes room."""

    used: float
    size: int
    folder: Path


def default_folder() -> Path | None:
    """Return where the cache is by default: ``NEUROFETCH_CACHE_DIR``, or as the XDG rules say.

    None where the system tells of no home.
    """
    named = os.environ.get("NEUROFETCH_CACHE_DIR", "").strip()
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
    return Path(base) / "neurofetch" if os.path.isabs(base) else None


class Cache:
    """A cache.

    Parameters
    ----------
    folder : Path
    limit : int
        Bytes that it may take. What is in use is kept all the same.
    block : int
        Bytes of a block of what comes new; what is here keeps its own.
    """

    def __init__(self, folder: Path, limit: int = LIMIT, block: int = BLOCK) -> None:
        self.folder = folder
        self.limit = limit
        self.block = block
        self.uses = Uses(folder / _USES)
        self._lock = ForkingLock()
        self._keeping = ForkingLock()
        self._open: dict[str, Entry] = {}
        self._room = 0
        self._offered = limit
        """Bytes that were to be kept since room was looked after: so much that it is, at once."""
        self._told: set[str] = set()
        self.stopped = False
        """Whether nothing more is kept: the disk is full, or does not take it."""
        self._stopped_at = 0.0
        self.is_full = False

    # -- entries -----------------------------------------------------------------------------

    def entry(
        self, version: Version, algorithm: str, size: int | None = None, *, make: bool = True
    ) -> Entry | None:
        """Return the entry of a version, for one reader more; None where there can be none.

        Parameters
        ----------
        version : Version
        algorithm : str
            The CRC of its blocks, if it is new.
        size : int, optional
            Bytes, where the version does not say.
        make : bool
            Make one where there is none.
        """
        name = _name_of(version)
        if time.monotonic() - self._stopped_at > _PAUSE:
            self.try_again()
        with self._lock:
            found = self._open.get(name)
            if found is None or not found.in_place():  # somebody removed it: who has it keeps it
                found = None
                try:
                    if make and not self.stopped:
                        self._begin()
                    self._pin(name)
                    wanted = version.size if size is None else size
                    found = self._opened(name, version, algorithm, wanted if make else None)
                except OSError as error:
                    self._fails(error)
                if found is None:
                    self.uses.end(name)
                    return None
                self._open[name] = found
            found.users += 1
            return found

    def try_again(self) -> None:
        """Keep what comes, though the disk took no more before: somebody may have made room."""
        self.stopped = self.is_full = False

    def _pin(self, name: str) -> None:
        try:
            self.uses.begin(name)
        except OSError:
            if not self.folder.is_dir():
                raise
            # A cache that this process may only read: nobody removes what is in it from here.

    def _opened(
        self, name: str, version: Version, algorithm: str, size: int | None
    ) -> Entry | None:
        folder = self._folder_of(name)
        for _ in range(_TRIES):
            try:
                told = Entry.described(folder, version)
                if told is None:
                    if size is None or self.stopped:
                        return None
                    told = self._described(folder, version, size, algorithm)
                entry = Entry(folder, *told)
            except OSError as error:
                if error.errno in _ELSE:  # something else stands where its files should be
                    removed(folder)
                elif error.errno not in _GONE:
                    raise
                continue
            with contextlib.suppress(OSError):
                os.utime(folder / ABOUT)
            return entry
        return None

    def _described(
        self, folder: Path, version: Version, size: int, algorithm: str
    ) -> tuple[int, int, str]:
        """Say of which version an entry is, unless another process has said so just now.

        What is of another one is taken away. What another host is making at this moment is not:
        here it may be seen late.
        """
        if is_there(folder / ABOUT):
            told = Entry.described(folder, version)
            if told is not None:
                return told
            removed(folder)
        Entry.describe(folder, version, size, self.block, algorithm)
        return size, self.block, algorithm

    def _begin(self) -> None:
        """Make the cache, if there is none: nobody else may look into it."""
        if not (self.folder / "CACHEDIR.TAG").exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(
                self.folder / "CACHEDIR.TAG", _TAG.encode(), private=True, flush=False, own=True
            )

    def _folder_of(self, name: str) -> Path:
        return self.folder / _ENTRIES / name[:2] / name

    def leave(self, entry: Entry) -> None:
        """Say that one reader of an entry has ended."""
        with self._lock:
            entry.users -= 1
            if entry.users > 0:
                return
            name = entry.folder.name
            if self._open.get(name) is entry:
                del self._open[name]
            entry.close()
            self.uses.end(name)
            if self._room < 0:  # what was in use makes room now
                self._offered = self.limit

    def drop(self, entry: Entry) -> None:
        """Take an entry away: its bytes are not those of the file."""
        with self._lock:
            if self._open.get(entry.folder.name) is entry:
                del self._open[entry.folder.name]
            whole = read_document(entry.folder / "whole.json").get("path")
            self._unpublish(entry.folder, whole)
            removed(entry.folder)

    def keep(self, entry: Entry, number: int, data: bytes | memoryview) -> None:
        """Keep a block of an entry, if the disk takes it, and the limit allows it."""
        if self.stopped:
            return
        if not self._has_room(len(data)) and not entry.beyond_limit:
            self.tell(
                f"the cache in {self.folder} has reached its limit of {self.limit:,} bytes, and "
                "all that is in it is in use. What else is read is not kept, and comes over the "
                "network again. Allow more with cache_limit=, or close files."
            )
            return
        try:
            entry.write(number, data)
        except OSError as error:
            if error.errno in _GONE:  # the entry alone: another machine removed it
                entry.writable = False
            elif not self._is_full(error) or not self._made_room(entry, number, data):
                self._fails(error)

    def _has_room(self, length: int) -> bool:
        """Whether so many bytes more are within the limit; what is old makes room for them."""
        with self._keeping:
            self._offered += length
            self._room -= length
            first_lack = self._room < 0 <= self._room + length
            if first_lack or self._offered > self.limit // _OFTEN:
                self.sweep(need=length)
                self._room -= length
            return self._room >= 0

    def fits(self, size: int) -> bool:
        """Whether a file of this size is within the limit."""
        return size <= self.limit

    def _made_room(self, entry: Entry, number: int, data: bytes | memoryview) -> bool:
        """Remove what is old from a full disk, and try once more."""
        if not self.sweep(self.used() // 2):
            return False
        try:
            entry.write(number, data)
        except OSError:
            return False
        return True

    @staticmethod
    def _is_full(error: OSError) -> bool:
        return error.errno in FULL

    def _fails(self, error: OSError) -> None:
        """Go on without the cache, and say so once."""
        if self.stopped:
            return
        if error.errno in _BUSY:
            self.tell(
                f"{error.strerror}: some files are read without the cache in {self.folder}. Close "
                "files that you need no more, or allow more of them (ulimit -n)."
            )
            return
        self.is_full = self._is_full(error)
        why = error.strerror or str(error) or type(error).__name__
        self.stopped, self._stopped_at = True, time.monotonic()
        if self._is_full(error):
            do = "Make room, or name another place with cache_dir= or NEUROFETCH_CACHE_DIR"
        else:
            do = "Check who may write there, or name another place (cache_dir=, or the variable "
            do += "NEUROFETCH_CACHE_DIR)"
        self.tell(
            f"the cache in {self.folder} takes no more: {why}. Files are read without it, and what "
            f"is read again comes over the network again. {do}; cache_dir=False needs none."
        )

    def tell(self, text: str) -> None:
        """Warn of something, once in this process."""
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, CacheWarning, stacklevel=2)

    # -- what is known of a file without asking -------------------------------------------------

    def remember(self, version: Version) -> None:
        """Write down which version of a file was opened last."""
        path = self._latest(version.place)
        told = {"place": version.place, "tag": version.tag, "size": version.size}
        if self.stopped or read_document(path) == told:
            return
        try:
            self._begin()
            make_private(path.parent)
            write_atomically(path, json.dumps(told).encode(), private=True, flush=False, own=True)
        except OSError as error:
            self._fails(error)

    def remembered(self, place: str) -> Version | None:
        """Return the version of a file that was opened last; None where there was none."""
        told = read_document(self._latest(place))
        tag, size = told.get("tag"), told.get("size")
        if told.get("place") != place or not isinstance(tag, str):
            return None
        return Version(place, tag, size if isinstance(size, int) else None)

    def _latest(self, place: str) -> Path:
        return self.folder / _LATEST / f"{_hash(place)}.json"

    # -- whole files -------------------------------------------------------------------------

    def publish(self, entry: Entry, group: str, name: str) -> Path:
        """Give a file that is whole its own name, and keep it as long as this process lives.

        Files of one folder of a server lie in one folder here: some formats look for the files
        beside the one that is named.

        Parameters
        ----------
        entry : Entry
            Verified.
        group : str
            The folder on the server, and the server.
        name : str
            Safe as the name of a file.

        Raises
        ------
        OSError
        """
        with self._lock:
            self.uses.begin(entry.folder.name)  # never ended: the reader may open it at any time
        whole = entry.whole()
        relative = f"{_FILES}/{_hash(group)[:24]}/{name}"
        path = self.folder / relative
        if not _same_file(path, entry.data_path):
            make_private(path.parent)
            draft = path.parent / f".{os.getpid()}-{secrets.token_hex(6)}"
            try:
                _linked(entry.data_path, draft)
                with open(draft, "rb") as file:
                    rename(str(draft), str(path), file.fileno())
                draft.unlink(missing_ok=True)  # where both were one file already, it stays
            except BaseException:
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
                raise
        if whole is not None and whole.path != relative:
            self.settle(entry, whole.verification, whole.digest, relative)
        return path

    def settle(self, entry: Entry, verification: str, digest: str, path: str = "") -> Whole:
        """Write down that a file is whole and verified, if the disk takes it.

        Parameters
        ----------
        entry, verification, digest, path
            See `Entry.settle` and `Whole`.
        """
        found = entry.whole_now(verification, digest, path)
        if entry.writable and not self.stopped:
            try:
                entry.settle(found)
            except OSError as error:
                if error.errno not in _GONE:  # else the entry alone: another host has its own
                    self._fails(error)
        return found

    def _unpublish(self, folder: Path, relative: object) -> None:
        if not isinstance(relative, str) or not relative.startswith(f"{_FILES}/"):
            return
        path = self.folder / relative
        if ".." not in path.parts and _same_file(path, folder / "data"):
            with contextlib.suppress(OSError):
                path.unlink()
                path.parent.rmdir()

    # -- room --------------------------------------------------------------------------------

    def used(self) -> int:
        """Return the bytes that all entries take."""
        return sum(one.size for one in self._kept())

    def sweep(self, limit: int | None = None, need: int = 0) -> int:
        """Remove the oldest entries until what is left is below the limit.

        What a living process uses is never removed.

        Parameters
        ----------
        limit : int, optional
            Bytes; by default that of the cache.
        need : int
            Bytes that are to come.

        Returns
        -------
        int
            How many were removed.
        """
        limit = self.limit if limit is None else limit
        self._clear()
        kept = sorted(self._kept())
        total, gone = sum(one.size for one in kept), 0
        if total + need > limit:
            used, low = self.uses.all(), min(limit * _LOW, limit - need)
            for one in kept:
                if total <= low:
                    break
                if one.folder.name not in used and self._evict(one.folder):
                    total -= one.size
                    gone += 1
        with self._keeping:
            self._offered, self._room = 0, self.limit - total
        return gone

    def _kept(self) -> Iterator[_Kept]:
        for level in _folders(self.folder / _ENTRIES):
            for folder in _folders(level):
                with contextlib.suppress(OSError), os.scandir(folder) as files:
                    sizes = [one.stat().st_blocks * 512 for one in files]
                    about = folder / ABOUT
                    when = about.stat().st_mtime if about.exists() else 0.0
                    yield _Kept(when, sum(sizes), folder)

    def _evict(self, folder: Path) -> bool:
        """Remove an entry, unless somebody began to use it just now."""
        trash = self.folder / _TRASH
        gone = trash / f"{folder.name}-{secrets.token_hex(6)}"
        try:
            trash.mkdir(exist_ok=True, mode=0o700)
            folder.rename(gone)
        except OSError:
            return False
        if folder.name in self.uses.all():
            with contextlib.suppress(OSError):  # else it was begun anew meanwhile
                gone.rename(folder)
                return False
        self._finish(gone)
        return True

    def _finish(self, gone: Path) -> None:
        """Remove an entry that was put away, and what leads to it."""
        self._unpublish(gone, read_document(gone / "whole.json").get("path"))
        about = read_document(gone / ABOUT)
        latest = self._latest(str(about.get("place")))
        if about and read_document(latest).get("tag") == about.get("tag"):
            with contextlib.suppress(OSError):
                latest.unlink()
        removed(gone)

    def _clear(self) -> None:
        """Remove what processes that were killed had put away."""
        for gone in _folders(self.folder / _TRASH):
            with contextlib.suppress(OSError):
                if time.time() - gone.stat().st_ctime > _ABANDONED:
                    self._finish(gone)

    def close(self) -> None:
        """Give up what this process uses."""
        self.uses.close()


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return [Path(one.path) for one in found if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _name_of(version: Version) -> str:
    return _hash(json.dumps(list(version)))


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except OSError:
        return False


def _linked(data: Path, draft: Path) -> None:
    """Give the data a further name; on a disk that knows none, a copy."""
    try:
        os.link(data, draft)
    except FileExistsError:
        return  # a server that was asked twice did it the first time: nobody foretells the name
    except OSError as error:
        if error.errno in FULL:
            raise
        shutil.copyfile(data, draft)


class _Caches:
    """The caches of this process: threads and file systems share what they know of one."""

    def __init__(self) -> None:
        self._made: dict[tuple[Path, int, int], Cache] = {}
        self._lock = ForkingLock()

    def at(self, folder: Path, limit: int, block: int) -> Cache:
        with self._lock:
            key = (folder, limit, block)
            if key not in self._made:
                self._made[key] = Cache(folder, limit, block)
            return self._made[key]

    def close(self) -> None:
        for cache in self._made.values():
            cache.close()


_caches = _Caches()
atexit.register(_caches.close)


def cache_at(folder: Path, limit: int = LIMIT, block: int = BLOCK) -> Cache:
    """Return the cache in a folder; the same one for all of this process.

    Parameters
    ----------
    folder : Path
    limit, block : int
        See `Cache`.
    """
    return _caches.at(folder, limit, block)
