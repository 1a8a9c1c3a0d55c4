"""A volume that was cut is, for nibabel and nilearn, what it is in the file."""

from __future__ import annotations

import gzip
import json
import os
import struct
import threading
import tracemalloc

import nibabel
import numpy as np
import pytest
from nilearn.image import index_img

from neurofetch.ui.look.kinds import said
from neurofetch.ui.look.places import Place
from neurofetch.ui.look.problems import UnreadableFileError
from neurofetch.ui.look.volumes import Volumes
from tests.look_world import AFFINE, Page, image_of, save, series

NUMBERS = ("i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">u8", "<f4", ">f4", "<f8")


@pytest.fixture
def page(tmp_path):
    return Page(tmp_path)


def cut(root, name, number=0, count=1, **bounds):
    """What `Volumes` with these bounds makes of a file."""
    return Volumes(**bounds).volume(Place(root, (name,)), number, count)


def loaded(body):
    return nibabel.Nifti1Image.from_bytes(body)


# -- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bold.nii", "bold.nii.gz"])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_a_frame_of_any_type_of_numbers_is_that_of_nibabel(page, tmp_path, name, dtype):
    image = save(tmp_path / name, series((5, 6, 7, 4), dtype))
    for number in (0, 3, 1):
        got = image_of(page.volume(name, frame=number))
        assert got.shape == (5, 6, 7)
        assert got.get_data_dtype() == image.get_data_dtype()
        assert np.array_equal(got.dataobj, nibabel.load(tmp_path / name).dataobj[..., number])
        assert np.array_equal(got.affine, AFFINE)


@pytest.mark.parametrize("name", ["bold.nii", "bold.nii.gz"])
def test_a_run_of_frames_is_that_of_nilearn(page, tmp_path, name):
    save(tmp_path / name, series((5, 6, 7, 9)))
    answer = page.volume(name, frame=2, frames=4)
    assert answer.headers["X-Neurofetch-Frames"] == "2-5"
    wanted = index_img(str(tmp_path / name), slice(2, 6))
    assert np.array_equal(image_of(answer).get_fdata(), wanted.get_fdata())
    assert image_of(answer).header.get_zooms() == wanted.header.get_zooms()
    assert page.volume(name, frame=7, frames=9).headers["X-Neurofetch-Frames"] == "7-8"


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2_and_either_byte_order_stay_what_they_are(page, tmp_path, kind, order):
    data = series((4, 5, 6, 3), f"{order}f4")
    save(tmp_path / "bold.nii.gz", data, kind=kind)
    body = page.volume("bold.nii.gz", frame=2).body
    got = kind.from_bytes(body)
    assert got.header.endianness == order
    assert np.array_equal(got.dataobj, data[..., 2])


def test_scaling_nan_and_infinity_are_kept(page, tmp_path):
    data = series((4, 5, 6, 3), "<i2")
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_slope_inter(0.25, -7)
    nibabel.save(image, tmp_path / "bold.nii.gz")
    wanted = nibabel.load(tmp_path / "bold.nii.gz")
    got = image_of(page.volume("bold.nii.gz", frame=1))
    assert np.array_equal(got.get_fdata(), wanted.get_fdata()[..., 1])
    values = series((4, 5, 6, 3))
    values[0, 0, 0], values[1, 0, 0] = np.nan, -np.inf
    save(tmp_path / "stat-z_statmap.nii", values)
    got = image_of(page.volume("stat-z_statmap.nii", frame=1))
    assert np.array_equal(got.dataobj, values[..., 1], equal_nan=True)
    json.dumps(page.of("stat-z_statmap.nii"), allow_nan=False)
    course = page.of("stat-z_statmap.nii", "/course", i=0, j=0, k=0)
    assert course["values"] == [None, None, None]


SHAPES = [
    (4,),
    (4, 5),
    (4, 5, 6),
    (4, 5, 6, 1),
    (4, 5, 6, 2, 3),
    (4, 5, 6, 1, 3),
    (3, 4, 5, 1, 1, 2),
]


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_number_of_dimensions_is_a_series_of_volumes(page, tmp_path, name, shape):
    data = series(shape)
    save(tmp_path / name, data)
    flat = data.reshape(*(*shape, 1, 1)[:3], -1, order="F")
    volume = page.of(name)["volume"]
    assert volume["shape"] == list(flat.shape)
    for number in range(flat.shape[3]):
        got = np.asarray(image_of(page.volume(name, frame=number, v="")).dataobj)
        assert np.array_equal(got.reshape(flat.shape[:3]), flat[..., number])
    page.error(name, "/volume", 404, frame=flat.shape[3])


def test_colours_come_as_colours(page, tmp_path):
    colours = np.zeros((4, 5, 6, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"][1:3] = 200
    colours["B"][..., 1] = 77
    save(tmp_path / "fa_color.nii.gz", colours)
    got = image_of(page.volume("fa_color.nii.gz", frame=1))
    assert np.array_equal(np.asarray(got.dataobj), colours[..., 1])
    assert page.of("fa_color.nii.gz")["volume"]["cal_max"] == 255
    assert "colours" in page.error("fa_color.nii.gz", "/course", 400, i=0, j=0, k=0)


@pytest.mark.parametrize("dtype", ["<c8", "<c16"])
def test_of_complex_values_the_magnitude_is_shown_and_said(page, tmp_path, dtype):
    data = series((4, 5, 6, 2), dtype)
    save(tmp_path / "x.nii.gz", data)
    got = image_of(page.volume("x.nii.gz", frame=1))
    assert np.allclose(got.get_fdata(), np.abs(data[..., 1]), rtol=1e-6)
    assert "magnitude" in page.of("x.nii.gz")["volume"]["cut"]
    course = page.of("x.nii.gz", "/course", i=1, j=2, k=3)
    assert np.allclose(course["values"], np.abs(data[1, 2, 3]))


@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_of_files_comes_as_one(page, tmp_path, packed):
    data = series((4, 5, 6, 3), "<i2")
    image = nibabel.Nifti1Pair(data, AFFINE)
    nibabel.save(image, tmp_path / "old.hdr")
    if packed:
        packed_image = tmp_path / "old.img.gz"
        packed_image.write_bytes(gzip.compress((tmp_path / "old.img").read_bytes()))
        (tmp_path / "old.img").unlink()
    assert list(page.shelf()) == ["old.hdr"]
    for query in ({"frame": 2}, {"frame": 0, "frames": 3}, {}):
        answer = page.volume("old.hdr", **query)
        got = image_of(answer)
        assert answer.headers["X-Neurofetch-Name"] == "old.nii"
        assert np.array_equal(got.dataobj, data[..., 2] if query.get("frame") else data)
    assert page.of("old.hdr", "/course", i=1, j=1, k=1)["values"] == data[1, 1, 1].tolist()


def test_a_negative_voxel_size_is_mended_as_nibabel_does(page, tmp_path):
    save(tmp_path / "x.nii", series((4, 5, 6)))
    block = bytearray((tmp_path / "x.nii").read_bytes())
    block[80:84] = struct.pack("<f", -2.0)
    (tmp_path / "x.nii").write_bytes(block)
    got = image_of(page.volume("x.nii", frame=0))
    wanted = nibabel.load(tmp_path / "x.nii")
    assert got.header.get_zooms() == wanted.header.get_zooms()
    assert np.array_equal(got.affine, wanted.affine)


# -- the file as it is ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["T1w.nii", "T1w.nii.gz"])
def test_a_small_file_comes_as_it_is(page, tmp_path, name):
    save(tmp_path / name, series((8, 9, 10), "<i2"))
    for query in ({}, {"frame": 0}, {"frame": 0, "frames": 5}):
        answer = page.volume(name, **query)
        assert answer.body == (tmp_path / name).read_bytes()
        assert answer.headers["X-Neurofetch-Name"] == name


def test_a_name_that_says_too_little_or_too_much_is_put_right(page, tmp_path):
    save(tmp_path / "a b\u202e größe.nii.gz", series((4, 5, 6), "<i2"))
    plain = gzip.decompress((tmp_path / "a b\u202e größe.nii.gz").read_bytes())
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    names = {
        path: page.volume(path, frame=0).headers["X-Neurofetch-Name"]
        for path in ("plain.nii.gz", "packed.nii")
    }
    assert names == {"plain.nii.gz": "plain.nii", "packed.nii": "packed.nii.gz"}
    (odd,) = (one for one in page.shelf().values() if "gr" in one["name"])
    answer = page.get(f"api/items/{odd['item']}/volume")
    assert answer.headers["X-Neurofetch-Name"].isascii()


def test_what_follows_the_voxels_is_not_handed_out_to_be_unpacked(page, tmp_path):
    save(tmp_path / "x.nii.gz", series((4, 5, 6)))
    plain = gzip.decompress((tmp_path / "x.nii.gz").read_bytes())
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(plain + bytes(80 << 20)))
    answer = page.volume("x.nii.gz", frame=0)
    assert answer.headers["X-Neurofetch-Name"] == "x.nii"
    assert len(answer.body) < 1000
    assert np.array_equal(image_of(answer).dataobj, nibabel.load(tmp_path / "x.nii.gz").dataobj)


# -- too large -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("limit", [50_000, 20_000, 5_000])
def test_a_frame_that_is_too_large_is_thinned_and_stays_in_its_place(tmp_path, name, limit):
    data = series((20, 31, 23, 3), "<f4")
    save(tmp_path / name, data)
    served = cut(tmp_path, name, 1, limit=limit)
    assert len(served.body) <= limit
    got = loaded(served.body)
    step = round(float(np.linalg.norm(got.affine[:, 0]) / 2))
    assert np.array_equal(got.dataobj, data[::step, ::step, ::step, 1])
    there = nibabel.affines.apply_affine(got.affine, [2, 3, 1])
    assert np.allclose(there, nibabel.affines.apply_affine(AFFINE, np.array([2, 3, 1]) * step))
    place = Place(tmp_path, (name,))
    told = Volumes(limit=limit).described(place, said(name, "volume"), {})["volume"]
    assert told["step"] == step
    assert "voxel of each axis" in told["cut"]
    assert told["served_bytes"] <= limit


def test_a_thinned_volume_without_an_affine_of_its_own_stays_in_its_place(tmp_path):
    data = series((20, 31, 23))
    image = nibabel.Nifti1Image(data, None)
    nibabel.save(image, tmp_path / "x.nii")
    whole = nibabel.load(tmp_path / "x.nii").affine
    got = loaded(cut(tmp_path, "x.nii", limit=20_000).body)
    assert np.allclose(got.affine[:3, 3], whole[:3, 3])


@pytest.mark.parametrize("asked", [1, 3, 50])
def test_no_more_frames_come_than_fit(tmp_path, asked):
    data = series((10, 10, 10, 50))
    save(tmp_path / "x.nii.gz", data)
    served = cut(tmp_path, "x.nii.gz", 5, asked, limit=20_000)
    assert served.frames == min(asked, 4)
    assert len(served.body) <= 20_000
    wanted = data[..., 5] if asked == 1 else data[..., 5 : 5 + served.frames]
    assert np.array_equal(loaded(served.body).dataobj, wanted)


def test_a_slice_that_is_too_large_is_refused(tmp_path):
    save(tmp_path / "x.nii", np.zeros((2000, 2000, 2), dtype="u1"))
    with pytest.raises(UnreadableFileError, match="slices of 3 MB"):
        cut(tmp_path, "x.nii", limit=1 << 20)


# -- damaged -------------------------------------------------------------------------------------


def whole_file(tmp_path, name="x.nii.gz", shape=(10, 11, 12, 6)):
    save(tmp_path / name, series(shape))
    return (tmp_path / name).read_bytes()


def claims(shape, *, dtype=16, bits=32):
    """The header of a file of this shape."""
    header = nibabel.Nifti1Header()
    header["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    header["datatype"], header["bitpix"] = dtype, bits
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header.binaryblock + bytes(4)


DAMAGED = {
    "empty": lambda _: b"",
    "gzip of nothing": lambda _: gzip.compress(b""),
    "within the header": lambda whole: gzip.decompress(whole)[:200],
    "the header alone": lambda whole: gzip.decompress(whole)[:352],
    "text": lambda _: b"<html>404 not found</html>" * 50,
    "text, gzipped": lambda _: gzip.compress(b"no such thing" * 100),
    "the gzip header alone": lambda whole: whole[:10],
    "the first bytes of a stream": lambda whole: whole[:300],
    "noise after the first bytes": lambda whole: whole[:400] + bytes(range(256)) * 40,
    "plain, cut": lambda whole: gzip.decompress(whole)[:-1],
    "no dimensions": lambda _: claims(()) + bytes(100),
    "a dimension of zero": lambda _: claims((4, 0, 3)) + bytes(100),
    "a negative dimension": lambda _: claims((4, -5, 3)) + bytes(100),
    "larger than any disk": lambda _: gzip.compress(claims((32767,) * 7)),
    "larger than what it has": lambda _: gzip.compress(claims((30000, 30000, 30000))),
    "many volumes in little": lambda _: gzip.compress(claims((64, 64, 32, 32767))),
    "a type that nobody reads": lambda _: claims((4, 4, 4), dtype=1, bits=1) + bytes(100),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_told_and_what_to_do_about_it(page, tmp_path, kind):
    whole = whole_file(tmp_path)
    (tmp_path / "x.nii.gz").write_bytes(DAMAGED[kind](whole))
    tracemalloc.start()
    try:
        for what in ("", "/volume", "/course"):
            message = page.error("x.nii.gz", what, 422, frame=0, i=0, j=0, k=0)
            assert message.startswith("x.nii.gz ")
            assert "neurofetch verify" in message or "another program" in message
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cut_at", [0.5, 0.9, 0.999])
def test_a_truncated_series_shows_what_is_whole_and_says_where_it_ends(page, tmp_path, cut_at):
    whole = whole_file(tmp_path)
    data = np.asarray(nibabel.load(tmp_path / "x.nii.gz").dataobj)
    (tmp_path / "x.nii.gz").write_bytes(whole[: int(len(whole) * cut_at)])
    assert np.array_equal(image_of(page.volume("x.nii.gz", frame=1)).dataobj, data[..., 1])
    for _ in range(2):  # what broke is not left broken
        assert "gzip stream" in page.error("x.nii.gz", "/volume", 422, frame=5)
        assert "gzip stream" in page.error("x.nii.gz", "/course", 422, i=1, j=1, k=1)
        assert np.array_equal(image_of(page.volume("x.nii.gz", frame=0)).dataobj, data[..., 0])


def test_a_stream_that_ends_early_by_its_own_word_says_in_which_frame(page, tmp_path):
    plain = gzip.decompress(whole_file(tmp_path))
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(plain[:-9000]))
    assert "ends within frame 4 of 6" in page.error("x.nii.gz", "/volume", 422, frame=5)
    assert "ends within frame 4 of 6" in page.error("x.nii.gz", "/volume", 422)


@pytest.mark.parametrize("shape", [(10, 11, 12, 6), (10, 11, 12)], ids=str)
def test_a_checksum_that_is_wrong_is_told_once_the_end_is_reached(page, tmp_path, shape):
    whole = whole_file(tmp_path, shape=shape)
    (tmp_path / "x.nii.gz").write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    for _ in range(2):
        last = page.error("x.nii.gz", "/volume", 422, frame=shape[3] - 1 if shape[3:] else 0)
        assert "damaged within its gzip stream" in last
        page.error("x.nii.gz", "/volume", 422)
        page.error("x.nii.gz", "/course", 422, i=0, j=0, k=0)


@pytest.mark.parametrize("limit", [5_000, 1 << 20])
def test_a_thinned_frame_of_a_damaged_file_is_none(tmp_path, limit):
    whole = whole_file(tmp_path, shape=(20, 21, 22))
    (tmp_path / "x.nii.gz").write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    with pytest.raises(UnreadableFileError, match="damaged within its gzip stream"):
        cut(tmp_path, "x.nii.gz", limit=limit)


POINTERS = {
    "annex": "../.git/annex/objects/xx/yy/MD5E-s1.nii.gz/MD5E-s1.nii.gz",
    "unlocked annex": "/annex/objects/MD5E-s1234--abc.nii.gz\n",
    "lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
}


@pytest.mark.parametrize("kind", POINTERS)
def test_a_pointer_to_content_that_is_elsewhere_is_told_from_damage(page, tmp_path, kind):
    (tmp_path / "x.nii.gz").write_text(POINTERS[kind])
    message = page.error("x.nii.gz", "/volume", 422, frame=0)
    assert "its content is not here" in message
    assert ("git lfs pull" if kind == "lfs" else "datalad get") in message


def test_analyze_is_told_by_its_name(page, tmp_path):
    nibabel.save(nibabel.AnalyzeImage(series((4, 5, 6)), AFFINE), tmp_path / "x.img")
    assert "ANALYZE" in page.error("x.hdr", "/volume", 422, frame=0)


def test_members_and_padding_of_a_gzip_stream_are_one_file(page, tmp_path):
    plain = gzip.decompress(whole_file(tmp_path))
    wanted = np.asarray(nibabel.load(tmp_path / "x.nii.gz").dataobj)
    parts = [gzip.compress(plain[at : at + 7001]) for at in range(0, len(plain), 7001)]
    (tmp_path / "x.nii.gz").write_bytes(bytes(5).join(parts))
    for number in (5, 2):
        got = image_of(page.volume("x.nii.gz", frame=number))
        assert np.array_equal(got.dataobj, wanted[..., number])


# -- courses -------------------------------------------------------------------------------------


def brain_series(shape=(12, 13, 14), frames=40):
    """A session as models leave it: values inside, zeros or NaN outside."""
    data = series((*shape, frames))
    data[:4] = 0
    data[:, 10:] = np.nan
    return data


@pytest.mark.parametrize("keep", [1 << 30, 200_000, 30_000, 0], ids=str)
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_the_course_of_a_voxel_is_that_of_nibabel_however_little_is_kept(tmp_path, name, keep):
    data = brain_series()
    data[0, 0, 0, 7] = 3.5  # one that is not the same outside
    save(tmp_path / name, data)
    place = Place(tmp_path, (name,))
    volumes = Volumes(keep=keep)
    for voxel in ((5, 5, 5), (6, 5, 5), (0, 0, 0), (0, 11, 0), (11, 12, 13), (4, 9, 13)):
        got = volumes.course(place, voxel)["values"]
        wanted = [None if np.isnan(v) else float(v) for v in data[voxel]]
        assert got == wanted
    for number in (0, 7, 39, 12):
        body = volumes.volume(place, number, 1).body
        assert np.array_equal(loaded(body).dataobj, data[..., number], equal_nan=True)


def read_so_far():
    with open("/proc/self/io") as file:
        return int(file.read().split("rchar: ")[1].split()[0])


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="Linux counts what is read")
@pytest.mark.parametrize("keep", [1 << 30, 1_300_000], ids=["whole", "inside"])
def test_a_session_is_read_once_for_all_frames_and_courses(tmp_path, keep):
    data = brain_series((20, 21, 22), frames=60)
    save(tmp_path / "x.nii.gz", data)
    size = (tmp_path / "x.nii.gz").stat().st_size
    place = Place(tmp_path, ("x.nii.gz",))
    volumes = Volumes(keep=keep)
    begin = read_so_far()
    volumes.volume(place, 30, 1)
    volumes.course(place, (8, 8, 8))
    once = read_so_far() - begin
    assert size <= once < size + 1_500_000
    begin = read_so_far()
    for number in (59, 3, 30, 0):
        volumes.volume(place, number, 1)
    for voxel in ((8, 8, 8), (0, 0, 0), (19, 9, 21)):
        volumes.course(place, voxel)
    assert read_so_far() - begin < size / 2


def test_a_course_outside_of_the_grid_is_refused(page, tmp_path):
    save(tmp_path / "x.nii", series((4, 5, 6, 3)))
    assert "outside" in page.error("x.nii", "/course", 400, i=4, j=0, k=0)
    page.error("x.nii", "/course", 400, i=-1, j=0, k=0)
    page.error("x.nii", "/course", 400, i="a", j=0, k=0)
    page.error("x.nii", "/course", 400)


def test_a_course_is_asked_for_by_the_place_in_the_scanner_too(page, tmp_path):
    data = series((5, 6, 7, 3))
    save(tmp_path / "x.nii.gz", data)
    for voxel in ((0, 0, 0), (4, 5, 6), (1, 3, 2)):
        x, y, z = nibabel.affines.apply_affine(AFFINE, np.add(voxel, [0.3, -0.4, 0.2]))
        told = page.of("x.nii.gz", "/course", x=x, y=y, z=z)
        assert told["voxel"] == list(voxel)
        assert told["values"] == data[voxel].tolist()
    assert np.array_equal(page.of("x.nii.gz")["volume"]["affine"], AFFINE)
    for x in (1000, -1000, "inf", "1_0", "0x1", "1e99", " 1"):
        page.error("x.nii.gz", "/course", 400, x=x, y=0, z=0)


# -- meanwhile -----------------------------------------------------------------------------------


def test_a_file_that_is_another_one_now_is_not_shown_as_the_old_one(page, tmp_path):
    save(tmp_path / "x.nii.gz", series((4, 5, 6, 3)))
    version = page.of("x.nii.gz")["version"]
    page.volume("x.nii.gz", frame=1, v=version)
    other = series((4, 5, 6, 3), seed=1)
    save(tmp_path / "new.nii.gz", other)
    os.replace(tmp_path / "new.nii.gz", tmp_path / "x.nii.gz")
    assert "Open it again" in page.error("x.nii.gz", "/volume", 404, frame=1, v=version)
    version = page.of("x.nii.gz")["version"]
    got = image_of(page.volume("x.nii.gz", frame=1, v=version))
    assert np.array_equal(got.dataobj, other[..., 1])


def test_a_file_that_is_replaced_again_and_again_comes_whole_or_not_at_all(page, tmp_path):
    versions = [series((16, 16, 16, 5), seed=seed) for seed in range(2)]
    for number, data in enumerate(versions):
        save(tmp_path / f"keep{number}.nii.gz", data)
    save(tmp_path / "x.nii.gz", versions[0])
    item = page.id("x.nii.gz")
    stop = threading.Event()

    def replace():
        number = 0
        while not stop.is_set():
            os.link(tmp_path / f"keep{number % 2}.nii.gz", tmp_path / "draft")
            os.replace(tmp_path / "draft", tmp_path / "x.nii.gz")
            number += 1

    thread = threading.Thread(target=replace)
    thread.start()
    seen = set()
    number = 0
    try:
        while number < 60 or seen != {0, 1}:
            number += 1
            answer = page.get(f"api/items/{item}/volume", frame=str(number % 5))
            assert answer.status in (200, 404)
            if answer.status == 200:
                got = np.asarray(image_of(answer).dataobj)
                equal = [np.array_equal(got, one[..., number % 5]) for one in versions]
                assert any(equal)
                seen.add(equal.index(True))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_file_that_grows_under_the_reader_is_looked_at_afresh(page, tmp_path, name):
    whole = whole_file(tmp_path, name)
    half = len(whole) // 2
    (tmp_path / name).write_bytes(whole[:half])
    page.error(name, "/volume", 422, frame=5)
    with open(tmp_path / name, "ab") as file:
        file.write(whole[half:])
    wanted = nibabel.load(tmp_path / name).dataobj[..., 5]
    assert np.array_equal(image_of(page.volume(name, frame=5)).dataobj, wanted)


def test_many_at_once_get_what_one_gets(page, tmp_path):
    data = series((16, 17, 18, 12))
    save(tmp_path / "x.nii.gz", data)
    item = page.id("x.nii.gz")
    wrong = []

    def ask(first):
        for number in range(12):
            at = (number * 5 + first) % 12
            body = page.get(f"api/items/{item}/volume", frame=str(at)).body
            if not np.array_equal(loaded(body).dataobj, data[..., at]):
                wrong.append(at)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
