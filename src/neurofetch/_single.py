"""Fetch a file in one request: small files, and those of servers that know no ranges."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch._answers import failure
from neurofetch._errors import (
    RemoteChangedError,
    TransientError,
    UnreachableError,
    VerificationError,
)
from neurofetch._http import REDIRECTS, Request
from neurofetch._partials import name_of
from neurofetch._values import Action, Outcome, RemoteFile, Rung, Status, Step
from neurofetch._verify import OnePiece, Promise, Verified, read_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from neurofetch._answer import Answer
    from neurofetch._crew import Crew
    from neurofetch._http import Pending

__all__ = ["IN_MEMORY", "Single", "another_look", "fill", "renewed", "write_all"]

IN_MEMORY = 256 * 1024
"""Bytes; a body up to this size is read at once."""
_BUFFER = 256 * 1024
_FIRST_LOOK, _LONGEST_LOOK = 0.25, 2.0
"""Seconds until we look again at a file that another process fetches: doubled each time."""
_ASK_FOR_CHECKSUM = {"x-amz-checksum-mode": "ENABLED"}


class Single:
    """The task of fetching one file in one piece.

    Parameters
    ----------
    crew : Crew
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
        self, crew: Crew, number: int, step: Step, before: int | None, *, tiny: bool = False
    ) -> None:
        self.tiny = tiny
        self._crew = crew
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
            if not self._crew.fetched_elsewhere(self._step, self._before):
                remote = self._step.want.remote
                self._pending = self._crew.client.begin(Request(remote.url, _headers(remote)))
                return True
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            self._conclude(_raising(error))
        else:
            self._conclude(self._kept)
        return False

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""
        crew = self._crew
        return crew.client.ready(self._step.want.remote.url, crew.places - 1)

    def finish(self) -> None:
        """Wait for the answer; a file that did not come this time is asked for alone, later."""
        self._conclude(self._outcome)

    def _claimed(self) -> bool:
        """Claim the file, or come back later when another process is at it."""
        crew = self._crew
        self._began = time.monotonic()
        try:
            if not crew.claim(self._step):
                return True
            self._looks += 1
            crew.schedule.again(self, another_look(self._looks))
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            crew.failed(self._number, self._step, error, self._began)
        return False

    def _conclude(self, act: Callable[[], Outcome]) -> None:
        """Give the claim back, and write down what became of the file, or come back later."""
        crew = self._crew
        try:
            try:
                outcome = act()
            finally:
                crew.partials.release(name_of(self._step.want.path))
            crew.record(self._number, outcome)
        except Exception as error:  # noqa: BLE001 - written down in the report, file by file
            if self.tiny and isinstance(error, TransientError):
                self._come_back(error)
            else:
                crew.failed(self._number, self._step, error, self._began)

    def _come_back(self, error: TransientError) -> None:
        """Ask again after a while, in a thread of its own: others must not wait meanwhile."""
        crew = self._crew
        self._failed += 1
        self.tiny = False
        wait = crew.attempts.wait(self._failed, error)
        if wait is None:
            final = UnreachableError(f"{error}; gave up after {self._failed} attempts")
            crew.failed(self._number, self._step, final, self._began)
        else:
            self._retried += 1
            crew.told(self._step.want.path)(error, wait)
            crew.schedule.again(self, wait)

    def _kept(self) -> Outcome:
        want, info = self._step.want, self._crew.place.look(self._step.want.path)
        size = info.st_size if info else 0
        reason = "another process fetched it meanwhile"
        return Outcome(want.path, want.remote.key, Status.KEPT, reason, size, rung=Rung.SIZE)

    def _outcome(self) -> Outcome:
        crew, step = self._crew, self._step
        path, remote = step.want.path, step.want.remote
        if self._pending is None and crew.fetched_elsewhere(step, self._before):
            return self._kept()
        temporary = crew.partials.temporary(name_of(path))
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
            verified.rung,
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
        crew, want = self._crew, self._step.want
        with crew.attempts.run(lambda: crew.ask(want.remote, {}, "HEAD")) as answer:
            remote = renewed(want.remote, answer.headers)
        self._retried += 1
        self._step = replace(self._step, want=replace(want, remote=remote))

    def _fetch(self, temporary: str) -> tuple[Verified, int]:
        crew = self._crew
        if self._pending is not None:
            return self._attempt(temporary)  # what fails is asked for again later, alone
        tell = crew.told(self._step.want.path)

        def told(error: TransientError, wait: float) -> None:
            self._retried += 1
            tell(error, wait)

        return crew.attempts.run(lambda: self._attempt(temporary), told, self._failed)

    def _attempt(self, temporary: str) -> tuple[Verified, int]:
        crew, remote = self._crew, self._step.want.remote
        counted = self._moved
        try:
            with self._ask(remote) as answer:
                check_answer(answer, remote)
                piece = OnePiece(Promise.of(remote, answer.headers))
                if answer.length is not None and answer.length <= IN_MEMORY:
                    return self._at_once(answer, piece, temporary)
                return self._streamed(answer, piece, temporary)
        except BaseException:
            crew.count(counted - self._moved)
            raise

    def _ask(self, remote: RemoteFile) -> Answer:
        """Ask for the file, or wait for the answer to the request that was sent."""
        pending, self._pending = self._pending, None
        if pending is None:
            return self._crew.ask(remote, _headers(remote))
        answer = self._crew.client.finish(pending)
        if answer.status == 200:
            return answer
        with answer:
            if answer.status not in REDIRECTS:
                raise failure(answer)
        return self._crew.ask(remote, _headers(remote))

    def _came(self, count: int) -> None:
        self._moved += count
        self._crew.count(count)

    def _at_once(self, answer: Answer, piece: OnePiece, temporary: str) -> tuple[Verified, int]:
        data = answer.read(IN_MEMORY)
        answer.close()  # another thread may use the connection while this one looks after the disk
        self._came(len(data))
        piece.update(data)
        verified = piece.settle(lambda: (data,))
        began = time.monotonic()
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(fd, data)
            return self._crew.settle(self._step, temporary, fd, verified)
        finally:
            os.close(fd)
            if self.tiny:
                self._crew.schedule.disk_took(time.monotonic() - began)

    def _streamed(self, answer: Answer, piece: OnePiece, temporary: str) -> tuple[Verified, int]:
        size = self._step.want.remote.size
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with self._crew.buffer(_BUFFER) as buffer:
                while count := fill(answer, buffer):
                    piece.update(buffer[:count])
                    if size is not None and piece.length > size:
                        break  # more than was listed: `settle` says so
                    write_all(fd, buffer[:count])
                    self._came(count)
            answer.close()
            verified = piece.settle(lambda: read_blocks(temporary))
            return self._crew.settle(self._step, temporary, fd, verified)
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


