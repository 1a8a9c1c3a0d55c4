"""A collection that is here, on one sheet; no request is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from neurofetch.errors import (
    NothingMatchedError,
    UnknownValueError,
    UsageError,
    VerificationError,
)
from neurofetch.neurovault.pictures import show
from neurofetch.pictures.places import Entry, Origin
from neurofetch.pictures.sheet import draw_sheet

pytest_plugins = ["tests.neurovault_fixtures"]


@pytest.fixture
def fetched(world):
    world.ids([1952], [5])
    world.server.clear_log()
    return world


def test_a_collection_is_a_sheet_of_its_maps_and_asks_no_server(fetched, tmp_path):
    drawn = show(1952, tmp_path / "a.svg", data_dir=fetched.data_dir)
    assert [path.name for path in drawn.files] == [f"image_{n}.nii.gz" for n in range(101, 106)]
    words = drawn.path.read_text()
    for number in range(101, 106):
        assert f"map {number}" in words
    assert "t map" in words  # by its record: the name says nothing
    assert "z map" in words
    assert "neurovault.org/collections/1952" in words
    assert fetched.server.requests() == []


def test_an_image_is_a_picture_of_its_own(fetched, tmp_path):
    drawn = show(5, tmp_path / "a.png", image=True, data_dir=fetched.data_dir)
    assert [path.name for path in drawn.files] == ["image_5.nii.gz"]
    with Image.open(drawn.path) as picture:
        assert picture.size == (1540, 924)


def test_what_is_not_here_is_told_with_the_command_that_brings_it(fetched, tmp_path):
    for number, image, flag in ((42, False, "--collection 42"), (9, True, "--image 9")):
        with pytest.raises(NothingMatchedError, match=f"neurovault fetch {flag}'"):
            show(number, tmp_path / "a.png", image=image, data_dir=fetched.data_dir)
    with pytest.raises(UnknownValueError, match="no page 2"):
        show(1952, tmp_path / "a.png", data_dir=fetched.data_dir, page=2)
    assert not list(tmp_path.glob("*.png"))


def test_a_map_that_is_gone_and_one_that_is_damaged_are_told(fetched, tmp_path):
    fetched.file(1952, 101).unlink()
    fetched.file(1952, 102).write_bytes(fetched.file(1952, 103).read_bytes()[:900])
    (fetched.root / "collection_1952" / "image_104_metadata.json").write_text("{")
    drawn = show(1952, tmp_path / "a.svg", data_dir=fetched.data_dir)
    assert [path.name for path in drawn.files] == [f"image_{n}.nii.gz" for n in (103, 104, 105)]
    assert drawn.notes[0] == "1 map of it has no file here"
    assert [path.name for path in drawn.failed] == ["image_101.nii.gz", "image_102.nii.gz"]
    assert "image_102.nii.gz cannot be read" in drawn.notes[1]
    assert "image 104" in drawn.path.read_text()


@pytest.mark.parametrize("image", [False, True], ids=["collection", "image"])
def test_records_without_a_map_are_told_with_the_command_that_brings_it(fetched, tmp_path, image):
    for path in fetched.root.glob("collection_*/image_*.nii.gz"):
        path.unlink()
    number, flag = (5, "--image 5") if image else (1952, "--collection 1952")
    with pytest.raises(NothingMatchedError, match=f"and no map.*neurovault fetch {flag}'"):
        show(number, tmp_path / "a.png", image=image, data_dir=fetched.data_dir)
    assert not (tmp_path / "a.png").exists()


WRONG = {
    "limit": [0, -1, 1.5, True, "3", None],
    "page": [0, -1, 1.5, True, "3", None],
    "threshold": [-1, float("nan"), float("inf"), True, "2"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_numbers_that_cannot_be_meant_are_told_before_anything_is_read(
    fetched, tmp_path, name, value
):
    with pytest.raises(UsageError, match=name):
        show(1952, tmp_path / "a.png", data_dir=fetched.data_dir, **{name: value})
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("number", [0, -5, True, "1952", 3.0, None])
def test_what_is_no_id_is_told(fetched, tmp_path, number):
    for image in (False, True):
        with pytest.raises(UsageError, match="is no id"):
            show(number, tmp_path / "a.png", image=image, data_dir=fetched.data_dir)


@pytest.mark.parametrize("kind", [np.int64, np.uint32], ids=["int64", "uint32"])
def test_an_id_may_come_from_a_table(fetched, tmp_path, kind):
    assert show(kind(1952), tmp_path / "a.png", data_dir=fetched.data_dir).files


@pytest.mark.parametrize("damage", ["{", "", "[]", None])
def test_the_record_of_a_collection_may_be_damaged_while_its_maps_are_whole(
    fetched, tmp_path, damage
):
    record = fetched.root / "collection_1952" / "collection_metadata.json"
    record.unlink() if damage is None else record.write_text(damage)
    drawn = show(1952, tmp_path / "a.svg", data_dir=fetched.data_dir)
    assert len(drawn.files) == 5
    assert "collection_1952" in drawn.path.read_text()


def test_a_collection_without_an_image_is_told(fetched, tmp_path):
    folder = fetched.root / "collection_8"
    folder.mkdir()
    (folder / "collection_metadata.json").write_text('{"id": 8, "number_of_images": 0}')
    with pytest.raises(NothingMatchedError, match=r"Collection 8 is in .* and has no image there"):
        show(8, tmp_path / "a.png", data_dir=fetched.data_dir)


def test_a_damaged_map_is_told_with_what_brings_it_again(fetched, tmp_path):
    fetched.file(7, 5).write_bytes(b"<html>")
    with pytest.raises(VerificationError, match="neurovault fetch --image 5' brings it again"):
        show(5, tmp_path / "a.png", image=True, data_dir=fetched.data_dir)
    fetched.ids([], [5])
    assert show(5, tmp_path / "a.png", image=True, data_dir=fetched.data_dir).failed == ()


def put(fetched, number: int, values: np.ndarray, **record: object) -> None:
    """Put a map into the cache, in collection 9."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [-46, -60, -40]
    folder = fetched.root / "collection_9"
    folder.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), folder / f"image_{number}.nii.gz")
    told = {"id": number, "collection_id": 9, "name": f"map {number}", **record}
    (folder / f"image_{number}_metadata.json").write_text(json.dumps(told))


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (24, 30, 24)).astype(np.float32)


