"""Arguments that are wrong are refused, with what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from laion_fmri.errors import UnknownRoiError
from laion_fmri.subject import load_subject
from tests.loader_tree import write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from laion_fmri.subject import Subject


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("whole"))


def subject(tree: Path) -> Subject:
    return load_subject("03", data_dir=tree)


def test_an_unknown_roi_names_the_nearest(whole):
    with pytest.raises(UnknownRoiError, match=r"'ffa3'.*Nearest: FFA") as caught:
        subject(whole).get_betas("01", roi="ffa3")
    assert isinstance(caught.value, ValueError)
    assert "retinotopy" in str(caught.value)
    assert subject(whole).get_available_rois("faces") == []


def test_masks_of_the_wrong_kind(whole):
    sub = subject(whole)
    n_voxels = sub.get_n_voxels()
    with pytest.raises(ValueError, match=rf"expected \({n_voxels},\)"):
        sub.get_betas("01", mask=np.ones(n_voxels - 1, dtype=bool))
    with pytest.raises(ValueError, match="covers the whole grid"):
        sub.get_betas("01", mask=sub.get_brain_mask())
    mask = np.ones(n_voxels)
    mask[3] = np.nan
    with pytest.raises(ValueError, match="mask holds NaN"):
        sub.get_betas("01", mask=mask)
    with pytest.raises(ValueError, match="mask holds int64 values"):
        sub.get_betas("01", mask=np.arange(n_voxels))
    with pytest.raises(ValueError, match="mutually exclusive"):
        sub.get_betas("01", roi="V1", mask=np.ones(n_voxels, dtype=bool))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"session": None}, "session is required"),
        ({"session": ""}, "session is required"),
        ({"session": []}, "session is required"),
        ({"session": 1.5}, "1.5 is not a session"),
        ({"session": True}, "True is not a session"),
        ({"session": ["ses-01", 2.5]}, "2.5 is not a session"),
        ({"session": "01", "roi": []}, "empty list"),
        ({"session": "01", "roi": [3]}, "roi holds 3"),
        ({"session": "01", "stimuli": "both"}, "expected 'shared', 'unique'"),
        ({"session": "01", "nc_threshold": "high"}, "expected a number"),
        ({"session": "01", "nc_threshold": True}, "expected a number"),
        ({"session": "01", "nc_threshold": float("nan")}, "nan cannot be .* percent"),
        ({"session": "01", "nc_threshold": -1}, "-1 cannot be .* percent"),
        ({"session": "01", "nc_threshold": 100.5}, "100.5 cannot be .* percent"),
        ({"session": "01", "nan": "drop"}, "expected 'keep', 'raise' or 'zero'"),
        ({"session": "01", "mask_source": "brain"}, "expected 'anatomical' or 'rsquare'"),
    ],
)
def test_arguments_that_make_no_sense(whole, arguments, says):
    with pytest.raises((ValueError, TypeError), match=says):
        subject(whole).get_betas(**arguments)


def test_more_arguments_that_make_no_sense(whole, tmp_path):
    sub = subject(whole)
    with pytest.raises(ValueError, match="exactly one of session and desc"):
        sub.get_noise_ceiling()
    with pytest.raises(ValueError, match="exactly one of session and desc"):
        sub.get_noise_ceiling("01", desc="Noiseceiling4rep")
    with pytest.raises(ValueError, match="format='mesh'"):
        sub.get_roi_data("FFA1", "mesh")
    with pytest.raises(ValueError, match="hemi='left'"):
        sub.get_roi_data("FFA1", "surface", "left")
    with pytest.raises(ValueError, match="expected 'anatomical' or 'rsquare'"):
        sub.get_brain_mask("functional")
    with pytest.raises(ValueError, match=r"expected .* one for each voxel"):
        sub.to_nifti(np.zeros(5))
    with pytest.raises(ValueError, match=r"\.nii or \.nii\.gz"):
        sub.to_nifti(np.zeros(sub.get_n_voxels()), tmp_path / "mean.img")
    with pytest.raises(ValueError, match="store='maybe'"):
        load_subject("03", data_dir=whole, store="maybe")
    with pytest.raises(ValueError, match="n_jobs=0"):
        sub.build_store(n_jobs=0)
    with pytest.raises(ValueError, match="session is required"):
        sub.build_store([])
