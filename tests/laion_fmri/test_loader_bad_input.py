"""What is wrong or missing is said, with the file's name and what to do."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from laion_fmri.errors import (
    BadDataError,
    CorruptFileError,
    DataDirNotSetError,
    DataNotDownloadedError,
    GridMismatchError,
    NotFiniteError,
    SubjectNotFoundError,
    TrialMismatchError,
)
from laion_fmri.group import load_subjects
from laion_fmri.subject import load_subject
from tests.loader_tree import (
    anatomical_path,
    betas_path,
    glm,
    mean_path,
    naive_betas,
    naive_mask,
    rewrite,
    same,
    trials_path,
    write_tree,
)

if TYPE_CHECKING:
    from pathlib import Path

    from laion_fmri.subject import Subject


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A tree that no test changes."""
    return write_tree(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "data")


BRAINS = [(mean_path, "rsquare"), (anatomical_path, "anatomical")]


def subject(tree: Path) -> Subject:
    return load_subject("03", data_dir=tree)


def roi_path(tree: Path, name: str = "FFA1", res: str = "1pt8") -> Path:
    folder = tree / "derivatives" / "rois" / "sub-03" / "face"
    return folder / f"sub-03_space-T1w_res-{res}_label-{name}_mask.nii.gz"


# --- not here ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "sub-", "sub-03/../x", 3.0, None, "s ub"])
def test_what_cannot_be_a_subject(whole, name):
    with pytest.raises(SubjectNotFoundError, match="expected its BIDS name"):
        load_subject(name, data_dir=whole)


def test_a_subject_that_is_not_here_lists_those_that_are(whole):
    with pytest.raises(DataNotDownloadedError) as caught:
        load_subject("07", data_dir=whole)
    assert 'download(subject="sub-07", data_dir=' in str(caught.value)
    assert "Subjects here: sub-03" in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_no_data_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("LAION_FMRI_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(DataDirNotSetError):
        load_subject("03")
    with pytest.raises(FileNotFoundError, match="gone"):
        load_subject("03", data_dir=tmp_path / "gone")


@pytest.mark.parametrize("session", ["ses-09", "09"])
def test_a_session_that_is_not_here(whole, session):
    with pytest.raises(DataNotDownloadedError) as caught:
        subject(whole).get_betas(session)
    message = str(caught.value)
    call = 'ses="ses-09", desc="SingletrialBetas", stat="effect", extension="nii.gz"'
    assert f'download(subject="sub-03", {call}' in message
    assert "Sessions here: ses-01, ses-02" in message


def test_a_held_out_session_says_so(whole):
    with pytest.raises(DataNotDownloadedError, match="held out by the dataset's owners"):
        subject(whole).get_betas("ses-33")


@pytest.mark.parametrize(
    ("pick", "ask", "call"),
    [
        (
            trials_path,
            lambda s: s.get_trial_info("01"),
            'ses="ses-01", desc="SingletrialBetas", suf',
        ),
        (
            mean_path,
            lambda s: s.get_brain_mask("rsquare"),
            'ses="averages", desc="R2mean", data_dir=',
        ),
        (
            mean_path,
            lambda s: s.get_betas("01", mask_source="rsquare"),
            'ses="averages", desc="R2mean", data_dir=',
        ),
        (
            anatomical_path,
            lambda s: s.get_betas("01", mask_source="anatomical"),
            'ses="averages", include_anatomical=True, data_dir=',
        ),
        (
            lambda tree: anatomical_path(tree, rest="desc-brain_mask.nii.gz"),
            lambda s: s.get_brain_mask(res=None),
            "include_anatomical=True",
        ),
        (
            lambda tree: anatomical_path(tree, rest="T1w.nii.gz"),
            lambda s: s.get_t1w(),
            "include_anatomical=True",
        ),
        (
            lambda tree: glm(tree, "Noiseceiling_statmap.nii.gz", "ses-01"),
            lambda s: s.get_betas("01", nc_threshold=1),
            'ses="ses-01", desc="Noiseceiling", data_dir=',
        ),
        (
            lambda tree: glm(tree, "Noiseceiling12rep_statmap.nii.gz"),
            lambda s: s.get_noise_ceiling(desc="Noiseceiling12rep"),
            'ses="averages", desc="Noiseceiling12rep", data_dir=',
        ),
        (trials_path, lambda s: s.get_betas("01", stimuli="shared"), 'suffix="trials", data_dir='),
    ],
)
def test_a_missing_file_comes_with_the_call_that_brings_it(tree, pick, ask, call):
    pick(tree).unlink()
    with pytest.raises(DataNotDownloadedError) as caught:
        ask(subject(tree))
    assert call in str(caught.value)


@pytest.mark.parametrize("desc", ["foo", "noiseceiling12rep", "Noiseceiling", "R2mean", ""])
def test_a_noise_ceiling_that_no_download_brings_is_told_with_those_that_there_are(tree, desc):
    with pytest.raises(DataNotDownloadedError, match="Noiseceiling4rep, Noiseceiling12rep") as told:
        subject(tree).get_noise_ceiling(desc=desc)
    assert "download(" not in str(told.value)


def test_betas_need_no_trial_table_when_nothing_asks_for_it(tree):
    expected = naive_betas(tree)
    trials_path(tree).unlink()
    assert same(subject(tree).get_betas("01"), expected)


def test_no_rois_at_all(tree):
    (tree / "derivatives" / "rois").rename(tree / "away")
    assert subject(tree).get_available_rois() == []
    with pytest.raises(DataNotDownloadedError, match=r'download\(subject="sub-03", suffix="mask"'):
        subject(tree).get_betas("01", roi="FFA1")


def test_an_roi_without_the_format_asked_for(tree):
    for path in (tree / "derivatives" / "rois" / "sub-03" / "face").glob("*FFA1*.label"):
        path.unlink()
    with pytest.raises(DataNotDownloadedError, match='suffix="mask", extension="label"'):
        subject(tree).get_roi_data("FFA1", "label")


def test_a_group_of_those_who_are_not_here(tmp_path):
    with pytest.raises(DataNotDownloadedError, match=r'download\(subject="all"'):
        load_subjects("all", data_dir=tmp_path)


# --- damaged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("roi", [None, "FFA1"])
def test_truncated_betas(tree, roi):
    path = betas_path(tree)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CorruptFileError, match=path.name):
        subject(tree).get_betas("01", roi=roi)
    assert list(tree.glob(".laion_fmri/store/*/*")) in ([], None)


