"""An ETag is a claim, a HEAD is a hint, and listings may disagree with their objects for good.

Right bytes come, with at most two downloads and the level said; wrong ones come nowhere where a
checksum, or an ETag that is one, tells. The ETags of uploads are made with `hashlib` alone.
"""

import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofetch.engine import Dataset, Fetcher
from neurofetch.model import Action, Status, VerificationLevel
from neurofetch.store.audit import State
from neurofetch.transfer.etags import CAME_TWICE, SPARED
from testbed._uploads import cut, upload_parts
from testbed.moto_s3 import MotoS3
from testbed.s3 import HTML_PAGE, S3Object
from tests.engine_raw import RawServer
from tests.engine_world import MIB, NETWORK, OPTIONS, PART, QUICK, World, noise, planned, ran

SMALL = noise(3_000, 1)
WHOLE = noise(400_000, 2)
LARGE = noise(3 * PART + 5, 3)
FILES = {"small": SMALL, "whole": WHOLE, "large": LARGE}
ROOMY = replace(OPTIONS, single_limit=500_000)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def options_for(size):
    return ROOMY if size == "whole" else OPTIONS


def one_by_one(size):
    """Return options with which one file comes after the other."""
    return replace(options_for(size), n_jobs=1, connections=1, bulk_connections=1)


def fetched(world, size="small", **how):
    """Fetch the only file; return what became of it."""
    (outcome,) = world.fetch(options_for(size), **how)
    return outcome


def copies(world, key, content):
    """Return how often the content of a file came."""
    came = (r.sent for r in world.gets(key) if r.status in (200, 206) and r.sent > 1)
    return sum(came) / len(content)


sizes = pytest.mark.parametrize("size", FILES)
NO_CHECKSUMS = {
    "32 digits": md5(b"x"),
    "hex-1": md5(b"x") + "-1",
    "hex-3": md5(b"x") + "-3",
    "upper case": md5(b"x").upper(),
}


# -- ETags that are no checksums -------------------------------------------------------------


@sizes
@pytest.mark.parametrize("etag", NO_CHECKSUMS.values(), ids=NO_CHECKSUMS)
def test_right_bytes_come_whatever_the_etag_claims_and_the_level_is_said(world, size, etag):
    world.put("f", FILES[size], checksum=None, forced_etag=etag)
    outcome = fetched(world, size)
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.SIZE)
    assert outcome.reason == CAME_TWICE
    assert world.files() == {"f": FILES[size]}
    assert copies(world, "f", FILES[size]) == pytest.approx(2)
    assert world.fetch().skipped
    world.assert_clean()


@sizes
def test_the_next_file_of_such_a_bucket_is_spared_the_second_download(world, size):
    for n in range(3):
        world.put(f"f{n}", FILES[size][n:], checksum=None, forced_etag=md5(b"%d" % n))
    report = world.fetch(one_by_one(size))
    assert [outcome.reason for outcome in report] == [CAME_TWICE, SPARED, SPARED]
    assert {outcome.verification for outcome in report} == {VerificationLevel.SIZE}
    assert world.files() == {f"f{n}": FILES[size][n:] for n in range(3)}
    assert copies(world, "f[12]", FILES[size]) == pytest.approx(2, abs=0.01)  # one of each


@sizes
def test_where_other_etags_are_checksums_none_is_spared(world, size):
    """Files of one bucket, some of which are encrypted: each of these comes twice."""
    world.put("a", FILES[size], checksum=None)
    for n in range(3):
        world.put(f"f{n}", FILES[size][n:], checksum=None, forced_etag=md5(b"%d" % n))
    good, *others = world.fetch(one_by_one(size))
    assert (good.verification, good.reason) == (VerificationLevel.MD5, "")
    assert [outcome.reason for outcome in others] == [CAME_TWICE] * 3


