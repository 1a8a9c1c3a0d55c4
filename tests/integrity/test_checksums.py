"""Checksums agree however the bytes are cut, and servers' announcements are read with care."""

import base64
import hashlib
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurofetch.integrity.checksums import (
    CRC_BYTES,
    MIB,
    MultipartHasher,
    combine_parts,
    crc,
    etag_kind,
    from_headers,
    hasher,
    multipart_etag,
    part_count,
    part_sizes,
)
from neurofetch.model import Digest

CHECK = b"123456789"
# The catalogue's check values: what every correct implementation gives for CHECK.
KNOWN = {
    "crc64nvme": "ae8b14860a799888",
    "crc32c": "e3069283",
    "crc32": "cbf43926",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}

crcs = pytest.mark.parametrize("name", CRC_BYTES)
pieces = st.lists(st.binary(max_size=300), max_size=8)


@pytest.mark.parametrize("name", KNOWN)
def test_known_check_values(name: str) -> None:
    digest = hasher(name)
    digest.update(CHECK)
    assert digest.hexdigest() == KNOWN[name]


@pytest.mark.parametrize("name", KNOWN)
@given(parts=pieces)
def test_a_hasher_does_not_see_how_the_bytes_were_cut(name: str, parts: list[bytes]) -> None:
    whole, cut = hasher(name), hasher(name)
    whole.update(b"".join(parts))
    for part in parts:
        cut.update(memoryview(bytearray(part)))
    assert cut.hexdigest() == whole.hexdigest()
    assert len(cut.hexdigest()) == len(KNOWN[name])


@crcs
@given(a=st.binary(max_size=400), b=st.binary(max_size=400))
def test_combining_two_stretches_is_hashing_both(name: str, a: bytes, b: bytes) -> None:
    algorithm = crc(name)
    combined = algorithm.combine(algorithm.update(a, 0), algorithm.update(b, 0), len(b))
    assert combined == algorithm.update(a + b, 0)


@crcs
@given(parts=pieces)
@example(parts=[])
@example(parts=[b"", b"x", b""])
def test_combining_parts_is_hashing_the_file(name: str, parts: list[bytes]) -> None:
    algorithm = crc(name)
    summed = combine_parts(name, [(algorithm.update(part, 0), len(part)) for part in parts])
    assert summed == algorithm.update(b"".join(parts), 0)


@crcs
def test_combining_knows_order_and_length(name: str) -> None:
    algorithm = crc(name)
    a, b = algorithm.update(b"one", 0), algorithm.update(b"other", 0)
    whole = algorithm.update(b"oneother", 0)
    assert combine_parts(name, [(b, 5), (a, 3)]) != whole
    assert combine_parts(name, [(a, 3), (b, 4)]) != whole


