"""Carry out a plan: the threads, the clock, and the way out when somebody presses Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.events import Event, Finished, Progress
from neurofetch.model import Action, Outcome, Plan, Report, Status, Step
from neurofetch.net.retry import Attempts
from neurofetch.planning.plan import check_space
from neurofetch.store.atomic import sync_directory
from neurofetch.store.owner import BEAT_SECONDS
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal
from neurofetch.transfer.context import TransferContext
from neurofetch.transfer.multipart import LargeFile
from neurofetch.transfer.options import Inspect, Locate, Options
from neurofetch.transfer.pipeline import flow
from neurofetch.transfer.schedule import Schedule, Task
from neurofetch.transfer.whole_file import IN_MEMORY, WholeFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.net.client import Client
    from neurofetch.store.directory import DataDirectory

__all__ = ["Crowd", "crowd_for", "transfer"]

_RATE_SECONDS = 5.0
_FLOWS = 32
"""Threads for tiny files, at most. One keeps many connections busy: with a thread for each, handing
the interpreter from thread to thread costs more than the files (measured: ADR 7)."""


def transfer(
    plan: Plan,
    directory: DataDirectory,
    client: Client,
    options: Options | None = None,
    *,
    listen: Callable[[Event], None] | None = None,
    inspect: Inspect | None = None,
    locate: Locate | None = None,
) -> Report:
    """Fetch what a plan says is to be fetched.

    Parameters
    ----------
    plan : Plan
    directory : DataDirectory
        The data directory that the plan was made for.
    client : Client
        It is closed when the transfer is stopped from the keyboard.
    options : Options, optional
    listen : callable, optional
        Called with every event, in this thread.
    inspect : callable, optional
        A deeper look at each file before it takes its final name.
    locate : callable, optional
        Says where a file is to be had, for sources with signed addresses.

    Returns
    -------
    Report
        One outcome a step, in the order of the plan. Nothing is raised for a single file: see
        `Report.raise_for_failures`.

    Raises
    ------
    DiskFullError
        Before any byte moves, when the bytes still to come do not fit.
    DestinationError
        Before any byte moves, when the data directory cannot be written.
    KeyboardInterrupt
        As it was raised; what was finished is in its place, what was not is kept for resuming.
    """
    options = options or Options()
    began = time.monotonic()
    listen = listen or _nobody
    if plan.moving:
        check_space(plan)
        directory.check_writable()
        journal = Journal(directory.state)
        context = TransferContext(
            directory=directory,
            journal=journal,
            partials=Partials(directory.state, journal.owner),
            client=client,
            attempts=Attempts(options.rules, threading.Event()),
            options=options,
            inspect=inspect,
            locate=locate,
        )
        outcomes = _Transfer(plan, context, listen).run()
    else:
        outcomes = {}
    rows = tuple(outcomes.get(n) or _unmoved(step) for n, step in enumerate(plan.steps))
    report = Report(plan.root, rows, plan.notes, time.monotonic() - began)
    listen(Finished(report))
    return report


def _nobody(event: Event) -> None:
    """Listen to nothing."""


def _unmoved(step: Step) -> Outcome:
    """Return the outcome of a step for which nothing was done."""
    want = step.want
    if step.action is Action.KEEP:
        size = want.remote.size or 0
        return Outcome(
            want.path,
            want.remote.key,
            Status.KEPT,
            step.reason,
            size,
            verification=step.verification,
        )
    if step.action is Action.REFUSE:
        return Outcome(want.path, want.remote.key, Status.REFUSED, step.reason)
    reason = "not begun: the transfer ended before its turn came"
    return Outcome(want.path, want.remote.key, Status.FAILED, reason)


class Crowd(NamedTuple):
    """How many threads a transfer has, and what they do."""

    threads: int
    flows: int
    places: int


def crowd_for(options: Options, tiny: int, whole: int, large: int) -> Crowd:
    """Return how many threads to start.

    Parameters
    ----------
    options : Options
    tiny, whole, large : int
        Files that are asked for many at a time, in one request, and in parts.

    Returns
    -------
    Crowd
        All threads; those of them that may work on tiny files, and the requests that these have
        under way together. There are never more connections than ``options.connections``.

    Examples
    --------
    >>> crowd_for(Options(connections=192), tiny=2000, whole=0, large=0)
    Crowd(threads=32, flows=32, places=192)
    """
    most = options.connections
    rest = min(whole, options.whole_connections) + (options.bulk_connections if large else 0)
    if not tiny:
        return Crowd(min(rest, most), 0, 0)
    rest = min(rest, max(1, most // 2))
    places = max(1, min(tiny, most - rest))
    flows = min(_FLOWS, places)
    return Crowd(min(most, rest + flows), flows, places)


def _affordable(connections: int) -> int:
    """Return a number of connections that leaves half of the process's open files to others."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return connections
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return connections if most < 0 else max(1, min(connections, most // 2))


class _Transfer:
    """One run of the engine."""

    def __init__(
        self, plan: Plan, context: TransferContext, listen: Callable[[Event], None]
    ) -> None:
        self._plan = plan
        self._context = context
        self._options = context.options
        self._journal = context.journal
        self._partials = context.partials
        self._stop = context.attempts.stop
        self._listen = listen
        self._files = len(plan.moving)
        self._bytes = plan.bytes_to_fetch
        self._threads: list[threading.Thread] = []
        self._large: list[LargeFile] = []
        self._samples: deque[tuple[float, int]] = deque()
        self._began = time.monotonic()
        self._living = 0
        self._lock = threading.Lock()

    def run(self) -> dict[int, Outcome]:
        """Fetch everything; return the outcomes by the number of their step."""
        try:
            self._journal.open()
            self._partials.make_folders()
            self._begin()
            self._watch()
        except BaseException:
            self._abort()
            raise
        finally:
            self._end()
        self._sync_folders()
        if self._context.fatal is not None and not isinstance(self._context.fatal, OSError):
            raise self._context.fatal
        return self._context.results

    def _begin(self) -> None:
        small, self._large = self._tasks()
        tiny = sum(task.tiny for task in small)
        options = replace(self._options, connections=_affordable(self._options.connections))
        crowd = crowd_for(options, tiny, len(small) - tiny, len(self._large))
        bulk = min(options.bulk_connections, options.connections)
        self._context.places = crowd.places
        self._context.schedule = Schedule(
            small, self._large, options.n_jobs, bulk, max(1, crowd.flows)
        )
        self._start(crowd.threads)

    def _end(self) -> None:
        """Close what is still open, and say that this run is over."""
        if not any(thread.is_alive() for thread in self._threads):
            for file in self._large:  # those that an early end left without a last part
                file.abandon()
        self._journal.close()

    def _tasks(self) -> tuple[list[Task], list[LargeFile]]:
        held = self._partials.survey()
        kept: set[str] = set()
        small: list[Task] = []
        large: list[LargeFile] = []
        for number, step in enumerate(self._plan.steps):
            if not step.moves:
                continue
            info = (
                self._context.directory.look(step.want.path)
                if step.action is Action.REPLACE
                else None
            )
            before = info.st_mtime_ns if info else None
            mine, etag = held.get(name_of(step.want.path), []), step.want.remote.etag
            kept.update(h.data for h in mine if etag in (None, h.log.etag))
            if self._in_parts(step):
                large.append(LargeFile(self._context, number, step, before, mine))
            else:
                tiny = self._may_flow and (step.want.remote.size or IN_MEMORY + 1) <= IN_MEMORY
                small.append(WholeFile(self._context, number, step, before, tiny=tiny))
        known = {name_of(s.want.path) for s in self._plan.steps if s.action is not Action.REFUSE}
        kept.update(h.data for short in held.keys() - known for h in held[short])
        self._partials.sweep(kept)
        return small, large

    @property
    def _may_flow(self) -> bool:
        """Whether one thread may ask for many tiny files before the first has come."""
        context = self._context
        return context.inspect is None and context.locate is None and not context.client.bounded

    def _in_parts(self, step: Step) -> bool:
        remote = step.want.remote
        return (
            remote.ranges and bool(remote.etag) and (remote.size or 0) > self._options.single_limit
        )

    def _start(self, count: int) -> None:
        for number in range(count):
            name = f"neurofetch-{number}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            with self._lock:
                self._living += 1
            try:
                thread.start()
            except RuntimeError:  # the system gives this user no more threads
                with self._lock:
                    self._living -= 1
                if not self._threads:
                    raise
                return
            self._threads.append(thread)

    def _work(self) -> None:
        schedule = self._context.schedule
        try:
            while (task := schedule.take()) is not None:
                try:
                    if task.tiny:
                        flow(task, schedule, self._context.places)
                    else:
                        task.run()
                finally:
                    schedule.done(task)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            self._context.fatal = error
            schedule.stop()
        finally:
            with self._lock:
                self._living -= 1
            if not self._living:
                self._context.wake.set()

    # -- the calling thread ------------------------------------------------------------------

    def _watch(self) -> None:
        """Hand events to the listener until all threads have ended."""
        context = self._context
        next_beat = time.monotonic() + BEAT_SECONDS
        next_progress = 0.0
        while self._living or context.inbox:
            context.wake.wait(self._options.beat)
            context.wake.clear()
            while context.inbox:
                self._listen(context.inbox.popleft())
            now = time.monotonic()
            if now >= next_progress:
                self._listen(self._progress(now))
                next_progress = now + self._options.beat
            if now >= next_beat:
                self._journal.owner.beat()
                next_beat = now + BEAT_SECONDS
        for thread in self._threads:
            thread.join()
        self._listen(self._progress(time.monotonic()))

    def _progress(self, now: float) -> Progress:
        done = self._context.bytes_done
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = max(0.0, (done - before) / (now - since)) if now > since else 0.0
        return Progress(
            len(self._context.results),
            self._files,
            done,
            self._bytes,
            now - self._began,
            rate,
            self._context.retries,
        )

    def _abort(self) -> None:
        """Stop all threads within a second; they leave partials that the next run resumes."""
        self._stop.set()
        if self._threads:
            self._context.schedule.stop()
        self._context.client.close()
        until = time.monotonic() + 1.0
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _sync_folders(self) -> None:
        root = self._plan.root
        done = (o.path for o in self._context.results.values() if o.status is Status.FETCHED)
        for folder in {path.rpartition("/")[0] for path in done}:
            sync_directory(root / folder)
