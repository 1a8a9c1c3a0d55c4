"""The made-up data look like data: a head, regions in their places, maps that are smooth."""

from __future__ import annotations

import gzip
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from nilearn import plotting

from testbed import _head
from testbed._anatomy import hemisphere, localizers, scan
from testbed._phantom import ROIS, Head
from testbed._regions import REGIONS
from testbed.bids import nifti
from testbed.neurovault_maps import TASKS, brain_map, task_of

HEAD = Head(2026, "sub-03", (48, 58, 48), 0, 3.6)
SIDES = {"L": -1, "R": 1}


def image(values):
    return nib.Nifti1Image(np.nan_to_num(np.asarray(values, np.float32)), HEAD.affine)


def smoothness(values: np.ndarray, inside: np.ndarray) -> float:
    """Return how a voxel goes with its neighbour along the first axis."""
    both = inside[1:] & inside[:-1]
    return float(np.corrcoef(values[1:][both], values[:-1][both])[0, 1])


def test_a_brain_has_the_size_of_one_where_voxels_have():
    litres = HEAD.brain.sum() * 3.6**3 / 1e6
    assert 1.2 < litres < 2.2
    assert 0.9 < HEAD.scale.min() < HEAD.scale.max() < 1.1


def test_a_head_has_a_scalp_around_a_dark_skull_and_white_matter_is_bright():
    bright = scan(HEAD, "T1w", HEAD.grid).astype(float)
    tissue = HEAD.tissue(HEAD.grid)
    white, grey = (bright[part > 0.8].mean() for part in (tissue.white, tissue.grey))
    skull = bright[(tissue.hull > 0.18) & (tissue.hull < 0.28) & (tissue.t1 < 0.05)].mean()
    scalp = bright[(tissue.hull > 0.06) & (tissue.hull < 0.12) & (tissue.t1 < 0.05)].mean()
    assert white > grey > scalp / 2 > skull
    fluid = tissue.fluid > 0.8
    assert scan(HEAD, "T2w", HEAD.grid)[fluid].mean() > 500 > bright[fluid].mean()


def test_regions_lie_where_they_are_said_to_lie_and_those_of_a_category_share_nothing():
    for labels in ROIS.values():
        for label in labels:
            places = np.argwhere(HEAD.rois[label]) @ np.diag([3.6] * 3) + HEAD.affine[:3, 3]
            mni = HEAD.to_mni(places)
            for side in SIDES.values():
                own = mni[np.sign(mni[:, 0]) == side]
                share = REGIONS[label].left if side < 0 else REGIONS[label].right
                assert bool(len(own)) == bool(share), label
                if len(own):
                    centres = HEAD.region_centres(label, side)
                    away = np.linalg.norm(own[:, None] - centres, axis=2).min(axis=1)
                    assert np.median(away) < REGIONS[label].radius + 6, label
        total = sum(HEAD.rois[label].astype(int) for label in labels)
        assert total.max() == 1


def test_words_are_read_on_the_left_and_nilearn_agrees():
    x, y, z = plotting.find_xyz_cut_coords(image(HEAD.rois["VWFA-1"]), activation_threshold=0.5)
    assert x < -30
    assert y < -20
    assert z < 0


def test_pictures_are_answered_by_the_back_of_the_brain():
    ceiling = HEAD.noise_ceiling(4)
    y = HEAD.axes(HEAD.grid)[1].places
    inside = HEAD.brain
    back = ceiling[:, y < -60][inside[:, y < -60]].mean()
    front = ceiling[:, y > 0][inside[:, y > 0]].mean()
    assert back > 5 * front


def test_maps_are_smooth_and_of_plausible_size():
    noise = _head.smooth_noise(np.random.default_rng(0), (20, 20, 20))
    assert noise.std() == pytest.approx(1, abs=0.15)
    assert smoothness(noise, np.ones(noise.shape, bool)) > 0.5
    files = dict(localizers(HEAD))
    name = next(key for key in files if "faceVsOthers" in key and key.endswith("nii.gz"))
    values = nib.Nifti1Image.from_bytes(gzip.decompress(files[name])).get_fdata()
    assert smoothness(np.nan_to_num(values), HEAD.brain) > 0.5
    assert 4 < np.nanmax(values) < 15
    faces = values[HEAD.rois["FFA-1"]].mean()
    assert faces > 2 > abs(values[HEAD.brain].mean())
    assert values[HEAD.rois["PPA"]].mean() < 0


def test_surfaces_wrap_the_brain():
    for hemi, side in SIDES.items():
        points, _, _ = hemisphere(HEAD, hemi)
        mni = HEAD.to_mni(points)
        assert (np.sign(mni[:, 0]) == side).mean() > 0.99
        assert 50 < np.abs(mni[:, 0]).max() < 85
        assert mni[:, 1].min() < -85 < 55 < mni[:, 1].max()


@pytest.mark.parametrize("seed", range(8))
def test_maps_of_neurovault_answer_to_their_task(seed):
    found = nib.Nifti1Image.from_bytes(brain_map(seed, 4.0))
    values = np.asarray(found.dataobj)
    outside = values == 0
    assert 1.4 < (~outside).sum() * 4**3 / 1e6 < 2.2
    assert 0.7 < values[~outside].std() < 1.6
    for *place, height in TASKS[task_of(seed)]:
        if abs(height) < 5:
            continue
        x, y, z = np.rint(np.linalg.inv(found.affine) @ [*place, 1])[:3].astype(int)
        near = values[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3]
        assert np.sign(height) * near.mean() > 1, place


def test_motor_maps_are_strongest_in_the_left_motor_cortex():
    found = nib.Nifti1Image.from_bytes(brain_map(0, 3.0))
    peak = np.unravel_index(np.asarray(found.dataobj).argmax(), found.shape)
    x, y, z = nib.affines.apply_affine(found.affine, peak)
    assert -50 < x < -25
    assert -38 < y < -10
    assert 40 < z < 70


def test_small_images_of_bids_are_heads_too():
    values = nib.Nifti1Image.from_bytes(gzip.decompress(nifti(24, 28, 24))).get_fdata()
    assert values[12, 14, 12] > 300 > values[0, 0, 0]
    series = nib.Nifti1Image.from_bytes(gzip.decompress(nifti(8, 8, 8, 5)))
    assert series.shape == (8, 8, 8, 5)


def test_without_nilearn_there_is_a_drawn_brain_of_the_same_size():
    code = (
        "import sys; sys.modules['nilearn'] = None\n"
        "import numpy as np\n"
        "from testbed.laion import Recipe, make_bucket\n"
        "from testbed._phantom import Head, ROIS\n"
        "head = Head(2026, 'sub-03', (20, 24, 18))\n"
        "assert all(head.rois[one].any() for labels in ROIS.values() for one in labels)\n"
        "assert 2000 < head.brain.sum() < 5000, head.brain.sum()\n"
        "assert (head.brain & ~head.anatomical_mask(head.grid)).any()\n"
        "n = len(make_bucket(Recipe(subjects=('sub-01',), sessions=('ses-01',))))\n"
        "assert not [m for m in sys.modules if m.startswith('nilearn.')]\n"
        "print(n)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 300
