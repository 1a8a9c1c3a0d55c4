"""Who runs tasks: any object with `submit`, as the executors of `concurrent.futures` have it.

Nothing here imports a scheduler's library. What an executor is, is told by what it can do: thread
and process pools, Dask's `Client.get_executor(pure=False)`, submitit, Parsl, executorlib, loky.
"""

from __future__ import annotations

import operator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from neurofetch._shown import shown
from neurofetch.cluster.spread import spread
from neurofetch.cluster.tasks import TaskDone, run_task
from neurofetch.errors import UsageError, WrongTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.cluster.desk import Desk
    from neurofetch.cluster.tasks import Task
    from neurofetch.events import Event
    from neurofetch.fetcher import Fetcher, RunSettings
    from neurofetch.model import Plan, Report
    from neurofetch.transfer.options import Inspect

__all__ = ["ExecutorCrew", "Loss", "Pending", "Submits", "checked_crew", "checked_workers"]

_UNTOLD = 8
"""Tasks at once where an executor does not tell how many it runs."""
_AGAIN = "Run the same call again: what came is kept."
_LIKE = "Give an executor such as concurrent.futures.ThreadPoolExecutor(4)."


class Pending(Protocol):
    """What `submit` returns: a future, or what is like one."""

    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def result(self) -> Any:
        """Return what came of it, or raise."""
        ...


class Submits(Protocol):
    """An executor, or what is like one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending:
        """Call a function somewhere."""
        ...


class Loss(NamedTuple):
    """Why a task did not return.

    Parameters
    ----------
    why : str
        In words, for the reasons of its files.
    again : bool
        Whether it may be submitted once more.
    astray : bool
        Whether it may still run somewhere, with nobody to hear of it.
    """

    why: str
    again: bool
    astray: bool = False


class ExecutorCrew:
    """Runs tasks by an executor.

    Parameters
    ----------
    executor : Submits
    at_once : int
        Tasks that are submitted and not ended, at most: so the executor's queue is short, and what
        all of them may ask of a server is known.
    """

    grows = False
    """Whether more may run at once later."""

    def __init__(self, executor: Submits, at_once: int) -> None:
        self._executor = executor
        self.at_once = at_once

    def carry_out(
        self,
        fetcher: Fetcher,
        plan: Plan,
        settings: RunSettings,
        *,
        listen: Callable[[Event], None],
        inspect: Inspect | None = None,
    ) -> Report:
        """Carry out a plan in many tasks; see `spread`."""
        return spread(self, fetcher, plan, settings, listen=listen, inspect=inspect)

    def opened(self, desk: Desk) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return what is open while tasks run: a way for their news, where there is one."""
        return nullcontext()

    def submit(self, task: Task) -> Pending:
        """Have a task run.

        Raises
        ------
        UsageError
            If the executor takes no tasks.
        """
        try:
            pending = self._executor.submit(run_task, task)
        except BrokenExecutor:
            raise
        except RuntimeError as error:  # "cannot schedule new futures after shutdown"
            msg = f"the executor takes no tasks: {_said(error)}. Give one that is open."
            raise UsageError(msg) from error
        except TypeError as error:  # it takes other arguments, or cannot pack these
            msg = f"the executor takes no tasks: {_said(error)}. {_LIKE}"
            raise UsageError(msg) from error
        if not all(callable(getattr(pending, name, None)) for name in ("done", "result")):
            msg = f"the executor's submit returned {_short(pending)}, which is no future: it has no"
            raise UsageError(f"{msg} done() and result(). The run was stopped. {_LIKE}")
        return pending

    def result(self, pending: Pending) -> Any:
        """Return what came of a task; raise what `lost` explains."""
        return pending.result()

    def told(self, value: object) -> TaskDone:
        """Return what came of a task as what became of it.

        Raises
        ------
        UsageError
            If the executor returned something else.
        """
        if not isinstance(value, TaskDone):
            msg = f"the executor returned {_short(value)} in place of what became of a task."
            raise UsageError(f"{msg} The run was stopped; what came is kept. {_LIKE}")
        return value

    def lost(self, error: BaseException) -> Loss:
        """Return why a task did not return."""
        said = _said(error)
        if isinstance(error, BrokenExecutor):
            why = (
                "a process of the pool ended at once (it was killed, it ran out of memory, or the "
                "script starts itself anew: with processes, what starts them stands under "
                f'if __name__ == "__main__"): {said}. {_AGAIN}'
            )
            return Loss(why, again=bool(getattr(self._executor, "mends", False)))
        if isinstance(error, CancelledError):
            return Loss(f"its task was cancelled. {_AGAIN}", again=False)
        return Loss(f"its task was lost: {type(error).__name__}: {said}. {_AGAIN}", again=True)

    def cancel(self, pending: Pending) -> None:
        """Forget a task that has not begun; those that have are told by the folder of the run."""
        cancel = getattr(pending, "cancel", None)
        if cancel is not None:
            with suppress(Exception):  # whatever it is, the run ends
                cancel()


def _said(error: BaseException) -> str:
    return shown(str(error)).rstrip(".") or type(error).__name__


def _short(value: object) -> str:
    return shown(repr(value))[:80]


def checked_workers(workers: object) -> int | None:
    """Return how many tasks are to run at once; None where that was not said.

    Raises
    ------
    UsageError
        If it is no whole number above 0.
    """
    if workers is None:
        return None
    with suppress(TypeError):
        number = operator.index(workers)  # type: ignore[arg-type]
        if not isinstance(workers, bool) and number > 0:
            return number
    msg = f"workers= is how many tasks run at once: a whole number above 0, not {workers!r}."
    raise UsageError(f"{msg} Nothing was done.")


def checked_crew(executor: object = None, workers: object = None) -> ExecutorCrew | None:
    """Return who runs the tasks of a call; None where this process does it alone.

    Parameters
    ----------
    executor, workers
        As for `neurofetch.cluster.crew_of`.

    Raises
    ------
    WrongTypeError, UsageError
        If one of them cannot be used.
    """
    at_once = checked_workers(workers)
    if executor is None:
        if at_once is None:
            return None
        msg = "workers= says how many tasks of executor= run at once, and there is no executor."
        raise UsageError(f"{msg} Nothing was done. Give one, or leave workers= out.")
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        msg = (
            f"executor={_short(executor)} has no submit(function, argument). Nothing was "
            "done. Give an executor such as concurrent.futures.ThreadPoolExecutor(4), or "
            "dask.distributed.Client(...).get_executor(pure=False)."
        )
        raise WrongTypeError(msg)
    taken: Any = executor
    return ExecutorCrew(taken, at_once or _told(executor) or _UNTOLD)


def _told(executor: object) -> int | None:
    """Return how many tasks an executor runs at once, where it says so."""
    for name in ("_max_workers", "max_workers", "n_workers"):
        number = getattr(executor, name, None)
        if isinstance(number, int) and not isinstance(number, bool) and number > 0:
            return number
    return None
