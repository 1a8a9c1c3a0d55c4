"""Who does what next: one queue for all threads of a transfer.

Small files come in one request each, many at a time. Large files come in parts; `n_jobs` of them
are open at once, and no more than `bulk` connections work on parts, so that small files never wait
for a large one and the memory for buffers stays bounded. Parts, and files in one request, share a
number of connections that changes while the transfer runs (see `neurofetch.transfer.width`); each
of the two gets its half while the other wants more.

`Board` is the queue itself, without threads or clock; `Schedule` lets threads wait at it.
"""

from __future__ import annotations

import enum
import heapq
import threading
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, Protocol

from neurofetch.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Board", "Schedule", "Standing", "Task", "TaskKind"]


_QUICK_DISK = 0.0002
"""Seconds. A disk that takes no longer for a tiny file keeps up with one thread."""
_SLOW_DISK = 0.003
"""Seconds. No waiting of threads for each other takes so long: it is the disk."""
_SAMPLES = 64


class TaskKind(enum.Enum):
    """What a task does; it never changes."""

    TINY = "tiny"
    """Fetch a file so small that one thread asks for many before the first has come."""
    WHOLE = "whole"
    """Fetch a file in one request."""
    FEW = "few"
    """Fetch a file in one request, of a server that is asked for few at a time."""
    OPEN = "open"
    """Open a large file, and hand out its parts."""
    PART = "part"
    """Fetch one part of a large file."""

    __hash__ = object.__hash__  # by identity: it is looked up for every file


_ROWS = {
    TaskKind.TINY: "tiny files",
    TaskKind.WHOLE: "files in one request",
    TaskKind.FEW: "files that are asked for few at a time",
    TaskKind.OPEN: "large files",
    TaskKind.PART: "parts",
}
"""What the tasks of a row are called in messages."""
_BULK = (TaskKind.PART, TaskKind.WHOLE, TaskKind.FEW)
"""Tasks that are bound by what the line brings, not by how far away the server is."""


class Task(Protocol):
    """A piece of work for one thread, done once. What is to be done again is a new task."""

    @property
    def kind(self) -> TaskKind:
        """What it does."""

    @property
    def file(self) -> object:
        """The file that it works on: two tasks of one file have the same."""

    def run(self) -> None:
        """Do it. Failures are written down, never raised."""


class Standing(NamedTuple):
    """How a schedule stands.

    Parameters
    ----------
    bulk, tiny : int
        Parts and files in one request that are in flight, and tiny files.
    bulk_waits, tiny_waits : bool
        Whether there are more of them.
    flows : int
        Threads that may work on tiny files.
    later : bool
        Whether tasks wait for a moment to come.
    """

    bulk: int
    tiny: int
    bulk_waits: bool
    tiny_waits: bool
    flows: int
    later: bool


