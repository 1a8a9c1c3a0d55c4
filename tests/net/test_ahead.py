"""Connections that are made ahead: never more than are wanted, and nobody waits in vain."""

import threading
import time

import pytest

from neurofetch.errors import UnreachableError
from neurofetch.net.ahead import Ahead
from neurofetch.net.connect import Route
from tests.engine_world import until

HERE, ELSEWHERE = Route("http", "here", 80), Route("http", "elsewhere", 80)


class Made:
    """What stands for a connection."""

    used = False


class Dials:
    """A dialer whose connections come when the test says so, or fail."""

    def __init__(self, *, fails=False):
        self.begun = []
        self.kept = []
        self._fails = fails
        self._may_end = threading.Semaphore(0)
        self.ahead = Ahead(self._dial, self.kept.append, lambda: self.made)
        self.made = 0

    def _dial(self, route):
        self.begun.append(route)
        self._may_end.acquire()
        if self._fails:
            raise UnreachableError("nobody is there")
        self.made += 1
        return Made()

    def end(self, count=1):
        self._may_end.release(count)

    def begin(self, wanted):
        self.ahead.begin(HERE, wanted)
        until(lambda: len(self.begun) == min(wanted, 48))


def taken(dials, count):
    """Start threads that take a connection; return them, and the list of what they got."""
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(dials.ahead.take(HERE))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, got


@pytest.mark.parametrize("wanted", [1, 5, 48, 60])
def test_as_many_are_made_as_are_wanted_and_no_more(wanted):
    dials = Dials()
    dials.begin(wanted)
    for _ in range(wanted):  # one at a time: where all end at once, some may end early
        before = len(dials.kept)
        dials.end()
        until(lambda before=before: len(dials.kept) == before + 1)
    dials.end(60)
    time.sleep(0.02)
    assert len(dials.begun) == len(dials.kept) == wanted
    assert all(connection.used for connection in dials.kept)


def test_they_are_made_for_the_first_server_and_more_when_more_are_wanted():
    dials = Dials()
    dials.begin(2)
    dials.ahead.begin(HERE, 1)
    dials.ahead.begin(ELSEWHERE, 9)
    dials.end(9)
    until(lambda: len(dials.kept) == 2)
    assert dials.begun == [HERE, HERE]
    for _ in range(2):
        dials.ahead.begin(HERE, 5)
    until(lambda: len(dials.kept) == 5)
    assert dials.begun == [HERE] * 5


def test_who_waits_gets_one_each_and_the_rest_is_kept():
    dials = Dials()
    dials.begin(5)
    threads, got = taken(dials, 3)
    until(lambda: dials.ahead._awaited == 3)
    dials.end(5)
    for thread in threads:
        thread.join(5)
    until(lambda: len(dials.kept) == 2)
    assert all(isinstance(one, Made) for one in got)
    assert len({id(one) for one in [*got, *dials.kept]}) == 5


def test_nobody_waits_for_more_than_are_on_their_way_nor_for_another_server():
    dials = Dials()
    assert dials.ahead.take(HERE) is None
    dials.begin(1)
    assert dials.ahead.take(ELSEWHERE) is None
    threads, got = taken(dials, 1)
    until(lambda: dials.ahead._awaited == 1)
    assert dials.ahead.take(HERE) is None
    dials.end()
    threads[0].join(5)
    assert len(got) == 1
    assert dials.ahead.take(HERE) is None


def test_when_none_can_be_made_all_who_wait_are_told():
    dials = Dials(fails=True)
    dials.begin(4)
    threads, got = taken(dials, 4)
    until(lambda: dials.ahead._awaited == 4)
    dials.end(4)
    for thread in threads:
        thread.join(5)
    assert got == [None] * 4
    assert dials.kept == []
    assert dials.ahead.take(HERE) is None
