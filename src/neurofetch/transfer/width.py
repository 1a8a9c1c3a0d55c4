"""How many requests may be under way at once: found while the bytes come. No clock, no thread.

Three rules, for the beginning, for quick lines, and for slow ones:

0. *A new line is given time to show what it brings.* TCP begins slowly, with twice as much in each
   round trip. While that goes on, so does the number.
1. *What is under way is here soon.* As many requests may be under way as the line, at the rate that
   it has now, brings in `HORIZON` seconds. By Little's law nobody waits longer than that because of
   the others; so these need not show that they help.
2. *More than that must help.* Beyond the first rule a number is kept only while the line brings
   measurably more with it than with fewer. This is found by trials: one window with another number,
   and back again if it was no better (or, with fewer, worse).

A server that says "slow down" halves the number, whatever the rules say, and gets it back slowly.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["HORIZON", "Bounds", "Sample", "Width"]

HORIZON = 2.0
"""Seconds in which what is under way for large files is to be here."""
_TINY_HORIZON = 1.0
"""The same for tiny files."""
_START = 4.0
"""Connections for large files to begin with."""
_TINY_START = 64
"""Requests for tiny files to begin with, at most."""
_TINY_START_BYTES = 1e6
"""Bytes of tiny files that are asked for to begin with, at most (but for `_START` files)."""
_LEAST_SIZE = 16.0
"""Bytes that a file is taken to have, at least."""

_WINDOW = 0.5
"""Seconds over which a rate is measured, at least."""
_SETTLE = 0.2
"""Seconds that a new number needs before its rate tells something, at least."""
_SLOWEST = 2.0
"""Seconds; latency, and a slow line, make windows no longer than this."""
_TELLING = 512 * 1024
"""Bytes in a window that tell a rate: fewer come in too few pieces."""
_BUFFERED = 256 * 1024
"""Bytes that still come, unread, over a connection that holds on. Until then it takes its share of
the line away from the others, and a rate that is low tells nothing."""
_LONGEST_CLEARING = 10.0
"""Seconds that are waited for that, at most."""
_BRIEF = 0.15
"""Seconds over which the rate for the first rule is measured."""
_EARLY = 0.02
"""The same at the start, where it must be quick; in less time, one packet would be a rate."""
_FADE = 0.6
"""How much of the rate for the first rule is left after a second without as much."""

_CLEARLY = 0.25
"""The share of what a larger number could bring at best: from here on, twice as many are tried."""
_BETTER = 1.07
"""So many times as much: a larger number is kept."""
_NO_WORSE = 0.95
"""So many times as much: a smaller number is kept."""
_PEAK_FADE = 0.98
"""A smaller number must also bring nearly what the best one did; that fades with each window."""
_LONGEST_REST = 32
"""Windows between two trials, at most."""
_OTHER_LINE = 1.3
"""A rate that is so many times as high, or low: the line is not what it was."""
_FAR_BEYOND = 4.0
"""So many times what the first rule allows: first it is seen whether fewer bring as much."""
_MUCH_SLOWER = 2.0
"""A rate that is so many times as low: it begins modestly anew."""

_DARK = 3.0
"""Seconds without a byte after which the line is taken for a new one."""
_REPRIEVE = 1.0
"""Seconds in which requests to slow down count once: they answer what was asked before."""
_RECOVERY = 16.0
"""Seconds until what was taken away is given back, from half of what there was on."""
_DOUBLING = 2.0
"""Seconds in which it doubles until then."""
_QUIET = 4.0
"""Seconds; requests to slow down that are closer to each other are about the same."""
_ROUND = 0.03
"""Seconds, at least, between two looks at whether a new line gets quicker."""
_QUICKER = 1.4
"""So many times as much in each look: then it does."""
_SEEN = 128 * 1024
"""Bytes in a look that tell so: fewer are a few packets, of which chance makes more or fewer."""
_FRUITLESS = 0.25
"""The share of connections that broke without having brought anything: fewer are made then."""


class Bounds(NamedTuple):
    """What a transfer may have at most, and what it is about.

    Parameters
    ----------
    bulk, tiny : int
        Requests under way at once, at most: for larger files and parts, and for tiny files.
    bulk_size, tiny_size : float
        Bytes that such a request brings, about.
    rate : float or None
        Bytes a second that the user allows.
    unproven : int
        Requests for larger files that need not show that they help, at most.
    """

    bulk: int
    tiny: int
    bulk_size: float
    tiny_size: float
    rate: float | None = None
    unproven: int = 64


class Sample(NamedTuple):
    """How a transfer stands. All counts only grow.

    Parameters
    ----------
    now : float
        Seconds.
    came : int
        Bytes that came over the network.
    bulk, tiny : int
        Requests under way.
    bulk_waits, tiny_waits : bool
        Whether there are more such files (or parts) to be asked for.
    throttled : int
        Responses that said "slow down".
    fruitless : int
        Connections that broke without having brought anything.
    round_trip : float
        Seconds from a request to its response, at best.
    """

    now: float
    came: int
    bulk: int = 0
    tiny: int = 0
    bulk_waits: bool = False
    tiny_waits: bool = False
    throttled: int = 0
    fruitless: int = 0
    round_trip: float = 0.0


class _Phase(enum.Enum):
    RISE = "rise"
    """Double the number while that helps."""
    FALL = "fall"
    """Halve it while that does no harm: where doubling did not help from the start."""
    STEADY = "steady"
    """Try a few more, or fewer, now and then."""


class _Trial(NamedTuple):
    """A number that is tried, and what there was before."""

    level: float
    number: float
    rate: float
    up: bool


class Width:
    """The number of requests that may be under way.

    `level` is what the trials find: connections for large files. Tiny files have several requests
    for each of those.

    Parameters
    ----------
    bounds : Bounds
    fixed : int or None
        A number that is not to be found but given, for measurements.

    Attributes
    ----------
    bulk, tiny : int
        Requests that may be under way now, at least 1.
    """

    def __init__(self, bounds: Bounds, fixed: int | None = None) -> None:
        self._bounds = bounds
        self._fixed = fixed
        room = _TINY_START_BYTES / max(_LEAST_SIZE, bounds.tiny_size)
        self._tiny_each = max(1.0, min(_TINY_START, room) / _START)
        self._most = max(bounds.bulk, bounds.tiny / self._tiny_each, 1.0)
        self._started = 0.0
        self._first_byte_at: float | None = None
        self._latency = 0.0
        self._last: Sample | None = None
        self._byte_at: float | None = None
        self._brief: Sample | None = None
        self._throttled_at: float | None = None
        self._ceiling = self._most
        self._safe = self._most
        self._fruitless_since: Sample | None = None
        self._forget()
        self._set()

    def _forget(self) -> None:
        """Begin anew: nothing is known of the line."""
        bounds = self._bounds
        self.level = _START
        if bounds.rate is not None:
            self.level = min(
                _START, max(1.0, bounds.rate * HORIZON / max(_LEAST_SIZE, bounds.bulk_size))
            )
        self._first_level = self.level
        self._rate = 0.0
        self._phase = _Phase.RISE
        self._untried, self._fell = True, False
        self._trial: _Trial | None = None
        self._base = self._peak = 0.0
        self._window: Sample | None = None
        self._settled = self._cleared = 0.0
        self._holding = self._held = 0
        self._rest = self._resting = 0
        self._up_next = True
        self._beginning = True
        self._round: tuple[Sample, float] | None = None

    # -- what is asked -----------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """Bytes a second that the line was seen to bring lately."""
        return self._rate

    def _set(self) -> None:
        if self._fixed is not None:
            self.bulk = max(1, min(self._fixed, self._bounds.bulk))
            self.tiny = max(1, min(self._fixed, self._bounds.tiny))
            return
        bulk = min(max(self.level, self._free_bulk), self._ceiling)
        tiny = max(self.level * self._tiny_each, self._free_tiny)
        tiny = min(tiny, self._ceiling * self._tiny_each)
        self.bulk = max(1, min(int(bulk), self._bounds.bulk))
        self.tiny = max(1, min(int(tiny), self._bounds.tiny))

    @property
    def _free_bulk(self) -> float:
        """What the first rule allows for large files."""
        free = self._rate * HORIZON / max(_LEAST_SIZE, self._bounds.bulk_size)
        return min(free, self._bounds.unproven)

    @property
    def _free_tiny(self) -> float:
        """What the first rule allows for tiny files."""
        return self._rate * _TINY_HORIZON / max(_LEAST_SIZE, self._bounds.tiny_size)

    # -- what is told ------------------------------------------------------------------------

    def feed(self, sample: Sample) -> None:
        """Tell how the transfer stands now, twenty times a second or more often."""
        last, self._last = self._last, sample
        if last is None:
            self._started = sample.now
            self._brief = self._fruitless_since = sample
            return
        self._hear_bytes(sample, last)
        self._measure_briefly(sample)
        self._hear_failures(sample, last)
        if self._beginning and self._first_byte_at is not None:
            self._begin(sample)
        self._recover(sample.now - last.now)
        self._measure(sample)
        self._set()

    def _hear_bytes(self, sample: Sample, last: Sample) -> None:
        """Learn the latency from the first byte, and take up anew after a time in the dark."""
        if sample.came <= last.came:
            return
        if self._byte_at is None:
            self._latency, self._first_byte_at = sample.now - self._started, sample.now
        elif sample.now - self._byte_at > _DARK:
            self._forget()
            self._first_byte_at, self._brief = sample.now, last
        self._byte_at = sample.now

    def _measure_briefly(self, sample: Sample) -> None:
        """Measure the rate for the first rule; it fades, so that a pause does not count at once."""
        brief, first = self._brief, self._first_byte_at
        if brief is None or first is None:
            self._brief = sample  # the time until the first byte says nothing of the rate
            return
        held, self._held = self._held, max(0, sample.bulk - self.bulk)
        if self._held < held:
            self._brief = None  # what was unread meanwhile comes at once: that is no rate
            return
        seconds = sample.now - brief.now
        early = sample.now - first < 2 * _BRIEF
        if seconds < (_EARLY if early else _BRIEF):
            return
        rate = (sample.came - brief.came) / seconds
        if self._bounds.rate is not None:
            rate = min(rate, self._bounds.rate)
        self._rate = max(rate, self._rate * _FADE**seconds)
        self._brief = sample

    def _begin(self, sample: Sample) -> None:
        """Double the number while a new line gets quicker with each look."""
        if self._round is None:
            self._round = sample, 0.0
            return
        since, before = self._round
        seconds = sample.now - since.now
        if seconds < max(_ROUND, sample.round_trip):
            return
        came, limit = sample.came - since.came, self._bounds.rate
        rate = came / seconds
        bound = limit is not None and rate >= 0.9 * limit
        quicker = not before or (came >= _SEEN and rate >= before * _QUICKER)
        if not quicker or bound or sample.throttled or sample.fruitless:
            self._beginning = False
            self._first_level = self.level
            return
        if before:
            self.level = min(self._most, self._ceiling, 2 * self.level)
        self._round = sample, rate

    # -- slowing down ------------------------------------------------------------------------

    def _hear_failures(self, sample: Sample, last: Sample) -> None:
        if sample.throttled > last.throttled:
            self._slow_down(sample, 0.5)
        since = self._fruitless_since
        assert since is not None
        if sample.now - since.now < _WINDOW:
            return
        broken = sample.fruitless - since.fruitless
        if broken >= max(2.0, _FRUITLESS * (sample.bulk + sample.tiny)) and (
            sample.came > since.came  # else it is the line that is away, and not its fault
        ):
            self._slow_down(sample, 0.75)
        self._fruitless_since = sample

    def _slow_down(self, sample: Sample, factor: float) -> None:
        """Have fewer at once than there are; once in a while only."""
        at = self._throttled_at
        self._window = None
        if at is not None and sample.now - at < _REPRIEVE:
            return
        under_way = max(min(self.bulk, sample.bulk), min(self.tiny, sample.tiny) / self._tiny_each)
        before = min(self._ceiling, max(under_way, self._least))
        self._ceiling = max(self._least, before * factor)
        if at is None or sample.now - at > _QUIET:
            self._safe = self._ceiling
        self._throttled_at = sample.now
        self._end_trial()
        self.level = max(1.0, min(self.level, self._ceiling))

    @property
    def _least(self) -> float:
        """The lowest ceiling: one request for a tiny file."""
        return 1.0 / self._tiny_each

    def _recover(self, seconds: float) -> None:
        """Give back, bit by bit, what was taken away."""
        at, last = self._throttled_at, self._last
        if at is None or last is None or last.now - at < _REPRIEVE:
            return
        quickly = self._ceiling < self._safe
        more = self._ceiling / _DOUBLING if quickly else max(self._safe, self._ceiling) / _RECOVERY
        self._ceiling = min(self._most, self._ceiling + more * min(seconds, _REPRIEVE))

    # -- trials ------------------------------------------------------------------------------

    def _measure(self, sample: Sample) -> None:
        """Measure the rate over a window, unless something else than the line bounds it."""
        if self._fixed is not None or not self._rules(sample):
            self._window = None
            self._end_trial()
            return
        if self._window is None or sample.now < self._settled:
            if self._window is None:
                self._settle(sample)
            self._window = sample
            return
        seconds = sample.now - self._window.now
        telling = _TELLING / max(self._base or self._rate, 1.0)
        if seconds < max(_WINDOW, min(_SLOWEST, max(telling, 2 * self._latency))):
            return
        rate = (sample.came - self._window.came) / seconds
        usual = self._trial.rate if self._trial else self._base
        if self._window.now < self._cleared and rate < usual * _NO_WORSE:
            self._window = sample
            return
        level = self.level
        self._judge(rate)
        self._window = None if self.level != level else sample

    def _settle(self, sample: Sample) -> None:
        """Say from when on the rate is that of the present number."""
        before, self._holding = self._holding, max(0, sample.bulk - self.bulk)
        self._settled = sample.now + max(_SETTLE, min(_SLOWEST, self._latency))
        if self._holding > before:  # all of those under way take their share for a while
            unread = sample.bulk * _BUFFERED / max(self._base or self._rate, 1.0)
            self._cleared = self._settled + min(_LONGEST_CLEARING, unread)

    def _rules(self, sample: Sample) -> bool:
        """Whether another number could be tried now: more is waiting, and there is room."""
        if self._byte_at is None or not (sample.bulk_waits or sample.tiny_waits):
            return False
        free = self._free(sample)
        return free < self._most - 0.5 and self._ceiling > max(self.level, free) - 1.0

    def _free(self, sample: Sample) -> float:
        """Return what the first rule allows, as a level."""
        free = [self._free_bulk] if sample.bulk_waits else []
        free += [self._free_tiny / self._tiny_each] if sample.tiny_waits else []
        return min(free, default=0.0)

    def _end_trial(self) -> None:
        """Give a trial up: its window does not count."""
        if self._trial is not None:
            self.level, self._trial = self._trial.level, None

    def _judge(self, rate: float) -> None:
        """Draw the conclusion from a window."""
        trial, self._trial = self._trial, None
        if trial is None:
            self._note(rate)
        elif trial.up:
            self._judge_more(trial, rate)
        else:
            self._judge_fewer(trial, rate)
        if self._resting <= 0 or self._phase is not _Phase.STEADY:
            self._try()
        else:
            self._resting -= 1

    def _note(self, rate: float) -> None:
        """Note the rate with the present number."""
        usual = self._base
        if usual and not usual / _OTHER_LINE < rate < usual * _OTHER_LINE:
            self._rest = self._resting = 0
            self._base, self._peak = rate, min(self._peak, rate)
            if rate < usual / _MUCH_SLOWER:
                self.level, self._phase = min(self.level, self._first_level), _Phase.RISE
                self._untried, self._fell = True, False
        self._base = (self._base + rate) / 2 if self._base else rate
        self._peak = max(self._peak * _PEAK_FADE, self._base)

    def _judge_more(self, trial: _Trial, rate: float) -> None:
        if rate >= trial.rate * _BETTER:
            self._base, self._peak = rate, max(self._peak, rate)
            more = self.level / trial.number - 1.0
            clearly = rate >= trial.rate * (1.0 + more * _CLEARLY)
            self._phase = _Phase.RISE if clearly else _Phase.STEADY
            self._rest = self._resting = 0
            self._up_next = True
            return
        self.level = trial.level
        self._rise_no_more()

    def _rise_no_more(self) -> None:
        """Look for fewer where twice as many did not help from the start."""
        if self._phase is _Phase.RISE and self.level <= self._first_level and not self._fell:
            self._phase = _Phase.FALL
        else:
            self._settle_down()

    def _judge_fewer(self, trial: _Trial, rate: float) -> None:
        if rate >= max(trial.rate, self._peak) * _NO_WORSE:
            self._base = max(rate, trial.rate * _NO_WORSE)
            self._rest = self._resting = 0
            self._up_next = False
            return
        self.level = trial.level
        if self._phase is _Phase.FALL and self._fell and self.level >= self._first_level:
            self._phase = _Phase.RISE
        else:
            self._settle_down()

    def _settle_down(self) -> None:
        """Rest for a while before the next trial, longer each time."""
        if self._phase is _Phase.STEADY:
            self._rest = min(_LONGEST_REST, 2 * self._rest + 2)
        else:
            self._phase, self._rest = _Phase.STEADY, 2
        self._resting = self._rest

    def _try(self) -> None:
        """Try another number."""
        assert self._last is not None
        free = self._free(self._last)
        number, most = max(self.level, free), min(self._most, self._ceiling)
        if self._untried and self._phase is _Phase.RISE and number >= _FAR_BEYOND * free:
            self._phase, self._fell = _Phase.FALL, True
        self._untried = False
        up, few = self._phase is _Phase.RISE, max(1.0, number // 4)
        if self._phase is _Phase.STEADY:
            up, self._up_next, step = self._up_next, not self._up_next, few
        elif up:
            step = few if free > self.level else number  # much is under way as it is
        else:
            step = number / 2
        wanted = min(most, number + step) if up else max(1.0, free, number - step)
        limit = self._bounds.rate
        bound = limit is not None and self._base >= 0.9 * limit
        if int(wanted) == int(number) or (up and bound):
            if self._phase is not _Phase.STEADY:
                self._rise_no_more()
            return
        self._trial = _Trial(self.level, number, self._base, up)
        self.level = wanted
