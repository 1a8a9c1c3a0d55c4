"""Whole transfers against a real server that misbehaves, and real files."""

import pickle
import re
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from neurofetch.engine import Dataset, S3Source, bucket_of
from neurofetch.errors import VerificationError
from neurofetch.events import FileDone, Finished, Progress, Retrying
from neurofetch.integrity.checksums import hasher
from neurofetch.model import Action, IncompleteError, Report, Status, VerificationLevel
from neurofetch.net.connect import Dialer
from neurofetch.transfer import settler
from testbed.s3 import HTML_PAGE, S3Object
from tests.engine_world import MIB, NETWORK, OPTIONS, PART, World, noise, planned, ran

SMALL = noise(3_000, 1)
LARGE = noise(5 * PART + 777, 2)
SIZES = {"small": SMALL, "large": LARGE}


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def only(report):
    (outcome,) = report
    return outcome


# -- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size",
    [0, 1, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, 7 * PART + 13],
)
def test_a_file_of_any_size_arrives_whole(world, size):
    content = world.put("f.bin", noise(size))
    outcome = only(world.fetch())
    assert world.files() == {"f.bin": content}
    assert (outcome.status, outcome.size, outcome.moved) == (Status.FETCHED, size, size)
    assert outcome.verification is VerificationLevel.CHECKSUM
    parts = -(-size // PART) if size > PART else 1
    assert len(world.gets("f.bin")) == parts
    world.assert_clean()


def test_a_streamed_file_of_several_buffers_arrives_whole(world):
    content = world.put("f.bin", noise(700_000))
    report = world.fetch(replace(OPTIONS, single_limit=1 << 20))
    assert world.files() == {"f.bin": content}
    assert len(world.gets()) == 1
    assert only(report).moved == len(content)


@pytest.mark.parametrize(
    "key",
    [
        "ünïcödé/Größe µ.nii.gz",
        "percent/100%25 of%2Fit.tsv",
        "plus+and space/a + b.json",
        'quotes/it\'s "so".txt',
        "signs/#?&=;,@!$~()[]{}|^`.txt",
        "日本/脳.nii",
        "dots/..hidden...name.",
    ],
)
def test_a_key_with_odd_characters_arrives_under_its_own_name(world, key):
    content = world.put(key, SMALL)
    report = world.fetch()
    assert world.files() == {key: content}
    assert report.paths == [world.root / key]
    assert [request.key for request in world.gets()] == [key]


def test_a_mixed_bucket_keeps_the_order_of_the_plan(world):
    content = {f"d{n % 3}/f{n:02}.bin": noise(n * 9_000, n) for n in range(24)}
    for key, body in content.items():
        world.put(key, body)
    report = world.fetch()
    assert world.files() == content
    assert [outcome.path for outcome in report] == sorted(content)
    assert report.paths == [world.root / path for path in sorted(content)]
    assert report.bytes_moved == sum(map(len, content.values()))
    world.assert_clean()


@pytest.mark.parametrize("dial_seconds", [0, 0.003, 0.05])
def test_connections_are_shared_and_bounded(world, monkeypatch, dial_seconds):
    """Also where a connection takes so long that some are made ahead, while files arrive."""
    slowly(monkeypatch, dial_seconds)
    for n in range(60):
        world.put(f"f{n:02}", noise(2_000, n))
    world.put("large", LARGE)
    world.s3.latency = 0.005
    patient = replace(NETWORK, read_timeout=30.0)  # a late response takes no second connection
    assert world.fetch(network=patient).ok
    assert world.s3.connections <= OPTIONS.connections + 1  # and one for the listing, at most
    assert world.s3.peak("GET") <= OPTIONS.connections
    assert world.s3.peak("GET", "large") <= OPTIONS.bulk_connections


def slowly(monkeypatch, seconds):
    """Let each connection take its time."""
    real = Dialer.open

    def open_late(self, route):
        time.sleep(seconds)
        return real(self, route)

    monkeypatch.setattr(Dialer, "open", open_late)


def test_no_more_large_files_are_open_than_jobs(world):
    for n in range(4):
        world.put(f"large{n}", noise(3 * PART, n))
    world.s3.latency = 0.01
    world.fetch(replace(OPTIONS, n_jobs=1))
    assert len(world.files()) == 4
    asked = [[r for r in world.gets() if r.key == f"large{n}"] for n in range(4)]
    spans = sorted((min(r.began for r in some), max(r.ended for r in some)) for some in asked)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


# -- the ladder ------------------------------------------------------------------------------

LEVELS = [
    pytest.param(
        {"checksum": "crc64nvme"}, VerificationLevel.CHECKSUM, "crc64nvme", id="crc64nvme"
    ),
    pytest.param({"checksum": "crc32c"}, VerificationLevel.CHECKSUM, "crc32c", id="crc32c"),
    pytest.param({"checksum": "crc32"}, VerificationLevel.CHECKSUM, "crc32", id="crc32"),
    pytest.param({"checksum": "sha256"}, VerificationLevel.CHECKSUM, "sha256", id="sha256"),
    pytest.param({"checksum": None}, VerificationLevel.MD5, "", id="md5"),
    pytest.param(
        {"checksum": None, "part_size": 1_000}, VerificationLevel.MULTIPART, "", id="one odd part"
    ),
    pytest.param(
        {"checksum": "sha256", "part_size": 1 << 20},
        VerificationLevel.MULTIPART,
        "",
        id="digest of digests",
    ),
    pytest.param(
        {"checksum": None, "forced_etag": "opaque"}, VerificationLevel.SIZE, "", id="size"
    ),
]


def body_for(size, how):
    """Return content whose part size can be guessed: one or two parts of an odd size."""
    body = SIZES[size]
    if how.get("part_size") == 1_000:
        return body, {**how, "part_size": -(-len(body) // 2)}
    return body, how


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("how", "verification", "algorithm"), LEVELS)
def test_each_verification_is_reached_and_written_down(world, size, how, verification, algorithm):
    body, how = body_for(size, how)
    world.put("f.bin", body, **how)
    assert only(world.fetch()).verification is verification
    receipt = world.receipts()["f.bin"]
    assert receipt.verification is verification
    name, _, digest = receipt.digest.partition(":")
    expected = hasher(name)
    expected.update(body)
    assert digest == expected.hexdigest()
    assert name == (algorithm or name)
    stored = world.s3.stored("f.bin")
    info = (world.root / "f.bin").stat()
    assert receipt.etag == stored.etag.strip('"')
    assert (receipt.key, receipt.size, receipt.mtime_ns) == ("f.bin", len(body), info.st_mtime_ns)


@pytest.mark.parametrize("uploaded", [2 * MIB, 5 * MIB, 9 * MIB, 5_000_000, 7_123_457])
@pytest.mark.parametrize("ours", [PART, 4 * MIB])
def test_the_part_size_of_an_upload_is_guessed(world, uploaded, ours):
    size = 3 * uploaded if uploaded == 7_123_457 else 3 * uploaded + 5  # odd ones are exact parts
    body = world.put("f.bin", noise(size), checksum=None, part_size=uploaded)
    report = world.fetch(replace(OPTIONS, part_size=ours))
    assert only(report).verification is VerificationLevel.MULTIPART
    assert world.files() == {"f.bin": body}
    if ours // 2 <= uploaded <= 4 * ours:  # then our parts are those of the upload
        assert len({one.range for one in world.gets()}) == -(-size // uploaded)


CHECKED = [case for case in LEVELS if case.values[1] is not VerificationLevel.SIZE]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("how", "verification", "algorithm"), CHECKED)
def test_a_flipped_byte_is_cured_by_one_more_fetch(world, size, how, verification, algorithm):
    body, how = body_for(size, how)
    world.put("f.bin", body, **how)
    first = "bytes=0-*" if size == "large" else "*"
    world.s3.fault(key="f.bin", method="GET", byte_range=first, times=1, flip=1234)
    outcome = only(world.fetch())
    assert (outcome.status, outcome.verification) == (Status.FETCHED, verification)
    assert outcome.attempts == 1
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("how", "verification", "algorithm"), CHECKED)
def test_bytes_that_are_always_wrong_never_take_the_name(world, size, how, verification, algorithm):
    """Wrong in one way, where a checksum is stated; an ETag tells where they differ (ADR 12)."""
    body, how = body_for(size, how)
    world.put("f.bin", body, **how)
    world.put("good.bin", SMALL)
    if algorithm:
        world.s3.fault(key="f.bin", method="GET", flip=1234)
    else:
        first = "bytes=0-*" if size == "large" else "*"
        for nth in (0, 1):
            where = {"byte_range": first, "skip": nth, "times": 1}
            world.s3.fault(key="f.bin", method="GET", flip=1234 + nth, **where)
    report = world.fetch()
    bad, good = report
    assert (bad.status, good.status) == (Status.FAILED, Status.FETCHED)
    assert "came wrong twice" in bad.reason
    assert verification.value in bad.reason
    assert world.files() == {"good.bin": SMALL}
    assert "f.bin" not in world.receipts()
    part = how["part_size"] if how.get("part_size", MIB) < MIB else PART
    once = -(-len(body) // part) if size == "large" else 1
    assert len(world.gets("f.bin")) == 2 * once  # once more from scratch, and no more
    world.assert_clean()


def test_a_file_that_was_there_survives_a_bad_replacement(world):
    old = world.put("f.bin", SMALL)
    world.fetch()
    world.put("f.bin", noise(3_500, 9))
    world.s3.fault(key="f.bin", method="GET", flip=10)
    assert only(world.fetch()).status is Status.FAILED
    assert world.files() == {"f.bin": old}


# -- what the network does -------------------------------------------------------------------

TROUBLES = {
    "cut": {"cut_after": 1_000},
    "cut in the head's packet": {"cut_after": 0},
    "reset": {"reset": True},
    "reset in the middle": {"reset": True, "cut_after": 1_000},
    "stall before": {"delay": 0.6},
    "stall within": {"stall": 0.6, "stall_after": 1_000},
    "429": {"status": 429},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "504": {"status": 504},
    "portal": {"status": 200, "body": HTML_PAGE, "headers": {"ETag": ""}},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_cured_by_another_attempt(world, size, trouble):
    world.put("f.bin", SIZES[size])
    world.s3.fault(key="f.bin", method="GET", times=2, **TROUBLES[trouble])
    told = []
    outcome = only(world.fetch(listen=told.append))
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.CHECKSUM)
    assert world.files() == {"f.bin": SIZES[size]}
    assert outcome.attempts >= 1
    assert [event for event in told if isinstance(event, Retrying)]
    world.assert_clean()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("trouble", ["cut", "reset", "503", "portal"])
def test_trouble_that_stays_ends_in_a_bounded_number_of_attempts(world, size, trouble):
    world.put("f.bin", SIZES[size])
    world.put("good.bin", SMALL)
    world.s3.fault(key="f.bin", method="GET", **TROUBLES[trouble])
    report = world.fetch()
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FETCHED]
    assert world.files() == {"good.bin": SMALL}
    active = OPTIONS.bulk_connections if size == "large" else 1
    # a kept connection that breaks is tried once more on a fresh one
    assert len(world.gets("f.bin")) <= active * 2 * OPTIONS.rules.attempts
    assert world.left("claims") == []


def test_retry_after_is_honoured(world):
    world.put("f.bin", SMALL)
    slow = {"Retry-After": "0.25"}
    world.s3.fault(key="f.bin", method="GET", times=1, status=503, headers=slow)
    assert world.fetch().ok
    first, second = world.gets("f.bin")
    assert second.began - first.began >= 0.25


def test_a_listing_is_retried_too(world):
    world.put("f.bin", SMALL)
    world.s3.fault(method="LIST", times=2, status=503)
    assert world.fetch().ok
    assert len(world.s3.requests("LIST")) == 3


def test_only_the_part_that_broke_is_fetched_again(world):
    world.put("f.bin", LARGE)
    second = f"bytes={PART}-*"
    world.s3.fault(key="f.bin", byte_range=second, times=1, cut_after=PART // 2)
    outcome = only(world.fetch())
    assert world.ranges("f.bin") == [0, 1, 1, 2, 3, 4, 5]
    assert len(LARGE) <= outcome.moved <= len(LARGE) + PART // 2
    assert world.files() == {"f.bin": LARGE}


@pytest.mark.parametrize("what", ["wrong", "missing", "too long"])
def test_a_wrong_content_range_is_distrusted(world, what):
    world.put("f.bin", LARGE, checksum=None, forced_etag="opaque")
    lie = {
        "wrong": {"content_range": f"bytes 0-{PART - 1}/{len(LARGE)}"},
        "missing": {"content_range": ""},
        "too long": {"content_length": PART + 10},
    }[what]
    world.s3.fault(key="f.bin", byte_range=f"bytes={2 * PART}-*", times=1, **lie)
    outcome = only(world.fetch())
    assert outcome.status is Status.FETCHED
    assert world.files() == {"f.bin": LARGE}
    assert world.ranges("f.bin").count(2) == 2


def test_a_wrong_content_range_for_ever_is_never_taken_and_the_whole_is_asked_for(world):
    world.put("f.bin", LARGE)
    wrong = f"bytes 5-9/{len(LARGE)}"
    world.s3.fault(key="f.bin", method="GET", byte_range="bytes=*", content_range=wrong)
    outcome = only(world.fetch())
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.CHECKSUM)
    assert world.files() == {"f.bin": LARGE}
    assert [request.range for request in world.gets("f.bin")].count("") == 1
    world.assert_clean()


def test_a_wrong_content_range_after_a_part_that_came_fails_loudly(world):
    world.put("f.bin", LARGE)
    wrong = f"bytes 5-9/{len(LARGE)}"
    world.s3.fault(key="f.bin", method="GET", skip=1, content_range=wrong)
    outcome = only(world.fetch())
    assert outcome.status is Status.FAILED
    assert re.search(r"asked for bytes \d+-\d+, got 'bytes 5-9/", outcome.reason)
    assert world.files() == {}


@pytest.mark.parametrize("skip", [0, 3])
def test_a_server_that_ignores_ranges_is_read_in_one_piece(world, skip):
    world.put("f.bin", LARGE)
    world.s3.fault(key="f.bin", method="GET", skip=skip, ignore_range=True)
    outcome = only(world.fetch())
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.CHECKSUM)
    assert world.files() == {"f.bin": LARGE}
    assert world.gets("f.bin")[-1].range == ""
    world.assert_clean()


