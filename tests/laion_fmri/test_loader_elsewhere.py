"""Content that is not here, foreign bytes, surfaces that are no masks, directories to read only."""

from __future__ import annotations

import gzip
import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array  # noqa: F401 - another user may not be able to import it
import nibabel as nib
import numpy as np
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage

from laion_fmri import io
from laion_fmri.errors import (
    BadDataError,
    CorruptFileError,
    DataNotDownloadedError,
    GridMismatchError,
)
from laion_fmri.loader.stimulus_images import Stimuli
from laion_fmri.loader.torch_dataset import LazyTrials
from laion_fmri.reading.pictures import as_displayed_rgb
from laion_fmri.subject import load_subject
from tests.loader_tree import (
    anatomical_path,
    betas_path,
    mean_path,
    naive_betas,
    naive_roi,
    objects,
    rewrite,
    same,
    trials_path,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from laion_fmri.subject import Subject

FACE = "derivatives/rois/sub-03/face/sub-03"
ANNEX = "../.git/annex/objects/qF/8V/MD5E-s1--a/MD5E-s1--a"
POINTERS = {
    "git-annex": b"/annex/objects/MD5E-s151--a1.nii.gz\n",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 151\n",
}


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "data")


def subject(tree: Path, store: str = "off") -> Subject:
    return load_subject("03", data_dir=tree, store=store)


# --- content that is not here ---------------------------------------------------------------------

FILES: dict[str, tuple[Callable[[Path], Path], Callable[[Subject], object]]] = {
    "betas": (betas_path, lambda sub: sub.get_betas("01")),
    "trials": (trials_path, lambda sub: sub.get_trial_info("01")),
    "anatomical mask": (anatomical_path, lambda sub: sub.get_n_voxels()),
    "mean R2": (mean_path, lambda sub: sub.get_n_voxels("rsquare")),
    "ROI": (
        lambda tree: tree / f"{FACE}_space-T1w_res-1pt8_label-FFA1_mask.nii.gz",
        lambda sub: sub.get_roi_mask("FFA1"),
    ),
    "surface": (
        lambda tree: tree / f"{FACE}_hemi-L_space-fsnative_label-FFA1_mask.func.gii",
        lambda sub: sub.get_roi_data("FFA1", "func.gii"),
    ),
    "label": (
        lambda tree: tree / f"{FACE}_hemi-R_space-fsnative_label-FFA1_mask.label",
        lambda sub: sub.get_roi_data("FFA1", "label"),
    ),
    "T1w": (lambda tree: anatomical_path(tree, rest="T1w.nii.gz"), lambda sub: sub.get_t1w()),
}


@pytest.mark.parametrize("what", FILES)
def test_a_link_whose_content_is_not_here_comes_with_the_call_that_brings_it(tree, what):
    pick, ask = FILES[what]
    path = pick(tree)
    path.unlink()
    path.symlink_to(ANNEX)
    with pytest.raises(DataNotDownloadedError) as caught:
        ask(subject(tree))
    message = str(caught.value)
    assert f"{path} is a link to {ANNEX}, which is not here" in message
    assert 'download(subject="sub-03"' in message


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("what", FILES)
def test_a_pointer_in_place_of_content_is_told_as_one(tree, what, kind):
    pick, ask = FILES[what]
    path = pick(tree)
    path.write_bytes(POINTERS[kind])
    with pytest.raises(DataNotDownloadedError, match=rf"is a {kind} pointer[\s\S]*download\("):
        ask(subject(tree))


def test_a_pointer_that_is_read_by_its_path_is_told_as_one(tmp_path):
    path = tmp_path / "map.nii.gz"
    for kind, content in POINTERS.items():
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match=f"a {kind} pointer"):
            io.load_nifti_data(path)


def test_a_link_whose_content_is_here_is_read(tree):
    expected = naive_betas(tree)
    path = betas_path(tree)
    path.rename(tree / "object")
    path.symlink_to(tree / "object")
    assert same(subject(tree).get_betas("01"), expected)


def test_another_resolution_whose_content_is_not_here_is_no_fault(tree):
    expected = naive_roi(tree, "FFA1", "face")
    path = tree / f"{FACE}_space-T1w_res-1pt5_label-FFA1_mask.nii.gz"
    path.unlink()
    path.symlink_to(ANNEX)
    assert same(subject(tree).get_roi_mask("FFA1"), expected)


# --- the file that is at fault --------------------------------------------------------------------


