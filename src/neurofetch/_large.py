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

from neurofetch._errors import (
    ProtocolError,
    RefusedError,
    RemoteChangedError,
    TransientError,
    VerificationError,
)
from neurofetch._part import Part, Unranged
from neurofetch._part_file import PartFile
from neurofetch._partials import Held, name_of
from neurofetch._single import Single, another_look, renewed
from neurofetch._values import Action, Outcome, Rung, Status, Step
from neurofetch._verify import Promise, Verified

if TYPE_CHECKING:
    from neurofetch._crew import Crew
    from neurofetch._schedule import Task

__all__ = ["LargeFile"]

_CHANGES = 2
"""An object that changes on the server oftener than this while we fetch it is given up."""


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
    tiny = False

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
            if self.crew.claim(self.step):
                self._looks += 1
                self.crew.schedule.closed()
                self.crew.schedule.again(self, another_look(self._looks))
                return
            if self.crew.fetched_elsewhere(self.step, self._before):
                self._close(self._kept())
                return
            if self._looks:  # another run was at it, and may have left a partial
                self._held = self.crew.partials.of(self._short)
            self._prepare()
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._deal_with(error)

    def _kept(self) -> Outcome:
        want = self.step.want
        size = want.remote.size or 0
        reason = "another process fetched it meanwhile"
        return Outcome(want.path, want.remote.key, Status.KEPT, reason, size, rung=Rung.SIZE)

    def _prepare(self) -> None:
        promise = self._promise()
        if promise.size is None or not promise.etag:
            raise Unranged
        file = self._file = PartFile(self.crew, self._short, promise, self._held)
        self.crew.count(file.held - self.step.have)
        parts = [Part(self.crew, self, file, n) for n in range(file.total) if n not in file.parts]
        self._pending, self._ending = set(parts), False
        if parts:
            self.crew.schedule.add_parts(parts)
        else:
            self._finish(file)

    def _promise(self) -> Promise:
        """Ask for the server's checksum of the whole object: one request for a large file."""
        remote = self.step.want.remote
        if remote.digest is not None and not self._changes:
            return Promise.of(remote)
        try:
            headers = self.crew.attempts.run(self._head, self.told)
        except ProtocolError:
            return Promise.of(remote)  # a server without HEAD
        except RefusedError:
            if self.crew.locate is None:
                raise
            return Promise.of(remote)  # the address was signed for GET alone
        etag = headers.get("etag", "").strip('"')
        if etag and etag != remote.etag:
            remote = renewed(remote, headers)
            self.step = replace(self.step, want=replace(self.step.want, remote=remote))
        return Promise.of(remote, headers)

    def _head(self) -> dict[str, str]:
        remote = self.step.want.remote
        with self.crew.ask(remote, {"x-amz-checksum-mode": "ENABLED"}, "HEAD") as answer:
            now = renewed(remote, answer.headers)
            if now.etag == remote.etag and now.size not in (None, remote.size):
                msg = f"{remote.key}: {now.size} bytes announced, {remote.size} listed"
                raise TransientError(msg)
            return answer.headers

    def told(self, error: TransientError, wait: float) -> None:
        """Count and tell an attempt that failed."""
        with self._lock:
            self._retried += 1
        self.crew.told(self.step.want.path)(error, wait)

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
                self._pending.difference_update(self.crew.schedule.drop_parts(self._pending))
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
        verified, size = self.crew.settle(self.step, file.path, fd, verified)
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
            verified.rung,
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
            self.crew.count(-self.step.have)
        else:
            self.crew.count(-file.held)
            file.discard()
        self.step = replace(self.step, have=0)

    def _fall_back(self) -> None:
        """Fetch in one piece: the server does not know ranges."""
        self._drop()
        whole = Single(self.crew, self.number, self.step, self._before)
        whole.carry(self._moved, self._retried)
        self.crew.partials.release(self._short)
        self.crew.schedule.closed()
        self.crew.schedule.again(whole, 0.0)

    def _fail(self, error: BaseException) -> None:
        file, self._file = self._file, None
        try:
            if isinstance(error, VerificationError):
                error = VerificationError(f"{error}; it came wrong twice, nothing of it was kept")
            if file is not None and isinstance(error, VerificationError | RemoteChangedError):
                file.discard()
            elif file is not None:
                file.close()
            self.crew.partials.release(self._short)
            self.crew.failed(self.number, self.step, error, self._began)
        finally:
            self.crew.schedule.closed()

    def _close(self, outcome: Outcome) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self.crew.partials.release(self._short)
        self.crew.record(self.number, outcome)
        self.crew.schedule.closed()

    def abandon(self) -> None:
        """Close the partial and take the claim back; no thread may be at work on it any more."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self.crew.partials.release(self._short)
