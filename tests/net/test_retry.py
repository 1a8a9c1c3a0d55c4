"""Retries are patient, bounded, and never at one beat."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.errors import TransientError, UnreachableError
from neurofetch.net.retry import Attempts, RetryRules, classify, delay, parse_retry_after

RULES = RetryRules()
draws = st.floats(0, 1, exclude_max=True)


def test_the_bound_doubles_up_to_the_cap() -> None:
    rules = RetryRules(attempts=12, base=0.5, cap=10)
    waits = [delay(rules, attempt, None, 0.999999) for attempt in range(1, 12)]
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 10, 10, 10, 10, 10, 10], rel=1e-5)


def test_it_gives_up_after_the_last_attempt() -> None:
    rules = RetryRules(attempts=3)
    assert [delay(rules, attempt, None, 0.5) is None for attempt in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert delay(RetryRules(attempts=1), 1, 5.0, 0.5) is None


@given(st.integers(1, 5), draws, st.none() | st.floats(-10, 1e9))
def test_every_wait_is_bounded(attempt: int, draw: float, asked: float | None) -> None:
    wait = delay(RULES, attempt, asked, draw)
    assert wait is not None
    assert 0 <= wait <= RULES.cap + RULES.max_wait


@given(st.integers(1, 5), draws, st.floats(0, 120))
def test_what_the_server_asks_is_the_least_we_wait(attempt: int, draw: float, asked: float) -> None:
    wait = delay(RULES, attempt, asked, draw)
    assert wait is not None
    assert wait >= asked


def test_an_endless_retry_after_is_cut() -> None:
    assert delay(RULES, 1, 86_400, 0.0) == RULES.max_wait


def test_clients_that_failed_together_come_back_apart() -> None:
    for asked in (None, 10.0):
        waits = {delay(RULES, 3, asked, number / 10) for number in range(10)}
        assert len(waits) == 10


def test_many_attempts_do_not_overflow() -> None:
    assert delay(RetryRules(attempts=10**6), 10**5, None, 0.5) == RULES.cap / 2


NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        (format_datetime(NOW.replace(minute=2), usegmt=True), 120.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        (format_datetime(NOW.replace(hour=11), usegmt=True), 0.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(text: str, seconds: float) -> None:
    assert parse_retry_after(text, NOW.timestamp()) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "nan", "inf", "1e3", "٣", "1.2.3", ".", "9" * 400]
)
def test_nonsense_asks_for_nothing(text: str) -> None:
    assert parse_retry_after(text, NOW.timestamp()) is None


@given(st.text())
def test_no_header_breaks_the_parser(text: str) -> None:
    seconds = parse_retry_after(text, NOW.timestamp())
    assert seconds is None or seconds >= 0


KINDS = {
    "ok": [200, 204, 206],
    "redirect": [301, 302, 304, 307, 308],
    "transient": [408, 425, 429, 500, 502, 503, 504, 507, 508, 509, *range(520, 531), 599],
    "refused": [401, 403, 407, 451],
    "missing": [404, 410],
    "client": [100, 400, 405, 409, 412, 416, 501, 505, 506, 510, 511, 600, 999],
}


@pytest.mark.parametrize(
    ("status", "kind"), [(status, kind) for kind, all_ in KINDS.items() for status in all_]
)
def test_what_a_status_means(status: int, kind: str) -> None:
    assert classify(status) == kind


def test_attempts_count_since_the_last_one_that_brought_something() -> None:
    brought = [0, 5, 0, 7, 0, 0]

    def attempt() -> None:
        error = TransientError("cut")
        error.progress = brought.pop(0) if brought else 0
        raise error

    with pytest.raises(UnreachableError, match="gave up after 3 attempts"):
        Attempts(RetryRules(attempts=3, base=0.0)).run(attempt)
    assert not brought, "all six were made, and one more"