# -- what the server says of the object ------------------------------------------------------


def test_every_part_is_asked_for_with_if_match(world):
    world.put("f.bin", LARGE)
    world.put("g.bin", SMALL)
    world.fetch()
    for key in ("f.bin", "g.bin"):
        etag = world.s3.stored(key).etag
        assert {r.headers.get("if-match") for r in world.gets(key)} == {etag}


@pytest.mark.parametrize("size", SIZES)
def test_an_object_that_changed_since_it_was_listed_is_fetched_as_it_is_now(world, size):
    world.put("f.bin", SIZES[size])
    new = noise(len(SIZES[size]) + 5_000, 7)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        world.put("f.bin", new)
        report = ran(fetcher, plan, OPTIONS)
    assert only(report).status is Status.FETCHED
    assert world.files() == {"f.bin": new}
    assert world.receipts()["f.bin"].etag == world.s3.stored("f.bin").etag.strip('"')
    world.assert_clean()


@pytest.mark.parametrize("skip", [1, 4])
def test_an_object_that_changes_while_it_is_fetched_is_never_mixed(world, skip):
    world.put("f.bin", LARGE, checksum=None, forced_etag="old")
    new = noise(len(LARGE), 8)
    world.s3.change("f.bin", S3Object(new, checksum=None, forced_etag="new"), skip=skip)
    outcome = only(world.fetch())
    assert outcome.status is Status.FETCHED
    assert world.files() == {"f.bin": new}
    assert 412 in [request.status for request in world.gets("f.bin")]
    world.assert_clean()


