"""Odd NIfTI headers: read as nibabel reads them, or refused with the file's name and what is wrong.

nibabel is the judge: where `nibabel.load` gives an image, ours gives the same shape, affine and
values; where it refuses, or the loader has to, the error says what was found.
"""

from __future__ import annotations

import gzip
import logging
import warnings
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laion_fmri.errors import CorruptFileError
from laion_fmri.volumes.byte_stream import open_chunks, open_file
from laion_fmri.volumes.masking import Voxels, masked, whole_volume
from tests.loader_files import AFFINE, GRID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZES = {1: 348, 2: 540}


@pytest.fixture(autouse=True)
def nibabel_is_quiet():
    """nibabel prints what it repairs in the headers that it judges here."""
    logger = logging.getLogger("nibabel.global")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def header(version: int = 1, order: str = "<") -> nib.Nifti1Header:
    kind = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    made = kind(endianness=order)
    made.set_data_shape(GRID)
    made.set_data_dtype(np.int16)
    made.set_sform(AFFINE, "scanner")
    made.set_qform(AFFINE, "scanner", strip_shears=True)
    made["magic"], made["vox_offset"] = made.single_magic, made.single_vox_offset
    return made


VALUES = np.random.default_rng(5).integers(-3000, 3000, np.prod(GRID)).astype(np.int16)


def content(made: nib.Nifti1Header, extensions: bytes = b"\0" * 4) -> bytes:
    return made.binaryblock + extensions + VALUES.astype(made.get_data_dtype()).tobytes()


def both_ways(path: Path, data: bytes) -> tuple:
    """Header and values from a plain file, which must be those of the gzipped one and of chunks."""
    path.write_bytes(data)
    packed = path.with_name(f"packed-{path.name}.gz")
    packed.write_bytes(gzip.compress(data, 1))
    found = []
    for opened in (
        open_file(path),
        open_file(packed),
        open_chunks([data[at : at + 100] for at in range(0, len(data), 100)], "chunks"),
    ):
        with opened as reader:
            found.append((reader.header, whole_volume(reader)))
    for other, values in found[1:]:
        assert (other.grid, other.dtype, other.offset) == (
            *(found[0][0].grid, found[0][0].dtype),
            found[0][0].offset,
        )
        assert np.array_equal(other.affine, found[0][0].affine)
        assert np.array_equal(values, found[0][1])
    return found[0]


def as_nibabel(path: Path, data: bytes) -> None:
    """Ours is what nibabel gives: shape, affine, byte order, scaled values."""
    ours, values = both_ways(path, data)
    image = nib.load(path)
    assert ours.grid == image.shape[:3]
    assert ours.volumes == (image.shape[3] if len(image.shape) > 3 else 1)
    assert np.array_equal(ours.affine, image.affine)
    assert ours.dtype == image.header.get_data_dtype()
    assert ours.offset == image.dataobj.offset
    assert np.array_equal(values, image.get_fdata().reshape(ours.grid))


# --- read as nibabel reads them -------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_in_both_byte_orders(tmp_path, version, order):
    as_nibabel(tmp_path / "odd.nii", content(header(version, order)))


def no_sform(made: nib.Nifti1Header) -> None:
    made["sform_code"] = 0


def negative_qfac(made: nib.Nifti1Header) -> None:
    made["sform_code"], made["pixdim"][0] = 0, -1


def no_transform(made: nib.Nifti1Header) -> None:
    made["sform_code"] = made["qform_code"] = 0


def no_slope(made: nib.Nifti1Header) -> None:
    made["scl_slope"], made["scl_inter"] = 0, 7


def slope_nan(made: nib.Nifti1Header) -> None:
    made["scl_slope"], made["scl_inter"] = np.nan, np.nan


def slope(made: nib.Nifti1Header) -> None:
    made["scl_slope"], made["scl_inter"] = 0.25, -3


def five_dimensions(made: nib.Nifti1Header) -> None:
    made["dim"][0] = 5
    made["dim"][4:6] = 1


