"""Groups, discovery, tables, single files; and what other BIDS tools make of the directory."""

from __future__ import annotations

import os
import shutil
import warnings
from typing import TYPE_CHECKING

import bids
import nibabel as nib
import numpy as np
import pytest

from laion_fmri import brain, discovery, io
from laion_fmri.errors import BadDataError, CorruptFileError, DataNotDownloadedError
from laion_fmri.group import load_subjects
from laion_fmri.loader.layout import subjects_on_disk
from testbed.laion import write_local
from tests.loader_tree import (
    SESSIONS,
    anatomical_path,
    betas_path,
    glm,
    mean_path,
    naive_betas,
    naive_mask,
    naive_roi,
    objects,
    rewrite,
    same,
    trials_path,
    write_tree,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("two"), subjects=("sub-01", "sub-03"))


def test_a_group_of_all_or_of_some(root):
    group = load_subjects("all", data_dir=root)
    assert group.subject_ids == ["sub-01", "sub-03"]
    assert [name for name, _ in group] == ["sub-01", "sub-03"]
    assert group["03"] is group["sub-03"] is group[1]
    assert "sub-01" in group
    assert len(load_subjects(["03"], data_dir=root)) == 1
    with pytest.raises(KeyError, match="not in this group of sub-01, sub-03"):
        group["sub-05"]
    with pytest.raises(ValueError, match="names no subject"):
        load_subjects([], data_dir=root)


def test_all_leaves_out_who_has_no_results_here(tmp_path):
    tree = write_tree(tmp_path / "tree", subjects=("sub-01", "sub-03"))
    shutil.rmtree(glm(tree, "trials.tsv", "ses-01", "sub-01").parents[2])  # their ROIs stay
    assert subjects_on_disk(tree) == ["sub-01", "sub-03"]
    with pytest.warns(UserWarning, match=r"no results of sub-01 in .*\n.*\n.*subject=\"sub-01\""):
        found = load_subjects("all", data_dir=tree)
    assert found.subject_ids == ["sub-03"]


def test_a_group_gives_each_subject_all_sessions_of_a_generator(root):
    group = load_subjects(["sub-03", "sub-01"], data_dir=root)
    for get in (group.get_betas, group.get_shared_betas, group.get_trial_info):
        found = get(f"ses-0{number}" for number in (1, 2))
        assert {name: list(one) for name, one in found.items()} == {
            "sub-01": ["ses-01", "ses-02"],
            "sub-03": ["ses-01", "ses-02"],
        }


def test_a_group_gives_what_its_subjects_give(root):
    group = load_subjects(["sub-03", "sub-01"], data_dir=root)
    shared = group.get_shared_betas("ses-01", roi="FFA1")
    assert list(shared) == ["sub-01", "sub-03"]  # whatever the order asked for
    for name, betas in shared.items():
        labels = group[name].get_trial_info("01")["label"]
        rows = labels.str.startswith("shared_").to_numpy()
        roi = naive_roi(root, "FFA1", "face", name)
        assert same(betas, naive_betas(root, "ses-01", name)[np.ix_(rows, roi)])
    assert list(group.get_betas(SESSIONS, roi="V1")["sub-01"]) == SESSIONS
    ceilings = group.get_noise_ceiling(desc="Noiseceiling4rep")
    assert {name: len(values) for name, values in ceilings.items()} == {
        name: subject.get_n_voxels() for name, subject in group
    }
    assert len(group.get_trial_info("01")["sub-01"]) == 24


def test_discovery_without_a_network_is_of_the_disk_and_says_so(
    root, monkeypatch, capsys, brief_waits
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="cannot be reached, so this is what is in") as caught:
        found = discovery.get_rois("03", "face", data_dir=root)
    assert found == ["FFA1", "FFA2", "OFA", "pSTSfaces"]
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="cannot be reached"):
        discovery.describe(data_dir=root)
    assert "2 (sub-01, sub-03)" in capsys.readouterr().out


def test_participants(root, tmp_path):
    frame = discovery.get_participants(data_dir=root)
    assert frame["participant_id"].tolist() == ["sub-01", "sub-03"]
    assert frame["age"].dtype.kind == "i"
    assert frame["sex"].isna().all()
    with pytest.raises(DataNotDownloadedError, match="Every download brings it"):
        discovery.get_participants(data_dir=tmp_path)


# --- the table of all files ----------------------------------------------------------------------


