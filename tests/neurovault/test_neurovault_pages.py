"""Whatever a list does, every row that can be read comes once, and every other is named."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurofetch.neurovault.server.pages import BrokenPageError, Page, PagedList


class Rows:
    """A list as the server pages it: capped, lying, broken in places."""

    def __init__(self, rows, cap=1000, lie=0, broken=()):
        self.rows = [{"id": number} for number in rows]
        self.cap, self.lie, self.broken = cap, lie, set(broken)
        self.asked = []

    def __call__(self, offset, limit):
        self.asked.append((offset, limit))
        stop = offset + min(limit, self.cap)
        if any(place in self.broken for place in range(offset, min(stop, len(self.rows)))):
            raise BrokenPageError("500")
        count = len(self.rows) + self.lie
        return Page(self.rows[offset:stop], count, stop < count)


def read(rows, limit=1000, width=1):
    scroll = PagedList(rows, limit, width)
    return scroll, [row["id"] for page in scroll for row in page]


@given(
    total=st.integers(0, 60),
    cap=st.integers(1, 70),
    lie=st.integers(0, 40),
    limit=st.integers(1, 70),
    width=st.integers(1, 5),
    broken=st.sets(st.integers(0, 59), max_size=6),
)
@example(total=5, cap=1, lie=0, limit=2, width=1, broken={0})
def test_every_row_comes_once_in_order_and_the_broken_are_named(
    total, cap, lie, limit, width, broken
):
    broken = {place for place in broken if place < total}
    broken -= {b for a, b in pairwise(sorted(broken)) if b == a + 1}  # a few, not a broken server
    rows = Rows(range(100, 100 + total), cap, lie, broken)
    scroll, found = read(rows, limit, width)
    assert found == [100 + place for place in range(total) if place not in broken]
    assert sorted(b.offset for b in scroll.broken) == sorted(broken)
    assert scroll.complete


@given(st.integers(2, 40), st.integers(1, 39), st.integers(1, 5))
def test_a_count_that_is_too_low_ends_nothing(total, cap, width):
    rows = Rows(range(total), cap)
    real = rows.__call__

    def ask(offset, limit):
        page = real(offset, limit)
        return page._replace(total=1)

    assert read(ask, 100, width)[1] == list(range(total))


def test_one_broken_record_costs_few_requests():
    rows = Rows(range(1000), broken=[700])
    _, found = read(rows)
    assert len(found) == 999
    assert len(rows.asked) < 25


def test_neighbours_of_a_broken_record_are_told():
    scroll, _ = read(Rows([10, 20, 30, 40], broken=[2]))
    assert [(b.offset, b.before, b.after) for b in scroll.broken] == [(2, 20, 40)]


def test_a_list_that_goes_round_is_not_clean():
    def ask(offset, limit):
        return Page([{"id": 1}, {"id": 2}], 10**9, more=True)

    scroll, found = read(ask)
    assert found == [1, 2]
    assert not scroll.complete


def test_a_server_that_is_broken_altogether_is_given_up():
    def ask(offset, limit):
        raise BrokenPageError("500")

    with pytest.raises(BrokenPageError):
        read(ask)
