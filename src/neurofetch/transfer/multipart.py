"""Fetch a large file in parts: in parallel, resumed from what is on the disk, verified as a whole.

The parts are ranges, guarded by ``If-Match``, so that no file is ever put together from two
versions. A part goes on where its last connection ended. Opening a file is one task, each of its
parts another; the last part to end, ends the file. Until then nothing that the parts share is
closed. What is left of a file that came in one piece is fetched here, too: it is one part.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import (
    DestinationError,
    InterruptedTransferError,
    ProtocolError,
    RemoteChangedError,
    TransientError,
    VerificationError,
)
from neurofetch.integrity.checksums import part_count
from neurofetch.integrity.verification import EtagError, ServerChecksum
from neurofetch.model import Action, Outcome, RemoteFile, Status
from neurofetch.net.connect import no_descriptor_left
from neurofetch.sources.ask import (
    NoRangesError,
    OtherPartError,
    UntoldPartError,
    ask_part_length,
    ask_range,
    look,
    version_told,
)
from neurofetch.sources.etag import is_weak, read_etag, same_etag
from neurofetch.transfer.context import FOLDER_GONE
from neurofetch.transfer.part_file import BUFFER, LostPartialError, PartFile
from neurofetch.transfer.receive import gulps, tell_progress
from neurofetch.transfer.schedule import TaskKind
from neurofetch.transfer.settler import LostTemporaryError, Ready, as_lost
from neurofetch.transfer.whole_file import FetchWhole, WholeFile, another_look

if TYPE_CHECKING:
    from neurofetch.integrity.verification import Verified
    from neurofetch.model import Step
    from neurofetch.net.response import Response
    from neurofetch.store.partials import Held
    from neurofetch.transfer.context import TransferContext
    from neurofetch.transfer.schedule import Task
    from neurofetch.transfer.states import FileLife

__all__ = ["LargeFile", "OpenLarge", "ResumeWhole"]

_HOW = {Action.RESUME: "resumed", Action.REPLACE: "replaced"}
_LOSSES = 5
"""A file that other runs take oftener than this while it is fetched is given up."""
_CHANGES = 2
"""An object that changes on the server oftener than this while it is fetched is given up."""


class OpenLarge:
    """The task of opening a large file and handing out its parts."""

    __slots__ = ("_large", "file")
    kind = TaskKind.OPEN

    def __init__(self, large: LargeFile) -> None:
        self._large = large
        self.file = large.life

    def run(self) -> None:
        """Prepare the partial file and hand out the parts that are missing."""
        self._large.open()


class ResumeWhole:
    """The task of fetching the rest of a file that came in one piece, in a thread of its own."""

    __slots__ = ("_large", "file")
    kind = TaskKind.WHOLE

    def __init__(self, large: LargeFile) -> None:
        self._large = large
        self.file = large.life

    def run(self) -> None:
        """Open what is here of it, and fetch the rest."""
        self._large.open()


class _FetchPart:
    """The task of fetching one part: asked for by range, distrusted, written in place, noted."""

    __slots__ = ("_came", "_context", "_kept", "_large", "_number", "_partial", "file")
    kind = TaskKind.PART

    def __init__(self, large: LargeFile, partial: PartFile, number: int) -> None:
        self.file = large.life
        self._context = large.context
        self._large = large
        self._partial = partial
        self._number = number
        self._came = 0
        self._kept = 0

    def run(self) -> None:
        """Fetch it, and tell the file how that went."""
        error: BaseException | None = None
        try:
            self._context.attempts.run(self._attempt, self._large.tell)
            self._partial.note(self._number)
            if self._context.attempts.stop.is_set():
                error = InterruptedTransferError("stopped on request")
        except Exception as problem:  # noqa: BLE001 - handed to the file, which writes it down
            error = problem
        self._large.part_over(self, error)

    def _ask(self) -> Response:
        large = self._large
        try:
            response = ask_range(
                self._context.client,
                self._context.source,
                large.remote,
                *self._range(),
                guard=large.guarded,
                tells=large.tells and self._partial.checksum.digest is None,
                past_caches=large.anew,
            )
        except UntoldPartError:
            if self._partial.held:
                raise
            raise NoRangesError from None  # it may well be the habit of the server
        large.told = large.told and "etag" in response.headers
        large.version = version_told(response.headers) or large.version
        return response

    def _attempt(self) -> None:
        """Fetch what is missing of the part; what comes is kept, whatever happens then."""
        context, self._came, self._kept = self._context, 0, 0
        if not self._left:
            return  # its last byte came, and then the connection broke
        try:
            with self._response() as response, context.buffers.lend(BUFFER) as buffer:
                self._pour(response, buffer)
        except TransientError as error:
            if not self._large.resumes:
                self._begin_anew()
            tell_progress(error, self._kept)
            raise
        finally:
            self._large.came(self._came)

    def _response(self) -> Response:
        """Ask for the rest of the part, or for all of it, where the rest is not to be had."""
        try:
            return self._ask()
        except (OtherPartError, ProtocolError) as error:
            if not self._partial.front(self._number):
                raise
            self._begin_anew()
            msg = f"{error}; so this part begins anew"
            raise TransientError(msg) from error

    def _begin_anew(self) -> None:
        """Throw away what came of this part, and go on nowhere in this file any more."""
        self._large.resumes = False
        self._context.tally.count(-self._partial.forget(self._number))
        self._kept = 0

    def _pour(self, response: Response, buffer: memoryview) -> None:
        """Write the body in its place; never a byte beyond."""
        partial, count_bytes = self._partial, self._context.tally.count
        for data in gulps(response, buffer, self._left):
            partial.take(self._number, data)
            count_bytes(len(data))
            self._came += len(data)
            self._kept += len(data)
        if self._left:
            raise self._distrusted(f"{self._left} bytes less")
        if response.length is None and response.readinto(buffer[:1]):
            self._begin_anew()
            raise self._distrusted("more than that")

    @property
    def _left(self) -> int:
        """Bytes of the part that did not come yet."""
        return self._partial.length(self._number) - self._partial.front(self._number)

    def _range(self) -> tuple[int, int]:
        """Return the first and the last byte that are missing."""
        begin = self._number * self._partial.part_size
        first = begin + self._partial.front(self._number)
        return first, begin + self._partial.length(self._number) - 1

    def _distrusted(self, got: str) -> TransientError:
        first = self._number * self._partial.part_size
        last = first + self._partial.length(self._number) - 1
        name = self._partial.checksum.name
        return TransientError(f"{name}: asked for bytes {first}-{last}, got {got}")


class LargeFile:
    """Fetches one file in parts.

    Parameters
    ----------
    context : TransferContext
    life : FileLife
    before : int or None
        Modification time in nanoseconds that the survey saw; None where it saw no file.
    held : list of Held
        Partials of this file that the survey saw.
    alone : bool
        One thread does all of it: it is the rest of a file that came in one piece.
    """

    def __init__(
        self,
        context: TransferContext,
        life: FileLife,
        before: int | None,
        held: list[Held],
        *,
        alone: bool = False,
    ) -> None:
        self.context = context
        self.life = life
        self._before = before
        self._partials = held
        self._task: type[OpenLarge | ResumeWhole] = ResumeWhole if alone else OpenLarge
        self._lock = threading.Lock()
        self._began = 0.0
        self._changes = 0
        self._lost = 0
        self._came_before: str | None = None
        self._moved = 0
        self._retried = 0
        self._error: BaseException | None = None
        self._pending: set[Task] = set()
        self.guarded = True
        """Whether the ETag is sent as the condition of each request: some servers cannot."""
        self.told = True
        """Whether every response told the ETag."""
        self.tells = False
        """Whether the server tells the ETag of the object, where it is asked about it."""
        self.version = ""
        """The version of the object, as S3 counts them, where the server told it."""
        self.resumes = True
        """Whether a part goes on where its last connection ended: some servers cannot."""

    @property
    def remote(self) -> RemoteFile:
        """The object, as it is known to be now."""
        return self.life.step.want.remote

    @property
    def anew(self) -> bool:
        """Whether it is fetched once more, since what came did not match."""
        return self._came_before is not None

    # -- opening -----------------------------------------------------------------------------

    def open(self) -> None:
        """Claim the file, prepare the partial, and hand out the parts that are missing."""
        self._began = time.monotonic()
        life, context = self.life, self.context
        try:
            if not life.begin(lambda: self._task(self), another_look):
                return
            elsewhere = context.fetched_elsewhere(life.step, self._before)
            if elsewhere is not None:
                life.end(elsewhere)
                return
            if life.looks:  # another run was at it, and may have left a partial
                self._partials = context.partials.of(life.short)
            self._prepare()
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._deal_with(error)

    def _prepare(self) -> None:
        checksum = self._server_checksum()
        told = bool(checksum.etag) or checksum.listed is not None
        if not checksum.size or not told or is_weak(checksum.etag):
            raise NoRangesError  # also where it is said to be empty: the file itself is asked
        partial = self.context.attempts.run(lambda: self._partial(checksum), self.tell)
        self.life.held = partial
        self.context.tally.count(partial.held - self.life.step.have)
        missing = [n for n in range(partial.total) if n not in partial.parts]
        missing.sort(key=lambda number: not partial.front(number))  # those that are begun, first
        parts = [_FetchPart(self, partial, number) for number in missing]
        self._pending = set(parts)
        if not parts:
            self._finish(partial)
        elif self._task is ResumeWhole and len(parts) == 1:
            parts[0].run()
        else:
            self.context.schedule.add(parts)

    def _partial(self, checksum: ServerChecksum) -> PartFile:
        path = self.life.step.want.path
        try:
            with no_descriptor_left():
                return PartFile(self.context, path, self.life.short, checksum, held=self._partials)
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{path}: {FOLDER_GONE}") from error

    def _server_checksum(self) -> ServerChecksum:
        """Ask for the server's checksum of the whole object: one request for a large file."""
        remote = self.remote
        if remote.digest is not None and not self._changes:
            return ServerChecksum.of(remote)
        context = self.context
        now, headers = look(
            context.client,
            context.source,
            remote,
            context.attempts,
            self.tell,
            doubt=self._changes > 0,
        )
        self.tells = "etag" in headers
        if remote.etag and is_weak(read_etag(headers.get("etag", ""))):
            raise NoRangesError  # no proxy that weakens ETags honours them as a condition
        if remote.etag is None:
            now = replace(now, digest=remote.digest, size=remote.size)  # it was not listed
        elif self._changes and same_etag(now.etag, remote.etag):
            self.guarded = False  # the condition failed, and the object is what it was
        step = self.life.step
        self.life.step = replace(step, want=replace(step.want, remote=now))
        return ServerChecksum.of(now, headers)

    def tell(self, error: TransientError, wait: float) -> None:
        """Count and tell an attempt that failed."""
        with self._lock:
            self._retried += 1
        self.context.tally.retried(self.life.step.want, error, wait)

    def came(self, count: int) -> None:
        """Count bytes that came over the network."""
        with self._lock:
            self._moved += count

    # -- the end -----------------------------------------------------------------------------

    def part_over(self, part: Task, error: BaseException | None) -> None:
        """Note the end of a part. After a failure no further parts begin; the last one ends all."""
        with self._lock:
            self._pending.discard(part)
            if error is not None and self._error is None:
                self._error = error
                self._pending.difference_update(self.context.schedule.drop_parts(self._pending))
            last = not self._pending
        if not last:
            return
        error, self._error = self._error, None
        try:
            if error is not None:
                self._deal_with(error)
            elif isinstance(self.life.held, PartFile):
                self._finish(self.life.held)
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
        error = as_lost(self.life.step.want.path, error)
        if isinstance(error, NoRangesError) or self._no_part_came(error):
            self._fall_back()
        elif isinstance(error, LostPartialError | LostTemporaryError) and self._lost < _LOSSES:
            self._yield()
        elif isinstance(error, RemoteChangedError) and self._changes < _CHANGES:
            self._changes += 1
            self._came_before = None
            self._start_anew()
        elif isinstance(error, VerificationError) and self._came_before is None:
            self._came_before = error.verified.digest if isinstance(error, EtagError) else ""
            self._start_anew()
        else:
            return False
        return True

    def _no_part_came(self, error: BaseException) -> bool:
        """Whether parts are refused, or never are those asked for: then the whole may well come.

        Not where a part came: then the server can send them, and what is held is not thrown away.
        """
        partial = self.life.held
        if not isinstance(partial, PartFile) or partial.held:
            return False
        return isinstance(error, ProtocolError) or isinstance(error.__cause__, OtherPartError)

    def _finish(self, partial: PartFile) -> None:
        self.life.verify()
        verified = self._verified(partial)
        partial.check_mine()
        verified = self.context.checked(self.life.step, partial.file, verified)
        verified = verified._replace(version=self.version)
        self.context.etags.note(self.remote, verified)
        size = os.fstat(partial.file.fd).st_size
        want, action = self.life.step.want, self.life.step.action
        outcome = Outcome(
            want.path,
            want.remote.key,
            Status.FETCHED,
            "; ".join(
                filter(
                    None, [_HOW.get(action, ""), self.context.came_from(want.remote), verified.note]
                )
            ),
            size,
            self._moved,
            time.monotonic() - self._began,
            verified.verification,
            self._retried,
            remote=want.remote,
            digest=verified.beyond_etag,
        )

        def over(error: BaseException | None) -> None:
            self._named(partial, outcome, error)

        self.context.schedule.closed(self.life)  # the next large file may be opened meanwhile
        ready = Ready(self.life.step, partial.file, verified, size, over, descriptors=2)
        self.context.settler.give(ready)

    def _named(self, partial: PartFile, outcome: Outcome, error: BaseException | None) -> None:
        """Write down what became of the file: it has its name now, or cannot have it."""
        if error is not None:
            self._deal_with(error)
            return
        partial.forget_log()
        self.life.end(outcome)

    def _verified(self, partial: PartFile) -> Verified:
        """Return how the bytes that came were verified."""
        context, remote = self.context, self.remote
        parts = part_count(remote.etag or "")
        try:
            return partial.verify(
                lambda n: ask_part_length(context.client, context.source, remote, n, parts)
            )
        except EtagError as error:
            if self.tells and not self.told:
                raise VerificationError(str(error)) from error  # it may have been other answers
            before = self._came_before or ""
            return context.etags.weigh(remote, error, before, told=self.told)

    def _start_anew(self) -> None:
        """Throw away what came, and fetch the file once more."""
        self._drop()
        self._retried += 1
        self.life.fetch_anew()
        self._prepare()

    def _drop(self) -> None:
        step = self.life.step
        if not self._discard_partial():
            self.context.tally.count(-step.have)  # what was to be resumed is not
        self._partials = []
        self.life.step = replace(step, have=0)

    def _discard_partial(self) -> bool:
        """Remove the partial, whose bytes do not count any more; whether there was one."""
        partial, self.life.held = self.life.held, None
        if not isinstance(partial, PartFile):
            return False
        self.context.tally.count(-partial.held)
        partial.discard()
        return True

    def _fall_back(self) -> None:
        """Fetch in one request: the server does not know ranges."""
        self._drop()
        whole = WholeFile(
            self.context, self.life, self._before, moved=self._moved, retried=self._retried
        )
        self.life.wait(FetchWhole(whole), 0.0)

    def _yield(self) -> None:
        """Leave the file to the run that has it now, and look again later."""
        self._drop()
        self._lost += 1
        self.life.looks += 1
        self.life.wait(self._task(self), another_look(self.life.looks))

    def _go_elsewhere(self, step: Step) -> None:
        """Ask for the same bytes at another place, from the start."""
        self._drop()
        self.life.step = step
        large = LargeFile(self.context, self.life, self._before, [])
        large._moved, large._retried = self._moved, self._retried + 1
        self.life.wait(OpenLarge(large), 0.0)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, InterruptedTransferError):
            self.life.stop()
            return
        step = self.context.elsewhere(self.life.step, error)
        if step is not None:
            self._go_elsewhere(step)
            return
        if isinstance(error, LostPartialError):
            msg = "other runs took it over again and again. Run the same call again."
            error = DestinationError(msg)
        if isinstance(error, VerificationError):
            error = VerificationError(f"{error}; it came wrong twice, nothing of it was kept")
        if isinstance(error, VerificationError | RemoteChangedError):
            self._discard_partial()
        seconds = time.monotonic() - self._began
        self.life.end(self.context.failure(self.life.step, error, seconds))
