"""Trials as a PyTorch dataset, with and without workers, with and without PyTorch."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import h5py
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from laion_fmri.errors import (
    BadDataError,
    CorruptFileError,
    NotFiniteError,
    StimuliNotDownloadedError,
    TrialMismatchError,
)
from laion_fmri.loader.stimulus_images import Stimuli
from laion_fmri.loader.torch_dataset import LazyTrials
from laion_fmri.subject import load_subject
from tests.loader_tree import (
    betas_path,
    naive_betas,
    naive_roi,
    rewrite,
    same,
    trials_path,
    write_tree,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("torch"))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


_WITHOUT = """
import sys
sys.modules["torch"] = None
sys.modules["torch.utils"] = None
sys.modules["torch.utils.data"] = None
from laion_fmri.subject import load_subject
sub = load_subject("03", data_dir=sys.argv[1])
try:
    sub.to_torch_dataset("01")
except ImportError as exc:
    print(exc)
"""


def test_without_pytorch_the_extra_is_named(root):
    run = [sys.executable, "-c", _WITHOUT, str(root)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "pip install 'neurofetch[torch]'" in said


# --- stimuli, which need no PyTorch ---------------------------------------------------------------


def test_images_come_by_label(root):
    stimuli = Stimuli(root)
    label = stimuli.images.names()[0]
    with h5py.File(stimuli.path) as file:
        content = bytes(file["images"][0])
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert same(np.asarray(stimuli.image(label)), expected)
    with pytest.raises(BadDataError, match=r"metadata\.csv: has no row for the stimulus 'x\.jpg'"):
        stimuli.image("x.jpg")


def test_stimuli_that_are_not_here_or_damaged(tmp_path):
    with pytest.raises(StimuliNotDownloadedError, match="include_stimuli=True"):
        Stimuli(tmp_path).image("a.jpg")
    tree = write_tree(tmp_path)
    stimuli = Stimuli(tree)
    label = stimuli.images.names()[0]
    stimuli.path.write_bytes(b"no archive")
    with pytest.raises(CorruptFileError, match=r"stimuli\.h5: cannot be read"):
        stimuli.image(label)
    stimuli.table.write_text("a,b\n1,2\n")
    with pytest.raises(BadDataError, match="lacks the columns image_name"):
        Stimuli(tree).image(label)


def test_a_store_that_goes_away_under_the_trials_says_what_to_do(tmp_path):
    sub = load_subject("03", data_dir=write_tree(tmp_path))
    trials = LazyTrials(sub.layout, [sub.store.session("ses-01")], None, None, images=False)
    sub.remove_store()
    with pytest.raises(FileNotFoundError, match=r"call to_torch_dataset\(\) again"):
        trials._read(0, [0])


def test_trials_that_do_not_fit_the_store_are_refused(tmp_path):
    """The store is there already: a row too many would read its neighbours' values."""
    tree = write_tree(tmp_path / "tree")
    sub = load_subject("03", data_dir=tree)
    sub.build_store("01")
    path = trials_path(tree)
    rows = path.read_text()
    for text, says in (
        (rows + f"ses-01\t2\t{rows.count(chr(10)) - 1}\tshared_x.jpg\n", "has 25 rows"),
        (rows.replace("ses-01\t2\t", "ses-01\tn/a\t"), "run holds no whole number"),
    ):
        path.write_text(text)
        with pytest.raises(TrialMismatchError, match=says) as caught:
            LazyTrials(sub.layout, [sub.store.session("ses-01")], None, None, images=False)
        assert caught.value.path == str(path)


def test_trials_are_read_from_the_store_without_pytorch(root):
    """All but the tensors: what an item is of, and its values."""
    sub = load_subject("03", data_dir=root)
    sessions = [sub.store.session(name) for name in sub.get_sessions()]
    columns = np.flatnonzero(sub.get_roi_mask("V1"))
    trials = LazyTrials(sub.layout, sessions, columns, "shared", images=False)
    kept = 0
    for number, session in enumerate(sub.get_sessions()):
        shared = sub.get_trial_info(session)["label"].str.startswith("shared_").to_numpy()
        rows = np.flatnonzero(shared).tolist()
        found = [
            (trial, about["session"]) for place, trial, about in trials._items if place == number
        ]
        assert found == [(row, session) for row in rows]
        expected = naive_betas(root, session)[np.ix_(rows[:3], columns)]
        assert same(trials._read(number, rows[:3]), expected)
        kept += len(rows)
    assert len(trials) == kept


# --- with PyTorch ---------------------------------------------------------------------------------


