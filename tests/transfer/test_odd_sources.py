"""Sources, servers and looks at files that do what nobody expects: each file has its end."""

from dataclasses import replace

import pytest

from neurofetch.engine import Dataset, S3Source, bucket_of
from neurofetch.errors import RefusedError, TransientError, UnreachableError, VerificationError
from neurofetch.events import FileDone, Progress, Retrying
from neurofetch.integrity.checksums import hasher
from neurofetch.model import Action, Digest, Status, VerificationLevel
from testbed.s3 import S3Object
from tests.engine_world import OPTIONS, PART, World, noise, planned, ran, until
from tests.transfer_model import open_below

TINY = noise(3_000, 1)
WHOLE = noise(400_000, 2)
LARGE = noise(9 * PART + 5, 3)
FILES = {"tiny": TINY, "whole": WHOLE, "large": LARGE}
ROOMY = replace(OPTIONS, single_limit=500_000)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def digest_of(content, algorithm="sha256"):
    found = hasher(algorithm)
    found.update(content)
    return Digest(algorithm, found.hexdigest())


class Odd(S3Source):
    """A bucket whose listing, and whose addresses, are amended."""

    def __init__(self, client, attempts, *, listed=None, address=None):
        super().__init__(client, bucket_of(Dataset("test", "b")), attempts)
        self._listed = listed or (lambda remote: remote)
        self._address = address

    def walk(self, prefix):
        return [self._listed(remote) for remote in super().walk(prefix)]

    def address(self, remote, *, fresh=False):
        if self._address is not None:
            self._address(remote)
        return super().address(remote, fresh=fresh)


def fetched(world, options=OPTIONS, *, listed=None, address=None, overwrite=False, **how):
    """Fetch from an odd source; return the outcomes by path."""

    def make(client, attempts, directory):
        return Odd(client, attempts, listed=listed, address=address)

    with world.fetcher(make_source=make) as fetcher:
        report = ran(fetcher, planned(fetcher, overwrite=overwrite), options, **how)
    return {outcome.path: outcome for outcome in report}


def options_for(size):
    return ROOMY if size == "whole" else OPTIONS


# -- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", FILES)
def test_an_address_that_cannot_be_had_at_first_is_asked_for_again(world, size):
    world.put("f", FILES[size])
    world.put("g", TINY)
    asked, told = [], []

    def address(remote):
        asked.append(remote.key)
        if asked.count("f") <= 2 and remote.key == "f":
            raise TransientError("no address now")

    outcomes = fetched(world, options_for(size), address=address, listen=told.append)
    assert {outcome.status for outcome in outcomes.values()} == {Status.FETCHED}
    assert [event.reason for event in told if isinstance(event, Retrying)] == ["no address now"] * 2
    world.assert_clean()


ERRORS = {
    "for a while": (TransientError("no address now"), Status.FAILED, "gave up after 4 attempts"),
    "refused": (RefusedError("not for you"), Status.FAILED, "not for you"),
    "unreachable": (UnreachableError("no service"), Status.FAILED, "no service"),
    "a disk": (OSError(5, "Input/output error"), Status.FAILED, "Input/output error"),
}


@pytest.mark.parametrize("size", FILES)
@pytest.mark.parametrize("why", ERRORS)
def test_a_file_without_an_address_has_its_end_and_the_others_come(world, size, why):
    error, status, reason = ERRORS[why]
    world.put("f", FILES[size])
    world.put("g", TINY)

    def address(remote):
        if remote.key == "f":
            raise error

    outcomes = fetched(world, options_for(size), address=address)
    assert (outcomes["f"].status, outcomes["g"].status) == (status, Status.FETCHED)
    assert reason in outcomes["f"].reason
    assert world.files() == {"g": TINY}
    world.assert_clean()


@pytest.mark.parametrize("size", FILES)
@pytest.mark.parametrize("nth", [1, 4])
def test_a_source_with_a_bug_ends_the_run_with_its_own_error(world, size, nth):
    world.put("f", FILES[size])
    asked = []

    def address(remote):
        asked.append(remote.key)
        if len(asked) == nth:
            raise KeyError("bug")

    for n in range(30):
        world.put(f"g{n:02}", TINY)
    with pytest.raises(KeyError, match="bug"):
        fetched(world, options_for(size), address=address)
    assert world.left("claims") == []
    assert open_below(world.root) == []
    assert world.fetch().ok