@pytest.mark.parametrize("pick", [betas_path, anatomical_path, roi_path])
def test_a_page_of_html_instead_of_a_volume(tree, pick):
    path = pick(tree)
    path.write_bytes(b"<!DOCTYPE html><html><body>504 Gateway Time-out</body></html>" * 9)
    with pytest.raises(CorruptFileError, match=path.name):
        subject(tree).get_betas("01", roi="FFA1")


def test_three_dimensional_betas(tree):
    path = betas_path(tree)
    rewrite(path, np.asarray(nib.load(path).dataobj)[..., 0])
    with pytest.raises(BadDataError, match=rf"{path.name}: expected a 4-D"):
        subject(tree).get_betas("01")


@pytest.mark.parametrize(("pick", "source"), BRAINS)
def test_a_four_dimensional_brain_mask(tree, pick, source):
    path = pick(tree)
    rewrite(path, np.stack([np.asarray(nib.load(path).dataobj)] * 2, axis=-1))
    with pytest.raises(BadDataError, match=rf"{path.name}: expected a 3-D"):
        subject(tree).get_brain_mask(source)


@pytest.mark.parametrize(("pick", "source"), BRAINS)
def test_a_brain_mask_without_brain(tree, pick, source):
    path = pick(tree)
    rewrite(path, np.full(nib.load(path).shape, np.nan, dtype=np.float32))
    with pytest.raises(BadDataError, match=rf"{path.name}: every voxel is 0 or NaN"):
        subject(tree).get_n_voxels(source)


@pytest.mark.parametrize("store", ["off", "auto"])
def test_betas_on_another_grid(tree, store):
    path = betas_path(tree)
    rewrite(path, np.asarray(nib.load(path).dataobj)[:-1])
    with pytest.raises(GridMismatchError, match=rf"{path.name}: has the grid .*desc-brain_mask"):
        load_subject("03", data_dir=tree, store=store).get_betas("01", roi="FFA1")


@pytest.mark.parametrize("store", ["off", "auto"])
def test_betas_of_the_same_shape_elsewhere(tree, store):
    path = betas_path(tree)
    image = nib.load(path)
    moved = image.affine + np.diag([0, 0, 0, 0])
    moved[0, 3] += 1.8
    rewrite(path, np.asarray(image.dataobj), moved)
    with pytest.raises(GridMismatchError, match=rf"{path.name}.*lies elsewhere"):
        load_subject("03", data_dir=tree, store=store).get_betas("01", roi="FFA1")


def test_an_roi_that_is_only_on_another_grid(tree):
    roi_path(tree).unlink()
    with pytest.raises(
        GridMismatchError, match=rf"{roi_path(tree, res='1pt5').name}: has the grid"
    ):
        subject(tree).get_betas("01", roi="FFA1")


def test_nan_in_an_roi_is_outside(tree):
    before = subject(tree).get_roi_mask("FFA1")
    path = roi_path(tree)
    values = np.asarray(nib.load(path).dataobj).astype(np.float32)
    values[values == 0] = np.nan
    rewrite(path, values)
    assert same(subject(tree).get_roi_mask("FFA1"), before)


