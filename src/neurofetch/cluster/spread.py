"""Carry out a plan in many tasks, and make one report of what they say."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from neurofetch._shown import shown
from neurofetch.cluster.clients import Line, close_clients
from neurofetch.cluster.desk import Desk
from neurofetch.cluster.tasks import Job, Task, TaskDone, stamps
from neurofetch.errors import DestinationError, NeurofetchError, UnsafeNameError
from neurofetch.events import FileDone, Finished, NetworkAway, NetworkBack, Progress
from neurofetch.model import Action, Outcome, Report, Status
from neurofetch.planning.parts import parts_of
from neurofetch.planning.plan import check_space
from neurofetch.sources.source import at_once
from neurofetch.store.owner import process_token
from neurofetch.store.runs import ask_to_stop, attend_run, begin_run, new_run_id, read_runs
from neurofetch.transfer.options import part_of
from neurofetch.transfer.run import outcomes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator
    from contextlib import AbstractContextManager

    from neurofetch.cluster.tasks import News
    from neurofetch.events import Event
    from neurofetch.fetcher import Fetcher, RunSettings
    from neurofetch.model import Plan
    from neurofetch.planning.parts import Part
    from neurofetch.store.runs import Task as Record
    from neurofetch.transfer.options import Inspect

__all__ = ["Crew", "spread"]

_BEAT = 0.2
"""Seconds between two looks at what is done."""
_RATE_SECONDS = 5.0
_LIKELY = 8
"""So many tasks at once, at least, a plan is split for where more workers may come."""
_TRIES, _ELSEWHERE = 4, 2
"""So often a task is submitted, at most, whose worker was lost; and one of which no file came."""
_RECORDS = 3.0
"""Seconds: after so many without news, what the tasks have written down is read."""
_ATTENDED = 10.0
"""Seconds between two signs of life of who hands out the tasks."""
_GRACE = 20.0
"""Seconds: so long tasks under way are waited for when the run is interrupted."""
_AGAIN = "Run the same call again: what came is kept."


class Crew(Protocol):
    """Who runs tasks, as `spread` sees it."""

    @property
    def at_once(self) -> int:
        """Tasks at once, at most; it may change while they run."""
        ...

    @property
    def grows(self) -> bool:
        """Whether more may run at once later."""
        ...

    def opened(self, desk: Desk) -> AbstractContextManager[object]:
        """Return what is open while tasks run: a way for their news, where there is one."""
        ...

    def submit(self, task: Task) -> Any:
        """Have a task run; return what is like a future."""
        ...

    def result(self, pending: Any) -> Any:
        """Return what came of a task; raise what `lost` explains."""
        ...

    def told(self, value: object) -> TaskDone:
        """Return what came of a task as what became of it; raise where it is none."""
        ...

    def lost(self, error: BaseException) -> Any:
        """Return why a task did not return, and whether it may be submitted again."""
        ...

    def cancel(self, pending: Any) -> None:
        """Forget a task, or have it end."""
        ...


def spread(
    crew: Crew,
    fetcher: Fetcher,
    plan: Plan,
    settings: RunSettings,
    *,
    listen: Callable[[Event], None],
    inspect: Inspect | None = None,
) -> Report:
    """Carry out a plan in many tasks.

    Parameters
    ----------
    crew : Crew
    fetcher : Fetcher
        Whose plan it is.
    plan : Plan
    settings : RunSettings
        Connections and rate are those of the whole run: each task gets its share.
    listen : callable
        Gets the events of the run, in this thread.
    inspect : callable, optional
        A deeper look at each file; it has to be picklable where tasks run in other processes.

    Returns
    -------
    Report
        One outcome a step, in the order of the plan.

    Raises
    ------
    DiskFullError, DestinationError
        Before any byte moves; or where a machine cannot write to the data directory.
    """
    began = time.monotonic()
    check_space(plan)
    width = _width(crew, fetcher, settings)
    few = partial(at_once, fetcher.source)
    likely = max(width, _LIKELY) if crew.grows else width
    parts = parts_of(plan, likely, few=few, kept=settings.verify)
    width = min(width, len(parts))
    outcomes: dict[str, Outcome] = {}
    if parts:
        if plan.moving or settings.verify:
            fetcher.directory.check_writable()
        outcomes = _Spread(crew, fetcher, plan, settings, listen, inspect, parts, width).run()
    numbered = {
        number: outcomes[step.want.path]
        for number, step in enumerate(plan.steps)
        if step.want.path in outcomes
    }
    rows = outcomes_of(plan.steps, numbered)
    report = Report(plan.root, tuple(rows), plan.notes, time.monotonic() - began)
    listen(Finished(report))
    return report


class _Waiting(NamedTuple):
    """A task that is to be submitted, or was.

    Parameters
    ----------
    task : Task
    few : int or None
        So many files of its kind may be asked for at once, in all tasks.
    tries : int
        How often it was submitted.
    part : float
        What it has of the connections and the rate of the run, while it runs.
    """

    task: Task
    few: int | None
    tries: int = 0
    part: float = 0.0


class _Spread:
    """One run in many tasks."""

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        crew: Crew,
        fetcher: Fetcher,
        plan: Plan,
        settings: RunSettings,
        listen: Callable[[Event], None],
        inspect: Inspect | None,
        parts: list[Part],
        width: int,
    ) -> None:
        self._crew = crew
        self._fetcher = fetcher
        self._plan = plan
        self._settings = settings
        self._listen = listen
        self._width, self._parts = width, len(parts)
        self._run = new_run_id()
        self._desk = Desk(self._run)
        self._meter = _Meter(plan)
        self._outages = _Outages()
        self._outcomes: dict[str, Outcome] = {}
        self._in_a_row = 0
        self._heard = self._read = self._attended = time.monotonic()
        self._astray = False
        """Whether a task may still run of which nothing more is heard."""
        job = self._job(inspect)
        before = stamps(plan) if self._replaces_all else {}
        self._queue = deque(
            _Waiting(self._task(number, job, part, before), part.few)
            for number, part in enumerate(parts)
        )
        self._flying: dict[int, _Waiting] = {}
        """Tasks under way, by their numbers: not every future can be a key."""
        self._pending: dict[int, Any] = {}
        """What `submit` returned for each."""

    @property
    def _replaces_all(self) -> bool:
        """Whether files are replaced that look as they should."""
        return self._settings.overwrite or self._fetcher.dataset.kind == "neurovault"

    def _job(self, inspect: Inspect | None) -> Job:
        fetcher, settings = self._fetcher, self._settings
        return Job(
            run=self._run,
            dataset=fetcher.dataset,
            root=str(self._plan.root),
            source=fetcher.remake(),
            access=fetcher.access,
            known=fetcher.known(),
            mirrors=settings.mirrors,
            verify=settings.verify,
            mix=settings.mix,
            update=settings.update,
            inspect=inspect,
        )

    def _task(self, number: int, job: Job, part: Part, before: dict[str, tuple[int, int]]) -> Task:
        """Return the task for a part; what it has of connections is said when it is submitted."""
        network = self._fetcher.client.network
        line = Line(network.connect_timeout, network.read_timeout, network.patience)
        own = {step.want.path for step in part.plan.steps} & before.keys() if before else ()
        own_before = {path: before[path] for path in own}
        options, new = self._settings.options, self._is_new(part.plan)
        return Task(number, job, part.plan, options, line, own_before, new)

    def _is_new(self, plan: Plan) -> bool:
        """Whether nothing is known of any file of a part."""
        known = self._fetcher.directory.surveyed
        return known is not None and all(
            step.action is Action.FETCH and not step.copy_of and known.seq(step.want.path) is None
            for step in plan.steps
        )

    def _with_part(self, waiting: _Waiting, part: float) -> _Waiting:
        """Return a task with its part of what the run may have of the line, for this time."""
        client, task = self._fetcher.client, waiting.task
        rate, most = client.network.limit_rate, client.at_once
        options = self._settings.options.share(part)
        if waiting.few is not None:  # no more than so many of its kind run at once
            options = replace(options, few=self._few_of(waiting.few))
        line = task.line._replace(
            limit_rate=None if rate is None else rate * part,
            at_once=None if most is None else part_of(most, part),
        )
        again = replace(task, options=options, line=line)
        return waiting._replace(task=again, tries=waiting.tries + 1, part=part)

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> dict[str, Outcome]:
        """Run all tasks; return the outcomes by path."""
        self._begin()
        with self._desk, self._crew.opened(self._desk):
            try:
                while self._queue or self._flying:
                    self._submit()
                    self._collect()
                    self._tell()
            except BaseException:
                self._stop()
                raise
            finally:
                close_clients(self._run)
                attend_run(self._fetcher.directory.state, self._run, last=True)
        if self._astray:
            self._ask_to_stop()
        self._tell(last=True)
        return self._outcomes

    def _begin(self) -> None:
        """Make the folder of the run, by which the tasks know the data directory."""
        state, plan = self._fetcher.directory.state, self._plan
        size = plan.bytes_to_write + plan.bytes_here
        try:
            begin_run(
                state,
                self._run,
                expected=len(self._queue),
                files=len(plan),
                size=size,
                owner=process_token(),
            )
        except OSError as error:
            msg = f"nothing can be written in {state}: {error.strerror or error}. Nothing was "
            raise DestinationError(f"{msg}fetched. Check who may write there.") from error

    def _submit(self) -> None:
        """Submit what may run beside what runs: what is free of the line is divided among it."""
        width = _width(self._crew, self._fetcher, self._settings)
        self._width = min(width, self._parts)
        room = self._width - len(self._flying)
        later: list[_Waiting] = []
        while self._queue and room > 0 and self._has_room():
            waiting = self._queue.popleft()
            if not self._may_run(waiting):
                later.append(waiting)
                continue
            free = 1.0 - sum(one.part for one in self._flying.values())
            part = max(1 / self._width, free / min(room, len(self._queue) + 1))
            waiting = self._with_part(waiting, min(part, free))
            try:
                pending = self._crew.submit(waiting.task)
            except (NeurofetchError, KeyboardInterrupt):
                raise
            except Exception as error:  # noqa: BLE001 - of any executor's library
                self._lost(waiting, error)
                continue
            number = waiting.task.number
            self._flying[number], self._pending[number] = waiting, pending
            room -= 1
        self._queue.extendleft(reversed(later))

    def _has_room(self) -> bool:
        """Whether enough of the line is free for one more; there is less while a cluster grows."""
        return 1.001 - sum(one.part for one in self._flying.values()) >= 1 / self._width

    def _may_run(self, waiting: _Waiting) -> bool:
        if waiting.few is None:
            return True
        kin = [one.task.options.few for one in self._flying.values() if one.few == waiting.few]
        return sum(kin) + self._few_of(waiting.few) <= waiting.few

    def _few_of(self, few: int) -> int:
        """Return how many such files one task may ask for at once."""
        return max(1, few // min(self._width, few))

    def _collect(self) -> None:
        """Wait a moment, and take what is done."""
        for number in _done_of(self._pending):
            waiting, pending = self._flying.pop(number), self._pending.pop(number)
            try:
                value = self._crew.result(pending)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - of any executor's library
                self._lost(waiting, error)
            else:
                self._take(waiting, self._crew.told(value))

    def _take(self, waiting: _Waiting, done: TaskDone) -> None:
        error = done.error
        if isinstance(error, DestinationError):
            if any(one.status is Status.FETCHED for one in self._outcomes.values()):
                text = str(error).replace("Nothing was fetched.", "What came before is kept.")
                error.args = (text, *error.args[1:])
            raise _named(error, done.host)
        if error is not None:
            self._give_up(waiting, f"on {done.host}: {error}")
            return
        if done.stopped:
            self._give_up(waiting, f"not begun or not ended: the run was stopped. {_AGAIN}")
            return
        failed = [one for one in done.outcomes if one.status is Status.FAILED]
        all_failed = bool(failed) and len(failed) == len(done.outcomes)
        if all_failed and waiting.tries < _ELSEWHERE and not self._are_too_many(len(failed)):
            self._queue.append(waiting)  # perhaps only its machine has no network
            return
        self._keep(waiting.task, done.outcomes)

    def _keep(self, task: Task, outcomes: Iterable[Outcome]) -> None:
        moving = {step.want.path for step in task.plan.steps if step.moves}
        for outcome in outcomes:
            self._outcomes[outcome.path] = outcome
            if outcome.path in moving or outcome.status is not Status.KEPT:
                self._listen(FileDone(outcome))
            if outcome.ok:
                self._in_a_row = 0
            elif outcome.attempts:
                self._in_a_row += 1
        self._meter.done(task)
        if self._are_too_many():
            self._end_early(f"not begun: {self._in_a_row:,} files failed one after another")

    def _are_too_many(self, more: int = 0) -> bool:
        """Whether so many files failed one after another that nothing more is to be begun."""
        most = self._settings.options.failures_in_a_row
        return most is not None and self._in_a_row + more >= most

    def _end_early(self, why: str) -> None:
        """Begin nothing more."""
        while self._queue:
            self._give_up(self._queue.popleft(), why)

    # -- what goes wrong -----------------------------------------------------------------------

    def _lost(self, waiting: _Waiting, error: BaseException) -> None:
        """Submit a task again whose worker was lost, or say what is missing by that."""
        loss = self._crew.lost(error)
        self._astray = self._astray or loss.astray
        if loss.again and waiting.tries < _TRIES:
            self._queue.append(waiting)
            return
        self._give_up(waiting, loss.why)

    def _give_up(self, waiting: _Waiting, why: str) -> None:
        """Look at what came of a task that will not return, and say why the rest did not come."""
        task = waiting.task
        wants = tuple(step.want for step in task.plan.steps)
        try:
            steps = self._fetcher.prepare_again(
                wants, replace(self._settings, verify=False, overwrite=False)
            ).steps
        except NeurofetchError:
            steps = task.plan.steps
        here = {step.want.path for step in steps if step.action is Action.KEEP}
        here -= {path for path, _ in self._as_before(task)}
        outcomes = outcomes_of(steps, {})
        reason = shown(why)
        self._keep(
            task,
            (
                one
                if one.path in here or one.status is Status.REFUSED
                else Outcome.unmoved(step.want, Status.FAILED, reason, advice=_AGAIN)
                for step, one in zip(steps, outcomes, strict=True)
            ),
        )

    def _as_before(self, task: Task) -> Iterator[tuple[str, tuple[int, int]]]:
        """Give what was to be replaced and was not."""
        now = stamps(task.plan)
        return ((path, stamp) for path, stamp in task.before.items() if now.get(path) == stamp)

    def _stop(self) -> None:
        """Have the tasks end, here and elsewhere, and wait a while for those under way."""
        self._desk.stop()
        self._ask_to_stop()
        for pending in self._pending.values():
            self._crew.cancel(pending)
        until = time.monotonic() + _GRACE
        while not all(map(_is_done, self._pending.values())) and time.monotonic() < until:
            time.sleep(_BEAT)

    def _ask_to_stop(self) -> None:
        with suppress(OSError, UnsafeNameError):
            ask_to_stop(self._fetcher.directory.state, self._run)

    # -- what is told --------------------------------------------------------------------------

    def _tell(self, *, last: bool = False) -> None:
        now = time.monotonic()
        for news in self._desk.taken():
            self._heard = now
            if isinstance(news.event, Progress):
                self._meter.take(news.number, news.event)
            elif self._outages.is_new(news, self._flying):
                self._listen(news.event)
        if now - self._attended > _ATTENDED:
            self._attended = now
            attend_run(self._fetcher.directory.state, self._run)
        if now - max(self._heard, self._read) > _RECORDS and not last:
            self._read = now
            self._read_records()
        self._listen(self._meter.progress(last=last))

    def _read_records(self) -> None:
        """Read how far tasks are of which nothing else is heard: they have written it down."""
        for run in read_runs(self._fetcher.directory.state, self._run):
            for task in run.tasks:
                if task.name.isdigit():
                    self._meter.take(int(task.name), _told_by(task))


def _named(error: DestinationError, host: str) -> DestinationError:
    """Return an error that names the machine: the directory may well be fine on this one."""
    if host not in str(error):
        error.args = (f"on {host}: {error}",)
    return error


def _told_by(task: Record) -> Progress:
    """Return how far a task is, as its record tells."""
    files, size = task.files_done, task.bytes_done
    return Progress(
        files, task.files, size, task.bytes, task.seconds, task.rate, retries=task.retries
    )


def _width(crew: Crew, fetcher: Fetcher, settings: RunSettings) -> int:
    """Return how many tasks run at once, at most: each has a connection of the run's at least."""
    most = fetcher.client.at_once
    some = settings.options.least_connections
    return max(1, min(crew.at_once, some if most is None else min(some, most)))