@sizes
@pytest.mark.parametrize("etag", NO_CHECKSUMS.values(), ids=NO_CHECKSUMS)
def test_two_downloads_that_differ_are_a_failure(world, size, etag):
    world.put("f", FILES[size], checksum=None, forced_etag=etag)
    first = "bytes=0-[1-9]*" if size == "large" else "*"
    world.s3.fault(key="f", method="GET", byte_range=first, times=1, flip=1)
    outcome = fetched(world, size)
    assert outcome.status is Status.FAILED
    assert "came wrong twice" in outcome.reason
    assert world.files() == {}
    assert world.fetch(options_for(size)).ok  # the server is well again
    world.assert_clean()


@sizes
def test_the_bucket_of_a_file_that_was_damaged_once_is_not_taken_for_one_without_checksums(
    world, size
):
    for n in range(4):
        world.put(f"f{n}", FILES[size][n:], checksum=None)
    for key in ("f0", "f2"):
        world.s3.fault(key=key, method="GET", times=1, flip=10)
    report = world.fetch(one_by_one(size))
    assert {outcome.verification for outcome in report} == {VerificationLevel.MD5}
    assert world.files() == {f"f{n}": FILES[size][n:] for n in range(4)}


@sizes
def test_a_known_bucket_without_checksums_still_refuses_a_wrong_length_and_a_stated_checksum(
    world, size
):
    content = FILES[size]
    world.put("a", content, checksum=None, forced_etag=md5(b"a"))
    world.put("f", content, checksum="crc32", forced_etag=md5(b"f"))
    world.put("g", content, checksum=None, forced_etag=md5(b"g"))
    world.s3.fault(key="f", method="GET", flip=5)
    world.s3.lie("g", size=len(content) - 1, etag=md5(b"g"))
    first, wrong, cut = world.fetch(one_by_one(size))
    assert first.reason == CAME_TWICE
    assert (wrong.status, cut.status) == (Status.FAILED, Status.FAILED)
    assert world.files() == {"a": content}


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param((5 * MIB, 5 * MIB, 8 * MIB + 7), id="joined"),
        pytest.param((6_900_000, 6_900_000, 3_500_123), id="one odd size"),
        pytest.param((5 * MIB, 6 * MIB, 5 * MIB + 9), id="each of its own"),
    ],
)
def test_an_upload_in_unequal_parts_comes(world, tells, cuts):
    body = world.put("f", noise(sum(cuts)), checksum=None, cuts=cuts)
    world.s3.tells_parts = tells
    outcome = only(world.fetch(replace(OPTIONS, part_size=4 * MIB)))
    known = tells or cuts[0] == 5 * MIB == cuts[1]
    level = VerificationLevel.MULTIPART if known else VerificationLevel.SIZE
    assert (outcome.verification, outcome.reason) == (level, "" if known else CAME_TWICE)
    assert world.files() == {"f": body}
    assert copies(world, "f", body) == pytest.approx(1 if known else 2)


def only(report):
    (outcome,) = report
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("last", [1, 3 * MIB, 8 * MIB])
def test_an_upload_with_boto3_comes_from_moto(tmp_path, monkeypatch, last):
    """The second opinion on what an ETag of parts is; moto tells the ETag of the part asked for."""
    cuts = [5 * MIB, 5 * MIB, last]
    body = noise(sum(cuts), last)
    with MotoS3({}, "uploads") as moto, World(tmp_path, monkeypatch) as world:
        where = {"Bucket": "uploads", "Key": "f"}
        upload_parts(moto.client(), where, cut(body, cuts))
        moto.publish("f")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto.url)
        bucket = Dataset("test", "uploads")
        with Fetcher(bucket, world.root, network=NETWORK, rules=QUICK) as fetcher:
            plan = planned(fetcher)
            outcome = only(ran(fetcher, plan, replace(OPTIONS, part_size=4 * MIB)))
        assert outcome.verification is VerificationLevel.MULTIPART
        assert world.files() == {"f": body}


# -- HEAD is a hint --------------------------------------------------------------------------

