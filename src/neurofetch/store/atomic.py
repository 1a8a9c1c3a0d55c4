"""Write a file so that every reader, also after a crash, sees the old content or the new one.

The content goes to a temporary name in the same folder, is flushed to the disk, and takes the final
name in one step. This is the one place where that is written; large data files, whose temporary
names are chosen so that a later run can resume them, use the same steps in `DataDirectory.put`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

from neurofetch.store.afresh import is_there, rename

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "is_draft",
    "is_there",
    "read_at",
    "read_regular",
    "replacing",
    "sync_directory",
    "write_all",
    "write_at",
    "write_atomically",
]

_DRAFT = re.compile(r"[0-9]+-[0-9a-f]{12}")
_TRIES = 5
"""How often a file is read that other hosts replace meanwhile."""


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str],
    *,
    private: bool = False,
    draft: str | None = None,
    flush: bool = True,
    own: bool = False,
) -> Iterator[str]:
    """Give a temporary name; the file of that name replaces `path` when the block ends well.

    The temporary file exists and is empty when the block begins, so that a full or read-only disk
    is found out before any work is done. It ends like `path` (tools look at ``.nii.gz``), and
    begins with a dot (searches for data files do not find it).

    Parameters
    ----------
    path : path
        Its folder must exist.
    private : bool
        The file is readable by its owner only, from its first moment on.
    draft : str, optional
        The temporary name to take, in the same folder: for those who sweep up what a crash left,
        and tell by the name whose it was.
    flush : bool
        Without it, a power cut may take the content away; for those who flush it themselves.
    own : bool
        The folder is this program's alone: whatever stands there is replaced.

    Raises
    ------
    OSError
        As the system raised it, or because a device, pipe or socket is there, which others need;
        nothing is left behind, and what stood at `path` still does.
    """
    if not own:
        _refuse_devices(path)
    folder, name = os.path.split(os.fspath(path))
    name = draft or f".{os.getpid()}-{secrets.token_hex(6)}.{name}"
    temporary = os.path.join(folder, name)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    try:
        yield temporary
        if flush:
            _flush(temporary)
        rename(temporary, os.fspath(path), fd)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    if flush:
        sync_directory(folder or ".")


def is_draft(path: str, of: str) -> bool:
    """Whether a path is one that `replacing` takes for a file until that is whole.

    Parameters
    ----------
    path, of : str
        Whole paths.

    Examples
    --------
    >>> is_draft("/data/.7-00aabbccddee.x.json", "/data/x.json")
    True
    """
    folder, name = os.path.split(of)
    mark = path.removeprefix(os.path.join(folder, ".")).removesuffix(f".{name}")
    return len(mark) == len(path) - len(of) - 2 and _DRAFT.fullmatch(mark) is not None


def _refuse_devices(path: str | os.PathLike[str]) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:  # nothing is there, or a link that leads nowhere
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "a device, pipe or socket is there", os.fspath(path))


def _flush(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(
    path: str | os.PathLike[str],
    content: bytes | Iterable[bytes],
    *,
    private: bool = False,
    draft: str | None = None,
    flush: bool = True,
    own: bool = False,
) -> None:
    """Write bytes, or pieces of them, as the whole content of a file; see `replacing`.

    Parameters
    ----------
    path : path
        Its folder is made if need be.
    content : bytes or iterable of bytes
    private : bool
        The file is readable by its owner only.
    draft : str, optional
        The temporary name to take; see `replacing`.
    flush : bool
        Whether to flush it; see `replacing`.
    own : bool
        Whether whatever stands there is replaced; see `replacing`.

    Raises
    ------
    OSError
    """
    os.makedirs(os.path.dirname(os.fspath(path)) or ".", exist_ok=True)
    pieces = [content] if isinstance(content, bytes) else content
    with (
        replacing(path, private=private, draft=draft, flush=flush, own=own) as temporary,
        open(temporary, "wb") as file,
    ):
        file.writelines(pieces)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    with contextlib.suppress(OSError):  # some network file systems refuse it, and need it not
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # a pipe in its place would wait for ever
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file, which may be reached through links.

    Raises
    ------
    FileNotFoundError
        Also where something else stands there: to open a pipe waits for ever.
    OSError
    """
    for _ in range(_TRIES):
        with contextlib.suppress(_ReplacedError):
            return _read_now(path)
    raise FileNotFoundError(errno.ENOENT, "replaced again and again", os.fspath(path))


class _ReplacedError(Exception):
    """Another host replaced a file that is open here, and NFS has no more of it (ESTALE)."""


def _read_now(path: str | os.PathLike[str]) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file", os.fspath(path))
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return file.read()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        raise _ReplacedError from error
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it, however little the system takes at once."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def write_at(fd: int, data: bytes | memoryview, position: int) -> None:
    """Write all of it at a position of the file, however little the system takes at once."""
    written = os.pwrite(fd, data, position)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], position + written)


def read_at(fd: int, buffer: memoryview, position: int) -> int:
    """Fill a buffer from a position of the file; return how much came: less only at its end."""
    done = 0
    while done < len(buffer):
        count = os.preadv(fd, [buffer[done:]], position + done)
        if not count:
            break
        done += count
    return done
