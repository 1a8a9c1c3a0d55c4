"""Patience is for the line: a network that is away is one event, and no file's fault.

Each world is a real server behind a line that goes dark when the test says so, and comes back when
the run has noticed. The rules allow four attempts within some hundredths of a second: whoever
spends them in the dark has failed long before.
"""

import hashlib
import math
import socket
import threading
import time
from dataclasses import replace

import pytest

from neurofetch.engine import Dataset, Fetcher, ListedSource, Listing, RunSettings, query
from neurofetch.errors import InterruptedTransferError, NetworkAwayError, UnreachableError
from neurofetch.events import FileDone, NetworkAway, NetworkBack, Progress
from neurofetch.model import RemoteFile, Status
from neurofetch.net import outage
from testbed._line import Line
from testbed.s3 import HTML_PAGE, S3Server
from tests.engine_world import NETWORK, OPTIONS, PART, QUICK, World, noise, planned, ran, until

PATIENT = replace(NETWORK, patience=60.0)
WIDE = replace(OPTIONS, n_jobs=4, bulk_connections=8, connections=24)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name, seconds in {"_FIRST": 0.05, "_LONGEST": 0.1, "_SLICE": 0.02, "_TOLD": 0.05}.items():
        monkeypatch.setattr(outage, name, seconds)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as found:
        yield found


class Night:
    """A listener: darkens a line when the first bytes came, and lightens it once that was told.

    Parameters
    ----------
    line
    tells
        So many times the run says that the network is away, until it is back; None for never.
    """

    def __init__(self, line, tells=2):
        self.line = line
        self.port = str(line.port)
        self.tells = tells
        self.events = []
        self.dark_at = None
        self.in_the_dark = 0

    def __call__(self, event):
        self.events.append(event)
        begun = isinstance(event, Progress) and event.bytes_done > 0
        if self.dark_at is None and begun:
            self.line.darken()
            until(lambda: self.line.is_dark)
            self.dark_at = self.line.connections
        if self.line.is_dark and len(self.of(NetworkAway)) == self.tells:
            self.in_the_dark = self.line.connections - self.dark_at
            self.line.rate = None
            self.line.lighten()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def through(world, monkeypatch, **how):
    """A line to the world's server, which the world uses from now on."""
    line = Line(world.s3.port, **how)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", line.url)
    return line