HEADS = {
    "another ETag, and nothing": {"headers": {"ETag": '"gateway"'}, "content_length": 0},
    "another ETag": {"headers": {"ETag": '"gateway"'}},
    "another ETag, and another length": {"headers": {"ETag": '"x"'}, "content_length": 7},
    "another length": {"content_length": 7},
    "no length": {"content_length": 0},
    "a weak ETag of another": {"headers": {"ETag": 'W/"gateway"'}},
    "a portal": {"status": 200, "body": HTML_PAGE, "headers": {"Content-Type": "text/html"}},
    "400": {"status": 400},
    "401": {"status": 401},
    "403": {"status": 403},
    "405": {"status": 405},
    "501": {"status": 501},
}


@pytest.mark.parametrize("checksum", [None, "crc64nvme"])
@pytest.mark.parametrize("head", HEADS)
def test_whatever_a_head_says_the_file_comes_once(world, head, checksum):
    world.put("f", LARGE, checksum=checksum)
    world.s3.fault(key="f", method="HEAD", **HEADS[head])
    outcome = fetched(world, "large")
    assert outcome.status is Status.FETCHED
    assert outcome.verification in (VerificationLevel.MD5, VerificationLevel.CHECKSUM)
    assert world.files() == {"f": LARGE}
    assert copies(world, "f", LARGE) == pytest.approx(1)
    assert len(world.s3.requests("HEAD", "f")) == 1
    assert world.receipts()["f"].etag == md5(LARGE)
    assert world.fetch().skipped


def test_a_head_that_lies_for_a_moment_costs_one_small_request(world):
    world.put("f", LARGE)
    world.s3.fault(key="f", method="HEAD", times=1, headers={"ETag": '"moment"'}, content_length=0)
    outcome = fetched(world, "large")
    assert (outcome.status, outcome.attempts) == (Status.FETCHED, 0)
    assert [r.range for r in world.gets("f") if r.sent <= 1] == ["bytes=0-0"]


def test_an_object_that_became_empty_is_asked_for_before_it_is_believed(world):
    world.put("f", LARGE)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        world.put("f", b"")
        outcome = only(ran(fetcher, plan))
    assert outcome.status is Status.FETCHED
    assert world.files() == {"f": b""}
    assert [r for r in world.gets("f") if not r.range and r.status == 200]
    assert world.receipts()["f"].etag == md5(b"")


@sizes
def test_an_object_that_changed_comes_as_it_is_now_though_no_head_is_answered(world, size):
    world.put("f", FILES[size])
    world.s3.fault(method="HEAD", status=405)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        world.put("f", FILES[size][1:], checksum=None)
        outcome = only(ran(fetcher, plan, options_for(size)))
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.MD5)
    assert world.files() == {"f": FILES[size][1:]}


# -- conditions that no server can meet ------------------------------------------------------


@sizes
def test_weakened_etags_doom_no_file(world, size):
    """A proxy weakens the ETags of responses, and a condition with the listed one fails."""
    world.put("f", FILES[size], checksum=None)
    tag = f'W/"{md5(FILES[size])}-gzip"'
    world.s3.fault(key="f", headers={"ETag": tag})
    outcome = fetched(world, size)
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.MD5)
    assert world.files() == {"f": FILES[size]}
    assert world.fetch().skipped


@sizes
def test_a_listing_with_weak_etags_dooms_no_file(world, size):
    world.put("f", FILES[size], checksum=None, forced_etag='W/"abc')  # in quotes: W/"abc"
    world.s3.lie("f", etag='W/"abc')
    outcome = fetched(world, size)
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.SIZE)
    assert not [r for r in world.gets("f") if "if-match" in r.headers]
    assert world.fetch().skipped


@sizes
def test_a_server_that_fails_every_condition_dooms_no_file(world, size):
    world.put("f", FILES[size], checksum=None)
    fails = FailsConditions(world.s3)
    with fails:
        outcome = fetched(world, size)
    assert fails.failed
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.MD5)
    assert world.files() == {"f": FILES[size]}


class FailsConditions:
    """Lets a server answer 412 to whatever has a condition. A context manager."""

    def __init__(self, s3):
        self._s3, self._answer, self.failed = s3, s3.answer, 0

    def __enter__(self):
        self._s3.answer = self.answer

    def __exit__(self, *_):
        self._s3.answer = self._answer

    def answer(self, request):
        if "if-match" in request.headers:
            self.failed += 1
            return self._s3.failure(412)
        return self._answer(request)


