"""Several calls at once, in threads that nobody has to wait for when somebody presses Ctrl-C."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["together"]

T = TypeVar("T")


_BEAT = 0.25


def together(
    calls: Iterable[Callable[[], T]],
    threads: int,
    meanwhile: Callable[[], None] | None = None,
) -> list[T]:
    """Return what these calls return, in their order.

    The first error is raised at once, as is an interrupt; calls that have not begun by then are
    forgotten, and those that have are left to end by themselves.

    Parameters
    ----------
    calls : iterable of callable
    threads : int
        At most so many calls run at once.
    meanwhile : callable, optional
        Called in the calling thread a few times a second until all have returned.

    Examples
    --------
    >>> together([lambda: 1, lambda: 2], threads=2)
    [1, 2]
    """
    queue = deque(enumerate(calls))
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    total, over = len(queue), threading.Event()

    def work() -> None:
        while True:
            try:
                number, call = queue.popleft()
            except IndexError:
                return
            try:
                results[number] = call()
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                errors.append(error)
                queue.clear()
            if errors or len(results) == total:
                over.set()

    for _ in range(min(threads, total)):
        threading.Thread(target=work, daemon=True).start()
    try:
        while total and not over.wait(_BEAT if meanwhile else None):
            if meanwhile:
                meanwhile()
    finally:
        queue.clear()
    if errors:
        raise errors[0]
    return [results[number] for number in range(total)]
