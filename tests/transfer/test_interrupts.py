"""Stopped at any moment, in any way: nothing stays claimed or open, and the next run completes."""

import threading
import time
from dataclasses import replace

import pytest

from neurofetch.events import Progress
from neurofetch.model import Status
from neurofetch.transfer.part_file import PartFile
from tests.engine_world import OPTIONS, PART, World, noise, planned, ran, until
from tests.transfer_model import open_below

LARGE = noise(9 * PART + 5, 2)
SMALL = noise(3_000, 1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


class EnoughError(Exception):
    """Raised by a listener."""


class Gate:
    """Something in a thread that cannot be stopped, such as a disk that hangs."""

    def __init__(self):
        self.inside = threading.Event()
        self._open = threading.Event()

    def pass_through(self):
        self.inside.set()
        assert self._open.wait(20)

    def open(self):
        self._open.set()


@pytest.mark.slow
def test_what_a_thread_that_cannot_be_stopped_holds_up_is_left_when_it_ends(world, monkeypatch):
    """The run is over after a second; the last thread leaves the files that nobody else will."""
    for key in ("l0", "l1"):
        world.put(key, LARGE)
    world.put("s", SMALL)
    gate, write = Gate(), PartFile.write

    def slowly(self, data, position):
        gate.pass_through()
        write(self, data, position)

    def listen(event):
        if isinstance(event, Progress) and gate.inside.is_set() and "s" in world.files():
            raise EnoughError

    monkeypatch.setattr(PartFile, "write", slowly)
    began = time.monotonic()
    with pytest.raises(EnoughError):
        world.fetch(replace(OPTIONS, bulk_connections=1), listen=listen)
    assert time.monotonic() - began < 5
    assert world.left("claims")  # of the file that is written, and maybe of one that waits
    gate.open()
    until(lambda: world.left("claims") == [] and open_below(world.root) == [])
    assert {outcome.status for outcome in world.fetch()} <= {Status.FETCHED, Status.KEPT}
    world.assert_clean()


@pytest.mark.slow
def test_an_interrupt_while_the_threads_are_started_leaves_nothing(world, monkeypatch):
    """It may come when a thread runs already, and the caller was not told yet."""
    for n in range(30):
        world.put(f"f{n:02}", SMALL)
    world.put("l.bin", LARGE)
    gate, start = Gate(), threading.Thread.start

    def interrupted(self):
        start(self)
        if self.name == "neurofetch-3":
            assert gate.inside.wait(5)
            raise KeyboardInterrupt

    def inspect(*_):
        if threading.current_thread().name == "neurofetch-3":
            gate.pass_through()

    world.s3.latency = 0.02
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with world.fetcher() as fetcher, pytest.raises(KeyboardInterrupt):
            ran(fetcher, planned(fetcher), inspect=inspect)
    assert world.left("claims")  # the thread is still at work on its file
    before = len(world.files())
    gate.open()
    until(lambda: world.left("claims") == [] and open_below(world.root) == [])
    assert len(world.files()) == len(world.receipts()) == before + 1
    assert world.fetch().ok
    world.assert_clean()
