"""Servers that speak HTTP loosely, and servers that fail at random: no byte is taken on trust."""

import hashlib
import os
import random
import re
import threading
from dataclasses import replace

import pytest

from neurofetch.engine import RetryRules
from neurofetch.model import IncompleteError, Status, VerificationLevel
from tests.engine_raw import RawServer
from tests.engine_world import OPTIONS, PART, World, noise, planned, ran, until
from tests.transfer_model import open_below

LARGE = noise(5 * PART + 777, 2)
SMALL = noise(3_000, 1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def loose(body, respond, *, etag=True):
    """Return a script for a server of one object, `f.bin`, that answers GET as `respond` says.

    `respond(start, stop)` gets the range that was asked for and returns the whole answer.
    """
    tag = hashlib.md5(body, usedforsecurity=False).hexdigest() if etag else ""
    entry = f"<Contents><Key>f.bin</Key><Size>{len(body)}</Size><ETag>{tag}</ETag></Contents>"
    listing = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entry}</ListBucketResult>"

    def script(connection, head):
        text = head.decode()
        if "list-type=2" in text:
            said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(listing)}\r\n\r\n{listing}".encode()
        elif text.startswith("HEAD"):
            said = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
        else:
            asked = re.search(r"Range: bytes=(\d+)-(\d+)", text)
            said = respond(*((int(asked[1]), int(asked[2]) + 1) if asked else (0, len(body))))
        connection.sendall(said)

    return script


def partial(body, start, stop, how):
    """Return an answer 206 (or 200) with a body that is chunked, or ends with the connection."""
    whole = (start, stop) == (0, len(body))
    status = b"200 OK" if whole else b"206 Partial Content"
    ranged = b"" if whole else b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, len(body))
    head = b"HTTP/1.1 " + status + b"\r\n" + ranged
    piece = body[start:stop]
    if how == "until the end":
        return head + b"Connection: close\r\n\r\n" + piece
    chunk = b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"


def fetched(world, monkeypatch, server):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    (outcome,) = world.fetch()
    return outcome


@pytest.mark.parametrize("body", [SMALL, LARGE])
def test_chunked_answers_make_a_whole_file(world, monkeypatch, body):
    def respond(start, stop):
        return partial(body, start, stop, "chunked")

    with RawServer(loose(body, respond)) as server:
        outcome = fetched(world, monkeypatch, server)
        assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.MD5)
        assert world.files() == {"f.bin": body}
        assert server.connections <= OPTIONS.connections


@pytest.mark.parametrize("body", [SMALL, LARGE])
def test_answers_that_end_with_the_connection_make_a_whole_file(world, monkeypatch, body):
    def respond(start, stop):
        return partial(body, start, stop, "until the end")

    with RawServer(loose(body, respond), close=True) as server:
        assert fetched(world, monkeypatch, server).status is Status.FETCHED
    assert world.files() == {"f.bin": body}


@pytest.mark.parametrize("how", ["chunked", "until the end"])
@pytest.mark.parametrize("change", [-1, 1, 200_000])
@pytest.mark.parametrize("body", [SMALL, LARGE])
def test_more_or_less_than_was_asked_for_is_neither_written_beyond_nor_taken(
    world, monkeypatch, body, change, how
):
    """Without a length in the head, only the end of the body tells."""
    sizes = []

    def respond(start, stop):
        folder = world.state / "partial"
        sizes.extend((folder / name).stat().st_size for name in world.left())
        said = partial(body, start, stop, how)
        if change < 0:
            return said.replace(body[start:stop], body[start : stop - 1]).replace(
                b"\r\n%x\r\n" % (stop - start), b"\r\n%x\r\n" % (stop - start - 1)
            )
        longer = body[start:stop] + b"x" * change
        return said.replace(body[start:stop], longer).replace(
            b"\r\n%x\r\n" % (stop - start), b"\r\n%x\r\n" % len(longer)
        )

    with RawServer(loose(body, respond), close=how == "until the end") as server:
        outcome = fetched(world, monkeypatch, server)
    assert outcome.status is Status.FAILED
    assert world.files() == {}
    assert max(sizes, default=0) <= len(body)


def test_one_bad_part_without_a_length_is_fetched_again(world, monkeypatch):
    bad = [2 * PART, 3 * PART]

    def respond(start, stop):
        if start in bad:
            bad.remove(start)
            cut = partial(LARGE, start, stop - 7, "chunked")
            return cut.replace(b"-%d/" % (stop - 8), b"-%d/" % (stop - 1))
        return partial(LARGE, start, stop, "chunked")

    with RawServer(loose(LARGE, respond)) as server:
        assert fetched(world, monkeypatch, server).status is Status.FETCHED
    assert world.files() == {"f.bin": LARGE}
    assert bad == []


def test_without_an_etag_a_file_comes_in_one_piece(world, monkeypatch):
    def respond(start, stop):
        assert (start, stop) == (0, len(LARGE))
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE

    with RawServer(loose(LARGE, respond, etag=False)) as server:
        outcome = fetched(world, monkeypatch, server)
    assert (outcome.status, outcome.verification) == (Status.FETCHED, VerificationLevel.SIZE)
    assert world.files() == {"f.bin": LARGE}


