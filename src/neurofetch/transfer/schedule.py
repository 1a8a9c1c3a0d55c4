"""Who does what next: one queue for all threads of a transfer.

Small files come in one request each, many at a time. Large files come in parts; `n_jobs` of them
are open at once, and no more than `bulk` connections work on parts, so that small files never wait
for a large one and the memory for buffers stays bounded.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Schedule", "Task"]


_QUICK_DISK = 0.0002
"""Seconds. A disk that takes no longer for a tiny file keeps up with one thread."""
_SLOW_DISK = 0.003
"""Seconds. No waiting of threads for each other takes so long: it is the disk."""
_SAMPLES = 64


class Task(Protocol):
    """A piece of work for one thread.

    Attributes
    ----------
    bulk : bool
        Whether it is a part of a large file.
    opens : bool
        Whether it opens a large file.
    tiny : bool
        Whether it is a file so small that one thread asks for many before the first has come.
    """

    bulk: bool
    opens: bool
    tiny: bool

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
    flows : int
        Threads that work on tiny files at once, at most. There is one to begin with; a slow disk
        brings more, so that its waits overlap.
    """

    def __init__(
        self, small: Iterable[Task], large: Iterable[Task], n_jobs: int, bulk: int, flows: int = 8
    ) -> None:
        self._small: deque[Task] = deque()
        self._tiny: deque[Task] = deque()
        for task in small:
            (self._tiny if task.tiny else self._small).append(task)
        self._most_flows = flows
        self._flows = min(1, flows)
        self._disk = 0.0
        self._samples = 0
        self._flowing = 0
        self._large = deque(large)
        self._parts: deque[Task] = deque()
        self._later: list[tuple[float, int, Task]] = []
        self._serial = count()
        self._jobs = n_jobs
        self._bulk = bulk
        self._open = 0
        self._bulk_active = 0
        self._active = 0
        self._waiting = 0
        self._watched = False
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
                    self._flowing += task.tiny
                    if self._later and not self._watched:
                        self._condition.notify()  # whoever watched the clock has a task now
                    return task
                if self._over:
                    self._condition.notify_all()
                    return None
                self._wait()
        return None

    def _pick(self) -> Task | None:
        if self._later and self._later[0][0] <= time.monotonic():
            _, _, task = heapq.heappop(self._later)
            row = self._large if task.opens else self._tiny if task.tiny else self._small
            row.append(task)
        if self._parts and self._bulk_active < self._bulk:
            return self._parts.popleft()
        if self._large and self._open < self._jobs:
            self._open += 1
            return self._large.popleft()
        if self._tiny and self._flowing < self._flows:
            return self._tiny.popleft()
        return self._small.popleft() if self._small else None

    def more(self) -> Task | None:
        """Return another tiny file for a thread that works on one, or None.

        It counts as a piece of the task that the thread has taken: `done` is not called for it.
        """
        with self._condition:
            busy = self._stopped or (self._parts and self._bulk_active < self._bulk)
            return self._tiny.popleft() if self._tiny and not busy else None

    @property
    def _over(self) -> bool:
        """Whether nothing is left, and nothing can come any more."""
        left = self._small or self._tiny or self._large or self._parts or self._later
        return not (left or self._active or self._open)

    def _wait(self) -> None:
        """Wait for a task; one thread of all that wait watches the clock."""
        watches = bool(self._later) and not self._watched
        patience = max(0.0, self._later[0][0] - time.monotonic()) if watches else None
        self._watched |= watches
        self._waiting += 1
        self._condition.wait(patience)
        self._waiting -= 1
        if watches:
            self._watched = False

    @property
    def flowing(self) -> int:
        """How many threads work on tiny files."""
        return self._flowing

    def disk_took(self, seconds: float) -> None:
        """Note how long the disk took for one tiny file, and widen the flow if that is long."""
        self._samples += 1  # a lost update does no harm
        self._disk += (seconds - self._disk) / min(self._samples, _SAMPLES)
        if self._samples % _SAMPLES:
            return
        # The first look is the one that counts: later the threads wait for each other, too.
        if self._samples == _SAMPLES or self._disk > _SLOW_DISK:
            self._widen(min(self._most_flows, int(self._disk / _QUICK_DISK)))

    def _widen(self, flows: int) -> None:
        with self._condition:
            more, self._flows = flows - self._flows, max(flows, self._flows)
            if more > 0:
                self._condition.notify(more)

    def done(self, task: Task) -> None:
        """Say that a task that was taken is over."""
        with self._condition:
            self._active -= 1
            self._bulk_active -= task.bulk
            self._flowing -= task.tiny
            if self._waiting and self._over:  # else the thread that asks takes what is free now
                self._condition.notify_all()

    def _tell(self, tasks: int) -> None:
        """Wake as many threads as there are new tasks; all of them at the end."""
        if self._over:
            self._condition.notify_all()
        elif tasks:
            self._condition.notify(tasks)

    def add_parts(self, parts: Iterable[Task]) -> None:
        """Add the parts of a file that was opened."""
        with self._condition:
            self._parts.extend(parts)
            self._tell(len(self._parts))

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
            self._tell(1 if self._large else 0)

    def again(self, task: Task, seconds: float) -> None:
        """Hand a task out again after a while."""
        with self._condition:
            entry = (time.monotonic() + seconds, next(self._serial), task)
            heapq.heappush(self._later, entry)
            if self._watched and self._later[0] is entry:
                self._condition.notify_all()  # whoever watches the clock waits too long

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
