"""Who does what next: one queue for all threads of a transfer.

Small files come in one request each, many at a time. Large files come in parts; `n_jobs` of them
are open at once, and no more than `bulk` connections work on parts, so that small files never wait
for a large one and the memory for buffers stays bounded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Schedule", "Task"]


class Task(Protocol):
    """A piece of work for one thread.

    Attributes
    ----------
    bulk : bool
        Whether it is a part of a large file.
    opens : bool
        Whether it opens a large file.
    """

    bulk: bool
    opens: bool

    def run(self) -> None:
        """Do it. Failures are written down, never raised."""


class Schedule:
    """Hands out tasks until all are done.

    Parameters
    ----------
    small : iterable of Task
        Files that come in one piece.
    large : iterable of Task
        Tasks that open a large file; each adds its parts with `add_parts` and ends with
        `closed`.
    n_jobs : int
        Large files open at once.
    bulk : int
        Connections that work on parts at once.
    """

    def __init__(
        self, small: Iterable[Task], large: Iterable[Task], n_jobs: int, bulk: int
    ) -> None:
        self._small = deque(small)
        self._large = deque(large)
        self._parts: deque[Task] = deque()
        self._later: list[tuple[float, Task]] = []
        self._jobs = n_jobs
        self._bulk = bulk
        self._open = 0
        self._bulk_active = 0
        self._active = 0
        self._waiting = 0
        self._stopped = False
        self._condition = threading.Condition()

    def take(self) -> Task | None:
        """Return the next task, waiting for one if need be; None when all is done."""
        with self._condition:
            while not self._stopped:
                task = self._pick()
                if task is not None:
                    self._active += 1
                    self._bulk_active += task.bulk
                    return task
                if not self._active and not self._open and not self._later:
                    self._condition.notify_all()
                    return None
                self._waiting += 1
                self._condition.wait(self._patience())
                self._waiting -= 1
        return None

    def _pick(self) -> Task | None:
        if self._parts and self._bulk_active < self._bulk:
            return self._parts.popleft()
        if self._large and self._open < self._jobs:
            self._open += 1
            return self._large.popleft()
        if self._small:
            return self._small.popleft()
        now = time.monotonic()
        for number, (due, task) in enumerate(self._later):
            if due <= now and (not task.opens or self._open < self._jobs):
                del self._later[number]
                self._open += task.opens
                return task
        return None

    def _patience(self) -> float | None:
        if not self._later:
            return None
        return max(0.01, min(due for due, _ in self._later) - time.monotonic())

    def done(self, task: Task) -> None:
        """Say that a task that was taken is over."""
        with self._condition:
            self._active -= 1
            self._bulk_active -= task.bulk
            if self._waiting:
                self._condition.notify_all()

    def add_parts(self, parts: Iterable[Task]) -> None:
        """Add the parts of a file that was opened."""
        with self._condition:
            self._parts.extend(parts)
            self._condition.notify_all()

    def drop_parts(self, unwanted: Iterable[Task]) -> list[Task]:
        """Forget parts that nobody has taken yet; return them."""
        ids = set(map(id, unwanted))
        with self._condition:
            gone = [part for part in self._parts if id(part) in ids]
            self._parts = deque(part for part in self._parts if id(part) not in ids)
            return gone

    def closed(self) -> None:
        """Say that an opened file is dealt with."""
        with self._condition:
            self._open -= 1
            self._condition.notify_all()

    def again(self, task: Task, seconds: float) -> None:
        """Hand a task out again after a while."""
        with self._condition:
            self._later.append((time.monotonic() + seconds, task))
            self._condition.notify_all()

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
