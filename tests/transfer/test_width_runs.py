"""How many requests a real server sees at once: few on a slow line or a slow server, else many.

Nothing here is about speed: what is counted are requests that are under way together. Some
times of the rules are a tenth of what they are, so that a run of a second is long.
"""

import threading
import time
from dataclasses import replace

import pytest

from neurofetch.net.client import Client
from neurofetch.net.rate_limit import RateLimit
from neurofetch.net.retry import RetryRules
from neurofetch.net.settings import Network
from neurofetch.transfer import width
from neurofetch.transfer.crowd import Crowd
from neurofetch.transfer.options import Options
from neurofetch.transfer.schedule import Schedule, TaskKind
from neurofetch.transfer.steering import Steering
from neurofetch.transfer.tally import Tally
from testbed.s3 import Bytes, S3Object
from tests.engine_world import NETWORK, PART, World, noise

OPTIONS = Options(
    n_jobs=2,
    single_limit=PART,
    part_size=PART,
    rules=RetryRules(attempts=20, base=0.005, cap=0.02, max_wait=0.3),
)
TIMES = {
    "HORIZON": 0.2,
    "_TINY_HORIZON": 0.1,
    "_WINDOW": 0.25,
    "_SETTLE": 0.05,
    "_LONGEST_CLEARING": 0.5,
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name, seconds in TIMES.items():
        monkeypatch.setattr(width, name, seconds)
    with World(tmp_path, monkeypatch) as world:
        yield world


class SharedLine:
    """What all responses share: one of them is sent at a time, at a rate."""

    def __init__(self, rate):
        self.rate = rate
        self.taking = threading.Lock()


class Slow(Bytes):
    """Content that comes over a shared line."""

    line = None

    def read(self, start, stop):
        line = self.line
        if line is not None:
            with line.taking:
                time.sleep((stop - start) / line.rate)
        return super().read(start, stop)


def put(world, key, size, seed):
    """Put an object; return what to set its line on."""
    blob = Slow(noise(size, seed))
    item = S3Object(blob, checksum=None)
    assert item.etag  # computed now, before there is a line
    world.s3.put(key, item)
    return blob


def fetched(world, options=OPTIONS, *, limit_rate=None, tiny=False):
    """Fetch everything, with patience; assert that it came."""
    network = replace(NETWORK, read_timeout=10.0, slow_window=10.0, limit_rate=limit_rate)
    inspect = None if tiny else lambda *_: None  # files that are inspected do not count as tiny
    assert world.fetch(options, network=network, inspect=inspect).ok


def assert_all_here(world):
    expected = {key: world.s3.stored(key).blob for key in world.s3._buckets["b"]}
    for blob in expected.values():
        if isinstance(blob, Slow):
            object.__setattr__(blob, "line", None)
    assert world.files() == {key: blob.read(0, blob.size) for key, blob in expected.items()}
    world.assert_clean()


def slowly(blobs, rate):
    line = SharedLine(rate)
    for blob in blobs:
        object.__setattr__(blob, "line", line)


@pytest.mark.parametrize("parts", [True, False])
def test_a_slow_line_has_few_requests_under_way(world, parts):
    sizes = [12 * PART] * 2 if parts else [PART - 1] * 24
    slowly([put(world, f"f{n:02}", size, n) for n, size in enumerate(sizes)], 1.2e6)
    fetched(world)
    assert world.s3.peak("GET", "f*") <= 16  # all 24, before
    assert_all_here(world)


def test_on_a_slow_line_files_are_finished_one_after_another(world):
    """The first is whole long before the last is asked for."""
    slowly([put(world, f"f{n:02}", PART - 1, n) for n in range(24)], 1e6)
    fetched(world)
    gets = sorted(world.gets("f*"), key=lambda request: request.began)
    first_whole = min(request.ended for request in gets)
    assert sum(request.began > first_whole for request in gets) >= 14


def test_files_in_one_request_and_parts_take_turns_on_a_slow_line(world):
    """Neither waits until the other kind is through."""
    blobs = [put(world, "large", 30 * PART, 99)]
    blobs += [put(world, f"w{n:02}", PART - 1, n) for n in range(30)]
    slowly(blobs, 4e6)
    fetched(world)
    kinds = [r.key[0] for r in sorted(world.gets("[lw]*"), key=lambda request: request.began)]
    early = kinds[: len(kinds) // 2]
    assert early.count("l") >= len(early) // 4
    assert early.count("w") >= len(early) // 4
    assert_all_here(world)


def test_a_quick_server_far_away_has_many_requests_under_way(world):
    for n in range(200):
        put(world, f"f{n:03}", PART - 1, n)
    world.s3.latency = 0.1
    fetched(world)
    assert world.s3.peak("GET", "f*") >= 24
    assert_all_here(world)


@pytest.mark.parametrize("code", [503, 429])
@pytest.mark.parametrize("tiny", [False, True])
def test_a_server_that_says_slow_down_is_asked_for_less_at_once(world, code, tiny, monkeypatch):
    """It serves 12 at once and refuses what is beyond that; all files come, and few are refused."""
    for name in ("_REPRIEVE", "_RECOVERY", "_DOUBLING", "_QUIET"):
        seconds = getattr(width, name)
        monkeypatch.setattr(width, name, seconds / 10)
    for n in range(500):
        put(world, f"f{n:03}", 50, n)
    real, lock, busy, refused = world.s3.answer, threading.Lock(), [0], []

    def answer(request):
        if request.method != "GET":
            return real(request)
        with lock:
            busy[0] += 1
            many = busy[0] > 12
        try:
            time.sleep(0.03)
            refused.append(many)
            return world.s3.failure(code) if many else real(request)
        finally:
            with lock:
                busy[0] -= 1

    monkeypatch.setattr(world.s3, "answer", answer)
    fetched(world, tiny=tiny)
    assert any(refused)
    assert refused.count(True) < 500  # thousands, with as many at once as before
    late = refused[len(refused) // 2 :]
    assert late.count(True) < len(late) / 2
    monkeypatch.undo()
    assert_all_here(world)


def test_where_the_user_limits_the_rate_few_connections_do(world):
    for n in range(40):
        put(world, f"f{n:02}", PART - 1, n)
    fetched(world, limit_rate=4e6)
    assert world.s3.connections <= 14  # 41, with one for each
    assert_all_here(world)


def test_a_given_number_is_kept(world):
    for n in range(40):
        put(world, f"f{n:02}", PART - 1, n)
    world.s3.latency = 0.01
    fetched(world, replace(OPTIONS, width=3))
    assert world.s3.peak("GET", "f*") == 3
    assert_all_here(world)


# -- holding on ------------------------------------------------------------------------------------


def held(pace):
    """Start a thread that spends bytes; return it, its number, and when it went on."""
    told, went_on = threading.Event(), threading.Event()

    def run():
        told.wait(5)
        pace.spend(10)
        went_on.set()

    thread = threading.Thread(target=run)
    thread.start()
    pace.hold(frozenset({thread.ident}))
    told.set()
    return thread, went_on


@pytest.mark.parametrize("how", ["another's turn is over", "the end"])
def test_a_thread_that_holds_on_goes_on_when_it_is_its_turn(how):
    pace = RateLimit(None)
    thread, went_on = held(pace)
    assert not went_on.wait(0.1)
    assert pace.came == 10
    pace.hold(frozenset()) if how != "the end" else pace.end()
    assert went_on.wait(5)
    thread.join()


def test_a_thread_does_not_hold_on_for_somebody_who_went_away(monkeypatch):
    monkeypatch.setattr("neurofetch.net.rate_limit._HOLD_SECONDS", 0.1)
    thread, went_on = held(RateLimit(None))
    assert went_on.wait(5)
    thread.join()


def test_other_threads_do_not_hold_on():
    pace = RateLimit(None)
    thread, _ = held(pace)
    pace.spend(1)
    pace.end()
    thread.join()
    assert pace.came == 11


@pytest.mark.parametrize("away", [True, False])
def test_nobody_holds_on_while_a_server_is_away(away, monkeypatch):
    """Who holds on may have the only connection that the server allows, for which others wait."""
    client = Client(Network())
    monkeypatch.setattr(type(client.outages), "quiet_lines", away)
    schedule = Schedule(1, 4)
    schedule.add([Whole(), Whole()])
    for _ in range(2):
        thread = threading.Thread(target=schedule.take)
        thread.start()
        thread.join()
    Steering(
        schedule,
        client,
        Tally(None, schedule.stop),
        crowd=Crowd(4, 0, 0, 0, 4),
        width=width.Width(width.Bounds(4, 1, 1e6, 1.0), fixed=1),
        has_bulk=True,
    )
    assert len(client.pace._held) == (0 if away else 1)


class Whole:
    """The task of a file in one request."""

    kind = TaskKind.WHOLE
    file = None