# -- a listing that never agrees with its objects --------------------------------------------


@sizes
@pytest.mark.parametrize("listed", ["0x8D9953E36AF2607-1", md5(b""), md5(b"x") + "-2"])
def test_a_listing_that_always_tells_another_etag_costs_one_fetch_and_no_more(world, size, listed):
    world.put("f", FILES[size], checksum=None)
    world.s3.lie("f", etag=listed)
    outcome = fetched(world, size)
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.MD5)
    assert copies(world, "f", FILES[size]) == pytest.approx(1)
    receipt = world.receipts()["f"]
    assert (receipt.etag, receipt.listed) == (md5(FILES[size]), listed)
    world.s3.clear_log()
    assert world.fetch().skipped
    assert world.s3.requests(key="f") == []
    with world.fetcher() as fetcher:
        wants = [step.want for step in planned(fetcher).steps]
        assert fetcher.audit(wants, read_all=True).ok
    world.put("f", FILES[size][::-1], checksum=None)
    world.s3.lie("f", etag=listed[:-1] + "9")  # now another object is listed
    assert [step.action for step in world.plan().steps] == [Action.REPLACE]


def test_a_large_file_of_such_a_bucket_is_resumed(world):
    world.put("f", LARGE, checksum=None)
    world.s3.lie("f", etag="0x8D9953E36AF2607")
    world.s3.fault(key="f", byte_range=f"bytes={2 * PART}-*", status=404)
    assert fetched(world, "large").status is Status.FAILED
    world.s3.clear_faults()
    world.s3.clear_log()
    assert [step.action for step in world.plan().steps] == [Action.RESUME]
    outcome = fetched(world, "large")
    assert (outcome.status, outcome.reason) == (Status.FETCHED, "resumed")
    assert world.files() == {"f": LARGE}
    assert copies(world, "f", LARGE) < 0.6
    world.assert_clean()


def test_an_object_that_is_younger_than_its_listing_has_changed_and_is_not_known_by_it(world):
    """Were it put back as it was, the listing would be right, and the file here another."""
    old = S3Object(SMALL)
    world.s3.put("f", old)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        later = old.modified.replace(year=old.modified.year + 1)
        world.s3.put("f", S3Object(SMALL[::-1], modified=later))
        assert only(ran(fetcher, plan)).ok
    assert world.receipts()["f"].listed == ""
    world.s3.put("f", old)
    assert world.fetch().ok
    assert world.files() == {"f": SMALL}


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ({"checksum": "crc32"}, State.ADOPTED),
        ({"checksum": None}, State.DIFFERS),
        ({"checksum": None, "forced_etag": None}, State.ADOPTED),
    ],
)
def test_a_file_of_another_tool_is_compared_with_what_the_server_states(world, how, state):
    """Where its ETag does not match, the server is asked for a checksum before it is said so."""
    world.put("f", SMALL, **{"forced_etag": md5(b"x"), **how})
    (world.root / "f").write_bytes(SMALL)
    with world.fetcher() as fetcher:
        wants = [step.want for step in planned(fetcher).steps]
        (finding,) = fetcher.audit(wants, read_all=True).findings
        assert finding.state is state
        (world.root / "f").write_bytes(SMALL[::-1])
        (finding,) = fetcher.audit(wants, read_all=True).findings
        assert finding.state is State.DIFFERS


