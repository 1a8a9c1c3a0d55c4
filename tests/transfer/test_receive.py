"""How much of a body is taken at once: what is in a buffer when a process is killed is lost."""

import math

import pytest

from neurofetch.transfer import receive
from neurofetch.transfer.receive import gulps

MOST = 1 << 20
FULL = 256 * 1024


class Body:
    """A body of which each read brings as much as was asked for."""

    def __init__(self, size):
        self.left = size

    def readinto(self, view):
        count = min(len(view), self.left)
        self.left -= count
        return count


def sizes(size, buffer=MOST, left=None):
    return [len(gulp) for gulp in gulps(Body(size), memoryview(bytearray(buffer)), left)]


def test_what_comes_quickly_is_taken_in_ever_larger_gulps(monkeypatch):
    monkeypatch.setattr(receive, "_QUICK", math.inf)
    found = sizes(4 * MOST)
    assert found[:3] == [FULL, 2 * FULL, MOST]
    assert sum(found) == 4 * MOST


def test_what_comes_slowly_stays_in_small_ones(monkeypatch):
    monkeypatch.setattr(receive, "_QUICK", 0.0)
    assert sizes(MOST) == [FULL] * 4


def test_a_line_that_gets_slow_is_read_in_small_ones_again(monkeypatch):
    monkeypatch.setattr(receive, "_QUICK", math.inf)
    found = []
    for gulp in gulps(Body(5 * MOST), memoryview(bytearray(MOST))):
        found.append(len(gulp))
        if len(found) == 4:
            monkeypatch.setattr(receive, "_QUICK", 0.0)
    assert found[:6] == [FULL, 2 * FULL, MOST, MOST, MOST, FULL]
    assert sum(found) == 5 * MOST


@pytest.mark.parametrize("left", [1, FULL - 1, FULL, FULL + 1, 3 * MOST, 4 * MOST])
@pytest.mark.parametrize("buffer", [1000, FULL, MOST])
def test_never_more_than_what_is_left_nor_than_the_buffer(left, buffer):
    found = sizes(8 * MOST, buffer, left)
    assert sum(found) == left
    assert max(found) <= buffer