class Board:
    """Which tasks are left, in flight, or waiting for a moment to come. Not safe for threads.

    Every task is in one place: in a row, in flight, or waiting. What is counted follows from the
    kind of the task, which does not change; so what is booked is unbooked.

    Parameters
    ----------
    jobs : int
        Large files open at once.
    bulk : int
        Parts in flight at once.
    few : int
        Files in flight at once, of a server that is asked for few at a time.
    """

    def __init__(self, jobs: int, bulk: int, few: int = 4) -> None:
        self._limits = {TaskKind.PART: bulk, TaskKind.FEW: few}
        self._jobs = jobs
        self._width: int | None = None
        self._part_last = False
        self._rows: dict[TaskKind, deque[Task]] = {kind: deque() for kind in TaskKind}
        self._flying: dict[TaskKind, int] = dict.fromkeys(TaskKind, 0)
        self._in_flight: set[Task] = set()
        self._open: set[object] = set()
        self._later: list[tuple[float, int, Task]] = []
        self._serial = count()

    # -- what goes in ------------------------------------------------------------------------

    def add(self, tasks: Iterable[Task]) -> None:
        """Add tasks to the ends of their rows."""
        for task in tasks:
            self._rows[task.kind].append(task)

    def again(self, task: Task, moment: float) -> None:
        """Add a task that is not to be handed out before a moment."""
        heapq.heappush(self._later, (moment, next(self._serial), task))

    # -- what comes out ----------------------------------------------------------------------

    def pick(self, now: float, *, tiny: bool) -> Task | None:
        """Return the next task, which is in flight from now on; None when there is none now.

        Parameters
        ----------
        now : float
            Tasks that wait for a moment up to this one are due.
        tiny : bool
            Whether a tiny one may be given.
        """
        while self._later and self._later[0][0] <= now:
            task = heapq.heappop(self._later)[2]
            self._rows[task.kind].append(task)
        for kind in self._order(tiny=tiny):
            row = self._rows[kind]
            if row:
                return self._taken(row.popleft())
        return None

    def would_pick(self, *, tiny: bool) -> bool:
        """Whether `pick` would return a task, none of those that wait being due."""
        return any(self._rows[kind] for kind in self._order(tiny=tiny))

    def _order(self, *, tiny: bool) -> Iterable[TaskKind]:
        """Return the kinds that may be handed out now, the most urgent first."""
        room = self._width is None or self.bulk_in_flight < self._width
        if room and self._flying[TaskKind.FEW] < self._limits[TaskKind.FEW]:
            yield TaskKind.FEW
        if room and self._part_is_next:
            yield TaskKind.PART
        if len(self._open) < self._jobs and self._parts_run_short:
            yield TaskKind.OPEN
        if tiny:
            yield TaskKind.TINY
        if room:
            yield TaskKind.WHOLE

    @property
    def _part_is_next(self) -> bool:
        """Whether a part may be handed out, before a file in one request.

        Where there are more of both, each kind has as many in flight as the other.
        """
        parts, whole = self._flying[TaskKind.PART], self._flying[TaskKind.WHOLE]
        if parts >= self._limits[TaskKind.PART]:
            return False
        if self._width is None or not self._rows[TaskKind.WHOLE]:
            return True
        return parts < whole or (parts == whole and not self._part_last)

    @property
    def _parts_run_short(self) -> bool:
        """Whether all parts that wait will be in flight soon: then another file is opened."""
        return self._width is None or len(self._rows[TaskKind.PART]) < self._width

    def pick_tiny(self) -> Task | None:
        """Return another tiny task; None when there is none, or a part is more urgent."""
        row = self._rows[TaskKind.TINY]
        urgent = self._rows[TaskKind.PART] and TaskKind.PART in self._order(tiny=False)
        return self._taken(row.popleft()) if row and not urgent else None

    def _taken(self, task: Task) -> Task:
        if task.kind in _BULK:
            self._part_last = task.kind is TaskKind.PART
        self._flying[task.kind] += 1
        self._in_flight.add(task)
        if task.kind is TaskKind.OPEN:
            self._open.add(task.file)
        return task

    def drop(self, unwanted: Iterable[Task]) -> list[Task]:
        """Take parts back that nobody has taken yet; return them in their order."""
        ids = set(unwanted)
        row = self._rows[TaskKind.PART]
        gone = [task for task in row if task in ids]
        self._rows[TaskKind.PART] = deque(task for task in row if task not in ids)
        return gone

    # -- what is over ------------------------------------------------------------------------

    def done(self, task: Task) -> None:
        """Say that a task that was handed out is over.

        Raises
        ------
        FaultError
            If it is not in flight: it was never handed out, or is over already.
        """
        if task not in self._in_flight:
            msg = f"a fault of this program: a task ({task.kind.value}) ended that was not begun"
            raise FaultError(msg)
        self._in_flight.remove(task)
        self._flying[task.kind] -= 1

    def closed(self, file: object) -> None:
        """Say that a large file is not open any more; it does nothing for one that is not."""
        self._open.discard(file)

    def is_open(self, file: object) -> bool:
        """Whether a large file is open."""
        return file in self._open

    # -- how it stands -----------------------------------------------------------------------

    def widen(self, width: int) -> None:
        """Set how many parts and files in one request may be in flight together, at least 1."""
        self._width = max(1, width)

    @property
    def bulk_in_flight(self) -> int:
        """Parts and files in one request that are in flight."""
        return sum(self._flying[kind] for kind in _BULK)

    def waits(self, *kinds: TaskKind) -> bool:
        """Whether tasks of one of these kinds are left to be handed out."""
        return any(self._rows[kind] for kind in kinds)

    @property
    def in_flight(self) -> int:
        """Tasks that were handed out and are not over."""
        return len(self._in_flight)

    def flying(self, kind: TaskKind) -> int:
        """Return how many tasks of a kind are in flight."""
        return self._flying[kind]

    @property
    def next_moment(self) -> float | None:
        """When the first of the waiting tasks is due; None when none waits."""
        return self._later[0][0] if self._later else None

    @property
    def left(self) -> dict[str, int]:
        """What is still to be done, by what it is; empty at the end."""
        numbers = {_ROWS[kind]: len(row) for kind, row in self._rows.items()}
        numbers |= {"in flight": self.in_flight, "waiting": len(self._later)}
        numbers["open files"] = len(self._open)
        return {name: number for name, number in numbers.items() if number}

    @property
    def over(self) -> bool:
        """Whether nothing is left, and nothing can come any more."""
        return not (self._in_flight or self._open or self._later or any(self._rows.values()))


