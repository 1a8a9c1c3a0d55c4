"""A collection that is here, on one sheet; no request is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from neurofetch.errors import NothingMatchedError, UnknownValueError
from neurofetch.neurovault.pictures import show

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
