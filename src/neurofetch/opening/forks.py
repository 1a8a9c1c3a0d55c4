"""Locks that a fork cannot leave held.

A process that is forked has one thread, and a copy of each lock as it was: one that another thread
of the parent held would never be given back. Workers of PyTorch, joblib and multiprocessing are
made so, often while files are open.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["Flights", "ForkingLock"]


class ForkingLock:
    """A lock that is free in a process that was forked; a thread that has it may take it again."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def free(self) -> None:
        """Begin anew: the thread that held it is not in this process."""
        self._lock = threading.RLock()


class Flights:
    """Which blocks of a file some thread of this process is fetching: others wait for it."""

    __slots__ = ("__weakref__", "_lock", "_under_way")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[int, threading.Event] = {}
        _all.add(self)

    def take(self, wanted: list[int]) -> tuple[list[int], list[int]]:
        """Return those that the caller is to fetch, and those that others are fetching."""
        with self._lock:
            mine = [number for number in wanted if number not in self._under_way]
            for number in mine:
                self._under_way[number] = threading.Event()
        taken = set(mine)
        return mine, [number for number in wanted if number not in taken]

    def land(self, mine: list[int]) -> None:
        """Say that these are there, or failed."""
        with self._lock:
            events = [self._under_way.pop(number, None) for number in mine]
        for event in events:
            if event is not None:
                event.set()

    def wait(self, number: int) -> None:
        """Wait for another thread's."""
        with self._lock:
            event = self._under_way.get(number)
        if event is not None:
            event.wait()

    def free(self) -> None:
        """Begin anew: the threads that fetch are not in this process."""
        self._lock = threading.Lock()
        self._under_way = {}


_all: weakref.WeakSet[ForkingLock | Flights] = weakref.WeakSet()


def _free_all() -> None:
    for one in list(_all):
        one.free()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
