"""An open folder: what is in it is reached through its descriptor, and never through a link.

A path that was checked may lead elsewhere a moment later: in a shared directory anyone of the group
can put a symbolic link in the place of a folder. So the folders that this package writes to are
opened one below the other, none of them through a link, and files are made, renamed and removed
relative to the open folder (``openat`` and its kin). New files have names that nobody can foretell,
and are only ever made, never found.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import stat
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError, UnsafeNameError, UsageError, WrongTypeError
from neurofetch.store.afresh import is_named, is_taken
from neurofetch.store.atomic import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Folder", "given_path"]

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = getattr(os, "O_PATH", 0)
"""Linux: what is opened so is a step on a way, and needs no right to read it."""
_NO_LINKS = getattr(os, "O_NOFOLLOW_ANY", 0)
"""macOS: no part of a path may be a link."""
_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else ""
"""Where the system has a way through each open folder (proc_pid_fd(5))."""
_GUARDED = os.environ.get("NEUROFETCH_NO_LINK_AT", "")
"""A data directory that is no link, says the page that started this process: it has looked. What is
put in its place since, or while this runs, is not gone through."""
_TRIES = 200
"""How often a folder is made that other processes remove, since it is empty."""
_IN_STEP = 3
_PAUSE = 0.002
"""Seconds, at most, between two of the later tries."""
_LINKS = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
"""What systems say when the last name of a path is a link, and was to be a folder."""


def given_path(given: object, what: str = "the data directory") -> Path:
    """Return the whole path of a folder that a user named; ``~`` is the home folder.

    An empty text is not the current directory: as a rule it is a variable of a shell that was
    never set.

    Parameters
    ----------
    given : object
        Text or a path.
    what : str
        What it is, for messages.

    Raises
    ------
    WrongTypeError
        If it is neither.
    UsageError
        If it is empty.
    DestinationError
        If it is relative to a current directory that is gone.

    Examples
    --------
    >>> given_path("/scratch/ds000001/")
    PosixPath('/scratch/ds000001')
    >>> given_path("")
    Traceback (most recent call last):
        ...
    neurofetch.errors.UsageError: the data directory is an empty string. Nothing was done. Choose \
