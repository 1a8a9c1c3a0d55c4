"""A line that cuts: what came is not asked for twice, whatever way a file is fetched."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from neurofetch import survey
from neurofetch.engine import RetryRules, stream
from neurofetch.events import Progress, Retrying
from neurofetch.model import Status, VerificationLevel
from neurofetch.transfer import part_file
from testbed._line import Line
from tests.engine_world import KIB, MIB, OPTIONS, PART, QUICK, World, noise

BIG = 8 * PART
IN_PARTS = replace(OPTIONS, part_size=BIG, single_limit=BIG)
WHOLE = replace(OPTIONS, single_limit=64 * MIB)
WAYS = {"in parts": IN_PARTS, "in one piece": WHOLE}
FIRST = {"in parts": "bytes=0-*", "in one piece": ""}
"""What the first request for the file asks for."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


@contextmanager
def behind(world, monkeypatch, **how):
    """Put a line in front of the server."""
    with Line(world.s3.port, **how) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", line.url)
        yield line
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", world.s3.url)


def only(report):
    (outcome,) = report
    return outcome


# -- cuts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [40_000, 100_001, 5 * PART])
def test_a_line_that_cuts_again_and_again_costs_no_byte_twice(world, monkeypatch, way, cut):
    body = world.put("f.bin", noise(20 * PART + 77))
    with behind(world, monkeypatch, cut_bytes=cut) as line:
        outcome = only(world.fetch(WAYS[way]))
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.CHECKSUM)
    assert line.cuts >= 2
    assert outcome.moved == len(body)  # what was on its way when the line was cut, nobody has
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "how",
    [
        {"checksum": None},  # the ETag is an MD5
        {"checksum": None, "part_size": 5 * MIB},
        {"checksum": "crc32", "part_size": 5 * MIB},
        {"checksum": "sha256"},
    ],
    ids=str,
)
def test_every_kind_of_checksum_goes_on_over_the_cuts(world, monkeypatch, way, how):
    body = world.put("f.bin", noise(6 * MIB + 1), **how)
    options = replace(WAYS[way], part_size=5 * MIB) if way == "in parts" else WAYS[way]
    with behind(world, monkeypatch, cut_bytes=900 * KIB) as line:
        outcome = only(world.fetch(options))
    assert outcome.ok
    assert outcome.verification not in (VerificationLevel.SIZE, VerificationLevel.NONE)
    assert line.cuts >= 6
    assert outcome.moved == len(body)
    assert world.files() == {"f.bin": body}
    world.assert_clean()


def test_files_of_all_sizes_come_over_a_line_that_cuts(world, monkeypatch):
    sizes = [0, 1, 3_000, 200_000, 300_000, 700_000, 3 * BIG]
    files = {f"d/f{n}": world.put(f"d/f{n}", noise(size, n)) for n, size in enumerate(sizes)}
    with behind(world, monkeypatch, cut_bytes=220_000) as line:
        report = world.fetch(replace(IN_PARTS, single_limit=MIB))
    assert report.ok, list(report)
    assert line.cuts
    assert world.files() == files
    world.assert_clean()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trouble", [{"cut_after": 300_000}, {"cut_after": 300_000, "flip": 9}])
def test_the_progress_counts_each_byte_that_is_kept_once(world, way, trouble):
    body = world.put("f.bin", noise(12 * PART))
    world.s3.fault(byte_range=FIRST[way], method="GET", times=1, **trouble)
    events = []
    assert world.fetch(WAYS[way], listen=events.append).ok
    assert [e.bytes_done for e in events if isinstance(e, Progress)][-1] == len(body)


def test_a_file_that_cannot_be_resumed_says_so_when_it_is_cut(world):
    world.put("f.bin", noise(12 * PART))
    weak = {"ETag": 'W/"' + world.s3.stored("f.bin").etag.strip('"') + '"'}
    world.s3.fault(method="GET", times=1, cut_after=300_000, headers=weak)
    events = []
    assert world.fetch(WHOLE, listen=events.append).ok
    (told,) = [event.reason for event in events if isinstance(event, Retrying)]
    assert told.endswith("it cannot be resumed, and begins anew")


