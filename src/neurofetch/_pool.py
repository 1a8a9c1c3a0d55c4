"""A pool of threads that makes do with fewer than it may have, or with none."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from neurofetch._threads import room_for_threads, small_stacks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool"]

P = ParamSpec("P")
T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """A pool of threads that makes do with fewer than it may have, or with none."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a thread, or here where there is none; return what becomes of it."""
        try:
            return super().submit(fn, *args, **kwargs)
        except (RuntimeError, MemoryError):
            if self._threads or self._shutdown:
                raise
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)
        return future

    def _adjust_thread_count(self) -> None:
        if self._threads and not room_for_threads():
            return
        try:
            with small_stacks():
                super()._adjust_thread_count()
        except (RuntimeError, MemoryError):
            if not self._threads:
                self._work_queue.get_nowait()  # what was to be done: it is done elsewhere
                raise
