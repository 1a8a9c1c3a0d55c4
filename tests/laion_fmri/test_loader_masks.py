"""The two brain masks: which columns a result has, how it says so, and what happens if they mix."""

from __future__ import annotations

import copy
import logging
import pickle
import warnings
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from laion_fmri.errors import DataNotDownloadedError, GridMismatchError, MixedMasksError
from laion_fmri.loader.voxels import _tell_fraction
from laion_fmri.subject import load_subject
from laion_fmri.volumes.voxel_array import VoxelArray, on_mask
from tests.loader_tree import (
    anatomical_path,
    betas_path,
    mean_path,
    naive_betas,
    naive_mask,
    naive_roi,
    rewrite,
    same,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from laion_fmri.subject import Subject

SOURCES = ("anatomical", "rsquare")
OTHER = dict(zip(SOURCES, SOURCES[::-1], strict=True))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("masks"))


@pytest.fixture(scope="module", params=["off", "auto"])
def sub(request, root) -> Subject:
    return load_subject("03", data_dir=root, store=request.param)


@pytest.fixture
def alike(tmp_path) -> Path:
    """A tree whose two masks have as many voxels, but not the same ones."""
    tree = write_tree(tmp_path)
    path = mean_path(tree)
    values = naive_mask(tree, source="anatomical").reshape(nib.load(path).shape)
    rewrite(path, np.roll(values, 1, axis=0).astype(np.float32))
    counts = [naive_mask(tree, source=source).sum() for source in SOURCES]
    assert counts[0] == counts[1]
    assert not same(*(naive_mask(tree, source=source) for source in SOURCES))
    return tree


# --- which columns --------------------------------------------------------------------------------

ACCESSORS: list[Callable[[Subject, str], object]] = [
    lambda sub, source: sub.get_betas("01", mask_source=source),
    lambda sub, source: sub.get_betas("01", roi="V1", mask_source=source),
    lambda sub, source: sub.get_betas(["01", 2], stimuli="shared", mask_source=source)["01"],
    lambda sub, source: sub.get_noise_ceiling("01", mask_source=source),
    lambda sub, source: sub.get_noise_ceiling(desc="Noiseceiling4rep", mask_source=source),
    lambda sub, source: sub.get_roi_mask("V1", source),
    lambda sub, source: sub.get_roi_masks(["V1"], source)["V1"],
    lambda sub, source: sub.get_roi_data("V1", mask_source=source)["V1"]["volume"],
    lambda sub, source: sub.get_voxel_coordinates(mask_source=source),
]


@pytest.mark.parametrize("accessor", ACCESSORS)
def test_a_result_says_which_mask_it_is_on(sub, accessor):
    assert [accessor(sub, source).mask_source for source in SOURCES] == list(SOURCES)


def test_the_default_of_every_accessor_is_the_anatomical_mask(sub, root):
    assert same(sub.get_betas("01"), naive_betas(root, source="anatomical"))
    assert sub.get_betas("01").mask_source == "anatomical"
    assert sub.get_roi_mask("V1").mask_source == "anatomical"
    assert sub.get_voxel_coordinates().mask_source == "anatomical"
    assert sub.betas.attrs["mask_source"] == "anatomical"
    assert same(sub.brain.flat(), naive_mask(root, source="anatomical"))


@pytest.mark.parametrize("source", SOURCES)
def test_columns_are_those_of_the_mask_asked_for(sub, root, source):
    expected = naive_betas(root, source=source)
    assert same(sub.get_betas("01", mask_source=source), expected)
    roi = naive_roi(root, "V1", "retinotopy", source=source)
    assert same(sub.get_betas("01", roi="V1", mask_source=source), expected[:, roi])
    assert same(sub.get_betas("01", mask=roi, mask_source=source), expected[:, roi])
    assert same(sub.get_roi_mask("V1", source), roi)
    assert same(sub.get_roi_data("V1", mask_source=source)["V1"]["volume"], roi)


def test_each_mask_has_a_store_of_its_own_and_the_other_is_not_built_again(tmp_path):
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree)
    first = {source: sub.get_betas("01", roi="V1", mask_source=source) for source in SOURCES}
    shards = {
        path: path.stat().st_mtime_ns for path in tree.glob(".laion_fmri/store/*/*/betas/c/0/0")
    }
    assert len(shards) == 2
    for source in SOURCES:
        assert same(sub.get_betas("01", roi="V1", mask_source=source), first[source])
    assert shards == {path: path.stat().st_mtime_ns for path in shards}


def test_a_negative_mean_counts_as_brain_and_nan_does_not(tmp_path):
    tree = write_tree(tmp_path)
    path = mean_path(tree)
    values = np.zeros(nib.load(path).shape, dtype=np.float32)
    values[3, 4, 5], values[3, 4, 6], values[3, 4, 7] = -2, np.nan, 1
    rewrite(path, values)
    mask = load_subject("03", data_dir=tree).get_brain_mask("rsquare")
    assert np.argwhere(mask.reshape(values.shape)).tolist() == [[3, 4, 5], [3, 4, 7]]


