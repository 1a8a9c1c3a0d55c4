"""The forward pass against nibabel's load-then-mask: formats, order, damage, memory."""

from __future__ import annotations

import gzip
import io
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip
from nibabel import Nifti1Header

from laion_fmri.errors import (
    BadDataError,
    CorruptFileError,
    GridMismatchError,
    NotFiniteError,
)
from laion_fmri.volumes.byte_stream import open_chunks, open_file
from laion_fmri.volumes.masking import Voxels, masked, whole_volume
from tests.loader_files import GRID, make_image, naive, random_mask, write_image

if TYPE_CHECKING:
    from pathlib import Path


def load(path: Path, mask: np.ndarray, **how) -> np.ndarray:
    with open_file(path) as reader:
        return masked(reader, Voxels.from_mask(mask, GRID), **how)


@pytest.mark.parametrize("name", ["b.nii", "b.nii.gz"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "u1", "<i4"])
@pytest.mark.parametrize("scale", [None, (0.25, -3.0)])
def test_every_format_reads_as_nibabel_reads_it(tmp_path, name, version, dtype, scale):
    path = write_image(tmp_path / name, make_image(dtype, 5, version=version, scale=scale))
    mask = random_mask()

    got = load(path, mask)

    expected = naive(path, mask)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert got.shape == (5, mask.sum())
    assert np.array_equal(got, expected.astype(np.float32))


def test_a_gzipped_file_with_a_plain_name_is_told_by_its_bytes(tmp_path):
    packed = write_image(tmp_path / "b.nii.gz", make_image("<f4", 3))
    plain = tmp_path / "b.nii"
    plain.write_bytes(packed.read_bytes())
    mask = random_mask()
    assert np.array_equal(load(plain, mask), load(packed, mask))


def test_only_the_volumes_asked_for_are_kept(tmp_path):
    mask = random_mask()
    keep = np.array([True, False, False, True, True, False])
    for name in ("b.nii", "b.nii.gz"):
        path = write_image(tmp_path / name, make_image("<f4", 6))
        assert np.array_equal(load(path, mask, keep=keep), naive(path, mask)[keep])


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 6)] * 3),
    picks=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
    itemsize=st.sampled_from([1, 2, 4, 8]),
)
def test_stretches_bring_each_voxel_to_its_column_once(grid, picks, share, itemsize):
    mask = np.random.default_rng(picks).random(np.prod(grid)) < share
    voxels = Voxels.from_mask(mask, grid)
    volume = np.arange(mask.size).reshape(grid)
    flat = volume.ravel(order="F")
    for by_position in (True, False):
        kept = np.full(len(voxels), -1)
        for piece in voxels.stretches(itemsize, by_position):
            kept[piece.first : piece.last] = flat[piece.start : piece.stop].take(piece.local)
        assert np.array_equal(kept[voxels.places], volume.ravel()[mask])


def test_a_plain_file_is_read_only_where_voxels_are(tmp_path):
    """Two voxels far apart in a large volume: the bytes between are never asked for."""
    grid = (64, 64, 64)
    indices = np.array([0, 64 * 64 * 64 - 1])
    spans = Voxels(grid, indices).stretches(4, by_position=True)
    assert [(s.start, s.stop) for s in spans] == [(0, 1), (64**3 - 1, 64**3)]


_SPARSE = """
import sys
from pathlib import Path
import numpy as np
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import Voxels, masked
def read_so_far():
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])
with open_file(Path(sys.argv[1])) as reader:
    voxels = Voxels((200, 200, 200), np.array([5, 100_000, 100_001, 7_999_999]))
    before = read_so_far()
    out = masked(reader, voxels)
    print(out.shape[0], float(out.sum()), read_so_far() - before)
"""


def test_of_a_plain_file_the_rest_is_never_read(tmp_path):
    """1.6 GB on paper; the file is a hole but for its header."""
    header = Nifti1Header()
    header.set_data_shape((200, 200, 200, 50))
    header.set_data_dtype(np.float32)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = tmp_path / "b.nii"
    with path.open("wb") as file:
        file.write(header.binaryblock)
        file.truncate(352 + 50 * 200**3 * 4)
    run = [sys.executable, "-c", _SPARSE, str(path)]
    volumes, total, read = subprocess.run(
        run, check=True, capture_output=True, text=True
    ).stdout.split()
    assert (volumes, total) == ("50", "0.0")
    assert int(read) < 50 * 4 * 4096