@pytest.mark.parametrize("stretch", [1, 2000])
def test_the_plan_says_which_files_cannot_be_resumed(world, monkeypatch, stretch):
    """It is one note for the whole plan, however many files are planned at a time."""
    monkeypatch.setattr(survey, "_STRETCH", stretch)
    for name, size in (("a", 300 * KIB), ("b", 10), ("c", 400 * KIB), ("d", 300 * KIB)):
        world.put(name, noise(size))
        if name != "d":
            world.s3.lie(name, etag='W/"abc')
    (note,) = world.plan().notes
    assert note.startswith(f"2 files of more than 256 kB ({700 * KIB:,} bytes) cannot be resumed")


def test_attempts_count_from_the_last_one_that_brought_something(world, monkeypatch):
    body = world.put("f.bin", noise(8 * PART))
    with behind(world, monkeypatch, cut_bytes=20_000) as line:
        outcome = only(world.fetch(IN_PARTS))
    assert outcome.ok
    assert line.cuts > 3 * QUICK.attempts
    assert world.files() == {"f.bin": body}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [0, 1, 100, 4_000])
def test_a_server_that_drips_a_little_and_lets_go_is_not_asked_for_ever(world, way, count):
    world.put("f.bin", noise(12 * PART))
    world.s3.fault(method="GET", cut_after=count)
    options = replace(WAYS[way], bulk_connections=1)
    outcome = only(world.fetch(options))
    assert outcome.status is Status.FAILED
    assert f"gave up after {QUICK.attempts} attempts" in outcome.reason
    assert len(world.gets("f.bin")) == QUICK.attempts
    world.s3.clear_faults()
    assert world.fetch(options).ok


@pytest.mark.parametrize("way", WAYS)
def test_a_stall_keeps_what_came_before_it(world, way):
    body = world.put("f.bin", noise(12 * PART))
    world.s3.fault(method="GET", times=2, stall=20.0, stall_after=300_000)
    outcome = only(world.fetch(WAYS[way]))
    assert outcome.ok
    assert outcome.moved == len(body)
    assert world.files() == {"f.bin": body}


def until_close(sock, request, reply):
    """Answer without a length, and close early."""
    span = "" if reply.status == 200 else f"Content-Range: {reply.headers['Content-Range']}\r\n"
    etag = reply.headers["ETag"]
    head = f"HTTP/1.0 {reply.status} X\r\nETag: {etag}\r\n{span}\r\n"
    sock.sendall(head.encode() + reply.body[:200_000])


def test_a_body_of_no_stated_length_that_ends_early_goes_on(world):
    body = world.put("f.bin", noise(12 * PART))
    for options in WAYS.values():
        world.s3.fault(method="GET", act=until_close)
        outcome = only(world.fetch(options, overwrite=True))
        assert outcome.ok, outcome
        assert outcome.moved == len(body)
        assert world.files() == {"f.bin": body}
        world.assert_clean()
        world.s3.clear_faults()


def test_a_stream_goes_on_where_its_connections_end(world, monkeypatch):
    body = world.put("f.bin", noise(5 * MIB + 5))
    with behind(world, monkeypatch, cut_bytes=700 * KIB) as line:
        with world.fetcher() as fetcher:
            (remote,) = fetcher.source.walk("")
            blocks = stream(fetcher.client, remote, source=fetcher.source, rules=QUICK)
            assert b"".join(map(bytes, blocks)) == body
        assert line.cuts >= 5


def test_a_stream_goes_on_where_a_body_of_no_stated_length_ends_early(world):
    body = world.put("f.bin", noise(12 * PART))
    world.s3.fault(method="GET", key="f.bin", act=until_close)
    with world.fetcher() as fetcher:
        (remote,) = fetcher.source.walk("")
        blocks = stream(fetcher.client, remote, source=fetcher.source, rules=QUICK)
        assert b"".join(map(bytes, blocks)) == body


# -- servers that cannot be asked for the rest ------------------------------------------------