def test_an_object_that_never_keeps_still_fails(world):
    world.put("f.bin", LARGE)
    for n in range(12):
        world.s3.change("f.bin", noise(len(LARGE), n), skip=2 * n + 1)
    outcome = only(world.fetch())
    assert outcome.status is Status.FAILED
    assert "changed on the server" in outcome.reason
    assert world.files() == {}
    world.assert_clean()


@pytest.mark.parametrize("size", SIZES)
def test_a_refused_file_has_failed_is_named_and_is_not_asked_for_twice(world, size):
    """A large one is asked for by GET after its HEAD was refused: that may be allowed."""
    world.put("f.bin", SIZES[size])
    world.put("good.bin", SMALL)
    world.s3.forbidden = ("f.bin",)
    report = world.fetch()
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FETCHED]
    assert not report.ok
    assert not report.withheld
    assert "403" in report.failures[0].reason
    with pytest.raises(
        IncompleteError, match=r"f\.bin: .*403(.|\n)*not public.*--exclude"
    ) as caught:
        report.raise_for_failures()
    assert "same call again" not in str(caught.value)  # it would change nothing
    assert report.paths == [world.root / "good.bin"]
    methods = [request.method for request in world.s3.requests(key="f.bin")]
    assert methods == (["HEAD", "GET"] if size == "large" else ["GET"])
    world.assert_clean()


