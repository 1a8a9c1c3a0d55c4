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
    assert {category_of(name) for name in table["image_name"]} <= set(IMAGE_CATEGORIES)


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


# --- what the owners' pages say of the rest ------------------------------------------------------

ANAT = "derivatives/anatomical/sub-01/ses-PrismaAnat/anat/sub-01_ses-PrismaAnat_space-T1w_"


def test_the_anatomical_mask_is_wider_and_no_superset_of_where_r2_is_above_zero(bucket):
    image = volume(bucket, f"{ANAT}res-1pt8_desc-brain_mask.nii.gz")
    mask = image.get_fdata() > 0
    brain = r2mean(bucket).get_fdata() > 0
    assert mask.shape == brain.shape
    assert np.array_equal(image.affine, r2mean(bucket).affine)
    assert mask.sum() > brain.sum()
    assert (brain & ~mask).any()
    fine = volume(bucket, f"{ANAT}desc-brain_mask.nii.gz")
    assert fine.get_fdata().sum() == pytest.approx(8 * mask.sum(), rel=0.1)
    for name in ("T1w", "T2w"):
        assert volume(bucket, f"{ANAT}res-1pt8_{name}.nii.gz").shape == mask.shape
        assert volume(bucket, f"{ANAT}{name}.nii.gz").shape == fine.shape


def test_under_the_anatomical_mask_columns_are_all_zero_or_not_a_number_and_cells_are_missing():
    recipe = Recipe(**{**vars(SMALL), "sessions": ("ses-01", "ses-02"), "unfitted": 3})
    objects = make_bucket(recipe)
    mask = volume(objects, f"{ANAT}res-1pt8_desc-brain_mask.nii.gz").get_fdata() > 0
    unfitted = []
    for session in recipe.sessions:
        base = session_key("sub-01", session, "space-T1w_")
        betas = volume(objects, f"{base}stat-effect_desc-SingletrialBetas_statmap.nii.gz")
        columns = betas.get_fdata()[mask].T
        missing = np.isnan(columns)
        assert (columns == 0).all(axis=0).any()
        assert missing.all(axis=0).any()
        assert np.array_equal(missing.all(axis=0), missing.any(axis=0))
        brain = r2mean(objects).get_fdata() > 0
        lost = np.isnan(betas.get_fdata()[..., 0]) & brain
        ceiling = volume(objects, f"{base}desc-Noiseceiling_statmap.nii.gz").get_fdata()
        assert lost.sum() == 3
        assert np.array_equal(np.isnan(ceiling) & brain, lost)
        unfitted.append(np.flatnonzero(lost).tolist())
    assert unfitted[0] != unfitted[1]


def test_surfaces_of_a_hemisphere_have_the_vertices_of_its_regions(bucket, tmp_path):
    counts = []
    for hemi, side in (("L", "lh"), ("R", "rh")):
        meshes = {}
        for name in ("white", "pial", "sphere.reg"):
            path = tmp_path / f"{side}.{name}"
            path.write_bytes(bucket[f"derivatives/freesurfer/sub-01/surf/{path.name}"])
            points, faces, about = nib.freesurfer.read_geometry(path, read_metadata=True)
            meshes[name] = points, faces
            assert faces.max() == len(points) - 1
            assert len(points) - len(faces) / 2 == 2  # closed: Euler's number of a sphere
            if name != "sphere.reg":
                assert np.any(about["cras"])
                world = points + about["cras"]
                grid = nib.affines.apply_affine(np.linalg.inv(r2mean(bucket).affine), world)
                at = tuple(np.rint(grid).astype(int).T)
                assert (r2mean(bucket).get_fdata()[at] > 0).all()
        key = f"derivatives/rois/sub-01/face/sub-01_hemi-{hemi}_space-fsnative_label-OFA_mask"
        assert len(nib.GiftiImage.from_bytes(bucket[key + ".func.gii"]).agg_data()) == len(points)
        assert np.allclose(np.linalg.norm(meshes["sphere.reg"][0], axis=1), 100, atol=1e-3)
        inner, outer = (np.abs(meshes[name][0]).max() for name in ("white", "pial"))
        assert inner < outer
        counts.append(len(points))
    assert counts[0] != counts[1]


