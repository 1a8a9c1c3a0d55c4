"""A pool of processes on this machine, for the command line: one that is killed is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from neurofetch._threads import started

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

__all__ = ["Processes"]


class Processes:
    """A pool of processes, each started anew: so no thread of this one is cut in half.

    Parameters
    ----------
    count : int

    Attributes
    ----------
    mends : bool
        Whether what was lost with a process can be submitted again.
    """

    mends = True

    def __init__(self, count: int) -> None:
        self.max_workers = count
        self._pool = self._new()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Call a function in one of the processes; where the pool broke, in one of a new pool."""
        try:
            return self._pool.submit(fn, *args)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._new()
            return self._pool.submit(fn, *args)

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.max_workers, mp_context=context, initializer=_begin_process)


def _begin_process() -> None:
    """Leave Ctrl-C to the process that asked, which tells the tasks to end; and end if it has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started(_end_with_parent, "neurofetch-parent")


def _end_with_parent() -> None:
    """End when the process that asked was killed: a pool of Python's would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
