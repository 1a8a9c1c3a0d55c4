"""NeuroVault's records and volumes wait for a network that is away, as all else does."""

import time

import pytest

from neurofetch.engine import RetryRules
from neurofetch.errors import UsageError
from neurofetch.events import NetworkAway, NetworkBack
from neurofetch.net import outage
from neurofetch.neurovault import images
from neurofetch.neurovault.settings import Settings
from testbed._line import Line
from tests.engine_world import until
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

QUICK = RetryRules(attempts=3, base=0.005, cap=0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name, seconds in {"_FIRST": 0.05, "_LONGEST": 0.1, "_SLICE": 0.02, "_TOLD": 0.05}.items():
        monkeypatch.setattr(outage, name, seconds)


@pytest.fixture
def line(world, monkeypatch):
    with Line(world.server.port) as found:
        world.server.public_url = found.url
        monkeypatch.setenv("NEUROVAULT_API_URL", f"{found.url}/api/")
        yield found


@pytest.mark.parametrize(
    ("where", "skip"),
    [("/api/collections/7/", 0), ("/media/*", 2)],
)
def test_a_call_waits_and_goes_on(world, line, where, skip):
    events = []

    def listen(event):
        events.append(event)
        if isinstance(event, NetworkAway) and not event.first:
            line.lighten()

    def fall():
        line.darken()
        until(lambda: line.is_dark)

    world.server.fault(key=where, skip=skip, times=1, before=fall)
    bunch = world.ids([1952], [6], rules=QUICK, patience=60, progress=listen)
    assert ids_of(bunch) == [101, 102, 103, 104, 105, 6]
    assert bunch.report.ok
    assert [type(e) for e in events if isinstance(e, NetworkBack)] == [NetworkBack]


def test_the_patience_of_a_call_ends(world, line):
    world.server.fault(key="/media/*", times=1, before=line.darken)
    began = time.monotonic()
    _, said = world.warned([1952], rules=QUICK, patience=0.2, timeout=1)
    assert time.monotonic() - began < 30
    assert "the network was away" in said


def test_the_patience_of_a_call_is_checked(world):
    for given in (-1, "soon"):
        with pytest.raises(UsageError, match="patience"):
            world.ids([1952], patience=given)
        with pytest.raises(UsageError, match="patience"):
            images([1952], patience=given)
    assert not world.server.log
    assert Settings.of({}).patience is None
