"""Each accessor of a subject against a naive nibabel computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from laion_fmri.loader.rois import Rois
from laion_fmri.subject import Subject, load_subject
from testbed.laion import trial_labels
from tests.loader_tree import (
    RECIPE,
    SESSIONS,
    anatomical_path,
    betas_path,
    glm,
    mean_path,
    naive_betas,
    naive_map,
    naive_mask,
    naive_roi,
    same,
    write_tree,
)

if TYPE_CHECKING:
    from pathlib import Path

FACE = ("FFA1", "FFA2", "OFA", "pSTSfaces")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("laion"))


@pytest.fixture(scope="module", params=["off", "auto"])
def sub(request, root) -> Subject:
    """Every test runs on the files and on the store."""
    return load_subject("sub-03", data_dir=root, store=request.param)


@pytest.fixture(scope="module")
def labels() -> list[str]:
    return trial_labels(RECIPE, "sub-03", "ses-01")


def test_a_subject_opens_by_both_of_its_names(root):
    assert load_subject("03", data_dir=root).subject_id == "sub-03"
    assert load_subject("sub-03", data_dir=str(root)).data_dir == root


def test_the_configured_directory_is_the_default(root, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(root))
    assert load_subject("03").get_sessions() == SESSIONS


def test_sessions_and_rois(sub):
    assert sub.get_sessions() == SESSIONS
    assert sub.get_available_categories() == [
        *("body", "character", "face", "laion", "motion", "object", "place", "retinotopy")
    ]
    assert sub.get_available_rois("face") == list(FACE)
    assert set(FACE) < set(sub.get_available_rois())
    assert sub.get_available_rois() == sorted(sub.get_available_rois())


@pytest.mark.parametrize("source", ["anatomical", "rsquare"])
def test_a_brain_mask_is_where_its_file_is_neither_0_nor_nan(sub, root, source):
    mask = sub.get_brain_mask(source)
    assert mask.dtype == bool
    assert mask.shape == (np.prod(RECIPE.grid),)
    assert same(mask, naive_mask(root, source=source))
    assert np.isnan(np.asarray(nib.load(mean_path(root)).dataobj)).any()  # the rim is NaN here
    assert sub.get_n_voxels(source) == mask.sum()
    assert same(sub.get_brain_mask(), naive_mask(root, source="anatomical"))


def test_betas_of_the_whole_brain(sub, root):
    betas = sub.get_betas("ses-01")
    assert betas.dtype == np.float32
    assert betas.flags.c_contiguous
    assert betas.shape == (RECIPE.trials_per_session, sub.get_n_voxels())
    assert same(betas, naive_betas(root))


def test_a_session_has_two_names_and_a_list_gives_a_dict(sub, root):
    both = sub.get_betas(["01", "ses-02", 1], roi="FFA1")
    assert list(both) == ["01", "ses-02", 1]
    assert same(both["01"], both[1])
    for session, betas in zip(SESSIONS, both.values(), strict=False):
        expected = naive_betas(root, session)[:, naive_roi(root, "FFA1", "face")]
        assert same(betas, expected)
        assert same(sub.get_betas(session.removeprefix("ses-"), roi="FFA1"), expected)


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("FFA1", [("FFA1", "face")]),
        ("FFA-1", [("FFA1", "face")]),
        ("ffa1", [("FFA1", "face")]),
        ("FACE", [(name, "face") for name in FACE]),
        ("face", [(name, "face") for name in FACE]),
        (["FFA1", "V1"], [("FFA1", "face"), ("V1", "retinotopy")]),
        (["face", "FFA1", "PPA"], [*((name, "face") for name in FACE), ("PPA", "place")]),
    ],
)
def test_roi_grammar(sub, root, query, parts):
    expected = np.zeros(sub.get_n_voxels(), dtype=bool)
    for name, category in parts:
        expected |= naive_roi(root, name, category)
    mask = sub.get_roi_mask(query)
    assert mask.dtype == bool
    assert expected.any()
    assert same(mask, expected)
    assert same(sub.get_betas("ses-01", roi=query), naive_betas(root)[:, expected])


def test_all_rois_are_the_union_of_each(sub):
    each = sub.get_roi_masks()
    assert same(sub.get_roi_mask("all"), np.any(list(each.values()), axis=0))


def test_a_result_may_be_changed_without_harm(sub):
    sub.get_roi_mask("FFA1")[:] = False
    sub.get_brain_mask()[:] = False
    assert sub.get_roi_mask("FFA1").any()
    assert sub.get_n_voxels() > 0


def test_betas_by_mask(sub, root):
    mask = np.random.default_rng(5).random(sub.get_n_voxels()) < 0.1
    assert same(sub.get_betas("ses-01", mask=mask), naive_betas(root)[:, mask])
    assert same(sub.get_betas("ses-01", mask=mask.astype(np.uint8)), naive_betas(root)[:, mask])
    assert sub.get_betas("ses-01", mask=np.zeros_like(mask)).shape == (24, 0)


def test_betas_above_a_noise_ceiling_alone_and_with_an_roi(sub, root):
    ceiling = naive_map(root, glm(root, "desc-Noiseceiling_statmap.nii.gz", "ses-01"))
    threshold = float(np.nanmedian(ceiling[ceiling > 0]))
    above = ceiling >= threshold
    assert 0 < above.sum() < above.size
    assert same(sub.get_betas("ses-01", nc_threshold=threshold), naive_betas(root)[:, above])
    both = above & naive_roi(root, "V1", "retinotopy")
    assert same(
        sub.get_betas("ses-01", roi="V1", nc_threshold=threshold), naive_betas(root)[:, both]
    )


@pytest.mark.parametrize("stimuli", ["shared", "unique"])
def test_betas_by_stimuli(sub, root, labels, stimuli):
    rows = [label.startswith(stimuli + "_") for label in labels]
    assert 0 < sum(rows) < len(rows)
    expected = naive_betas(root)[rows]
    assert same(sub.get_betas("ses-01", stimuli=stimuli), expected)
    roi = naive_roi(root, "FFA1", "face")
    assert same(sub.get_betas("ses-01", "FFA1", stimuli=stimuli), expected[:, roi])


def test_the_public_packages_streaming_argument_is_taken(sub, root):
    assert same(sub.get_betas("ses-01", streaming=True), naive_betas(root))


def test_noise_ceilings_of_a_session_and_of_the_subject(sub, root):
    whole = naive_map(root, glm(root, "desc-Noiseceiling_statmap.nii.gz", "ses-02"))
    got = sub.get_noise_ceiling("02")
    assert got.dtype == np.float32
    assert same(got, whole)
    roi = naive_roi(root, "V1", "retinotopy")
    assert same(sub.get_noise_ceiling("02", roi="V1"), whole[roi])
    assert same(sub.get_noise_ceiling("02", mask=roi), whole[roi])
    twelve = naive_map(root, glm(root, "desc-Noiseceiling12rep_statmap.nii.gz"))
    assert same(sub.get_noise_ceiling(desc="Noiseceiling12rep"), twelve)
    assert list(sub.get_noise_ceiling(SESSIONS)) == SESSIONS
    several = sub.get_noise_ceiling(desc=["Noiseceiling4rep", "NoiseceilingAllrep"])
    assert list(several) == ["Noiseceiling4rep", "NoiseceilingAllrep"]


def test_trial_info(sub, labels):
    frame = sub.get_trial_info("ses-01")
    assert list(frame.columns) == ["session", "run", "beta_index", "label"]
    assert frame["label"].tolist() == labels
    assert frame["beta_index"].tolist() == list(range(len(labels)))
    assert frame["run"].dtype.kind == "i"
    assert set(frame["session"]) == {"ses-01"}
    assert isinstance(sub.get_trial_info(SESSIONS)["ses-02"], pd.DataFrame)


def test_voxel_coordinates_are_the_affine_times_the_index(sub, root):
    image = nib.load(anatomical_path(root))
    grid = image.shape
    places = np.argwhere(naive_mask(root).reshape(grid))
    expected = nib.affines.apply_affine(image.affine, places)
    assert np.allclose(sub.get_voxel_coordinates(), expected)
    roi = naive_roi(root, "V1", "retinotopy")
    assert np.allclose(sub.get_voxel_coordinates(roi="V1"), expected[roi])
    assert np.allclose(sub.get_voxel_coordinates(mask=roi), expected[roi])


@pytest.mark.parametrize("name", ["mean.nii", "mean.nii.gz"])
def test_to_nifti_is_the_way_back(sub, root, tmp_path, name):
    values = sub.get_betas("ses-01").mean(axis=0)
    image = sub.to_nifti(values, tmp_path / name)
    for one in (image, nib.load(tmp_path / name)):
        data = np.asarray(one.dataobj)
        assert data.shape == RECIPE.grid
        assert same(data.ravel()[naive_mask(root)], values)
        assert not data.ravel()[~naive_mask(root)].any()
        assert np.allclose(one.affine, nib.load(anatomical_path(root)).affine)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(FileNotFoundError, match="no-such is no folder; make it first"):
        sub.to_nifti(values, tmp_path / "no-such" / name)


def test_an_image_that_cannot_be_written_leaves_the_old_one(sub, tmp_path, monkeypatch):
    path = tmp_path / "mean.nii.gz"
    image = sub.to_nifti(sub.get_betas("ses-01")[0], path)
    assert image.get_filename() == str(path)
    before = path.read_bytes()

    def half(self, name):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib.Nifti1Image, "to_filename", half)
    with pytest.raises(OSError, match="No space left"):
        sub.to_nifti(sub.get_betas("ses-01")[1], path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_to_nifti_of_an_roi_and_of_several_volumes(sub, root):
    betas = sub.get_betas("ses-01", roi="V1")
    data = np.asarray(sub.to_nifti(betas, roi="V1").dataobj)
    assert data.shape == (*RECIPE.grid, len(betas))
    inside = np.flatnonzero(naive_mask(root))[naive_roi(root, "V1", "retinotopy")]
    assert same(data.reshape(-1, len(betas))[inside].T, betas)
    assert np.count_nonzero(data) == np.count_nonzero(betas)
    mask = naive_roi(root, "V1", "retinotopy")
    assert same(np.asarray(sub.to_nifti(betas, mask=mask).dataobj), data)


def test_roi_data_by_format_and_hemisphere(sub, root):
    folder = root / "derivatives" / "rois" / "sub-03" / "face"
    volume = sub.get_roi_data("FFA1", "volume")
    assert list(volume["FFA1"]) == ["volume"]
    assert same(volume["FFA1"]["volume"], naive_roi(root, "FFA1", "face"))

    surface = sub.get_roi_data("face", "surface")
    assert list(surface) == list(FACE)
    gii = folder / "sub-03_hemi-R_space-fsnative_label-OFA_mask.func.gii"
    expected = nib.load(gii).darrays[0].data != 0
    assert expected.any()
    assert same(surface["OFA"]["gii"]["hemi-R"]["func.gii"], expected)
    right = sub.get_roi_data("OFA", "func.gii", "R")["OFA"]["gii"]
    assert {hemi: list(kinds) for hemi, kinds in right.items()} == {"hemi-R": ["func.gii"]}

    label = sub.get_roi_data("OFA", "label", hemi="L")["OFA"]["gii"]["hemi-L"]["label"]
    file = folder / "sub-03_hemi-L_space-fsnative_label-OFA_mask.label"
    assert same(label, nib.freesurfer.read_label(file))
    both = sub.get_roi_data(["OFA", "face"])
    assert list(both) == ["OFA", *(name for name in FACE if name != "OFA")]
    assert sorted(both["OFA"]) == ["gii", "volume"]
    for kinds in both["OFA"]["gii"].values():
        assert list(kinds) == ["func.gii", "label"]


def test_regions_come_by_what_was_asked_or_all_by_name(sub, root):
    face = np.any([naive_roi(root, name, "face") for name in FACE], axis=0)
    found = sub.get_roi_masks(["face", "ffa-1"])
    assert list(found) == ["face", "ffa-1"]
    assert same(found["face"], face)
    assert same(found["ffa-1"], naive_roi(root, "FFA1", "face"))
    assert list(sub.get_roi_masks()) == sub.get_available_rois()


def test_the_older_layout_is_read_where_the_newer_is_not(root, tmp_path):
    tree = write_tree(tmp_path / "old")
    rois = tree / "derivatives" / "rois"
    older = tree / "derivatives" / "atlases" / "sub-03" / "rois"
    older.mkdir(parents=True)
    source = rois / "sub-03" / "retinotopy" / "sub-03_space-T1w_res-1pt8_label-V1_mask.nii.gz"
    for name in ("V1", "hlvis"):
        (older / f"{name}.nii.gz").write_bytes(source.read_bytes())
    both = load_subject("03", data_dir=tree)
    assert "hlvis" in both.get_available_rois()
    assert same(both.get_roi_mask("hlvis"), naive_roi(root, "V1", "retinotopy"))

    rois.rename(tmp_path / "away")
    only = load_subject("03", data_dir=tree)
    assert only.get_available_rois() == ["V1", "hlvis"]
    assert only.get_available_categories() == []
    assert same(only.get_roi_mask(["V1", "hlvis"]), naive_roi(root, "V1", "retinotopy"))


def test_an_older_volume_counts_where_the_newer_layout_has_only_the_surface(root, tmp_path):
    tree = write_tree(tmp_path / "mixed")
    volume = next((tree / "derivatives" / "rois" / "sub-03").rglob("*1pt8_label-FFA1_mask.nii.gz"))
    older = tree / "derivatives" / "atlases" / "sub-03" / "rois"
    older.mkdir(parents=True)
    volume.rename(older / "FFA1.nii.gz")
    next(volume.parent.glob("*1pt5_label-FFA1_mask.nii.gz")).unlink()
    sub = load_subject("03", data_dir=tree)
    assert same(sub.get_roi_mask("FFA1"), naive_roi(root, "FFA1", "face"))
    assert sorted(sub.get_roi_data("FFA1", "surface")["FFA1"]["gii"]) == ["hemi-L", "hemi-R"]


def test_names_with_hyphens_as_the_bucket_has_them_are_read(root, tmp_path):
    tree = write_tree(tmp_path / "hyphens")
    folder = tree / "derivatives" / "rois" / "sub-03" / "face"
    for path in folder.iterdir():
        path.rename(folder / path.name.replace("label-FFA1", "label-FFA-1"))
    assert same(
        load_subject("03", data_dir=tree).get_roi_mask("FFA1"), naive_roi(root, "FFA1", "face")
    )


def test_a_plain_file_beside_the_packed_one_is_taken(root, tmp_path):
    tree = write_tree(tmp_path / "plain")
    path = betas_path(tree)
    nib.save(nib.load(path), path.with_suffix(""))
    assert same(
        load_subject("03", data_dir=tree, store="off").get_betas("01", roi="V1"),
        naive_betas(root)[:, naive_roi(root, "V1", "retinotopy")],
    )


# --- what a subject is made of --------------------------------------------------------------------


def test_a_subject_is_one_class_with_parts_that_can_be_used_on_their_own(sub, root):
    assert sub.rois.names("face") == sub.get_available_rois("face")
    assert sub.rois.categories() == sub.get_available_categories()
    assert same(sub.rois.mask(["face", "V1"]), sub.get_roi_mask(["face", "V1"]))
    ours, theirs = (one.data("FFA1", "volume") for one in (sub.rois, Rois(sub.layout)))
    assert same(ours["FFA1"]["volume"], theirs["FFA1"]["volume"])
    assert same(sub.brain.flat(), sub.get_brain_mask())
    assert sub.layout.betas("ses-01") == betas_path(root)
    assert sub.store.path == root / ".laion_fmri" / "store" / "sub-03.zarr"
    assert [one.session for one in sub.store.sessions()] == SESSIONS
    assert sub.store.session("01").header().volumes == len(sub.get_trial_info("01"))


def test_a_store_is_built_and_removed_by_its_own_object(tmp_path):
    sub = load_subject("03", data_dir=write_tree(tmp_path), store="read")
    assert sub.store.build("ses-01", n_jobs=1) == sub.store.path
    assert sorted(path.name for path in sub.store.path.glob("ses-*")) == ["ses-01"]
    assert sub.store.remove() is True
    assert sub.store.remove() is False


def test_the_parts_say_what_they_are(root, tmp_path):
    sub = load_subject("03", data_dir=root, store="off")
    assert repr(sub.rois).startswith("<Rois of sub-03: EBA, ")
    assert repr(sub.store) == f"<BetaStore {sub.store.path}, off>"
    assert repr(sub) == f"<Subject sub-03: 2 sessions in {root}>"


# --- the store, and all sessions at once ----------------------------------------------------------
