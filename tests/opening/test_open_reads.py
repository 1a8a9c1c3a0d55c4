"""What an open file gives: the bytes of one version, and only those that are read come."""

import gzip
import io
import os
import random
from functools import partial

import pytest

import neurofetch
from neurofetch.errors import (
    MissingRemoteError,
    RefusedError,
    RemoteChangedError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from neurofetch.opening.file import OpenedFile
from tests.engine_world import noise
from tests.opening_world import BLOCK


def test_a_look_at_the_beginning_of_a_large_file_brings_one_block(world):
    data = world.put_noise("a", blocks=40)
    with world.open() as file:
        assert file.read(348) == data[:348]
    assert world.blocks_asked() == [0]
    assert world.served() == BLOCK


def test_whatever_is_read_in_whatever_order_is_what_a_local_file_gives(world, tmp_path):
    data = world.put_noise("a", blocks=9.3)
    local = tmp_path / "local"
    local.write_bytes(data)
    draw = random.Random(4)
    with world.open() as file, local.open("rb") as true:
        for _ in range(300):
            whence = draw.choice([os.SEEK_SET, os.SEEK_END, os.SEEK_CUR])
            place = draw.randrange(len(data) + 1000)
            offset = {os.SEEK_SET: place, os.SEEK_END: -draw.randrange(len(data))}.get(
                whence, draw.randrange(5000)
            )
            assert file.seek(offset, whence) == true.seek(offset, whence)
            size = draw.choice([0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
            assert file.read(size) == true.read(size)
            assert file.tell() == true.tell()
    assert sorted(set(world.blocks_asked())) == sorted(world.blocks_asked())


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
@pytest.mark.parametrize(
    "blocks", [0, 1 / BLOCK, 1, 1 + 1 / BLOCK, 2, 40.7], ids=lambda n: f"{n:.4g}"
)
def test_a_whole_file_of_any_size_is_read_at_once_or_in_pieces(world, cache_dir, blocks):
    data = world.put_noise("a", blocks=blocks)
    for size in (-1, 1000, BLOCK, 3 * BLOCK + 1):
        with world.open(cache_dir=cache_dir) as file:
            pieces = list(iter(partial(file.read, size), b"")) if size > 0 else [file.read()]
        assert b"".join(pieces) == data


def test_reading_on_asks_for_more_at_a_time_and_for_each_block_once(world):
    data = world.put_noise("a", blocks=40)
    with world.open() as file:
        while file.read(10_000):
            pass
    assert sorted(world.blocks_asked()) == list(range(40))
    assert len(world.gets()) < 12
    with world.open() as file:
        assert file.read() == data
    assert len(world.blocks_asked()) == 40


def test_jumps_bring_no_more_than_they_need(world):
    world.put_noise("a", blocks=40)
    with world.open() as file:
        for block in (30, 3, 20, 11):
            file.seek(block * BLOCK + 5)
            file.read(100)
    assert world.blocks_asked() == [30, 3, 20, 11]


def test_lines_and_buffers_are_those_of_python(world):
    text = b"".join(b"%d,%s\r\n" % (n, b"x" * (n % 700)) for n in range(900)) + b"no end"
    world.put("a", text)
    true = io.BytesIO(text)
    with world.open() as file:
        assert list(file) == list(true)
        file.seek(5), true.seek(5)
        assert [file.readline(7), file.readline(0)] == [true.readline(7), true.readline(0)]
        assert file.readlines(2000) == true.readlines(2000)
        one, other = bytearray(100), bytearray(100)
        assert file.readinto(one) == true.readinto(other)
        assert one == other
        assert file.peek(3)[:3] == text[file.tell() : file.tell() + 3]
        assert file.read1(17) == true.read1(17)
        assert file.pread(10, 20) == text[20:30]


def test_text_is_text_and_says_its_encoding(world):
    world.put("a", "Größe\r\nn\n".encode("latin-1"))
    with neurofetch.open("s3://b/a", "r", encoding="latin-1") as file:
        assert file.read() == "Größe\nn\n"
    with neurofetch.open("s3://b/a", "rt", encoding="latin-1", newline="") as file:
        assert file.readlines() == ["Größe\r\n", "n\n"]
    with neurofetch.open("s3://b/a", "r") as file, pytest.raises(UnicodeDecodeError):
        file.read()
    with neurofetch.open("s3://b/a", "r", errors="replace") as file:
        assert file.read().startswith("Gr\ufffd")


def test_a_gzipped_file_is_unpacked_as_it_comes(world):
    world.put("a.gz", gzip.compress(b"inside" * 10_000))
    with world.open("a.gz") as file, gzip.open(file) as inside:
        assert inside.read(12) == b"insideinside"


def test_the_web_address_of_an_object_is_the_object(world):
    data = world.put("sub 1/ä+b.txt", b"1")
    for url in ("s3://b/sub 1/ä+b.txt", f"{world.s3.url}/b/sub%201/%C3%A4%2Bb.txt"):
        with neurofetch.open(url) as file:
            assert file.read() == data
    assert len(world.gets()) == 1


@pytest.mark.parametrize("key", ["Icon\r", "a b ", "q?x=1", "h#1", "p%20q", "[1]*", "💩"])
def test_odd_keys_open(world, key):
    world.put(key, key.encode())
    with world.opener().open(f"s3://b/{key}") as file:
        assert file.read() == key.encode()


# -- a server, or the way to it, that is not as it should be ------------------------------------


@pytest.mark.parametrize("after", [0, 1, 1000, BLOCK - 1])
def test_a_cut_line_is_gone_on_from_where_it_ended(world, after):
    data = world.put_noise("a", blocks=3)
    world.s3.fault(key="a", method="GET", times=3, cut_after=after)
    with world.open() as file:
        assert file.read() == data
    assert world.served() <= len(data) + 3 * BLOCK


def test_a_server_that_fails_for_a_while_is_asked_again(world):
    data = world.put_noise("a", blocks=3)
    world.s3.fault(key="a", method="GET", times=2, status=503)
    with world.open() as file:
        assert file.read() == data


def test_a_server_that_fails_for_good_is_an_error_and_the_file_can_be_read_on_later(world):
    data = world.put_noise("a", blocks=3)
    with world.open() as file:
        world.s3.fault(key="a", method="GET", times=4, status=503)
        with pytest.raises(UnreachableError, match="503"):
            file.read()
        assert file.tell() == 0
        assert file.read() == data


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
def test_an_object_that_changes_under_the_reader_is_an_error_and_never_mixed_bytes(
    world, cache_dir
):
    old, new = noise(int(5.5 * BLOCK), 1), noise(int(5.5 * BLOCK), 2)
    world.put("a", old)
    with world.open(cache_dir=cache_dir) as file:
        assert file.read(BLOCK) == old[:BLOCK]
        world.put("a", new)
        for _ in range(2):
            with pytest.raises(
                RemoteChangedError, match=r"changed on the server since it was open"
            ):
                file.seek(3 * BLOCK), file.read()
    with world.open(cache_dir=cache_dir) as file:
        assert file.read() == new
    world.put("a", old)
    before = world.served()
    with world.open(cache_dir=cache_dir) as file:  # what is here of the old version is good again
        assert file.read() == old
    if cache_dir is None:
        assert world.served() - before == len(old) - BLOCK


def test_one_answer_of_another_version_is_asked_about_once_more(world):
    data = world.put_noise("a", blocks=3)
    world.s3.fault(key="a", method="GET", times=1, headers={"ETag": '"stale"'})
    with world.open() as file:
        assert file.read() == data


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
@pytest.mark.parametrize(
    "how",
    [{}, {"checksum": None}, {"checksum": "sha256"}, {"checksum": "crc32c"}, {"part_size": BLOCK},
     {"part_size": 3 * BLOCK, "checksum": None}],
    ids=["crc64nvme", "md5 etag", "sha256", "crc32c", "parts", "multipart etag"],
)  # fmt: skip
def test_a_flipped_byte_is_found_when_the_whole_file_was_read(world, cache_dir, how):
    data = world.put_noise("a", blocks=5.5, **how)
    world.s3.fault(key="a", method="GET", byte_range="bytes=*", times=1, flip=10)
    with world.open(cache_dir=cache_dir) as file:
        with pytest.raises(VerificationError, match="differ"):
            file.read()
        with pytest.raises(VerificationError):
            file.read(1)
    assert all("data" not in os.listdir(folder) for folder in world.entries())
    with world.open(cache_dir=cache_dir) as file:
        assert file.read() == data


def test_an_etag_that_is_no_checksum_is_found_out_and_costs_a_second_look(world):
    data = world.put_noise("a", blocks=3, checksum=None, forced_etag="0123456789abcdef" * 2)
    with world.open() as file:
        assert file.read() == data
    with world.open() as file:
        assert file.read() == data
    assert world.served() == 2 * len(data)


def test_a_bucket_that_does_not_let_itself_be_listed_still_opens(world):
    data = world.put("a", b"1")
    world.s3.fault(method="LIST", status=403)
    with world.open() as file:
        assert file.read() == data
    with pytest.raises(MissingRemoteError, match="no s3://b/missing"):
        world.open("missing")


def test_a_key_that_is_refused_says_so_and_what_can_be_done(world):
    world.put("a", b"1")
    world.s3.fault(key="a", status=403)
    with pytest.raises(RefusedError, match=r"403 AccessDenied.*Nothing was opened.*not public"):
        world.open()


def test_a_server_without_head_is_asked_by_get(world):
    data = world.put_noise("a", blocks=3)
    world.s3.fault(method="HEAD", status=501)
    with world.open() as file:
        assert file.read() == data


def test_an_open_file_says_what_it_is(world):
    world.put("a", b"123")
    with world.open() as file:
        assert isinstance(file, OpenedFile | io.IOBase)
        assert (file.name, file.mode, file.size) == ("s3://b/a", "rb", 3)
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert repr(file) == "<OpenedFile s3://b/a: 3 bytes>"
    assert file.closed
    file.close()
    assert repr(file) == "<OpenedFile s3://b/a: closed>"
    for act in (
        file.read,
        file.tell,
        file.readline,
        file.peek,
        lambda: file.seek(0),
        file.readable,
    ):
        with pytest.raises(UsageError, match="the file is closed"):
            act()
