"""Fetch a file in one request: small files, and those of servers that know no ranges.

A file that is not small goes on where its connection ended, where that is safe: the rest is asked
for by range, of the same version. One that is slow in coming becomes a partial with a log, which a
later run resumes.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from neurofetch.errors import (
    InterruptedTransferError,
    NeurofetchError,
    ProtocolError,
    RemoteChangedError,
    TransientError,
    UnreachableError,
    VerificationError,
)
from neurofetch.integrity.checksums import part_count
from neurofetch.integrity.instead import LENGTH_ADVICE, pointed_to, told_instead
from neurofetch.integrity.verification import (
    EtagError,
    OnePiece,
    ServerChecksum,
    Verified,
    read_blocks,
)
from neurofetch.model import Action, Outcome, RemoteFile, Status, VerificationLevel
from neurofetch.net.client import REDIRECTS
from neurofetch.net.connect import no_descriptor_left
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.outage import LineError
from neurofetch.sources.ask import (
    ASK_FOR_CHECKSUM,
    PAST_CACHES,
    NoRangesError,
    OtherLengthError,
    OtherPartError,
    ask_part_length,
    ask_range,
    check_answer,
    look,
    tells_etag,
    version_told,
)
from neurofetch.sources.etag import if_match, is_weak, read_etag, same_etag
from neurofetch.sources.source import at_once
from neurofetch.store.atomic import write_all
from neurofetch.store.directory import FULL
from neurofetch.transfer.context import FOLDER_GONE
from neurofetch.transfer.part_file import LostPartialError, PartFile
from neurofetch.transfer.receive import gulps, tell_progress
from neurofetch.transfer.schedule import TaskKind
from neurofetch.transfer.settler import LostTemporaryError, Ready, as_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from neurofetch.model import Step
    from neurofetch.net.client import Pending
    from neurofetch.net.response import Response
    from neurofetch.store.partials import Temporary
    from neurofetch.transfer.context import TransferContext
    from neurofetch.transfer.states import FileLife

    Reader = Callable[[], Iterable[bytes | memoryview]]

__all__ = ["IN_MEMORY", "FetchTiny", "FetchWhole", "WholeFile", "another_look"]

_log = logging.getLogger("neurofetch")

IN_MEMORY = 256 * 1024
"""Bytes; a body up to this size is read at once."""
_BUFFER = 1024 * 1024
"""Bytes, at most, that are hashed and written at once (ADR 14)."""
_SLOW = 0.75
"""Seconds; a file that has been coming for longer becomes a partial, so that a kill costs no more
than that. At a faster line there is nothing to lose, and no log is written."""
_WORTH = 64 * 1024
"""Bytes; of less, nothing is left for the next run."""
_UNPROVEN = (VerificationLevel.SIZE, VerificationLevel.NONE)
_AWAY = 1.0
"""Seconds until a file is looked at again whose server is away, while others are not."""
_FIRST_LOOK, _LONGEST_LOOK = 0.25, 2.0
"""Seconds until we look again at a file that another process fetches: doubled each time."""


class FetchWhole:
    """The task of fetching a file in one request, in a thread of its own."""

    __slots__ = ("_whole", "file", "kind")

    def __init__(self, whole: WholeFile) -> None:
        self._whole = whole
        self.kind = TaskKind.FEW if whole.one_of_few else TaskKind.WHOLE
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
        if self.begin(others=False):
            self.finish(others=False)

    def begin(self, *, others: bool) -> bool:
        """Send the request for the file; whether there is a response to wait for."""
        return self._whole.send(others=others)

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""
        return self._whole.ready()

    def finish(self, *, others: bool) -> None:
        """Wait for the response; a file that did not come is asked for alone, later."""
        self._whole.receive(others=others)


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
    copy_of : str
        Path of a file in the data directory that has the same content, as far as is known.
    """

    def __init__(
        self,
        context: TransferContext,
        life: FileLife,
        before: int | None,
        *,
        moved: int = 0,
        retried: int = 0,
        copy_of: str = "",
    ) -> None:
        self.life = life
        self._remote = life.step.want.remote
        self.copy_of = copy_of
        self._context = context
        self._before = before
        self._moved = self._moved_before = moved
        """Bytes that came; and before this attempt."""
        self._retried = retried
        self._failed = 0
        self._began = 0.0
        self._changed = False
        self._ready: tuple[Temporary, Verified] | None = None
        """The file that came, open, and how it was verified."""
        self._guarded = True
        """Whether the ETag is sent as the condition of the request: some servers cannot."""
        self._came_before: str | None = None
        """What came the first time, where that did not match: its digest, or ""."""
        self._others = self._sending = self._put_back = False
        """Whether its thread has other responses to read; it is being asked for, and was not read
        yet; and it waits for the connection of one of the others."""
        self._resumes = True
        """Whether it goes on where a connection ended: some servers cannot."""

    @property
    def one_of_few(self) -> bool:
        """Whether its server is asked for few files at a time, and not for a copy of one here."""
        return not self.copy_of and at_once(self._context.source, self._remote) is not None

    # -- the two ways to fetch it ------------------------------------------------------------

    def fetch(self) -> None:
        """Claim the file and fetch it, with as many attempts as the rules allow."""
        self._others = False
        if not self.copy_of and self._context.client.parts_away(self._remote.url):
            self.life.wait(FetchWhole(self), _AWAY)  # the thread is for those that can come
        elif self._claimed():
            self._conclude(self._outcome)

    def send(self, *, others: bool = False) -> bool:
        """Claim the file and send the request; whether there is a response to wait for.

        Parameters
        ----------
        others : bool
            Whether this thread has other responses to read. They may be on all the connections that
            the server allows; so it does not wait for another connection meanwhile.
        """
        self._others, self._sending, self._put_back = others, True, False
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
        return not self._put_back and context.client.ready(
            self._remote.url, context.schedule.places
        )

    def receive(self, *, others: bool = False) -> None:
        """Wait for the response to the request that was sent; one attempt. See `send`."""
        self._others, self._sending = others, False
        self._conclude(self._outcome)

    # -- the ends ----------------------------------------------------------------------------

    def _claimed(self) -> bool:
        self._began = time.monotonic()
        try:
            return self.life.begin(lambda: FetchWhole(self), another_look)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._fail(error)
        return False

    def _conclude(self, act: Callable[[], Outcome]) -> None:
        """Write down what became of the file, or come back later."""
        sent = isinstance(self.life.held, _Sent)
        try:
            outcome = act()
        except TransientError as error:
            if sent:  # it was asked for with others, which must not wait meanwhile
                self._come_back(error)
            else:
                self._fail(error)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            lost = as_lost(self.life.step.want.path, error)
            if isinstance(lost, LostTemporaryError):
                self._come_back(lost)
            else:
                self._fail(error)
        else:
            self._hand_over(outcome)

    def _hand_over(self, outcome: Outcome) -> None:
        """Give a file that came to who gives it its name; that is the end of one that is here."""
        ready, self._ready = self._ready, None
        if ready is None:
            self.life.end(outcome)
            return
        temporary, verified = ready
        logged = isinstance(self.life.held, _Begun)
        if not logged:
            self.life.held = _Unnamed(temporary)

        def over(error: BaseException | None) -> None:
            self._named(temporary, outcome, error)

        step, descriptors = self.life.step, 2 if logged else 1
        self._context.settler.give(
            Ready(step, temporary, verified, outcome.size, over, descriptors)
        )

    def _named(self, temporary: Temporary, outcome: Outcome, error: BaseException | None) -> None:
        """Write down what became of the file: it has its name now, or cannot have it."""
        begun = self.life.held
        if error is None:
            if isinstance(begun, _Begun):
                begun.forget_log()
            self.life.held = temporary
            self.life.end(outcome)
            return
        if isinstance(begun, _Begun):
            self._drop()
        else:
            self._context.tally.count(self._moved_before - self._moved)
        if isinstance(error, TransientError):
            self._come_back(error)
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, InterruptedTransferError):
            self.life.stop()
            return
        step = self._context.elsewhere(self.life.step, error)
        if step is not None:
            self._go_elsewhere(step)
            return
        seconds = time.monotonic() - self._began
        self.life.end(self._context.failure(self.life.step, error, seconds))

    def _go_elsewhere(self, step: Step) -> None:
        """Ask for the same bytes at another place, from the start."""
        self._drop()
        self.life.step = step
        whole = WholeFile(
            self._context, self.life, self._before, moved=self._moved, retried=self._retried + 1
        )
        self.life.wait(FetchWhole(whole), 0.0)

    def _come_back(self, error: TransientError) -> None:
        """Ask again after a while, in a thread of its own."""
        context = self._context
        self._drop()
        if isinstance(error, LineError) and self._is_the_lines(error):
            return
        self._failed += 1
        wait = context.attempts_at(self._remote).wait(self._failed, error)
        if wait is None:
            gave_up = UnreachableError(
                f"{str(error).rstrip('.')}; gave up after {self._failed} attempts"
            )
            gave_up.advice = error.advice
            self._fail(gave_up)
            return
        self._retried += 1
        context.tally.retried(self.life.step.want, error, wait)
        self.life.wait(FetchWhole(self), wait)

    def _is_the_lines(self, error: LineError) -> bool:
        """Whether a failure was the line's, and was seen to: it is no attempt of the file."""
        context = self._context
        if self._others and not error.pages and not isinstance(error.__cause__, TimeoutError):
            context.tally.fruitless += 1
            context.client.outages.doubt(error)
            self._put_back = self._sending
            self.life.wait(FetchTiny(self) if self._put_back else FetchWhole(self), 0.0)
            return True
        try:
            if context.client.outages.others_come(error.line):
                lines = error.held  # this thread has something to do
            else:
                lines = context.attempts.rode_out(error, self._failed)
        except Exception as problem:  # noqa: BLE001 - written down in the report, file by file
            self._fail(problem)
            return True
        if lines:
            self.life.wait(FetchWhole(self), 0.0)
        return lines

    # -- the bytes ---------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        context, step = self._context, self.life.step
        if not isinstance(self.life.held, _Sent):
            elsewhere = context.fetched_elsewhere(step, self._before)
            if elsewhere is not None:
                return elsewhere
        verified, size = self._fetch_twice()
        replaced = "replaced" if step.action is Action.REPLACE else ""
        return Outcome(
            step.want.path,
            step.want.remote.key,
            Status.FETCHED,
            "; ".join(filter(None, [replaced, context.came_from(self._remote), verified.note])),
            size,
            self._moved,
            time.monotonic() - self._began,
            verified.verification,
            self._retried,
            remote=self.life.step.want.remote,  # it is another where the object changed
            digest=verified.beyond_etag,
        )

    def _fetch_twice(self) -> tuple[Verified, int]:
        """Fetch; once more from scratch when the bytes are wrong, and when the object changed."""
        if self.copy_of and (copied := self._copied()):
            return copied
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

    def _copied(self) -> tuple[Verified, int] | None:
        """Make it of the file here that has the same content; None where that turns out wrong."""
        other, self.copy_of = self.copy_of, ""
        piece = OnePiece(ServerChecksum.of(self._remote))
        path = str(self._context.directory.root / other)  # it may be one of another directory
        note = f"made of {other}, which has the same content"
        try:
            with self._new_file() as temporary:
                for block in read_blocks(path):
                    if self._context.attempts.stop.is_set():
                        raise InterruptedTransferError("stopped on request")
                    piece.update(block)
                    write_all(temporary.fd, block)
                    self._context.tally.count(len(block))
                self.life.verify()
                again = partial(read_blocks, path)
                verified = piece.settle(again)._replace(note=note)
                return self._kept(temporary, verified, piece.length)
        except (OSError, VerificationError) as error:
            self._context.tally.count(-piece.length)
            if isinstance(error, LostTemporaryError) or getattr(error, "errno", 0) in FULL:
                raise
            _log.debug("%s is not made of %s: %s", self._remote.key, other, error)
        self.life.fetch_anew()
        return None

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
        self._remote = now

    def _fetch(self) -> tuple[Verified, int]:
        context, want = self._context, self.life.step.want
        if isinstance(self.life.held, _Sent):
            return self._attempt()  # what fails is asked for again later, alone

        def told(error: TransientError, wait: float) -> None:
            self._retried += 1
            context.tally.retried(want, error, wait)

        attempts = context.attempts_at(self._remote)
        return attempts.run(self._attempt, told, self._failed)

    def _attempt(self) -> tuple[Verified, int]:
        context, remote = self._context, self._remote
        self._moved_before = self._moved
        tiny = isinstance(self.life.held, _Sent)
        self.life.fetch_anew()
        try:
            if isinstance(self.life.held, _Begun):
                return self._go_on(self.life.held)
            with self._response(remote) as response:
                try:
                    check_answer(response, remote)
                except OtherLengthError as error:
                    raise self._of_other_length(response, error) from error
                checksum = ServerChecksum.of(remote, response.headers)
                piece = OnePiece(checksum, part_length=self._part_length)
                if response.length is not None and response.length <= IN_MEMORY:
                    return self._at_once(response, piece, tiny=tiny)
                return self._streamed(response, self._begin(response, checksum, piece))
        except BaseException as error:
            if not isinstance(self.life.held, _Begun):
                context.tally.count(self._moved_before - self._moved)
            elif not self.life.held.outlives(error):
                if isinstance(error, TransientError) and self.life.held.count >= _WORTH:
                    error.args = (f"{error}; it cannot be resumed, and begins anew",)
                self._drop()
            elif isinstance(error, TransientError):
                tell_progress(error, self._moved - self._moved_before)
            raise

    def _of_other_length(self, response: Response, error: OtherLengthError) -> NeurofetchError:
        """Return what it means that a file of known content comes with another length."""
        small = response.length is not None and response.length <= IN_MEMORY
        if said := told_instead(response.read(IN_MEMORY)) if small else "":
            return TransientError(f"{self._remote.key}: an error came in place of the file: {said}")
        digest = self._remote.digest
        of_git = digest is not None and digest.algorithm == "gitblob"
        return VerificationError(f"{error}; {LENGTH_ADVICE}" if of_git else str(error))

    def _begin(self, response: Response, checksum: ServerChecksum, piece: OnePiece) -> _Begun:
        """Make the temporary file for what is to come, and note what it takes to go on with it."""
        remote = self._remote
        etag = read_etag(response.headers.get("etag", "")) or remote.etag
        size = response.length if remote.size is None else remote.size
        known = replace(remote, etag=etag, size=size)
        sure = bool(if_match(known)) if etag else remote.digest is not None
        ranges = remote.ranges or response.headers.get("accept-ranges") == "bytes"
        resumes = self._resumes and ranges and size is not None and sure
        begun = _Begun(
            self._context,
            self.life,
            self._new_file(),
            piece=piece,
            checksum=checksum,
            headers=response.headers,
        )
        begun.remote = known if resumes else None
        self.life.held = begun
        return begun

    def _go_on(self, begun: _Begun) -> tuple[Verified, int]:
        """Ask for the rest of what came before."""
        context, remote = self._context, begun.remote
        if remote is None or remote.size is None or begun.count == remote.size:
            return self._finish(begun)  # its last byte came, and then the connection broke
        guard = bool(if_match(remote)) and self._guarded
        try:
            response = ask_range(
                context.client,
                context.source,
                remote,
                begun.count,
                remote.size - 1,
                guard=guard or remote.etag is None,
                tells="etag" in begun.headers,
                past_caches=self._came_before is not None,
            )
        except (NoRangesError, OtherPartError, ProtocolError) as error:
            self._resumes = False
            self._drop()
            msg = f"{remote.key}: the rest of it is not to be had"
            msg += f" ({error}); it begins anew" if str(error) else "; it begins anew"
            raise TransientError(msg) from error
        with response:
            return self._streamed(response, begun)

    def _drop(self) -> None:
        """Throw away what came, if something did."""
        begun = self.life.held
        if isinstance(begun, _Begun):
            self.life.held = None
            self._context.tally.count(-begun.count)
            begun.discard()

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

    def _verified(self, piece: OnePiece, headers: Mapping[str, str], again: Reader) -> Verified:
        """Say how the bytes that came were verified; the headers are those of the whole object."""
        remote = self._remote
        told = same_etag(read_etag(headers.get("etag", "")), remote.etag)
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
        try:
            verified = self._verified(piece, response.headers, lambda: (data,))
        except VerificationError as error:
            if not (said := told_instead(data)):
                raise
            msg = f"{self._remote.key}: an error came in place of the file: {said}"
            raise TransientError(msg) from error
        verified = verified._replace(version=version_told(response.headers))
        if key := pointed_to(data, self._remote.digest):
            msg = f"{self._remote.key}: a pointer of git-annex came, and not the content, {key}"
            raise VerificationError(msg)
        verified = verified._replace(version=version_told(response.headers))
        began = time.monotonic()
        with self._new_file() as temporary:
            write_all(temporary.fd, data)
            if tiny:
                self._context.schedule.disk_took(time.monotonic() - began)
            return self._kept(temporary, verified, len(data))

    def _streamed(self, response: Response, begun: _Begun) -> tuple[Verified, int]:
        size, piece = self._remote.size, begun.piece
        with self._context.buffers.lend(_BUFFER) as buffer:
            for data in gulps(response, buffer):
                piece.update(data)
                if size is not None and piece.length > size:
                    break  # more than was listed: `settle` says so
                begun.write(data)
                self._came(len(data))
        response.close()
        if begun.remote is not None and piece.length < (begun.remote.size or 0):
            came = f"{begun.count} of {begun.remote.size} bytes came"
            raise TransientError(f"{begun.remote.key}: {came}, and then the body ended")
        return self._finish(begun)

    def _finish(self, begun: _Begun) -> tuple[Verified, int]:
        """Verify what came; return how, and its bytes."""
        begun.whole = True
        self.life.verify()
        verified = self._verified(begun.piece, begun.headers, begun.temporary.blocks)
        verified = verified._replace(version=version_told(begun.headers))
        return self._kept(begun.temporary, verified, begun.count)

    def _kept(self, temporary: Temporary, verified: Verified, size: int) -> tuple[Verified, int]:
        """Keep the file that came, open, until it is handed over; return its bytes, too."""
        context = self._context
        if context.inspect is not None:  # which may write it anew
            verified = context.checked(self.life.step, temporary, verified)
            size = os.fstat(temporary.fd).st_size
        context.etags.note(self._remote, verified)
        self._ready = temporary, verified
        return verified, size

    def _new_file(self) -> Temporary:
        """Make a temporary file; as a context manager, it is gone if something fails."""
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


