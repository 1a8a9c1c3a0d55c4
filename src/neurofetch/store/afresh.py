"""Ask a file server itself, where this host may remember old things, and where an answer was lost.

A host of a network file system remembers for a while that there is no such name. And a server whose
answer was lost is asked again: to rename a file that it has renamed already. Then it says that
there is no such file. Nothing here is asked where all goes well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

__all__ = ["is_named", "is_taken", "is_there", "rename"]

_BLOCK = 1 << 20
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def is_taken(folder: int, name: str) -> bool:
    """Whether a name is taken, as the server of the folder (a descriptor) says now.

    To open the folder makes NFS ask its server what has changed. FUSE and SMB ask before they make
    a name; so one is made that cannot be: no folder has a further name, nothing is ever made.
    """
    with contextlib.suppress(OSError, NotImplementedError):
        os.close(os.open(".", _OPEN, dir_fd=folder))
        os.link(".", name, src_dir_fd=folder, dst_dir_fd=folder)
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at a path, as its server says now; see `is_taken`."""
    folder, name = os.path.split(os.fspath(path))
    try:
        fd = os.open(folder or ".", _OPEN)
    except OSError:
        return False
    try:
        return is_taken(fd, name)
    finally:
        os.close(fd)


def is_named(file: int, folder: int, name: str) -> bool:
    """Whether a name is that of an open file, though the system said that it was not given.

    Some file servers number a file anew under its new name: then its size, its time and its bytes
    tell. Time alone does not, where a disk keeps it by seconds: another host's file may be there.
    """
    if not is_taken(folder, name):
        return False
    try:
        mine = os.fstat(file)
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:  # another host has replaced it meanwhile
        return False
    if not stat.S_ISREG(info.st_mode) or os.path.samestat(info, mine):
        return stat.S_ISREG(info.st_mode)
    same = info.st_size == mine.st_size and info.st_mtime_ns == mine.st_mtime_ns
    return same and _holds_as_much(file, folder, name)


def _holds_as_much(file: int, folder: int, name: str) -> bool:
    """Whether a file of this name has the bytes of one that is open."""
    try:
        other = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        position = 0
        while block := os.pread(other, _BLOCK, position):
            if os.pread(file, len(block), position) != block:
                return False
            position += len(block)
    except OSError:  # such as one that is open for writing alone
        return False
    finally:
        os.close(other)
    return True


def rename(temporary: str, path: str, file: int) -> None:
    """Give a file that is open (its descriptor) its final name in the same folder.

    Raises
    ------
    OSError
        FileNotFoundError only if the final name is not that of the file, nor was: another host may
        have put its own there since.
    """
    try:
        os.replace(temporary, path)
    except FileNotFoundError:
        folder, name = os.path.split(path)
        fd = os.open(folder or ".", _OPEN)
        try:
            replaced = _was_replaced(file) and is_taken(fd, name)
            if not (replaced or is_named(file, fd, name)):
                raise
        finally:
            os.close(fd)


def _was_replaced(file: int) -> bool:
    """Whether another host has taken the only name of an open file: so NFS says it."""
    try:
        os.fstat(file)
    except OSError as error:
        return error.errno == errno.ESTALE
    return False