@pytest.mark.parametrize("size", SIZES)
def test_a_missing_file_fails_after_all_others_came(world, size):
    world.put("a.bin", SIZES[size])
    world.put("good.bin", SMALL)
    plan = world.plan()
    world.s3.delete("a.bin")
    with world.fetcher() as fetcher:
        report = ran(fetcher, plan, OPTIONS)
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FETCHED]
    assert world.files() == {"good.bin": SMALL}
    asked = [request.method for request in world.s3.requests(key="a.bin")]
    assert asked == {"small": ["GET"], "large": ["HEAD", "GET"]}[size]  # a HEAD is but a hint
    with pytest.raises(IncompleteError, match=r"1 of 2 files[^|]*a\.bin: .*404") as caught:
        report.raise_for_failures()
    assert caught.value.report is report


def test_a_missing_optional_file_is_only_noted(world):
    world.put("f.bin", SMALL)
    plan = world.plan()
    world.s3.delete("f.bin")
    (step,) = plan.steps
    plan = replace(plan, steps=(replace(step, want=replace(step.want, optional=True)),))
    with world.fetcher() as fetcher:
        report = ran(fetcher, plan, OPTIONS)
    assert report.ok
    assert only(report).status is Status.REFUSED


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("told", [-1, 1, 10 * PART])
def test_a_listing_that_lies_about_the_size_fails_loudly(world, size, told):
    body = world.put("f.bin", SIZES[size])
    world.s3.lie("f.bin", size=len(body) + told)
    outcome = only(world.fetch())
    assert outcome.status is Status.FAILED
    assert str(len(body)) in outcome.reason
    assert world.files() == {}