class _Unnamed:
    """A whole file that waits for its name; it is gone if the run ends first."""

    __slots__ = ("_temporary",)

    def __init__(self, temporary: Temporary) -> None:
        self._temporary = temporary

    def close(self) -> None:
        """Remove it."""
        self._temporary.discard()


class _Begun:
    """What came of a file so far, and what it takes to go on with it; held while it is fetched.

    Parameters
    ----------
    context : TransferContext
    life : FileLife
    temporary : Temporary
        Its bytes; open.
    piece : OnePiece
        Hashes them as they come.
    checksum : ServerChecksum
    headers : mapping of str to str
        Of the response for the whole object: the one for the rest does not tell of the whole.

    Attributes
    ----------
    remote : RemoteFile or None
        Its version, of which the rest can be asked for; None where that is not safe.
    count : int
        Bytes that were written.
    whole : bool
        Whether all of them came.
    """

    __slots__ = (
        "_checksum",
        "_context",
        "_life",
        "_partial",
        "_since",
        "count",
        "headers",
        "piece",
        "remote",
        "temporary",
        "whole",
    )

    def __init__(
        self,
        context: TransferContext,
        life: FileLife,
        temporary: Temporary,
        *,
        piece: OnePiece,
        checksum: ServerChecksum,
        headers: Mapping[str, str],
    ) -> None:
        self._context = context
        self._life = life
        self._checksum = checksum
        self._partial: PartFile | None = None
        self._since = time.monotonic()
        self.temporary = temporary
        self.piece = piece
        self.headers = headers
        self.remote: RemoteFile | None = None
        self.count = 0
        self.whole = False

    def write(self, data: memoryview) -> None:
        """Write the next bytes; where they are slow in coming, a kill is to cost little."""
        if self._partial is not None:
            try:
                self._partial.take(0, data)
            except LostPartialError as error:
                msg = f"{self._life.step.want.path}: another run has it now"
                raise LostTemporaryError(msg) from error
            self.count += len(data)
            return
        write_all(self.temporary.fd, data)
        self.temporary.wrote(len(data), self.count)
        self.count += len(data)
        slow = time.monotonic() - self._since > _SLOW
        if slow and self._may_stay and self.count < (self._checksum.size or 0):
            self._become_partial()

    @property
    def _may_stay(self) -> bool:
        """Whether a later run could go on with it: the listing tells what it is of."""
        checksum = self._checksum
        etag = checksum.etag
        return (
            self.remote is not None
            and (bool(etag) or checksum.listed is not None)
            and not is_weak(etag)
            and _WORTH <= self.count <= (self._checksum.size or 0)
        )

    def _become_partial(self) -> None:
        stream = self.temporary, self.count
        path, short = self._life.step.want.path, self._life.short
        try:
            with no_descriptor_left():
                self._partial = PartFile(self._context, path, short, self._checksum, stream=stream)
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{path}: {FOLDER_GONE}") from error

    def outlives(self, error: BaseException) -> bool:
        """Whether what came is still good for something after an error."""
        if isinstance(error, InterruptedTransferError):
            return True
        lost = LostTemporaryError | VerificationError | RemoteChangedError
        return self.remote is not None and not self.whole and not isinstance(error, lost)

    def close(self) -> None:
        """Leave it to the next run, where that can go on with it; else remove it."""
        try:
            if self._partial is None and self._may_stay:
                self._become_partial()
        except (OSError, NeurofetchError):  # such as a disk that is full: then it comes anew
            self._partial = None
        if self._partial is None:
            self.discard()
        else:
            self._partial.close()

    def discard(self) -> None:
        """Close and remove it."""
        if self._partial is None:
            self.temporary.discard()
        else:
            self._partial.discard()

    def forget_log(self) -> None:
        """Remove the log, if there is one: the file has its final name."""
        if self._partial is not None:
            self._partial.forget_log()
            self._partial.close()


def another_look(looks: int) -> float:
    """Return the seconds until we look again, after so many looks."""
    doublings = min(looks - 1, 10)  # the wait is bounded, and so is what is computed for it
    return min(_LONGEST_LOOK, _FIRST_LOOK * 2.0**doublings)
