"""What proves the bytes, what only claims to, and how much work is done to find out.

The oracle is `hashlib` and `zlib` alone: the ETags of uploads are made here, part by part.
"""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.errors import VerificationError
from neurofetch.integrity import checksums
from neurofetch.integrity.checksums import MIB, Layout, crc, layouts, layouts_of_first
from neurofetch.integrity.verification import EtagError, OnePiece, ServerChecksum, check_parts
from neurofetch.model import RemoteFile, VerificationLevel

URL = "http://127.0.0.1:1/b/f"
AWS = "https://bucket.s3.us-west-2.amazonaws.com/f"


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def etag_of(data, cuts):
    """Return the ETag of an upload in parts of these many bytes."""
    digests, at = [], 0
    for cut in cuts:
        digests.append(hashlib.md5(data[at : at + cut], usedforsecurity=False).digest())
        at += cut
    assert at == len(data)
    return f"{md5(b''.join(digests))}-{len(cuts)}"


class Disk:
    """The bytes of a file that came, and how often they were read again."""

    def __init__(self, data):
        self.data = data
        self.passes = 0

    def __call__(self):
        self.passes += 1
        for at in range(0, len(self.data), 1 << 20):
            yield self.data[at : at + (1 << 20)]


class Upload:
    """A server that tells how large the parts of an upload were; counts how often it was asked."""

    def __init__(self, cuts):
        self.cuts = cuts
        self.asked = []

    def __call__(self, number):
        self.asked.append(number)
        return self.cuts[number - 1]


def told(data, etag, headers=None, url=URL):
    return ServerChecksum.of(RemoteFile("f", url, len(data), etag), headers)


def in_one_piece(data, checksum, upload=None):
    disk = Disk(data)
    piece = OnePiece(checksum, part_length=upload)
    piece.update(data)
    return disk, lambda: piece.settle(disk)


def in_parts(data, checksum, upload=None, part=64 << 10):
    disk = Disk(data)
    update = crc(checksum.crc).update
    pieces = [data[at : at + part] for at in range(0, len(data), part)]
    parts = [(update(one, 0), len(one), "") for one in pieces]
    return disk, lambda: check_parts(checksum, parts, part, disk, upload)


ways = pytest.mark.parametrize("how", [in_one_piece, in_parts])


# -- uploads in unusual parts ----------------------------------------------------------------


@ways
@given(
    cuts=st.lists(st.integers(1, 90_000), min_size=1, max_size=9),
    tells=st.booleans(),
    turned=st.none() | st.integers(0, 10**6),
)
def test_whatever_the_parts_of_an_upload_right_bytes_are_known_or_doubted_and_wrong_never_known(
    how, cuts, tells, turned
):
    right = hashlib.shake_128(repr(cuts).encode()).digest(sum(cuts))
    etag = etag_of(right, cuts)
    data = bytearray(right)
    if turned is not None:
        data[turned % len(data)] ^= 0xFF
    upload = Upload(cuts)
    disk, settle = how(bytes(data), told(data, etag), upload if tells else None)
    doubt = None
    try:
        verified = settle()
    except EtagError as error:
        doubt, verified = error, error.verified
    assert doubt is not None or turned is None
    assert doubt is None or turned is not None or not tells
    level = VerificationLevel.SIZE if doubt else VerificationLevel.MULTIPART
    assert verified.verification is level
    name, _, value = verified.digest.partition(":")
    assert value == crc(name).hexdigest(crc(name).update(bytes(data), 0))
    assert disk.passes <= 2
    assert len(upload.asked) <= len(cuts)


