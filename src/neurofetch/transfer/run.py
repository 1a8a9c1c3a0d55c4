"""Carry out a plan: the threads, the clock, and the way out when somebody presses Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._threads import few_collections, started
from neurofetch.errors import DiskFullError, NetworkAwayError
from neurofetch.events import Event, Finished, Progress, quiet
from neurofetch.model import Action, Outcome, Plan, Report, Status, Step, tell_what_is_here
from neurofetch.net.retry import Attempts, RetryRules
from neurofetch.planning.plan import check_space
from neurofetch.sources.mirrors import ManyPlaces
from neurofetch.sources.source import at_once
from neurofetch.store.owner import BEAT_SECONDS
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal
from neurofetch.transfer.context import UNKEPT, TransferContext
from neurofetch.transfer.crowd import crowd_for, free_descriptors
from neurofetch.transfer.multipart import LargeFile, OpenLarge, ResumeWhole
from neurofetch.transfer.news import telling
from neurofetch.transfer.options import Options
from neurofetch.transfer.pipeline import flow
from neurofetch.transfer.schedule import Schedule, Task
from neurofetch.transfer.settler import MOST_WAITING, Settler
from neurofetch.transfer.states import FileLife
from neurofetch.transfer.steering import Steering, bounds_of
from neurofetch.transfer.tally import Tally
from neurofetch.transfer.tidy import tidy, useful
from neurofetch.transfer.whole_file import IN_MEMORY, FetchTiny, FetchWhole, WholeFile
from neurofetch.transfer.width import Width

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from neurofetch.net.client import Client
    from neurofetch.sources.source import Source
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.partials import Held
    from neurofetch.transfer.options import Inspect

__all__ = ["copy_only", "outcomes_of", "transfer"]

_RATE_SECONDS = 5.0
_FEW = 4
"""Attempts, at most, for a small file that another place has, too: some seconds."""
_LEAST = 28
"""Descriptors; with fewer than that, files do not wait for one another."""
_OFFLINE = "Run the same call without --offline (offline=, NEUROFETCH_OFFLINE) to fetch them."
_NOT_HERE = {
    Action.FETCH: "not here",
    Action.RESUME: "only a part of it is here",
}
_LOOK_SECONDS, _FIRST_LOOKS = 0.05, 0.01
"""Between two looks at how much may be under way; and in the first second."""


def transfer(
    plan: Plan,
    directory: DataDirectory,
    client: Client,
    source: Source,
    options: Options | None = None,
    *,
    listen: Callable[[Event], None] | None = None,
    inspect: Inspect | None = None,
) -> Report:
    """Fetch what a plan says is to be fetched.

    Parameters
    ----------
    plan : Plan
    directory : DataDirectory
        The data directory that the plan was made for.
    client : Client
        It is closed when the transfer is stopped from the keyboard.
    source : Source
        Gives the address of each file at the time of the request.
    options : Options, optional
    listen : callable, optional
        Called with every event, in this thread.
    inspect : callable, optional
        A deeper look at each file before it takes its final name.

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
    FaultError
        When the transfer finds a fault of its own; finished files are in their places.
    KeyboardInterrupt
        As it was raised; what was finished is in its place, what was not is kept for resuming. Its
        attribute `report` says what is here.
    """
    options = options or Options()
    began = time.monotonic()
    listen = listen or quiet
    outcomes: dict[int, Outcome] = {}
    if plan.moving:
        check_space(plan)
        directory.check_writable()
        running = _Transfer(
            plan,
            directory,
            client,
            source=source,
            options=options,
            inspect=inspect,
            listen=listen,
        )
        try:
            outcomes = running.run()
        except KeyboardInterrupt as error:
            if type(error) is KeyboardInterrupt:  # those of our own go to another process
                rows = outcomes_of(plan.steps, running.outcomes)
                tell_what_is_here(
                    error, Report(plan.root, tuple(rows), plan.notes, time.monotonic() - began)
                )
            raise
    else:
        tidy(directory.state, plan.steps)
    with few_collections():
        rows = outcomes_of(plan.steps, outcomes)
    report = Report(plan.root, tuple(rows), plan.notes, time.monotonic() - began)
    listen(Finished(report))
    return report


def copy_only(
    plan: Plan,
    directory: DataDirectory,
    client: Client,
    source: Source,
    options: Options | None = None,
    *,
    listen: Callable[[Event], None],
    inspect: Inspect | None = None,
) -> Report:
    """Carry out what of a plan needs no network: the copies of what is at hand.

    What else is not here has failed. See `transfer`.
    """
    began = time.monotonic()
    at_hand = _copies_at_hand(plan)
    steps = tuple(step for step in plan.moving if step.want.path in at_hand)
    made: dict[str, Outcome] = {}
    if steps:
        part = replace(plan, steps=steps)

        def told(event: Event) -> None:
            if not isinstance(event, Finished):  # it is not over
                listen(event)

        report = transfer(part, directory, client, source, options, listen=told, inspect=inspect)
        made = {outcome.path: outcome for outcome in report.outcomes}
    outcomes = {
        number: made.get(step.want.path)
        or Outcome.unmoved(step.want, Status.FAILED, _why_not_here(step), advice=_OFFLINE)
        for number, step in enumerate(plan.steps)
        if step.moves
    }
    rows = outcomes_of(plan.steps, outcomes)
    report = Report(plan.root, tuple(rows), plan.notes, time.monotonic() - began)
    listen(Finished(report))
    return report


def _why_not_here(step: Step) -> str:
    """Say why a file that the network would bring is not here as it should be."""
    why = _NOT_HERE.get(step.action) or step.reason
    return f"{why}, and the network is not to be used"


def _copies_at_hand(plan: Plan) -> set[str]:
    """Return the paths of files that can be made without the network."""
    of = {step.want.path: step.copy_of for step in plan.moving}
    found = {path for path, other in of.items() if other and other not in of}
    return found | {path for path, other in of.items() if other in found}


def outcomes_of(steps: Sequence[Step], outcomes: Mapping[int, Outcome]) -> list[Outcome]:
    """Return an outcome for each step: those that there are, and those of what was not moved."""
    found: list[Outcome] = []
    before, model = None, None
    for number, step in enumerate(steps):
        outcome = outcomes.get(number)
        if outcome is None and model is not None and before is not None and step.is_like(before):
            want = step.want
            outcome = model.same_for(want, want.remote.size or 0)
        elif outcome is None:
            outcome = _unmoved(step)
            if step.action is Action.KEEP:
                before, model = step, outcome
        found.append(outcome)
    return found


def _unmoved(step: Step) -> Outcome:
    """Return the outcome of a step for which nothing was done."""
    want = step.want
    if step.action is Action.KEEP:
        size = want.remote.size or 0
        return Outcome.unmoved(want, Status.KEPT, step.reason, size, verification=step.verification)
    if step.action is Action.REFUSE:
        return Outcome.unmoved(want, Status.REFUSED, step.reason)
    if step.action is Action.LEAVE:
        reason = f"cannot be kept under its name: {step.reason}"
        return Outcome.unmoved(want, Status.FAILED, reason, advice=UNKEPT)
    reason = "not begun: the transfer ended before its turn came"
    return Outcome.unmoved(want, Status.FAILED, reason)


class _Sorted(NamedTuple):
    """The steps that move, by how their files are fetched, each with its number in the plan."""

    tiny: list[tuple[int, Step]]
    whole: list[tuple[int, Step]]
    large: list[tuple[int, Step]]
    copies: list[tuple[int, Step]]


class _Transfer:
    """One run of the engine. All is made here, and frozen but for the tally and the schedule."""

    def __init__(
        self,
        plan: Plan,
        directory: DataDirectory,
        client: Client,
        *,
        source: Source,
        options: Options,
        inspect: Inspect | None,
        listen: Callable[[Event], None],
    ) -> None:
        self._plan = plan
        self._listen = listen
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lives: list[FileLife] = []
        self._samples: deque[tuple[float, int]] = deque()
        self._files = len(plan.moving)
        self._bytes = plan.bytes_to_write
        self._began = time.monotonic()
        self._living = 0
        """Threads that were started, or are about to be, and have not ended."""
        self._working = 0
        """Threads that may be at work on a file."""
        self._fetching = 0
        """Threads that may still bring a file to be settled."""
        self._workers = 0
        """Threads that were started to fetch."""
        self._no_more_threads = False
        self._over = False
        self._lock = threading.Lock()
        may_flow = inspect is None and not client.bounded
        self._sorted = _sort(plan, source, options, may_flow=may_flow)
        tiny, whole, large, copies = (len(steps) for steps in self._sorted)
        whole += copies
        most, free = _shared_out(free_descriptors())
        self._crowd = crowd = crowd_for(options, tiny, whole, large, free)
        schedule = Schedule(
            max(1, crowd.jobs), max(1, crowd.bulk), max(1, crowd.flows), 0, few=options.few
        )
        tally = Tally(options.failures_in_a_row, schedule.stop)
        self._steering = Steering(
            schedule,
            client,
            tally,
            crowd=crowd,
            width=Width(
                bounds_of(crowd, options, self._sorted, client.network.limit_rate), options.width
            ),
            has_bulk=bool(whole or large),
        )
        journal = Journal(directory.state, directory.surveyed)
        partials = Partials(directory.state, journal.owner)
        self._context = TransferContext(
            directory=directory,
            journal=journal,
            partials=partials,
            client=client,
            source=source,
            attempts=Attempts(options.rules, self._stop, outages=client.outages),
            few_attempts=Attempts(_few(options.rules), self._stop, outages=client.outages),
            options=options,
            inspect=inspect,
            schedule=schedule,
            settler=Settler(
                directory, journal, partials, schedule=schedule, tally=tally, most=most
            ),
            tally=tally,
        )

    @property
    def outcomes(self) -> dict[int, Outcome]:
        """What became of files so far, by the number of their step."""
        return dict(self._context.tally.results)

    def run(self) -> dict[int, Outcome]:
        """Fetch everything; return the outcomes by the number of their step."""
        context = self._context
        try:
            context.journal.open()
            context.partials.make_folders()
            context.schedule.add(self._tasks())
            context.client.outages.begin_anew()
            with context.client.outages.hurrying(self._hurry()):
                self._start_settler()
                self._start(self._steering.threads_at_first())
                with context.client.outages.told_to(telling(self._listen)):
                    self._watch()
        except BaseException:
            self._abort()
            raise
        finally:
            self._steering.end()
            self._end()
        self._sync_folders()
        if context.schedule.fault is not None:
            raise context.schedule.fault
        fatal = context.tally.fatal
        if fatal is not None and not isinstance(fatal, DiskFullError | NetworkAwayError):
            raise fatal  # the others, the files tell
        return context.tally.results

    def _hurry(self) -> Callable[[str], bool] | None:
        """Return which servers are waited for briefly, since there are others."""
        source = self._context.source
        if not isinstance(source, ManyPlaces):
            return None
        return source.hurry(step.want.remote for step in self._plan.moving)

    # -- the tasks ---------------------------------------------------------------------------

    def _tasks(self) -> list[Task]:
        """Return the first task of each file, and sweep away what nobody can use any more."""
        held = self._context.partials.survey()
        self._context.partials.sweep(useful(self._plan.steps, held))
        tasks: list[Task] = []
        for number, step in self._sorted.large:
            life, before = self._life(number, step)
            mine = held.get(life.short, [])
            tasks.append(OpenLarge(LargeFile(self._context, life, before, mine)))
        tasks += [FetchTiny(self._whole(number, step)) for number, step in self._sorted.tiny]
        tasks += [self._resumed_or_whole(number, step, held) for number, step in self._sorted.whole]
        return [*tasks, *self._copies({life.step.want.path: life for life in self._lives})]

    def _copies(self, others: Mapping[str, FileLife]) -> list[Task]:
        """Return the tasks of files that are made of others that are here.

        Those that are made of files that are still to come wait for the ends of these.
        """
        now: list[Task] = []
        waiting: dict[str, list[WholeFile]] = {}
        copies = [(step, *self._life(number, step)) for number, step in self._sorted.copies]
        others = {**others, **{step.want.path: life for step, life, _ in copies}}
        for step, life, before in copies:
            whole = WholeFile(self._context, life, before, copy_of=step.copy_of)
            if step.copy_of in others:
                waiting.setdefault(step.copy_of, []).append(whole)
            else:
                now.append(FetchWhole(whole))
        for path, files in waiting.items():
            others[path].then = partial(self._followed, files)
        return now

    def _followed(self, files: Sequence[WholeFile], came: bool) -> None:
        """Begin with the files that waited for another one, which has come to its end.

        If it could not be had, the first of them is asked for, and the others wait for that one.
        """
        if came:
            self._context.schedule.add([FetchWhole(file) for file in files])
            return
        first, *rest = files
        first.copy_of = ""
        for file in rest:
            file.copy_of = first.life.step.want.path
        if rest:
            first.life.then = partial(self._followed, rest)
        self._context.schedule.add([FetchWhole(first)])

    def _resumed_or_whole(self, number: int, step: Step, held: dict[str, list[Held]]) -> Task:
        """Return the task of a file that comes in one piece, of which a part may be here."""
        mine = held.get(name_of(step.want.path)) if held else None
        if not mine:
            return FetchWhole(self._whole(number, step))
        life, before = self._life(number, step)
        return ResumeWhole(LargeFile(self._context, life, before, mine, alone=True))

    def _whole(self, number: int, step: Step) -> WholeFile:
        life, before = self._life(number, step)
        return WholeFile(self._context, life, before)

    def _life(self, number: int, step: Step) -> tuple[FileLife, int | None]:
        """Return the life of a file, and when the file that it replaces was modified."""
        context, path = self._context, step.want.path
        info = context.directory.look(path) if step.action is Action.REPLACE else None
        short = name_of(path)
        life = FileLife(
            number,
            step,
            short,
            claims=context.partials,
            book=context.tally,
            later=context.schedule,
        )
        self._lives.append(life)
        return life, info.st_mtime_ns if info else None

    # -- the threads -------------------------------------------------------------------------

    def _start_settler(self) -> None:
        settler = self._context.settler
        settler.serve()
        if not self._started(lambda: self._work(settler.run), "neurofetch-settler", 1):
            settler.end()

    def _start(self, wanted: int) -> None:
        """Start threads until there are as many as are wanted, or as the system gives."""
        schedule = self._context.schedule
        for number in range(self._workers, wanted):
            if self._no_more_threads:
                return
            schedule.join()
            with self._lock:
                self._fetching += 1
            self._workers += 1
            if self._started(lambda: self._work(self._do_tasks), f"neurofetch-{number}", number):
                continue
            self._no_more_threads = True
            if not number:  # the system gives none at all: then all is done here
                with self._lock:
                    self._living += 1
                self._work(self._do_tasks)
                return
            schedule.leave()
            self._one_less()

    def _started(self, target: Callable[[], None], name: str, others: int) -> bool:
        """Start a thread, and note that it lives; whether the system gave one."""
        with self._lock:
            self._living += 1
        thread = started(target, name, others=others)
        if thread is None:
            with self._lock:
                self._living -= 1
            return False
        self._threads.append(thread)
        return True

    def _one_less(self) -> None:
        """Say that a thread brings no more files; the last one ends the settler."""
        with self._lock:
            self._fetching -= 1
            last = not self._fetching
        if last:
            self._context.settler.end()

    def _work(self, act: Callable[[], None]) -> None:
        with self._lock:
            late = self._over  # an interrupt came while this thread was being started
            self._working += not late
        if late:
            return
        try:
            act()
        finally:
            with self._lock:
                self._working -= 1
                self._living -= 1
                last = self._over and not self._working
            if last:  # the caller could not wait for this thread
                self._leave_files()
                self._context.journal.owner.gone()
            if not self._living:
                self._context.tally.wake.set()

    def _do_tasks(self) -> None:
        """Do what is next until nothing is left."""
        schedule, tally = self._context.schedule, self._context.tally
        try:
            while (task := schedule.take()) is not None:
                if isinstance(task, FetchTiny):
                    flow(task, schedule)
                    continue
                try:
                    task.run()
                finally:
                    schedule.done(task)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            tally.end_all(error)
        finally:
            schedule.leave()
            self._one_less()

    # -- the calling thread ------------------------------------------------------------------

    def _watch(self) -> None:
        """Hand events to the listener until all threads have ended."""
        tally, beat = self._context.tally, self._context.options.beat
        owner = self._context.journal.owner
        next_beat = time.monotonic() + BEAT_SECONDS
        next_progress = 0.0
        while self._living or tally.inbox:
            early = time.monotonic() - self._began < 1.0
            tally.wake.wait(min(beat, _FIRST_LOOKS if early else _LOOK_SECONDS))
            tally.wake.clear()
            while tally.inbox:
                self._listen(tally.inbox.popleft())
            self._context.client.look_around(beat)
            now = time.monotonic()
            if self._living:
                self._start(self._steering.look(now))
            if now >= next_progress:
                self._listen(self._progress(now))
                next_progress = now + beat
            if now >= next_beat and not owner.beats:
                owner.beat()
                next_beat = now + BEAT_SECONDS
        for thread in self._threads:
            thread.join()
        self._listen(self._progress(time.monotonic()))

    def _progress(self, now: float) -> Progress:
        tally = self._context.tally
        done = tally.bytes_done
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = max(0.0, (done - before) / (now - since)) if now > since else 0.0
        return Progress(
            len(tally.results),
            self._files,
            done,
            self._bytes,
            now - self._began,
            rate,
            tally.retries,
        )

    # -- the ways out ------------------------------------------------------------------------

    def _abort(self) -> None:
        """Stop all threads within a second; they leave partials that the next run resumes."""
        self._stop.set()
        self._context.schedule.stop()
        self._context.client.close()
        self._context.settler.end()  # what is verified gets its name, if that takes moments
        until = time.monotonic() + 1.0
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _end(self) -> None:
        """Leave every file whose end did not come, and say that this run is over."""
        with self._lock:
            self._over = True
            idle = not self._working
        try:
            if idle:  # else the last thread does it: until then it may be at work on any of them
                self._leave_files()
        finally:
            self._context.journal.close(lingers=not idle)

    def _leave_files(self) -> None:
        for life in self._lives:
            life.stop()
        self._context.partials.close()
        self._context.directory.close()

    def _sync_folders(self) -> None:
        root, results = self._plan.root, self._context.tally.results
        done = (o.path for o in results.values() if o.status is Status.FETCHED)
        folders = {path.rpartition("/")[0] for path in done}
        self._context.settler.flusher.flush_folders(root, folders)


def _few(rules: RetryRules | None) -> RetryRules:
    """Return rules with fewer attempts."""
    rules = rules or RetryRules()
    return replace(rules, attempts=min(rules.attempts, _FEW))


def _shared_out(free: int | None) -> tuple[int, int | None]:
    """Return how many of the free descriptors files that wait for their names get, and the rest.

    Examples
    --------
    >>> _shared_out(None), _shared_out(4096), _shared_out(58), _shared_out(30)
    ((512, None), (512, 3584), (10, 48), (0, 30))
    """
    if free is None:
        return MOST_WAITING, None
    most = min(MOST_WAITING, max(0, free - _LEAST) // 3)
    return (most, free - most) if most > 1 else (0, free)


def _sort(plan: Plan, source: Source, options: Options, *, may_flow: bool) -> _Sorted:
    """Sort the steps that move by how their files are fetched.

    Parameters
    ----------
    may_flow : bool
        Whether one thread may ask for many tiny files before the first has come.
    """
    found = _Sorted([], [], [], [])
    for number, step in enumerate(plan.steps):
        if not step.moves:
            continue
        remote = step.want.remote
        known = remote.ranges and bool(remote.etag or remote.digest)
        may_be_tiny = may_flow and not source.signed(remote) and at_once(source, remote) is None
        if step.copy_of:
            found.copies.append((number, step))
        elif known and (remote.size or 0) > options.single_limit:
            found.large.append((number, step))
        elif may_be_tiny and (remote.size or IN_MEMORY + 1) <= IN_MEMORY:
            found.tiny.append((number, step))
        else:
            found.whole.append((number, step))
    return found
