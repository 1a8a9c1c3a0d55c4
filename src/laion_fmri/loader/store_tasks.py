"""Build the stores of many sessions: one task for each, in threads here or by an executor.

The executor is whatever has ``submit``; no library of one is imported. A task is sent the names of
files and gives back a few words. What is built stays, whatever becomes of the other tasks.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from laion_fmri.beta_store.build import Stopped
from laion_fmri.errors import StoreBuildError
from neurofetch.errors import NeurofetchError, UsageError, WrongTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    #: Takes the session that ended, how many have ended, and of how many.
    Progress = Callable[[str, int, int], object]

__all__ = ["Executor", "Session", "build_stores"]


class Executor(Protocol):
    """What runs tasks: `concurrent.futures.Executor`, and all that is like it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Run a function somewhere, and return a future of its result."""


class Session(Protocol):
    """What a task is about: see `laion_fmri.loader.betas.SessionBetas`."""

    path: Path

    @property
    def name(self) -> str:
        """Subject and session, for messages."""

    def is_stored(self) -> bool:
        """Whether the session has a store that is up to date."""

    def need_store(self, stopped: threading.Event | None = None) -> object:
        """Build it where there is none."""


@dataclass(frozen=True, slots=True)
class _Built:
    """What a task gives back: nothing, or why there is no store."""

    problem: Exception | None = None


def build_stores(
    sessions: Sequence[Session],
    n_jobs: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> None:
    """Build the stores of sessions; those that are up to date are left as they are.

    Parameters
    ----------
    sessions : list of SessionBetas
    n_jobs : int, optional
        How many at a time, in threads of this process; default: one per processor, at most 4.
    executor : Executor, optional
        Runs the tasks in place of threads.
    progress : callable, optional
        Takes the name of a session that has ended, how many have, and of how many.

    Raises
    ------
    StoreBuildError
        If several have no store; if one has none, the error of that one.
    """
    if executor is not None and n_jobs is not None:
        raise UsageError("n_jobs is for threads of this process; an executor has its own number.")
    _check(executor, progress)
    # The longest first: what is left at the end is short, and no worker waits long for the last.
    ordered = sorted(sessions, key=lambda one: -os.stat(one.path).st_size)
    if executor is not None:
        problems = _run(ordered, executor, _task, progress)
    else:
        problems = _in_threads(ordered, _jobs(n_jobs), progress)
    if not problems:
        return
    if len(problems) == 1 and not isinstance(problems[0][1], StoreBuildError):
        raise problems[0][1]
    raise StoreBuildError.of(problems, len(ordered)) from problems[0][1]


def _check(executor: object, progress: object) -> None:
    is_class = isinstance(executor, type)
    if executor is not None and (is_class or not callable(getattr(executor, "submit", None))):
        msg = f"executor={executor!r}: expected an object with submit(function, *arguments)."
        raise WrongTypeError(msg)
    if progress is not None and not callable(progress):
        msg = f"progress={progress!r}: expected a function of a session's name and two numbers."
        raise WrongTypeError(msg)


def _jobs(n_jobs: int | None) -> int:
    jobs = min(os.cpu_count() or 1, 4) if n_jobs is None else n_jobs
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"n_jobs={n_jobs!r}: expected a whole number, 1 or more.")
    return jobs


def _task(betas: Session, stopped: threading.Event | None = None) -> _Built:
    """Build the store of one session, wherever this runs."""
    try:
        betas.need_store(stopped)
    except (NeurofetchError, OSError, ValueError) as exc:
        # Alone: what it came from may be of a kind that cannot be sent.
        exc.__cause__ = exc.__context__ = None
        return _Built(exc.with_traceback(None))
    return _Built()


def _in_threads(
    sessions: Sequence[Session], jobs: int, progress: Progress | None
) -> list[tuple[str, Exception]]:
    stopped = threading.Event()
    # Threads are enough: decompression and copying do not hold the GIL.
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return _run(sessions, pool, lambda one: _task(one, stopped), progress)
        except BaseException:  # Ctrl-C: those that have begun end at their next volume
            stopped.set()
            raise


def _run(
    sessions: Sequence[Session],
    executor: Executor,
    task: Callable[[Session], _Built],
    progress: Progress | None,
) -> list[tuple[str, Exception]]:
    """Run a task for each session; return whose store is missing, and why."""
    futures: list[Any] = []
    problems: dict[int, Exception] = {}
    try:
        try:
            for one in sessions:
                futures.append(executor.submit(task, one))  # noqa: PERF401 - until one fails
        except Exception as exc:  # noqa: BLE001 - libraries of executors have errors of their own
            problems = dict.fromkeys(range(len(futures), len(sessions)), _lost(executor, exc))
        for done, number in enumerate(_as_they_end(futures), 1):
            problem = _outcome(futures[number], executor, sessions[number])
            if problem is not None:
                problems[number] = problem
            if progress is not None:
                progress(sessions[number].name, done, len(sessions))
    except BaseException:
        for future in futures:
            if callable(cancel := getattr(future, "cancel", None)):
                cancel()
        raise
    return [(sessions[number].name, problems[number]) for number in sorted(problems)]


def _as_they_end(futures: Sequence[Any]) -> Iterator[int]:
    """Yield the number of each future when it has ended; in their order where none tells."""
    if not all(callable(getattr(one, "add_done_callback", None)) for one in futures):
        yield from range(len(futures))
        return
    ended: SimpleQueue[int] = SimpleQueue()
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: ended.put(number))
    for _ in futures:
        yield ended.get()


def _outcome(future: Any, executor: Executor, betas: Session) -> Exception | None:
    """Return why a session has no store, or None where it has one."""
    try:
        found: object = future.result()
    except Stopped:
        raise
    except Exception as exc:  # noqa: BLE001 - libraries of executors have errors of their own
        # Another process may have built it meanwhile, or the task, before its worker was lost.
        return None if betas.is_stored() else _lost(executor, exc)
    if isinstance(found, _Built):
        return found.problem
    problem = WrongTypeError(f"the executor gave {found!r} for the result of a task.")
    return _lost(executor, problem)


def _lost(executor: Executor, exc: Exception) -> StoreBuildError:
    """Say that the executor lost a task, which is no fault of the data."""
    kind = type(executor)
    said = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    error = StoreBuildError(
        f"{kind.__module__.partition('.')[0]}'s {kind.__name__} did not run the task to its end "
        f"({said}). As a rule its worker was killed, by the scheduler or for want of memory, or "
        "the executor was closed. Run it again: what is built is kept"
    )
    error.__cause__ = exc
    return error