def test_the_index_has_a_row_for_each_file(root):
    table = io.index(root)
    on_disk = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not path.relative_to(root).parts[0].startswith(".")
    }
    assert table["path"].tolist() == sorted(on_disk)
    row = table.set_index("path").loc[betas_path(root).relative_to(root).as_posix()]
    assert (row["sub"], row["ses"], row["task"], row["space"]) == (
        "03",
        "ses-01"[4:],
        "images",
        "T1w",
    )
    assert (row["stat"], row["desc"], row["suffix"]) == ("effect", "SingletrialBetas", "statmap")
    assert (row["ext"], row["datatype"]) == (".nii.gz", "func")
    assert row["size"] == betas_path(root).stat().st_size
    assert row["root"] == str(root)
    assert row["dataset"] == root.name
    rois = table[(table["label"] == "FFA1") & (table["hemi"] == "L") & (table["sub"] == "03")]
    assert sorted(rois["ext"]) == [".func.gii", ".label"]
    first = ["dataset", "sub", "ses"]
    assert table.columns[:3].tolist() == first
    last = ["datatype", "suffix", "ext", "extra_entities", "root", "path", "size"]
    assert table.columns[-7:].tolist() == last


def test_entities_that_bids_does_not_know_are_kept_apart(tmp_path):
    (tmp_path / "sub-01_weird-7_bold.nii").write_bytes(b"")
    (tmp_path / ".hidden").write_bytes(b"")
    table = io.index(tmp_path)
    assert table["extra_entities"].tolist() == [{"weird": "7"}]
    assert len(io.index(_empty(tmp_path / "empty"))) == 0


def test_the_index_follows_links_but_not_in_circles(tmp_path):
    (tmp_path / "elsewhere" / "sub-01").mkdir(parents=True)
    (tmp_path / "elsewhere" / "sub-01" / "sub-01_bold.nii").write_bytes(b"12345")
    data = tmp_path / "data"
    data.mkdir()
    (data / "raw").symlink_to(tmp_path / "elsewhere")
    (data / "README").symlink_to(tmp_path / "elsewhere" / "sub-01" / "sub-01_bold.nii")
    (data / "gone").symlink_to("nowhere")
    (tmp_path / "elsewhere" / "sub-01" / "up").symlink_to("..")
    (tmp_path / "elsewhere" / "back").symlink_to(data)
    table = io.index(data)
    found = dict(zip(table["path"], table["size"], strict=True))
    assert sorted(found) == [
        "README",
        "gone",
        "raw/back",
        "raw/sub-01/sub-01_bold.nii",
        "raw/sub-01/up",
    ]
    assert found["README"] == found["raw/sub-01/sub-01_bold.nii"] == 5


