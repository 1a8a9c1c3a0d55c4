"""The quick start of the public package, from an empty directory to maps: no call is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from tests.acceptance_world import QUIET, naive_union, objects, same, volume, world
from tests.loader_tree import glm, naive_betas, naive_map, naive_mask, naive_roi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

FACES = {"FFA1": "face", "FFA2": "face", "OFA": "face", "pSTSfaces": "face"}
COMPANIONS = "derivatives/anatomical/sub-01/", "derivatives/freesurfer/sub-01/"


@pytest.fixture
def here(tmp_path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_the_quick_start_runs_from_an_empty_directory_to_maps(here, tmp_path, capsys):
    from laion_fmri.config import dataset_initialize, get_data_dir
    from laion_fmri.discovery import describe, get_subjects
    from laion_fmri.download import download
    from laion_fmri.subject import load_subject

    dataset_initialize(str(here.data))
    assert get_data_dir() == str(here.data)
    assert isinstance(get_data_dir(), str)

    subjects = get_subjects()
    assert subjects == ["sub-01", "sub-03"]
    describe()
    said = capsys.readouterr().out
    assert "s3://laion-fmri" in said
    assert "(sub-01, sub-03)" in said

    download(
        subject=subjects[0],
        ses="ses-01",
        suffix=["statmap", "trials", "mask"],
        include_stimuli=True,
        n_jobs=4,
    )

    sub = load_subject("sub-01")
    assert sub.subject_id == "sub-01"
    assert sub.get_sessions() == ["ses-01"]
    brain = naive_mask(here.data, "sub-01", "anatomical")  # the download brought it, by rule
    assert sub.get_n_voxels() == brain.sum()
    assert len(sub.get_available_rois()) == 21

    betas = sub.get_betas(session="ses-01")
    expected = naive_betas(here.data, "ses-01", "sub-01", "anatomical")
    assert betas.dtype == np.float32
    assert np.isnan(expected).any()
    assert same(betas, expected)
    assert sub.get_available_rois(category="face") == sorted(FACES)
    faces = naive_union(here.data, FACES, "sub-01")
    assert same(sub.get_betas(session="ses-01", roi="face"), expected[:, faces])

    path = tmp_path / "mean.nii.gz"
    sub.to_nifti(betas.mean(axis=0), str(path))
    assert same(volume(path)[brain], expected.mean(axis=0))
    assert not volume(path)[~brain].any()
    for i in range(3):
        sub.to_nifti(betas[i], path)
        assert same(volume(path)[brain], expected[i])
    assert same(np.percentile(abs(betas[:3]), 99), np.percentile(abs(expected[:3]), 99))

    for name, category in (("FFA1", "face"), ("EBA", "body"), ("PPA", "place")):
        sub.to_nifti(sub.get_roi_mask(name).astype("float32"), path)
        region = naive_roi(here.data, name, category, "sub-01", "anatomical")
        assert same(volume(path)[brain] != 0, region)
        assert nib.load(path).get_data_dtype() == np.float32

    ceiling = sub.get_noise_ceiling(session="ses-01")
    path = glm(here.data, "Noiseceiling_statmap.nii.gz", "ses-01", "sub-01")
    assert same(ceiling, naive_map(here.data, path, "sub-01", "anatomical"))
    assert 0 <= np.nanmin(ceiling) < np.nanmax(ceiling) <= 100
    assert ceiling.dtype == np.float32


def test_the_quick_start_of_the_newest_version_brings_surfaces_and_anatomy_too(here):
    from laion_fmri.config import dataset_initialize
    from laion_fmri.download import download
    from laion_fmri.subject import load_subject

    dataset_initialize(str(here.data))
    download(
        subject="sub-01",
        ses="ses-01",
        suffix=["statmap", "trials", "mask"],
        include_stimuli=True,
        include_anatomical=True,
        include_freesurfer=True,
        n_jobs=4,
    )
    sub = load_subject("sub-01")
    assert sub.has_anatomical()
    assert sub.has_freesurfer()
    assert sub.has_stimuli()
    for key, content in objects().items():
        if key.startswith(COMPANIONS):  # whole, no filter applied
            assert (here.data / key).read_bytes() == content


def test_the_second_download_moves_nothing(here):
    from laion_fmri.config import dataset_initialize
    from laion_fmri.download import download

    dataset_initialize(str(here.data))
    for _ in range(2):
        here.s3.clear_log()
        download(subject="sub-01", ses="ses-01", suffix=["statmap"], n_jobs=4)
        bodies = [r for r in here.s3.requests(method="GET") if r.key]
        taken = len(bodies)
    assert taken == 0