def late_voxels(made: nib.Nifti1Header) -> None:
    made["vox_offset"] = made.single_vox_offset + 64


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "change",
    [no_sform, negative_qfac, no_transform, no_slope, slope_nan, slope, five_dimensions],
)
def test_affine_scaling_and_shape_are_those_of_nibabel(tmp_path, version, order, change):
    made = header(version, order)
    change(made)
    as_nibabel(tmp_path / "odd.nii", content(made))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_extension_is_passed_over(tmp_path, version, order):
    made = header(version, order)
    late_voxels(made)
    note = nib.nifti1.Nifti1Extension("comment", b"forty bytes of a comment, and a few more")
    number = "little" if order == "<" else "big"
    extension = (64).to_bytes(4, number) + (6).to_bytes(4, number) + note.get_content().ljust(56)
    as_nibabel(tmp_path / "odd.nii", content(made, b"\1\0\0\0" + extension))


def test_an_extension_that_claims_to_be_huge_costs_nothing(tmp_path):
    made = header()
    late_voxels(made)
    extension = (2**31 - 16).to_bytes(4, "little") + (6).to_bytes(4, "little") + bytes(56)
    ours, values = both_ways(tmp_path / "odd.nii", content(made, b"\1\0\0\0" + extension))
    assert ours.offset == 416
    assert np.array_equal(values.ravel(order="F"), VALUES)


@pytest.mark.parametrize("version", [1, 2])
def test_an_offset_of_0_means_right_after_the_header(tmp_path, version):
    made = header(version)
    made["vox_offset"] = 0
    ours, values = both_ways(tmp_path / "odd.nii", content(made))
    assert ours.offset == SIZES[version] + 4
    assert np.array_equal(values.ravel(order="F"), VALUES)


# --- repaired as nibabel repairs them, with a warning ---------------------------------------------


def negative_size(made: nib.Nifti1Header) -> None:
    no_transform(made)
    made["pixdim"][1] = -1.8


def negative_size_and_qform(made: nib.Nifti1Header) -> None:
    no_sform(made)
    made["pixdim"][2] = -1.8


def size_0(made: nib.Nifti1Header) -> None:
    no_transform(made)
    made["pixdim"][1] = 0


def unknown_code(made: nib.Nifti1Header) -> None:
    made["sform_code"] = 77


def wrong_size(made: nib.Nifti1Header) -> None:
    made["sizeof_hdr"] = 999


