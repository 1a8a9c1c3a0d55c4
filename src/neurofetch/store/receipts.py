"""What is written down about the files that were fetched.

Every run appends lines to a journal of its own, so no two processes ever write one file and no
lock is needed; readers merge all journals. Now and then the journals of runs that have ended are
merged into one, which is one atomic replace. There is one small file a run, not one a data file:
clusters count inodes.

A run that ends gives its journal another name, ``ended-…``: from then on nobody writes to it. Only
such journals are merged, and those of processes that were seen to have ended. The journal of a run
of which nothing was heard stays where it is, since the run may go on.

Which of two receipts of one path holds is told by what their writers saw, never by a clock: each
counts one more than the highest that was there when its run began. Two runs at once may count the
same; then the one holds that has the size and the time of the file that is here.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
import warnings
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError
from neurofetch.store.folder import Folder
from neurofetch.store.known import MOST, Receipts
from neurofetch.store.owner import ENDED_PREFIX, Life, Owner, is_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from neurofetch.model import Receipt

__all__ = ["Journal", "read_receipts"]

_MERGE_FROM = 8
"""Journals of ended runs are merged when there are as many."""

_FOLDER = "receipts"
_BASE = "merged-"
_MERGING = "merging-"
_LONGEST_LINE = 1 << 20
"""Bytes. What is longer is no receipt: the names in one are of a few thousand letters."""
_AT_ONCE = 1 << 17
_PAUSES = (0.0,) * 10 + (0.01, 0.02, 0.05, 0.1, 0.2, 0.4) + (0.6,) * 10
"""Seconds before the journals are listed again, where one of them is not there any more."""
_LARGEST = 4 << 30
"""Bytes. What is larger is no journal: ten million files have a smaller one."""


class Journal:
    """The receipts of one state folder, and this run's own journal in it.

    Parameters
    ----------
    state : Path
        The package's folder in the data directory.
    seen : Receipts, optional
        The receipts that were there when the run began: what this run writes counts after them.
        By default they are read when the first receipt is written.
    """

    def __init__(self, state: Path, seen: Receipts | None = None) -> None:
        self._state = state
        self._seen = seen
        self.owner = Owner(state / _FOLDER)
        self._folder: Folder | None = None
        self._fd: int | None = None
        self._lock = threading.Lock()
        self._torn = False
        self._ended = False

    def open(self) -> None:
        """Begin this run's journal; from now on other hosts can see that the run lives.

        Raises
        ------
        UnsafeNameError
            If a link stands in the place of a folder.
        OSError
        """
        self._folder = _opened(self._state, make=True)
        if self._seen is None:
            self._seen = _read_all(self._folder)
        flags = os.O_RDWR | os.O_APPEND
        self._fd = self._folder.create(self.owner.journal.name, flags)
        self.owner.begin()

    def append(self, receipt: Receipt) -> None:
        """Write one receipt; see `append_all`."""
        self.append_all((receipt,))

    def append_all(self, receipts: Iterable[Receipt]) -> None:
        """Write receipts: a single append, each of them whole or not there for every reader.

        Raises
        ------
        OSError
            If they cannot be written, or not all of them.
        """
        with self._lock:
            if self._fd is None and not self._ended:
                self.open()
            data = b"".join(_line(one, self._next(one.path)) for one in receipts)
            if self._fd is None:  # a thread that could not be stopped in time
                self._append_late(data)
                return
            if self._torn:
                data = b"\n" + data
            self._torn = os.write(self._fd, data) != len(data)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.owner.journal))

    def _next(self, path: str) -> int:
        known = None if self._seen is None else self._seen.seq(path)
        return 1 if known is None else min(known + 1, MOST)

    def _append_late(self, data: bytes) -> None:
        """Write a journal of this one receipt; the run's own may be merged already."""
        with _opened(self._state, make=True) as folder:
            _write_whole(
                folder, [data], f"{ENDED_PREFIX}{self.owner.token}.{secrets.token_hex(4)}.jsonl"
            )

    def close(self, *, lingers: bool = False) -> None:
        """End this run's journal: flush it, drop it when it is empty, merge the old ones.

        The files that the receipts tell of are in their places. So what goes wrong here is told by
        a warning.

        Parameters
        ----------
        lingers : bool
            A thread of the run is still at work.
        """
        try:
            with self._lock:
                fd, self._fd, self._ended = self._fd, None, True
            if fd is not None and self._folder is not None:
                self._end(fd, self._folder)
                self._folder.close()
        except OSError as error:
            msg = (
                f"the receipts of this run could not be finished: {error.strerror or error} "
                f"({self._state / _FOLDER}). The files that were fetched are complete. After a "
                "power cut some may count as unknown; `verify --hash --remote` makes them known "
                "again."
            )
            warnings.warn(msg, UserWarning, stacklevel=2)
        finally:
            self.owner.end(lingers=lingers)

    def _end(self, fd: int, folder: Folder) -> None:
        name = self.owner.journal.name
        try:
            os.fsync(fd)
            empty = os.fstat(fd).st_size == 0
            if empty:
                folder.remove(name)
                return
            try:
                folder.rename(name, folder, f"{ENDED_PREFIX}{name}", file=fd)
            except FileNotFoundError:  # somebody removed it, maybe the whole folder
                with open(os.dup(fd), "rb") as file:
                    file.seek(0)
                    self._append_late(file.read())
                return
        finally:
            os.close(fd)
        self._merge(folder)
        folder.sync()

    def _merge(self, folder: Folder) -> None:
        ended = [name for name in _journals(folder) if self._has_ended(name)]
        if len(ended) < _MERGE_FROM:
            return
        receipts = Receipts()
        try:
            ended = [name for name in ended if _read(folder, name, receipts)]
        except FileNotFoundError:
            return  # another run is merging them right now
        target = f"{_BASE}{secrets.token_hex(8)}.jsonl"
        draft = f"{_MERGING}{self.owner.token}.{secrets.token_hex(4)}"
        _write_whole(folder, (_line(one, one.seq) for one in receipts.all()), target, draft)
        for name in ended:  # only now: a crash in between leaves each receipt twice, not lost
            folder.remove(name)
        for name in folder.names():  # what such a crash left
            if name.startswith(_MERGING) and self._is_left(folder, name):
                folder.remove(name)

    def _is_left(self, folder: Folder, name: str) -> bool:
        """Whether nobody writes to a draft any more; a run merges after it closed its journal."""
        token, info = name.removeprefix(_MERGING).partition(".")[0], folder.look(name)
        if info is None or not is_token(token):
            return False
        life = self.owner.life(token)
        return life is Life.ENDED or (life is Life.SILENT and self.owner.is_old(info))

    def _has_ended(self, name: str) -> bool:
        """Whether nobody writes to a journal any more, and nobody will."""
        if name.startswith((_BASE, ENDED_PREFIX)):
            return True
        token = name.removesuffix(".jsonl")
        return is_token(token) and self.owner.life(token) is Life.ENDED


