"""Fetch a large file in parts: in parallel, resumed from what is on the disk, verified as a whole.

The parts are ranges, guarded by ``If-Match``, so that no file is ever put together from two
versions. Each is written at its position in a partial file and then noted in the log beside it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch._digests import crc, hasher
from neurofetch._errors import (
    InterruptedTransferError,
    RemoteChangedError,
    ServerError,
    TransientError,
    VerificationError,
)
from neurofetch._partials import Held, PartLog, name_of
from neurofetch._single import Single, fill, refreshed
from neurofetch._values import Action, Outcome, Status, Step
from neurofetch._verify import Promise, Verified, check_parts, read_blocks

if TYPE_CHECKING:
    from neurofetch._answer import Answer
    from neurofetch._crew import Crew
    from neurofetch._schedule import Task

__all__ = ["LargeFile", "part_size_for"]

_BUFFER = 1 << 20
_ANOTHER_LOOK = 0.5
_MOST_PARTS = 10_000


class _Unranged(Exception):  # noqa: N818 - a turn of events, no fault
    """The server sent the whole file instead of a part."""


def part_size_for(promise: Promise, wanted: int) -> int:
    """Return the size of the parts in which to fetch a file.

    Where the parts of the upload are known and not far from what we want, ours are the same, so
    that their MD5s can be computed as they arrive.
    """
    likely = promise.likely_part_sizes
    if likely and wanted // 2 <= likely[0] <= 4 * wanted:
        return likely[0]
    size = promise.size or 0
    return max(wanted, -(-size // _MOST_PARTS))


class LargeFile:
    """The task of opening a large file; its parts become tasks of their own.

    Parameters
    ----------
    crew : Crew
    number : int
        Of the step in the plan.
    step : Step
    before : int or None
        Modification time in nanoseconds that the survey saw; None where it saw no file.
    held : list of Held
        Partials of this file that the survey saw.
    """

    bulk = False
    opens = True

    def __init__(
        self, crew: Crew, number: int, step: Step, before: int | None, held: list[Held]
    ) -> None:
        self.crew = crew
        self.number = number
        self.step = step
        self._before = before
        self._held = held
        self._short = name_of(step.want.path)
        self._lock = threading.Lock()
        self._fd = -1
        self._log_fd = -1
        self._began = 0.0
        self.moved = 0
        self.retried = 0
        self._restarted = False
        self._error: BaseException | None = None
        self.promise: Promise
        self.part_size = 0
        self._parts: dict[int, tuple[int, str]] = {}
        self._pending: set[Task] = set()
        self._ending = False

    # -- opening -----------------------------------------------------------------------------

    def run(self) -> None:
        """Prepare the partial file and hand out the parts that are missing."""
        self._began = time.monotonic()
        try:
            if self.crew.claim(self.step):
                self.crew.schedule.closed()
                self.crew.schedule.again(self, _ANOTHER_LOOK)
                return
            if self.crew.fetched_elsewhere(self.step, self._before):
                self._close(self._kept())
                return
            self._prepare(self._ask_for_checksum())
            self._hand_out()
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._fail(error)

    def _kept(self) -> Outcome:
        want = self.step.want
        size = want.remote.size or 0
        reason = "another process fetched it meanwhile"
        return Outcome(want.path, want.remote.key, Status.KEPT, reason, size)

    def _ask_for_checksum(self) -> Promise:
        """Ask for the server's checksum of the whole object: one request for a large file."""
        remote = self.step.want.remote
        if remote.digest is not None:
            return Promise.of(remote)
        headers = {"x-amz-checksum-mode": "ENABLED"}
        try:
            with self.crew.attempts.run(
                lambda: self.crew.ask(remote, headers, "HEAD"), self._told
            ) as answer:
                etag = answer.headers.get("etag", "").strip('"')
                if etag and remote.etag and etag != remote.etag:
                    self._adopt_change()
                    return self._ask_for_checksum()
                return Promise.of(self.step.want.remote, answer.headers)
        except InterruptedTransferError:
            raise
        except ServerError:
            return Promise.of(remote)  # a server without HEAD; a missing file shows at its parts

    def _told(self, error: TransientError, wait: float) -> None:
        with self._lock:
            self.retried += 1
        self.crew.told(self.step.want.path)(error, wait)

    def _adopt_change(self) -> None:
        """Go on with what an object is now that changed since it was listed, once."""
        if self._restarted:
            msg = f"{self.step.want.remote.key}: keeps changing on the server"
            raise RemoteChangedError(msg)
        self._restarted = True
        remote = refreshed(self.crew, self.step.want.remote)
        self.step = replace(self.step, want=replace(self.step.want, remote=remote))

    def _prepare(self, promise: Promise) -> None:
        self.promise = promise
        self.part_size = part_size_for(promise, self.crew.options.part_size)
        taken = self._take_over()
        data, log_path = taken or self.crew.partials.paths(self._short)
        self._fd = os.open(data, os.O_RDWR | os.O_CREAT, 0o666)
        self._parts = self._reread() if taken else {}
        log = PartLog(promise.etag or "", promise.size or 0, self.part_size, promise.crc)
        self._log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o666)
        lines = [PartLog.line(n, *self._parts[n]) for n in sorted(self._parts)]
        os.write(self._log_fd, log.header() + b"".join(lines))
        self.crew.count(-self.step.have)
        self.crew.count(sum(self.length(n) for n in self._parts))

    def _take_over(self) -> tuple[str, str] | None:
        """Take over the fullest partial of the same object whose process has ended."""
        best = sorted(self._held, key=lambda held: -held.log.bytes_held())
        for held in best:
            log = held.log
            same = (log.etag, log.size) == (self.promise.etag, self.promise.size)
            if same and log.etag and self.crew.partials.free_to_take(held):
                taken = self.crew.partials.take_over(self._short, held)
                if taken is not None:
                    self._log = log
                    self.part_size = log.part_size
                    return taken
        return None

    def _reread(self) -> dict[int, tuple[int, str]]:
        """Read back the parts that the log names; those whose bytes are as it says are held."""
        found: dict[int, tuple[int, str]] = {}
        for number, noted in sorted(self._log.parts.items()):
            if self.crew.attempts.stop.is_set():
                break
            if not 0 <= number * self.part_size < (self.promise.size or 0):
                continue
            was = self._read_part(number, self._log.algorithm, with_md5=bool(noted[1]))
            if was != noted:
                continue
            again = self._log.algorithm != self.promise.crc or (self._wants_md5 and not noted[1])
            found[number] = (
                self._read_part(number, self.promise.crc, with_md5=self._wants_md5)
                if again
                else noted
            )
        return found

    def _read_part(self, number: int, algorithm: str, *, with_md5: bool) -> tuple[int, str]:
        buffer = self.crew.buffer(_BUFFER)
        update, value = crc(algorithm).update, 0
        md5 = hasher("md5") if with_md5 else None
        position, left = number * self.part_size, self.length(number)
        while left > 0:
            count = os.preadv(self._fd, [buffer[: min(left, _BUFFER)]], position)
            if not count:
                return -1, ""  # the file is shorter than its log says
            value = update(buffer[:count], value)
            if md5 is not None:
                md5.update(buffer[:count])
            position, left = position + count, left - count
        return value, md5.hexdigest() if md5 else ""

    @property
    def _wants_md5(self) -> bool:
        """Whether the MD5s of the parts will be needed: our parts are those of the upload."""
        return self.promise.digest is None and self.part_size in self.promise.likely_part_sizes

    # -- parts -------------------------------------------------------------------------------

    @property
    def _total(self) -> int:
        return -(-(self.promise.size or 0) // self.part_size)

    def length(self, number: int) -> int:
        """Return the bytes of a part."""
        return min(self.part_size, (self.promise.size or 0) - number * self.part_size)

    def _hand_out(self) -> None:
        missing = [n for n in range(self._total) if n not in self._parts]
        parts = [Part(self, n) for n in missing]
        self._pending, self._ending = set(parts), False
        if parts:
            self.crew.schedule.add_parts(parts)
        else:
            self._finish()

    def headers(self, number: int) -> dict[str, str]:
        """Return the headers that ask for one part of this very version."""
        first = number * self.part_size
        headers = {"Range": f"bytes={first}-{first + self.length(number) - 1}"}
        if self.promise.etag:
            headers["If-Match"] = f'"{self.promise.etag}"'
        return headers

    def fetch_part(self, number: int) -> None:
        """Fetch one part, write it in its place, note it."""
        value = self.crew.attempts.run(lambda: self._attempt(number), self._told)
        os.write(self._log_fd, PartLog.line(number, *value))
        with self._lock:
            self._parts[number] = value

    def _attempt(self, number: int) -> tuple[int, str]:
        came = 0
        update, value = crc(self.promise.crc).update, 0
        md5 = hasher("md5") if self._wants_md5 else None
        buffer = self.crew.buffer(_BUFFER)
        try:
            with self.crew.ask(self.step.want.remote, self.headers(number)) as answer:
                self._check(answer, number)
                while count := fill(answer, buffer):
                    value = update(buffer[:count], value)
                    if md5 is not None:
                        md5.update(buffer[:count])
                    pwrite_all(self._fd, buffer[:count], number * self.part_size + came)
                    came += count
                    self.crew.count(count)
        except BaseException:
            self.crew.count(-came)
            raise
        finally:
            with self._lock:
                self.moved += came
        return value, md5.hexdigest() if md5 else ""

    def _check(self, answer: Answer, number: int) -> None:
        """See that the answer is this part of this version; everything else is distrusted."""
        remote, size = self.step.want.remote, self.promise.size
        if answer.status == 200:
            raise _Unranged
        etag = answer.headers.get("etag", "").strip('"')
        if etag and self.promise.etag and etag != self.promise.etag:
            msg = f"{remote.key}: changed on the server while it was fetched"
            raise RemoteChangedError(msg)
        first = number * self.part_size
        expected = f"bytes {first}-{first + self.length(number) - 1}/{size}"
        got = answer.headers.get("content-range", "")
        if got != expected or answer.length not in (None, self.length(number)):
            msg = f"{remote.key}: asked for {expected!r}, got {got!r} of {answer.length} bytes"
            raise TransientError(msg)

    def part_done(self, part: Part, error: BaseException | None) -> None:
        """Note the end of a part. After a failure no further parts begin; the last one ends all."""
        with self._lock:
            self._pending.discard(part)
            first = error is not None and self._error is None
            if first:
                self._error = error
        if first:
            gone = self.crew.schedule.drop_parts(list(self._pending))
            with self._lock:
                self._pending.difference_update(gone)
        with self._lock:
            last = not self._pending and not self._ending
            self._ending |= last
        if last:
            self._end()

    # -- the end -----------------------------------------------------------------------------

    def _end(self) -> None:
        error, self._error = self._error, None
        try:
            if error is None:
                self._finish()
            elif isinstance(error, RemoteChangedError):
                self._start_anew(changed=True)
            elif isinstance(error, _Unranged):
                self._fall_back()
            else:
                self._fail(error)
        except Exception as problem:  # noqa: BLE001 - written down in the report, file by file
            self._fail(problem)

    def _finish(self) -> None:
        data, log_path = self.crew.partials.paths(self._short)
        held = ((*self._parts[n], self.length(n)) for n in range(self._total))
        parts = [(value, length, md5) for value, md5, length in held]
        try:
            os.ftruncate(self._fd, self.promise.size or 0)
            verified = check_parts(self.promise, parts, self.part_size, lambda: read_blocks(data))
            verified, size = self.crew.settle(self.step, data, self._fd, verified)
        except VerificationError:
            self._start_anew(changed=False)
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log_path)
        self._close(self._fetched(verified, size))

    def _fetched(self, verified: Verified, size: int) -> Outcome:
        want = self.step.want
        reason = {Action.RESUME: "resumed", Action.REPLACE: "replaced"}.get(self.step.action, "")
        seconds = time.monotonic() - self._began
        return Outcome(
            want.path,
            want.remote.key,
            Status.FETCHED,
            reason,
            size,
            self.moved,
            seconds,
            verified.rung,
            self.retried,
        )

    def _start_anew(self, *, changed: bool) -> None:
        """Throw away what came and fetch the file once more, once."""
        if self._restarted:
            what = "keeps changing on the server" if changed else "came wrong twice"
            error = RemoteChangedError if changed else VerificationError
            msg = f"{self.step.want.remote.key}: {what}; nothing of it was kept"
            self._drop()
            raise error(msg)
        self.crew.count(-sum(self.length(n) for n in self._parts))
        self._drop()
        if changed:
            self._adopt_change()
        self._restarted = True
        self.retried += 1
        self._held = []
        self.step = replace(self.step, have=0)
        self._prepare(self._ask_for_checksum())
        self._hand_out()

    def _drop(self) -> None:
        self._close_files()
        self._parts = {}
        self.crew.partials.discard(self._short)

    def _fall_back(self) -> None:
        """Fetch in one piece: the server does not know ranges."""
        self.crew.count(-sum(self.length(n) for n in self._parts))
        self._drop()
        self.crew.partials.release(self._short)
        self.crew.schedule.closed()
        self.crew.schedule.again(Single(self.crew, self.number, self.step, self._before), 0.0)

    def _fail(self, error: BaseException) -> None:
        self._close_files()
        self.crew.partials.release(self._short)
        self.crew.failed(self.number, self.step, error, self._began)
        self.crew.schedule.closed()

    def _close(self, outcome: Outcome) -> None:
        self._close_files()
        self.crew.partials.release(self._short)
        self.crew.record(self.number, outcome)
        self.crew.schedule.closed()

    def _close_files(self) -> None:
        for fd in (self._fd, self._log_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._log_fd = -1


class Part:
    """The task of fetching one part."""

    bulk = True
    opens = False

    def __init__(self, file: LargeFile, number: int) -> None:
        self._file = file
        self._number = number

    def run(self) -> None:
        """Fetch it, and tell the file how that went."""
        error: BaseException | None = None
        try:
            self._file.fetch_part(self._number)
        except Exception as problem:  # noqa: BLE001 - handed to the file, which writes it down
            error = problem
        self._file.part_done(self, error)


def pwrite_all(fd: int, data: memoryview, position: int) -> None:
    """Write all of it at its position, whatever the system takes at once."""
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], position + written)
