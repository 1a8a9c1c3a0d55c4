import gzip
import importlib
import io
import json
import re
import subprocess
import sys
from collections import Counter

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.freesurfer import read_label
from PIL import Image

from testbed.laion import (
    IMAGE_CATEGORIES,
    ROIS,
    ROOT_FILES,
    Recipe,
    category_of,
    local_name,
    make_bucket,
    write_local,
)

GLM = "derivatives/glmsingle-tedana"
SMALL = Recipe(subjects=("sub-01",), sessions=("ses-01",), held_out=(), figures_per_session=2)


@pytest.fixture(scope="module")
def bucket():
    return make_bucket()


def volume(objects, key):
    return nib.Nifti1Image.from_bytes(gzip.decompress(objects[key]))


def session_key(subject, session, name):
    return f"{GLM}/{subject}/{session}/func/{subject}_{session}_task-images_{name}"


def r2mean(objects, subject="sub-01"):
    name = f"{subject}_task-images_space-T1w_stat-rsquare_desc-R2mean_statmap.nii.gz"
    return volume(objects, f"{GLM}/{subject}/{name}")


def test_the_default_bucket_pages_beyond_one_listing_and_is_sorted(bucket):
    assert len(bucket) > 1000
    assert list(bucket) == sorted(bucket)
    assert set(ROOT_FILES) <= set(bucket)