SHAPES = {
    "parts": {f"large{n}": 12 * PART for n in range(4)},
    "tiny files": {f"tiny{n}": 2_000 for n in range(300)},
    "files in one piece": {f"whole{n}": PART - 7 for n in range(24)},
    "one file": {"alone": 10 * PART},
    "all kinds": {"large": 8 * PART, **{f"tiny{n}": 1_500 for n in range(60)}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_all_wait_together_and_go_on_when_it_is_back(world, monkeypatch, shape):
    contents = {k: world.put(k, noise(s, n)) for n, (k, s) in enumerate(SHAPES[shape].items())}
    total = sum(map(len, contents.values()))
    with through(world, monkeypatch, rate=total) as line:
        night = Night(line)
        report = world.fetch(WIDE, network=PATIENT, listen=night)
    assert report.ok, report.failures
    assert world.files() == contents
    away, back = night.of(NetworkAway), night.of(NetworkBack)
    assert [event.first for event in away[:2]] == [True, False]
    assert len(back) == 1
    assert back[0].seconds >= away[1].seconds > 0
    assert night.port in back[0].server
    # Whoever was at work may find out once, and who makes connections ahead; then one asks for all.
    assert night.in_the_dark <= 2 * 24 + 6


def test_eight_threads_ask_with_one_voice(world, monkeypatch):
    for n in range(4):
        world.put(f"large{n}", noise(12 * PART, n))
    with through(world, monkeypatch, rate=12 * PART) as line:
        night = Night(line, tells=8)
        report = world.fetch(WIDE, network=PATIENT, listen=night)
    assert report.ok, report.failures
    assert len(night.of(NetworkAway)) >= 8
    assert night.in_the_dark <= 2 * 8 + 14  # 8 notices are some 0.4 s, and 0.05 s lie between two


def test_no_attempt_is_used_up(world, monkeypatch):
    world.put("alone", noise(12 * PART))
    with through(world, monkeypatch, rate=12 * PART) as line:
        night = Night(line, tells=4)
        options = replace(OPTIONS, rules=replace(QUICK, attempts=2))
        report = world.fetch(options, network=replace(PATIENT, read_timeout=5.0), listen=night)
    assert report.ok, report.failures
    assert night.of(NetworkBack)


def test_patience_that_is_used_up_ends_the_run(world, monkeypatch):
    contents = {f"large{n}": world.put(f"large{n}", noise(12 * PART, n)) for n in range(6)}
    with through(world, monkeypatch, rate=12 * PART) as line:
        night = Night(line, tells=None)
        report = world.fetch(
            replace(WIDE, n_jobs=1), network=replace(NETWORK, patience=0.3), listen=night
        )
        assert not night.of(NetworkBack)
        by_reason = {outcome.reason.partition(":")[0] for outcome in report.failures}
        assert by_reason <= {"the network was away", "not begun"}
        assert "not begun" in by_reason
        told = next(o for o in report.failures if o.reason.startswith("the network was away"))
        assert night.port in told.reason
        assert "run the same call again" in told.advice
        assert "--patience" in told.advice
        line.lighten()
        line.rate = None
        again = world.fetch(WIDE, network=PATIENT)
    assert again.ok
    assert world.files() == contents
    assert any(o.reason.startswith("resumed") for o in again.outcomes) or any(
        o.status is Status.KEPT for o in again.outcomes
    )


def test_without_patience_it_fails_at_once(world, monkeypatch):
    for n in range(6):
        world.put(f"large{n}", noise(12 * PART, n))
    with through(world, monkeypatch, rate=12 * PART) as line:
        night = Night(line, tells=None)
        began = time.monotonic()
        report = world.fetch(WIDE, network=replace(NETWORK, patience=0), listen=night)
        assert time.monotonic() - began < 20  # not a matter of speed: of 15 minutes
    assert not report.ok
    assert line.connections - night.dark_at <= 2 * 8 + 6
    assert not night.of(NetworkAway)  # nobody waits


def test_a_silent_network_is_away_as_well(world, monkeypatch):
    contents = {f"f{n}": world.put(f"f{n}", noise(6 * PART, n)) for n in range(2)}
    with through(world, monkeypatch, rate=16 * PART, silent=True) as line:
        night = Night(line)
        report = world.fetch(network=PATIENT, listen=night)
    assert report.ok, report.failures
    assert world.files() == contents
    assert night.of(NetworkBack)


def test_it_is_waited_for_while_listing(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch, page_size=2) as world:
        for n in range(8):
            world.put(f"f{n}", b"x")
        told = []

        def listen(event):
            told.append(event)
            if isinstance(event, NetworkAway) and not event.first:
                line.lighten()

        with through(world, monkeypatch) as line, world.fetcher(PATIENT) as fetcher:
            world.s3.fault(method="LIST", skip=1, times=1, before=line.darken)
            plan = planned_with(fetcher, listen)
        assert len(plan.steps) == 8
        assert isinstance(told[-1], NetworkBack)


def test_ctrl_c_ends_the_wait_within_a_second(world, monkeypatch):
    for n in range(4):
        world.put(f"large{n}", noise(12 * PART, n))

    class Impatient(Night):
        def __call__(self, event):
            super().__call__(event)
            if isinstance(event, NetworkAway):
                self.pressed = time.monotonic()
                raise KeyboardInterrupt

    with through(world, monkeypatch, rate=12 * PART) as line:
        night = Impatient(line, tells=None)
        with pytest.raises(KeyboardInterrupt):
            world.fetch(WIDE, network=PATIENT, listen=night)
        assert time.monotonic() - night.pressed < 1.5
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("neurofetch-outage")])


# -- what is no outage ---------------------------------------------------------------------------


def test_a_file_that_stalls_while_others_flow_holds_nobody(world):
    contents = {f"tiny{n}": world.put(f"tiny{n}", noise(2_000, n)) for n in range(40)}
    world.put("bad", noise(2_000))
    world.s3.fault(key="bad", method="GET", stall=1.0)
    told = []
    report = world.fetch(network=replace(PATIENT, read_timeout=0.15), listen=told.append)
    assert [outcome.path for outcome in report.failures] == ["bad"]
    assert "gave up after 4 attempts" in report.failures[0].reason
    assert world.files() == contents
    assert not [event for event in told if isinstance(event, NetworkAway | NetworkBack)]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_file_with_a_5xx_of_its_own_holds_nobody(world, status):
    good = world.put("good", noise(3 * PART))
    world.put("bad", noise(3 * PART))
    world.s3.fault(key="bad", method="GET", status=status)
    told = []
    report = world.fetch(network=PATIENT, listen=told.append)
    assert [outcome.path for outcome in report.failures] == ["bad"]
    assert world.files() == {"good": good}
    assert not [event for event in told if isinstance(event, NetworkAway)]