# -- at random -------------------------------------------------------------------------------


def mischief(rng, s3, keys):
    """Script some random faults; one in four stays for ever.

    But no flipped byte does where an ETag is all there is: two downloads alike settle that.
    """
    for _ in range(rng.randint(5, 25)):
        what = rng.choice(
            [
                {"reset": True},
                {"cut_after": rng.randint(0, PART)},
                {"reset": True, "cut_after": rng.randint(0, PART)},
                {"status": rng.choice([403, 404, 412, 416, 429, 500, 503])},
                {"flip": rng.randint(0, 6 * PART)},
                {"ignore_range": True},
                {"content_range": "bytes 0-1/2"},
                {"content_length": rng.randint(0, 2 * PART)},
                {"stall": 0.5, "stall_after": rng.randint(0, PART)},
                {"status": 200, "body": b"<html>hello</html>"},
            ]
        )
        times = None if rng.random() < 0.25 else rng.randint(1, 3)
        key = rng.choice(keys)
        if "flip" in what and s3.stored(key).checksum is None:
            times = 1
        s3.fault(key=key, skip=rng.randint(0, 3), times=times, method="[GH]E*", **what)


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_a_name_holds_the_right_bytes_or_nothing(world, seed):
    rng = random.Random(seed)
    sizes = [rng.choice([0, 10, 5_000, PART, PART + 1, 4 * PART + 9, 6 * PART]) for _ in range(14)]
    verifications = [{}, {"checksum": None}, {"checksum": "crc32"}, {"checksum": "sha256"}]
    content = {
        f"k{n:02}": world.put(f"k{n:02}", noise(size, 100 * seed + n), **rng.choice(verifications))
        for n, size in enumerate(sizes)
    }
    mischief(rng, world.s3, list(content))
    if rng.random() < 0.5:
        changing = rng.choice(list(content))
        world.s3.change(changing, noise(len(content[changing]), 7_000), skip=rng.randint(1, 4))
    options = replace(OPTIONS, rules=RetryRules(attempts=3, base=0.002, cap=0.01))
    before, others = descriptors(), set(threading.enumerate())
    report = world.fetch(options)
    until(lambda: descriptors() <= before)
    mine = set(threading.enumerate()) - others
    assert not [thread for thread in mine if thread.name.startswith("neurofetch-")]
    now = {key: world.s3.stored(key).blob.read(0, 1 << 30) for key in content}
    for path, body in world.files().items():
        assert body in (content[path], now[path])
    assert {o.path for o in report if o.ok} == set(world.files())
    assert world.left("claims") == []
    assert [name for name in world.left() if name.endswith(".tmp")] == []
    world.s3.clear_faults()
    assert world.fetch(options).ok
    assert world.files() == {**content, **now}
    world.assert_clean()


@pytest.mark.slow
def test_no_descriptor_stays_open(world):
    for n in range(4):
        world.put(f"large{n}", noise(4 * PART, n))
        world.put(f"small{n}", noise(900, n))
    world.s3.fault(key="large1", method="GET", flip=5)
    world.s3.fault(key="large2", method="GET", skip=1, status=404)
    world.s3.fault(key="large3", method="GET", skip=1, times=1, ignore_range=True)
    before = descriptors()
    world.fetch()
    until(lambda: descriptors() <= before)
    world.fetch(overwrite=True)
    until(lambda: descriptors() <= before)


def test_a_transfer_that_is_stopped_early_closes_its_large_files(world):
    world.put("a.bin", LARGE)
    for n in range(9):
        world.put(f"b{n}", SMALL)
    world.s3.fault(key="b*", method="GET", status=404, delay=0.2)
    world.s3.fault(key="a.bin", method="GET", skip=1, delay=0.4)
    options = replace(OPTIONS, failures_in_a_row=2, bulk_connections=1)
    with world.fetcher() as fetcher:
        plan = planned(fetcher)
        report = ran(fetcher, plan, options)
    assert report.outcomes[0].status is Status.FAILED
    assert open_below(world.root) == []
    assert world.left("claims") == []
    world.s3.clear_faults()
    world.s3.clear_log()
    assert world.fetch().ok
    assert 0 not in world.ranges("a.bin")  # its first part came before the stop, and was kept


def test_a_key_that_is_no_unicode_is_left_out_and_named_and_breaks_nothing(world, monkeypatch):
    entry = "<Contents><Key>ev%FFil</Key><Size>1</Size><ETag>x</ETag></Contents>"
    page = f"<ListBucketResult><EncodingType>url</EncodingType>{entry}</ListBucketResult>"
    said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode()
    with RawServer(said) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        report = world.fetch()
        assert len(server.heads) == 1
    (outcome,) = report.outcomes
    assert outcome.status is Status.FAILED
    assert "not valid UTF-8" in outcome.reason
    with pytest.raises(IncompleteError, match=r"ev\\xffil: (.|\n)*--exclude"):
        report.raise_for_failures()
    assert list(world.root.iterdir()) == []