@crcs
def test_combining_takes_lengths_beyond_four_gigabytes(name: str) -> None:
    algorithm = crc(name)
    value, zeros, length = algorithm.update(b"x", 0), algorithm.update(bytes(1 << 20), 0), 1 << 20
    for _ in range(13):  # doubling a run of zeros up to 8 GiB, one step at a time
        zeros = algorithm.combine(zeros, zeros, length)
        length *= 2
    half = algorithm.combine(value, combine_of_half(name), length // 2)
    twice = algorithm.combine(half, combine_of_half(name), length // 2)
    assert algorithm.combine(value, zeros, length) == twice


def combine_of_half(name: str) -> int:
    """The CRC of 4 GiB of zeros."""
    return combine_parts(name, [(crc(name).update(bytes(1 << 20), 0), 1 << 20)] * 4096)


def test_a_crc_is_written_in_its_full_width() -> None:
    assert crc("crc64nvme").hexdigest(0xAB) == "00000000000000ab"
    assert crc("crc32c").hexdigest(0) == "00000000"


@pytest.mark.parametrize("make", [crc, hasher])
def test_an_unknown_algorithm_is_named(make: object) -> None:
    with pytest.raises(ValueError, match=r"'crc16'.*crc64nvme"):
        make("crc16")  # type: ignore[operator]


def test_importing_the_module_does_not_load_the_compiled_library() -> None:
    code = "import sys, neurofetch.integrity.checksums; sys.exit('awscrt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def b64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


@pytest.mark.parametrize("name", [*CRC_BYTES, "sha256"])
@pytest.mark.parametrize("kind", [{}, {"x-amz-checksum-type": "FULL_OBJECT"}])
def test_a_full_object_checksum_is_read(name: str, kind: dict[str, str]) -> None:
    headers = {f"x-amz-checksum-{name}": b64(KNOWN[name]), "content-length": "9", **kind}
    assert from_headers(headers) == Digest(name, KNOWN[name])


def test_the_cheapest_checksum_to_check_is_taken() -> None:
    headers = {f"x-amz-checksum-{name}": b64(KNOWN[name]) for name in [*CRC_BYTES, "sha256"]}
    order = []
    while found := from_headers(headers):
        order.append(found.algorithm)
        del headers[f"x-amz-checksum-{found.algorithm}"]
    assert order == ["crc64nvme", "crc32c", "crc32", "sha256"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-amz-checksum-crc32": ""},
        {"x-amz-checksum-crc32": b64(KNOWN["crc32"]), "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc32": b64(KNOWN["crc32"]) + "-3"},
        {"x-amz-checksum-sha256": b64(KNOWN["sha256"]) + "-3"},
        {"x-amz-checksum-crc32": "!!!!"},
        {"x-amz-checksum-crc32": "y/Q5Jg"},
        {"x-amz-checksum-crc32": "y/Q5Jg==\u00e9"},
        {"x-amz-checksum-crc32": b64(KNOWN["crc64nvme"])},
        {"x-amz-checksum-md4": "AAAA"},
    ],
    ids=str,
)
def test_what_says_nothing_about_the_whole_is_passed_over(headers: dict[str, str]) -> None:
    assert from_headers(headers) is None


def test_a_malformed_value_does_not_hide_a_good_one() -> None:
    good = b64(KNOWN["crc32"])
    headers = {"x-amz-checksum-crc64nvme": "not base64", "x-amz-checksum-crc32": good}
    assert from_headers(headers) == Digest("crc32", KNOWN["crc32"])


MD5 = KNOWN["md5"]


@pytest.mark.parametrize(
    ("etag", "kind", "parts"),
    [
        (MD5, "md5", 0),
        (MD5.upper(), "md5", 0),
        (f'"{MD5}"', "md5", 0),
        (f"{MD5}-1", "multipart", 1),
        (f'"{MD5}-10000"', "multipart", 10000),
        (f"{MD5}-0", "opaque", 0),
        (f"{MD5}-", "opaque", 0),
        (f"{MD5}-x", "opaque", 0),
        (f'W/"{MD5}"', "opaque", 0),
        (MD5[:-1], "opaque", 0),
        ("", "opaque", 0),
        ("5d41-1a", "opaque", 0),
    ],
)
def test_what_an_etag_says(etag: str, kind: str, parts: int) -> None:
    assert etag_kind(etag) == kind
    assert part_count(etag) == parts


def test_no_etag_says_nothing() -> None:
    assert etag_kind(None) == "opaque"


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"x-amz-server-side-encryption": "AES256"}, "md5"),
        ({"x-amz-server-side-encryption": "aws:kms"}, "opaque"),
        ({"x-amz-server-side-encryption": "aws:kms:dsse"}, "opaque"),
        ({"x-amz-server-side-encryption-customer-algorithm": "AES256"}, "opaque"),
    ],
)
def test_an_etag_of_an_encrypted_object_may_be_no_md5(headers: dict[str, str], kind: str) -> None:
    assert etag_kind(MD5, headers) == kind