def test_a_mask_of_full_resolution_is_of_another_grid(sub, root):
    fine = anatomical_path(root, rest="desc-brain_mask.nii.gz")
    mask = sub.get_brain_mask(res=None)
    assert same(mask, np.asarray(nib.load(fine).dataobj).ravel() != 0)
    assert sub.get_n_voxels(res=None) == mask.sum() > sub.get_n_voxels()


# --- mixing them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_a_mask_of_the_other_source_is_refused_by_its_length(sub, source):
    roi = np.asarray(sub.get_roi_mask("V1", OTHER[source]))
    with pytest.raises(ValueError, match=f"of the brain mask '{source}'"):
        sub.get_betas("01", mask=roi, mask_source=source)
    with pytest.raises(ValueError, match="one for each voxel"):
        sub.to_nifti(roi, mask_source=source)


@pytest.mark.parametrize("source", SOURCES)
def test_a_mask_of_the_other_source_is_refused_where_lengths_agree_by_chance(alike, source):
    sub = load_subject("03", data_dir=alike)
    roi = sub.get_roi_mask("V1", OTHER[source])
    assert len(roi) == sub.get_n_voxels(source)
    ceiling = sub.get_noise_ceiling("01", mask_source=OTHER[source])
    says = rf"brain mask '{source}', but .* over the voxels of '{OTHER[source]}'"
    for given in (roi, roi & (ceiling > 1), ~roi, roi[:], pickle.loads(pickle.dumps(roi))):
        with pytest.raises(GridMismatchError, match=says):
            sub.get_betas("01", mask=given, mask_source=source)
        with pytest.raises(ValueError, match=says):
            sub.get_voxel_coordinates(mask=given, mask_source=source)
    with pytest.raises(GridMismatchError, match=says):
        sub.to_nifti(ceiling, mask_source=source)
    with pytest.raises(GridMismatchError, match=says):
        sub.to_nifti(
            sub.get_betas("01", mask_source=OTHER[source]).mean(axis=0), mask_source=source
        )


def test_a_plain_array_is_taken_at_its_word(alike):
    sub = load_subject("03", data_dir=alike)
    mask = np.asarray(sub.get_roi_mask("V1", "rsquare"))
    found = sub.get_betas("01", mask=mask)
    assert same(found, naive_betas(alike, source="anatomical")[:, mask])


# --- a directory without the anatomical mask ------------------------------------------------------


@pytest.fixture
def older(tmp_path) -> Path:
    """As it was downloaded before the anatomical mask was the default."""
    tree = write_tree(tmp_path)
    anatomical_path(tree).unlink()
    return tree


def test_an_older_directory_is_read_by_the_only_mask_it_has_and_that_is_told(older):
    sub = load_subject("03", data_dir=older)
    with pytest.warns(
        UserWarning, match=r"mask_source='rsquare'[\s\S]*include_anatomical=True"
    ) as told:
        found = sub.get_betas("01")
    assert told[0].filename == __file__
    assert found.mask_source == "rsquare"
    assert same(found, naive_betas(older, source="rsquare"))
    with pytest.warns(UserWarning, match="is not in"):
        assert sub.get_n_voxels() == found.shape[1]


def test_a_mask_that_is_asked_for_by_name_is_never_another(older):
    sub = load_subject("03", data_dir=older)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sub.get_betas("01", mask_source="rsquare").mask_source == "rsquare"
        with pytest.raises(DataNotDownloadedError, match="include_anatomical=True"):
            sub.get_betas("01", mask_source="anatomical")
        with pytest.raises(DataNotDownloadedError, match="include_anatomical=True"):
            sub.get_brain_mask("anatomical")


def test_without_any_mask_the_default_names_what_brings_it(older):
    mean_path(older).unlink()
    with pytest.raises(DataNotDownloadedError, match="include_anatomical=True"):
        load_subject("03", data_dir=older).get_betas("01")


# --- arrays that know their mask ------------------------------------------------------------------