# -- looks at files --------------------------------------------------------------------------


@pytest.mark.parametrize("size", FILES)
@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), StopIteration("odd")])
def test_a_look_with_a_bug_ends_the_run_with_its_own_error(world, size, error):
    world.put("f", FILES[size])
    world.put("g", TINY)

    def inspect(temporary, want):
        if want.path == "f":
            raise error

    with pytest.raises(type(error)) as caught:
        world.fetch(options_for(size), inspect=inspect)
    assert caught.value is error
    assert "f" not in world.files()
    assert world.left("claims") == []
    assert open_below(world.root) == []
    assert [name for name in world.left() if name.endswith(".tmp")] == []
    assert world.fetch().ok
    world.assert_clean()


@pytest.mark.parametrize("size", FILES)
def test_a_look_that_cannot_read_the_file_fails_that_file(world, size):
    world.put("f", FILES[size])
    world.put("g", TINY)

    def inspect(temporary, want):
        if want.path == "f":
            raise OSError(5, "Input/output error")

    report = world.fetch(options_for(size), inspect=inspect)
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FETCHED]
    assert world.left("claims") == []
    assert world.fetch().ok
    world.assert_clean()


@pytest.mark.parametrize("size", FILES)
def test_a_look_that_is_content_the_second_time(world, size):
    world.put("f", FILES[size])
    looks = []

    def inspect(temporary, want):
        looks.append(want.path)
        if len(looks) == 1:
            raise VerificationError("f: torn")

    assert world.fetch(options_for(size), inspect=inspect).ok
    assert world.files() == {"f": FILES[size]}
    world.assert_clean()


# -- listeners -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FileDone, Progress, Retrying])
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), SystemExit(1)])
def test_a_listener_that_raises_leaves_nothing_behind(world, kind, nth, error):
    for n in range(20):
        world.put(f"f{n:02}", TINY)
    world.put("l", LARGE)
    world.s3.latency = 0.005
    world.s3.fault(key="f*", method="GET", times=6, status=503)
    told = []

    def listen(event):
        told.append(event)
        if sum(isinstance(event, kind) for event in told) == nth:
            raise error

    with pytest.raises(type(error)):
        world.fetch(replace(OPTIONS, beat=0.002), listen=listen)
    assert world.left("claims") == []
    until(lambda: open_below(world.root) == [])
    assert [name for name in world.left() if name.endswith(".tmp")] == []
    world.s3.clear_faults()
    assert world.fetch().ok
    world.assert_clean()


# -- what the listing tells ------------------------------------------------------------------


def without_etag(content):
    """Return what amends a listing: a digest of the content, and no ETag."""
    return lambda remote: replace(remote, etag=None, digest=digest_of(content))


@pytest.mark.parametrize("size", FILES)
@pytest.mark.parametrize("head", [200, 405])
def test_a_digest_in_the_listing_is_enough(world, size, head):
    world.put("f", FILES[size], checksum=None, forced_etag="opaque")
    if head == 405:
        world.s3.fault(method="HEAD", status=405)
    (outcome,) = fetched(world, options_for(size), listed=without_etag(FILES[size])).values()
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.CHECKSUM)
    assert world.files() == {"f": FILES[size]}
    parts = 10 if size == "large" else 1
    assert len(world.gets("f")) == parts
    world.assert_clean()


@pytest.mark.parametrize("size", FILES)
def test_a_wrong_digest_in_the_listing_fails_the_file(world, size):
    world.put("f", FILES[size], checksum="sha256")
    (outcome,) = fetched(world, options_for(size), listed=without_etag(b"other")).values()
    assert outcome.status is Status.FAILED
    assert "came wrong twice" in outcome.reason
    assert world.files() == {}
    world.assert_clean()


