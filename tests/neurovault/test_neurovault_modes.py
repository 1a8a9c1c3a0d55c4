"""Modes, signatures, ids, results: what the user's page and nilearn 0.14.1 promise."""

import dataclasses
import inspect
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import sklearn.utils
from nilearn.datasets import neurovault as nilearn_neurovault
from nilearn.image import resample_img

from neurofetch.errors import UsageError
from neurofetch.model import IncompleteError
from neurofetch.neurovault import (
    Contains,
    IsIn,
    fetch_neurovault,
    fetch_neurovault_ids,
    plan_neurovault_ids,
)
from neurofetch.neurovault.settings import Settings
from testbed.neurovault import word_weights
from tests.neurovault_world import QUICK, World, ids_of, quietly

pytest_plugins = ["tests.neurovault_fixtures"]


def tree(root):
    """Return every file below a folder with its content's time."""
    return {p: p.stat().st_mtime_ns for p in Path(root).rglob("*")}


# -- results ---------------------------------------------------------------------------------------


def test_the_result_is_a_bunch_with_what_the_page_lists(world):
    bunch = world.ids([7])
    assert isinstance(bunch, sklearn.utils.Bunch)
    assert set(bunch) == {"images", "images_meta", "collections_meta", "description"}
    assert [type(path) for path in bunch.images] == [str] * 3
    assert bunch.images == [meta["absolute_path"] for meta in bunch.images_meta]
    assert [meta["id"] for meta in bunch.collections_meta] == [7, 7, 7]
    assert "NeuroVault" in bunch.description
    assert nib.load(bunch.images[0]).shape == (46, 55, 46)
    assert bunch.report.ok