@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param([17_179_870, 5], id="the console of AWS"),
        pytest.param([5 * MIB] * 3 + [8 * MIB + 7], id="s3fs joins a short last part"),
        pytest.param([5_000_000] * 2 + [9_000_000], id="joined, decimal"),
        pytest.param([6_900_000] * 3, id="equal parts of any size"),
        pytest.param([9 * MIB] * 2 + [1], id="a whole number of MiB"),
        pytest.param([10 * MIB], id="one part"),
    ],
)
@ways
def test_parts_as_tools_make_them_are_found_in_one_pass_and_no_question(how, cuts):
    data = bytes(bytearray(range(251)) * (sum(cuts) // 251 + 1))[: sum(cuts)]
    disk, settle = how(data, told(data, etag_of(data, cuts)))
    assert settle().verification is VerificationLevel.MULTIPART
    assert disk.passes <= 1


@ways
def test_growing_parts_are_found(how, monkeypatch):
    """As goofys makes them, only a thousandth as large."""
    grown = Layout(12_500, ((100, 500), (100, 2_500)))
    monkeypatch.setattr(checksums, "_GROWING", (grown,))
    cuts = [500] * 100 + [2_500] * 100 + [12_500] * 2 + [77]
    data = bytes(sum(cuts))
    disk, settle = how(data, told(data, etag_of(data, cuts)))
    assert settle().verification is VerificationLevel.MULTIPART
    assert disk.passes == 1


@pytest.mark.parametrize("turn", [1000, 500])
def test_the_parts_of_goofys_are_among_the_candidates(turn):
    """5, 25 and 125 MiB; the change came after 500 parts once, and after 1,000 since."""
    size = turn * 5 * MIB + turn * 25 * MIB + 3 * 125 * MIB + 1
    grown = Layout(125 * MIB, ((turn, 5 * MIB), (turn, 25 * MIB)))
    assert grown in layouts(size, 2 * turn + 4)[:8]
    assert grown in layouts_of_first(size, 2 * turn + 4, 5 * MIB)
    size = turn * 5 * MIB + 3 * 25 * MIB
    assert Layout(25 * MIB, ((turn, 5 * MIB),)) in layouts(size, turn + 3)[:8]


@ways
def test_the_server_is_asked_for_every_part_only_where_they_are_few(how):
    cuts = [1_000 + n % 7 for n in range(40)]
    data = bytes(sum(cuts))
    upload = Upload(cuts)
    disk, settle = how(data, told(data, etag_of(data, cuts)), upload)
    with pytest.raises(EtagError):
        settle()
    assert upload.asked == [1]
    assert disk.passes <= 1


@ways
def test_a_likely_size_that_fits_costs_no_question_and_no_second_look(how):
    data = bytes(17 * MIB)
    upload = Upload([8 * MIB, 8 * MIB, MIB])
    disk, settle = how(data, told(data, etag_of(data, upload.cuts)), upload)
    assert settle().verification is VerificationLevel.MULTIPART
    assert (upload.asked, disk.passes) == (([], 0) if how is in_one_piece else ([1], 1))


@given(size=st.integers(1, 10**13), count=st.integers(1, 10_000), limit=st.integers(1, 64))
def test_candidates_are_bounded_and_fit(size, count, limit):
    found = layouts(size, count, limit)
    assert len(found) == len(set(found)) <= max(limit, 1) or count == 1
    assert all(layout.parts(size) == count for layout in found) or count == 1


def test_the_work_for_a_large_upload_is_bounded():
    checksum = ServerChecksum("f", 500 << 30, md5(b"") + "-9999", None, "multipart")
    hashed = []

    def again():
        hashed.append(1)
        return iter(())

    with pytest.raises(EtagError):
        check_parts(checksum, [], 1 << 30, again)
    assert len(hashed) <= 2


# -- what decides ----------------------------------------------------------------------------


DATA = b"content" * 1000
OTHER = b"another" * 1000


def b64(number):
    return base64.b64encode(number.to_bytes(4, "big")).decode()


@ways
@pytest.mark.parametrize("etag", [md5(DATA), md5(OTHER), etag_of(OTHER, [7000]), "opaque", None])
def test_a_stated_checksum_of_the_whole_decides_whatever_the_etag(how, etag):
    good = {"x-amz-checksum-crc32": b64(zlib.crc32(DATA)), "x-amz-checksum-type": "FULL_OBJECT"}
    assert how(DATA, told(DATA, etag, good))[1]().verification is VerificationLevel.CHECKSUM
    bad = {**good, "x-amz-checksum-crc32": b64(zlib.crc32(OTHER))}
    with pytest.raises(VerificationError, match="differ from those of the server") as caught:
        how(DATA, told(DATA, etag, bad))[1]()
    assert not isinstance(caught.value, EtagError)


@ways
@pytest.mark.parametrize("etag", [md5(OTHER), etag_of(OTHER, [7000]), etag_of(OTHER, [5000, 2000])])
def test_an_etag_that_does_not_match_is_a_doubt(how, etag):
    with pytest.raises(EtagError) as caught:
        how(DATA, told(DATA, etag))[1]()
    assert caught.value.kind == ("multipart" if "-" in etag else "md5")


@ways
def test_at_aws_an_etag_without_parts_is_an_md5(how):
    with pytest.raises(VerificationError) as caught:
        how(DATA, told(DATA, md5(OTHER), url=AWS))[1]()
    assert not isinstance(caught.value, EtagError)
    kms = {"x-amz-server-side-encryption": "aws:kms"}
    verified = how(DATA, told(DATA, md5(OTHER), kms, url=AWS))[1]()
    assert verified.verification is VerificationLevel.SIZE
    with pytest.raises(EtagError):  # its parts may have been of any size
        how(DATA, told(DATA, etag_of(OTHER, [7000]), url=AWS))[1]()


CUTS = [3000, 3000, 1000]
COMPOSITE = zlib.crc32(
    b"".join(zlib.crc32(DATA[a : a + 3000]).to_bytes(4, "big") for a in (0, 3000, 6000))
)


@ways
@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": b64(COMPOSITE) + "-3", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc32": b64(COMPOSITE), "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc32": b64(COMPOSITE) + "-3"},
        {"x-amz-checksum-crc32": b64(COMPOSITE)},
        {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(OTHER).digest()).decode()},
    ],
    ids=str,
)
def test_a_checksum_of_the_parts_checksums_is_never_taken_for_one_of_the_whole(how, headers):
    etag = etag_of(DATA, CUTS)
    verified = how(DATA, told(DATA, etag, headers), Upload(CUTS))[1]()
    assert verified.verification is VerificationLevel.MULTIPART
    opaque = md5(OTHER) + "-3"
    with pytest.raises(EtagError):
        how(DATA, told(DATA, opaque, headers), Upload(CUTS))[1]()


@ways
def test_a_checksum_that_does_not_say_what_it_covers_proves_what_it_matches(how):
    headers = {"x-amz-checksum-crc32": b64(zlib.crc32(DATA))}
    verified = how(DATA, told(DATA, md5(OTHER) + "-3", headers))[1]()
    assert verified.verification is VerificationLevel.CHECKSUM
    with pytest.raises(VerificationError) as caught:  # in one part it covers the whole
        how(OTHER, told(OTHER, md5(OTHER), headers))[1]()
    assert not isinstance(caught.value, EtagError)


@pytest.mark.parametrize(
    ("host", "sure"),
    [
        ("b.s3.us-west-2.amazonaws.com", True),
        ("s3.cn-north-1.amazonaws.com.cn", True),
        ("b.s3.eusc-de-east-1.amazonaws.eu", True),
        ("b.s3.us-iso-east-1.c2s.ic.gov", True),
        ("amazonaws.com.example.edu", False),
        ("notamazonaws.com", False),
        ("minio.example.edu", False),
    ],
)
def test_an_md5_is_one_at_every_partition_of_aws_and_nowhere_else(host, sure):
    remote = RemoteFile("a", f"https://{host}/a", 1, "0" * 32)
    assert ServerChecksum.of(remote).sure is sure
