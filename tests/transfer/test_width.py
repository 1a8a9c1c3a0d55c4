"""How many requests may be under way: the bounds always; on simulated lines, what helps."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofetch.transfer.width import HORIZON, Bounds, Sample, Width

TICK = 0.05
PART = 8e6
USUAL = Bounds(bulk=64, tiny=1, bulk_size=PART, tiny_size=1)
MB = 1e6


class SimulatedLine:
    """A line: what it brings in all, and over each connection; its clock is counted in ticks.

    Parameters
    ----------
    rate, each : float
        Bytes a second, in all and over one connection.
    latency : float
        Seconds; what a new number brings is there after some of them.
    noise : float
        How much the bytes of one tick differ, as a share.
    """

    def __init__(self, rate, each, latency=0.03, *, noise=0.0, bounds=USUAL, tiny=False):
        self.rate, self.each, self.latency, self.noise = rate, each, latency, noise
        self.round_trip = latency
        self.now = self.brings = 0.0
        self.came = self.throttled = self.fruitless = 0
        self.more, self.dark = True, False
        self.width, self.tiny = Width(bounds), tiny
        self.seen = []
        self._random = random.Random(7)

    @property
    def number(self):
        return self.width.tiny if self.tiny else self.width.bulk

    def run(self, seconds):
        """Let time pass; return the numbers of that time."""
        begin = len(self.seen)
        for _ in range(round(seconds / TICK)):
            self._tick()
        return self.seen[begin:]

    def _tick(self):
        self.now += TICK
        goal = 0.0 if self.now < 2 * self.latency else min(self.rate, self.number * self.each)
        self.brings += (goal - self.brings) * min(1.0, TICK / self.latency)
        if not self.dark:
            self.came += max(0, int(self.brings * TICK * self._random.gauss(1.0, self.noise)))
        under_way = (0, self.number) if self.tiny else (self.number, 0)
        self.width.feed(
            Sample(
                self.now,
                self.came,
                *under_way,
                bulk_waits=self.more and not self.tiny,
                tiny_waits=self.more and self.tiny,
                throttled=self.throttled,
                fruitless=self.fruitless,
                round_trip=self.round_trip,
            )
        )
        self.seen.append(self.number)

    def share_of_best(self, numbers):
        """Return what numbers bring, as a share of what the best of 1, 2, 4, … 64 does."""
        best = max(min(self.rate, n * self.each) for n in (1, 2, 4, 8, 16, 32, 64))
        brought = [min(self.rate, n * self.each) for n in numbers]
        return sum(brought) / len(brought) / best


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


# -- on lines that stay as they are ----------------------------------------------------------------


@pytest.mark.parametrize("latency", [0.001, 0.03, 0.1, 0.4])
@pytest.mark.parametrize("each", [0.1, 0.5, 2.0, 80.0])
@pytest.mark.parametrize("rate", [0.5, 2.0, 20.0, 100.0, 1000.0])
def test_the_number_brings_nearly_what_the_best_fixed_one_does(rate, each, latency):
    line = SimulatedLine(rate * MB, each * MB, latency)
    line.run(30)
    assert line.share_of_best(line.run(30)) > 0.9


@pytest.mark.parametrize("latency", [0.001, 0.03, 0.1, 0.4])
@pytest.mark.parametrize("rate", [0.05, 0.5, 1.0, 2.0])
def test_a_slow_line_has_few_under_way(rate, latency):
    line = SimulatedLine(rate * MB, 80 * MB, latency)
    # What it begins with, and a trial of twice as many; from far away, it seems to get quicker.
    assert max(line.run(30)) <= (16 if latency < 0.4 else 32)
    assert median(line.run(30)) <= 2


@pytest.mark.parametrize("rate", [200, 800])
def test_a_quick_line_has_all_that_are_allowed_within_three_looks_at_its_first_bytes(rate):
    line = SimulatedLine(rate * 8 * MB, rate * MB)
    numbers = line.run(0.3)
    assert numbers[-1] == 64
    assert set(line.run(60)) == {64}


def test_tiny_files_far_away_get_all_places_soon_and_keep_them():
    bounds = Bounds(bulk=1, tiny=384, bulk_size=PART, tiny_size=3000)
    line = SimulatedLine(80 * MB, 3000 / 0.03, bounds=bounds, tiny=True)
    line.run(0.5)
    assert set(line.run(20)) == {384}


def test_tiny_files_on_a_slow_line_are_few():
    bounds = Bounds(bulk=1, tiny=384, bulk_size=PART, tiny_size=50_000)
    line = SimulatedLine(0.5 * MB, 1 * MB, bounds=bounds, tiny=True)
    assert max(line.run(10)) <= 64
    assert median(line.run(30)) <= 16


def test_the_number_does_not_flap():
    line = SimulatedLine(20 * MB, 2 * MB)
    line.run(60)
    numbers = line.run(60)
    changes = sum(a != b for a, b in itertools.pairwise(numbers))
    assert changes <= 8
    assert max(numbers) <= 1.5 * median(numbers) + 1


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_lead_far_astray(seed):
    line = SimulatedLine(20 * MB, 0.5 * MB, noise=0.2)
    line._random = random.Random(seed)
    line.run(30)
    assert line.share_of_best(line.run(60)) > 0.8


# -- on lines that change --------------------------------------------------------------------------


def test_a_line_that_becomes_slow_has_fewer_and_one_that_becomes_quick_has_more():
    line = SimulatedLine(200 * MB, 80 * MB)
    assert median(line.run(20)) > 32
    line.rate = 1 * MB
    line.run(30)
    assert median(line.run(20)) <= 4
    line.rate = 400 * MB
    line.run(5)
    assert median(line.run(5)) == 64


def test_after_a_time_in_the_dark_it_begins_modestly_anew():
    line = SimulatedLine(200 * MB, 80 * MB)
    assert line.run(20)[-1] > 32
    line.dark = True
    line.run(60)
    line.dark, line.brings = False, 0.0
    line.rate = line.each = 0.1 * MB
    assert line.run(1)[-1] <= 8


def test_the_dark_itself_is_no_reason_to_have_fewer_afterwards():
    line = SimulatedLine(200 * MB, 80 * MB)
    line.run(20)
    line.dark = True
    for _ in range(60):
        line.fruitless += 64
        line.run(1)
    line.dark = False
    line.run(2)
    assert line.run(1)[-1] > 32


def test_what_does_not_wait_for_the_line_does_not_make_the_number_grow():
    line = SimulatedLine(1 * MB, 0.01 * MB)
    line.more = False
    assert max(line.run(60)) <= 8


def test_the_limit_of_the_user_is_kept_with_few_connections():
    bounds = USUAL._replace(rate=1 * MB)
    line = SimulatedLine(1 * MB, 80 * MB, bounds=bounds)
    assert max(line.run(30)) <= 2
    far = SimulatedLine(1 * MB, 0.1 * MB, bounds=bounds)
    far.run(30)
    assert far.share_of_best(far.run(30)) > 0.9


# -- servers that say "slow down" ------------------------------------------------------------------


@pytest.mark.parametrize("tiny", [False, True])
def test_throttling_halves_the_number_and_it_recovers(tiny):
    bounds = Bounds(bulk=64, tiny=384, bulk_size=PART, tiny_size=3000)
    each = 3000 / 0.03 if tiny else 80 * MB
    line = SimulatedLine(800 * MB, each, bounds=bounds, tiny=tiny)
    before = line.run(10)[-1]
    line.throttled += 5
    assert line.run(TICK)[-1] <= before / 2
    assert line.run(60)[-1] == before


def test_throttling_that_goes_on_leads_to_one_and_not_to_none():
    line = SimulatedLine(800 * MB, 80 * MB)
    line.run(10)
    for _ in range(40):
        line.throttled += 1
        line.run(2)
    assert line.number <= 2
    assert min(line.seen) == 1


def test_requests_to_slow_down_that_come_together_count_once():
    line = SimulatedLine(800 * MB, 80 * MB)
    before = line.run(10)[-1]
    for _ in range(15):
        line.throttled += 4
        line.run(TICK)
    assert line.number == before / 2


def test_connections_that_break_before_they_brought_anything_mean_fewer():
    line = SimulatedLine(800 * MB, 80 * MB)
    before = line.run(10)[-1]
    for _ in range(20):
        line.fruitless += 2
        line.run(TICK)
    assert line.number < before
    few = SimulatedLine(800 * MB, 80 * MB)
    few.run(10)
    few.fruitless += 2
    assert set(few.run(3)) == {before}


# -- whatever happens ------------------------------------------------------------------------------

moments = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.05, 0.3, 5.0, 1e4]),
        st.sampled_from([0, 1, 10_000, 10**6, 10**9, 10**12]),
        st.integers(0, 200),
        st.integers(0, 500),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0, 0, 0, 1, 50]),
        st.sampled_from([0, 0, 0, 1, 50]),
    ),
    max_size=80,
)
all_bounds = st.builds(
    Bounds,
    st.integers(1, 200),
    st.integers(1, 500),
    st.floats(0, 1e9),
    st.floats(0, 1e6),
    st.none() | st.floats(1, 1e9),
)


def fed(width, moments):
    """Feed a width; yield it after each sample."""
    now = came = throttled = fruitless = 0
    for seconds, count, bulk, tiny, bulk_waits, tiny_waits, slow, broke in moments:
        now, came = now + seconds, came + count
        throttled, fruitless = throttled + slow, fruitless + broke
        width.feed(Sample(now, came, bulk, tiny, bulk_waits, tiny_waits, throttled, fruitless))
        yield width


@settings(max_examples=300)
@given(all_bounds, moments)
def test_whatever_is_told_the_numbers_are_at_least_one_and_within_the_bounds(bounds, moments):
    for width in fed(Width(bounds), moments):
        assert 1 <= width.bulk <= bounds.bulk
        assert 1 <= width.tiny <= bounds.tiny


@settings(max_examples=30)
@given(moments)
def test_whatever_was_told_a_quick_line_has_many_in_the_end(moments):
    width = Width(USUAL)
    for _ in fed(width, moments):
        pass
    last = width._last or Sample(0.0, 0)
    for tick in range(1, 2400):
        width.feed(
            last._replace(
                now=last.now + tick * TICK,
                came=last.came + int(tick * TICK * 400 * MB),
                bulk=width.bulk,
                bulk_waits=True,
            )
        )
    assert width.bulk == 64


@settings(max_examples=100)
@given(all_bounds, moments, st.integers(1, 300))
def test_a_given_number_stays(bounds, moments, number):
    for width in fed(Width(bounds, number), moments):
        assert width.bulk == min(number, bounds.bulk)
        assert width.tiny == min(number, bounds.tiny)


@given(st.floats(1e3, 1e9), st.floats(1e4, 1e8))
def test_what_is_under_way_without_proof_is_here_within_the_horizon(rate, size):
    width = Width(Bounds(10**6, 1, size, 1))
    for tick in range(20):
        width.feed(Sample(tick * TICK, int(rate * tick * TICK), width.bulk))
    assert width.bulk <= max(8, 1.05 * HORIZON * rate / size + 1)


# -- the beginning ---------------------------------------------------------------------------


class SlowStart(SimulatedLine):
    """A line whose connections each bring twice as much with each round trip, as those of TCP."""

    def __init__(self, rate, each, latency, **how):
        super().__init__(rate, each, latency, **how)
        self.began = []

    def _tick(self):
        while len(self.began) < self.number:
            self.began.append(self.now)
        del self.began[self.number :]
        ages = [(self.now - began) / self.latency - 2 for began in self.began]
        windows = [14_600 * 2.0 ** min(age, 30) / self.latency for age in ages if age >= 0]
        rate, self.rate = self.rate, min(self.rate, sum(min(self.each, w) for w in windows))
        latency, self.latency = self.latency, TICK
        try:
            super()._tick()
        finally:
            self.rate, self.latency = rate, latency


@pytest.mark.parametrize("latency", [0.03, 0.1, 0.2])
def test_a_quick_line_has_many_under_way_while_its_connections_still_get_quicker(latency):
    line = SlowStart(1000 * MB, 80 * MB, latency)
    line.run(8 * latency + 0.2)
    assert line.number >= 32


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("latency", [0.03, 0.1, 0.2])
def test_a_slow_line_is_not_taken_for_one_that_gets_quicker(rate, latency):
    line = SlowStart(rate * MB, 80 * MB, latency)
    assert max(line.run(1.5)) <= 16


@pytest.mark.parametrize("trouble", ["throttled", "fruitless"])
def test_a_line_that_gets_quicker_and_complains_is_not_given_more(trouble):
    line = SlowStart(1000 * MB, 80 * MB, 0.1)
    line.run(0.35)
    setattr(line, trouble, 5)
    before = line.number
    assert max(line.run(0.3)) <= before