@pytest.mark.parametrize("at_fault", ["1pt8", "1pt5"])
def test_of_two_resolutions_the_one_that_lies_elsewhere_is_blamed(tree, at_fault):
    """Whichever comes first by name: only that of the functional grid can be at fault."""
    paths = {
        res: tree / f"{FACE}_space-T1w_res-{res}_label-FFA1_mask.nii.gz" for res in ("1pt5", "1pt8")
    }
    image = nib.load(paths["1pt8"])
    moved = image.affine + 2 * np.eye(4, k=3)
    if at_fault == "1pt5":  # by their names, they are the other way round
        paths["1pt8"].write_bytes(paths["1pt5"].read_bytes())
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), paths[at_fault])
    with pytest.raises(GridMismatchError, match=rf"res-{at_fault}_.*lies elsewhere"):
        subject(tree).get_roi_mask("FFA1")


# --- bytes after the gzip stream ------------------------------------------------------------------

PLAIN = nib.Nifti1Image(
    np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32), np.eye(4)
).to_bytes()
PACKED = gzip.compress(PLAIN)


@pytest.mark.parametrize(
    "tail",
    [
        PACKED[-300:],
        b"garbage!" * 8,
        b"\n",
        b"\0" * 1000,
        b"\0\0\n",
        b"\x1f",
        b"\x1f\x8b\x08 begins like a gzip stream, and is none",
        b"x" * 400_000,
    ],
    ids=["older-file", "garbage", "line-end", "zeros", "zeros-and-more", "1f", "magic", "long"],
)
def test_bytes_after_the_gzip_stream_do_no_harm(tmp_path, tail):
    path = tmp_path / "map.nii.gz"
    path.write_bytes(PACKED + tail)
    expected = np.asarray(nib.load(path).dataobj).ravel()
    assert same(io.load_nifti_data(path), expected)


@pytest.mark.parametrize("pieces", [2, 7])
def test_a_gzip_file_of_several_members_is_read_through(tmp_path, pieces):
    path = tmp_path / "map.nii.gz"
    cuts = np.linspace(0, len(PLAIN), pieces + 1).astype(int)
    members = [gzip.compress(PLAIN[a:b]) for a, b in pairwise(cuts)]
    for between in (b"", b"\0" * 37):
        path.write_bytes(between.join(members) + b"the end")
        expected = np.frombuffer(PLAIN[352:], np.float32).reshape(40, 40, 40, order="F").ravel()
        assert same(io.load_nifti_data(path), expected)


@pytest.mark.parametrize("at", [-8, -3, -100, 3000])
def test_damage_in_the_gzip_stream_is_still_told(tmp_path, at):
    path = tmp_path / "map.nii.gz"
    content = bytearray(PACKED)
    content[at] ^= 0x55
    path.write_bytes(bytes(content) + b"\n")
    with pytest.raises(CorruptFileError, match=r"map\.nii\.gz"):
        io.load_nifti_data(path)


@pytest.mark.parametrize("left", [-1, -8, -20_000, 20, 5])
def test_a_gzip_stream_that_is_cut_is_told(tmp_path, left):
    path = tmp_path / "map.nii.gz"
    path.write_bytes(PACKED[:left])
    with pytest.raises(CorruptFileError, match="ends"):
        io.load_nifti_data(path)


# --- trial tables ---------------------------------------------------------------------------------


def test_whole_numbers_that_went_through_floats_are_whole_numbers(tree):
    before = subject(tree).get_trial_info("01")
    path = trials_path(tree)
    head, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    for row in rows:
        row[1], row[2] = row[1] + ".0", row[2] + ".0"
    path.write_text("\n".join("\t".join(row) for row in [head, *rows]) + "\n")
    after = subject(tree).get_trial_info("01")
    assert after["beta_index"].dtype.kind == "i"
    assert after.astype({"run": int}).equals(before)
    rows[5][2] = "5.5"
    path.write_text("\n".join("\t".join(row) for row in [head, *rows]) + "\n")
    with pytest.raises(BadDataError, match="beta_index holds no number"):
        subject(tree).get_trial_info("01")


def test_the_label_by_its_older_name(tree):
    before = subject(tree).get_trial_info("01")
    path = trials_path(tree)
    path.write_text(path.read_text().replace("\tlabel", "\tstimulus_id", 1))
    assert subject(tree).get_trial_info("01").equals(before)


# --- surfaces and labels --------------------------------------------------------------------------


def gifti(path: Path, values: np.ndarray, intent: str) -> Path:
    nib.save(GiftiImage(darrays=[GiftiDataArray(values, intent=intent)]), path)
    return path


