"""What is written down about the files that were fetched.

Every run appends lines to a journal of its own, so no two processes ever write one file and no
lock is needed; readers merge all journals, the latest line of a path wins. Now and then the
journals of runs that have ended are merged into one, which is one atomic replace. There is one
small file a run, not one a data file: clusters count inodes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import threading
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any

from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store.atomic import sync_directory, write_atomically
from neurofetch.store.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Journal", "read_receipts"]

_MERGE_FROM = 8
"""Journals of ended runs are merged when there are as many."""

_BASE = "merged-"
_MERGING = "merging-"


class Journal:
    """The receipts of one state folder, and this run's own journal in it.

    Parameters
    ----------
    state : Path
        The package's folder in the data directory.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / "receipts"
        self.owner = Owner(self._folder)
        self._fd: int | None = None
        self._lock = threading.Lock()
        self._torn = False
        self._ended = False

    def open(self) -> None:
        """Begin this run's journal; from now on other hosts can see that the run lives."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._fd = self._opened()
        self.owner.begin()

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.open(self.owner.journal, flags, 0o666)

    def append(self, receipt: Receipt) -> None:
        """Write one receipt: a single append, whole or not at all for every reader."""
        data = _line(receipt)
        with self._lock:
            if self._ended:  # a thread that could not be stopped in time
                self._append_late(data)
                return
            if self._fd is None:
                self.open()
            if self._torn:
                data = b"\n" + data
            self._torn = os.write(self._fd, data) != len(data)  # type: ignore[arg-type]
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.owner.journal))

    def _append_late(self, data: bytes) -> None:
        fd = self._opened()
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End this run's journal: flush it, drop it when it is empty, merge the old ones."""
        with self._lock:
            fd, self._fd, self._ended = self._fd, None, True
        if fd is None:
            return
        self.owner.end()
        try:
            os.fsync(fd)
            empty = os.fstat(fd).st_size == 0
        finally:
            os.close(fd)
        if empty:
            self.owner.journal.unlink(missing_ok=True)
        else:
            self._merge()
            sync_directory(self._folder)

    def _merge(self) -> None:
        ended = [p for p in _journals(self._folder) if self._has_ended(p)]
        if len(ended) < _MERGE_FROM:
            return
        try:
            receipts = _merged(ended)
        except FileNotFoundError:
            return  # another run is merging them right now
        lines = map(_line, receipts.values())
        target = self._folder / f"{_BASE}{secrets.token_hex(8)}.jsonl"
        write_atomically(target, lines, draft=f"{_MERGING}{self.owner.token}")
        for path in ended:  # only now: a crash in between leaves each receipt twice, not lost
            path.unlink(missing_ok=True)
        for name in os.listdir(self._folder):  # what such a crash left
            if name.startswith(_MERGING) and self.owner.is_dead(name.removeprefix(_MERGING)):
                (self._folder / name).unlink(missing_ok=True)

    def _has_ended(self, path: Path) -> bool:
        token = path.name.removesuffix(".jsonl")
        return token.startswith(_BASE) or token == self.owner.token or self.owner.is_dead(token)


def read_receipts(state: Path) -> dict[str, Receipt]:
    """Return all receipts of a state folder by path; lines that a crash cut short are left out.

    A journal may vanish while we read: another process merged it. Then we read again.
    """
    for _ in range(20):
        journals = _journals(state / "receipts")
        with contextlib.suppress(FileNotFoundError):
            return _merged(journals)
    return _merged(_journals(state / "receipts"))


def _journals(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if name.endswith(".jsonl")]


def _merged(journals: Iterable[Path]) -> dict[str, Receipt]:
    latest: dict[str, Receipt] = {}
    for journal in journals:
        for line in journal.read_bytes().splitlines():
            receipt = _from_line(line)
            if receipt is None:
                continue
            known = latest.get(receipt.path)
            if known is None or receipt.when >= known.when:
                latest[receipt.path] = receipt
    return latest


def _from_line(line: bytes) -> Receipt | None:
    """Parse one line; None for one that is no whole receipt."""
    try:
        data: dict[str, Any] = json.loads(line)
        return Receipt(
            data["path"],
            data["key"],
            data["etag"],
            data["size"],
            data["mtime_ns"],
            VerificationLevel(data["rung"]),
            data["digest"],
            data["when"],
            str(data.get("listed", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _line(receipt: Receipt) -> bytes:
    """Return a receipt as a line of JSON.

    It is put together here, since there is one for every file: an encoder that takes any dictionary
    costs four times as much.
    """
    r = receipt
    listed = f',"listed":{_quoted(r.listed)}' if r.listed else ""
    return (
        f'{{"path":{_quoted(r.path)},"key":{_quoted(r.key)},"etag":{_quoted(r.etag)},'
        f'"size":{r.size},"mtime_ns":{r.mtime_ns},"rung":{_quoted(r.verification.value)},'
        f'"digest":{_quoted(r.digest)},"when":{r.when!r}{listed}}}\n'
    ).encode("ascii")
