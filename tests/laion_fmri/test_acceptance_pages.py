"""The owners' pages on loading and on splits, and what consumers in public repositories call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from testbed.laion import trial_labels
from tests.acceptance_world import QUIET, RECIPE, lay_out, naive_union, same, world
from tests.loader_tree import naive_betas
from tests.split_lists import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laion_fmri.subject import Subject
    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

ONE = "sub-01"
TYPES = "cropped gabor gaudy illusion-classic illusion-natural relations selfmade shape unusual"
FOLDS = [f"cluster_k5_{k}" for k in range(5)]
LOCALIZERS = "derivatives/localizers/sub-01"
needs_lists = pytest.mark.skipif(not RECORDS.is_dir(), reason="the owners' lists are not here")


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[World]:
    from laion_fmri.config import dataset_initialize

    with world(tmp_path_factory.mktemp("pages")) as made:
        lay_out(made.data, ONE)
        dataset_initialize(str(made.data))
        yield made


@pytest.fixture(scope="module")
def sub(here) -> Subject:
    from laion_fmri.subject import load_subject

    return load_subject(ONE)


def every_trial(sub: Subject) -> pd.DataFrame:
    tables = sub.get_trial_info(session=sub.get_sessions())
    return pd.concat(list(tables.values()), ignore_index=True)


# --- loading --------------------------------------------------------------------------------------


def test_sessions_are_z_scored_and_stacked_whatever_is_not_a_number(here, sub):
    stacked, expected = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for session in sub.get_sessions():
            b = sub.get_betas(session=session)
            stacked.append((b - b.mean(0)) / b.std(0))
            n = naive_betas(here.data, session, ONE, "anatomical")
            expected.append((n - n.mean(0)) / n.std(0))
    found = np.concatenate(stacked)
    assert np.isnan(found).any()
    assert same(np.isnan(found), np.isnan(np.concatenate(expected)))
    assert np.allclose(found, np.concatenate(expected), equal_nan=True, atol=1e-5)


def test_embeddings_go_with_the_stacked_betas_row_for_row(here, sub):
    rows = sum(len(b) for b in sub.get_betas(session=sub.get_sessions()).values())
    vectors = sub.embeddings.all("CLIP")
    assert vectors.shape == (rows, 16)
    names = every_trial(sub)["label"]
    from laion_fmri import load_embeddings

    with load_embeddings("CLIP") as loaded:
        for row, name in enumerate(names):
            assert same(vectors[row], loaded.get("CLIP", name))


def test_localizer_maps_are_found_by_name(here):
    from laion_fmri.derivatives import localizer_effect_path, localizer_statmap_path

    base = f"{LOCALIZERS}/ses-4BarScreenfLoc/func/sub-01_ses-4BarScreenfLoc_task-floc"
    for hemi, total in (("L", 642), ("R", 643)):
        path = localizer_statmap_path(ONE, "floc", "faceVsOthers", "4BarScreenfLoc", hemi=hemi)
        name = f"{base}_hemi-{hemi}_space-fsnative_contrast-faceVsOthers_stat-z_statmap.func.gii"
        assert path == here.data / name
        assert nib.load(path).agg_data().shape == (total,)
    path = localizer_statmap_path(
        ONE, "floc", "faceVsOthers", "4BarScreenfLoc", space="T1w", res="1pt8"
    )
    assert nib.load(path).shape == RECIPE.grid
    effect = localizer_effect_path(ONE, "floc", "face", "4BarScreenfLoc", 2, hemi="L")
    assert effect.name.endswith(
        "task-floc_run-02_hemi-L_space-fsnative_contrast-face_stat-effect_statmap.func.gii"
    )
    objects = localizer_statmap_path(ONE, "oloc", "objectVsScrambled", "31", hemi="R")
    assert nib.load(objects).agg_data().shape == (643,)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"task": "nloc"}, ValueError),
        ({"hemi": None}, ValueError),
        ({"space": "MNI", "hemi": None}, ValueError),
        ({"space": "T1w", "hemi": None, "res": "2"}, ValueError),
        ({"contrast": "nothing"}, FileNotFoundError),
    ],
)
def test_a_localizer_map_that_cannot_be_is_an_error(here, changes, error):
    from laion_fmri.derivatives import localizer_statmap_path

    given = {
        "subject": ONE,
        "task": "floc",
        "contrast": "faceVsOthers",
        "session": "4BarScreenfLoc",
        "hemi": "L",
        **changes,
    }
    with pytest.raises(error):
        localizer_statmap_path(**given)


def test_localizers_are_downloaded_in_full_even_those_of_the_held_out_name(tmp_path):
    from laion_fmri.config import dataset_initialize
    from laion_fmri.download import download

    with world(tmp_path) as there:
        dataset_initialize(str(there.data))
        download(ONE, ses="ses-01", suffix=["trials"], include_localizers=True)
        folder = there.data / LOCALIZERS
        sessions = {path.name for path in folder.iterdir()}
    assert sessions == {"ses-4BarScreenfLoc", "ses-MotionLocBarsSML", "ses-31"}


# --- splits ---------------------------------------------------------------------------------------


@needs_lists
def test_split_masks_index_the_stacked_betas(here, sub):
    from laion_fmri.splits import get_split_masks, get_train_test_ids

    trials = every_trial(sub)
    stacked = np.concatenate(list(sub.get_betas(session=sub.get_sessions(), roi="FFA1").values()))
    ids = get_train_test_ids("tau", pool="shared")
    masks = get_split_masks(trials, "tau", pool="shared")
    for mask, names in zip(masks, ids, strict=True):
        assert mask.dtype == bool
        assert mask.any()
        assert same(mask, trials["label"].isin(names))
        assert stacked[mask].shape == (mask.sum(), stacked.shape[1])
    assert not (masks[0] & masks[1]).any()
    assert not (masks[0] | masks[1])[trials["label"].str.startswith("unique_")].any()
    for given in (trials["label"], trials["label"].to_numpy(), trials["label"].tolist()):
        assert same(get_split_masks(given, "tau", pool="shared")[1], masks[1])


@needs_lists
def test_five_clusters_test_each_shared_picture_once(here, sub):
    from laion_fmri.splits import get_split_masks

    trials = every_trial(sub)
    tests = [get_split_masks(trials, name, pool="shared")[1] for name in FOLDS]
    label = trials["label"]
    expected = label.str.startswith("shared_") & ~label.str.contains("_OOD_")
    assert same(np.sum(tests, axis=0), expected.astype(int))
    assert sum(test.any() for test in tests) >= 3


@needs_lists
def test_types_out_of_distribution_add_up(here):
    from laion_fmri.splits import get_train_test_ids

    every = get_train_test_ids("ood", pool="shared")[1]
    one_by_one = [
        name
        for kind in TYPES.split()
        for name in get_train_test_ids("ood", pool="shared", ood_types=kind)[1]
    ]
    assert len(every) == len(one_by_one) == 371
    assert set(every) == set(one_by_one)


# --- consumers ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
def test_a_lab_loads_regions_session_by_session(here, sub):
    from laion_fmri.config import dataset_initialize

    dataset_initialize(str(here.data))
    names = {"FFA1": "face", "PPA": "place", "EBA": "body"}
    n_voxels = sub.get_n_voxels()
    union = np.zeros(n_voxels, dtype=bool)
    for name in names:
        mask = sub.get_roi_mask(name)
        assert len(mask) == n_voxels
        union |= mask
    assert same(union, naive_union(here.data, names, ONE))
    for session in sub.get_sessions():
        trials = sub.get_trial_info(session=session)
        betas = sub.get_betas(session=session, roi=list(names), streaming=True)
        assert betas.shape == (len(trials), union.sum())
        expected = naive_betas(here.data, session, ONE, "anatomical")[:, union]
        assert same(betas, expected)
        assert trials["session"].str.split("-").str[1].tolist() == [session[4:]] * len(trials)
        assert trials["run"].tolist() == [1] * 12 + [2] * 12
        assert trials["label"].tolist() == trial_labels(RECIPE, ONE, session)
        scored = (betas - np.nanmean(betas, axis=0)) / np.nanstd(betas, axis=0)
        kept = scored[:, ~np.isnan(scored).any(axis=0)]
        assert kept.shape[1] <= union.sum()
    assert sub.get_voxel_coordinates()[union].shape == (union.sum(), 3)


@needs_lists
def test_a_lab_leaves_out_what_is_out_of_distribution(here, sub):
    from laion_fmri.splits import get_train_test_ids

    out = set(get_train_test_ids("ood", pool="shared")[1])
    label = every_trial(sub)["label"]
    assert same(label.isin(out), label.str.contains("_OOD_"))
    assert label.isin(out).any()


@needs_lists
def test_a_replication_finds_all_shared_pictures_in_three_lists(here):
    from laion_fmri.splits import get_train_test_ids, list_ood_types, list_splits, load_split

    assert {"tau", "ood"} <= set(list_splits())
    assert len(list_ood_types()) == 9
    tau = load_split("tau", "shared")
    ids = set(tau.variants[0].all_ids()) | set(get_train_test_ids("ood", "shared")[1])
    assert len(ids) == 1492
    assert (tau.n_train, tau.n_test) == (897, 224)


def test_analysis_scripts_import_these(here):
    from laion_fmri.discovery import describe, get_rois, get_subjects
    from laion_fmri.splits import get_train_test_ids
    from laion_fmri.subject import load_subject

    assert load_subject(get_subjects()[0]).get_available_rois() == get_rois(get_subjects()[0])
    assert callable(describe)
    assert list(inspect.signature(get_train_test_ids).parameters)[:2] == ["name", "pool"]


# --- scripts of May 2026 --------------------------------------------------------------------------


def test_older_scripts_take_regions_by_other_names(here, sub):
    assert same(sub.get_roi_mask(roi="FFA1"), sub.get_roi_mask(query="FFA1"))
    assert list(sub.get_roi_masks(rois=["FFA1"])) == list(sub.get_roi_masks(queries=["FFA1"]))


def test_older_scripts_that_guard_their_pictures_run(here, sub):
    """As in the older gallery: all of it under ``if sub.has_stimuli()``."""
    if sub.has_stimuli():
        table = sub.get_stimulus_metadata()
        places = sub.get_trial_stimulus_indices(session="ses-01")
        labels = trial_labels(RECIPE, ONE, "ses-01")
        assert len(places) == len(labels)
        assert sub.get_image(int(places[0])).size == (16, 16)
        assert len(sub.get_images(stimuli="shared", format="pil")) < len(table)