def test_a_surface_mask_may_be_a_column_and_nan_is_outside(tmp_path):
    values = np.array([0, 1, 2, -1, np.nan, 0], dtype=np.float32)
    for shape in ((6,), (6, 1)):
        path = gifti(tmp_path / "a.func.gii", values.reshape(shape), "NIFTI_INTENT_NONE")
        assert io.load_gifti_mask(path).tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("values", "intent", "says"),
    [
        (np.ones((6, 3), dtype=np.float32), "NIFTI_INTENT_POINTSET", "is a mesh"),
        (np.ones((6, 3), dtype=np.int32), "NIFTI_INTENT_TRIANGLE", "is a mesh"),
        (np.ones((6, 2), dtype=np.float32), "NIFTI_INTENT_NONE", r"shape \(6, 2\)"),
    ],
)
def test_a_surface_that_is_no_mask_is_refused(tmp_path, values, intent, says):
    path = gifti(tmp_path / "a.surf.gii", values, intent)
    with pytest.raises(BadDataError, match=says):
        io.load_gifti_mask(path)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        (lambda lines: lines, True),
        (lambda lines: [*lines, "", ""], True),
        (lambda lines: lines[:-1], False),
        (lambda lines: [*lines, lines[-1]], False),
        (lambda lines: [*lines[:-1], lines[-1][:12]], False),
        (lambda lines: lines[:1], False),
        (lambda lines: [*lines[:-1], "many 0 0 0 0"], False),
        (lambda lines: [lines[0], "0"], True),
    ],
)
def test_a_label_has_as_many_vertices_as_it_says(tmp_path, change, good):
    text = objects()[f"{FACE}_hemi-L_space-fsnative_label-OFA_mask.label"].decode()
    path = tmp_path / "a.label"
    path.write_text("\n".join(change(text.splitlines())) + "\n")
    if not good:
        with pytest.raises(CorruptFileError, match=r"a\.label"):
            io.load_freesurfer_label(path)
        return
    found = io.load_freesurfer_label(path)
    assert found.dtype == np.int64
    if len(found):
        assert same(found, nib.freesurfer.read_label(path))


# --- a shared directory ---------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory of somebody else's, which the user of the test may only read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = write_tree(Path(folder) / "data")
        folders = [tree, *(path for path in tree.rglob("*") if path.is_dir())]
        for one in folders:
            one.chmod(0o555)
        if os.geteuid() == 0:  # root may write everything: be somebody else
            os.seteuid(65534)
        try:
            yield tree
        finally:
            os.seteuid(os.getuid())
            for one in folders:
                one.chmod(0o755)


def test_a_shared_directory_is_read_lazily_without_a_store_or_a_word(shared):
    sub = load_subject("03", data_dir=shared)
    lazy = sub.betas
    everything = np.concatenate([naive_betas(shared, one) for one in ("ses-01", "ses-02")])
    assert same(lazy.values, everything)
    assert same(lazy[30:20:-1, [9, 3, 3]].values, everything[30:20:-1][:, [9, 3, 3]])
    assert [len(sizes) for sizes in lazy.chunks] == [2, 1]  # the file is read once a session
    assert not (shared / ".laion_fmri").exists()


def test_trials_of_a_shared_directory_are_read_into_memory(shared):
    sub = load_subject("03", data_dir=shared)
    columns = np.flatnonzero(sub.get_roi_mask("V1"))
    trials = LazyTrials(sub.layout, [sub.store.session("01")], columns, None, images=False)
    expected = naive_betas(shared)[:, columns]
    assert same(trials._read(0, [7, 2, 7]), expected[[7, 2, 7]])


def test_trials_without_a_store_are_read_into_memory(tree):
    sub = subject(tree, "off")
    trials = LazyTrials(sub.layout, [sub.store.session("01")], None, None, images=False)
    assert same(trials._read(0, [3]), naive_betas(tree)[[3]])
    assert same(sub.betas[3].values, naive_betas(tree)[3])
    assert not (tree / ".laion_fmri").exists()


def test_stores_can_lie_elsewhere(tree, tmp_path, monkeypatch):
    other = write_tree(tmp_path / "other" / "data", subjects=("sub-01", "sub-03"))
    rewrite(betas_path(other), np.asarray(nib.load(betas_path(other)).dataobj) + 1)
    stores = tmp_path / "stores"
    monkeypatch.setenv("LAION_FMRI_STORE_DIR", str(stores))
    for root in (tree, other):  # of the same name, and with other content
        sub = subject(root, "auto")
        expected = naive_betas(root)[:, naive_roi(root, "V1", "retinotopy")]
        for _ in range(2):
            assert same(sub.get_betas("01", roi="V1"), expected)
        assert sub.store.path.is_relative_to(stores)
        assert sub.store.path.is_dir()
        assert not (root / ".laion_fmri" / "store").exists()
    assert len(list(stores.iterdir())) == 2
    assert sub.remove_store()


