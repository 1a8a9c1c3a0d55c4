"""What all connections of a client share: a speed limit, a count, and who holds on."""

from __future__ import annotations

import threading
import time

__all__ = ["RateLimit"]

_HOLD_SECONDS = 2.0
"""A thread holds on no longer than this after it was last told to."""


class RateLimit:
    """Spend bytes at no more than a given rate, and let some threads hold on.

    A thread that holds on does not read; its server waits, as TCP has it, and nothing is lost.

    Parameters
    ----------
    rate : float or None
        Bytes a second; None for no limit.

    Attributes
    ----------
    came : int
        Bytes that came over all connections.
    """

    def __init__(self, rate: float | None) -> None:
        self.came = 0
        self._rate = rate
        self._held: frozenset[int] = frozenset()
        self._held_at = 0.0
        self._turn = threading.Condition()
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._ended = threading.Event()

    def spend(self, count: int) -> None:
        """Account for `count` bytes; return when the rate allows the next ones."""
        if self._rate is not None:
            self._keep_to(self._rate, count)
        self.came += count  # a lost one does no harm
        if self._held and threading.get_ident() in self._held:
            self._hold_on()

    def _keep_to(self, rate: float, count: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / rate
            wait = self._free_at - now
        if wait > 0:
            self._ended.wait(wait)

    def hold(self, threads: frozenset[int]) -> None:
        """Say which threads are to hold on; it must be said again within two seconds.

        Parameters
        ----------
        threads : frozenset of int
            Their numbers, as `threading.get_ident` has them; all others go on.
        """
        before, self._held = self._held, threads
        self._held_at = time.monotonic()
        if before - threads:
            with self._turn:
                self._turn.notify_all()

    def _hold_on(self) -> None:
        """Wait until it is this thread's turn, or nobody says any more whose turn it is."""
        me = threading.get_ident()
        with self._turn:
            while me in self._held and not self._ended.is_set():
                left = self._held_at + _HOLD_SECONDS - time.monotonic()
                if left <= 0:
                    return
                self._turn.wait(left)

    def end(self) -> None:
        """Let all go on at once: what they wait for is over."""
        self._ended.set()
        self.hold(frozenset())