@given(data=st.binary(min_size=1, max_size=200), size=st.integers(1, 250), cut=st.integers(1, 90))
def test_a_multipart_etag_is_the_md5_of_the_parts_md5s(data: bytes, size: int, cut: int) -> None:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    expected = f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"
    assert multipart_etag(hashlib.md5(part).digest() for part in parts) == expected
    streamed = MultipartHasher(size)
    for at in range(0, len(data), cut):
        streamed.update(data[at : at + cut])
    assert streamed.hexdigest() == expected


def test_a_multipart_hasher_can_be_asked_on_the_way() -> None:
    etag = MultipartHasher(2)
    for byte in (b"a", b"b", b"c"):
        etag.update(byte)
        assert etag.hexdigest() == etag.hexdigest()
    assert part_count(etag.hexdigest()) == 2
    with pytest.raises(ValueError, match="at least one byte"):
        MultipartHasher(0)


def test_an_empty_multipart_object_has_one_empty_part() -> None:
    assert MultipartHasher(5).hexdigest() == multipart_etag([hashlib.md5(b"").digest()])


tools = st.one_of(
    st.sampled_from([8, 16, 5, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512, 1024]).map(
        lambda mib: mib * MIB
    ),
    st.sampled_from([5, 8, 10, 15, 16, 50, 100, 500]).map(lambda mb: mb * 1_000_000),
)


@given(part=tools, size=st.integers(1, 50_000_000_000))
def test_the_part_size_of_a_tool_is_among_the_plausible_ones(part: int, size: int) -> None:
    count = -(-size // part)
    sizes = part_sizes(size, count)
    assert part in sizes or count == 1
    assert all(-(-size // candidate) == count for candidate in sizes)
    assert len(sizes) == len(set(sizes)) <= 64


@given(mib=st.integers(5, 5120), count=st.integers(65, 10_000), data=st.data())
def test_any_whole_mib_is_found_where_there_are_many_parts(
    mib: int, count: int, data: st.DataObject
) -> None:
    size = mib * MIB * (count - 1) + data.draw(st.integers(1, mib * MIB))
    sizes = part_sizes(size, count)
    assert mib * MIB in sizes or len(sizes) == 64


@given(size=st.integers(2, 10**12), count=st.integers(2, 10_000))
def test_the_equal_division_is_always_tried(size: int, count: int) -> None:
    exact = -(-size // count)
    fits = -(-size // exact) == count
    assert (exact in part_sizes(size, count)) == fits


def test_the_last_part_may_be_full_or_hold_one_byte() -> None:
    assert 8 * MIB in part_sizes(16 * MIB, 2)
    assert 8 * MIB not in part_sizes(16 * MIB, 3)
    assert 8 * MIB in part_sizes(16 * MIB + 1, 3)
    assert 8 * MIB not in part_sizes(16 * MIB + 1, 2)
    assert 8_000_000 in part_sizes(16_000_001, 3)
    assert 8_000_000 not in part_sizes(16_000_001, 2)


def test_the_likely_sizes_come_first() -> None:
    assert part_sizes(12_000_000_000, -(-12_000_000_000 // (8 * MIB)))[0] == 8 * MIB
    assert part_sizes(20 * MIB, 2)[:2] == (16 * MIB, 10 * MIB)
    assert part_sizes(12_000_000_000, -(-12_000_000_000 // 15_000_000))[0] == 15_000_000


@pytest.mark.parametrize(("size", "count"), [(10, 0), (10, -1), (3, 4), (-1, 1), (0, 2)])
def test_no_part_size_fits_the_impossible(size: int, count: int) -> None:
    assert part_sizes(size, count) == ()


@pytest.mark.parametrize(("size", "expected"), [(0, (1,)), (7, (7,))])
def test_one_part_is_the_whole_file(size: int, expected: tuple[int, ...]) -> None:
    assert part_sizes(size, 1) == expected
