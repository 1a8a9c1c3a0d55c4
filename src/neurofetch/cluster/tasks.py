"""A part of a plan as a value, and what carries it out in another thread, process or machine.

A task looks at its part again before it fetches: what a worker that was lost had finished is
subtracted, so to run a task twice costs one look. It holds names of credentials and never a key;
what depends on the machine (proxies, certificates) is taken from the machine that it runs on.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._version import __version__
from neurofetch.cluster.clients import lent
from neurofetch.cluster.desk import desk_of
from neurofetch.errors import DestinationError, NeurofetchError, UsageError
from neurofetch.events import NetworkAway, NetworkBack, Progress, Waiting
from neurofetch.fetcher import Fetcher, RunSettings
from neurofetch.model import Action, Plan
from neurofetch.net.connect import lacks_descriptors
from neurofetch.store.runs import RunName, is_to_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from neurofetch.cluster.clients import Line
    from neurofetch.credentials.access import Access
    from neurofetch.events import Event
    from neurofetch.fetcher import Known, MakeSource
    from neurofetch.model import Outcome, Step
    from neurofetch.planning.dataset import Dataset
    from neurofetch.sources.source import Mirrors
    from neurofetch.transfer.options import Inspect, Options

__all__ = ["Job", "News", "StopTask", "Task", "TaskDone", "run_task", "stamps"]

_SEEN_SECONDS, _SEEN_BEAT = 60.0, 0.5
"""So long a shared file system may take to show what another machine made."""
_STOP_BEAT = 1.0
"""Seconds between two looks at whether the run is to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of a run have in common.

    Parameters
    ----------
    run : str
        The run's id.
    dataset : Dataset
    root : str
        The data directory, which all machines see under this path.
    source : callable
        Makes the source; it can be pickled.
    access : Access
        Whose credentials, by name.
    known : Known
    mirrors : Mirrors
    verify, mix, update : bool
        As in `RunSettings`.
    inspect : callable or None
        A deeper look at each file; it can be pickled.
    version : str
        Of this program.
    """

    run: str
    dataset: Dataset
    root: str
    source: MakeSource
    access: Access
    known: Known
    mirrors: Mirrors
    verify: bool = False
    mix: bool = False
    update: bool = False
    inspect: Inspect | None = None
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a plan, with all that is needed to carry it out elsewhere.

    Parameters
    ----------
    number : int
    job : Job
    plan : Plan
        The part.
    options : Options
        Its share of the connections.
    line : Line
        Its share of the rate.
    before : mapping of str to (int, int)
        Of files that are replaced whatever they are: size and time (ns) as they were when the plan
        was made, by path. What is another file since then was replaced already.
    new : bool
        Nothing was known of any of its files when the plan was made, and none is a copy of another
        one: then a task need not read what is known of a million others.
    """

    number: int
    job: Job
    plan: Plan
    options: Options
    line: Line
    before: Mapping[str, tuple[int, int]]
    new: bool = False

    @property
    def name(self) -> str:
        """What it is called in records, and by schedulers."""
        return f"{self.number:04}"


class TaskDone(NamedTuple):
    """What became of a task.

    Parameters
    ----------
    number : int
    outcomes : tuple of Outcome
        One for each step of its part.
    host : str
        Where it ran.
    error : NeurofetchError or None
        What kept all of it from being done.
    stopped : bool
        Whether it ended since the run is to stop.
    """

    number: int
    outcomes: tuple[Outcome, ...] = ()
    host: str = ""
    error: NeurofetchError | None = None
    stopped: bool = False


class News(NamedTuple):
    """An event of a task, on its way to whoever asked for the run.

    Parameters
    ----------
    run : str
    number : int
        Of the task.
    event : Event
    """

    run: str
    number: int
    event: Event


class StopTask(KeyboardInterrupt):
    """The run is to stop: the task ends as it would if somebody pressed Ctrl-C."""


def run_task(
    task: Task,
    tell: Callable[[News], None] | None = None,
    is_over: Callable[[], bool] | None = None,
) -> TaskDone:
    """Carry out a task, wherever this is; what came before is subtracted.

    Parameters
    ----------
    task : Task
    tell : callable, optional
        Gets what is new; by default whoever asked gets it, if that is in this process.
    is_over : callable, optional
        Whether the run is to stop, beside what its folder says.

    Returns
    -------
    TaskDone
        Also where it failed: errors travel as values.
    """
    host = socket.gethostname()
    try:
        _check_version(task)
        _check_directory(task)
        teller = _Teller(task, tell, is_over)
        return TaskDone(task.number, _carried_out(task, teller), host)
    except StopTask:
        return TaskDone(task.number, host=host, stopped=True)
    except NeurofetchError as error:
        told = _too_many_open(error) if lacks_descriptors(error) else error
        return TaskDone(task.number, host=host, error=told)