def _empty(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.slow
def test_the_index_of_many_files_opens_none_of_them(tmp_path):
    for session in range(20):
        folder = tmp_path / "sub-01" / f"ses-{session:02}" / "func"
        folder.mkdir(parents=True)
        for run in range(250):
            path = folder / f"sub-01_ses-{session:02}_task-images_run-{run:03}_bold.json"
            os.close(os.open(path, os.O_CREAT, 0o000))  # root could open it, others not
    table = io.index(tmp_path)
    assert len(table) == 5000
    assert table.groupby("ses").size().tolist() == [250] * 20


def test_pybids_opens_what_is_on_disk(tmp_path):
    """Raw data beside derivatives, as a download lays them out."""
    write_local({key: value for key, value in objects().items() if "sub-01" not in key}, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        layout = bids.BIDSLayout(tmp_path, validate=False, derivatives=False)
        derived = bids.BIDSLayout(
            tmp_path / "derivatives" / "glmsingle-tedana",
            validate=False,
            is_derivative=True,
            config=["bids", "derivatives"],
        )
    assert layout.get_subjects() == ["03"]
    assert layout.get_sessions() == ["01", "02"]
    events = layout.get(suffix="events", extension=".tsv", session="01", return_type="filename")
    assert len(events) == 2
    assert layout.get(suffix="bold", extension=".nii.gz", run=1, part="mag", echo=1, session="01")
    betas = derived.get(
        desc="SingletrialBetas", extension=".nii.gz", session="01", return_type="filename"
    )
    assert betas == [str(betas_path(tmp_path))]


# --- single files --------------------------------------------------------------------------------


def naive_4d(root: Path, mask: Path) -> np.ndarray:
    data = np.asarray(nib.load(betas_path(root)).dataobj)
    return data[np.asarray(nib.load(mask).dataobj) != 0].T


def test_single_volumes(root):
    mask = naive_mask(root)
    path = glm(root, "Noiseceiling12rep_statmap.nii.gz")
    whole = np.asarray(nib.load(path).dataobj).ravel()
    assert same(io.load_nifti_data(path), whole)
    assert same(io.load_nifti_data(path, mask), whole[mask])
    assert same(io.load_nifti_4d(betas_path(root), mask), naive_betas(root))
    grid = nib.load(path).shape
    assert same(io.load_nifti_4d(betas_path(root), mask.reshape(grid)), naive_betas(root))
    roi = root / "derivatives/rois/sub-03/face/sub-03_space-T1w_res-1pt8_label-OFA_mask.nii.gz"
    assert same(io.load_nifti_mask(roi), np.asarray(nib.load(roi).dataobj).ravel() != 0)
    assert same(brain.brain_mask(anatomical_path(root)), mask)
    assert same(io.load_nifti_data(path, anatomical_path(root)), whole[mask])
    assert same(io.load_nifti_data(path, mask_path=str(anatomical_path(root))), whole[mask])
    assert same(
        io.load_nifti_4d(betas_path(root), voxel_mask=mask, streaming=True), naive_betas(root)
    )
    assert same(io.load_nifti_4d(betas_path(root), mask_path=roi), naive_4d(root, roi))
    # NaN is no part of a mask, as a number that is negative is.
    assert same(io.load_nifti_mask(mean_path(root)), naive_mask(root, source="rsquare"))
    for volumes in (path, betas_path(root)):
        data, affine = io.load_nifti_with_affine(volumes)
        assert data.dtype == np.float32
        assert same(data, np.asarray(nib.load(volumes).dataobj))
        assert same(affine, nib.load(volumes).affine)
    with pytest.raises(BadDataError, match="expected a 4-D"):
        io.load_nifti_4d(path)
    with pytest.raises(ValueError, match="expected as many values of type bool"):
        io.load_nifti_data(path, mask[:-1])


def test_surfaces_labels_and_tables(root, tmp_path):
    folder = root / "derivatives/rois/sub-03/face"
    stem = folder / "sub-03_hemi-L_space-fsnative_label-OFA_mask"
    assert io.load_gifti_mask(f"{stem}.func.gii").sum() == 40
    assert len(io.load_freesurfer_label(f"{stem}.label")) == 40
    assert len(io.load_tsv(trials_path(root))) == 24
    table = tmp_path / "t.tsv"
    table.write_text("label\tvalue\nNA\t1\nn/a\tn/a\n")
    frame = io.load_tsv(table)
    assert frame["label"].tolist()[0] == "NA"  # a name, not a gap
    assert frame.isna().sum().tolist() == [1, 1]
    table.write_text("")
    with pytest.raises(CorruptFileError, match=r"t\.tsv"):
        io.load_tsv(table)


def test_a_scaled_map_is_scaled(root, tmp_path):
    path = write_tree(tmp_path) / "derivatives"
    ceiling = glm(path.parent, "Noiseceiling12rep_statmap.nii.gz")
    rewrite(ceiling, np.nan_to_num(np.asarray(nib.load(ceiling).dataobj)).astype(np.float64))
    image = nib.load(ceiling)
    image.header.set_data_dtype(np.int16)
    nib.save(image, ceiling)
    assert nib.load(ceiling).dataobj.slope != 1
    expected = np.asarray(nib.load(ceiling).get_fdata()).ravel().astype(np.float32)
    assert np.allclose(io.load_nifti_data(ceiling), expected, rtol=1e-6)


def test_values_and_masks_of_ones_own_become_volumes_and_coordinates(root, tmp_path):
    """The functions of the public package, which take the file of a brain mask and an affine."""
    path = anatomical_path(root)
    image = nib.load(path)
    inside = np.asarray(image.dataobj) != 0
    values = np.arange(inside.sum(), dtype=np.float32) + 1
    brain.to_nifti(values, tmp_path / "all.nii.gz", path, image.affine)
    assert same(np.asarray(nib.load(tmp_path / "all.nii.gz").dataobj)[inside], values)
    part = values % 3 == 0
    elsewhere = image.affine + np.eye(4, k=3)
    brain.to_nifti(values[part], tmp_path / "part.nii", path, elsewhere, roi_mask=part)
    written = nib.load(tmp_path / "part.nii")
    assert same(np.asarray(written.dataobj)[inside], np.where(part, values, 0))
    assert same(written.affine, elsewhere)
    ijk = np.argwhere(inside)
    for affine, mask in ((image.affine, None), (elsewhere, part)):
        found = brain.get_voxel_coordinates(path, affine, custom_mask=mask)
        rows = ijk if mask is None else ijk[mask]
        assert np.allclose(found, nib.affines.apply_affine(affine, rows))
    with pytest.raises(ValueError, match="the mask has the shape"):
        brain.get_voxel_coordinates(path, image.affine, part[:-1])
    with pytest.raises(ValueError, match=r"expected \(4, 4\)"):
        brain.get_voxel_coordinates(path, np.eye(3))
