"""What a name says of a volume: images of a scanner are no maps, whatever else it says."""

import pytest

from neurofetch.planning.results import MAPS, of_name
from neurofetch.ui.look.kinds import said

RAW = (
    "sub01_r2_bold.nii.gz",
    "T1_r2.nii.gz",
    "run1_R2.nii.gz",
    "pb04.subj.r2.blur+tlrc.HEAD",
    "rest_r2.nii",
    "con_0001_T1w.nii",
    "z_map_bold.nii",
    "beta_series_bold.nii",
    "stats_T1w.nii",
    "prefiltered_func_data_thresh.nii.gz",
    "t1_thresh.nii",
    "thresholded_brain.nii.gz",
    "T1_coef.nii.gz",
    "T1_to_MNI_warp_coeff.nii",
    "fnirt_coeffs.nii.gz",
    "f.nii.gz",
    "PCC.nii.gz",
    "pcc_roi.nii",
    "brainmask.mgz",
    "brainmask.auto.mgz",
    "sub-01_R2map.nii.gz",
    "sub-01_R2starmap.nii.gz",
    "sub-01_run-2_T1w.nii.gz",
    "sub-01_task-stats_acq-tstat_bold.nii.gz",
    "sub-01_ses-r2_FLAIR.nii.gz",
    "example_func2highres.nii.gz",
    "dti_FA.nii.gz",
    "mean_f1samples.nii.gz",
    "T1.mgz",
    "wmparc.mgz",
    "control01.nii",
    "t2.nii",
)
MAP = {
    **dict.fromkeys(("R2.nii.gz", "prf_R2.nii.gz", "r2_map.nii", "r_square.nii"), "rsquare"),
    **dict.fromkeys(("F.mgh", "F.nii.gz", "zfstat1x/fstat1.nii.gz", "spmF_0001.nii"), "f"),
    **dict.fromkeys(("z.mgh", "z.nii.gz", "thresh_zstat1.nii.gz", "group_z_map.nii"), "z"),
    **dict.fromkeys(("coef.nii", "group_coeffs.nii.gz", "beta_0001.nii", "pe1.nii.gz"), "beta"),
    **dict.fromkeys(("thresh.nii", "thresholded.nii.gz"), "thresholded"),
    "pcc.mgh": "r",
    "gamma.mgh": "effect",
}


@pytest.mark.parametrize("name", RAW)
def test_what_a_scanner_made_is_no_map(name):
    assert of_name(name) not in MAPS
    assert not said(name, "volume").is_map


@pytest.mark.parametrize("name", MAP)
def test_what_an_analysis_made_is_one(name):
    assert of_name(name) == MAP[name]
    assert said(name, "volume").is_map


@pytest.mark.parametrize("name", ["brainmask.mgz", "brainmask.auto.mgz"])
def test_what_freesurfer_calls_a_mask_of_the_brain_is_drawn_as_the_brain_that_it_is(name):
    assert not said(name, "volume").is_mask
    assert said("brainmask.nii.gz", "volume").is_mask
