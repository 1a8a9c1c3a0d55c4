"""Where the news of a run come in, in the process that asked for it."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Desk", "desk_of"]

_MOST = 10_000
"""News that may lie there; the oldest go first, since what is newer says more."""
_desks: dict[str, Desk] = {}


def desk_of(run: str) -> Desk | None:
    """Return the desk of a run that was asked for in this process; else None."""
    return _desks.get(run)


class Desk:
    """Takes the news of the tasks of a run; any thread may call it.

    Parameters
    ----------
    run : str
        The run's id.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._news: deque[Any] = deque(maxlen=_MOST)
        self._over = threading.Event()

    def __enter__(self) -> Desk:
        _desks[self._run] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        _desks.pop(self._run, None)

    def take(self, news: object) -> None:
        """Take what is new."""
        self._news.append(news)

    def taken(self) -> list[Any]:
        """Return what came since the last call."""
        found = []
        while self._news:
            found.append(self._news.popleft())
        return found

    def stop(self) -> None:
        """Say that the run is to stop."""
        self._over.set()

    def is_over(self) -> bool:
        """Whether the run is to stop."""
        return self._over.is_set()