@pytest.mark.parametrize(
    "ids",
    [
        [5, 7],
        (5, 7),
        ["5", "7"],
        np.array([5, 7]),
        np.array([[5], [7]], dtype=np.uint16),
        [np.int64(5), np.int32(7)],
        range(5, 8, 2),
        (number for number in (5, 7)),
        {7, 5},
        {5: "a", 7: "b"},
        np.array([5.0, 7.0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ids_of_any_kind(world, ids):
    assert ids_of(world.ids((), ids)) == [5, 7]


def test_what_is_no_id_is_named_and_nothing_is_asked(world):
    with pytest.raises(UsageError, match=r"image_ids: 1 of 2 are not ids: 'seven' \(number 2\)"):
        world.ids(image_ids=[5, "seven"])
    for wrong in ({"mode": "online"}, {"on_error": "x"}, {"connections": 0}, {"timeout": 0}):
        with pytest.raises(UsageError):
            world.ids([7], **wrong)
    assert world.server.log == []


def test_nothing_asked_is_nothing_done(world):
    assert world.ids().images == []
    assert world.server.log == []
    assert not world.root.exists()


# -- signatures ------------------------------------------------------------------------------------


def test_the_positional_order_is_that_of_the_page(world):
    names = list(inspect.signature(fetch_neurovault_ids).parameters)
    assert names[:7] == [
        "collection_ids",
        "image_ids",
        "mode",
        "data_dir",
        "fetch_neurosynth_words",
        "vectorize_words",
        "verbose",
    ]
    bunch = fetch_neurovault_ids([7], [101], "download_new", world.data_dir, True, True, 0)
    assert ids_of(bunch) == [5, 6, 7, 101]
    assert bunch.word_frequencies.shape == (4, len(bunch.vocabulary))


@pytest.mark.parametrize("name", ["fetch_neurovault", "fetch_neurovault_ids"])
def test_every_keyword_of_nilearn_is_taken_with_its_default(name):
    ours = inspect.signature(
        {f.__name__: f for f in (fetch_neurovault, fetch_neurovault_ids)}[name]
    )
    given = inspect.signature(getattr(nilearn_neurovault, name))
    assert set(given.parameters) - set(ours.parameters) == set()
    for key, parameter in given.parameters.items():
        default = ours.parameters[key].default
        assert callable(default) or default == parameter.default, key


@pytest.mark.parametrize("function", [fetch_neurovault, fetch_neurovault_ids])
def test_every_setting_is_a_keyword_with_the_same_default(function):
    parameters = inspect.signature(function).parameters
    assert {"executor", "workers"} <= parameters.keys()  # they make the crew
    for field in dataclasses.fields(Settings):
        if field.name == "crew":
            continue
        default = None if field.name == "connections" else field.default
        assert parameters[field.name].default == default, field.name
    assert Settings.of({}) == Settings()


def test_all_keywords_of_nilearn_at_once(world):
    bunch = fetch_neurovault_ids(
        collection_ids=[7],
        image_ids=[101],
        mode="download_new",
        data_dir=world.data_dir,
        fetch_neurosynth_words=False,
        resample=False,
        vectorize_words=True,
        timeout=10.0,
        verbose=0,
    )
    assert ids_of(bunch) == [5, 6, 7, 101]
    bunch = fetch_neurovault(
        max_images=2,
        collection_terms={"id": 7},
        collection_filter=lambda record: "name" in record,
        image_terms={},
        image_filter=lambda record: record["id"] != 5,
        mode="download_new",
        data_dir=world.data_dir,
        fetch_neurosynth_words=False,
        resample=False,
        interpolation="continuous",
        vectorize_words=True,
        timeout=10.0,
        verbose=0,
        map_type=IsIn("T map", "Z map"),
    )
    assert ids_of(bunch) == [6, 7]


def test_progress_by_verbose_and_by_keyword(world, capfd):
    world.ids([7], verbose=0)
    assert capfd.readouterr().err == ""
    events = []
    world.ids([7], mode="overwrite", progress=events.append)
    assert {type(event).__name__ for event in events} >= {"Planned", "FileDone", "Finished"}
    world.ids([7], mode="overwrite", progress="json", verbose=3)
    assert '"event": "finished"' in capfd.readouterr().err


# -- modes -----------------------------------------------------------------------------------------


def test_download_new_asks_nothing_for_what_is_whole(world):
    world.ids([7], [101, 102])
    world.server.clear_log()
    assert ids_of(world.ids([7], [102, 101])) == [5, 6, 7, 102, 101]
    assert world.server.log == []
    assert ids_of(world.ids(image_ids=[102, 103])) == [102, 103]
    assert [r.key for r in world.server.log] == [
        "/api/images/103/",
        "/media/images/1952/map_103.nii.gz",
    ]


def test_download_new_keeps_what_is_here_whatever_its_date(world):
    world.ids([7])
    world.vault.images[6] |= {"modify_date": "2030-01-01T00:00:00Z", "name": "new"}
    assert [m["name"] for m in world.ids([7]).images_meta] == ["map 5", "map 6", "map 7"]
    bunch = world.ids([7], mode="overwrite")
    assert [m["name"] for m in bunch.images_meta] == ["map 5", "new", "map 7"]
    assert world.json(7, 6)["name"] == "new"


def test_overwrite_fetches_everything_again(world):
    world.ids([7])
    world.file(7, 6).write_bytes(b"spoilt")
    world.server.clear_log()
    world.ids([7], mode="overwrite")
    assert len(world.media()) == 3
    assert nib.load(world.file(7, 6)).get_fdata().any()


def test_offline_asks_nothing_and_writes_nothing(world):
    world.ids([7], fetch_neurosynth_words=True)
    for name in (".neurofetch-index", ".neurofetch/collections/7.json"):
        (world.root / name).unlink(missing_ok=True)
    before = tree(world.root)
    world.server.clear_log()
    bunch = world.ids([7], mode="offline", fetch_neurosynth_words=True)
    assert ids_of(bunch) == [5, 6, 7]
    assert bunch.word_frequencies.shape[0] == 3
    bunch, text = world.warned([1952], [6, 999], mode="offline")
    assert ids_of(bunch) == [6]
    assert "collection 1952: not in the cache" in text
    assert "image 999: not in the cache" in text
    assert world.server.log == []
    assert tree(world.root) == before


def test_offline_without_any_cache(world):
    bunch, text = world.warned([7], mode="offline")
    assert bunch.images == []
    assert "collection 7: not in the cache" in text
    assert not Path(world.data_dir).exists()


def test_a_mode_may_be_in_capitals(world):
    assert ids_of(world.ids([7], mode="Download_New")) == [5, 6, 7]


READ_ONLY = """
import os, sys, warnings
import isal.isal_zlib, sklearn.utils  # while we may read them
import neurofetch._api, neurofetch.neurovault.fetch.result, numpy
import neurofetch.neurovault.fetch.neurosynth
from neurofetch.neurovault import fetch_neurovault_ids
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    bunch = fetch_neurovault_ids([7], [101], data_dir=sys.argv[1], verbose=0)
print([m["id"] for m in bunch.images_meta])
for w in caught: print(w.message)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("open_to_all", [False, True], ids=["root", "state"])
def test_a_directory_without_write_access_works_offline_with_a_warning(world, open_to_all):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to other users
        Path(folder).chmod(0o755)
        home = World(world.server, folder)
        home.ids([7])
        if open_to_all:  # a shared folder in which another user made the folder for our notes
            home.root.chmod(0o777)
        before = tree(home.root)
        world.server.clear_log()
        command = [sys.executable, "-c", READ_ONLY, home.data_dir]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        assert tree(home.root) == before
    assert done.stdout.startswith("[5, 6, 7]\n")
    assert "cannot be written to: working offline" in done.stdout
    assert "image 101: not in the cache" in done.stdout
    assert world.server.log == []


# -- words -----------------------------------------------------------------------------------------


def test_words_come_as_a_matrix_and_are_cached(world):
    world.habits.wordless = [6]
    bunch = world.ids([7], fetch_neurosynth_words=True)
    for row, number in enumerate([5, 6, 7]):
        known = {} if number == 6 else word_weights(number)
        words = zip(bunch.vocabulary, bunch.word_frequencies[row], strict=True)
        assert {w: f for w, f in words if f} == {w: f for w, f in known.items() if f}
    world.server.clear_log()
    again = world.ids([7], fetch_neurosynth_words=True)
    assert world.server.log == []
    assert np.array_equal(again.word_frequencies, bunch.word_frequencies)
    assert "vocabulary" not in world.ids([7], fetch_neurosynth_words=True, vectorize_words=False)


def test_words_are_added_to_images_that_are_here_and_overwritten(world):
    world.ids([7])
    world.server.clear_log()
    world.ids([7], fetch_neurosynth_words=True)
    assert len(world.server.log) == 3
    world.ids([7], mode="overwrite", fetch_neurosynth_words=True)
    assert len(world.server.requests(key="/neurosynth/*")) == 6


def test_neurosynth_down_images_still_come_with_one_warning_and_none(world):
    world.habits.neurosynth_up = False
    bunch, text = world.warned([7], fetch_neurosynth_words=True)
    assert ids_of(bunch) == [5, 6, 7]
    assert bunch.vocabulary is None
    assert bunch.word_frequencies is None
    assert "Neurosynth gave no words for 3 of 3 images" in text
    assert "502" in text
    assert list(world.root.rglob("neurosynth_words*")) == []


def test_lost_images_and_lost_words_are_one_warning(world):
    world.habits.neurosynth_up = False
    bunch, text = world.warned([7], [999], fetch_neurosynth_words=True)
    assert ids_of(bunch) == [5, 6, 7]
    assert "image 999" in text
    assert "no words for 3 of 3" in text
    with pytest.raises(IncompleteError, match="image 999"):
        world.ids(image_ids=[5, 999], fetch_neurosynth_words=True, on_error="raise")
    with pytest.warns(UserWarning, match="no words for 1 of 1"):
        world.ids(image_ids=[5], fetch_neurosynth_words=True, on_error="raise")


def test_words_that_are_html_are_not_kept(world):
    world.server.fault(key="/neurosynth/*=6", body=b"<html>busy</html>")
    bunch, text = world.warned([7], fetch_neurosynth_words=True)
    assert "an HTML page instead of JSON" in text
    assert ": image 6\n" in text
    assert bunch.word_frequencies.shape[0] == 3
    assert not bunch.word_frequencies[1].any()


# -- filters ---------------------------------------------------------------------------------------


def test_filters_take_what_is_here_first_and_stop_at_max_images(world):
    world.ids(image_ids=[104])
    world.server.clear_log()
    bunch = world.filtered(3, map_type="Z map")
    assert ids_of(bunch)[0] == 104
    assert len(bunch.images) == 3
    assert all(m["map_type"] == "Z map" for m in bunch.images_meta)
    world.server.clear_log()
    assert len(world.filtered(3, map_type="Z map").images) == 3
    assert world.server.log == []


def test_the_default_terms_leave_out_masks_and_thresholded_maps(world):
    world.vault.images[5]["map_type"] = "ROI/mask"
    world.vault.images[6]["is_thresholded"] = True
    world.vault.images[101]["not_mni"] = True
    world.vault.add_collection(8)
    bunch = world.filtered(None)
    assert sorted(ids_of(bunch)) == [7, 102, 103, 104, 105]
    bunch = world.filtered(None, collection_terms={}, image_terms={})
    assert sorted(ids_of(bunch)) == [5, 6, 7, 101, 102, 103, 104, 105]


def test_a_collection_id_is_asked_for_directly(world):
    bunch = world.filtered(collection_id=7, image_terms={})
    assert ids_of(bunch) == [5, 6, 7]
    assert {r.key.partition("?")[0] for r in world.server.requests(key="/api/*")} == {
        "/api/collections/7/",
        "/api/collections/7/images/",
    }
    bunch = world.filtered(None, {"id": IsIn(7, 1952)}, image_terms={})
    assert len(bunch.images) == 8


def test_image_ids_are_asked_for_directly(world):
    assert ids_of(world.filtered(id=6, image_terms={})) == [6]
    assert ids_of(world.filtered(None, id=IsIn(6, 101, 102), map_type="Z map")) == [6, 102]
    assert world.filtered(None, {"id": 7}, id=101).images == []
    assert world.server.requests(key="/api/collections/[?]*") == []


def test_filters_offline_and_by_special_values(world):
    world.ids([7, 1952])
    world.server.clear_log()
    bunch = world.filtered(None, mode="offline", name=Contains("map 10"), modality="fMRI-BOLD")
    assert ids_of(bunch) == [101, 102, 103, 104, 105]
    bunch = world.filtered(None, mode="offline", name=Contains("10"))
    assert ids_of(bunch) == [101, 102, 103, 104, 105]
    assert world.server.log == []
    assert world.filtered(0).images == []


def test_contradictory_collection_ids_are_named(world):
    world.ids([7])
    with pytest.warns(UserWarning, match="contradict each other"):
        bunch = world.filtered(None, {"id": 7}, mode="offline", collection_id=1952)
    assert bunch.images == []


def test_filtered_failures_make_room_for_others(world):
    world.server.fault(key="/media/*map_5.*", status=404)
    with pytest.warns(UserWarning, match="image 5: 404"):
        bunch = world.filtered(2, {"id": 7}, image_terms={})
    assert ids_of(bunch) == [6, 7]


# -- resampling ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_resampled_volumes_are_nilearns_own(world, theirs):
    bunch = world.ids([7], resample=True, interpolation="linear")
    assert [Path(p).name for p in bunch.images] == [
        f"image_{n}_resampled.nii.gz" for n in (5, 6, 7)
    ]
    assert not world.file(7, 5).exists()
    world.ids([7])
    affine = theirs.STD_AFFINE
    for path, number in zip(bunch.images, (5, 6, 7), strict=True):
        whole = nib.load(world.file(7, number))
        expected = quietly(resample_img, whole, target_affine=affine, interpolation="linear")
        ours = nib.load(path)
        assert np.array_equal(ours.affine, affine)
        assert np.allclose(ours.get_fdata(), expected.get_fdata(), atol=1e-6)
    again = quietly(
        theirs.fetch_neurovault_ids,
        collection_ids=[7],
        mode="offline",
        data_dir=world.data_dir,
        resample=True,
        verbose=0,
    )
    assert sorted(again.images) == sorted(bunch.images)


@pytest.mark.slow
def test_what_is_here_is_resampled_without_a_request(world):
    world.ids([7])
    world.server.clear_log()
    bunch = world.ids([7], resample=True)
    assert len(bunch.images) == 3
    assert world.server.log == []
    assert nib.load(bunch.images[0]).affine[0, 0] == 3


def test_offline_nothing_is_resampled(world):
    world.ids(image_ids=[6])
    bunch, text = world.warned(image_ids=[6], mode="offline", resample=True)
    assert bunch.images == []
    assert "image 6: it is here, but not resampled yet" in text
    assert not list(world.root.rglob("*_resampled*"))


def test_resampling_without_nilearn_names_the_extra(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(UsageError, match=r"neurofetch\[resample\]"):
        world.ids([7], resample=True)
    assert world.server.log == []


# -- the plan --------------------------------------------------------------------------------------


def test_a_plan_says_sizes_and_fetches_nothing(world):
    world.ids(image_ids=[6])
    world.server.clear_log()
    plan = plan_neurovault_ids([7], [999], data_dir=world.data_dir, rules=QUICK)
    assert [(s.want.path, s.action.value) for s in plan.steps] == [
        ("collection_7/image_5.nii.gz", "fetch"),
        ("collection_7/image_6.nii.gz", "keep"),
        ("collection_7/image_7.nii.gz", "fetch"),
    ]
    assert plan.bytes_to_fetch == sum(world.vault.images[n]["file_size"] for n in (5, 7))
    assert plan.notes == ("image 999: the server knows none of this id, or it is private (404)",)
    assert world.media() == []