@pytest.mark.parametrize("etag", [None, "listed"])
def test_parts_are_resumed_by_content_where_the_etag_is_another_one(world, etag):
    """A service that signs addresses may have another ETag on each of its servers."""

    def listed(remote):
        return replace(remote, etag=etag and remote.etag, digest=digest_of(LARGE))

    world.put("f", LARGE, checksum=None, forced_etag="one")
    for part in (3, 7, 8):
        world.s3.fault(key="f", byte_range=f"bytes={part * PART}-*", status=404)
    (outcome,) = fetched(world, replace(OPTIONS, bulk_connections=1), listed=listed).values()
    assert outcome.status is Status.FAILED
    world.s3.clear_faults()
    world.s3.clear_log()
    world.put("f", LARGE, checksum=None, forced_etag="another")
    (outcome,) = fetched(world, listed=listed).values()
    assert (outcome.status, outcome.reason) == (Status.FETCHED, "resumed")
    assert world.ranges("f") == list(range(3, 10))
    assert world.files() == {"f": LARGE}
    world.assert_clean()


def test_parts_of_another_content_are_not_resumed(world):
    other = noise(len(LARGE), 9)
    world.put("f", LARGE, checksum=None, forced_etag="same")
    world.s3.fault(key="f", byte_range=f"bytes={3 * PART}-*", status=404)
    fetched(world, replace(OPTIONS, bulk_connections=1), listed=without_etag(LARGE))
    world.s3.clear_faults()
    world.put("f", other, checksum=None, forced_etag="other")
    (outcome,) = fetched(world, listed=without_etag(other)).values()
    assert (outcome.status, outcome.reason) == (Status.FETCHED, "")
    assert world.files() == {"f": other}
    world.assert_clean()


def test_a_file_whose_content_is_here_is_not_fetched_whatever_its_etag(world):
    world.put("f", LARGE, forced_etag="one")
    fetched(world, listed=without_etag(LARGE))
    world.s3.clear_log()
    (outcome,) = fetched(world, listed=without_etag(LARGE)).values()
    assert outcome.status is Status.KEPT
    assert world.gets() == []


# -- what servers say ------------------------------------------------------------------------


@pytest.mark.parametrize("size", FILES)
def test_weak_etags_guard_no_parts_and_harm_nothing_where_the_content_is_known(world, size):
    world.put("f", FILES[size], checksum=None)
    world.s3.fault(headers={"ETag": 'W/"weak"'})
    (outcome,) = fetched(world, options_for(size), listed=without_etag(FILES[size])).values()
    assert outcome.status is Status.FETCHED
    assert len(world.gets("f")) == (10 if size == "large" else 1)
    assert not any("if-match" in request.headers for request in world.gets("f"))
    assert world.files() == {"f": FILES[size]}


@pytest.mark.parametrize("size", FILES)
@pytest.mark.parametrize("changes", [1, 2, 3])
def test_an_object_that_changes_while_it_is_fetched(world, size, changes):
    """Twice is forgiven to one that takes long, once to one that comes in one request."""
    versions = [noise(len(FILES[size]), 100 + n) for n in range(changes)]
    world.put("f", FILES[size], checksum=None)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        for number, content in enumerate(versions):
            skip = 2 * number if size != "large" else 4 * number + 2  # between, it is looked at
            world.s3.change("f", S3Object(content, checksum=None), skip=skip)
        options = replace(options_for(size), bulk_connections=1)
        (outcome,) = ran(fetcher, plan, options)
    if changes <= (2 if size == "large" else 1):
        assert outcome.status is Status.FETCHED
        assert world.files() == {"f": versions[-1]}
    else:
        assert outcome.status is Status.FAILED
        assert "changed on the server" in outcome.reason
        assert world.files() == {}
    world.assert_clean()


def test_a_replacement_that_fails_leaves_what_was_there(world):
    world.put("f", LARGE)
    world.fetch()
    world.put("f", noise(len(LARGE), 7))
    world.s3.fault(key="f", byte_range=f"bytes={2 * PART}-*", status=404)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        assert [step.action for step in plan.steps] == [Action.REPLACE]
        (outcome,) = ran(fetcher, plan)
    assert outcome.status is Status.FAILED
    assert world.files() == {"f": LARGE}
    assert world.left("claims") == []
