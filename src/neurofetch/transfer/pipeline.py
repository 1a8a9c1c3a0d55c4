"""Many tiny files in one thread: ask for all, then take each answer in its turn.

The thread blocks on one connection at a time, while the answers of the others gather in the
system's buffers. As soon as a file is dealt with, the next request goes out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from neurofetch.transfer.schedule import Schedule, Task

__all__ = ["Tiny", "flow"]


class Tiny(Protocol):
    """A file that can be asked for now and waited for later."""

    def begin(self) -> bool:
        """Send the request; whether there is an answer to wait for."""

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""

    def finish(self) -> None:
        """Wait for the answer, and deal with the file."""


def flow(first: Task, schedule: Schedule, places: int) -> None:
    """Work on tiny files until the schedule has no more of them.

    Parameters
    ----------
    first : Task
        The file that this thread was given.
    schedule : Schedule
        Asked for more.
    places : int
        Requests that wait for an answer, at most, in all threads together.
    """
    waiting: deque[Tiny] = deque()
    task: Task | None = first
    while True:
        while task is not None:
            tiny = cast("Tiny", task)
            if tiny.begin():
                waiting.append(tiny)
            # While others wait, no time is spent on making a connection: they are made elsewhere.
            depth = max(1, places // max(1, schedule.flowing))
            room = len(waiting) < depth and (not waiting or tiny.ready())
            task = schedule.more() if room else None
        if not waiting:
            return
        waiting.popleft().finish()
        task = schedule.more()