def _done_of(pending: dict[int, Any]) -> list[int]:
    """Wait a moment, and return the numbers of what is done."""
    flying = pending.values()
    if flying and all(isinstance(one, Future) for one in flying):
        wait(flying, timeout=_BEAT, return_when="FIRST_COMPLETED")
    elif flying and not any(map(_is_done, flying)):
        time.sleep(_BEAT)
    return [number for number, one in pending.items() if _is_done(one)]


def _is_done(pending: Any) -> bool:
    try:
        return bool(pending.done())
    except Exception:  # noqa: BLE001 - of any executor's library; its result tells what is wrong
        return True


class _Outages:
    """Lets one task tell of an outage: all others that ask the same server notice it, too."""

    def __init__(self) -> None:
        self._tells: dict[str, int] = {}
        self._unheard: set[str] = set()

    def is_new(self, news: News, running: Container[int]) -> bool:
        """Return whether news are to be passed on; `running` are the numbers of tasks that run."""
        event, number = news.event, news.number
        if isinstance(event, NetworkBack):
            if self._tells.get(event.server) != number:
                return False
            del self._tells[event.server]
        elif isinstance(event, NetworkAway):
            if not (event.patience or event.seconds):  # nothing ever came from there
                told = event.server in self._unheard
                self._unheard.add(event.server)
                return not told
            teller = self._tells.get(event.server)
            if teller not in running:
                self._tells[event.server] = teller = number
            return teller == number
        return True