def odd_offset(made: nib.Nifti1Header) -> None:
    made["vox_offset"] = made.single_vox_offset + 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (negative_size, r"pixdim\[1,2,3\] should be positive; setting to abs"),
        (negative_size_and_qform, r"pixdim\[1,2,3\] should be positive; setting to abs"),
        (size_0, r"pixdim\[1,2,3\] should be non-zero; setting 0 dims to 1"),
        (unknown_code, "sform_code 77 not valid; setting to 0"),
        (wrong_size, "sizeof_hdr should be 348; set sizeof_hdr to 348"),
        (odd_offset, r"vox offset \(=355\) not divisible by 16"),
    ],
)
def test_a_repair_is_the_one_of_nibabel_and_is_told_with_the_file(tmp_path, change, says):
    made = header()
    change(made)
    extra = b"\0" * (4 + (3 if change is odd_offset else 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        as_nibabel(tmp_path / "odd.nii", content(made, extra))
    with pytest.warns(UserWarning, match=rf"odd\.nii: the NIfTI header was repaired: .*{says}"):
        open_file(tmp_path / "odd.nii").__enter__()


def test_a_small_fault_is_repaired_without_a_word(tmp_path):
    made = header()
    made["bitpix"] = 3  # the datatype says it
    made["pixdim"][0] = 0  # means 1
    made["sform_code"] = 0
    as_nibabel(tmp_path / "odd.nii", content(made))


# --- any header, as nibabel has it ----------------------------------------------------------------

SHAPES = [
    (4, 3, 5),
    (4, 3, 5, 1),
    (4, 3, 5, 2),
    (4, 3, 5, 2, 1),
    (4, 3, 5, 1, 2),
    (4, 3, 5, 1, 1, 1, 2),
    (7, 1, 1),
    (33_000, 1, 1),  # beyond int16: FreeSurfer's first dimension of -1
    (27_307, 1, 6),
]
TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
NUMBERS = st.sampled_from([-np.inf, -2.5, -1.0, 0.0, 0.5, 1.0, 3.0, np.nan, np.inf])
FIELDS = {
    "sizeof_hdr": st.sampled_from([0, -1, 347]),
    "magic": st.sampled_from([b"n+1", b"ni1"]),
    "bitpix": st.sampled_from([0, 1, 99]),
    "qform_code": st.sampled_from([-1, 0, 1, 2, 99]),
    "sform_code": st.sampled_from([-1, 0, 1, 4, 99]),
    "scl_slope": NUMBERS,
    "scl_inter": NUMBERS,
    "quatern_b": st.sampled_from([-0.5, 0.0, 0.3, 2.0]),
    "intent_code": st.sampled_from([0, 1007, 4321]),
    "xyzt_units": st.sampled_from([0, 2, 10, 255]),
    "cal_max": NUMBERS,
}
PIXDIM = st.dictionaries(st.integers(0, 4), st.sampled_from([-2.0, -1.0, 0.0, 1.0, 1.8, 5.0]))


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bytes, str]:
    """Draw a file that nibabel wrote, with a header that somebody has changed since, and a tail."""
    shape, kind = draw(st.sampled_from(SHAPES)), np.dtype(draw(st.sampled_from(TYPES)))
    order = draw(st.sampled_from("<>"))
    values = np.random.default_rng(1).integers(0, 100, shape).astype(kind.newbyteorder(order))
    made = nib.Nifti1Header(endianness=order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.set_data_shape(shape)
    made.set_data_dtype(values.dtype)
    made.set_sform(AFFINE, "scanner")
    made.set_qform(AFFINE, "scanner", strip_shears=True)
    made["magic"], made["vox_offset"] = made.single_magic, 352
    for name in draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=4)):
        made[name] = draw(FIELDS[name])
    for axis, size in draw(PIXDIM).items():
        made["pixdim"][axis] = size
    tail = draw(st.sampled_from([b"", b"\n", b"foreign bytes", b"\0" * 600]))
    content = made.binaryblock + b"\0" * 4 + values.tobytes(order="F")
    packed = draw(st.booleans())
    return (gzip.compress(content, 1), tail, ".nii.gz") if packed else (content, tail, ".nii")


@given(files())
@settings(max_examples=300, deadline=None)
def test_whatever_the_header_ours_is_what_nibabel_gives(tmp_path_factory, file):
    """Grid, affine and values; or both refuse. The dimensions beyond the third are one series."""
    data, tail, extension = file
    path = tmp_path_factory.getbasetemp() / f"any{extension}"
    path.write_bytes(data + tail)
    clean = path.with_name(f"clean{extension}")  # nibabel stumbles over a tail in the first KB
    clean.write_bytes(data)
    try:
        image = nib.load(clean)
        expected, affine = np.asarray(image.dataobj), image.affine
    except (ValueError, nib.spatialimages.HeaderDataError, nib.filebasedimages.ImageFileError):
        with pytest.raises(CorruptFileError, match=r"makes no sense|is no NIfTI"):
            open_file(path).__enter__()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # repairs are told: tests above
        with open_file(path) as reader:
            header = reader.header
            first = whole_volume(reader)
        every = Voxels.from_mask(np.ones(header.voxels, dtype=bool), header.grid)
        with open_file(path) as reader, np.errstate(all="ignore"):
            series = masked(reader, every)
    assert header.grid == expected.shape[:3]
    assert header.volumes == np.prod(expected.shape[3:])
    assert np.array_equal(header.affine, affine, equal_nan=True)
    volumes = expected.reshape(*header.grid, -1, order="F")
    assert np.array_equal(first, volumes[..., 0], equal_nan=True)
    assert np.array_equal(
        series, volumes.reshape(header.voxels, -1).T.astype(np.float32), equal_nan=True
    )


@pytest.mark.parametrize("version", [1, 2])
def test_the_magic_of_a_pair_in_a_single_file_does_no_harm(tmp_path, version):
    made = header(version)
    made["magic"] = made.pair_magic
    as_nibabel(tmp_path / "odd.nii", content(made))
    made["vox_offset"] = 0  # as in the header of a pair; here the voxels follow it
    path = tmp_path / "pair.nii"
    path.write_bytes(content(made))
    with open_file(path) as reader:
        found = whole_volume(reader)
    assert np.array_equal(found.ravel(order="F"), VALUES)