# -- the report and the events ---------------------------------------------------------------


def test_a_report_and_a_plan_survive_pickling(world):
    world.put("f.bin", LARGE)
    world.put("g.bin", SMALL)
    world.s3.forbidden = ("g.bin",)
    plan = world.plan()
    with world.fetcher() as fetcher:
        report = ran(fetcher, plan, OPTIONS)
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert again.paths == report.paths
    assert pickle.loads(pickle.dumps(plan)) == plan
    failed = Report(report.root, (replace(report.outcomes[0], status=Status.FAILED),))
    with pytest.raises(IncompleteError) as caught:
        failed.raise_for_failures()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.report) == (str(caught.value), failed)


def test_reports_of_two_runs_merge(world):
    world.put("a.bin", SMALL)
    world.put("b.bin", SMALL)
    fault = {"key": "b.bin", "method": "GET", "status": 404}
    world.s3.fault(**fault)
    first = world.fetch()
    world.s3.clear_faults()
    second = world.fetch()
    assert [o.status for o in first] == [Status.FETCHED, Status.FAILED]
    assert [o.status for o in second] == [Status.KEPT, Status.FETCHED]
    merged = first.merge(second)
    assert merged.ok
    assert [o.path for o in merged] == ["a.bin", "b.bin"]
    with pytest.raises(ValueError, match="two data directories"):
        first.merge(replace(second, root=world.root / "other"))


def test_events_tell_the_whole_story_in_the_calling_thread(world):
    for n in range(5):
        world.put(f"f{n}", noise(20_000 * n, n))
    told, threads = [], set()

    def listen(event):
        told.append(event)
        threads.add(threading.get_ident())

    report = world.fetch(listen=listen)
    assert threads == {threading.get_ident()}
    done = [event.outcome for event in told if isinstance(event, FileDone)]
    assert sorted(done, key=lambda o: o.path) == list(report.outcomes)
    assert told[-1] == Finished(report)
    last = [event for event in told if isinstance(event, Progress)][-1]
    assert (last.files_done, last.files) == (5, 5)
    assert last.bytes_done == last.bytes_total == sum(20_000 * n for n in range(5))


def test_bytes_that_were_lost_do_not_count_as_progress(world):
    world.put("f.bin", LARGE)
    world.s3.fault(key="f.bin", method="GET", times=3, cut_after=30_000)
    world.s3.fault(key="f.bin", method="GET", skip=8, times=1, flip=0)
    told = []
    world.fetch(listen=told.append)
    last = [event for event in told if isinstance(event, Progress)][-1]
    assert last.bytes_done == last.bytes_total == len(LARGE)


