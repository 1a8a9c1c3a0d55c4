"""Try again, with patience: the edge that owns sleeping and chance for the rules in `_retry`."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, TypeVar

from neurofetch._errors import InterruptedTransferError, TransientError, UnreachableError
from neurofetch._retry import RetryRules, delay

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Attempts"]

T = TypeVar("T")


class Attempts:
    """Run an action until it succeeds, fails for good, or the rules say stop.

    Parameters
    ----------
    rules : RetryRules, optional
    stop : threading.Event, optional
        Set from outside to end all waiting at once.
    draw : callable, optional
        Random numbers in [0, 1).
    """

    def __init__(
        self,
        rules: RetryRules | None = None,
        stop: threading.Event | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.rules = rules or RetryRules()
        self.stop = stop or threading.Event()
        self._draw = draw

    def wait(self, attempt: int, error: TransientError) -> float | None:
        """Return the seconds to wait after attempt number `attempt` failed; None to give up."""
        return delay(self.rules, attempt, error.retry_after, self._draw())

    def run(
        self,
        action: Callable[[], T],
        tell: Callable[[TransientError, float], None] | None = None,
        spent: int = 0,
    ) -> T:
        """Return what `action` returns.

        Parameters
        ----------
        action : callable
            Raises `TransientError` for what another attempt may cure; anything else passes through.
        tell : callable, optional
            Called with the error and the seconds to wait before each further attempt.
        spent : int
            Attempts that were made before.

        Raises
        ------
        UnreachableError
            When the attempts are used up.
        InterruptedTransferError
            When `stop` was set.
        """
        attempt = spent
        while True:
            if self.stop.is_set():
                raise InterruptedTransferError("stopped on request")
            try:
                return action()
            except TransientError as error:
                attempt += 1
                wait = self.wait(attempt, error)
                if wait is None:
                    msg = f"{error}; gave up after {attempt} attempts"
                    raise UnreachableError(msg) from error
                if tell is not None:
                    tell(error, wait)
                self.stop.wait(wait)