a directory; '.' is the current one.
    """
    try:
        text = os.fsdecode(given)  # type: ignore[arg-type]
    except TypeError:
        msg = f"{what} is text or a path, not {given!r} ({type(given).__name__})."
        raise WrongTypeError(f"{msg} Nothing was done.") from None
    if not text.strip() or "\0" in text:
        kind = "an empty string" if not text.strip() else f"no path: {text!r}"
        msg = f"{what} is {kind}. Nothing was done. Choose a directory; '.' is the "
        raise UsageError(f"{msg}current one.")
    expanded = os.path.expanduser(text)
    if expanded == "~" or expanded.startswith("~/"):
        msg = f"{what} is {text!r}, and this system tells of no home folder. Nothing was "
        raise UsageError(f"{msg}done. Give the whole path, or set HOME.")
    try:
        return Path(os.path.abspath(expanded))
    except FileNotFoundError as error:
        msg = "the current directory does not exist any more. Nothing was done. Go to one that does"
        raise DestinationError(f"{msg}: cd DIR.") from error


class Folder:
    """A folder that is held open.

    Parameters
    ----------
    fd : int
        Its descriptor, which this object closes.
    path : str
        Where it was when it was opened; for messages, and for libraries that need a path.
    """

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path
        self._closed = weakref.finalize(self, os.close, fd)

    @classmethod
    def root(cls, path: str | os.PathLike[str]) -> Folder:
        """Open a folder that a user named; its own path may lead through links.

        Raises
        ------
        UnsafeNameError
            If a link lies where there was none when this process was started.
        OSError
        """
        real = os.fspath(path)
        if _GUARDED and f"{real}{os.sep}".startswith(f"{_GUARDED}{os.sep}"):
            return cls._guarded(real)
        return cls(os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), real)

    @classmethod
    def made(cls, path: str | os.PathLike[str]) -> Folder:
        """Make a folder that a user named, and those above it, where they are missing; open it.

        Raises
        ------
        UnsafeNameError, OSError
            As `root` does.
        """
        real = os.fspath(path)
        if _GUARDED and real.startswith(f"{_GUARDED}{os.sep}"):
            os.makedirs(_GUARDED, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                return cls._guarded(real)
            with cls.root(_GUARDED) as top:
                return top.below(filter(None, real[len(_GUARDED) :].split(os.sep)), make=True)
        os.makedirs(real, exist_ok=True)
        return cls.root(real)

    @classmethod
    def _guarded(cls, real: str) -> Folder:
        below = real[len(_GUARDED) :].strip(os.sep) or os.curdir
        with cls._opened(_GUARDED, _OPEN) as top:
            return cls(os.open(below, _OPEN & ~os.O_NOFOLLOW, dir_fd=top.fd), real)

    @classmethod
    def _opened(cls, real: str, flags: int) -> Folder:
        try:
            return cls(os.open(real, flags), real)
        except OSError as error:
            above = flags & _NO_LINKS and os.path.realpath(real) != real
            if error.errno in _LINKS and (above or os.path.islink(real)):
                raise _through_a_link(real) from error
            raise

    @classmethod
    def real(cls, path: str | os.PathLike[str]) -> Folder:
        """Open a folder by its real path: no link is gone through, also none that is new there.

        Parameters
        ----------
        path : str or path
            As ``os.path.realpath`` returned it, maybe long ago.

        Raises
        ------
        UnsafeNameError
            If a link is in the way now.
        OSError
        """
        real = os.fspath(path)
        names = [name for name in real.split(os.sep) if name]
        if not _PATH or not names:
            # macOS takes one of both: what forbids all links forbids one at the end, too.
            flags = _OPEN & ~os.O_NOFOLLOW | _NO_LINKS if _NO_LINKS else _OPEN
            return cls._opened(real, flags)
        here = os.open(os.sep, _PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, name in enumerate(names):
                # A folder that may be searched and not read is gone through, too.
                flags = _OPEN if number == len(names) - 1 else _OPEN | _PATH
                try:
                    there = os.open(name, flags, dir_fd=here)
                except OSError as error:
                    if error.errno in _LINKS and _is_link(here, name):
                        way = os.sep.join(("", *names[: number + 1]))
                        raise _through_a_link(way) from error
                    raise
                os.close(here)
                here = there
        except BaseException:
            os.close(here)
            raise
        return cls(here, real)

    def below(self, names: Iterable[str], *, make: bool = False) -> Folder:
        """Open a folder below this one, step by step.

        Parameters
        ----------
        names : iterable of str
            The names on the way; with none, this folder is opened once more.
        make : bool
            Folders that are missing are made.

        Raises
        ------
        UnsafeNameError
            If one of them is a symbolic link.
        FileNotFoundError
            If one is missing, and none is to be made.
        OSError
            As the system raised it.
        """
        names = list(names)
        return Folder(self.descend(names, make=make), os.sep.join([self.path, *names]))

    def descend(self, names: Sequence[str], *, make: bool = False) -> int:
        """Open a folder as `below` does; return its descriptor, which the caller closes.

        Raises
        ------
        UnsafeNameError, OSError
            As `below` does.
        """
        here = self.fd
        try:
            for number, name in enumerate(names or (".",)):
                there = _step(here, name, (self.path, *names[: number + 1]), make=make)
                here, old = there, here
                if old != self.fd:
                    os.close(old)
        except BaseException:
            if here != self.fd:
                os.close(here)
            raise
        return here

    def names(self) -> list[str]:
        """Return the names in it, as they are now."""
        fd = os.open(".", _OPEN, dir_fd=self.fd)  # its own position: threads may list at once
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def create(self, name: str, flags: int = os.O_RDWR, mode: int = 0o666) -> int:
        """Make a file, which must not exist; return its descriptor.

        Raises
        ------
        FileExistsError
        OSError
        """
        flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=self.fd)

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file; return its descriptor.

        Raises
        ------
        FileNotFoundError
            Also if it is a link, a pipe, or anything else that is no regular file.
        OSError
        """
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (*_LINKS, errno.ENXIO):
                raise _no_file(self.path, name) from error
            raise
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return fd
        except OSError as error:
            if error.errno != errno.ESTALE:  # so NFS says that another host has removed it
                os.close(fd)
                raise
        os.close(fd)
        raise _no_file(self.path, name)

    def write(self, name: str, content: bytes) -> None:
        """Make a file with this content, flushed to the disk; it must not exist.

        Raises
        ------
        FileExistsError, OSError
            Nothing is left of it then.
        """
        self._filled(name, content, flush=True)

    def write_as(self, draft: str, content: bytes, to: Folder, name: str) -> None:
        """Write a file, flushed, under a name of its own; then give it its final name in one step.

        Parameters
        ----------
        draft : str
            Must not exist.
        content : bytes
        to : Folder
            The folder of the final name.
        name : str
            What has this name is replaced.

        Raises
        ------
        OSError
            Nothing is left of the draft then.
        """
        fd = self.create(draft)
        try:
            write_all(fd, content)
            os.fsync(fd)
            self.rename(draft, to, name, file=fd)
        except BaseException:
            self.remove(draft)
            raise
        finally:
            os.close(fd)

    def sign(self, name: str, content: bytes) -> None:
        """Make a file as `write` does; it need not outlive a power cut."""
        self._filled(name, content, flush=False)

    def _filled(self, name: str, content: bytes, *, flush: bool) -> None:
        fd = self.create(name, os.O_WRONLY)
        try:
            try:
                write_all(fd, content)
                if flush:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except BaseException:
            self.remove(name)
            raise

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the content of a regular file.

        Parameters
        ----------
        name : str
        limit : int, optional
            Bytes; no more than this are read.

        Raises
        ------
        FileNotFoundError, OSError
            As `open` does.
        """
        with open(self.open(name), "rb", buffering=0) as file:
            return file.read(-1 if limit is None else limit)

    def look(self, name: str) -> os.stat_result | None:
        """Return what the system says of a name (of a link: of the link); None where it is free."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def look_afresh(self, name: str) -> os.stat_result | None:
        """Look as `look` does, but ask the server whether a name is still free.

        A host of a network file system remembers for a while that there was no such name.
        """
        info = self.look(name)
        return self.look(name) if info is None and is_taken(self.fd, name) else info

    def rename(self, name: str, to: Folder | int, new: str, *, file: int = -1) -> None:
        """Give a file another name, maybe in another folder; what has that name is replaced.

        Parameters
        ----------
        name : str
        to : Folder or int
            The other folder, or its descriptor.
        new : str
        file : int
            The descriptor of the file, where it is open. A file server whose first answer was lost
            is asked again, and says that there is no such file, since it has renamed it. Then it
            is seen that this is so.

        Raises
        ------
        OSError
        """
        fd = to if isinstance(to, int) else to.fd
        try:
            os.replace(name, new, src_dir_fd=self.fd, dst_dir_fd=fd)
        except FileNotFoundError:
            if file < 0 or not is_named(file, fd, new):
                raise

    def remove(self, name: str) -> int:
        """Remove a file or a link; return its bytes, 0 where it cannot be removed."""
        with contextlib.suppress(OSError):
            size = os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_size
            os.unlink(name, dir_fd=self.fd)
            return size
        return 0

    def target(self, name: str) -> str:
        """Return what a link says; "" where there is no link of that name."""
        try:
            return os.readlink(name, dir_fd=self.fd)
        except OSError:
            return ""

    def link(self, target: str, name: str) -> None:
        """Make a symbolic link that says `target`.

        Raises
        ------
        FileExistsError, OSError
        """
        os.symlink(target, name, dir_fd=self.fd)

    def name_again(self, name: str, new: str) -> None:
        """Give a file, or a link (not what is behind it), a further name.

        Raises
        ------
        FileExistsError, OSError
        """
        os.link(name, new, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)

    def sync(self) -> None:
        """Flush the names in it to the disk, where the system can."""
        with contextlib.suppress(OSError):  # some network file systems refuse it, and need it not
            os.fsync(self.fd)

    @property
    def way(self) -> str:
        """A path to it for this process: on Linux through its descriptor, wherever it is now."""
        return f"{_DESCRIPTORS}/{self.fd}" if _DESCRIPTORS else self.path

    def device(self) -> int:
        """Return the number of the file system that it is on."""
        return os.fstat(self.fd).st_dev

    def close(self) -> None:
        """Close it; twice is no error."""
        self._closed()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _step(here: int, name: str, path: Sequence[str], *, make: bool) -> int:
    for tries_left in range(_TRIES if make else 0, -1, -1):
        try:
            return os.open(name, _OPEN, dir_fd=here)
        except FileNotFoundError:
            if not tries_left:
                raise
        except OSError as error:
            if error.errno in _LINKS and _is_link(here, name):
                raise _through_a_link(os.sep.join(path)) from error
            raise
        if _TRIES - tries_left > _IN_STEP:  # who removes it is in step with us
            time.sleep(random.random() * _PAUSE)
        with contextlib.suppress(FileExistsError):  # another process made it meanwhile
            os.mkdir(name, dir_fd=here)
    raise AssertionError  # the last try has returned or raised


def _is_link(here: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _through_a_link(path: str) -> UnsafeNameError:
    return UnsafeNameError(
        f"{path} is a symbolic link, and what is behind it could lie outside of the data "
        "directory. Nothing was written or removed there. Put a real folder in its place."
    )


def _no_file(folder: str, name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "no regular file", f"{folder}{os.sep}{name}")