def test_one_seed_gives_one_bucket_even_in_another_process():
    script = (
        "import hashlib; from testbed.laion import Recipe, make_bucket;"
        "r = Recipe(subjects=('sub-01',), sessions=('ses-01',), figures_per_session=2);"
        "print(hashlib.sha256(repr(make_bucket(r)).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_another_seed_gives_other_volumes_under_the_same_keys():
    one, two = make_bucket(SMALL), make_bucket(Recipe(**{**vars(SMALL), "seed": 7}))
    assert list(one) == list(two)
    key = session_key("sub-01", "ses-01", "space-T1w_stat-effect_desc-SingletrialBetas_statmap")
    assert one[key + ".nii.gz"] != two[key + ".nii.gz"]


def test_the_mean_r2_map_marks_the_brain_among_zeros_and_nans(bucket):
    image = r2mean(bucket)
    data = image.get_fdata()
    brain = data > 0
    assert image.shape == (20, 24, 18)
    assert image.get_data_dtype() == np.float32
    assert np.isnan(data).any()
    assert (data == 0).any()
    assert 2000 < brain.sum() < 5000
    centre = np.argwhere(brain).mean(axis=0)
    assert np.allclose(nib.affines.apply_affine(image.affine, centre), 0, atol=0.5)
    assert np.allclose(image.header.get_zooms(), 1.8)


@pytest.mark.parametrize("session", ["ses-01", "ses-02", "ses-31"])
def test_trials_are_the_rows_of_the_beta_volumes(bucket, session):
    base = session_key("sub-03", session, "")
    trials = pd.read_csv(
        io.BytesIO(bucket[base + "desc-SingletrialBetas_trials.tsv"]), sep="\t", index_col=False
    )
    betas = volume(bucket, base + "space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz")
    assert list(trials.columns) == ["session", "run", "beta_index", "label"]
    assert betas.ndim == 4
    assert betas.shape[3] == len(trials)
    assert trials["beta_index"].tolist() == list(range(len(trials)))
    assert sorted(trials["run"].unique()) == [1, 2]
    assert trials["label"].str.match(r"(shared|unique)_").all()
    assert set(trials["label"].str.split("_").str[0]) == {"shared", "unique"}
    assert Counter(trials["label"]).most_common(1)[0][1] == 2


def test_voxels_of_a_region_respond_most_to_their_own_category(bucket):
    category, label = "face", "FFA-1"
    mask = volume(
        bucket,
        f"derivatives/rois/sub-01/{category}/sub-01_space-T1w_res-1pt8_label-{label}_mask.nii.gz",
    )
    own, rest = [], []
    for session in ("ses-01", "ses-02"):
        base = session_key("sub-01", session, "")
        table = io.BytesIO(bucket[base + "desc-SingletrialBetas_trials.tsv"])
        shown = pd.read_csv(table, sep="\t")["label"].map(category_of).to_numpy()
        key = base + "space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
        response = volume(bucket, key).get_fdata()[mask.get_fdata() > 0].mean(axis=0)
        own += list(response[shown == category])
        rest += list(response[shown != category])
    assert own, rest
    assert np.mean(own) > np.mean(rest) + 0.5


def test_the_noise_ceiling_is_a_percentage_that_grows_with_repeats(bucket):
    maps = {}
    brain = r2mean(bucket).get_fdata() > 0
    for name in ("4rep", "12rep", "Allrep"):
        key = f"{GLM}/sub-01/sub-01_task-images_space-T1w_desc-Noiseceiling{name}_statmap.nii.gz"
        maps[name] = volume(bucket, key).get_fdata()[brain]
        assert 0 <= maps[name].min() < maps[name].max() <= 100
    assert (maps["12rep"] > maps["4rep"]).all()


def test_every_region_lies_in_the_brain_at_both_resolutions(bucket):
    brain = r2mean(bucket, "sub-03").get_fdata() > 0
    for category, labels in ROIS.items():
        for label in labels:
            base = f"derivatives/rois/sub-03/{category}/sub-03"
            coarse = volume(bucket, f"{base}_space-T1w_res-1pt8_label-{label}_mask.nii.gz")
            fine = volume(bucket, f"{base}_space-T1w_res-1pt5_label-{label}_mask.nii.gz")
            mask = coarse.get_fdata() > 0
            assert mask.any(), label
            assert not (mask & ~brain).any(), label
            volumes = [
                np.abs(np.linalg.det(image.affine)) * (image.get_fdata() > 0).sum()
                for image in (coarse, fine)
            ]
            assert volumes[1] == pytest.approx(volumes[0], rel=0.35), label


def test_surface_files_of_a_region_agree_with_one_another(bucket, tmp_path):
    key = "derivatives/rois/sub-01/face/sub-01_hemi-L_space-fsnative_label-pSTS-faces_mask"
    gifti = nib.GiftiImage.from_bytes(bucket[key + ".func.gii"])
    path = tmp_path / "roi.label"
    path.write_bytes(bucket[key + ".label"])
    assert np.flatnonzero(gifti.darrays[0].data).tolist() == read_label(path).tolist()


def test_figures_models_and_stimuli_are_real_files(bucket):
    figure = bucket[f"{GLM}/sub-01/ses-01/func/figures/design0000.png"]
    assert Image.open(io.BytesIO(figure)).size == (8, 8)
    key = session_key("sub-01", "ses-01", "space-T1w_desc-GLMsingle_model.h5")
    with h5py.File(io.BytesIO(bucket[key])) as model:
        assert model["betasmd"].shape[0] == (r2mean(bucket).get_fdata() > 0).sum()
    with h5py.File(io.BytesIO(bucket["stimuli/task-images_stimuli.h5"])) as stimuli:
        first = Image.open(io.BytesIO(bytes(stimuli["images"][0])))
        assert first.size == (16, 16)
    table = pd.read_csv(io.BytesIO(bucket["stimuli/task-images_metadata.csv"]))
    assert set(table["category"]) <= set(IMAGE_CATEGORIES)


def test_sidecars_parse_and_stand_beside_a_data_file(bucket):
    sidecars = [key for key in bucket if key.endswith(".json") and "/" in key]
    assert len(sidecars) > 100
    stems = {re.sub(r"\.[^/]*$", "", key) for key in bucket if not key.endswith(".json")}
    alone = {key for key in sidecars if key.removesuffix(".json") not in stems}
    assert all(json.loads(bucket[key]) for key in sidecars)
    assert all(key.endswith("_desc-GLMsingle_summary.json") for key in alone)


def test_label_hyphens_are_dropped_on_disk_and_nothing_else_is(bucket):
    changed = {key: local_name(key) for key in bucket if local_name(key) != key}
    assert changed
    assert all("_label-" in key for key in changed)
    assert len({local_name(key) for key in bucket}) == len(bucket)
    assert local_name("a-b/sub-01_hemi-L_label-pSTS-faces_mask.label") == (
        "a-b/sub-01_hemi-L_label-pSTSfaces_mask.label"
    )


def test_raw_names_are_valid_bids_and_derivatives_are_entities_on_disk(bucket):
    validator = importlib.import_module("bids_validator").BIDSValidator()
    raw = [key for key in bucket if key.startswith("sub-") or "/" not in key]
    assert len(raw) > 200
    assert [key for key in raw if not validator.is_bids("/" + key)] == []
    entities = re.compile(r"sub-[0-9A-Za-z]+(_[a-z]+-[0-9A-Za-z]+)*_[A-Za-z0-9]+(\.[a-z0-9]+)+")
    derived = [
        local_name(key).rpartition("/")[2]
        for key in bucket
        if key.startswith("derivatives/") and "/figures/" not in key and "/freesurfer/" not in key
    ]
    assert [name for name in derived if not entities.fullmatch(name)] == []


@pytest.mark.slow
def test_pybids_reads_the_tree_it_lays_out(tmp_path):
    bids = importlib.import_module("bids")  # takes half a second: only here
    objects = make_bucket(SMALL)
    write_local(objects, tmp_path)
    layout = bids.BIDSLayout(tmp_path, validate=True, derivatives=False)
    assert layout.get_subjects() == ["01"]
    assert layout.get_sessions() == ["01"]
    bold = layout.get(suffix="bold", extension="nii.gz", return_type="filename")
    assert len(bold) == 2 * 3 * 2
    assert layout.get_metadata(bold[0])["RepetitionTime"] == 1.9
    sizes = {local_name(key): len(content) for key, content in objects.items()}
    found = {str(p.relative_to(tmp_path)): p.stat().st_size for p in tmp_path.rglob("*.*")}
    assert {**sizes, **found} == sizes