REFUSED = {
    "416": {"status": 416},
    "another range": {"content_range": "bytes 5-10/786432"},
    "an answer that is none": {"status": 400},
    "the whole": {"ignore_range": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", REFUSED)
def test_where_the_rest_is_not_to_be_had_it_begins_anew(world, way, answer):
    body = world.put("f.bin", noise(12 * PART))
    world.s3.fault(byte_range=FIRST[way], method="GET", times=1, cut_after=300_000)
    world.s3.fault(method="GET", byte_range="bytes=300000-*", **REFUSED[answer])
    outcome = only(world.fetch(WAYS[way]))
    assert outcome.ok, outcome
    assert outcome.moved >= len(body) + 300_000
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", REFUSED)
def test_a_server_that_cuts_and_refuses_the_rest_is_not_asked_for_ever(world, way, answer):
    world.put("f.bin", noise(12 * PART))
    world.s3.fault(method="GET", byte_range="bytes=?*00-*", skip=0, **REFUSED[answer])
    world.s3.fault(method="GET", cut_after=100_100)
    outcome = only(world.fetch(replace(WAYS[way], bulk_connections=1)))
    assert outcome.status is Status.FAILED
    assert len(world.gets("f.bin")) < 8 * QUICK.attempts


@pytest.mark.parametrize("way", WAYS)
def test_of_an_object_that_changes_between_the_cuts_nothing_old_is_kept(world, way):
    world.put("f.bin", noise(12 * PART, 1))
    new = noise(12 * PART, 2)
    world.s3.fault(byte_range=FIRST[way], method="GET", times=1, cut_after=300_000)
    world.s3.fault(
        method="GET", byte_range="bytes=300000-*", times=1, before=lambda: world.put("f.bin", new)
    )
    outcome = only(world.fetch(WAYS[way]))
    assert outcome.ok, outcome
    assert world.files() == {"f.bin": new}
    world.assert_clean()


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_of_another_version_that_ignores_the_condition_is_not_mixed_in(world, way):
    old = world.put("f.bin", noise(12 * PART, 1))
    world.s3.fault(byte_range=FIRST[way], method="GET", times=1, cut_after=300_000)
    world.s3.fault(
        method="GET", byte_range="bytes=300000-*", times=1, headers={"ETag": '"another"'}
    )
    outcome = only(world.fetch(WAYS[way]))
    assert outcome.ok, outcome
    assert world.files() == {"f.bin": old}


@pytest.mark.parametrize("way", WAYS)
def test_wrong_bytes_before_a_cut_are_found_at_the_end_and_all_is_fetched_once_more(world, way):
    body = world.put("f.bin", noise(12 * PART))
    world.s3.fault(byte_range=FIRST[way], method="GET", times=1, cut_after=300_000, flip=1_234)
    outcome = only(world.fetch(WAYS[way]))
    assert outcome.ok, outcome
    assert outcome.moved == 2 * len(body)
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.parametrize("etag", ['W/"weak"', ""])
def test_without_a_strong_etag_a_file_in_one_piece_begins_anew(world, etag):
    body = world.put("f.bin", noise(8 * PART))
    world.s3.fault(method="GET", times=1, cut_after=300_000, headers={"ETag": etag})
    outcome = only(world.fetch(WHOLE))
    if etag:  # it was listed: what is told says nothing else
        assert [request.range for request in world.gets("f.bin")] == ["", ""]
    assert outcome.ok, outcome
    assert world.files() == {"f.bin": body}


# -- the notes -------------------------------------------------------------------------------


def test_the_log_does_not_grow_without_bound(world, monkeypatch):
    most = 2_000
    monkeypatch.setattr(part_file, "_GROWTH", most)
    body = world.put("f.bin", noise(16 * PART))
    sizes = []
    begin = part_file.PartFile._begin_log

    def measured(partial):
        log = world.state / "partial" / partial._log
        sizes.append(log.stat().st_size if log.exists() else 0)
        begin(partial)
        sizes.append(log.stat().st_size)

    monkeypatch.setattr(part_file.PartFile, "_begin_log", measured)
    with behind(world, monkeypatch, cut_bytes=9_000):
        assert world.fetch(IN_PARTS).ok
    assert len(sizes) > 4
    assert max(sizes) < most + 1_000
    assert world.files() == {"f.bin": body}
    world.assert_clean()


def test_where_little_comes_at_a_time_two_attempts_are_enough(world, monkeypatch):
    body = world.put("f.bin", noise(6 * PART))
    rules = RetryRules(attempts=2, base=0.001, cap=0.002)
    with behind(world, monkeypatch, cut_bytes=30_000):
        assert world.fetch(replace(WHOLE, rules=rules)).ok
    assert world.files() == {"f.bin": body}