def test_no_voxels_at_all_is_an_empty_result(tmp_path):
    for name in ("b.nii", "b.nii.gz"):
        path = write_image(tmp_path / name, make_image("<f4", 3))
        assert load(path, np.zeros(np.prod(GRID), dtype=bool)).shape == (3, 0)


def test_a_whole_volume_comes_in_its_shape(tmp_path):
    path = write_image(tmp_path / "m.nii.gz", make_image(">i2", 0, scale=(2.0, 1.0)))
    with open_file(path) as reader:
        volume = whole_volume(reader)
    assert np.array_equal(volume, nib.load(path).get_fdata())


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@pytest.mark.parametrize("name", ["b.nii", "b.nii.gz"])
def test_chunks_of_any_size_read_as_the_file(tmp_path, name, size):
    path = write_image(tmp_path / name, make_image("<f4", 4))
    content = path.read_bytes()
    chunks = (content[at : at + size] for at in range(0, len(content), size))
    mask = random_mask()
    with open_chunks(chunks, "somewhere") as reader:
        got = masked(reader, Voxels.from_mask(mask, GRID))
    assert np.array_equal(got, naive(path, mask))


@pytest.mark.parametrize(
    ("volumes", "share", "error"),
    [
        pytest.param(2, 1.0, ValueError("checksum differs"), id="after its last chunk"),
        pytest.param(40, 0.5, ConnectionResetError("gone"), id="half way"),
    ],
)
def test_a_stream_is_read_to_its_own_end_and_its_own_error_is_raised(
    tmp_path, volumes, share, error
):
    """So a checksum that the source compares after its last chunk is compared."""
    content = write_image(tmp_path / "b.nii.gz", make_image("<f4", volumes)).read_bytes()

    def chunks():
        yield content[: int(len(content) * share)]
        raise error

    voxels = Voxels.from_mask(random_mask(), GRID)
    with (
        pytest.raises(type(error), match=str(error)),
        open_chunks(chunks(), "somewhere") as reader,
    ):
        masked(reader, voxels)


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 30, 200, -1, -9, -500])
def test_a_truncated_gzip_names_the_file(tmp_path, cut):
    path = write_image(tmp_path / "b.nii.gz", make_image("<f4", 4))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorruptFileError, match=r"b\.nii\.gz"):
        load(path, random_mask())


def test_a_flipped_byte_in_the_gzip_names_the_file(tmp_path):
    path = write_image(tmp_path / "b.nii.gz", make_image("<f4", 4))
    content = bytearray(path.read_bytes())
    for at in (len(content) // 2, len(content) - 6):  # in the data; in the checksum at the end
        bad = bytearray(content)
        bad[at] ^= 0x55
        path.write_bytes(bad)
        with pytest.raises(CorruptFileError, match=r"b\.nii\.gz.*fetch it again"):
            load(path, random_mask())


def test_damage_that_makes_infinite_values_is_told_as_damage(tmp_path):
    """Stored, not packed: a turned bit makes a value infinite, the checksum at the end tells."""
    path = write_image(tmp_path / "b.nii", make_image("<f4", 40))
    content = path.read_bytes()
    packed = bytearray(gzip.compress(content, compresslevel=0))
    path = tmp_path / "b.nii.gz"
    for value in (1_000, len(content) // 8, len(content) // 4 - 200):
        bad = bytearray(packed)
        at = packed.index(content[4 * value : 4 * value + 16])
        bad[at : at + 4] = np.array([np.inf], "<f4").tobytes()
        path.write_bytes(bad)
        with pytest.raises(CorruptFileError, match=r"b\.nii\.gz.*damaged"):
            load(path, np.ones(int(np.prod(GRID)), dtype=bool))


def test_a_plain_file_cut_short_names_the_volume(tmp_path):
    path = write_image(tmp_path / "b.nii", make_image("<f4", 4))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptFileError, match=r"b\.nii: ends within volume 3 of 4"):
        load(path, random_mask())


def test_a_good_gzip_of_too_few_volumes_names_the_volume(tmp_path):
    path = write_image(tmp_path / "b.nii.gz", make_image("<f4", 4))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-3000]))
    with pytest.raises(CorruptFileError, match="ends within volume 2 of 4"):
        load(path, random_mask())


