"""One cache for two programs: nilearn 0.14.1 reads ours, we read nilearn's, old or moved."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from testbed.neurovault_data import recorded
from tests.neurovault_world import ids_of, quietly

pytest_plugins = ["tests.neurovault_fixtures"]


def nilearn_ids(theirs, world, *given, **keywords):
    """Fetch through nilearn."""
    keywords = {"data_dir": world.data_dir, "verbose": 0, **keywords}
    return quietly(theirs.fetch_neurovault_ids, *given, **keywords)


def test_nilearn_reads_offline_what_we_wrote(world, theirs):
    world.vault.images[6] |= {"description": None, "modality": ""}
    ours = world.ids([7], [101], fetch_neurosynth_words=True)
    world.server.clear_log()
    bunch = nilearn_ids(theirs, world, [7], [101], mode="offline", fetch_neurosynth_words=True)
    assert world.server.log == []
    assert sorted(ids_of(bunch)) == [5, 6, 7, 101]
    assert sorted(bunch.images) == sorted(ours.images)
    assert sorted(bunch.vocabulary) == sorted(ours.vocabulary)
    mine = {meta["id"]: meta for meta in ours.images_meta}
    for meta in bunch.images_meta:
        common = {key: meta[key] for key in mine[meta["id"]] if "path" not in key}
        assert common == {k: v for k, v in mine[meta["id"]].items() if "path" not in k}


def test_nilearn_goes_on_where_we_stopped_and_we_where_nilearn_did(world, theirs):
    world.ids(image_ids=[101])
    nilearn_ids(theirs, world, image_ids=[102])
    world.server.clear_log()
    assert ids_of(world.ids(image_ids=[102, 101])) == [102, 101]
    assert world.server.log == []
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]
    assert len(world.media()) == 3
    world.server.clear_log()
    assert sorted(ids_of(nilearn_ids(theirs, world, [1952]))) == [101, 102, 103, 104, 105]
    assert world.server.log == []


def test_we_read_what_nilearn_wrote_also_when_it_was_moved(world, theirs, tmp_path):
    nilearn_ids(theirs, world, [7], fetch_neurosynth_words=True)
    moved = tmp_path / "elsewhere"
    shutil.move(world.data_dir, moved)
    world.server.clear_log()
    bunch = world.ids(image_ids=[6, 5], mode="offline", data_dir=moved, fetch_neurosynth_words=True)
    assert ids_of(bunch) == [6, 5]
    assert bunch.images[0] == str(moved / "neurovault/collection_7/image_6.nii.gz")
    assert bunch.images_meta[0]["relative_path"] == "collection_7/image_6.nii.gz"
    assert bunch.word_frequencies.shape[0] == 2
    assert world.server.log == []


@pytest.mark.parametrize("style", ["relative", "windows"])
def test_older_caches_are_read(world, style):
    world.ids([7])
    folder = world.root / "collection_7"
    for path in folder.glob("image_*_metadata.json"):
        record = json.loads(path.read_text())
        number = record["id"]
        record["relative_path"] = {
            "relative": f"collection_7/image_{number}.nii.gz",
            "windows": f"C:\\data\\neurovault\\collection_7\\image_{number}.nii.gz",
        }[style]
        record["absolute_path"] = record["relative_path"]
        path.write_text(json.dumps(record))
    shutil.rmtree(world.root / ".neurofetch")
    bunch = world.ids([7], mode="offline")
    assert bunch.images == [str(world.file(7, n)) for n in (5, 6, 7)]


def test_a_recorded_windows_cache(world):
    record = recorded("windows_cache_image_10426")
    world.vault.add_collection(record["collection_id"], images=[10426])
    world.ids(image_ids=[10426])
    folder = world.root / f"collection_{record['collection_id']}"
    (folder / "image_10426_metadata.json").write_text(json.dumps(record))
    bunch = world.ids(image_ids=[10426], mode="offline")
    assert bunch.images == [str(folder / "image_10426.nii.gz")]
    assert bunch.images_meta[0]["name"] == record["name"]


def test_what_nilearn_left_broken_is_mended(world, theirs):
    world.server.fault(key="/media/*map_6.*", times=1, body=b"<html>Sorry</html>")
    world.server.fault(key="/media/*map_7.*", times=1, status=503)
    assert len(nilearn_ids(theirs, world, [7]).images) == 2
    world.server.clear_faults()
    world.server.clear_log()
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert sorted(r.key for r in world.media()) == [
        "/media/images/7/map_6.nii.gz",
        "/media/images/7/map_7.nii.gz",
    ]
    assert all(nib.load(p).get_fdata().any() for p in nilearn_ids(theirs, world, [7]).images)


def test_a_volume_of_nilearns_without_a_record_is_taken_over(world, theirs):
    nilearn_ids(theirs, world, [7])
    (world.root / "collection_7/image_6_metadata.json").unlink()
    world.server.clear_log()
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert world.media() == []


def test_filters_find_the_same_images_as_nilearn(world, theirs):
    world.vault.images[5]["map_type"] = "ROI/mask"
    world.vault.images[103]["is_thresholded"] = True
    keywords = {"data_dir": world.data_dir, "verbose": 0}
    for asked in ({}, {"map_type": "T map"}, {"collection_id": 7}, {"max_images": 3}):
        found = world.filtered(**asked, mode="overwrite")
        expected = quietly(theirs.fetch_neurovault, **asked, **keywords, mode="overwrite")
        assert sorted(ids_of(found)) == sorted(ids_of(expected))


def test_no_second_metadata_file_lies_below_the_cache(world):
    world.ids([7], fetch_neurosynth_words=True)
    world.filtered(2)
    stray = [
        path
        for path in world.root.rglob("*metadata.json")
        if not path.parent.name.startswith("collection_")
    ]
    assert stray == []


def test_the_same_folder_is_found_as_by_nilearn(world, theirs, tmp_path, monkeypatch):
    shared, own = tmp_path / "shared", tmp_path / "own"
    monkeypatch.setenv("NILEARN_SHARED_DATA", str(shared))
    monkeypatch.setenv("NILEARN_DATA", str(own))
    (own / "neurovault").mkdir(parents=True)
    bunch = world.ids(image_ids=[6], data_dir=None)
    assert Path(bunch.images[0]).parent.parent == own / "neurovault"
    found = nilearn_ids(theirs, world, image_ids=[6], data_dir=None, mode="offline")
    assert np.array_equal(found.images, bunch.images)