def test_a_listener_that_fails_ends_the_transfer_and_is_heard(world, monkeypatch):
    monkeypatch.setattr(settler, "_GATHER", 0.02)  # files end in batches, and so their news come
    for n in range(30):
        world.put(f"f{n}", SMALL)
    world.s3.latency = 0.05

    def listen(event):
        if isinstance(event, FileDone):
            raise OverflowError("no more")

    with pytest.raises(OverflowError, match="no more"):
        world.fetch(listen=listen)
    assert len(world.files()) < 30
    assert world.left("claims") == []
    assert world.fetch().ok


def test_an_inspection_may_refuse_a_file_and_may_raise_its_verification(world):
    world.put("bad.bin", SMALL)
    world.put("good.bin", SMALL, checksum=None, forced_etag="opaque")
    world.put("large.bin", LARGE, checksum=None, forced_etag="opaque too")

    def inspect(temporary, want):
        with open(temporary, "rb") as file:
            assert len(file.read()) == want.remote.size
        if want.path == "bad.bin":
            raise VerificationError("bad.bin: not to our taste")
        return VerificationLevel.CONTENT

    report = world.fetch(inspect=inspect)
    assert [o.status for o in report] == [Status.FAILED, Status.FETCHED, Status.FETCHED]
    assert [o.verification for o in report][1:] == [
        VerificationLevel.CONTENT,
        VerificationLevel.CONTENT,
    ]
    assert "not to our taste" in report.failures[0].reason
    assert sorted(world.files()) == ["good.bin", "large.bin"]


@pytest.mark.parametrize("size", SIZES)
def test_an_address_that_ran_out_is_asked_for_again(world, size):
    world.put("f.bin", SIZES[size])
    given = []

    class Signing(S3Source):
        def address(self, remote, *, fresh=False):
            given.append(fresh)
            return remote.url + ("?fresh=1" if fresh else "")

        def signed(self, _):
            return True

    def make_source(client, attempts, directory):
        return Signing(client, bucket_of(Dataset("test", "b")), attempts)

    world.s3.fault(key="f.bin", times=1, status=403)
    with world.fetcher(make_source=make_source) as fetcher:
        outcome = only(ran(fetcher, planned(fetcher)))
    assert outcome.status is Status.FETCHED
    assert given[:2] == [False, True]
    assert world.s3.requests("HEAD", "f.bin") == []  # a signed address is good for GET alone


def test_a_file_that_is_refused_at_a_signed_address_has_failed(world):
    world.put("f.bin", SMALL)

    class Signing(S3Source):
        def signed(self, _):
            return True

    def make_source(client, attempts, directory):
        return Signing(client, bucket_of(Dataset("test", "b")), attempts)

    world.s3.fault(key="f.bin", times=9, status=403)
    with world.fetcher(make_source=make_source) as fetcher:
        outcome = only(ran(fetcher, planned(fetcher)))
    assert outcome.status is Status.FAILED
    assert len(world.gets("f.bin")) == 2


def test_early_stop_after_failures_in_a_row_leaves_nothing_behind(world):
    for n in range(20):
        world.put(f"f{n:02}", SMALL)
    world.put("large.bin", LARGE)
    world.s3.fault(key="f*", method="GET", status=404)
    world.s3.fault(key="large.bin", method="GET", delay=0.1)
    options = replace(OPTIONS, failures_in_a_row=3, connections=2, bulk_connections=1)
    report = world.fetch(options)
    assert len(world.gets("f*")) < 20
    assert any("not begun" in outcome.reason for outcome in report.failures)
    assert world.left("claims") == []
    assert world.files() in ({}, {"large.bin": LARGE})


def test_a_plan_with_nothing_to_do_asks_nothing(world):
    world.put("f.bin", SMALL)
    world.fetch()
    plan = world.plan()
    assert [step.action for step in plan.steps] == [Action.KEEP]
    world.s3.clear_log()
    with world.fetcher(NETWORK) as fetcher:
        report = ran(fetcher, plan, OPTIONS)
    assert world.s3.log == []
    assert only(report).verification is VerificationLevel.CHECKSUM