@pytest.mark.parametrize("store", ["off", "auto"])
def test_nan_in_betas(tree, store):
    path = betas_path(tree)
    values = np.array(np.asarray(nib.load(path).dataobj), order="C")
    flat = values.reshape(-1, values.shape[3])
    roi = load_subject("03", data_dir=tree, store="off").get_roi_mask("V1")
    inside = np.flatnonzero(naive_mask(tree))[roi]
    flat[inside[3], 7] = np.nan
    rewrite(path, values)
    sub = load_subject("03", data_dir=tree, store=store)
    place = tuple(int(i) for i in np.unravel_index(inside[3], values.shape[:3]))
    says = re.escape(f"has NaN or infinite values in 1 of the {roi.sum()} voxels asked for, the ")
    says += re.escape(f"first at {place}; nan='keep' takes them as they are")
    with pytest.raises(NotFiniteError, match=rf"{path.name}: volume 7 \(counted from 0\) {says}"):
        sub.get_betas("01", roi="V1", nan="raise")
    with pytest.raises(NotFiniteError, match="volume "):
        sub.get_betas("01", nan="raise")
    for kept in (sub.get_betas("01", roi="V1"), sub.get_betas("01", roi="V1", nan="keep")):
        assert np.isnan(kept).sum() == 1
        assert np.isnan(kept[7, 3])
    assert same(sub.get_betas("01"), naive_betas(tree))
    zero = sub.get_betas("01", roi="V1", nan="zero")
    assert same(zero, np.nan_to_num(kept, nan=0))
    elsewhere = ~roi & np.isfinite(naive_betas(tree)).all(axis=0)
    assert np.isfinite(sub.get_betas("01", mask=elsewhere, nan="raise")).all()


@pytest.mark.parametrize("store", ["off", "auto"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:-1], "has 23 rows, but .* has 24 volumes"),
        (lambda lines: [*lines, lines[-1].replace("\t23\t", "\t24\t")], "has 25 rows"),
        (lambda lines: [line.replace("\t5\t", "\t6\t") for line in lines], "does not count"),
        (lambda lines: [line.replace("\t5\t", "\tfive\t") for line in lines], "no number"),
        (
            lambda lines: [line.replace("label", "image") for line in lines],
            "lacks the columns label",
        ),
        (
            lambda lines: [*lines[:3], lines[3] + "\tmore", *lines[4:]],
            "row 3 has 5 values, but the header has 4",
        ),
        (lambda _: [], "lacks the columns session, run, beta_index, label; it has"),
        (lambda _: ["\x00\xff\udcff"], "not a table"),
    ],
)
def test_a_trial_table_that_does_not_fit(tree, store, change, says):
    path = trials_path(tree)
    lines = change(path.read_text().splitlines())
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    with pytest.raises(BadDataError, match=rf"trials.tsv: .*{says}"):
        load_subject("03", data_dir=tree, store=store).get_betas("01", roi="V1")
    with pytest.raises(BadDataError, match=says):
        subject(tree).get_trial_info("01")


def test_a_byte_order_mark_does_no_harm(tree):
    path = trials_path(tree)
    before = subject(tree).get_trial_info("01")
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    assert subject(tree).get_trial_info("01").equals(before)


def test_labels_that_are_neither_shared_nor_unique(tree):
    path = trials_path(tree)
    path.write_text(path.read_text().replace("shared_", "common_", 1))
    with pytest.raises(TrialMismatchError, match=r"'common_.*neither shared_ nor unique_"):
        subject(tree).get_betas("01", stimuli="shared")


def test_rows_out_of_order_are_put_in_the_volumes_order(tree):
    before = subject(tree).get_trial_info("01")
    path = trials_path(tree)
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    assert subject(tree).get_trial_info("01").equals(before)


def test_a_surface_and_a_label_that_cannot_be_read(tree):
    folder = tree / "derivatives" / "rois" / "sub-03" / "face"
    for extension, format_ in (("func.gii", "surface"), ("label", "label")):
        path = folder / f"sub-03_hemi-L_space-fsnative_label-FFA1_mask.{extension}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(CorruptFileError, match=path.name):
            subject(tree).get_roi_data("FFA1", format_)


def test_two_files_that_say_the_same(tree):
    path = betas_path(tree)
    other = path.with_name(path.name.replace("_stat-effect_", "_stat-effect_run-1_"))
    other.write_bytes(path.read_bytes())
    with pytest.raises(BadDataError, match="several files of one kind"):
        subject(tree).get_betas("01")


def test_a_gzip_that_holds_more_than_its_header_says_is_read_to_its_end(tree):
    """Bytes beyond the last volume do no harm, but damage in them is told."""
    path = betas_path(tree)
    expected = naive_betas(tree)
    content = gzip.compress(gzip.decompress(path.read_bytes()) + b"\0" * 1000)
    path.write_bytes(content)
    assert same(subject(tree).get_betas("01"), expected)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CorruptFileError, match=path.name):
        subject(tree).get_betas("01")
