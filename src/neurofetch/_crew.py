"""What all threads of one transfer share, and how a file ends: verified, flushed, named, noted."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from neurofetch._answers import failure
from neurofetch._errors import (
    DiskFullError,
    InterruptedTransferError,
    MissingRemoteError,
    NeurofetchError,
    RefusedError,
)
from neurofetch._events import Event, FileDone, Retrying, Waiting
from neurofetch._http import Request
from neurofetch._partials import name_of
from neurofetch._place import FULL
from neurofetch._retry import RetryRules
from neurofetch._values import Outcome, Receipt, RemoteFile, Rung, Status, Step, Want

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from neurofetch._answer import Answer
    from neurofetch._attempts import Attempts
    from neurofetch._errors import TransientError
    from neurofetch._http import Client
    from neurofetch._partials import Partials
    from neurofetch._place import Place
    from neurofetch._receipts import Journal
    from neurofetch._schedule import Schedule
    from neurofetch._verify import Verified

__all__ = ["Crew", "Inspect", "Locate", "Options"]


class Inspect(Protocol):
    """A deeper look at a file before it takes its final name."""

    def __call__(self, temporary: str, want: Want) -> Rung | None:
        """Look at the file `temporary`, or rewrite it in place.

        Returns
        -------
        Rung or None
            The rung that the look adds, where it is stronger than what was reached before.

        Raises
        ------
        VerificationError
            If the content is not what it should be.
        """


class Locate(Protocol):
    """Says where a file is to be had right now, for sources with signed addresses."""

    def __call__(self, remote: RemoteFile, *, fresh: bool) -> str:
        """Return the URL; with `fresh`, one that was not handed out before."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to transfer.

    Parameters
    ----------
    n_jobs : int
        Large files in flight.
    connections : int
        At most, for tiny files, which cost a round trip and little else.
    whole_connections : int
        At most, for files that come in one request and are not tiny.
    bulk_connections : int
        At most, for the parts of large files.
    single_limit : int
        Bytes; a file up to this size comes in one request.
    part_size : int
        Bytes; parts are about as large.
    rules : RetryRules
    failures_in_a_row : int or None
        Stop early when so many files fail one after another; None for never.
    beat : float
        Seconds between progress events.
    """

    n_jobs: int = 1
    connections: int = 384
    whole_connections: int = 64
    bulk_connections: int = 32
    single_limit: int = 16 << 20
    part_size: int = 8 << 20
    rules: RetryRules = field(default_factory=RetryRules)
    failures_in_a_row: int | None = None
    beat: float = 0.1


class Crew:
    """The tools and the notebook of one transfer."""

    def __init__(
        self,
        *,
        place: Place,
        journal: Journal,
        partials: Partials,
        client: Client,
        attempts: Attempts,
        options: Options,
        inspect: Inspect | None,
        locate: Locate | None,
    ) -> None:
        self.place = place
        self.journal = journal
        self.partials = partials
        self.client = client
        self.attempts = attempts
        self.options = options
        self.inspect = inspect
        self.locate = locate
        self.schedule: Schedule
        self.places = 1
        self.results: dict[int, Outcome] = {}
        self.inbox: deque[Event] = deque()
        self.wake = threading.Event()
        self.retries = 0
        self.fatal: BaseException | None = None
        self._counts: dict[int, int] = {}
        self._failed_in_a_row = 0
        self._buffers: dict[int, deque[memoryview]] = {}
        self._waited_for: set[str] = set()

    # -- bytes -------------------------------------------------------------------------------

    def count(self, number: int) -> None:
        """Add to the bytes that are done (subtract what an attempt lost)."""
        me = threading.get_ident()
        self._counts[me] = self._counts.get(me, 0) + number  # one writer a key: no lock

    @property
    def bytes_done(self) -> int:
        """Bytes that came in this run and still count."""
        return sum(list(self._counts.values()))

    @contextlib.contextmanager
    def buffer(self, size: int) -> Iterator[memoryview]:
        """Lend a buffer of `size` bytes; there are as many as are in use at once, and no more."""
        free = self._buffers.setdefault(size, deque())
        try:
            view = free.pop()
        except IndexError:
            view = memoryview(bytearray(size))
        try:
            yield view
        finally:
            free.append(view)

    # -- asking ------------------------------------------------------------------------------

    def ask(self, remote: RemoteFile, headers: dict[str, str], method: str = "GET") -> Answer:
        """Ask for a file, at an address that holds; the answer is a success.

        Raises
        ------
        ServerError
            What an unsuccessful answer stands for.
        """
        for fresh in (False, True):
            url = self.locate(remote, fresh=fresh) if self.locate else remote.url
            answer = self.client.send(Request(url, headers, method))
            if answer.status < 300:
                return answer
            with answer:
                error = failure(answer)
            if fresh or self.locate is None or not isinstance(error, RefusedError):
                break
        raise error

    def told(self, path: str) -> Callable[[TransientError, float], None]:
        """Return what to call when an attempt failed and there will be another."""

        def tell(error: TransientError, wait: float) -> None:
            self.retries += 1
            self.post(Retrying(path, str(error), wait))

        return tell

    # -- news --------------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Hand an event to the thread that called us; it looks a few times a second."""
        self.inbox.append(event)

    def claim(self, step: Step) -> str:
        """Claim a file; "" when it is ours, else who has it."""
        holder = self.partials.claim(name_of(step.want.path))
        if holder and step.want.path not in self._waited_for:
            self._waited_for.add(step.want.path)
            self.post(Waiting(step.want.path, holder))
        return holder

    def fetched_elsewhere(self, step: Step, before: int | None) -> bool:
        """Whether another process put the file in its place since the plan was made.

        Parameters
        ----------
        before : int or None
            Modification time in nanoseconds that the survey saw; None where it saw no file.
        """
        info = self.place.look(step.want.path)
        size = step.want.remote.size
        return (
            info is not None
            and info.st_mtime_ns != before
            and (size is None or info.st_size == size or self.inspect is not None)
        )

    # -- the end of a file -------------------------------------------------------------------

    def settle(
        self, step: Step, temporary: str, fd: int, verified: Verified
    ) -> tuple[Verified, int]:
        """Give a verified file its final name, and write the receipt.

        Parameters
        ----------
        fd : int
            Of `temporary`, open; it stays open.

        Returns
        -------
        tuple of (Verified, int)
            How it was verified, and the bytes of the file.
        """
        want = step.want
        if self.inspect is not None:
            rung = self.inspect(temporary, want)
            if rung is not None and verified.rung in (Rung.SIZE, Rung.NONE):
                verified = verified._replace(rung=rung)
            fd = os.open(temporary, os.O_RDWR)  # it may have been rewritten
        try:
            os.fsync(fd)
            info = os.fstat(fd)
        finally:
            if self.inspect is not None:
                os.close(fd)
        self.place.put(temporary, want.path)
        self.journal.append(
            Receipt(
                want.path,
                want.remote.key,
                want.remote.etag or "",
                info.st_size,
                info.st_mtime_ns,
                verified.rung,
                verified.digest,
                time.time(),
            )
        )
        return verified, info.st_size

    def record(self, number: int, outcome: Outcome) -> None:
        """Write down what became of a file."""
        self.results[number] = outcome
        self.post(FileDone(outcome))
        self._watch_failures(outcome)

    def _watch_failures(self, outcome: Outcome) -> None:
        limit = self.options.failures_in_a_row
        if outcome.status is not Status.FAILED:
            self._failed_in_a_row = 0
            return
        self._failed_in_a_row += 1
        if limit is not None and self._failed_in_a_row >= limit:
            self.schedule.stop()

    def failed(self, number: int, step: Step, error: BaseException, began: float) -> None:
        """Write down why a file could not be had; some causes end the whole transfer."""
        if isinstance(error, InterruptedTransferError):
            return
        status = Status.FAILED
        if isinstance(error, RefusedError) or (
            isinstance(error, MissingRemoteError) and step.want.optional
        ):
            status = Status.REFUSED
        if isinstance(error, OSError) and error.errno in FULL:
            error = DiskFullError(
                f"the disk of {self.place.root} is full. What was finished is in its place, what "
                "was not is kept for resuming. Free some space, then run the same call again."
            )
            self.fatal = error
            self.schedule.stop()
        elif not isinstance(error, NeurofetchError | OSError):
            self.fatal = error  # a fault of our own: to be seen, not to be counted
            self.schedule.stop()
        seconds = time.monotonic() - began
        outcome = Outcome(
            step.want.path, step.want.remote.key, status, str(error), 0, 0, seconds, Rung.NONE
        )
        self.record(number, outcome)
