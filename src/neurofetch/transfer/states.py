"""The life of a file in a transfer: one table of states and steps, and the one that walks it.

Pure of input and output, but for the claim that it takes and gives back: what the threads of a
transfer do with a file, in whatever order things happen, passes through here. So there is one place
where a claim is given back, an open partial is closed, and what became of a file is written down.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from neurofetch.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.model import Outcome, Step
    from neurofetch.transfer.schedule import Task

__all__ = ["CLAIMED", "ENDED", "STEPS", "Book", "Claims", "FileLife", "FileState", "Held", "Later"]


class FileState(enum.Enum):
    """Where a file is in its transfer."""

    PLANNED = "planned"
    """Nothing was done for it yet."""
    WAITING = "waiting"
    """For a moment to come: another process is at it, or an attempt failed."""
    FETCHING = "fetching"
    """It is claimed: its bytes are asked for, and written to a temporary name."""
    VERIFYING = "verifying"
    """It is claimed and all its bytes are here: they are checked, flushed and named."""
    SETTLED = "settled"
    """It is in its place, by us or by another process."""
    FAILED = "failed"
    """It could not be had, or is withheld."""
    STOPPED = "stopped"
    """The run ended first; what came is kept for the next run."""

    __hash__ = object.__hash__  # by identity: states are looked up several times for every file


CLAIMED = frozenset({FileState.FETCHING, FileState.VERIFYING})
"""States in which a file is ours: other processes wait for it."""
ENDED = frozenset({FileState.SETTLED, FileState.FAILED, FileState.STOPPED})
"""States that no step leaves."""

_S = FileState
STEPS: dict[FileState, frozenset[FileState]] = {
    _S.PLANNED: frozenset({_S.FETCHING, _S.WAITING, _S.FAILED, _S.STOPPED}),
    _S.WAITING: frozenset({_S.FETCHING, _S.WAITING, _S.FAILED, _S.STOPPED}),
    _S.FETCHING: frozenset({_S.VERIFYING, _S.WAITING, _S.SETTLED, _S.FAILED, _S.STOPPED}),
    _S.VERIFYING: frozenset({_S.SETTLED, _S.FETCHING, _S.WAITING, _S.FAILED, _S.STOPPED}),
    _S.SETTLED: frozenset(),
    _S.FAILED: frozenset(),
    _S.STOPPED: frozenset(),
}
"""The steps that there are. VERIFYING goes back to FETCHING when the bytes were wrong."""


class Claims(Protocol):
    """Who is at work on which file, seen by all processes."""

    def claim(self, short: str) -> str:
        """Claim a file; "" when it is ours, else who has it."""

    def release(self, short: str) -> None:
        """Give a claim back."""


class Held(Protocol):
    """What a file holds open while it is fetched in parts."""

    def close(self) -> None:
        """Close it; the next run can go on with it."""


class Book(Protocol):
    """Where it is written down what became of a file, and who waits for whom."""

    def record(self, number: int, outcome: Outcome) -> None:
        """Write down what became of a file."""

    def waits_for(self, step: Step, owner: str) -> None:
        """Say that another process has the file."""


class Later(Protocol):
    """The part of the schedule that a file's life needs."""

    def again(self, task: Task, seconds: float) -> None:
        """Hand out a task after a while."""

    def closed(self, file: object) -> None:
        """Say that a large file is not open any more."""


class FileLife:
    """One file of a transfer, from PLANNED to its end.

    Only one thread at a time may call it: the one that has the file's task (or, for a file in
    parts, the one that ends the last of them).

    Parameters
    ----------
    number : int
        Of the step in the plan.
    step : Step
        What was planned. It is replaced when the object turns out to have changed.
    short : str
        The file's short name; see `neurofetch.store.partials.name_of`.
    claims : Claims
    book : Book
    later : Later

    Attributes
    ----------
    state : FileState
    looks : int
        How often another process was found to be at work on it.
    held : Held or None
        What is closed when the file is left.
    then : callable or None
        Called once at its end, before it is written down, with whether the file is in its place:
        others may wait for it.
    """

    __slots__ = (
        "_book",
        "_claims",
        "_later",
        "held",
        "looks",
        "number",
        "short",
        "state",
        "step",
        "then",
    )

    def __init__(
        self, number: int, step: Step, short: str, *, claims: Claims, book: Book, later: Later
    ) -> None:
        self.number = number
        self.step = step
        self.short = short
        self.state = FileState.PLANNED
        self.looks = 0
        self.held: Held | None = None
        self.then: Callable[[bool], None] | None = None
        self._claims = claims
        self._book = book
        self._later = later

    def begin(self, again: Callable[[], Task], wait: Callable[[int], float]) -> bool:
        """Claim the file, or wait for the process that has it.

        Parameters
        ----------
        again : callable
            Returns the task with which to look again.
        wait : callable
            Returns the seconds until then, after so many looks.

        Returns
        -------
        bool
            Whether it is ours. The state is FETCHING then, else WAITING.
        """
        owner = self._claims.claim(self.short)
        if not owner:
            self._move(FileState.FETCHING)
            return True
        self.looks += 1
        self._book.waits_for(self.step, owner)
        self.wait(again(), wait(self.looks))
        return False

    def verify(self) -> None:
        """Say that all bytes are here and are checked now."""
        self._move(FileState.VERIFYING)

    def fetch_anew(self) -> None:
        """Say that the bytes are asked for once more."""
        if self.state is not FileState.FETCHING:
            self._move(FileState.FETCHING)

    def wait(self, task: Task, seconds: float) -> None:
        """Leave the file for a while; `task` takes it up again."""
        self._move(FileState.WAITING)
        self._later.again(task, seconds)

    def end(self, outcome: Outcome) -> None:
        """Leave the file for good, and write down what became of it."""
        to = FileState.SETTLED if outcome.ok else FileState.FAILED
        self._check(to)  # else the end would be written down twice
        then, self.then = self.then, None
        if then is not None:  # while the schedule cannot be over, since this file is not
            then(outcome.ok)
        try:
            self._move(to)
        finally:
            self._book.record(self.number, outcome)

    def stop(self) -> None:
        """Leave the file where it is: the run ends first. After the end it does nothing."""
        if self.state not in ENDED:
            self._move(FileState.STOPPED)

    def _check(self, to: FileState) -> None:
        """See that a step is one of the table."""
        if to not in STEPS[self.state]:
            msg = (
                f"a fault of this program: {self.step.want.path} cannot go from "
                f"{self.state.value} to {to.value}. Please report it."
            )
            raise FaultError(msg)

    def _move(self, to: FileState) -> None:
        """Take a step of the table; on the way out, close what is open and give the claim back."""
        self._check(to)
        before, self.state = self.state, to
        if to in CLAIMED:
            return
        held, self.held = self.held, None
        try:
            if held is not None:
                held.close()
        finally:
            try:
                if before in CLAIMED:
                    self._claims.release(self.short)
            finally:
                self._later.closed(self)