class Schedule:
    """Hands out tasks to threads until all are done.

    Parameters
    ----------
    n_jobs : int
        Large files open at once.
    bulk : int
        Connections that work on parts at once.
    flows : int
        Threads that work on tiny files at once, at most. There is one to begin with; a slow disk
        brings more, so that its waits overlap.
    few : int
        Files in flight at once, of a server that is asked for few at a time.
    workers : int, optional
        Threads that call `take` until they `leave`. When all of them wait at once, for nothing that
        could come, the schedule has a `fault`.

    Attributes
    ----------
    fault : FaultError or None
    places : int
        Tiny files that may be asked for at once, in all flows together.
    """

    def __init__(
        self,
        n_jobs: int,
        bulk: int,
        flows: int = 8,
        workers: int | None = None,
        *,
        few: int = 4,
    ) -> None:
        self.places = 0
        self._board = Board(n_jobs, bulk, few)
        self._most_flows = flows
        self._flows = min(1, flows)
        self._flowing = 0
        self._disk = 0.0
        self._samples = 0
        self._workers = workers
        self._bulk: dict[Task, int] = {}
        self._waiting = 0
        self._watched = False
        self._stopped = False
        self._hurry: Callable[[], None] | None = None
        self._condition = threading.Condition()
        self.fault: FaultError | None = None

    # -- for the threads ---------------------------------------------------------------------

    def take(self) -> Task | None:
        """Return the next task, waiting for one if need be; None when all is done.

        A thread that is given a tiny task works on a flow of them: it asks for `more` and says at
        the end that the flow is over.

        Every task is given to `done` when it is over.
        """
        with self._condition:
            while not self._stopped:
                task = self._board.pick(time.monotonic(), tiny=self._flowing < self._flows)
                if task is not None:
                    self._flowing += task.kind is TaskKind.TINY
                    if task.kind in _BULK:
                        self._bulk[task] = threading.get_ident()
                    self._wake_another()
                    return task
                if self._over:
                    self._condition.notify_all()
                    return None
                self._wait()
        return None

    def more(self) -> Task | None:
        """Return another tiny task for a thread that works on a flow, or None."""
        with self._condition:
            return None if self._stopped else self._board.pick_tiny()

    def done(self, task: Task) -> None:
        """Say that a task that was taken is over."""
        with self._condition:
            self._board.done(task)
            self._bulk.pop(task, None)
            if self._waiting and self._over:  # else the thread that asks takes what is free
                self._condition.notify_all()

    def flow_over(self) -> None:
        """Say that the thread's flow of tiny files is over."""
        with self._condition:
            self._flowing -= 1

    def join(self) -> None:
        """Say that one more thread will call `take`, before it is started."""
        with self._condition:
            if self._workers is not None:
                self._workers += 1

    def leave(self) -> None:
        """Say that a thread does not call `take` any more (or was never started)."""
        with self._condition:
            if self._workers is not None:
                self._workers -= 1
            if self._waiting:
                self._check_for_fault()

    def _wait(self) -> None:
        """Wait for a task; one thread of all that wait watches the clock."""
        moment = self._board.next_moment
        watches = moment is not None and not self._watched
        patience = max(0.0, moment - time.monotonic()) if watches and moment is not None else None
        self._watched |= watches
        self._waiting += 1
        if self._hurry is not None and self._board.over:
            self._hurry()
        self._check_for_fault()
        if not self._stopped:
            self._condition.wait(patience)
        self._waiting -= 1
        if watches:
            self._watched = False

    def _wake_another(self) -> None:
        """Wake a thread that waits, where it would find a task, or there is a clock to watch.

        Each thread that takes a task does so. So nobody needs to know how many may work now, when
        several tasks are due at once, or a thread that is not one of a flow any more lets another
        begin one.
        """
        unwatched = self._board.next_moment is not None and not self._watched
        if self._waiting and (unwatched or self._woken()):
            self._condition.notify()

    def _check_for_fault(self) -> None:
        """Stop when all threads wait for each other: that is a fault of ours, and never silent."""
        idle = self._workers is not None and self._waiting >= self._workers
        if not idle or self._board.next_moment is not None:
            return
        if self._stopped or self._board.over or self._hurry or self._woken():
            return
        left = ", ".join(f"{name}: {number:,}" for name, number in self._board.left.items())
        self.fault = FaultError(
            "a fault of this program: no thread has anything to do, nothing waits for a moment to "
            f"come, and something is left ({left}). Finished files are in their places, and "
            "finished parts are kept. Run the same call again to go on, and please report this "
            "message."
        )
        self._stopped = True
        self._condition.notify_all()

    def _woken(self) -> bool:
        """Whether a thread that still counts as waiting would find a task."""
        return self._board.would_pick(tiny=self._flowing < self._flows)

    # -- files that wait for their names -----------------------------------------------------

    @property
    def _over(self) -> bool:
        """Whether nothing is left, and nothing can come any more."""
        return self._hurry is None and self._board.over

    def hold(self, hurry: Callable[[], None]) -> None:
        """Say that files wait for their names, and that tasks may still come of that.

        Parameters
        ----------
        hurry : callable
            Called when there is nothing else to do. It must not wait.
        """
        with self._condition:
            self._hurry = hurry

    def let_go(self) -> None:
        """Say that no file waits for its name any more."""
        with self._condition:
            self._hurry = None
            if self._board.over:
                self._condition.notify_all()
            elif self._waiting:
                self._check_for_fault()

    # -- how many at once --------------------------------------------------------------------

    def widen(self, bulk: int, places: int) -> frozenset[int]:
        """Set how many may be in flight; return which threads are to hold on.

        Parameters
        ----------
        bulk : int
            Parts and files in one request, together.
        places : int
            Tiny files.

        Returns
        -------
        frozenset of int
            The threads whose part, or file in one request, is beyond the number now: those that
            began last. So what began first is finished first.
        """
        self.places = places
        with self._condition:
            self._board.widen(bulk)
            if self._waiting and self._woken():
                self._condition.notify()
            return frozenset(list(self._bulk.values())[bulk:])

    def stands(self) -> Standing:
        """Return what is in flight, and whether there is more."""
        board = self._board
        with self._condition:
            return Standing(
                board.bulk_in_flight,
                board.flying(TaskKind.TINY),
                bulk_waits=board.waits(*_BULK),
                tiny_waits=board.waits(TaskKind.TINY),
                flows=self._flows,
                later=board.next_moment is not None,
            )

    # -- tiny files --------------------------------------------------------------------------

    @property
    def flowing(self) -> int:
        """How many threads work on tiny files."""
        return self._flowing

    @property
    def tiny_in_flight(self) -> int:
        """Tiny files that were asked for and have not come yet, in all flows together."""
        return self._board.flying(TaskKind.TINY)

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

    # -- for the tasks -----------------------------------------------------------------------

    def add(self, tasks: Iterable[Task]) -> None:
        """Add tasks."""
        new = list(tasks)
        with self._condition:
            self._board.add(new)
            self._condition.notify(len(new))

    def drop_parts(self, unwanted: Iterable[Task]) -> list[Task]:
        """Forget parts that nobody has taken yet; return them."""
        with self._condition:
            return self._board.drop(unwanted)

    def closed(self, file: object) -> None:
        """Say that a large file is not open any more; it does nothing for another file."""
        if not self._board.is_open(file):  # only the thread that has the file asks: no lock
            return
        with self._condition:
            self._board.closed(file)
            if self._waiting:
                self._condition.notify_all() if self._over else self._condition.notify()

    def again(self, task: Task, seconds: float) -> None:
        """Hand out a task after a while."""
        with self._condition:
            moment = time.monotonic() + seconds
            before = self._board.next_moment
            self._board.again(task, moment)
            if self._watched and (before is None or moment < before):
                self._condition.notify_all()  # whoever watches the clock waits too long
            elif self._hurry is not None and self._waiting and not self._watched:
                self._condition.notify()  # who calls may be one that takes no tasks: see `hold`

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
