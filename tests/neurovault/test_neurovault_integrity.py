"""A file is a whole volume, or the cause is named."""

import gzip
import math
import tracemalloc
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofetch import errors as _errors
from neurofetch.neurovault.cache import volume_check
from neurofetch.neurovault.cache.volume_check import DamagedVolumeError, check_volume, gzip_volume
from testbed.neurovault import html_page
from testbed.neurovault_maps import brain_map, brain_map_gz

pack = partial(gzip.compress, mtime=0)  # the same bytes, and test names, in each process


def small(order="<", kind=nib.Nifti1Image, shape=(3, 4, 5), dtype="i2"):
    data = np.arange(np.prod(shape)).reshape(shape).astype(order + dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(data.dtype)
    return kind(data, np.eye(4), header).to_bytes()


SMALL = small()


@pytest.fixture(params=["isal", "zlib"])
def check(tmp_path, monkeypatch, request):
    gzip_of = {"isal": volume_check._isal, "zlib": volume_check._zlib}[request.param]
    monkeypatch.setattr(volume_check, "_fastest_gzip", gzip_of)

    def run(content, expected_size=None):
        path = tmp_path / "volume.nii.gz"
        path.write_bytes(content)
        return check_volume(path, expected_size)

    return run


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "version"), [(nib.Nifti1Image, 1), (nib.Nifti2Image, 2)], ids=["nifti1", "nifti2"]
)
def test_good_volumes(check, kind, version, order, packed):
    content = small(order, kind, (2, 3, 4, 5), "f4")
    found = check(pack(content) if packed else content)
    assert (found.gzipped, found.version, found.shape) == (packed, version, (2, 3, 4, 5))
    assert (found.little_endian, found.datatype) == (order == "<", 16)
    assert found.unpacked == len(content)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8", "i1", "u2", "i8", "c8"])
def test_every_data_type_has_its_size(check, dtype):
    content = small(dtype=dtype)
    assert check(content).unpacked == len(content)
    with pytest.raises(DamagedVolumeError, match="its header announces"):
        check(content[:-1])


@pytest.mark.parametrize(
    ("code", "bits"), [(1, 1), (128, 24), (1536, 128), (1792, 128), (2048, 256), (2304, 32)]
)
def test_the_data_types_of_nifti_that_numpy_lacks_have_their_size_too(check, code, bits):
    header = SMALL[:70] + bytes([code % 256, code // 256]) + SMALL[72:352]
    size = -(-60 * bits // 8)
    assert check(header + bytes(size)).datatype == code
    with pytest.raises(DamagedVolumeError, match=f"its header announces {352 + size}"):
        check(header + bytes(size - 1))


@pytest.mark.parametrize("code", [0, 3, 255, 32767])
def test_other_data_types_are_refused(check, code):
    with pytest.raises(DamagedVolumeError, match=rf"unknown data type \({code}\)"):
        check(SMALL[:70] + bytes([code % 256, code // 256]) + SMALL[72:])


def test_a_map_of_the_local_server(check):
    assert check(brain_map_gz(1), len(brain_map_gz(1))).unpacked == len(brain_map(1))


def test_several_members_padding_and_extensions(check):
    half = len(SMALL) // 2
    members = pack(SMALL[:half]) + pack(SMALL[half:])
    assert check(members).unpacked == len(SMALL)
    assert check(members + bytes(600_000)).unpacked == len(SMALL)
    image = nib.Nifti1Image.from_bytes(SMALL)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 100_000))
    assert check(pack(image.to_bytes())).unpacked > 100_000


@pytest.mark.parametrize("tail", [b"<html>", b"\n", pack(SMALL)[-99:], b"\0\0garbage" * 99])
def test_bytes_after_a_whole_stream_are_not_read_as_no_reader_reads_them(check, tail):
    """The class: a file that another tool wrote over a longer one."""
    assert check(pack(SMALL) + tail).unpacked == len(SMALL)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, len(pack(SMALL)) - 1))
def test_no_cut_passes(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "v"
    path.write_bytes(pack(SMALL)[:length])
    with pytest.raises(DamagedVolumeError):
        check_volume(path)


PACKED = brain_map_gz(2)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_no_flipped_byte_passes_unless_the_content_is_the_same(tmp_path_factory, place, flip):
    path = tmp_path_factory.mktemp("flip") / "v"
    content = bytearray(PACKED)
    content[place] ^= flip
    path.write_bytes(content)
    try:
        check_volume(path)
    except DamagedVolumeError as error:
        named = error.cause
    else:
        named = "the same content"
        assert gzip.decompress(content) == brain_map(2)
    assert named


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "an empty file"),
        (html_page(200, "Bad Gateway"), r"an HTML page \(Bad Gateway\) instead"),
        (b"\xef\xbb\xbf\n <!doctype html><p>sorry", "an HTML page instead"),
        (b'{"detail": "Not found."}', "a JSON response instead of a volume: .*Not found"),
        (b"x" * 1000, "no NIfTI header"),
        (b"\x5c\x01", "2 bytes, less than a NIfTI header"),
        (SMALL[:200], "200 bytes, less than a NIfTI header"),
        (SMALL[:-1], "its header announces"),
        (SMALL[:344] + b"ni1\0" + SMALL[348:], r"half of an \.hdr/\.img pair"),
        (SMALL[:40] + b"\x03\0\0\0" + SMALL[44:], "impossible dimensions"),
        (SMALL[:40] + b"\x09\0" + SMALL[42:], "impossible dimensions"),
        (SMALL[:70] + b"\x03\0" + SMALL[72:], "unknown data type"),
        (SMALL[:108] + b"\0\0\xc0\x7f" + SMALL[112:], "data begin at byte nan"),
        (pack(SMALL)[:-4], "cut before its end"),
        (pack(SMALL)[:-8] + bytes(8), "corrupt gzip"),
        (pack(SMALL[:-9]) + b"garbage", "its header announces"),
        (pack(SMALL) + pack(SMALL)[:-9], "cut before its end"),
        (pack(pack(brain_map(1))), "gzipped twice"),
        (pack(b""), "no NIfTI header"),
        (pack(b"<html>not a brain</html>" * 50), "no NIfTI header"),
    ],
)  # fmt: skip
def test_wrong_files_are_named(check, content, cause):
    with pytest.raises(DamagedVolumeError, match=cause):
        check(content)