def _too_many_open(error: NeurofetchError) -> NeurofetchError:
    """Return the error of a worker whose threads have opened all that it may open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UsageError(
        f"{error.__cause__}: the worker may have {limit:,} files and connections open, and each of "
        "its tasks needs some 15. Give it fewer threads, or allow it more (ulimit -n)."
    )


def _carried_out(task: Task, teller: _Teller) -> tuple[Outcome, ...]:
    job = task.job
    settings = RunSettings(
        options=task.options,
        network=task.line.network(),
        listen=teller,
        verify=job.verify,
        mix=job.mix,
        update=job.update,
        mirrors=job.mirrors,
        run=RunName(job.run, task.name),
    )
    with (
        lent(job.run, task.line) as client,
        Fetcher(
            job.dataset,
            job.root,
            client=client,
            make_source=job.source,
            access=job.access,
            known=job.known,
        ) as fetcher,
    ):
        wants = tuple(step.want for step in task.plan.steps)
        plan = _as_planned(task, fetcher.prepare_again(wants, settings, new=task.new))
        report = fetcher.run(plan, settings, inspect=job.inspect, strict=False)
        if not report.ok:
            client.close()  # what is wrong may be with its connections
        return report.outcomes


def _as_planned(task: Task, plan: Plan) -> Plan:
    """Return the plan of this machine, with what is to be replaced whatever it is."""
    if not task.before:
        return plan
    again = {path for path, before in task.before.items() if _stamp(plan.root / path) == before}
    planned = {step.want.path: step for step in task.plan.steps}

    def chosen(step: Step) -> Step:
        path = step.want.path
        return planned[path] if path in again and step.action is Action.KEEP else step

    return replace(plan, steps=tuple(chosen(step) for step in plan.steps))


def stamps(plan: Plan) -> dict[str, tuple[int, int]]:
    """Return size and time of the files that a plan replaces, by path."""
    paths = [step.want.path for step in plan.of(Action.REPLACE)]
    found = {path: _stamp(plan.root / path) for path in paths}
    return {path: stamp for path, stamp in found.items() if stamp is not None}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def _check_version(task: Task) -> None:
    """See that both sides run the same program: values of another one may mean something else.

    Raises
    ------
    UsageError
    """
    if task.job.version != __version__:
        msg = (
            f"neurofetch {__version__} runs on {socket.gethostname()}, and the call was made by "
            f"neurofetch {task.job.version}. Nothing was fetched there. Install the same version "
            "on both, or start the workers from the same environment."
        )
        raise UsageError(msg)


def _check_directory(task: Task) -> None:
    """See that the data directory here is the one that the call names.

    The folder of the run is in it. A shared file system may need a while to show that.

    Raises
    ------
    DestinationError
    """
    folder = Path(task.job.root, task.job.dataset.state, "runs", task.job.run)
    until = time.monotonic() + _SEEN_SECONDS
    while not _is_folder(folder, task.job.root):
        there = os.path.isdir(task.job.root)
        if not there or time.monotonic() > until:
            what = "another one" if there else "no directory"
            msg = (
                f"{task.job.root} is {what} on {socket.gethostname()}: workers have to see the "
                "data directory of the call under the same path. Nothing was fetched there. Use a "
                "directory on a file system that all machines share."
            )
            raise DestinationError(msg)
        time.sleep(_SEEN_BEAT)


def _is_folder(path: Path, root: str) -> bool:
    """Return whether there is such a folder in the data directory.

    Raises
    ------
    DestinationError
        If this user may not look.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError as error:
        msg = (
            f"{root} is closed to user {os.geteuid()} on {socket.gethostname()}: {error.strerror}. "
            "Nothing was fetched there. Start the workers as the user that makes the call, or let "
            "theirs write in the directory."
        )
        raise DestinationError(msg) from error
    except OSError:
        return False


class _Teller:
    """Passes on what is new of a task, and ends it when the run is to stop."""

    def __init__(
        self,
        task: Task,
        tell: Callable[[News], None] | None,
        is_over: Callable[[], bool] | None,
    ) -> None:
        self._task = task
        desk = desk_of(task.job.run)
        self._tell = tell or (desk.take if desk is not None else None)
        self._stops = [one for one in (is_over, desk and desk.is_over) if one]
        self._state = Path(task.job.root, task.job.dataset.state)
        self._looked = 0.0
        self._thread = threading.get_ident()

    def __call__(self, event: Event) -> None:
        if self._tell is not None and isinstance(
            event, Progress | Waiting | NetworkAway | NetworkBack
        ):
            self._tell(News(self._task.job.run, self._task.number, event))
        if isinstance(event, Progress | NetworkAway) and self._is_over():
            raise StopTask

    def _is_over(self) -> bool:
        if any(stop() for stop in self._stops):
            return True
        now = time.monotonic()
        if now - self._looked < _STOP_BEAT:
            return False
        self._looked = now
        return is_to_stop(self._state, self._task.job.run)