def test_stimuli_have_the_datasets_and_columns_of_the_owners(bucket):
    base = "stimuli/task-images_"
    table = pd.read_csv(io.BytesIO(bucket[base + "metadata.csv"]))
    assert list(table) == ["image_name", "dataset", "participant", "unique_or_shared", "n_reps"]
    assert set(table["unique_or_shared"]) == {"shared", "unique"}
    assert {"LAION", "OOD"} <= set(table["dataset"])
    with h5py.File(io.BytesIO(bucket[base + "stimuli.h5"])) as file:
        pictures = [Image.open(io.BytesIO(bytes(one))) for one in file["images"]]
    assert {(one.format, one.mode) for one in pictures} == {
        ("JPEG", "RGB"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
    }
    assert [one.format == "PNG" for one in pictures] == [
        name.endswith(".png") for name in table["image_name"]
    ]
    ids = []
    for model, length in (("CLIP", 16), ("DINOv2", 16), ("PEcore", 16), ("SigLIP2", 18)):
        with h5py.File(io.BytesIO(bucket[f"{base}desc-{model}_embeddings.h5"])) as file:
            vectors = file["embedding"][:]
            ids.append(file["image_ids"].asstr()[:].tolist())
            assert file["valid"].dtype == bool
        assert (vectors.dtype, vectors.shape) == (np.float16, (len(table), length))
        norms = np.linalg.norm(vectors.astype(float), axis=1)
        assert np.allclose(norms, 1, atol=0.01) == (model != "DINOv2")
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert sorted(ids[0]) == sorted(table["image_name"])
    assert ids[0] != table["image_name"].tolist()


def test_captions_and_segmentations_name_pictures_of_the_table(bucket):
    base = "stimuli/task-images_"
    names = set(pd.read_csv(io.BytesIO(bucket[base + "metadata.csv"]))["image_name"])
    captions = pd.read_csv(io.BytesIO(bucket[base + "desc-captions.csv"]))
    assert set(captions["image_name"]) == names
    written = captions.groupby("image_name")["source"].agg(sorted)
    for name, sources in written.items():
        shared = name.startswith("shared_")
        ai = ["ai"] if shared and "_OOD_" not in name else []
        assert sources == ai + ["human"] * (5 if shared else 3)
    segments = pd.read_csv(io.BytesIO(bucket[base + "desc-segmentations_metadata.csv"]))
    assert set(segments["image_name"]) < names
    assert "short , pale thing" in set(segments["noun"])
    assert {0, 2} == set(segments["instance_id"])
    with h5py.File(io.BytesIO(bucket[base + "desc-segmentations.h5"])) as file:
        masks = file["masks"]
        assert (masks.dtype, masks.compression, masks.shuffle) == (np.uint8, "gzip", True)
        assert len(masks) == len(segments)
        full = masks[:].any(axis=(1, 2))
    assert np.array_equal(full, segments["localized"].to_numpy())


def test_raw_events_have_more_rows_than_betas_and_the_columns_of_the_owners(bucket):
    key = "sub-01/ses-01/func/sub-01_ses-01_task-images_run-01_events.tsv"
    events = pd.read_csv(io.BytesIO(bucket[key]), sep="\t")
    assert events.shape == (13, 18)
    shown = events[events["trial_type"] == "image"]
    assert shown["stim_name"].str.match("(shared|unique)_").all()


def test_localizers_lie_where_the_owners_page_says(bucket):
    found = {key.rpartition("/")[2] for key in bucket if "/localizers/sub-01/" in key}
    for name in (
        "sub-01_ses-4BarScreenfLoc_task-floc_hemi-L_space-fsnative_"
        "contrast-faceVsOthers_stat-z_statmap.func.gii",
        "sub-01_ses-4BarScreenfLoc_task-floc_run-02_space-T1w_res-1pt8_"
        "contrast-face_stat-effect_statmap.nii.gz",
        "sub-01_ses-MotionLocBarsSML_task-MotionLoc_space-T1w_res-1pt8_"
        "contrast-motionVsStatic_stat-z_statmap.nii.gz",
    ):
        assert name in found
    with_objects = make_bucket(Recipe(**{**vars(SMALL), "object_localizer": True}))
    assert [key for key in with_objects if "localizers" in key and "_ses-31_task-oloc_" in key]