def test_a_page_in_the_place_of_one_file_is_a_matter_of_that_file(world):
    """Servers have such pages of their own ("not found", with a status of 200)."""
    good = {f"f{n}": world.put(f"f{n}", noise(PART - n, n)) for n in range(4)}
    world.put("lost", noise(PART - 9))
    page = {"headers": {"Content-Type": "text/html", "ETag": ""}, "status": 200, "body": HTML_PAGE}
    world.s3.fault(key="lost", method="GET", **page)
    told = []
    report = world.fetch(network=PATIENT, listen=told.append)
    assert [outcome.path for outcome in report.failures] == ["lost"]
    assert world.files() == good
    assert not [event for event in told if isinstance(event, NetworkAway)]


def test_a_portal_in_the_place_of_all_files_is_an_outage(world):
    contents = {f"f{n}": world.put(f"f{n}", noise(3 * PART, n)) for n in range(6)}
    page = {"headers": {"Content-Type": "text/html", "ETag": ""}, "status": 200, "body": HTML_PAGE}
    world.s3.fault(method="GET", skip=8, **page)
    told = []

    def listen(event):
        told.append(event)
        if isinstance(event, NetworkAway) and not event.first:
            world.s3.clear_faults()

    report = world.fetch(network=PATIENT, listen=listen)
    assert report.ok, report.failures
    assert world.files() == contents
    assert [event for event in told if isinstance(event, NetworkBack)]


def test_some_connections_that_break_among_many_are_no_outage(world):
    contents = {f"w{n}": world.put(f"w{n}", noise(PART - 1, n)) for n in range(40)}
    world.s3.fault(method="GET", reset=True, skip=6, times=9)
    told = []
    report = world.fetch(WIDE, network=PATIENT, listen=told.append)
    assert report.ok, report.failures
    assert world.files() == contents
    assert not [event for event in told if isinstance(event, NetworkAway)]


def test_only_what_goes_to_the_dead_host_waits(world, tmp_path):
    """Two servers in one plan; one is away for a while, and the other's files come meanwhile."""
    contents = {f"f{n}": noise(2_000 + n, n) for n in range(40)}
    with S3Server({"b": contents}) as one, S3Server({"b": contents}) as two, Line(two.port) as line:
        urls = {key: (one.url if n % 2 else line.url) for n, key in enumerate(contents)}
        files = [
            RemoteFile(key, f"{urls[key]}/b/{key}", len(body), hashlib.md5(body).hexdigest())
            for key, body in contents.items()
        ]
        source = ListedSource(files)
        events = []

        def listen(event):
            events.append(event)
            if isinstance(event, FileDone) and not line.is_dark and len(events) < 9:
                line.darken()
            alive = [e for e in events if isinstance(e, FileDone) and e.outcome.key in living]
            if isinstance(event, NetworkAway) and len(alive) == len(living):
                line.lighten()

        living = {key for n, key in enumerate(contents) if n % 2}
        options = replace(OPTIONS, connections=2, whole_connections=2)
        with Fetcher(
            Dataset("test", "b"), world.root, network=PATIENT, make_source=lambda *_: source
        ) as fetcher:
            plan = planned(fetcher)
            one.fault(method="GET", delay=0.02)
            two.fault(method="GET", delay=0.02)
            report = ran(fetcher, plan, options, listen=listen)
    assert report.ok, report.failures
    assert world.files() == contents


# -- a server from which nothing ever came ---------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://{closed}", "cannot connect"),
        ("http://no-such-host.invalid", "cannot find the host"),
        ("https://{closed}", "cannot connect"),
    ],
)
def test_a_wrong_endpoint_is_told_at_once_and_not_waited_for(world, monkeypatch, endpoint, says):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint.format(closed=closed))
        told = []
        with (
            world.fetcher(replace(NETWORK, patience=math.inf)) as fetcher,
            pytest.raises(UnreachableError, match=says) as caught,
        ):
            planned_with(fetcher, told.append)
    assert not isinstance(caught.value, NetworkAwayError)
    assert "gave up after 4 attempts" in str(caught.value)
    assert [(event.first, event.patience) for event in told] == [(True, 0.0)]
    assert says in told[0].reason


def planned_with(fetcher, listen):
    settings = RunSettings(listen=listen)
    return fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))), settings)


def test_it_ends_when_the_client_is_closed(world, monkeypatch):
    world.put("f", noise(10))
    with through(world, monkeypatch) as line, world.fetcher(PATIENT) as fetcher:
        planned(fetcher)
        line.darken()
        until(lambda: line.is_dark)
        closing = threading.Timer(0.3, fetcher.client.close)
        closing.start()
        with pytest.raises(InterruptedTransferError):
            planned(fetcher)
        closing.join()
