"""Fetch a file in one request: small files, and those of servers that know no ranges."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import (
    InterruptedTransferError,
    RemoteChangedError,
    TransientError,
    UnreachableError,
    VerificationError,
)
from neurofetch.integrity.checksums import part_count
from neurofetch.integrity.verification import EtagError, OnePiece, ServerChecksum, Verified
from neurofetch.model import Action, Outcome, RemoteFile, Status, VerificationLevel
from neurofetch.net.client import REDIRECTS
from neurofetch.net.connect import no_descriptor_left
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.sources.ask import (
    ASK_FOR_CHECKSUM,
    PAST_CACHES,
    ask_part_length,
    check_answer,
    look,
    tells_etag,
)
from neurofetch.sources.etag import if_match, read_etag, same_etag
from neurofetch.store.atomic import write_all
from neurofetch.transfer.context import FOLDER_GONE, LostTemporaryError
from neurofetch.transfer.schedule import TaskKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from neurofetch.net.client import Pending
    from neurofetch.net.response import Response
    from neurofetch.store.partials import Temporary
    from neurofetch.transfer.context import TransferContext
    from neurofetch.transfer.states import FileLife

    Reader = Callable[[], Iterable[bytes | memoryview]]

__all__ = ["IN_MEMORY", "FetchTiny", "FetchWhole", "WholeFile", "another_look"]

IN_MEMORY = 256 * 1024
"""Bytes; a body up to this size is read at once."""
_BUFFER = 256 * 1024
_UNPROVEN = (VerificationLevel.SIZE, VerificationLevel.NONE)
_FIRST_LOOK, _LONGEST_LOOK = 0.25, 2.0
"""Seconds until we look again at a file that another process fetches: doubled each time."""


class FetchWhole:
    """The task of fetching a file in one request, in a thread of its own."""

    __slots__ = ("_whole", "file")
    kind = TaskKind.WHOLE

    def __init__(self, whole: WholeFile) -> None:
        self._whole = whole
        self.file = whole.life

    def run(self) -> None:
        """Fetch it, or come back later when another process is at it."""
        self._whole.fetch()


class FetchTiny:
    """The task of fetching a tiny file, in a thread that works on many: `begin`, later `finish`."""

    __slots__ = ("_whole", "file")
    kind = TaskKind.TINY

    def __init__(self, whole: WholeFile) -> None:
        self._whole = whole
        self.file = whole.life

    def run(self) -> None:
        """Fetch it at once."""
        if self.begin():
            self.finish()

    def begin(self) -> bool:
        """Send the request for the file; whether there is a response to wait for."""
        return self._whole.send()

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""
        return self._whole.ready()

    def finish(self) -> None:
        """Wait for the response; a file that did not come is asked for alone, later."""
        self._whole.receive()


class WholeFile:
    """Fetches one file in one request.

    Parameters
    ----------
    context : TransferContext
    life : FileLife
    before : int or None
        Modification time in nanoseconds that the survey saw; None where it saw no file.
    moved, retried : int
        Bytes that came, and attempts that failed, before it was decided to fetch in one request.
    """

    def __init__(
        self,
        context: TransferContext,
        life: FileLife,
        before: int | None,
        *,
        moved: int = 0,
        retried: int = 0,
    ) -> None:
        self.life = life
        self._context = context
        self._before = before
        self._moved = moved
        self._retried = retried
        self._failed = 0
        self._began = 0.0
        self._changed = False
        self._guarded = True
        """Whether the ETag is sent as the condition of the request: some servers cannot."""
        self._came_before: str | None = None
        """What came the first time, where that did not match: its digest, or ""."""

    # -- the two ways to fetch it ------------------------------------------------------------

    def fetch(self) -> None:
        """Claim the file and fetch it, with as many attempts as the rules allow."""
        if self._claimed():
            self._conclude(self._outcome)

    def send(self) -> bool:
        """Claim the file and send the request; whether there is a response to wait for."""
        if not self._claimed():
            return False
        context, remote = self._context, self._remote
        try:
            elsewhere = context.fetched_elsewhere(self.life.step, self._before)
            if elsewhere is not None:
                self.life.end(elsewhere)
                return False
            url = context.source.address(remote)
            self.life.held = _Sent(context, context.client.begin(Request(url, self._headers)))
        except TransientError as error:
            self._come_back(error)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._fail(error)
        else:
            return True
        return False

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""
        context = self._context
        return context.client.ready(self._remote.url, context.schedule.places)

    def receive(self) -> None:
        """Wait for the response to the request that was sent; one attempt."""
        self._conclude(self._outcome)

    # -- the ends ----------------------------------------------------------------------------

    @property
    def _remote(self) -> RemoteFile:
        return self.life.step.want.remote

    def _claimed(self) -> bool:
        self._began = time.monotonic()
        try:
            return self.life.begin(lambda: FetchWhole(self), another_look)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._fail(error)
        return False

    def _conclude(self, act: Callable[[], Outcome]) -> None:
        """Write down what became of the file, or come back later."""
        sent = self.life.held is not None
        try:
            outcome = act()
        except TransientError as error:
            if sent:  # it was asked for with others, which must not wait meanwhile
                self._come_back(error)
            else:
                self._fail(error)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._fail(error)
        else:
            self.life.end(outcome)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, InterruptedTransferError):
            self.life.stop()
            return
        seconds = time.monotonic() - self._began
        self.life.end(self._context.failure(self.life.step, error, seconds))

    def _come_back(self, error: TransientError) -> None:
        """Ask again after a while, in a thread of its own."""
        context = self._context
        self._failed += 1
        wait = context.attempts.wait(self._failed, error)
        if wait is None:
            gave_up = UnreachableError(f"{error}; gave up after {self._failed} attempts")
            gave_up.advice = error.advice
            self._fail(gave_up)
            return
        self._retried += 1
        context.tally.retried(self.life.step.want, error, wait)
        self.life.wait(FetchWhole(self), wait)

    # -- the bytes ---------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        context, step = self._context, self.life.step
        if self.life.held is None:
            elsewhere = context.fetched_elsewhere(step, self._before)
            if elsewhere is not None:
                return elsewhere
        verified, size = self._fetch_twice()
        replaced = "replaced" if step.action is Action.REPLACE else ""
        return Outcome(
            step.want.path,
            step.want.remote.key,
            Status.FETCHED,
            "; ".join(filter(None, [replaced, verified.note])),
            size,
            self._moved,
            time.monotonic() - self._began,
            verified.verification,
            self._retried,
        )

    def _fetch_twice(self) -> tuple[Verified, int]:
        """Fetch; once more from scratch when the bytes are wrong, and when the object changed."""
        while True:
            try:
                return self._fetch()
            except RemoteChangedError:
                self._look_again()
            except VerificationError as error:
                if self._came_before is not None:
                    msg = f"{error}; it came wrong twice, nothing of it was kept"
                    raise VerificationError(msg) from error
                self._came_before = error.verified.digest if isinstance(error, EtagError) else ""
            self._retried += 1
            self.life.fetch_anew()

    def _look_again(self) -> None:
        """Ask what the object, which is said to have changed, is like now."""
        context, step, remote = self._context, self.life.step, self._remote
        now, _ = look(context.client, context.source, remote, context.attempts, doubt=True)
        same = same_etag(now.etag, remote.etag)
        if same and self._guarded:
            self._guarded = False  # the condition failed, and the object is what it was
            return
        if same or self._changed:
            raise RemoteChangedError(f"{remote.key}: changed on the server while it was fetched")
        self._changed, self._came_before = True, None
        self.life.step = replace(step, want=replace(step.want, remote=now))

    def _fetch(self) -> tuple[Verified, int]:
        context, want = self._context, self.life.step.want
        if self.life.held is not None:
            return self._attempt()  # what fails is asked for again later, alone

        def told(error: TransientError, wait: float) -> None:
            self._retried += 1
            context.tally.retried(want, error, wait)

        return context.attempts.run(self._attempt, told, self._failed)

    def _attempt(self) -> tuple[Verified, int]:
        context, remote = self._context, self._remote
        counted = self._moved
        tiny = self.life.held is not None
        self.life.fetch_anew()
        try:
            with self._response(remote) as response:
                check_answer(response, remote)
                checksum = ServerChecksum.of(remote, response.headers)
                piece = OnePiece(checksum, part_length=self._part_length)
                if response.length is not None and response.length <= IN_MEMORY:
                    return self._at_once(response, piece, tiny=tiny)
                return self._streamed(response, piece)
        except BaseException:
            context.tally.count(counted - self._moved)
            raise

    def _response(self, remote: RemoteFile) -> Response:
        """Ask for the file, or wait for the response to the request that was sent."""
        sent, self.life.held = self.life.held, None
        context = self._context
        if not isinstance(sent, _Sent):
            return context.ask(remote, self._headers)
        response = context.client.finish(sent.pending)
        if response.status == 200:
            return response
        with response:
            if response.status not in REDIRECTS:
                raise failure(response)
        return context.ask(remote, self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        remote = self._remote
        headers = {} if remote.digest else dict(ASK_FOR_CHECKSUM)
        if remote.ranges and self._guarded:
            headers.update(if_match(remote))
        if self._came_before is not None:
            headers.update(PAST_CACHES)
        return headers

    def _verified(self, piece: OnePiece, response: Response, again: Reader) -> Verified:
        """Say how the bytes that came were verified."""
        remote = self._remote
        told = same_etag(read_etag(response.headers.get("etag", "")), remote.etag)
        try:
            verified = piece.settle(again)
            if told or not remote.etag or verified.verification not in _UNPROVEN:
                return verified
            msg = f"{remote.key}: nothing proves that the bytes that came are those asked for"
            problem = EtagError(msg, "untold", verified)
        except EtagError as error:
            problem = error
        if remote.etag and not told:
            self._check_untold(remote)
        before = self._came_before or ""
        return self._context.etags.weigh(remote, problem, before, told=told)

    def _check_untold(self, remote: RemoteFile) -> None:
        """See whether it is usual that a response of this server tells no ETag.

        Raises
        ------
        TransientError
            If it is not: then what came may have been the answer to another request.
        """
        context = self._context
        if tells_etag(context.client, context.source, remote, context.attempts):
            msg = f"{remote.key}: an answer without the ETag that the server tells of it"
            raise TransientError(msg)

    def _part_length(self, number: int) -> int | None:
        """Ask how large a part of the upload was."""
        context, remote = self._context, self._remote
        parts = part_count(remote.etag or "")
        return ask_part_length(context.client, context.source, remote, number, parts)

    def _came(self, count: int) -> None:
        self._moved += count
        self._context.tally.count(count)

    def _at_once(self, response: Response, piece: OnePiece, *, tiny: bool) -> tuple[Verified, int]:
        data = response.read(IN_MEMORY)
        response.close()  # another thread may use the connection meanwhile
        self._came(len(data))
        self.life.verify()
        piece.update(data)
        verified = self._verified(piece, response, lambda: (data,))
        began = time.monotonic()
        try:
            with self._new_file() as temporary:
                write_all(temporary.fd, data)
                return self._context.settle(self.life.step, temporary, verified)
        finally:
            if tiny:
                self._context.schedule.disk_took(time.monotonic() - began)

    def _streamed(self, response: Response, piece: OnePiece) -> tuple[Verified, int]:
        size = self._remote.size
        with self._new_file() as temporary:
            with self._context.buffers.lend(_BUFFER) as buffer:
                while count := response.fill(buffer):
                    piece.update(buffer[:count])
                    if size is not None and piece.length > size:
                        break  # more than was listed: `settle` says so
                    write_all(temporary.fd, buffer[:count])
                    self._came(count)
            response.close()
            self.life.verify()
            verified = self._verified(piece, response, temporary.blocks)
            return self._context.settle(self.life.step, temporary, verified)

    def _new_file(self) -> Temporary:
        """Make a temporary file; as a context manager, it is gone at the end, if it fails."""
        path = self.life.step.want.path
        try:
            with no_descriptor_left():
                temporary = self._context.partials.temporary(self.life.short, path)
                temporary.open()
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{path}: {FOLDER_GONE}") from error
        return temporary


class _Sent:
    """A request whose response has not come yet; what a tiny file holds meanwhile."""

    __slots__ = ("_context", "pending")

    def __init__(self, context: TransferContext, pending: Pending) -> None:
        self._context = context
        self.pending = pending

    def close(self) -> None:
        """Drop the connection: nobody waits for the response any more."""
        self._context.client.drop(self.pending)


def another_look(looks: int) -> float:
    """Return the seconds until we look again, after so many looks."""
    doublings = min(looks - 1, 10)  # the wait is bounded, and so is what is computed for it
    return min(_LONGEST_LOOK, _FIRST_LOOK * 2.0**doublings)