def read_receipts(state: Path, paths: Iterable[str] = ()) -> Receipts:
    """Return all receipts of a state folder; lines that a crash cut short are left out.

    Journals that are there and cannot be read are named in `Receipts.unread`.

    Parameters
    ----------
    state : Path
    paths : iterable of str
        Paths that the caller holds anyway: their receipts take less memory.

    Raises
    ------
    UnsafeNameError
        If a link stands in the place of a folder.
    DestinationError
        If the folder is there and cannot be read.
    """
    try:
        folder = _opened(state)
    except (FileNotFoundError, NotADirectoryError):
        return Receipts()
    except OSError as error:
        msg = (
            f"the folder {state}, where it is written down what was fetched, cannot be read: "
            f"{error.strerror or error}. Nothing was fetched. Ask its owner to let you in (as by "
            "chmod -R g+rwX), or choose another data directory."
        )
        raise DestinationError(msg) from error
    with folder:
        return _read_all(folder, paths)


def _opened(state: Path, *, make: bool = False) -> Folder:
    """Open the folder of journals. The data directory itself may be reached through links."""
    opened = Folder.made if make else Folder.root
    with opened(state.parent) as root:
        return root.below((state.name, _FOLDER), make=make)


def _read_all(folder: Folder, paths: Iterable[str] = ()) -> Receipts:
    """Read all journals. One may vanish meanwhile: another process merged it. Then once more.

    A host of a network file system may for a while be told names that are gone. What cannot be
    found at last is named, and not left out in silence.
    """
    paths = list(paths)
    for pause in _PAUSES:
        receipts = Receipts(paths)
        try:
            for name in _journals(folder):
                _read(folder, name, receipts)
        except FileNotFoundError:
            time.sleep(pause)
            continue
        return receipts
    receipts = Receipts(paths)
    for name in _journals(folder):
        try:
            _read(folder, name, receipts)
        except FileNotFoundError:
            receipts.unread.append(f"{folder.path}{os.sep}{name}: it is listed, and not there")
    return receipts