# -- whatever there is -----------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_right_bytes_always_arrive_with_two_downloads_at_most(tmp_path_factory, data):
    """Whatever the size, the parts and the kind of ETag of an upload; flipped bytes never do."""
    cuts = tuple(data.draw(st.lists(st.integers(1, 2 * PART), min_size=1, max_size=4), "parts"))
    kind = data.draw(st.sampled_from(["parts", "md5", "forced", "opaque"]), "ETag")
    checksum = data.draw(st.sampled_from([None, None, "crc32", "sha256"]), "checksum")
    flip = data.draw(st.none() | st.integers(0, sum(cuts) - 1), "byte that is turned, once")
    body = noise(sum(cuts), len(cuts))
    forced = {"forced": md5(b"no"), "opaque": "some-tag"}.get(kind)
    how = {"cuts": cuts} if kind == "parts" else {}
    with pytest.MonkeyPatch.context() as patch:
        tmp_path = tmp_path_factory.mktemp("claims")
        with World(tmp_path, patch) as world:
            world.s3.tells_parts = data.draw(st.booleans(), "the server tells parts")
            world.put("f", body, checksum=checksum, forced_etag=forced, **how)
            if flip is not None:
                world.s3.fault(key="f", method="GET", byte_range="*", times=1, flip=flip)
            outcome = only(world.fetch())
            count = copies(world, "f", body)
            stated = checksum == "crc32" or (checksum == "sha256" and kind != "parts")
            if kind == "opaque" and not stated:
                assert outcome.verification is VerificationLevel.SIZE
                return
            assert count <= 2.01
            assert outcome.ok or flip is not None
            assert world.files() == ({"f": body} if outcome.ok else {})


# -- answers to other requests ---------------------------------------------------------------


class Confused:
    """A server that says something nobody asked for before it answers a GET.

    So the answer to one request is read as that to the next. HEADs, listings and every third
    connection are answered as they should be. A context manager.
    """

    def __init__(self, objects, etag, unasked):
        self.objects, self.etag, self.unasked = objects, etag, unasked
        self.connections = 0

    def __call__(self, connection, head):
        text = head.decode()
        method, target, _ = text.split(" ", 2)
        if "list-type" in target:
            rows = "".join(
                f"<Contents><Key>{key}</Key><Size>{len(body)}</Size>"
                f"<ETag>{self.etag(key)}</ETag></Contents>"
                for key, body in self.objects.items()
            )
            body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
            connection.sendall(self.answer("", body.encode()))
            return
        key = target.rpartition("/")[2].partition("?")[0]
        tag = f'ETag: "{self.etag(key)}"\r\n'
        body = self.objects[key]
        if method == "HEAD":
            connection.sendall(self.answer(tag, body)[: -len(body)])
            return
        self.connections += 1
        if self.connections % 3:
            connection.sendall(self.unasked)
        asked = re.search(r"Range: bytes=(\d+)-(\d+)", text)
        if asked:
            first, last = int(asked[1]), int(asked[2])
            ranged = f"{tag}Content-Range: bytes {first}-{last}/{len(body)}\r\n"
            connection.sendall(self.answer(ranged, body[first : last + 1], "206 Partial Content"))
            return
        connection.sendall(self.answer(tag, body))

    @staticmethod
    def answer(headers, body, status="200 OK"):
        head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


@pytest.mark.parametrize("says", ["no ETag", "the ETag of another", "a weak one"])
@pytest.mark.parametrize("claims", ["MD5s", "opaque", "no MD5s"])
@pytest.mark.parametrize("size", [900, 2 * PART])
def test_an_answer_that_nobody_asked_for_takes_no_name(world, monkeypatch, says, claims, size):
    """All files are of one size, so only an ETag tells one from another."""
    objects = {f"f{n:02}": noise(size, n) for n in range(12)}
    stray = noise(size, 99)
    tag = {"no ETag": "", "a weak one": 'ETag: W/"stray"\r\n'}.get(
        says, f'ETag: "{md5(stray)}"\r\n'
    )
    etags = {"MD5s": lambda key: md5(objects[key]), "opaque": lambda key: f"tag-of-{key}"}
    etag = etags.get(claims, lambda key: md5(key.encode()))
    confused = Confused(objects, etag, Confused.answer(tag, stray))
    with RawServer(confused) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        for _ in range(4):
            report = world.fetch()
            files = world.files()
            assert {key: files[key] for key in files} == {key: objects[key] for key in files}
            assert {outcome.path for outcome in report if outcome.ok} == set(files)
