"""Read a lock file, line by line. It may come from anybody, so every line is checked."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from neurofetch._threads import few_collections
from neurofetch.lockfile.values import Head, LockedFile, bad, file_of, head_of
from neurofetch.planning.local_path import meet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from neurofetch.errors import LockFileError

__all__ = ["read_files", "read_lock"]

_LONGEST = 1 << 20
"""Bytes. What is longer is no line of a lock."""
_MARKS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")
_EDITED = "Get it anew from where it is published, or make it again with `neurofetch lock`."


def read_lock(path: str | os.PathLike[str]) -> tuple[Head, tuple[LockedFile, ...]]:
    """Return what a lock file says.

    Parameters
    ----------
    path : path

    Raises
    ------
    LockFileError
        If it cannot be read, or is not a whole lock. It names the line.
    """
    where = os.fspath(path)
    with _opened(where) as file, few_collections():
        head = head_of(_first(file, where), where)
        files = tuple(read_files(file, where, head))
    if meet([one.path for one in files]):
        _check_folders(files, where)
    return head, files


def _opened(path: str) -> BinaryIO:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
        return open(fd, "rb", buffering=_LONGEST)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise bad(path, 0, f"the lock file cannot be read: {said}", "Check the path.") from error


def _first(file: BinaryIO, where: str) -> bytes:
    line = _line(file, where, 1)
    if not line:
        raise bad(where, 0, "the lock file is empty")
    if line.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        what = "it begins with a byte order mark, which an editor put there: these are other bytes"
        raise bad(where, 1, what, _EDITED)
    return _checked(line, where, 1)


def _line(file: BinaryIO, where: str, number: int) -> bytes:
    try:
        return file.readline(_LONGEST)
    except OSError as error:
        raise bad(where, number, f"it cannot be read: {error.strerror or error}") from error


def _checked(line: bytes, where: str, number: int) -> bytes:
    """See that a line is one, whatever it says."""
    if line.startswith(_MARKS):
        what = f"it is a mark of a merge conflict of git, {line[:7].decode()}"
        raise bad(where, number, what, f"Take one of the two sides whole. {_EDITED}")
    if line.endswith(b"\r\n") and _is_text(line):
        what = "it ends as lines of Windows do (CR LF), so these are other bytes"
        advice = "Let git leave the file alone (*.lock -text in .gitattributes). "
        raise bad(where, number, what, advice + _EDITED)
    if not line.endswith(b"\n"):
        if len(line) >= _LONGEST:
            raise bad(where, number, "it is too long for a line of a lock")
        if line.lstrip().startswith(b"{"):
            raise bad(where, number, "the file ends in the middle of this line: it was cut")
        return line
    if not line.strip():
        raise bad(where, number, "it is empty", _EDITED)
    return line


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_files(file: BinaryIO, where: str, head: Head) -> Iterator[LockedFile]:
    """Give the files of a lock, one at a time; the first line was read.

    Parameters
    ----------
    file : binary file
    where : str
        For messages.
    head : Head
        What the first line said: how much must follow.

    Raises
    ------
    LockFileError
    """
    number, size, before = 1, 0, ""
    while line := _line(file, where, number + 1):
        number += 1
        one = file_of(_checked(line, where, number), where, number)
        if one.path <= before:
            raise _disorder(one.path, before, where, number)
        before, size = one.path, size + one.size
        yield one
    if number - 1 != head.files:
        what = f"the first line tells of {head.files:,} files, and there are {number - 1:,}"
        more = ": the end is missing" if number - 1 < head.files else ""
        raise bad(where, number, f"this is the last line; {what}{more}")
    if size != head.bytes:
        what = f"the first line tells of {head.bytes:,} bytes, and the files have {size:,}"
        raise bad(where, 1, what, _EDITED)


def _disorder(path: str, before: str, where: str, number: int) -> LockFileError:
    if path == before:
        return bad(where, number, f"it names {path!r} again, as the line before", _EDITED)
    what = f"{path!r} comes after {before!r}: the lines of a lock are sorted by path"
    return bad(where, number, what, _EDITED)


def _check_folders(files: tuple[LockedFile, ...], where: str) -> None:
    """See that no path is a file and a folder of others.

    Raises
    ------
    LockFileError
    """
    numbers = {one.path: number for number, one in enumerate(files, 2)}
    for one in files:
        folder = one.path.rpartition("/")[0]
        while folder:
            if folder in numbers:
                what = f"{folder!r} is a file, and {one.path!r} needs a folder there"
                raise bad(where, numbers[folder], what)
            folder = folder.rpartition("/")[0]
