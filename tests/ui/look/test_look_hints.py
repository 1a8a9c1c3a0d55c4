"""How a volume is shown at first, and what can be laid over it."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from tests.look_world import AFFINE, Page, save, series

GLM = "derivatives/glm/sub-01/func/sub-01_task-rest_space-T1w"


@pytest.fixture
def page(tmp_path):
    return Page(tmp_path)


def head(signed, shape=(20, 21, 22)):
    """A map that is nothing outside of the head."""
    data = series(shape)
    data = data if signed else np.abs(data)
    data[:6] = 0
    data[:, :3] = np.nan
    return data


def shown(page, path):
    return page.of(path)["volume"]


def test_a_map_of_both_signs_is_symmetric_around_zero(page, tmp_path):
    data = head(signed=True) + 1
    save(tmp_path / f"{GLM}_stat-effect_statmap.nii.gz", data)
    told = shown(page, f"{GLM}_stat-effect_statmap.nii.gz")
    values = data[np.isfinite(data) & (data != 1)]
    assert told["symmetric"]
    assert (told["colormap"], told["colormap_negative"]) == ("kry", "electric_blue")
    assert told["cal_min"] == 0
    assert told["cal_max"] == pytest.approx(np.percentile(abs(values), 98), rel=0.1)
    assert told["low"] < 0 < told["high"]


def test_z_and_t_begin_where_it_is_customary(page, tmp_path):
    for stat in ("z", "t"):
        save(tmp_path / f"{GLM}_stat-{stat}_statmap.nii.gz", head(signed=True))
        told = shown(page, f"{GLM}_stat-{stat}_statmap.nii.gz")
        assert (told["threshold"], told["cal_min"], told["unit"]) == (2.3, 2.3, stat)
        assert (told["colormap"], told["colormap_negative"]) == ("kry", "electric_blue")
        assert told["over"] == {"colormap": "warm", "colormap_negative": "blue2cyan"}
    save(tmp_path / f"{GLM}_stat-z_desc-weak_statmap.nii.gz", head(signed=True) / 50)
    assert shown(page, f"{GLM}_stat-z_desc-weak_statmap.nii.gz")["threshold"] == 0
    assert shown(page, f"{GLM}_stat-z_desc-weak_statmap.nii.gz")["over"] is None


@pytest.mark.parametrize("stat", ["z", "t"])
@pytest.mark.parametrize("sign", [1, -1], ids=["above", "below"])
def test_a_little_cluster_is_not_all_of_the_brightest_colour(page, tmp_path, stat, sign):
    data = np.random.default_rng(3).normal(0, 0.5, (40, 40, 40)).astype(np.float32)
    data[18:24, 18:24, 18:22] = sign * np.linspace(4, 9, 144).reshape(6, 6, 4)  # 0.2 %
    save(tmp_path / f"{GLM}_stat-{stat}_statmap.nii.gz", data)
    told = shown(page, f"{GLM}_stat-{stat}_statmap.nii.gz")
    assert 6 < told["cal_max"] < 8
    assert told["threshold"] == 2.3


def test_a_map_of_one_sign_begins_at_zero(page, tmp_path):
    save(tmp_path / f"{GLM}_stat-rsquare_desc-R2_statmap.nii.gz", head(signed=False))
    told = shown(page, f"{GLM}_stat-rsquare_desc-R2_statmap.nii.gz")
    assert (told["symmetric"], told["colormap_negative"], told["cal_min"]) == (False, None, 0)
    assert (told["colormap"], told["unit"]) == ("inferno", "%")


def test_a_map_that_bids_does_not_know_is_told_by_its_header(page, tmp_path):
    image = nibabel.Nifti1Image(head(signed=True), AFFINE)
    image.header.set_intent("z score")
    nibabel.save(image, tmp_path / "result.nii.gz")
    assert page.of("result.nii.gz")["is_map"]
    told = shown(page, "result.nii.gz")
    assert (told["symmetric"], told["unit"]) == (True, "z")


def test_a_map_of_neurovault_is_told_by_its_record(page, tmp_path):
    save(tmp_path / "collection_7" / "image_5.nii.gz", head(signed=True))
    record = {"id": 5, "map_type": "T map", "name": "faces > places"}
    (tmp_path / "collection_7" / "image_5_metadata.json").write_text(json.dumps(record))
    assert page.shelf()["collection_7/image_5.nii.gz"]["is_map"]
    told = shown(page, "collection_7/image_5.nii.gz")
    assert (told["symmetric"], told["unit"], told["threshold"]) == (True, "t", 2.3)
    save(tmp_path / "collection_7" / "image_5_resampled.nii.gz", head(signed=True))
    for name in ("image_5", "image_5_resampled"):
        assert page.of(f"collection_7/{name}.nii.gz")["title"] == "faces > places"
        assert shown(page, f"collection_7/{name}.nii.gz")["unit"] == "t"
    record["map_type"] = "anatomical"
    (tmp_path / "collection_7" / "image_6_metadata.json").write_text(json.dumps(record))
    save(tmp_path / "collection_7" / "image_6.nii.gz", head(signed=False))
    assert not page.of("collection_7/image_6.nii.gz")["is_map"]
    assert shown(page, "collection_7/image_6.nii.gz")["colormap"] == "gray"


NAMED = {
    "plain": ("Faces", "Faces"),
    "long": ("x" * 500, "x" * 120),
    "turned": ("a\u202eb\n", "a\\u202eb"),
    "empty": (" ", None),
    "a number": (7, None),
    "a list": (["Faces"], None),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_file_is_shown_with_what_its_data_set_calls_itself(page, tmp_path, case):
    name, told = NAMED[case]
    (tmp_path / "ds").mkdir()
    (tmp_path / "ds/dataset_description.json").write_text(json.dumps({"Name": name}))
    save(tmp_path / "ds/sub-01/anat/sub-01_T1w.nii.gz", head(signed=False))
    (tmp_path / "notes.txt").write_text("x")
    assert page.of("ds/sub-01/anat/sub-01_T1w.nii.gz")["data_set"] == told
    assert page.of("notes.txt")["data_set"] is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"Name": "\\ud800"}'])
def test_a_description_that_cannot_be_read_hides_no_file(page, tmp_path, content):
    (tmp_path / "dataset_description.json").write_text(content)
    (tmp_path / "notes.txt").write_text("x")
    assert page.of("notes.txt")["kind"] == "text"


def test_anatomy_is_grey_between_its_percentiles(page, tmp_path):
    data = np.nan_to_num(head(signed=False) * 100).astype("i2")
    data[10, 10, 10] = 30_000
    save(tmp_path / "sub-01/anat/sub-01_T1w.nii.gz", data)
    told = shown(page, "sub-01/anat/sub-01_T1w.nii.gz")
    assert (told["colormap"], told["symmetric"]) == ("gray", False)
    assert told["cal_max"] < 5_000
    assert told["cal_min"] == told["threshold"] == told["low"]


def test_masks_and_labels_are_whole(page, tmp_path):
    mask = np.zeros((20, 21, 22), "u1")
    mask[9, 9, 9] = 1
    save(tmp_path / f"{GLM}_desc-brain_mask.nii.gz", mask)
    save(tmp_path / f"{GLM}_dseg.nii.gz", mask * 17)
    told = shown(page, f"{GLM}_desc-brain_mask.nii.gz")
    assert (told["colormap"], told["cal_min"], told["cal_max"]) == ("red", 0, 1)
    told = shown(page, f"{GLM}_dseg.nii.gz")
    assert (told["colormap"], told["cal_max"]) == ("random", 17)


@pytest.mark.parametrize("value", [0, 1, np.nan, -3.5, 1e30])
@pytest.mark.parametrize("name", ["T1w.nii", "stat-z_statmap.nii", "a_mask.nii", "a_dseg.nii"])
def test_a_volume_of_one_value_has_a_range(page, tmp_path, name, value):
    save(tmp_path / name, np.full((4, 5, 6), value, "<f4"))
    told = shown(page, name)
    assert told["cal_max"] > told["cal_min"]
    json.dumps(told, allow_nan=False)


# -- time ------------------------------------------------------------------------------------------


def test_the_seconds_of_a_series_are_those_of_its_sidecar_or_of_its_header(page, tmp_path):
    bold = "sub-01/func/sub-01_task-rest_bold"
    save(tmp_path / f"{bold}.nii.gz", series((4, 5, 6, 3)))
    assert shown(page, f"{bold}.nii.gz")["seconds_per_frame"] == 1.5
    image = nibabel.load(tmp_path / f"{bold}.nii.gz")
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 720
    nibabel.save(
        nibabel.Nifti1Image(series((4, 5, 6, 3)), AFFINE, image.header), tmp_path / "x.nii"
    )
    assert shown(page, "x.nii")["seconds_per_frame"] == 0.72
    (tmp_path / "task-rest_bold.json").write_text('{"RepetitionTime": 2}')
    save(tmp_path / f"{bold}.nii.gz", series((4, 5, 6, 4)))
    assert shown(page, f"{bold}.nii.gz")["seconds_per_frame"] == 2
    assert page.of(f"{bold}.nii.gz", "/course", i=1, j=1, k=1)["seconds_per_frame"] == 2


def test_trials_are_no_time(page, tmp_path):
    betas = f"{GLM}_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
    save(tmp_path / betas, series((4, 5, 6, 3)))
    assert shown(page, betas)["seconds_per_frame"] is None


# -- overlays --------------------------------------------------------------------------------------


def test_masks_of_the_same_grid_can_be_laid_over_the_nearest_first(page, tmp_path):
    data = head(signed=True)
    mask = (data > 0).astype("u1")
    save(tmp_path / f"{GLM}_stat-z_statmap.nii.gz", data)
    roi = "derivatives/rois/sub-{}/face/sub-{}_space-T1w_label-{}_mask.nii.gz"
    save(tmp_path / roi.format("01", "01", "FFA1"), mask)
    save(tmp_path / roi.format("02", "02", "FFA1"), mask)
    save(tmp_path / f"{GLM}_desc-brain_mask.nii.gz", mask)
    save(tmp_path / "tpl_mask.nii.gz", mask)
    save(tmp_path / roi.format("01", "01", "OFA"), mask[1:])  # another grid
    moved = AFFINE.copy()
    moved[0, 3] += 1
    save(tmp_path / roi.format("01", "01", "V1"), mask, affine=moved)
    (tmp_path / roi.format("01", "01", "V2")).write_bytes(b"damaged")
    found = page.of(f"{GLM}_stat-z_statmap.nii.gz")["overlays"]
    assert [one["path"] for one in found] == [
        f"{GLM}_desc-brain_mask.nii.gz", roi.format("01", "01", "FFA1"), "tpl_mask.nii.gz",
    ]  # fmt: skip
    shelf = page.shelf()
    for one in found:
        told = shelf[one["path"]]
        assert told | {"title": one["title"]} == one
    assert found[1]["title"] == "FFA1 · mask"
    assert shelf[found[1]["path"]]["title"] == "FFA1 · mask · space T1w · sub-01"


@pytest.mark.parametrize("value", [7, -7, 0.25, 1e-12, 1e30])
def test_an_image_of_one_value_is_grey_and_what_is_around_it_is_not(page, tmp_path, value):
    data = np.zeros((6, 7, 8), "f4")
    data[2:5] = value
    save(tmp_path / "sub-01_T1w.nii.gz", data)
    told = shown(page, "sub-01_T1w.nii.gz")
    grey = (np.float32(value) - told["cal_min"]) / (told["cal_max"] - told["cal_min"])
    around = (0 - told["cal_min"]) / (told["cal_max"] - told["cal_min"])
    assert grey == pytest.approx(0.5)
    assert around == pytest.approx(float(value < 0))


def test_a_mask_is_not_laid_over_itself(page, tmp_path):
    save(tmp_path / "a_mask.nii.gz", np.ones((4, 5, 6), "u1"))
    assert page.of("a_mask.nii.gz")["overlays"] == []


# -- to copy ---------------------------------------------------------------------------------------


def test_what_is_said_to_copy_opens_the_same(page, tmp_path):
    save(tmp_path / "it's a map.nii.gz", series((4, 5, 6)))
    (tmp_path / "a.tsv").write_text("a\tb\n1\t2\n")
    (tmp_path / "a.json").write_text("{}")
    for path, name in (("it's a map.nii.gz", "image"), ("a.tsv", "table")):
        scope: dict[str, object] = {}
        exec(page.of(path)["say"]["python"], scope)
        assert scope[name].shape in ((4, 5, 6), (1, 2))
    assert page.of("a.json")["say"]["command"].startswith("less ")