# --- refused --------------------------------------------------------------------------------------


def dim(*sizes: int) -> Callable[[nib.Nifti1Header], None]:
    def change(made: nib.Nifti1Header) -> None:
        made["dim"][: len(sizes)] = sizes

    return change


def field(name: str, value: object) -> Callable[[nib.Nifti1Header], None]:
    def change(made: nib.Nifti1Header) -> None:
        made[name] = value

    return change


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("change", "says", "nibabel_refuses"),
    [
        (dim(3, 0, 9, 6), r"expected a 3-D or 4-D volume, found shape \(0, 9, 6\)", False),
        (dim(3, -7, 9, 6), r"expected a 3-D or 4-D volume, found shape \(-7, 9, 6\)", True),
        (dim(0), r"expected a 3-D or 4-D volume, found shape \(0,\)", False),
        (dim(2), r"expected a 3-D or 4-D volume, found shape \(7, 9\)", False),
        (dim(5, 7, 3, 2, 3, 3), r"found shape \(7, 3, 2, 3, 3\)", False),
        (dim(9), "claims -?[0-9]+ dimensions; NIfTI has up to 7", False),
        (dim(-3), "claims -?[0-9]+ dimensions; NIfTI has up to 7", False),
        (field("magic", b""), r"is not a single-file NIfTI \(\.nii or \.nii\.gz\)", False),
        (field("vox_offset", 100), "vox offset 100 too low for single file nifti1", True),
        (field("vox_offset", -352), "vox offset -352 too low", True),
        (field("vox_offset", np.nan), "the NIfTI header makes no sense", True),
        (field("datatype", 4321), "data code 4321 not recognized", True),
        (field("datatype", 32), "holds .?(complex64|c8) values; the loader reads int", False),
        (field("datatype", 128), "the loader reads int and float", False),
        (field("scl_inter", np.inf), "Valid slope but invalid intercept inf", True),
    ],
)
def test_a_header_without_sense_is_refused(tmp_path, order, change, says, nibabel_refuses):
    made = header(order=order)
    made["scl_slope"] = 1
    change(made)
    data = made.binaryblock + b"\0" * 4 + VALUES.tobytes()
    path = tmp_path / "odd.nii"
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=rf"odd\.nii: .*{says}") as caught:
        open_file(path).__enter__()
    assert isinstance(caught.value, OSError)
    assert caught.value.path == str(path)
    if nibabel_refuses:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each in its own way
            nib.load(path).get_fdata()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_ends_too_early(tmp_path, version, order, packed):
    whole = content(header(version, order))
    path = tmp_path / "odd.nii"
    for length in (0, 1, 3, 4, 100, 347, SIZES[version] - 1):
        data = whole[:length]
        path.write_bytes(gzip.compress(data) if packed else data)
        says = rf"odd\.nii: ends after {length} bytes, within the NIfTI header"
        with pytest.raises(CorruptFileError, match=says):
            open_file(path).__enter__()
        with pytest.raises(nib.filebasedimages.ImageFileError):
            nib.load(path)


def test_a_file_that_is_no_nifti_is_told_by_how_it_begins(tmp_path):
    path = tmp_path / "odd.nii"
    for data in (b"<html>" * 200, b"\x89PNG\r\n\x1a\n" * 100, bytes(1000)):
        path.write_bytes(data)
        with pytest.raises(CorruptFileError, match="is no NIfTI file: it begins with") as caught:
            open_file(path).__enter__()
        assert repr(data[:8]) in str(caught.value)


def test_voxels_that_begin_after_the_end(tmp_path):
    made = header()
    made["vox_offset"] = 1 << 20
    path = tmp_path / "odd.nii"
    path.write_bytes(content(made))
    with pytest.raises(CorruptFileError, match="ends within volume 0 of 1"):
        open_file(path).__enter__()
    path.write_bytes(gzip.compress(content(made)))
    with pytest.raises(CorruptFileError, match="ends before its first voxel"):
        open_file(path).__enter__()
