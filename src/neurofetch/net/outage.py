"""When the network is away: one event for all threads, which wait for its end together.

A `Line` is the way to one server, and knows when something came from there last. A failure in which
nothing came is a `LineError`. It is the line's, and not that of the file that was asked for, where
nothing came from this server since and a cheap request of our own has no answer either. Then all
who fail on this line wait for one thread that asks, with growing waits; no attempt is used up.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from neurofetch._threads import started
from neurofetch.errors import NetworkAwayError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from neurofetch.errors import NeurofetchError
    from neurofetch.net.connect import Route
    from neurofetch.net.http1 import Request

__all__ = [
    "Line",
    "LineError",
    "Notice",
    "Outages",
    "SleepWatch",
    "Wait",
    "shown_patience",
]

HURRY = 20.0
"""Seconds: so long a server is waited for, at most, whose bytes are to be had elsewhere."""
_FIRST, _LONGEST = 0.5, 10.0
"""Seconds between two questions, at least and at most."""
_SHARE = 1 / 3
"""Of the time that an outage has lasted: so much later than its end it is noticed, at most."""
_SLICE = 0.25
"""Seconds after which whoever waits looks up, if nothing wakes it before."""
_LATELY = 30.0
"""Seconds; a server from which nothing came for longer is none that others need now."""
_ASLEEP = 5.0
"""Seconds; a wait that takes so much longer than asked for was no wait: the machine slept."""
_TOLD = 1.0
"""Seconds between two notices of the same outage."""
_SPREAD, _MOST_SPREAD = 0.01, 1.0
"""Seconds over which those who waited go on: for each of them, and at most."""

_Verdict: TypeAlias = Literal["", "sound", "back", "gave up"]

ADVICE = (
    "What was finished is in its place, and what came of the rest is kept. Check the network, then "
    "run the same call again. --patience (or patience=, or NEUROFETCH_PATIENCE) says how long to "
    "wait for a network that is away."
)


class Line:
    """The way to one server.

    Attributes
    ----------
    heard : float
        When something came from there last; 0.0 for never.
    good : tuple of (float, Request) or None
        When a success that is no web page came last, and what it was the answer to.
    outage : object or None
        What is under way, where nothing comes any more.
    round_trip : float
        Seconds from a request to the head of a response that was a success, at best; infinite
        before the first.
    """

    __slots__ = ("good", "heard", "outage", "round_trip", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.heard = 0.0
        self.good: tuple[float, Request] | None = None
        self.outage: _Outage | None = None
        self.round_trip = math.inf

    def came(self, *, pages: bool) -> float:
        """Return when something came last; where pages come for files, something that is none."""
        if not pages:
            return self.heard
        return self.good[0] if self.good else 0.0

    def check(self) -> None:
        """See that it is not known to be away.

        Raises
        ------
        LineError
            If it is: nothing was asked.
        """
        outage = self.outage
        if outage is not None and not outage.pages and outage.verdict in ("", "gave up"):
            raise LineError(outage.reason, self, time.monotonic(), held=True)


class LineError(TransientError):
    """Nothing came from a server.

    Parameters
    ----------
    message : str
        What happened.
    line : Line
    began : float
        When it was asked (``time.monotonic()``).
    sure : bool
        No connection was made, or it was silent for long: no matter of what was asked for.
    offline : bool
        It is this machine that has no network.
    held : bool
        Nothing was asked, since the line is known to be away.
    final : NeurofetchError, optional
        A web page came that stands for this error, unless all that is asked for is such a page.
    pages : bool
        A web page came.
    deaf : bool
        It was asked with HEAD, which some servers never answer.
    reason : str, optional
        What happened, without what was asked for.
    advice : str, optional
    """

    def __init__(
        self,
        message: str,
        line: Line,
        began: float,
        *,
        sure: bool = False,
        offline: bool = False,
        held: bool = False,
        pages: bool = False,
        deaf: bool = False,
        final: NeurofetchError | None = None,
        reason: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(message, advice=advice)
        self.reason = reason or message
        self.line = line
        self.began = began
        self.sure = sure
        self.offline = offline
        self.held = held
        self.pages = pages
        self.deaf = deaf
        self.final = final


class Notice(NamedTuple):
    """What is to be told of a line.

    Parameters
    ----------
    server : str
    reason : str
    seconds : float
        Since when nothing comes (for "back": for how long nothing came).
    patience : float
        Seconds after which the run ends.
    kind : {"away", "still", "back", "unheard"}
        "unheard": nothing ever came from there; there are only the usual attempts.
    """

    server: str
    reason: str
    seconds: float
    patience: float
    kind: Literal["away", "still", "back", "unheard"]


class Wait:
    """How long an outage lasts, and when to ask next. Moments are passed in.

    Parameters
    ----------
    began : float
    patience : float
        Seconds.

    Examples
    --------
    >>> wait = Wait(100.0, patience=60.0)
    >>> [wait.pause(100.0 + seconds) for seconds in (0.5, 3.0, 12.0, 45.0)]
    [0.5, 1.0, 4.0, 10.0]
    >>> wait.pause(155.0), wait.over(155.0), wait.over(160.0)
    (5.0, False, True)
    >>> wait.slept(30.0)
    >>> wait.over(160.0), wait.seconds(160.0)
    (False, 30.0)
    """

    def __init__(self, began: float, patience: float) -> None:
        self.patience = patience
        self._began = began

    def seconds(self, now: float) -> float:
        """Return the seconds that it has lasted, without those that the machine slept."""
        return max(0.0, now - self._began)

    def slept(self, seconds: float) -> None:
        """Leave out so many seconds."""
        self._began += seconds

    def over(self, now: float) -> bool:
        """Whether the patience is used up."""
        return self.seconds(now) >= self.patience

    def pause(self, now: float) -> float:
        """Return the seconds until the next question; longer and longer."""
        seconds = self.seconds(now)
        pause = min(max(_FIRST, seconds * _SHARE), _LONGEST)
        left = self.patience - seconds
        return min(pause, left) if left > 0 else pause


class SleepWatch:
    """Notices that the machine slept, or that the process was stopped.

    Parameters
    ----------
    clocks : tuple of callable
        What goes on while the machine sleeps, on some system or other: each returns seconds.
    """

    def __init__(
        self,
        clocks: tuple[Callable[[], float], ...] = (time.monotonic, time.time),
    ) -> None:
        self._clocks = clocks
        self._before = self._now()

    def _now(self) -> tuple[float, ...]:
        return tuple(clock() for clock in self._clocks)

    def slept(self, expected: float) -> tuple[float, ...]:
        """Return, for each clock, the seconds by which it went on too far since the last look.

        Parameters
        ----------
        expected : float
            Seconds that were to pass.

        Returns
        -------
        tuple of float
            0.0 where it is so little that the machine may just have been busy.
        """
        before, self._before = self._before, self._now()
        more = (now - then - expected for now, then in zip(self._before, before, strict=True))
        return tuple(seconds if seconds > _ASLEEP else 0.0 for seconds in more)


class _Outage:
    """What is under way on a line from which nothing comes any more."""

    __slots__ = (
        "asked",
        "deaf",
        "doubted",
        "known",
        "line",
        "pages",
        "reason",
        "told",
        "verdict",
        "wait",
        "waiting",
        "watched",
    )

    def __init__(self, error: LineError, patience: float, now: float) -> None:
        self.line = error.line
        self.pages = error.pages
        self.reason = error.reason
        self.wait = Wait(error.began, patience)
        self.doubted = now
        self.asked = 0
        self.deaf = error.deaf
        self.known = False
        """Whether it is sure, and was told."""
        self.told = 0.0
        self.verdict: _Verdict = ""
        self.waiting = 0
        self.watched = False
        """Whether a thread asks."""

    @property
    def over(self) -> bool:
        """Whether something came since it began."""
        return self.line.came(pages=self.pages) > self.doubted

    def notice(self, kind: Literal["away", "still", "back"], now: float) -> Notice:
        return Notice(
            self.line.route.authority, self.reason, self.wait.seconds(now), self.wait.patience, kind
        )


class _Asker(Protocol):
    """Asks a server."""

    def __call__(self, line: Line, asked: int, *, pages: bool) -> bool:
        """Whether an answer comes; where pages come for files, one that is none.

        Parameters
        ----------
        line : Line
        asked : int
            With which of the requests that there are: it goes up each time.
        pages : bool
            Whether pages come for files.
        """


class _Stop(Protocol):
    def is_set(self) -> bool: ...


class Outages:
    """What all threads that share a client know of the lines to its servers.

    Parameters
    ----------
    patience : float
        Seconds; see `neurofetch.net.settings.Network`.
    asks : callable
        Whether a server answers.
    clock : callable, optional
    draw : callable, optional
        Random numbers in [0, 1).
    """

    def __init__(
        self,
        patience: float,
        asks: _Asker,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.patience: float = patience
        self._hurries: Callable[[str], bool] | None = None
        self._brief_until: float | None = None
        self._asks = asks
        self._clock = clock
        self._draw = draw
        self._lines: dict[Route, Line] = {}
        self._unheard: set[Line] = set()
        self._known: list[_Outage] = []
        self._notices: deque[Notice] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._tell: Callable[[Notice], None] | None = None
        self._teller = 0

    def line(self, route: Route) -> Line:
        """Return the line to a server."""
        found = self._lines.get(route)
        return found if found is not None else self._lines.setdefault(route, Line(route))

    def others_come(self, line: Line) -> bool:
        """Whether something came from another server lately: it has to be held up by nobody."""
        lately = self._clock() - _LATELY
        others = (other for other in [*self._lines.values()] if other is not line)
        return any(other.heard > lately and other.outage is None for other in others)

    @property
    def round_trip(self) -> float:
        """Seconds to the farthest server and back, as far as known; 0.0 where nothing is known."""
        known = (line.round_trip for line in [*self._lines.values()])
        return max(filter(math.isfinite, known), default=0.0)

    @property
    def quiet_lines(self) -> bool:
        """Whether any line is known to be away."""
        return bool(self._known)

    def parts_away(self, route: Route) -> bool:
        """Whether a line is away while others are not: what needs it must hold up no others."""
        line = self._lines.get(route)
        if line is None or line.outage is None or line.outage.verdict:
            return False
        return self.others_come(line)

    def close(self) -> None:
        """Let all go on at once."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    @contextmanager
    def brief(self, seconds: float) -> Iterator[None]:
        """Be patient for so long at most, for a while: there is another way.

        A server from which nothing ever came is given up after these seconds, too.

        Parameters
        ----------
        seconds : float
        """
        before, self._brief_until = self.patience, self._clock() + seconds
        self.patience = min(before, seconds)
        try:
            yield
        finally:
            self.patience, self._brief_until = before, None

    @contextmanager
    def hurrying(self, rule: Callable[[str], bool] | None) -> Iterator[None]:
        """Wait briefly, for a while, for servers whose bytes are to be had elsewhere.

        Parameters
        ----------
        rule : callable or None
            Whether a server, as messages name it, is such a one; None for none of them.
        """
        before, self._hurries = self._hurries, rule
        try:
            yield
        finally:
            self._hurries = before

    def begin_anew(self) -> None:
        """Forget what was given up: another run has patience of its own."""
        for line in [*self._lines.values()]:
            if line.outage is not None and line.outage.verdict:
                line.outage = None

    # -- for who failed ----------------------------------------------------------------------

    def rode_out(
        self,
        error: LineError,
        failed: int = 0,
        stop: _Stop | None = None,
        *,
        last: bool = False,
    ) -> bool:
        """Wait for the end of an outage, if that is what an error is about.

        Parameters
        ----------
        error : LineError
        failed : int
            Attempts that failed before this one.
        stop : threading.Event, optional
            Ends the wait.
        last : bool
            No further attempt would be made: the server is asked, even if something came from it
            lately, which may have been on its way for a while.

        Returns
        -------
        bool
            Whether another attempt may be made, as if this one had not been; if not, the fault is
            that of what was asked for.

        Raises
        ------
        NetworkAwayError
            If nothing came for as long as the patience lasts.
        """
        with self._news:
            outage = self._joined(error, failed, last=last)
            if outage is None:
                return error.held
            mine, outage.watched = not outage.watched, True
            outage.waiting += 1
        try:
            if mine and started(lambda: self._watch(outage), "neurofetch-outage") is None:
                self._watch(outage)  # the system gives no thread
            self._wait_for(outage, stop)
        finally:
            with self._news:
                outage.waiting -= 1
                others = outage.waiting
        if outage.verdict == "gave up":
            raise self._gave_up(outage, error)
        if outage.verdict == "back" and others:  # all at once would be the next outage
            spread = self._draw() * min(_SPREAD * others, _MOST_SPREAD)
            with self._news:
                self._news.wait_for(lambda: self._closed, spread)
        return error.held or outage.verdict != "sound"

    def doubt(self, error: LineError) -> None:
        """Let somebody ask whether there is an outage, and do not wait: others need this thread.

        Until that is known, no more connections are made.
        """
        with self._news:
            outage = self._joined(error, 0, last=False)
            if outage is None or outage.watched:
                return
            outage.watched = True
        if started(lambda: self._watch(outage), "neurofetch-outage") is None:
            with self._news:  # the system gives no thread: whoever waits for it will ask
                outage.watched = False

    def _joined(self, error: LineError, failed: int, *, last: bool) -> _Outage | None:
        """Return the outage that an error is about; a new one where there is reason to doubt."""
        line, now = error.line, self._clock()
        outage = line.outage
        if outage is not None and outage.verdict and outage.over:
            outage = line.outage = None  # it was given up, and something came after all
        if outage is not None and outage.pages == error.pages:
            return outage
        came = line.came(pages=error.pages)
        if self._closed or error.held or (came >= error.began and not last):
            return None
        if not came and not error.offline:
            if self._brief_until is not None and now >= self._brief_until:
                raise NetworkAwayError(f"nothing came from {line.route.authority} ({error.reason})")
            self._say_unheard(error)
            return None
        if outage is not None or not (error.sure or error.offline or failed or last):
            return None
        hurries = self._hurries is not None and self._hurries(line.route.authority)
        patience = min(self.patience, HURRY) if hurries else self.patience
        line.outage = outage = _Outage(error, patience, now)
        return outage

    def _say_unheard(self, error: LineError) -> None:
        """Tell once that nothing ever came from a server: its name may be wrong."""
        if error.line not in self._unheard:
            self._unheard.add(error.line)
            server = error.line.route.authority
            self._notices.append(Notice(server, str(error), 0.0, 0.0, "unheard"))

    def _wait_for(self, outage: _Outage, stop: _Stop | None) -> None:
        while True:
            with self._news:
                if outage.verdict or self._closed or (stop is not None and stop.is_set()):
                    return
                self._news.wait(_SLICE)
            self.poll()

    def _gave_up(self, outage: _Outage, error: LineError) -> NetworkAwayError:
        server, patience = outage.line.route.authority, outage.wait.patience
        what = "only web pages of others" if outage.pages else "nothing"
        waited = f"for {shown_patience(patience)}" if patience else "at the next attempt"
        gave_up = NetworkAwayError(
            f"the network was away: {what} came from {server} {waited} ({outage.reason})",
            everywhere=not self.others_come(outage.line),
        )
        gave_up.advice = f"{error.advice} {ADVICE}".lstrip()
        return gave_up

    # -- for the thread that asks ------------------------------------------------------------

    def _watch(self, outage: _Outage) -> None:
        """Ask until something comes, or the patience is used up."""
        verdict: _Verdict = "back"
        try:
            while not (found := self._look(outage)):
                self._pause(outage)
            verdict = found
        finally:
            with self._news:
                outage.verdict = verdict
                if verdict != "gave up":
                    outage.line.outage = None
                if outage in self._known:
                    self._known.remove(outage)
                if verdict == "back" and outage.known:
                    self._notices.append(outage.notice("back", self._clock()))
                self._news.notify_all()

    def _look(self, outage: _Outage) -> _Verdict:
        asked_before = outage.asked > 0
        came = (
            outage.over
            or self._closed
            or self._asks(outage.line, outage.asked + outage.deaf, pages=outage.pages)
        )
        if came or outage.over or (asked_before and not outage.waiting):
            return "back" if outage.known else "sound"
        outage.asked += 1
        if not asked_before:
            return ""  # it may be a blip: looked at once more before it is told
        now = self._clock()
        if outage.wait.over(now):
            return "gave up"
        if not outage.known:
            with self._news:
                outage.known, outage.told = True, now
                self._known.append(outage)
                self._notices.append(outage.notice("away", now))
        return ""

    def _pause(self, outage: _Outage) -> None:
        """Wait until it is time to ask again; what the machine sleeps does not count."""
        left = outage.wait.pause(self._clock())
        sleep = SleepWatch((self._clock,))
        while left > 0 and not outage.over:
            with self._news:
                if self._closed:
                    return
                self._news.wait(min(left, _SLICE))
            slept = sleep.slept(_SLICE)[0]
            outage.wait.slept(slept)
            left = 0.0 if slept else left - _SLICE

    # -- for who tells of it -----------------------------------------------------------------

    @contextmanager
    def told_to(self, tell: Callable[[Notice], None]) -> Iterator[None]:
        """Hand notices to this callable, in this thread, whenever it calls `poll`."""
        before = self._tell, self._teller
        self._tell, self._teller = tell, threading.get_ident()
        try:
            yield
        finally:
            self.poll()
            self._tell, self._teller = before

    def poll(self) -> None:
        """Hand on what is to be told, in the thread that tells; it does nothing in another."""
        tell = self._tell
        if not (self._notices or self._known) or tell is None:
            return
        if threading.get_ident() != self._teller:
            return
        now, due = self._clock(), []
        with self._news:
            while self._notices:
                due.append(self._notices.popleft())
            for outage in self._known:
                if now - outage.told >= _TOLD:
                    outage.told = now
                    due.append(outage.notice("still", now))
        for notice in due:
            tell(notice)


def shown_patience(seconds: float) -> str:
    """Return a patience as people read it.

    Examples
    --------
    >>> [shown_patience(seconds) for seconds in (90, 900, 7200, math.inf)]
    ['90 s', '15 min', '2 h', 'for ever']
    """
    if math.isinf(seconds):
        return "for ever"
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
