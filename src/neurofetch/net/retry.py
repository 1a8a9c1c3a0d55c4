"""When to try again, and when to give up. Time and chance are passed in."""

from __future__ import annotations

import math
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from neurofetch.errors import InterruptedTransferError, TransientError, UnreachableError
from neurofetch.net.outage import LineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.net.outage import Outages

__all__ = ["Attempts", "Kind", "RetryRules", "classify", "delay", "parse_retry_after"]

Kind: TypeAlias = Literal["ok", "transient", "refused", "missing", "redirect", "client"]

FINAL = frozenset({501, 505, 506, 510, 511})
"""Statuses from 500 on that another attempt does not change: the server does not know the method
(501), this HTTP (505), how to choose (506) or an extension (510); the network wants a login
(511). The rest passes: 507 (storage), 509 (bandwidth), 520 to 530 (Cloudflare), 599 (proxies)."""
TRANSIENT = frozenset({408, 425, 429, *range(500, 600)}) - FINAL
MISSING = frozenset({404, 410})
REFUSED = frozenset({401, 403, 407, 451})


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often, and with which waits, a request is tried again.

    Parameters
    ----------
    attempts : int
        Requests in all, the first included.
    base : float
        Seconds: the longest wait before the second attempt; it doubles with each further one.
    cap : float
        Seconds: no wait of our own is longer.
    max_wait : float
        Seconds: no wait that a server asks for is longer.
    """

    attempts: int = 6
    base: float = 0.3
    cap: float = 20.0
    max_wait: float = 120.0


def delay(rules: RetryRules, attempt: int, retry_after: float | None, draw: float) -> float | None:
    """Return the seconds to wait after a failed attempt; None to give up.

    The wait is drawn evenly between nothing and a bound that doubles ("full jitter"), so many
    clients that failed together do not come back together. What the server asks for is the least
    we wait; the jitter is added to it, for the same reason.

    Parameters
    ----------
    rules : RetryRules
    attempt : int
        The attempt that failed, from 1.
    retry_after : float or None
        Seconds that the server asked for.
    draw : float
        A random number from 0 up to, but not including, 1.

    Examples
    --------
    >>> [delay(RetryRules(attempts=4), attempt, None, 0.5) for attempt in (1, 2, 3, 4)]
    [0.15, 0.3, 0.6, None]
    >>> delay(RetryRules(), 1, 10, 0.5)
    10.15
    """
    if attempt >= rules.attempts:
        return None
    doublings = min(attempt - 1, 60)  # beyond that the cap rules, whatever the base
    own = draw * min(rules.cap, rules.base * 2.0**doublings)
    asked = retry_after or 0.0
    return own + min(max(asked, 0.0), rules.max_wait)


def parse_retry_after(text: str, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; None where it says nothing.

    Parameters
    ----------
    text : str
        Seconds, or a date of HTTP. A date that has passed asks for 0 seconds.
    now : float
        Seconds since the epoch.

    Examples
    --------
    >>> parse_retry_after("120", now=0)
    120.0
    >>> parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=15)
    45.0
    """
    text = text.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    moment = _http_date(text)
    return None if moment is None else max(0.0, moment - now)


def _http_date(text: str) -> float | None:
    """Return seconds since the epoch; None where it is no date."""
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 - a rare header

    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None  # a value that is no date is ignored


def classify(status: int) -> Kind:
    """Say what an HTTP status means for a request that wants bytes.

    Parameters
    ----------
    status : int

    Returns
    -------
    {"ok", "transient", "refused", "missing", "redirect", "client"}
        ``transient`` alone is worth another attempt. ``client`` is everything else that is an
        error: 412 (the object changed), 416 (no such range), 501, 505, … another attempt changes
        nothing.

    Examples
    --------
    >>> [classify(status) for status in (206, 304, 403, 404, 412, 503)]
    ['ok', 'redirect', 'refused', 'missing', 'client', 'transient']
    """
    if 200 <= status < 300:
        return "ok"
    if 300 <= status < 400:
        return "redirect"
    if status in TRANSIENT:
        return "transient"
    if status in REFUSED:
        return "refused"
    return "missing" if status in MISSING else "client"


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
    tell : callable, optional
        Called as that of `run`, where `run` is given none.
    outages : Outages, optional
        Those of the client that the action asks with: what is the line's fault is no attempt, and
        the next one is made when the line is back. None: each failure is an attempt.
    """

    def __init__(
        self,
        rules: RetryRules | None = None,
        stop: threading.Event | None = None,
        draw: Callable[[], float] = random.random,
        tell: Callable[[TransientError, float], None] | None = None,
        outages: Outages | None = None,
    ) -> None:
        self.rules: RetryRules = rules or RetryRules()
        self.stop: threading.Event = stop or threading.Event()
        self._draw = draw
        self._tell = tell
        self._outages = outages

    def rode_out(self, error: TransientError, failed: int = 0, *, last: bool = False) -> bool:
        """Whether an error was the fault of the line, which is back now: then it is no attempt.

        Parameters
        ----------
        error : TransientError
        failed : int
            Attempts that failed before it.
        last : bool
            No further attempt would be made.

        Raises
        ------
        NetworkAwayError
            If the line does not come back for as long as the patience lasts.
        NeurofetchError
            What a web page in the place of a file stands for, where it is the file's own.
        """
        if not isinstance(error, LineError):
            return False
        if self._outages is not None and self._outages.rode_out(
            error, failed, self.stop, last=last
        ):
            return True
        if error.final is not None:
            raise error.final
        return False

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
            Attempts count since the last one that brought something: see its ``progress``.
        tell : callable, optional
            Called with the error and the seconds to wait before each further attempt.
        spent : int
            Attempts that were made before.

        Raises
        ------
        UnreachableError
            When the attempts are used up.
        NetworkAwayError
            When the line is away, and does not come back for as long as the patience lasts.
        InterruptedTransferError
            When `stop` was set.
        """
        attempt = failures = spent
        tell = tell or self._tell
        while True:
            if self.stop.is_set():
                raise InterruptedTransferError("stopped on request")
            try:
                return action()
            except TransientError as error:
                last = attempt + 1 >= self.rules.attempts
                if self.rode_out(error, failures, last=last):
                    attempt = failures = 0
                    continue
                failures += 1
                attempt = 0 if error.progress else attempt + 1
                wait = self.wait(attempt, error)
                if wait is None:
                    msg = f"{str(error).rstrip('.')}; gave up after {attempt} attempts"
                    gave_up = UnreachableError(msg)
                    gave_up.advice = error.advice
                    raise gave_up from error
                if tell is not None:
                    tell(error, wait)
                self.stop.wait(wait)
