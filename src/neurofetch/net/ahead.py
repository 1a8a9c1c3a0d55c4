"""Connections that are made before they are needed, and never more than are wanted in all."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from neurofetch._threads import start
from neurofetch.errors import NeurofetchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.net.connect import Route
    from neurofetch.net.response import Connection

__all__ = ["Ahead"]

_DIALERS = 48
"""Threads that make connections ahead."""


class Ahead:
    """Makes connections to one server in threads of its own, and hands them to who waits.

    A request that finds no idle connection takes one that is on its way, if nobody else waits for
    it, and opens none of its own: so a run has no more connections than it was allowed.

    Parameters
    ----------
    dial : callable
        Makes a connection.
    keep : callable
        Takes a connection that nobody waits for.
    count : callable
        Returns how many connections are open or being opened, of whatever maker.
    """

    def __init__(
        self,
        dial: Callable[[Route], Connection],
        keep: Callable[[Connection], None],
        count: Callable[[], int],
    ) -> None:
        self._dial = dial
        self._keep = keep
        self._count = count
        self._lock = threading.Lock()
        self._route: Route | None = None
        self._wanted = 0
        self._refused = False
        self._coming = 0
        self._awaited = 0
        self._arrivals: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()

    def begin(self, route: Route, wanted: int) -> None:
        """Make connections until there are as many as are wanted, for the first server only.

        It does something when more are wanted than ever before.
        """
        with self._lock:
            if self._route not in (None, route) or wanted <= self._wanted:
                return
            more, self._wanted = wanted - self._wanted, wanted
            self._route, self._refused = route, False
        start(lambda: self._work(route), min(more, _DIALERS), "neurofetch-dial")

    def enough(self, route: Route) -> None:
        """Stop: the server closed one before it was used, so it may allow fewer.

        Else each that it closes would be made anew, hundreds of times a second.
        """
        with self._lock:
            self._refused = self._refused or route == self._route

    def take(self, route: Route) -> Connection | None:
        """Wait for a connection that is on its way; None when there is none, or it failed."""
        with self._lock:
            if route != self._route or self._awaited >= self._coming:
                return None
            self._awaited += 1
        return self._arrivals.get()

    def _work(self, route: Route) -> None:
        while self._has_room():
            connection: Connection | None = None
            try:
                connection = self._dial(route)
                connection.used = connection.ahead = True  # it may be closed before it is needed
            except (NeurofetchError, MemoryError):  # told to whoever needs one, and makes one
                return
            finally:
                self._arrived(connection)

    def _has_room(self) -> bool:
        with self._lock:
            if self._refused or self._count() + self._coming >= self._wanted:
                return False
            self._coming += 1
            return True

    def _arrived(self, connection: Connection | None) -> None:
        with self._lock:
            self._coming -= 1
            awaited = self._awaited > 0
            if awaited:
                self._awaited -= 1
                self._arrivals.put(connection)
            elif connection is not None:
                self._keep(connection)  # before anyone can find that none is on its way
