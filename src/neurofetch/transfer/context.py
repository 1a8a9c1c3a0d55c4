"""What all threads of one transfer share, and how a file ends: verified, flushed, named, noted."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from neurofetch.errors import (
    DiskFullError,
    InterruptedTransferError,
    MissingRemoteError,
    NeurofetchError,
    RefusedError,
)
from neurofetch.events import Event, FileDone, Retrying, Waiting
from neurofetch.model import Outcome, Receipt, RemoteFile, Status, Step, VerificationLevel
from neurofetch.net.client import Request
from neurofetch.net.failures import failure
from neurofetch.store.directory import FULL
from neurofetch.store.partials import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from neurofetch.errors import TransientError
    from neurofetch.integrity.verification import Verified
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import Attempts
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.partials import Partials
    from neurofetch.store.receipts import Journal
    from neurofetch.transfer.options import Inspect, Locate, Options
    from neurofetch.transfer.schedule import Schedule

__all__ = ["TransferContext"]


class TransferContext:
    """The tools and the notebook of one transfer."""

    def __init__(
        self,
        *,
        directory: DataDirectory,
        journal: Journal,
        partials: Partials,
        client: Client,
        attempts: Attempts,
        options: Options,
        inspect: Inspect | None,
        locate: Locate | None,
    ) -> None:
        self.directory = directory
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

    def ask(self, remote: RemoteFile, headers: dict[str, str], method: str = "GET") -> Response:
        """Ask for a file, at an address that holds; the answer is a success.

        Raises
        ------
        ServerError
            What an unsuccessful answer stands for.
        """
        for fresh in (False, True):
            url = self.locate(remote, fresh=fresh) if self.locate else remote.url
            response = self.client.send(Request(url, headers, method))
            if response.status < 300:
                return response
            with response:
                error = failure(response)
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
        info = self.directory.look(step.want.path)
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
            verification = self.inspect(temporary, want)
            if verification is not None and verified.verification in (
                VerificationLevel.SIZE,
                VerificationLevel.NONE,
            ):
                verified = verified._replace(verification=verification)
            fd = os.open(temporary, os.O_RDWR)  # it may have been rewritten
        try:
            os.fsync(fd)
            info = os.fstat(fd)
        finally:
            if self.inspect is not None:
                os.close(fd)
        self.directory.put(temporary, want.path)
        self.journal.append(
            Receipt(
                want.path,
                want.remote.key,
                want.remote.etag or "",
                info.st_size,
                info.st_mtime_ns,
                verified.verification,
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
                f"the disk of {self.directory.root} is full. What was finished is in its place, "
                "what was not is kept for resuming. Free some space, then run the same call again."
            )
            self.fatal = error
            self.schedule.stop()
        elif not isinstance(error, NeurofetchError | OSError):
            self.fatal = error  # a fault of our own: to be seen, not to be counted
            self.schedule.stop()
        seconds = time.monotonic() - began
        outcome = Outcome(
            step.want.path,
            step.want.remote.key,
            status,
            str(error),
            0,
            0,
            seconds,
            VerificationLevel.NONE,
        )
        self.record(number, outcome)