@pytest.mark.parametrize("content", [b"", b"<html>502 Bad Gateway</html>" * 20, b"\x5c\x01" * 300])
def test_what_is_no_nifti_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "b.nii.gz"
    for packed in (content, gzip.compress(content)):
        path.write_bytes(packed)
        with pytest.raises(CorruptFileError, match=r"b\.nii\.gz"):
            load(path, random_mask())


def test_complex_values_are_refused(tmp_path):
    path = tmp_path / "b.nii"
    nib.save(nib.Nifti1Image(np.zeros((*GRID, 2), dtype=np.complex64), np.eye(4)), path)
    with pytest.raises(CorruptFileError, match="complex64"):
        load(path, random_mask())


def test_another_grid_names_both(tmp_path):
    path = write_image(tmp_path / "b.nii.gz", make_image("<f4", 2))
    with (
        open_file(path) as reader,
        pytest.raises(GridMismatchError, match=r"\(7, 9, 6\).*\(2, 3, 4\)"),
    ):
        masked(reader, Voxels((2, 3, 4), np.array([1])))


def test_three_dimensions_where_four_are_due(tmp_path):
    path = write_image(tmp_path / "m.nii.gz", make_image("<f4", 0))
    with open_file(path) as reader, pytest.raises(BadDataError, match="expected a 4-D"):
        reader.header.need(4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named_or_kept(tmp_path, bad):
    image = make_image("<f4", 3)
    data = np.asarray(image.dataobj)
    mask = random_mask()
    inside = np.unravel_index(np.flatnonzero(mask)[4], GRID)
    outside = np.unravel_index(np.flatnonzero(~mask)[4], GRID)
    data[(*inside, 1)] = bad
    data[(*outside, 0)] = bad  # never asked for: costs nothing, breaks nothing
    path = write_image(tmp_path / "b.nii.gz", image)

    with pytest.raises(NotFiniteError, match=r"b\.nii\.gz: volume 1 .* in 1 of") as caught:
        load(path, mask)
    assert str(tuple(int(axis) for axis in inside)) in str(caught.value)
    assert np.array_equal(load(path, mask, finite=False), naive(path, mask), equal_nan=True)


def test_errors_survive_pickling():
    again = pickle.loads(pickle.dumps(CorruptFileError("a.nii", "is cut")))
    assert (type(again), str(again), again.path) == (CorruptFileError, "a.nii: is cut", "a.nii")


# --- memory ---------------------------------------------------------------------------------------

_PEAK = """
import sys
from pathlib import Path
import numpy as np
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import Voxels, masked
path, mask = Path(sys.argv[1]), np.load(sys.argv[2])
with open_file(path) as reader:
    out = masked(reader, Voxels.from_mask(mask.ravel(), mask.shape))
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(out.nbytes, peak, float(out.sum()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["b.nii", "b.nii.gz"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2"])
def test_peak_memory_is_the_result_and_a_little(tmp_path, name, dtype):
    """400 MB of volumes for a result of 10: the interpreter and all else stay below 100 MB."""
    grid = (96, 96, 96)
    volumes = 400_000_000 // (96**3 * np.dtype(dtype).itemsize)
    mask = np.zeros(grid, dtype=bool)
    mask[30:60, 40:60, 20:60] = True
    np.save(tmp_path / "mask.npy", mask)
    path = tmp_path / name
    _write_long(path, grid, volumes, dtype)

    run = [sys.executable, "-c", _PEAK, str(path), str(tmp_path / "mask.npy")]
    response = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()

    result, peak = int(response[0]), int(response[1])
    assert result == volumes * mask.sum() * 4
    assert float(response[2]) == mask.sum() * sum(range(volumes))
    assert peak - result < 100e6


def _write_long(path: Path, grid: tuple[int, int, int], volumes: int, dtype: str) -> None:
    header = Nifti1Header(endianness="<" if dtype[0] == "<" else ">")
    header.set_data_shape((*grid, volumes))
    header.set_data_dtype(np.dtype(dtype).newbyteorder("="))
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    opener = igzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        assert isinstance(file, io.IOBase)
        file.write(header.binaryblock + b"\0" * 4)
        for number in range(volumes):
            file.write(np.full(np.prod(grid), number, dtype).tobytes())
