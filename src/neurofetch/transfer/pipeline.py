"""Many tiny files in one thread: ask for all, then take each response in its turn.

The thread blocks on one connection at a time, while the responses of the others gather in the
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

    def begin(self, *, others: bool) -> bool:
        """Send the request; whether there is a response to wait for.

        Parameters
        ----------
        others : bool
            Whether responses to this thread wait to be read: then it must not wait for the line.
        """

    def ready(self) -> bool:
        """Whether a further request could be sent without making a connection first."""

    def finish(self, *, others: bool) -> None:
        """Wait for the response, and deal with the file; `others` is as of `begin`."""


def flow(first: Task, schedule: Schedule) -> None:
    """Work on tiny files until the schedule has no more of them.

    Parameters
    ----------
    first : Task
        The file that this thread was given.
    schedule : Schedule
        Asked for more, and told of each that is over. Its `places` say how many requests wait for
        a response, at most, in all threads together.
    """
    waiting: deque[Task] = deque()
    task: Task | None = first
    try:
        while True:
            while task is not None:
                if _begun(task, schedule, others=bool(waiting)):
                    waiting.append(task)
                # While others wait, no time is spent on making a connection: they are made
                # elsewhere.
                quick = not waiting or cast("Tiny", task).ready()
                task = schedule.more() if quick and _room(waiting, schedule) else None
            if not waiting:
                return
            oldest = waiting.popleft()
            try:
                cast("Tiny", oldest).finish(others=bool(waiting))
            finally:
                schedule.done(oldest)
            task = schedule.more() if _room(waiting, schedule) else None
    finally:
        schedule.flow_over()


def _room(waiting: deque[Task], schedule: Schedule) -> bool:
    """Whether this flow may ask for one more: it keeps to its share, and all of them to `places`.

    Each has at least one under way, so there may be as many more as there are flows.
    """
    places = schedule.places
    share = places // max(1, schedule.flowing)
    return not waiting or (len(waiting) < share and schedule.tiny_in_flight < places)


def _begun(task: Task, schedule: Schedule, *, others: bool) -> bool:
    """Begin a task, and say that it is over unless there is a response to wait for."""
    waits = False
    try:
        waits = cast("Tiny", task).begin(others=others)
    finally:
        if not waits:
            schedule.done(task)
    return waits
