"""Which entries of a cache somebody uses now, for those who make room.

Each process has one file in ``uses/``, which it holds locked (``flock``) as long as it lives; each
line is the name of an entry, after "+" where it is used from then on, and after "-" where it is not
any more. The lock goes with the process, however it ends, and so do its claims.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

from neurofetch.opening.entry import make_private
from neurofetch.opening.forks import ForkingLock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Uses"]

_LARGEST = 1 << 20
"""Bytes; a file that is larger is written anew."""
_TRIES, _MOMENT = 200, 0.01
_DAY = 86400.0
"""Seconds for which a file counts where the file system knows no locks."""


class Uses:
    """What this process uses of a cache, and what others do.

    Parameters
    ----------
    folder : Path
        It is made at the first use.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = ForkingLock()
        self._counts: Counter[str] = Counter()
        self._fd = -1
        self._pid = 0
        self._path: Path | None = None

    def begin(self, name: str) -> None:
        """Say that an entry is used from now on.

        Raises
        ------
        OSError
            If that cannot be written down.
        """
        with self._lock:
            self._counts[name] += 1
            if self._counts[name] == 1 or self._lost():
                self._say(f"+{name}\n")

    def end(self, name: str) -> None:
        """Say that one use of an entry is over."""
        with self._lock:
            self._counts[name] -= 1
            if self._counts[name] > 0:
                return
            del self._counts[name]
            # Where it cannot be written, the entry only stays for longer.
            with contextlib.suppress(OSError):
                self._say(f"-{name}\n")

    def _say(self, line: str) -> None:
        if self._lost() or os.fstat(self._fd).st_size > _LARGEST:
            self._anew()
            return
        os.write(self._fd, line.encode())

    def _lost(self) -> bool:
        """Whether the file is not that of this process, or was removed with the cache."""
        return self._pid != os.getpid() or not os.fstat(self._fd).st_nlink

    def _anew(self) -> None:
        """Begin a file with all that is used: it is there before the old one goes."""
        make_private(self._folder)
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _lock(fd)
        os.write(fd, "".join(f"+{name}\n" for name in self._counts).encode())
        old, mine = self._fd, self._pid == os.getpid()
        before, self._path, self._fd, self._pid = self._path, path, fd, os.getpid()
        if old >= 0:
            with contextlib.suppress(OSError):
                os.close(old)
        if mine and before is not None:
            before.unlink(missing_ok=True)

    def all(self) -> set[str]:
        """Return the names of all entries that living processes use; the files of others go."""
        used: Counter[str] = Counter()
        with self._lock:
            used.update(self._counts.keys())
        try:
            paths = list(self._folder.iterdir())
        except OSError:
            return set(used)
        for path in paths:
            with contextlib.suppress(OSError):
                used.update(_of(path))
        return set(used)

    def close(self) -> None:
        """Give up all of it: the process ends."""
        with self._lock:
            if self._fd >= 0 and self._pid == os.getpid():
                with contextlib.suppress(OSError):  # a file server that went away
                    os.close(self._fd)
                if self._path is not None:
                    with contextlib.suppress(OSError):
                        self._path.unlink(missing_ok=True)
            self._fd, self._pid, self._path = -1, 0, None
            self._counts.clear()


def _lock(fd: int) -> None:
    """Hold the file of this process; one who looks at it just now has it for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_MOMENT)
        except OSError:  # no locks there: its age will tell
            return
        else:
            return


def _of(path: Path) -> list[str]:
    """Return what the process of one file uses; it is removed where the process has ended."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        lives = False
        try:
            # Shared: a file open for reading takes no exclusive lock on NFS.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            lives = True
        except OSError:
            lives = time.time() - os.fstat(fd).st_mtime < _DAY
        if not lives:
            if os.fstat(fd).st_size:  # an empty one is just being made
                path.unlink(missing_ok=True)
            return []
        with open(os.dup(fd), encoding="utf-8", errors="replace") as file:
            return _net(file.read())
    finally:
        os.close(fd)


def _net(text: str) -> list[str]:
    used: set[str] = set()
    for line in text.split("\n")[:-1]:
        name = line[1:]
        if line[:1] == "+":
            used.add(name)
        else:
            used.discard(name)
    return list(used)