def test_arithmetic_is_that_of_plain_arrays():
    plain = np.arange(12, dtype=np.float32).reshape(3, 4)
    known = on_mask(plain.copy(), "rsquare")
    for act in (
        lambda a: a.mean(axis=0),
        lambda a: (a - a.mean(0)) / a.std(0),
        lambda a: np.sqrt(a) > 1,
        lambda a: a @ a.T,
        lambda a: a[1, ::2],
        lambda a: a[:, a[0] > 1],
        lambda a: a.astype(bool) & (a > 3),
        lambda a: np.nanmean(np.where(a > 2, a, np.nan), axis=1),
        lambda a: np.concatenate([a, a]),
        lambda a: np.percentile(abs(a), 99, axis=0),
        lambda a: a.sum(),
        lambda a: (a > 5).sum(),
        lambda a: a.max(),
        lambda a: a[0, 0],
        np.linalg.norm,
        lambda a: np.isfinite(a).all(),
        lambda a: 2 * a + 1,
    ):
        expected, found = act(plain), act(known)
        assert same(found, expected)
        assert np.ndim(found) == np.ndim(expected)
        assert np.isscalar(found) == np.isscalar(expected)
        assert found.dtype == expected.dtype
    assert repr(known) == repr(plain)
    assert str(known) == str(plain)
    assert f"{known.mean():.2f}" == f"{plain.mean():.2f}"
    known[0] = 7
    known *= 2
    assert (known[0] == 14).all()


def test_what_is_made_of_a_result_keeps_the_name_of_its_mask():
    known = on_mask(np.arange(12.0).reshape(3, 4), "rsquare")
    for found in (known[1:], known.T, known > 3, known + 1, 1 + known, known.mean(axis=0)):
        assert found.mask_source == "rsquare"
    for back in (copy.deepcopy(known), pickle.loads(pickle.dumps(known)), known.copy()):
        assert isinstance(back, VoxelArray)
        assert back.mask_source == "rsquare"
        assert same(back, known)
    assert (known + known).mask_source == "rsquare"
    for put in (np.concatenate, np.stack, np.vstack, np.hstack):
        assert put([known, known]).mask_source == "rsquare"
        assert put((known, np.asarray(known))).mask_source == "rsquare"
    assert np.nanmean(known, axis=0).mask_source == "rsquare"
    assert type(np.asarray(known)) is np.ndarray


@pytest.mark.parametrize(
    "meet",
    [
        lambda one, other: one + other,
        lambda one, other: one > other,
        np.maximum,
        lambda one, other: np.concatenate([one, other]),
        lambda one, other: np.stack((one, other)),
        np.corrcoef,
        lambda one, other: np.where(one > 3, one, other),
        np.isclose,
    ],
    ids=["add", "compare", "maximum", "concatenate", "stack", "corrcoef", "where", "isclose"],
)
def test_values_of_two_masks_do_not_meet_unseen(meet):
    """The class: columns that have the same number and are other voxels."""
    one = on_mask(np.arange(12.0).reshape(3, 4), "rsquare")
    other = on_mask(np.arange(12.0).reshape(3, 4), "anatomical")
    with pytest.raises(MixedMasksError, match="mask_source"):
        meet(one, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is computed here
        meet(one, np.asarray(other))


def test_other_libraries_take_a_result_as_an_array(sub, tmp_path):
    betas = sub.get_betas("01", roi="V1")
    plain = np.asarray(betas)
    assert same(pd.DataFrame(betas).to_numpy(), plain)
    labelled = xr.DataArray(betas, dims=("trial", "voxel"))
    assert same(labelled.mean("trial"), plain.mean(axis=0))
    assert same(
        labelled.groupby(labelled[:, 0] > 0).mean("trial")[0], plain[plain[:, 0] <= 0].mean(0)
    )
    np.save(tmp_path / "betas.npy", betas)
    back = np.load(tmp_path / "betas.npy")
    assert type(back) is np.ndarray
    assert same(back, plain)
    assert memoryview(betas).format == "f"


# --- thresholds -----------------------------------------------------------------------------------


def test_a_threshold_that_looks_like_a_fraction_is_percent_and_the_log_says_so_once(sub, caplog):
    _tell_fraction.cache_clear()
    nc = sub.get_noise_ceiling("01")
    with caplog.at_level(logging.WARNING, logger="laion_fmri"):
        for _ in range(2):
            found = sub.get_betas("01", nc_threshold=0.2)
    assert found.shape[1] == (nc >= 0.2).sum()
    assert [record.getMessage() for record in caplog.records] == [
        "nc_threshold=0.2 means 0.2 percent, in the unit of the maps; a fraction of 0.2 would be "
        "nc_threshold=20"
    ]
    assert sub.get_betas("01", nc_threshold=0).shape[1] == (nc >= 0).sum()


def test_a_mask_whose_file_was_exchanged_is_read_anew(tmp_path):
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree)
    sub.get_betas("01", roi="V1")
    path = anatomical_path(tree)
    values = np.array(np.asarray(nib.load(path).dataobj))
    values[np.unravel_index(np.flatnonzero(values)[:50], values.shape)] = 0
    rewrite(path, values)
    assert same(
        sub.get_betas("01", roi="V1"), naive_betas(tree)[:, naive_roi(tree, "V1", "retinotopy")]
    )
    assert betas_path(tree).is_file()
