"""Flush files to the disk: many with one flush, and beginning while they are written.

A flush is a journey to the device, or over the network to it, and takes as long for one file as for
hundreds. So files are flushed in batches. Where that is known to do all that is promised, one call
flushes the whole file system (``syncfs``); elsewhere the files are flushed one by one and, if each
takes long, many at once. And what is written is sent on its way to the disk soon
(``sync_file_range``), which promises nothing, but leaves little for the flush to wait for. For
files that are in memory only, there is nothing to flush.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from neurofetch._threads import together
from neurofetch.store.atomic import sync_directory
from neurofetch.store.folder import Folder
from neurofetch.store.kinds import kind_of as _kind
from neurofetch.store.kinds import libc as _libc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["Flusher", "begin_write_out", "is_in_memory", "side_by_side", "wait_for_write_out"]

T = TypeVar("T")

_BEGIN, _WAIT = 2, 1  # SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_BEFORE
_NOT_HERE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ESPIPE)
"""What systems say that do not know a call, or do not allow it."""

_WHOLE = frozenset({0xEF53, 0x58465342, 0x9123683E})
"""File systems (ext4, XFS, btrfs) whose ``syncfs`` flushes the device too, and tells of errors."""
_MEMORY = frozenset({0x01021994, 0x858458F6})
"""File systems (tmpfs, ramfs) that are in memory only: their flush does nothing."""
_MOUNTS = "/proc/self/mountinfo"
_TELLS = (5, 17)
"""The first Linux whose ``syncfs`` returns all errors of the file system: before, only some."""
_FEW = 8
"""Files; fewer are flushed one by one."""
_MOST_DIRTY = 256 << 20
"""Bytes. ``syncfs`` also waits for what others have written, and that is to be little."""
_LONG = 1.0
"""Seconds. A ``syncfs`` that took longer was the last one of its run."""

_TRIAL = 0.01
"""Seconds in which things are done one by one, before it is asked whether they take long."""
_SLOW = 0.0002
"""Seconds. What takes longer is done side by side."""
_ABREAST = 32


class Flusher:
    """Flushes the files of one run, and remembers how that went."""

    def __init__(self) -> None:
        self._at_once = True
        """Whether to flush whole file systems."""

    def flush(self, files: Sequence[int], folder: int) -> dict[int, OSError]:
        """Flush files of one file system.

        Parameters
        ----------
        files : sequence of int
            Their descriptors.
        folder : int
            The descriptor of a folder there. It was opened before the first of the files was, so
            that no error since then is missed.

        Returns
        -------
        dict of int to OSError
            The files that could not be flushed, each with its own error.
        """
        if len(files) >= _FEW and self._all_of(folder):
            return {}
        errors = side_by_side([partial(_flushed, fd) for fd in files])
        return {fd: error for fd, error in zip(files, errors, strict=True) if error is not None}

    def flush_folders(self, root: Path, folders: Iterable[str]) -> None:
        """Flush the names in folders below a root; what refuses that is passed over."""
        devices: dict[int, list[str]] = {}
        for folder in folders:
            path = os.path.join(root, folder)
            with contextlib.suppress(OSError):
                devices.setdefault(os.stat(path).st_dev, []).append(path)
        for paths in devices.values():
            if len(paths) < _FEW or not self._names(paths[0]):
                side_by_side([partial(sync_directory, path) for path in paths])

    def _names(self, path: str) -> bool:
        """Flush all names of the file system of a folder, if that is the thing to do."""
        try:
            with Folder.root(path) as folder:
                return self._all_of(folder.fd)
        except OSError:
            return False

    def _all_of(self, folder: int) -> bool:
        """Flush the file system of a folder, if that is the thing to do; whether all is flushed."""
        if not self._at_once or not _flushes_all(folder) or _dirty() > _MOST_DIRTY:
            return False
        began = time.monotonic()
        done = _syncfs(folder)
        self._at_once = done and time.monotonic() - began < _LONG
        return done


def begin_write_out(fd: int) -> None:
    """Send what was written to a file on its way to the disk, where the system can; not waiting.

    What goes wrong is told by the flush.
    """
    call = _libc("sync_file_range")
    if call is not None:
        call(fd, 0, 0, _BEGIN)


def wait_for_write_out(fd: int, end: int) -> None:
    """Wait until what is under way to the disk, of the bytes before `end`, is there.

    Raises
    ------
    OSError
        If it could not be written. The flush does not tell it again.
    """
    call = _libc("sync_file_range")
    if call is not None and end > 0 and call(fd, 0, end, _WAIT):
        import ctypes  # noqa: PLC0415 - `_libc` has it

        number = ctypes.get_errno()
        if number not in _NOT_HERE:
            raise OSError(number, os.strerror(number))


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Return what these calls return, in their order; many at once, if each takes long.

    On a quick disk the first ones are over before a thread would have started.
    """
    results: list[T] = []
    began = time.monotonic()
    for number, call in enumerate(calls, 1):
        results.append(call())
        took, left = time.monotonic() - began, len(calls) - number
        if left and took > _TRIAL and took > _SLOW * number:
            return results + together(calls[number:], min(left, _ABREAST))
    return results


def _flushed(fd: int) -> OSError | None:
    try:
        os.fsync(fd)
    except OSError as error:
        return error
    return None


# -- the system ------------------------------------------------------------------------------


def _syncfs(folder: int) -> bool:
    """Flush a file system; False if something of it, maybe not ours, could not be flushed."""
    call = _libc("syncfs")
    return call is not None and call(folder) == 0


@cache
def _tells() -> bool:
    """Whether this system's ``syncfs`` tells all errors."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= _TELLS


def is_in_memory(folder: int) -> bool:
    """Whether a folder (its descriptor) is on a file system where there is nothing to flush."""
    return _kind(folder) in _MEMORY


def _flushes_all(folder: int) -> bool:
    """Whether ``syncfs`` does all that is promised, on the file system of a folder."""
    return _tells() and _kind(folder) in _WHOLE and not _is_elsewhere(os.fstat(folder).st_dev)


@cache
def _is_elsewhere(device: int) -> bool:
    """Whether a file system only shows the number of another: 9p tells that of its server's."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(_MOUNTS, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return True  # not told
    return any(line[2] == number and line[line.index("-") + 1] == "9p" for line in lines)


def _dirty() -> int:
    """Return the bytes that all programs have written, and that are not on their disks yet."""
    try:
        with open("/proc/meminfo", "rb") as file:
            text = file.read()
    except OSError:
        return _MOST_DIRTY + 1  # not told
    lines = re.findall(rb"^(?:Dirty|Writeback):\s+(\d+) kB", text, re.MULTILINE)
    return sum(map(int, lines)) << 10
