"""Fetch a file in one request: small files, and those of servers that know no ranges."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import (
    RemoteChangedError,
    TransientError,
    UnreachableError,
    VerificationError,
)
from neurofetch.integrity.verification import OnePiece, ServerChecksum, Verified, read_blocks
from neurofetch.model import Action, Outcome, RemoteFile, Status, Step, VerificationLevel
from neurofetch.net.client import REDIRECTS, Request
from neurofetch.net.failures import failure
from neurofetch.store.atomic import write_all
from neurofetch.store.partials import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from neurofetch.net.client import Pending
    from neurofetch.net.response import Response
    from neurofetch.transfer.context import TransferContext

__all__ = ["IN_MEMORY", "WholeFile", "another_look", "fill", "renewed"]

IN_MEMORY = 256 * 1024
"""Bytes; a body up to this size is read at once."""
_BUFFER = 256 * 1024
_FIRST_LOOK, _LONGEST_LOOK = 0.25, 2.0
"""Seconds until we look again at a file that another process fetches: doubled each time."""
_ASK_FOR_CHECKSUM = {"x-amz-checksum-mode": "ENABLED"}


class WholeFile:
    """The task of fetching one file in one piece.

    Parameters
    ----------
    context : TransferContext
    number : int
        Of the step in the plan.
    step : Step
    before : int or None
        Modification time in nanoseconds that the survey saw; None where it saw no file.
    tiny : bool
        Whether a thread may ask for it together with others: `begin`, and later `finish`.
    """

    bulk = False
    opens = False

    def __init__(
        self,
        context: TransferContext,
        number: int,
        step: Step,
        before: int | None,
        *,
        tiny: bool = False,
    ) -> None:
        self.tiny = tiny
        self._context = context
        self._number = number
        self._step = step
        self._before = before
        self._moved = 0
        self._retried = 0
        self._looks = 0
        self._failed = 0
        self._began = 0.0
        self._pending: Pending | None = None

    def carry(self, moved: int, retried: int) -> None:
        """Take over what came, and what failed, before it was decided to fetch in one piece."""
        self._moved, self._retried = moved, retried

    def run(self) -> None:
        """Fetch the file, or come back later when another process is at it."""
        if self._claimed():
            self._conclude(self._outcome)

    def begin(self) -> bool:
        """Send the request for the file; whether there is an answer to wait for."""
        if not self._claimed():
            return False
        try:
            if not self._context.fetched_elsewhere(self._step, self._before):
                remote = self._step.want.remote
                self._pending = self._context.client.begin(Request(remote.url, _headers(remote)))
                return True
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._conclude(_raising(error))
        else:
            self._conclude(self._kept)
        return False

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""
        context = self._context
        return context.client.ready(self._step.want.remote.url, context.places - 1)

    def finish(self) -> None:
        """Wait for the answer; a file that did not come this time is asked for alone, later."""
        self._conclude(self._outcome)

    def _claimed(self) -> bool:
        """Claim the file, or come back later when another process is at it."""
        context = self._context
        self._began = time.monotonic()
        try:
            if not context.claim(self._step):
                return True
            self._looks += 1
            context.schedule.again(self, another_look(self._looks))
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            context.failed(self._number, self._step, error, self._began)
        return False

    def _conclude(self, act: Callable[[], Outcome]) -> None:
        """Give the claim back, and write down what became of the file, or come back later."""
        context = self._context
        try:
            try:
                outcome = act()
            finally:
                context.partials.release(name_of(self._step.want.path))
            context.record(self._number, outcome)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            if self.tiny and isinstance(error, TransientError):
                self._come_back(error)
            else:
                context.failed(self._number, self._step, error, self._began)

    def _come_back(self, error: TransientError) -> None:
        """Ask again after a while, in a thread of its own: others must not wait meanwhile."""
        context = self._context
        self._failed += 1
        self.tiny = False
        wait = context.attempts.wait(self._failed, error)
        if wait is None:
            final = UnreachableError(f"{error}; gave up after {self._failed} attempts")
            context.failed(self._number, self._step, final, self._began)
        else:
            self._retried += 1
            context.told(self._step.want.path)(error, wait)
            context.schedule.again(self, wait)

    def _kept(self) -> Outcome:
        want, info = self._step.want, self._context.directory.look(self._step.want.path)
        size = info.st_size if info else 0
        reason = "another process fetched it meanwhile"
        return Outcome(
            want.path,
            want.remote.key,
            Status.KEPT,
            reason,
            size,
            verification=VerificationLevel.SIZE,
        )

    def _outcome(self) -> Outcome:
        context, step = self._context, self._step
        path, remote = step.want.path, step.want.remote
        if self._pending is None and context.fetched_elsewhere(step, self._before):
            return self._kept()
        temporary = context.partials.temporary(name_of(path))
        try:
            verified, size = self._fetch_twice(temporary)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        seconds = time.monotonic() - self._began
        return Outcome(
            path,
            remote.key,
            Status.FETCHED,
            "replaced" if step.action is Action.REPLACE else "",
            size,
            self._moved,
            seconds,
            verified.verification,
            self._retried,
        )

    def _fetch_twice(self, temporary: str) -> tuple[Verified, int]:
        """Fetch; once more from scratch when the bytes are wrong or the object changed."""
        try:
            return self._fetch(temporary)
        except RemoteChangedError:
            self._look_again()
        except VerificationError:
            self._retried += 1
        try:
            return self._fetch(temporary)
        except VerificationError as error:
            msg = f"{error}; it came wrong twice, nothing of it was kept"
            raise VerificationError(msg) from error

    def _look_again(self) -> None:
        """Ask what the object, which changed, is like now."""
        context, want = self._context, self._step.want
        with context.attempts.run(lambda: context.ask(want.remote, {}, "HEAD")) as response:
            remote = renewed(want.remote, response.headers)
        self._retried += 1
        self._step = replace(self._step, want=replace(want, remote=remote))

    def _fetch(self, temporary: str) -> tuple[Verified, int]:
        context = self._context
        if self._pending is not None:
            return self._attempt(temporary)  # what fails is asked for again later, alone
        tell = context.told(self._step.want.path)

        def told(error: TransientError, wait: float) -> None:
            self._retried += 1
            tell(error, wait)

        return context.attempts.run(lambda: self._attempt(temporary), told, self._failed)

    def _attempt(self, temporary: str) -> tuple[Verified, int]:
        context, remote = self._context, self._step.want.remote
        counted = self._moved
        try:
            with self._ask(remote) as response:
                check_response(response, remote)
                piece = OnePiece(ServerChecksum.of(remote, response.headers))
                if response.length is not None and response.length <= IN_MEMORY:
                    return self._at_once(response, piece, temporary)
                return self._streamed(response, piece, temporary)
        except BaseException:
            context.count(counted - self._moved)
            raise

    def _ask(self, remote: RemoteFile) -> Response:
        """Ask for the file, or wait for the answer to the request that was sent."""
        pending, self._pending = self._pending, None
        if pending is None:
            return self._context.ask(remote, _headers(remote))
        response = self._context.client.finish(pending)
        if response.status == 200:
            return response
        with response:
            if response.status not in REDIRECTS:
                raise failure(response)
        return self._context.ask(remote, _headers(remote))

    def _came(self, count: int) -> None:
        self._moved += count
        self._context.count(count)

    def _at_once(self, response: Response, piece: OnePiece, temporary: str) -> tuple[Verified, int]:
        data = response.read(IN_MEMORY)
        response.close()  # another thread may use the connection meanwhile
        self._came(len(data))
        piece.update(data)
        verified = piece.settle(lambda: (data,))
        began = time.monotonic()
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(fd, data)
            return self._context.settle(self._step, temporary, fd, verified)
        finally:
            os.close(fd)
            if self.tiny:
                self._context.schedule.disk_took(time.monotonic() - began)

    def _streamed(
        self, response: Response, piece: OnePiece, temporary: str
    ) -> tuple[Verified, int]:
        size = self._step.want.remote.size
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with self._context.buffer(_BUFFER) as buffer:
                while count := fill(response, buffer):
                    piece.update(buffer[:count])
                    if size is not None and piece.length > size:
                        break  # more than was listed: `settle` says so
                    write_all(fd, buffer[:count])
                    self._came(count)
            response.close()
            verified = piece.settle(lambda: read_blocks(temporary))
            return self._context.settle(self._step, temporary, fd, verified)
        finally:
            os.close(fd)


def _raising(error: Exception) -> Callable[[], NoReturn]:
    """Return a call that fails as this one did."""

    def fail() -> NoReturn:
        raise error

    return fail


def another_look(looks: int) -> float:
    """Return the seconds until we look again, after so many looks."""
    return min(_LONGEST_LOOK, _FIRST_LOOK * 2.0 ** (looks - 1))


def fill(response: Response, buffer: memoryview) -> int:
    """Fill a buffer from a body; less than its length only at the end."""
    filled = 0
    while filled < len(buffer):
        count = response.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def _headers(remote: RemoteFile) -> dict[str, str]:
    headers = {} if remote.digest else dict(_ASK_FOR_CHECKSUM)
    if remote.etag and remote.ranges:
        headers["If-Match"] = f'"{remote.etag}"'
    return headers


def check_response(response: Response, remote: RemoteFile) -> None:
    """Hold an answer's head against what the listing said.

    Raises
    ------
    RemoteChangedError
        If the ETag is another one.
    TransientError
        If the announced length is another one.
    """
    etag = response.headers.get("etag", "").strip('"')
    if etag and remote.etag and etag != remote.etag:
        msg = f"{remote.key}: changed on the server since it was listed"
        raise RemoteChangedError(msg)
    if remote.size is not None and response.length not in (None, remote.size):
        msg = f"{remote.key}: {response.length} bytes announced, {remote.size} listed"
        raise TransientError(msg)


def renewed(remote: RemoteFile, headers: Mapping[str, str]) -> RemoteFile:
    """Return what an object that changed is like now, as the headers of a whole answer say."""
    etag = headers.get("etag", "").strip('"') or None
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdecimal() else None
    return replace(remote, etag=etag, size=size, modified=headers.get("last-modified"), digest=None)