# --- items of a torch dataset, without torch ------------------------------------------------------


def test_an_item_says_what_was_shown_and_how_often_before(tree):
    path = trials_path(tree)
    head, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    rows[9][3] = rows[4][3] = rows[1][3]
    path.write_text("\n".join("\t".join(row) for row in [head, *rows]) + "\n")
    sub = subject(tree)
    trials = LazyTrials(sub.layout, [sub.store.session("01")], None, None, images=False)
    labels = [row[3] for row in rows]
    for number, (_, trial, about) in enumerate(trials._items):
        assert trial == about["trial"] == number
        assert about["image_name"] == about["label"] == about["stimulus_id"] == labels[number]
        assert about["rep_index"] == labels[:number].count(labels[number])
        assert about["session"] == "ses-01"
    assert max(about["rep_index"] for _, _, about in trials._items) >= 2


@pytest.mark.parametrize("nan", ["keep", "raise", "zero"])
def test_values_that_are_not_finite_in_items(tree, nan):
    values = np.array(np.asarray(nib.load(betas_path(tree)).dataobj))
    values[..., 5] = np.nan
    rewrite(betas_path(tree), values)
    sub = subject(tree, "auto")
    columns = np.flatnonzero(sub.get_roi_mask("V1"))
    one = sub.store.session("01")
    trials = LazyTrials(sub.layout, [one], columns, None, images=False, nan=nan)
    assert np.isfinite(trials._read(0, [4])).all()
    if nan == "raise":
        says = rf"volume 5 \(counted from 0\) .* in {len(columns)} of the {len(columns)} voxels"
        with pytest.raises(BadDataError, match=says):
            trials._read(0, [4, 5])
    else:
        found = trials._read(0, [4, 5])[1]
        assert np.isnan(found).all() if nan == "keep" else not found.any()


def test_a_transparent_picture_is_on_grey_as_it_was_shown(tree):
    stimuli = Stimuli(tree)
    seen = set()
    for label in stimuli.images.names():
        image = stimuli.image(label)
        shown = as_displayed_rgb(image)
        pixels = np.asarray(image.convert("RGBA")).astype(float)
        alpha = pixels[..., 3:] / 255
        expected = pixels[..., :3] * alpha + 128 * (1 - alpha)
        assert shown.mode == "RGB"
        assert np.abs(np.asarray(shown) - expected).max() <= 1
        seen.add(image.mode)
    assert "RGBA" in seen


# --- names of the raw data ------------------------------------------------------------------------


def test_events_that_are_not_here_come_with_the_call_that_brings_them(tree):
    with pytest.raises(DataNotDownloadedError, match=r'ses="ses-01".*include_raw=True'):
        subject(tree).get_events(1)


def test_events_come_run_by_run_and_by_session(tree):
    folder = tree / "sub-03" / "ses-01" / "func"
    folder.mkdir(parents=True)
    for run in ("10", "02"):
        name = f"sub-03_ses-01_task-images_run-{run}_events.tsv"
        (folder / name).write_text(f"onset\tname\n{run}.5\tNA\nn/a\tn/a\n")
    events = subject(tree).get_events(["ses-01"])["ses-01"]
    assert events["run"].tolist() == ["run-02", "run-02", "run-10", "run-10"]
    assert events["onset"].dropna().tolist() == [2.5, 10.5]
    assert events["name"].fillna("-").tolist() == ["NA", "-", "NA", "-"]
    (folder / name).write_bytes(b"")
    with pytest.raises(CorruptFileError, match="run-02_events"):
        subject(tree).get_events("ses-01")


def test_all_sessions_are_those_whose_content_is_here(tree):
    path = betas_path(tree, "ses-01")
    path.unlink()
    path.symlink_to(ANNEX)
    sub = subject(tree)
    assert set(sub.betas["session"].values) == {"ses-02"}
    with pytest.raises(DataNotDownloadedError, match="which is not here"):
        sub.get_betas("ses-01")


@pytest.mark.parametrize("pick", [betas_path, anatomical_path, mean_path])
def test_a_plain_name_without_content_does_not_hide_its_gzipped_twin(tree, pick):
    path = pick(tree)
    path.with_name(path.name.removesuffix(".gz")).symlink_to(ANNEX)
    sub = subject(tree)
    for source in ("anatomical", "rsquare"):
        betas = sub.get_betas("ses-01", mask_source=source)
        assert same(betas, naive_betas(tree, "ses-01", source=source))


def test_bytes_are_no_list_of_sessions(tree):
    with pytest.raises(ValueError, match=r"b'01' is not a session"):
        subject(tree).get_betas(b"01")
