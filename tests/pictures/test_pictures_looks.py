"""What a file is decides how it is drawn: colours, range, unit, threshold."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from neurofetch.pictures.drawing import colour_map
from neurofetch.pictures.looks import COLOURS, DISTINCT, Facts, Look, limits, look_of, settled

BASE = "derivatives/glmsingle-tedana/sub-01/sub-01_task-images_space-T1w_"
SAID = [
    ("sub-01_T1w.nii.gz", "anatomy", "gray", "a.u."),
    ("sub-01_ses-02_task-rest_bold.nii.gz", "signal", "gray", "a.u."),
    ("sub-01_dir-AP_epi.nii.gz", "signal", "gray", "a.u."),
    ("sub-01_magnitude1.nii.gz", "signal", "gray", "a.u."),
    ("sub-01_phasediff.nii.gz", "phase", "twilight", "a.u."),
    ("sub-01_task-x_part-phase_bold.nii.gz", "phase", "twilight", "a.u."),
    (BASE + "stat-effect_desc-SingletrialBetas_statmap.nii.gz", "effect", "cold-grey-hot", "beta"),
    (BASE + "stat-rsquare_desc-R2mean_statmap.nii.gz", "share", "inferno", "%"),
    (BASE + "desc-Noiseceiling12rep_statmap.nii.gz", "share", "viridis", "%"),
    (BASE + "desc-HRFindex_dseg.nii.gz", "share", "viridis", "index"),
    ("sub-01_contrast-a_stat-z_statmap.nii.gz", "statistic", "cold-grey-hot", "z"),
    ("sub-01_contrast-a_stat-t_statmap.nii.gz", "statistic", "cold-grey-hot", "t"),
    ("sub-01_contrast-a_stat-p_statmap.nii.gz", "share", "viridis_r", "p"),
    ("sub-01_space-T1w_label-FFA1_mask.nii.gz", "mask", "mask", ""),
    ("sub-01_desc-aseg_dseg.nii.gz", "labels", "labels", ""),
    ("sub-01_label-GM_probseg.nii.gz", "share", "viridis", ""),
    ("derivatives/freesurfer/sub-01/mri/brain.mgz", "anatomy", "gray", "a.u."),
    ("derivatives/freesurfer/sub-01/mri/aparc+aseg.mgz", "labels", "labels", ""),
    ("map_12.nii.gz", "any", "gray", ""),
]


@pytest.mark.parametrize(
    ("name", "kind", "colours", "unit"), SAID, ids=[one[0].rpartition("/")[2] for one in SAID]
)
def test_a_name_says_how_a_file_is_drawn(name, kind, colours, unit):
    look = look_of(name)
    assert (look.kind, look.colours, look.unit) == (kind, colours, unit)
    assert look.symmetric == (look.colours in ("cold-grey-hot", "twilight"))
    assert colour_map(look).N >= 1


@pytest.mark.parametrize(
    ("map_type", "kind", "unit"),
    [
        ("T map", "statistic", "t"),
        ("Z map", "statistic", "z"),
        ("F map", "share", "F"),
        ("ROI/mask", "mask", ""),
        ("Parcellation", "labels", ""),
        ("univariate-beta map", "effect", "beta"),
        ("Other", "any", ""),
    ],
)
def test_a_record_of_neurovault_says_it_too(map_type, kind, unit):
    look = look_of("image_1.nii.gz", map_type=map_type)
    assert (look.kind, look.unit) == (kind, unit)


def test_a_header_says_it_where_the_name_does_not():
    assert look_of("x.nii.gz", intent=3).unit == "t"
    assert look_of("sub-01_T1w.nii.gz", intent=3).kind == "anatomy"


@pytest.mark.parametrize(
    ("intent", "name", "symmetric"),
    [
        *((2, "correlation", True), (3, "t map", True), (4, "F map", False), (5, "z map", True)),
        *((6, "chi² map", False), (22, "p map", False), (24, "log p map", True)),
        *((1001, "effect", True), (1002, "labels", False)),
        (7, "", False),  # the beta distribution is no weight of a model
    ],
)
def test_the_intent_of_a_header_is_that_of_nifti(intent, name, symmetric):
    look = look_of("image.nii.gz", intent=intent)
    assert (look.name, look.symmetric) == (name, symmetric)


PROGRAMS = [
    *(("zstat1.nii.gz", "z"), ("thresh_zstat10.nii.gz", "z"), ("zfstat1.nii.gz", "z")),
    *(("tstat2.nii.gz", "t"), ("spmT_0001.nii", "t"), ("faces_Tstat.nii", "t"), ("t_map.nii", "t")),
    *(("con_0001.nii", "a.u."), ("cope1.nii.gz", "a.u."), ("effect_size.nii.gz", "a.u.")),
    *(("beta_0003.nii", "beta"), ("pe12.nii.gz", "beta"), ("faces#0_Coef.nii", "beta")),
    *(("sig.mgh", "log p"), ("z.mgz", "z"), ("melodic_IC.nii.gz", "z"), ("my_thresh.nii", "")),
]


@pytest.mark.parametrize(("name", "unit"), PROGRAMS)
@pytest.mark.parametrize("folder", ["", "sub-01.feat/stats/", "mask/", "T1w/"])
def test_maps_of_programs_are_known_by_the_names_that_they_give(name, unit, folder):
    look = look_of(folder + name)
    assert (look.unit, look.symmetric, look.colours) == (unit, True, "cold-grey-hot")
    assert look.name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("spmF_0001.nii", "share"), ("fstat1.nii.gz", "share"), ("varcope1.nii.gz", "share")),
        *(("tbss_tfce_corrp_tstat1.nii.gz", "share"), ("ResMS.nii", "share")),
        *(("mask.nii", "mask"), ("zstat1_mask.nii.gz", "mask"), ("T1_brain_mask.nii.gz", "mask")),
        *(("cluster_mask_zstat1.nii.gz", "labels"), ("T1_brain_pveseg.nii.gz", "labels")),
        *(("aparc.a2009s+aseg.mgz", "labels"), ("brainmask.mgz", "anatomy"), ("T1.nii", "anatomy")),
        *(("filtered_func_data.nii.gz", "signal"), ("pb04.sub.scale.errts.nii", "signal")),
        *(("control01.nii", "any"), ("con01.nii", "any"), ("betamax.nii", "any")),
        ("rendered_thresh_zstat1.nii.gz", "any"),
        *(("sub-01_desc-zmap_T1w.nii.gz", "anatomy"), ("sub-01_desc-mask_boldref.nii", "signal")),
    ],
)
def test_other_names_of_programs_are_what_they_are(name, kind):
    look = look_of(name)
    assert (look.kind, look.symmetric) == (kind, False)


def test_spm_says_in_the_header_what_it_is_and_of_which_contrast():
    said = "SPM{T_[18.0]} - contrast 1: faces > houses"
    assert look_of("wave.nii", description=said).name == "t map"
    assert look_of("wave.nii", description="FSL5.0").kind == "any"


@pytest.mark.parametrize(
    ("units", "told"),
    [
        ("percent", "%"),
        (" rad ", "rad"),
        ("", "a.u."),
        (3, "a.u."),
        (None, "a.u."),
        ("x" * 99, "x" * 24),
    ],
)
def test_a_sidecar_has_the_unit(units, told):
    assert look_of("sub-01_stat-effect_statmap.nii.gz", sidecar={"Units": units}).unit == told
    assert look_of("sub-01_mask.nii.gz", sidecar={"Units": units}).unit == ""


@pytest.mark.parametrize(
    ("facts", "kind", "symmetric"),
    [
        (Facts(1, 1, whole=True, distinct=1), "mask", False),
        (Facts(1, 12, whole=True, distinct=12), "labels", False),
        (Facts(2, 2035, whole=True, distinct=110), "labels", False),
        (Facts(1, 255, whole=True, distinct=250), "signal", False),
        (Facts(-3.5, 8, whole=False, distinct=900), "effect", True),
        (Facts(0.1, 8, whole=False, distinct=900), "share", False),
        (Facts(-9, -1, whole=False, distinct=900), "share", False),
        (Facts(0.1, 8000, whole=False, distinct=900, frames=200), "signal", False),
        (Facts(-3, 8, whole=False, distinct=900, frames=200), "effect", True),
    ],
)
def test_values_decide_where_nothing_is_said(facts, kind, symmetric):
    look = settled(Look(), facts)
    assert (look.kind, look.symmetric) == (kind, symmetric)
    said = look_of("sub-01_stat-z_statmap.nii.gz")
    assert settled(said, facts) is said  # of what was said, values change nothing


@pytest.mark.parametrize("ends", [(0.0, 0.0), (-3.0, 1.0), (2.0, 9.0), (-9.0, -2.0), (5.0, 5.0)])
@pytest.mark.parametrize("name", [one[0] for one in SAID], ids=[str(n) for n in range(len(SAID))])
def test_a_range_is_never_empty_and_as_wide_on_both_sides_of_zero_where_there_are_two(name, ends):
    look = look_of(name)
    low, high = limits(look, *ends)
    assert low < high
    if look.symmetric:
        assert low == -high


def lightness(colour) -> float:
    """Return the relative luminance of sRGB."""
    linear = [((c + 0.055) / 1.055) ** 2.4 if c > 0.04 else c / 12.92 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_the_middle_of_two_signs_is_grey_and_both_ends_are_dark():
    shades = COLOURS["cold-grey-hot"]
    middle = to_rgb(shades[len(shades) // 2])
    assert max(middle) - min(middle) < 0.04  # grey
    assert lightness(shades[4]) == max(map(lightness, shades))
    for low, high in zip(shades, reversed(shades), strict=True):
        assert abs(lightness(low) - lightness(high)) < 0.12  # no sign looks nearer to zero
    cold, hot = (to_rgb(shade) for shade in (shades[1], shades[-2]))
    assert cold[2] > cold[0]
    assert hot[0] > hot[2]


#: What people see who lack one kind of cone (Machado et al., 2009), on linear sRGB.
VISION = {
    "all cones": np.eye(3),
    "no red": [[0.153, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("kind", VISION)
def test_outlines_have_colours_that_any_eyes_tell_apart(kind):
    seen = [np.array(VISION[kind]) @ np.array(to_rgb(colour)) for colour in DISTINCT]
    apart = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert min(apart) > 0.13


def test_colour_maps_of_matplotlib_are_there():
    for name, *_ in SAID:
        look = look_of(name)
        assert look.colours in (*COLOURS, "mask", "labels", *mpl.colormaps)