class _Meter:
    """Adds up how far the tasks are."""

    def __init__(self, plan: Plan) -> None:
        self._files = len(plan.moving)
        self._bytes = plan.bytes_to_write
        self._latest: dict[int, Progress] = {}
        self._done: dict[int, tuple[int, int]] = {}
        self._began = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._began, 0)])

    def take(self, number: int, event: Progress) -> None:
        """Take how far a task is."""
        if number not in self._done:
            self._latest[number] = event

    def done(self, task: Task) -> None:
        """Take a task that has ended: all of it counts."""
        plan = task.plan
        self._done[task.number] = (len(plan.moving), plan.bytes_to_write)

    def progress(self, *, last: bool = False) -> Progress:
        """Return how far the run is."""
        now = time.monotonic()
        flying = [event for number, event in self._latest.items() if number not in self._done]
        files = sum(files for files, _ in self._done.values())
        files += sum(event.files_done for event in flying)
        size = sum(size for _, size in self._done.values())
        size += sum(event.bytes_done for event in flying)
        size = self._bytes if last else min(size, self._bytes)
        self._samples.append((now, size))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = max(0, size - before) / (now - since) if now > since else 0.0
        retries = sum(event.retries for event in self._latest.values())
        files = min(files, self._files)
        return Progress(files, self._files, size, self._bytes, now - self._began, rate, retries)