def fill(answer: Answer, buffer: memoryview) -> int:
    """Fill a buffer from a body; less than its length only at the end."""
    filled = 0
    while filled < len(buffer):
        count = answer.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it, whatever the system takes at once."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _headers(remote: RemoteFile) -> dict[str, str]:
    headers = {} if remote.digest else dict(_ASK_FOR_CHECKSUM)
    if remote.etag and remote.ranges:
        headers["If-Match"] = f'"{remote.etag}"'
    return headers


def check_answer(answer: Answer, remote: RemoteFile) -> None:
    """Hold an answer's head against what the listing said.

    Raises
    ------
    RemoteChangedError
        If the ETag is another one.
    TransientError
        If the announced length is another one.
    """
    etag = answer.headers.get("etag", "").strip('"')
    if etag and remote.etag and etag != remote.etag:
        msg = f"{remote.key}: changed on the server since it was listed"
        raise RemoteChangedError(msg)
    if remote.size is not None and answer.length not in (None, remote.size):
        msg = f"{remote.key}: {answer.length} bytes announced, {remote.size} listed"
        raise TransientError(msg)


def renewed(remote: RemoteFile, headers: Mapping[str, str]) -> RemoteFile:
    """Return what an object that changed is like now, as the headers of a whole answer say."""
    etag = headers.get("etag", "").strip('"') or None
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdecimal() else None
    return replace(remote, etag=etag, size=size, modified=headers.get("last-modified"), digest=None)