def _journals(folder: Folder) -> list[str]:
    return sorted(name for name in folder.names() if name.endswith(".jsonl"))


def _read(folder: Folder, name: str, receipts: Receipts) -> bool:
    """Read one journal; whether all of it was read: a link or a pipe is none, and stays."""
    try:
        fd = folder.open(name)
    except FileNotFoundError:
        if folder.look(name) is not None:
            return False
        fd = _ended(folder, name)
    except OSError as error:
        return _unread(folder, name, error, receipts)
    with open(fd, "rb", buffering=_LONGEST_LINE) as file:
        if os.fstat(fd).st_size > _LARGEST:
            receipts.unread.append(f"{folder.path}{os.sep}{name}: it is too large to be one")
            return False
        try:
            for lines in _whole_lines(file):
                receipts.add_lines(lines)
        except OSError as error:
            return _unread(folder, name, error, receipts)
    return True


def _ended(folder: Folder, name: str) -> int:
    """Open the journal of a run that has ended since its name was listed.

    Raises
    ------
    FileNotFoundError
        If it is not there any more: another run has merged it.
    """
    if not is_token(name.removesuffix(".jsonl")):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    try:
        return folder.open(f"{ENDED_PREFIX}{name}")
    except OSError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a file, many at a time; the last one may lack its end."""
    rest = b""
    while data := file.read(_AT_ONCE):
        end = data.rfind(b"\n") + 1
        if end:
            yield rest + data[:end]
            rest = data[end:]
        elif len(rest) < _LONGEST_LINE:
            rest += data
        else:
            rest = b"\0" * _LONGEST_LINE  # no receipt, however it goes on
    if rest:
        yield rest


def _unread(folder: Folder, name: str, error: OSError, receipts: Receipts) -> bool:
    """Note that a journal, such as one of another user, cannot be read."""
    if error.errno == errno.ESTALE:  # so NFS says that another run has removed it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
    receipts.unread.append(f"{folder.path}{os.sep}{name}: {error.strerror or error}")
    return False


def _line(receipt: Receipt, seq: int) -> bytes:
    """Return a receipt as a line of JSON.

    It is put together here, since there is one for every file: an encoder that takes any dictionary
    costs four times as much.
    """
    r = receipt
    listed = f',"listed":{_quoted(r.listed)}' if r.listed else ""
    source = f',"source":{_quoted(r.source)}' if r.source else ""
    damaged = ',"damaged":true' if r.damaged else ""
    version = f',"version":{_quoted(r.version)}' if r.version else ""
    url = f',"url":{_quoted(r.url)}' if r.url else ""
    return (
        f'{{"path":{_quoted(r.path)},"key":{_quoted(r.key)},"etag":{_quoted(r.etag)},'
        f'"size":{r.size},"mtime_ns":{r.mtime_ns},"rung":{_quoted(r.verification.value)},'
        f'"digest":{_quoted(r.digest)},"when":{r.when!r}{version}{url}{listed}{source}{damaged},"seq":{seq}}}\n'
    ).encode("ascii")


def _write_whole(folder: Folder, lines: Iterable[bytes], name: str, draft: str = "") -> None:
    """Write a journal that is there as a whole or not at all."""
    draft = draft or f"{_MERGING}{name.removesuffix('.jsonl').removeprefix(ENDED_PREFIX)}"
    folder.write(draft, b"".join(lines))
    try:
        folder.rename(draft, folder, name)
    except (
        FileNotFoundError
    ):  # done, and the server's first answer was lost: the name is ours alone
        if folder.look_afresh(name) is None:
            raise
    folder.sync()
