"""Fetch a large file in parts: in parallel, resumed from what is on the disk, verified as a whole.

The parts are ranges, guarded by ``If-Match``, so that no file is ever put together from two
versions. Opening a file is one task, each of its parts another; the last part to end, ends the
file. Until then nothing that the parts share is closed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import (
    InterruptedTransferError,
    ProtocolError,
    RefusedError,
    RemoteChangedError,
    TransientError,
    VerificationError,
)
from neurofetch.integrity.checksums import crc, hasher
from neurofetch.integrity.verification import ServerChecksum, Verified
from neurofetch.model import Action, Outcome, Status, Step, VerificationLevel
from neurofetch.store.partials import Held, name_of
from neurofetch.transfer.part_file import BUFFER, Noted, PartFile
from neurofetch.transfer.whole_file import WholeFile, another_look, fill, renewed

if TYPE_CHECKING:
    from neurofetch.net.response import Response
    from neurofetch.transfer.context import TransferContext
    from neurofetch.transfer.schedule import Task

__all__ = ["LargeFile", "Part", "Unranged"]


class Unranged(Exception):  # noqa: N818 - a turn of events, no fault
    """The server cannot, or does not, send parts."""


class Part:
    """The task of fetching one part."""

    bulk = True
    opens = False
    tiny = False

    def __init__(
        self, context: TransferContext, whole: LargeFile, file: PartFile, number: int
    ) -> None:
        self._context = context
        self._whole = whole
        self._file = file
        self._number = number
        self._came = 0

    def run(self) -> None:
        """Fetch it, and tell the file how that went."""
        error: BaseException | None = None
        try:
            noted = self._context.attempts.run(self._attempt, self._whole.told)
            self._file.note(self._number, noted)
            if self._context.attempts.stop.is_set():
                error = InterruptedTransferError("stopped on request")
        except Exception as problem:  # noqa: BLE001 - handed to the file, which writes it down
            error = problem
        self._whole.part_done(self, error)

    def _attempt(self) -> Noted:
        context, self._came = self._context, 0
        try:
            with self._ask() as response, context.buffer(BUFFER) as buffer:
                return self._pour(response, buffer)
        except BaseException:
            context.count(-self._came)
            raise
        finally:
            self._whole.came(self._came)

    def _pour(self, response: Response, buffer: memoryview) -> Noted:
        """Write the body in its place; never a byte beyond."""
        file, count_bytes = self._file, self._context.count
        position, left = self._number * file.part_size, file.length(self._number)
        update, value = crc(file.checksum.crc).update, 0
        md5 = hasher("md5") if file.with_md5 else None
        while left:
            count = fill(response, buffer[: min(BUFFER, left)])
            if not count:
                raise self._distrusted(f"{left} bytes less")
            data = buffer[:count]
            value = update(data, value)
            if md5 is not None:
                md5.update(data)
            file.write(data, position)
            position, left, self._came = position + count, left - count, self._came + count
            count_bytes(count)
        if response.length is None and response.readinto(buffer[:1]):
            raise self._distrusted("more than that")
        return value, md5.hexdigest() if md5 else ""

    def _ask(self) -> Response:
        """Ask for the part, of this very version."""
        checksum = self._file.checksum
        first, last = self._range()
        headers = {"Range": f"bytes={first}-{last}", "If-Match": f'"{checksum.etag}"'}
        response = self._context.ask(self._whole.step.want.remote, headers)
        try:
            self._check(response)
        except BaseException:
            response.close()
            raise
        return response

    def _range(self) -> tuple[int, int]:
        """Return the first and the last byte."""
        first = self._number * self._file.part_size
        return first, first + self._file.length(self._number) - 1

    def _check(self, response: Response) -> None:
        """See that the answer is this part of this version; everything else is distrusted."""
        checksum = self._file.checksum
        if response.status == 200 and response.length in (None, checksum.size):
            raise Unranged
        etag = response.headers.get("etag", "").strip('"')
        if etag and etag != checksum.etag:
            msg = f"{checksum.name}: changed on the server while it was fetched"
            raise RemoteChangedError(msg)
        first, last = self._range()
        got = response.headers.get("content-range", "")
        if got != f"bytes {first}-{last}/{checksum.size}":
            raise self._distrusted(repr(got) if got else f"{response.status} without a range")
        if response.length not in (None, last - first + 1):
            raise self._distrusted(f"{response.length} bytes")

    def _distrusted(self, got: str) -> TransientError:
        first, last = self._range()
        return TransientError(
            f"{self._file.checksum.name}: asked for bytes {first}-{last}, got {got}"
        )


_CHANGES = 2
"""An object that changes on the server oftener than this while we fetch it is given up."""


class LargeFile:
    """The task of opening a large file; its parts become tasks of their own.

    Parameters
    ----------
    context : TransferContext
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
    tiny = False

    def __init__(
        self,
        context: TransferContext,
        number: int,
        step: Step,
        before: int | None,
        held: list[Held],
    ) -> None:
        self.context = context
        self.number = number
        self.step = step
        self._before = before
        self._held = held
        self._short = name_of(step.want.path)
        self._lock = threading.Lock()
        self._began = 0.0
        self._looks = 0
        self._changes = 0
        self._wrong = False
        self._moved = 0
        self._retried = 0
        self._file: PartFile | None = None
        self._error: BaseException | None = None
        self._pending: set[Task] = set()
        self._ending = False

    # -- opening -----------------------------------------------------------------------------

    def run(self) -> None:
        """Prepare the partial file and hand out the parts that are missing."""
        self._began = time.monotonic()
        try:
            if self.context.claim(self.step):
                self._looks += 1
                self.context.schedule.closed()
                self.context.schedule.again(self, another_look(self._looks))
                return
            if self.context.fetched_elsewhere(self.step, self._before):
                self._close(self._kept())
                return
            if self._looks:  # another run was at it, and may have left a partial
                self._held = self.context.partials.of(self._short)
            self._prepare()
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._deal_with(error)

    def _kept(self) -> Outcome:
        want = self.step.want
        size = want.remote.size or 0
        reason = "another process fetched it meanwhile"
        return Outcome(
            want.path,
            want.remote.key,
            Status.KEPT,
            reason,
            size,
            verification=VerificationLevel.SIZE,
        )

    def _prepare(self) -> None:
        checksum = self._checksum()
        if checksum.size is None or not checksum.etag:
            raise Unranged
        file = self._file = PartFile(self.context, self._short, checksum, self._held)
        self.context.count(file.held - self.step.have)
        parts = [
            Part(self.context, self, file, n) for n in range(file.total) if n not in file.parts
        ]
        self._pending, self._ending = set(parts), False
        if parts:
            self.context.schedule.add_parts(parts)
        else:
            self._finish(file)

    def _checksum(self) -> ServerChecksum:
        """Ask for the server's checksum of the whole object: one request for a large file."""
        remote = self.step.want.remote
        if remote.digest is not None and not self._changes:
            return ServerChecksum.of(remote)
        try:
            headers = self.context.attempts.run(self._head, self.told)
        except ProtocolError:
            return ServerChecksum.of(remote)  # a server without HEAD
        except RefusedError:
            if self.context.locate is None:
                raise
            return ServerChecksum.of(remote)  # the address was signed for GET alone
        etag = headers.get("etag", "").strip('"')
        if etag and etag != remote.etag:
            remote = renewed(remote, headers)
            self.step = replace(self.step, want=replace(self.step.want, remote=remote))
        return ServerChecksum.of(remote, headers)

    def _head(self) -> dict[str, str]:
        remote = self.step.want.remote
        with self.context.ask(remote, {"x-amz-checksum-mode": "ENABLED"}, "HEAD") as response:
            now = renewed(remote, response.headers)
            if now.etag == remote.etag and now.size not in (None, remote.size):
                msg = f"{remote.key}: {now.size} bytes announced, {remote.size} listed"
                raise TransientError(msg)
            return response.headers

    def told(self, error: TransientError, wait: float) -> None:
        """Count and tell an attempt that failed."""
        with self._lock:
            self._retried += 1
        self.context.told(self.step.want.path)(error, wait)

    def came(self, count: int) -> None:
        """Count bytes that came over the network."""
        with self._lock:
            self._moved += count

    # -- the end -----------------------------------------------------------------------------

    def part_done(self, part: Part, error: BaseException | None) -> None:
        """Note the end of a part. After a failure no further parts begin; the last one ends all."""
        with self._lock:
            self._pending.discard(part)
            if error is not None and self._error is None:
                self._error = error
                self._pending.difference_update(self.context.schedule.drop_parts(self._pending))
            last = not self._pending and not self._ending
            self._ending |= last
        if last:
            self._end()

    def _end(self) -> None:
        error, self._error = self._error, None
        try:
            if error is not None:
                self._deal_with(error)
            elif self._file is not None:
                self._finish(self._file)
        except Exception as problem:  # noqa: BLE001 - written down in the report, file by file
            self._deal_with(problem)

    def _deal_with(self, error: BaseException) -> None:
        """Begin anew where that may help; else the file has failed."""
        try:
            if self._began_anew(error):
                return
        except Exception as problem:  # noqa: BLE001 - written down in the report, file by file
            self._deal_with(problem)
        else:
            self._fail(error)

    def _began_anew(self, error: BaseException) -> bool:
        if isinstance(error, Unranged):
            self._fall_back()
        elif isinstance(error, RemoteChangedError) and self._changes < _CHANGES:
            self._changes += 1
            self._start_anew()
        elif isinstance(error, VerificationError) and not self._wrong:
            self._wrong = True
            self._start_anew()
        else:
            return False
        return True

    def _finish(self, file: PartFile) -> None:
        fd, verified = file.verify()
        verified, size = self.context.settle(self.step, file.path, fd, verified)
        file.forget_log()
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
            self._moved,
            seconds,
            verified.verification,
            self._retried,
        )

    def _start_anew(self) -> None:
        """Throw away what came, and fetch the file once more."""
        self._drop()
        self._retried += 1
        self._prepare()

    def _drop(self) -> None:
        file, self._file = self._file, None
        self._held = []
        if file is None:
            self.context.count(-self.step.have)
        else:
            self.context.count(-file.held)
            file.discard()
        self.step = replace(self.step, have=0)

    def _fall_back(self) -> None:
        """Fetch in one piece: the server does not know ranges."""
        self._drop()
        whole = WholeFile(self.context, self.number, self.step, self._before)
        whole.carry(self._moved, self._retried)
        self.context.partials.release(self._short)
        self.context.schedule.closed()
        self.context.schedule.again(whole, 0.0)

    def _fail(self, error: BaseException) -> None:
        file, self._file = self._file, None
        try:
            if isinstance(error, VerificationError):
                error = VerificationError(f"{error}; it came wrong twice, nothing of it was kept")
            if file is not None and isinstance(error, VerificationError | RemoteChangedError):
                file.discard()
            elif file is not None:
                file.close()
            self.context.partials.release(self._short)
            self.context.failed(self.number, self.step, error, self._began)
        finally:
            self.context.schedule.closed()

    def _close(self, outcome: Outcome) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self.context.partials.release(self._short)
        self.context.record(self.number, outcome)
        self.context.schedule.closed()

    def abandon(self) -> None:
        """Close the partial and take the claim back; no thread may be at work on it any more."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self.context.partials.release(self._short)