def test_items_are_single_trials(root, torch):
    sub = load_subject("03", data_dir=root)
    dataset = sub.to_torch_dataset(roi="FFA1")
    assert isinstance(dataset, torch.utils.data.Dataset)
    roi = naive_roi(root, "FFA1", "face")
    assert len(dataset) == 48
    for place, session, trial in ((0, "ses-01", 0), (23, "ses-01", 23), (30, "ses-02", 6)):
        item = dataset[place]
        assert item["betas"].dtype == torch.float32
        assert same(item["betas"].numpy(), naive_betas(root, session)[trial][roi])
        info = sub.get_trial_info(session).loc[trial]
        assert (item["session"], item["trial"]) == (session, trial)
        assert (item["run"], item["label"]) == (info["run"], info["label"])
        assert item["image"].shape == (3, 16, 16)
        assert item["image"].dtype == torch.float32
        assert 0 <= float(item["image"].min()) <= float(item["image"].max()) <= 1
        expected = np.asarray(Stimuli(root).image(info["label"]).convert("RGB"))
        assert same((item["image"] * 255).round().byte().permute(1, 2, 0), expected)


def test_filters_and_transforms(root, torch):
    sub = load_subject("03", data_dir=root)
    dataset = sub.to_torch_dataset(
        "01",
        stimuli="shared",
        images=False,
        transform=lambda betas: betas.mean(),
        nan="keep",
    )
    shared = sub.get_trial_info("01")["label"].str.startswith("shared_").to_numpy()
    assert len(dataset) == shared.sum()
    assert "image" not in dataset[0]
    means = torch.stack([dataset[place]["betas"] for place in range(len(dataset))])
    expected = naive_betas(root)[shared].mean(axis=1)
    assert np.allclose(means, expected, atol=1e-5, equal_nan=True)
    sizes = sub.to_torch_dataset("01", images=True, image_transform=lambda image: image.shape)
    assert sizes[3]["image"] == (3, 16, 16)
    ceiling = np.nanmedian(sub.get_noise_ceiling("01"))
    above = sub.to_torch_dataset("01", nc_threshold=ceiling, images=False)
    assert above[0]["betas"].shape == (int((sub.get_noise_ceiling("01") >= ceiling).sum()),)
    with pytest.raises(ValueError, match="nc_threshold needs one session"):
        sub.to_torch_dataset(nc_threshold=ceiling)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_forked_and_spawned(root, torch, method):
    dataset = load_subject("03", data_dir=root).to_torch_dataset(roi="V1")
    dataset[0]  # the archive is open here when the workers are forked
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=10, num_workers=2, multiprocessing_context=method
    )
    batches = list(loader)
    assert [len(batch["label"]) for batch in batches] == [10, 10, 10, 10, 8]
    roi = naive_roi(root, "V1", "retinotopy")
    both = [naive_betas(root, session)[:, roi] for session in ("ses-01", "ses-02")]
    betas = torch.cat([batch["betas"] for batch in batches]).numpy()
    assert same(betas, np.concatenate(both))
    assert batches[0]["image"].shape == (10, 3, 16, 16)


def test_a_batch_may_hold_a_trial_twice_and_sessions_mixed(root, torch):
    dataset = load_subject("03", data_dir=root).to_torch_dataset(roi="V1", images=False)
    order = [30, 2, 2, 47, 0]
    batch = dataset.__getitems__(order)
    for item, place in zip(batch, order, strict=True):
        alone = dataset[place]
        assert torch.equal(item["betas"], alone["betas"])
        assert (item["session"], item["trial"]) == (alone["session"], alone["trial"])


def test_nan_is_told_by_trial(tmp_path, torch):
    tree = write_tree(tmp_path)
    path = betas_path(tree)
    values = np.array(np.asarray(nib.load(path).dataobj), order="C")
    values[..., 5] = np.nan
    rewrite(path, values)
    sub = load_subject("03", data_dir=tree)
    kept = sub.to_torch_dataset("01", roi="V1", images=False)
    assert kept[5]["betas"].isnan().all()
    dataset = sub.to_torch_dataset("01", roi="V1", images=False, nan="raise")
    assert dataset[4]["betas"].isfinite().all()
    with pytest.raises(NotFiniteError, match=rf"{path.name}: volume 5 "):
        dataset[5]
    zero = sub.to_torch_dataset("01", roi="V1", images=False, nan="zero")
    assert not zero[5]["betas"].any()


def test_no_session_at_all_is_refused(root, torch):
    with pytest.raises(ValueError, match="session is required"):
        load_subject("03", data_dir=root).to_torch_dataset([])


def test_images_that_are_asked_for_must_be_here(tmp_path, torch):
    tree = write_tree(tmp_path)
    (tree / "stimuli").rename(tree / "away")
    sub = load_subject("03", data_dir=tree)
    assert "image" not in sub.to_torch_dataset("01")[0]
    with pytest.raises(StimuliNotDownloadedError):
        sub.to_torch_dataset("01", images=True)