def test_analyze_is_refused(check):
    image = nib.AnalyzeImage(np.zeros((2, 3, 4), np.int16), np.eye(4))
    with pytest.raises(DamagedVolumeError, match=r"an Analyze 7\.5 header"):
        check(bytes(image.header.binaryblock) + bytes(100))


def test_a_size_that_was_not_announced(check):
    with pytest.raises(_errors.VerificationError, match="where the server announced 7"):
        check(SMALL, 7)
    assert check(SMALL, 0).size == len(SMALL)  # file_size 0 says nothing


def test_memory_is_bounded(tmp_path):
    image = nib.Nifti1Image(np.zeros((400, 400, 400), np.uint8), np.eye(4))
    path = tmp_path / "large.nii.gz"
    path.write_bytes(pack(image.to_bytes(), 1))
    del image
    tracemalloc.start()
    try:
        assert check_volume(path).unpacked > 64_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_plain_volumes_are_gzipped_the_same_each_time(tmp_path):
    source, first, second = (tmp_path / name for name in ("a.nii", "b.nii.gz", "c.nii.gz"))
    source.write_bytes(brain_map(5))
    assert gzip_volume(source, first) == first.stat().st_size
    second.write_bytes(b"an older, longer file" * 100_000)
    gzip_volume(source, second)
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()) == brain_map(5)
    assert check_volume(first).gzipped
    assert np.array_equal(nib.load(first).get_fdata(), nib.load(source).get_fdata())


@given(
    kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
    order=st.sampled_from("<>"),
    changes=st.lists(
        st.tuples(
            st.sampled_from([*range(24), *range(40, 56), *range(70, 72), *range(108, 112),
                             *range(168, 176), *range(344, 348)]),
            st.integers(0, 255),
        ),
        max_size=4,
    ),
)  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_a_header_is_read_as_nibabel_reads_it(kind, order, changes):
    """The class: a field that is looked for at another place, or in another byte order."""
    start = bytearray(small(order, kind)[:540])
    for place, value in changes:
        start[place] = value
    try:
        found = volume_check._read_header(bytes(start))
    except DamagedVolumeError:
        return
    theirs = (nib.Nifti1Header, nib.Nifti2Header)[found.version - 1]
    length = theirs.sizeof_hdr
    sign = "<" if found.little_endian else ">"
    header = theirs(bytes(start[:length]), endianness=sign, check=False)
    assert header["sizeof_hdr"] == length
    assert header["magic"].item() in (b"n+1", b"n+2")
    assert found.shape == tuple(header["dim"].tolist()[1 : 1 + header["dim"][0]])
    assert found.datatype == header["datatype"]
    offset = int(header["vox_offset"]) or header.single_vox_offset
    bits = volume_check._BITS[found.datatype]
    assert found.whole == offset + -(-math.prod(found.shape) * bits // 8)


def test_the_data_types_are_those_that_nibabel_knows():
    codes = nib.nifti1.data_type_codes
    for code in range(-1, 4096):
        size = 8 * codes.dtype[code].itemsize if code in codes.dtype else 0
        beyond = {1: 1, 1536: 128, 2048: 256}.get(code, 0)  # for these NumPy may have no type
        assert volume_check._BITS.get(code, 0) == (beyond or size), code