def test_one_map_of_huge_values_does_not_hide_all_others(fetched, tmp_path):
    for number in range(1, 6):
        put(fetched, number, noise(number) * (1000 if number == 3 else 1), map_type="Z map")
    words = show(9, tmp_path / "a.svg", data_dir=fetched.data_dir).path.read_text()
    assert words.count("beyond these colours: up to ") == 1
    sheet = draw_sheet(
        [Entry(path) for path in sorted(fetched.root.glob("collection_9/*.gz"))], Origin(), "", ""
    )
    tops = {image.get_clim()[1] for axes in sheet.figure.axes for image in axes.get_images()}
    assert max(tops) < 12


def test_a_thresholded_map_is_not_cut_a_second_time(fetched, tmp_path):
    put(fetched, 1, np.where(noise(1) > 1.5, noise(1), 0), map_type="Z map", is_thresholded=True)
    put(fetched, 2, noise(1), map_type="Z map", is_thresholded=False)
    for number, cut in ((1, False), (2, True)):
        path = tmp_path / f"{number}.svg"
        show(number, path, image=True, data_dir=fetched.data_dir)
        assert ("beyond ±2 z only" in path.read_text()) == cut


TYPES = {
    "Z map": "z map", "T map": "t map", "F map": "F map", "P map (given null hypothesis)": "p map",
    "Parcellation": "labels", "ROI/mask": "mask", "anatomical": "anatomy", "variance": "variance",
    "univariate-beta map": "beta map", "Other": "values", "unheard of": "values",
}  # fmt: skip


def test_each_type_of_map_is_called_what_it_is(fetched, tmp_path):
    for number, kind in enumerate(TYPES, start=1):
        values = noise(number)
        if kind in ("Parcellation", "ROI/mask"):
            values = (values > 1).astype(np.int16)
        put(fetched, number, values, map_type=kind)
    words = show(9, tmp_path / "a.svg", data_dir=fetched.data_dir).path.read_text()
    for name in TYPES.values():
        assert name in words


def test_a_volume_of_nothing_is_said_to_be_one(fetched, tmp_path):
    put(fetched, 1, np.zeros((24, 30, 24), np.float32), map_type="Z map")
    put(fetched, 2, np.full((24, 30, 24), np.nan, np.float32), map_type="Z map")
    words = show(9, tmp_path / "a.svg", data_dir=fetched.data_dir).path.read_text()
    assert "nothing but zeros" in words
    assert "no voxel has a value" in words


@pytest.mark.parametrize("name", ["x" * 400, "W" * 90, "日本語" * 60, "a\nb" * 50])
def test_titles_of_others_stay_on_the_sheet(fetched, tmp_path, name):
    put(fetched, 1, noise(1), name=name)
    put(fetched, 2, noise(2), name=name)
    entries = [Entry(path, name) for path in sorted(fetched.root.glob("collection_9/*.gz"))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw_sheet(entries, Origin(), name, name).figure
        width = figure.get_figwidth() * figure.dpi
        for text in figure.texts:
            assert text.get_window_extent(figure.canvas.get_renderer()).x1 <= width


@pytest.mark.slow
def test_the_command(fetched, tmp_path):
    def run(*argv):
        command = [sys.executable, "-m", "neurofetch", "neurovault", "show", *argv]
        variables = {**os.environ, "NILEARN_DATA": fetched.data_dir}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=variables
        )

    done = run("1952", "--limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == "collection_1952.png"
    assert json.loads(done.stdout)["pages"] == 3
    done = run("77")
    assert done.returncode == 3
    assert "neurofetch neurovault fetch --collection 77" in done.stderr
    assert run("abc").returncode == 2
