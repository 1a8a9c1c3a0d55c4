"""A listing that takes its time is shown; one that does not is not."""

from __future__ import annotations

import gc
import io
import json

import pytest

from neurofetch._threads import few_collections
from neurofetch.display.progress import Heartbeat, listener
from neurofetch.engine import Dataset, Fetcher, Network, RunSettings, query
from neurofetch.engine import Listing as Places
from neurofetch.errors import ServerError
from neurofetch.events import Listing
from testbed.s3 import S3Server

NETWORK = Network(connect_timeout=3.0, read_timeout=2.0, slow_window=2.0)
FILES = {f"ds/sub-{n:02}/f": b"x" for n in range(30)}
DATASET = Dataset("ds", "b", "us-west-2", "ds/")


def told(tmp_path, monkeypatch, *, quick, status=None, places=("ds/",)):
    """Return the events of a plan, from a server that takes 0.1 s for each of three pages."""
    monkeypatch.setattr("neurofetch.fetcher._QUICK", quick)
    monkeypatch.setattr("neurofetch._threads._BEAT", 0.02)
    events = []
    with S3Server({"b": FILES}, page_size=10, latency=0.1) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        if status:
            s3.fault(method="LIST", skip=1, status=status)
        with Fetcher(DATASET, tmp_path, network=NETWORK) as fetcher:
            settings = RunSettings(listen=events.append, dry_run=True)
            try:
                fetcher.prepare(lambda: fetcher.choose(query(), Places(places)), settings)
            except ServerError:
                assert status
            else:
                assert not status
    return events


def test_a_slow_listing_says_how_far_it_is(tmp_path, monkeypatch):
    events = told(tmp_path, monkeypatch, quick=0.05, places=("ds/sub-0", "ds/sub-1", "ds/sub-2"))
    assert all(isinstance(event, Listing) for event in events)
    counts = [event.files for event in events]
    assert counts == sorted(counts)
    assert [event.over for event in events] == [False] * (len(events) - 1) + [True]
    last = events[-1]
    assert (last.files, last.prefixes_done, last.prefixes) == (30, 3, 3)
    assert 0.05 <= events[0].seconds <= last.seconds


def test_a_quick_listing_says_nothing(tmp_path, monkeypatch):
    assert told(tmp_path, monkeypatch, quick=9.0) == []


def test_a_listing_that_fails_is_over_too(tmp_path, monkeypatch):
    events = told(tmp_path, monkeypatch, quick=0.05, status=403)
    assert events[-1].over
    assert events[-1].prefixes_done == 0


def test_lines_come_at_growing_intervals():
    out = io.StringIO()
    show = Heartbeat(out, every=5)
    for second in range(1, 100):
        show(Listing(1000 * second, 1, 3, float(second)))
    show(Listing(100_000, 3, 3, 100.0, over=True))
    lines = out.getvalue().splitlines()
    assert len(lines) == 5  # after 5, 10, 20, 40 and 80 seconds
    assert "5,000 files so far, 1 of 3 prefixes done" in lines[0]


@pytest.mark.parametrize("kind", ["bar", "lines", "json", "none"])
def test_every_way_to_show_progress_takes_a_listing(kind):
    out = io.StringIO()
    show = listener(kind, out)
    for event in (Listing(10, 0, 1, 1.5), Listing(20, 0, 1, 9.0), Listing(30, 1, 1, 9.5, True)):
        show(event)
    text = out.getvalue()
    assert ("listing" in text) == (kind != "none")
    if kind == "json":
        first = json.loads(text.splitlines()[0])
        assert first == {
            "schema": "neurofetch/1",
            "event": "listing",
            "files_listed": 10,
            "prefixes_done": 0,
            "prefixes": 1,
            "seconds": 1.5,
            "over": False,
        }
    if kind == "bar":
        assert "20 files" in text


def test_collections_are_as_before_after_a_plan(tmp_path, monkeypatch):
    before = gc.get_threshold()
    told(tmp_path, monkeypatch, quick=9.0, status=403)
    assert gc.get_threshold() == before
    with few_collections():
        assert gc.get_threshold() > before
        with few_collections():
            pass
        assert gc.get_threshold() > before
    assert gc.get_threshold() == before


def test_a_program_that_collects_nothing_is_left_alone():
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with few_collections():
            assert gc.get_threshold()[0] == 0
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
