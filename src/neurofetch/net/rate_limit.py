"""A speed limit that all connections share."""

from __future__ import annotations

import threading
import time

__all__ = ["RateLimit"]


class RateLimit:
    """Spend bytes at no more than a given rate.

    Parameters
    ----------
    rate : float or None
        Bytes a second; None for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._ended = threading.Event()

    def spend(self, count: int) -> None:
        """Account for `count` bytes; return when the rate allows the next ones."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._ended.wait(wait)

    def end(self) -> None:
        """Let all go on at once: what they wait for is over."""
        self._ended.set()
