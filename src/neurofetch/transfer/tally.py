"""What changes while a transfer runs: bytes, outcomes, retries, news. Everything else is frozen."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from neurofetch.errors import ServerError
from neurofetch.events import Event, FileDone, Retrying, Waiting
from neurofetch.model import Outcome, Status, Step, Want

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.errors import TransientError

__all__ = ["Tally"]


class Tally:
    """The one notebook of a transfer; any thread may write in it.

    Parameters
    ----------
    most_failures : int or None
        So many failures in a row are too many; None for never.
    give_up : callable
        Called when there are too many.

    Attributes
    ----------
    results : dict of int to Outcome
        What became of each file, by the number of its step.
    inbox : deque of Event
        News for the thread that started the transfer; it looks when `wake` is set.
    retries : int
        Attempts beyond the first.
    throttled : int
        Those of them that the server answered with "slow down".
    fruitless : int
        Those of them whose connection broke before it had brought anything that is kept.
    fatal : BaseException or None
        What ended the whole transfer.
    """

    def __init__(self, most_failures: int | None, give_up: Callable[[], None]) -> None:
        self.results: dict[int, Outcome] = {}
        self.inbox: deque[Event] = deque()
        self.wake = threading.Event()
        self.retries = 0
        self.throttled = 0
        self.fruitless = 0
        self.fatal: BaseException | None = None
        self._most_failures = most_failures
        self._give_up = give_up
        self._failed_in_a_row = 0
        self._bytes: dict[int, int] = {}
        self._waited_for: set[str] = set()

    # -- bytes -------------------------------------------------------------------------------

    def count(self, number: int) -> None:
        """Add to the bytes that are done (subtract what an attempt lost)."""
        me = threading.get_ident()
        self._bytes[me] = self._bytes.get(me, 0) + number  # one writer a key: no lock

    @property
    def bytes_done(self) -> int:
        """Bytes that came in this run, or were copied, and still count."""
        return sum(list(self._bytes.values()))

    # -- files -------------------------------------------------------------------------------

    def record(self, number: int, outcome: Outcome) -> None:
        """Write down what became of a file."""
        self.results[number] = outcome
        self.inbox.append(FileDone(outcome))
        if outcome.status is not Status.FAILED:
            self._failed_in_a_row = 0
            return
        self._failed_in_a_row += 1
        if self._most_failures is not None and self._failed_in_a_row >= self._most_failures:
            self._give_up()

    def waits_for(self, step: Step, owner: str) -> None:
        """Say, once a file, that another process has it."""
        path = step.want.path
        if path not in self._waited_for:
            self._waited_for.add(path)
            self.inbox.append(Waiting(path, owner))

    def retried(self, want: Want, error: TransientError, wait: float) -> None:
        """Write down that an attempt failed and there will be another."""
        self.retries += 1
        self.throttled += error.throttled
        cause = error.__cause__
        broke = isinstance(cause, OSError) and not isinstance(cause, ServerError)
        self.fruitless += broke and not error.progress
        self.inbox.append(Retrying(want.path, want.said(error), wait))

    def end_all(self, cause: BaseException) -> None:
        """Write down what ends the whole transfer; the first cause stands."""
        if self.fatal is None:
            self.fatal = cause
        self._give_up()
