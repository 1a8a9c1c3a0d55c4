"""How files get their final names: many with one flush, and nobody who fetches waits for it.

Who has a verified file hands it over and goes on. The settler, a thread of its own, takes what has
gathered, flushes it, gives each its name, writes the receipts, and only then tells the owners. So a
final name never holds what a power cut could take away, and a receipt never tells of a file that
had no name yet; there is one flush for hundreds of files. See ADR 4.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from neurofetch.errors import TransientError
from neurofetch.model import Receipt
from neurofetch.store.atomic import write_all
from neurofetch.store.flush import Flusher, begin_write_out, is_in_memory, side_by_side
from neurofetch.store.origins import kept_address
from neurofetch.store.partials import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from neurofetch.integrity.verification import Verified
    from neurofetch.model import Step
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.folder import Folder
    from neurofetch.store.partials import Partials, Temporary
    from neurofetch.store.receipts import Journal
    from neurofetch.transfer.schedule import Schedule
    from neurofetch.transfer.tally import Tally

__all__ = ["FILE_GONE", "MOST_WAITING", "LostTemporaryError", "Ready", "Settler", "as_lost"]

FILE_GONE = "its temporary file was removed by another process"

MOST_WAITING = 512
"""Descriptors of files that wait for their names; half of them are a batch."""
_BATCH_BYTES = 64 << 20
_GATHER = 0.2
"""Seconds, at most, that a file waits for others to be flushed with."""
_WORTH_IT = 256 << 10
"""Bytes; a larger file is sent on its way to the disk as soon as it is here."""
_ROW = 64
"""Files in memory, where there is nothing to flush: who brings the last of so many settles them.
Two threads that take turns at that would cost more than it does."""
_COUNTED = 16 << 20
"""Bytes; of a larger file most is on the disk already."""


class LostTemporaryError(TransientError):
    """Another process removed a temporary file: it took this run for dead. To be fetched again."""


def as_lost(path: str, error: BaseException) -> BaseException:
    """Return a `LostTemporaryError` where NFS says that an open file was removed elsewhere.

    Parameters
    ----------
    path : str
        The final name of the file.
    error : BaseException
        Returned as it is, where it is something else.
    """
    if type(error) is OSError and error.errno == errno.ESTALE:
        lost = LostTemporaryError(f"{path}: {FILE_GONE}")
        lost.__cause__ = error
        return lost
    return error


@dataclass(frozen=True, slots=True)
class Ready:
    """A verified file that is to get its name.

    Parameters
    ----------
    step : Step
    temporary : Temporary
        The file, open; it is left open.
    verified : Verified
    size : int
        Bytes.
    over : callable
        Called once, in any thread: with None when the file has its name and its receipt is
        written, else with what went wrong.
    descriptors : int
        How many it holds open.
    """

    step: Step
    temporary: Temporary
    verified: Verified
    size: int
    over: Callable[[BaseException | None], None]
    descriptors: int = 1


class Settler:
    """Gives verified files their names.

    Parameters
    ----------
    directory : DataDirectory
    journal : Journal
    partials : Partials
    schedule : Schedule
        Told when files wait; it says when there is nothing else to do.
    tally : Tally
        Told of a fault of our own.
    most : int
        Descriptors that waiting files may hold open. With 0, and while no thread calls `run`, a
        file is settled by the thread that brings it.
    """

    def __init__(
        self,
        directory: DataDirectory,
        journal: Journal,
        partials: Partials,
        *,
        schedule: Schedule,
        tally: Tally,
        most: int,
    ) -> None:
        self.flusher = Flusher()
        self._directory = directory
        self._journal = journal
        self._partials = partials
        self._schedule = schedule
        self._tally = tally
        self._most = most
        self._waiting: deque[tuple[float, Ready]] = deque()
        self._open = 0
        """Descriptors of files that wait, or are being settled."""
        self._gathered = 0
        """Bytes of files that wait."""
        self._on_disk = 0
        """How many of them there is something to flush for."""
        self._memory: dict[Folder, bool] = {}
        """Whether a folder of temporary files is in memory; they are open for the whole run."""
        self._held = False
        self._hurried = False
        self._serves = False
        self._one = threading.Lock()
        """Held by who settles a batch."""
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._wake = threading.Event()

    # -- for the threads that fetch ----------------------------------------------------------

    def give(self, ready: Ready) -> None:
        """Hand over a file. Its end comes in another thread, at any moment from now on."""
        if ready.size > _WORTH_IT:
            begin_write_out(ready.temporary.fd)
        in_memory = self._in_memory(ready.temporary.folder)
        with self._room:
            while self._serves and self._open and self._open + ready.descriptors > self._most:
                self._room.wait()
            serves, batch = self._serves, []
            if serves:
                self._take_in(ready)
                self._on_disk += not in_memory
                if len(self._waiting) >= _ROW and not self._on_disk:
                    batch = self._batch()
        if not serves:
            self._settle([ready])
        elif batch:
            self._settle_waiting(batch)

    def _settle_waiting(self, batch: Sequence[Ready]) -> None:
        """Settle files that waited, while nobody else settles others."""
        with self._one:
            self._settle(batch)
        with self._room:
            self._open -= sum(ready.descriptors for ready in batch)
            self._room.notify_all()
            if not self._open:
                self._wake.set()

    def _in_memory(self, folder: Folder) -> bool:
        """Whether there is nothing to flush for the files in a folder."""
        known = self._memory.get(folder)
        if known is None:
            known = self._memory[folder] = is_in_memory(folder.fd)
        return known

    def _take_in(self, ready: Ready) -> None:
        if not self._waiting:
            self._wake.set()
        self._waiting.append((time.monotonic(), ready))
        self._open += ready.descriptors
        self._gathered += min(ready.size, _COUNTED)
        if not self._held:
            self._held = True
            self._schedule.hold(self._hurry)
        elif self._full():
            self._wake.set()

    def _hurry(self) -> None:
        """Settle at once what waits: nothing else is to be done."""
        self._hurried = True
        self._wake.set()

    # -- the thread --------------------------------------------------------------------------

    def serve(self) -> None:
        """Say that a thread calls `run`, or is about to; nothing with descriptors for none."""
        self._serves = self._most > 0

    def end(self) -> None:
        """Say that no more files come; those that wait are settled, and `run` returns."""
        with self._room:
            self._serves = False
            self._room.notify_all()
        self._wake.set()

    def run(self) -> None:
        """Settle files until the end."""
        try:
            while batch := self._next():
                self._settle_waiting(batch)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            self._tally.end_all(error)
        finally:
            self.end()
            self._schedule.let_go()

    def _next(self) -> list[Ready]:
        """Wait for files, and for others to come along; none at the end."""
        while True:
            with self._room:
                self._wake.clear()
                left = self._patience()
                if left is not None and left <= 0:
                    return self._batch()
                if self._held and not self._open:
                    self._held = False
                    self._schedule.let_go()
                if not self._serves and not self._waiting:
                    return []
            self._wake.wait(left)

    def _patience(self) -> float | None:
        """Return the seconds until a batch is closed; None while none has begun."""
        if not self._waiting:
            return None
        if self._full() or self._hurried or not self._serves:
            return 0.0
        return self._waiting[0][0] + _GATHER - time.monotonic()

    def _full(self) -> bool:
        return self._open * 2 >= self._most or self._gathered >= _BATCH_BYTES

    def _batch(self) -> list[Ready]:
        batch = [ready for _, ready in self._waiting]
        self._waiting.clear()
        self._on_disk = 0
        self._gathered = 0
        self._hurried = False
        return batch

    # -- flush, name, receipt, end -----------------------------------------------------------

    def _settle(self, batch: Sequence[Ready]) -> None:
        """Settle files: each has its name, and its receipt, or is told why not."""
        flushed = self._flushed(batch)
        named: list[tuple[Ready, Receipt]] = []
        for row in _by(flushed, _folder_of):
            named += self._named(row)
        written = self._written(named)
        side_by_side([partial(self._tell, ready, None) for ready in written])

    def _tell(self, ready: Ready, error: BaseException | None) -> None:
        try:
            ready.over(error and as_lost(ready.step.want.path, error))
        except BaseException as problem:  # noqa: BLE001 - raised again in the calling thread
            self._tally.end_all(problem)

    def _flushed(self, batch: Sequence[Ready]) -> list[Ready]:
        """Flush files, those of each file system together; return those that are on the disk."""
        done: list[Ready] = []
        for row in _by(batch, _home_of):
            folder = row[0].temporary.folder
            if self._in_memory(folder):
                done += row
                continue
            errors = self.flusher.flush([ready.temporary.fd for ready in row], folder.fd)
            for ready in row:
                error = errors.get(ready.temporary.fd)
                if error is None:
                    done.append(ready)
                else:
                    self._tell(ready, error)
        return done

    def _named(self, row: Sequence[Ready]) -> list[tuple[Ready, Receipt]]:
        """Give the files of one folder their names; return them with their receipts."""
        try:
            final = self._directory.folder_of(row[0].step.want.path)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            for ready in row:
                self._tell(ready, error)
            return []
        with final:
            receipts = side_by_side([partial(self._name, ready, final) for ready in row])
        return [(ready, one) for ready, one in zip(row, receipts, strict=True) if one is not None]

    def _name(self, ready: Ready, final: Folder) -> Receipt | None:
        """Give a file its name; return its receipt, or None if it was told what went wrong."""
        want, verified = ready.step.want, ready.verified
        try:
            info = self._put(ready.temporary, want.path, final)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._tell(ready, error)
            return None
        version, url = kept_address(want.remote, self._directory.objects)
        return Receipt(
            want.path,
            want.remote.key,
            want.remote.etag or "",
            info.st_size,
            info.st_mtime_ns,
            verified.verification,
            verified.digest,
            time.time(),
            want.remote.listed,
            source=self._directory.source,
            version=version or verified.version,
            url=url,
        )

    def _put(self, temporary: Temporary, path: str, final: Folder) -> os.stat_result:
        """Give a file its name; return what the system says of it."""
        info = os.fstat(temporary.fd)
        try:
            try:
                self._directory.put(temporary, path, final)
            except FileNotFoundError:  # maybe it is the folder that is gone: it is made again
                self._directory.put(temporary, path)
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{path}: {FILE_GONE}") from error
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._put_across(temporary, path, error)
        return info

    def _put_across(self, temporary: Temporary, path: str, error: OSError) -> os.stat_result:
        """Give it its name in a folder that turned out to be on another file system."""
        copy = self._partials.elsewhere(name_of(path), path)
        if copy is None:
            raise error
        copy.open()
        try:
            for block in temporary.blocks():
                write_all(copy.fd, block)
            info = os.fstat(temporary.fd)
            os.utime(copy.fd, ns=(info.st_atime_ns, info.st_mtime_ns))
            os.fsync(copy.fd)
            info = os.fstat(copy.fd)  # some file systems keep even seconds only
            self._directory.put(copy, path)
        except BaseException:
            copy.discard()
            raise
        copy.close()
        temporary.folder.remove(temporary.name)
        return info

    def _written(self, named: Sequence[tuple[Ready, Receipt]]) -> list[Ready]:
        """Write the receipts; return the files whose receipts are written."""
        if not named:
            return []
        try:
            self._journal.append_all([receipt for _, receipt in named])
        except OSError:  # such as of a full disk: which of them has room, is found out
            return [ready for ready, receipt in named if self._noted(ready, receipt)]
        return [ready for ready, _ in named]

    def _noted(self, ready: Ready, receipt: Receipt) -> bool:
        try:
            self._journal.append(receipt)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._tell(ready, error)
            return False
        return True


def _home_of(ready: Ready) -> Folder:
    return ready.temporary.folder


def _folder_of(ready: Ready) -> str:
    return ready.step.want.path.rpartition("/")[0]


def _by(batch: Sequence[Ready], key: Callable[[Ready], object]) -> list[list[Ready]]:
    """Return files in rows with the same key, in the order in which they came."""
    rows: dict[object, list[Ready]] = {}
    for ready in batch:
        rows.setdefault(key(ready), []).append(ready)
    return list(rows.values())
