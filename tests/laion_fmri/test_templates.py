"""Values arrive in template spaces where they belong; nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from laion_fmri._template_spaces import sphere_weights
from laion_fmri.errors import BadDataError, DataNotDownloadedError
from laion_fmri.subject import load_subject
from laion_fmri.templates import to_template
from neurofetch.errors import DestinationError
from testbed._anatomy import sphere, to_mni305
from testbed._phantom import Head
from tests.loader_tree import (
    RECIPE,
    anatomical_path,
    betas_path,
    naive_betas,
    naive_mask,
    write_tree,
)
from tests.template_world import templateflow, write_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from laion_fmri.subject import Subject

SMALL = (60, 70, 50)
ONE = "sub-03"

_WITHOUT = """
import sys
sys.modules[sys.argv[2]] = None
from laion_fmri.subject import load_subject
sub = load_subject("03", data_dir=sys.argv[1])
try:
    sub.to_template([1.0], "MNI305")
except ImportError as exc:
    print(exc)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def sub(root, tmp_path_factory) -> Iterator[Subject]:
    home = write_home(tmp_path_factory.mktemp("templateflow"), "10k", grid=SMALL)
    with templateflow(home):
        yield load_subject("03", data_dir=root)


def coordinates(root: Path) -> np.ndarray:
    """Return millimetres in the scanner for each voxel of the anatomical mask."""
    image = nib.load(anatomical_path(root))
    return nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) != 0))


def test_each_voxel_of_mni305_has_the_value_of_its_nearest_voxel(sub, root):
    values = np.arange(1, naive_mask(root, ONE, "anatomical").sum() + 1, dtype=np.float32)
    found = sub.to_template(values, "MNI305")
    assert found.shape == SMALL
    there = np.argwhere(np.asarray(found.dataobj) > 0)
    back = np.linalg.inv(to_mni305(Head(RECIPE.seed, ONE, RECIPE.grid)))
    place = nib.affines.apply_affine(back @ found.affine, there)
    picked = np.asarray(found.dataobj)[tuple(there.T)].astype(int) - 1
    assert len(picked) > len(values)  # a finer grid
    assert np.abs(place - coordinates(root)[picked]).max() <= 0.9 + 1e-3
    assert len(np.unique(picked)) > 0.99 * len(values)


def test_several_trials_are_volumes_in_their_order(sub, root):
    betas = naive_betas(root, "ses-01", ONE, "anatomical")[:20]  # more than are read at a time
    found = sub.volume_to_template(betas, "MNI305")
    assert found.shape == (*SMALL, 20)
    for trial in (0, 15, 16, 19):
        one = sub.to_template(betas[trial], "MNI305")
        assert np.array_equal(found.dataobj[..., trial], one.dataobj)
    assert not np.isnan(np.asarray(found.dataobj)).any()
    assert np.isnan(betas).any()


def test_a_volume_on_disk_is_taken_as_it_is(sub, root):
    path = betas_path(root)
    whole = sub.to_template(path, "MNI305")
    assert whole.shape == (*SMALL, 24)
    single = sub.to_template(nib.load(path).slicer[..., 3], "MNI305")
    assert np.array_equal(whole.dataobj[..., 3], single.dataobj)


def test_a_surface_samples_the_places_it_runs_through(sub, root):
    """Values that are the coordinates themselves come back as those of the sphere's vertices."""
    z = nib.load(anatomical_path(root))
    ijk = np.argwhere(np.ones(z.shape, dtype=bool))
    height = nib.affines.apply_affine(z.affine, ijk)[:, 2].reshape(z.shape).astype(np.float32)
    image = nib.Nifti1Image(height, z.affine)
    found = sub.to_template(image, "fsaverage")
    assert list(found) == ["L", "R"]
    for hemi, side in (("L", "lh"), ("R", "rh")):
        reg, _ = nib.freesurfer.read_geometry(
            root / f"derivatives/freesurfer/{ONE}/surf/{side}.sphere.reg"
        )
        assert found[hemi].shape == (10242,)
        points, _, about = nib.freesurfer.read_geometry(
            root / f"derivatives/freesurfer/{ONE}/surf/{side}.white", read_metadata=True
        )
        heights = points[:, 2] + about["cras"][2]
        nearest = (sphere(5)[0] @ reg.T).argmax(axis=1)
        away = np.abs(found[hemi] - heights[nearest])
        assert np.median(away) < 0.5, hemi
        assert away.max() < 3, hemi  # a vertex of the subject's is 3 mm from the next
        assert len(reg) in (642, 643)


def test_vertices_outside_of_the_volume_are_told_and_have_no_value(sub, root):
    affine = nib.load(anatomical_path(root)).affine
    part = nib.Nifti1Image(np.full(tuple(n // 2 for n in RECIPE.grid), 3, np.float32), affine)
    with pytest.warns(UserWarning, match=r"of 642 vertices of lh\.white lie outside") as told:
        found = sub.to_template(part, "fsaverage", hemi="L")
    assert len(told) == 1
    assert np.isnan(found).any()
    assert np.allclose(found[~np.isnan(found)], 3)


def test_an_image_on_disk_that_was_cut_is_named(sub, root, tmp_path):
    path = tmp_path / "map.nii.gz"
    whole = anatomical_path(root).read_bytes()
    for content in (whole[: len(whole) // 2], b"no image"):
        path.write_bytes(content)
        for target in ("MNI305", "fsaverage"):
            with pytest.raises(BadDataError, match=r"map\.nii\.gz: is no whole image"):
                sub.to_template(path, target)
    with pytest.raises(FileNotFoundError, match="gone"):
        sub.to_template(tmp_path / "gone.nii.gz", "MNI305")


def test_surfaces_differ_by_name(sub, root):
    values = np.random.default_rng(1).random(naive_mask(root, ONE, "anatomical").sum())
    inner = sub.volume_to_surface(values, hemi="L")
    outer = sub.volume_to_surface(values, "fsaverage", hemi="L", surface="pial")
    assert not np.allclose(inner, outer)
    with pytest.raises(ValueError, match="surface"):
        sub.volume_to_surface(values, hemi="L", surface="../../etc")
    with pytest.raises(DataNotDownloadedError, match="include_freesurfer=True"):
        sub.volume_to_surface(values, hemi="L", surface="inflated")


def test_values_of_own_surfaces_go_to_fsaverage(sub, tmp_path):
    constant = {"L": np.full(642, 3.0), "R": np.full((2, 643), 5.0)}
    found = sub.surface_to_template(constant, output_dir=tmp_path / "new", desc="nc", session="01")
    assert np.allclose(found["L"], 3)
    assert found["R"].shape == (2, 10242)
    assert np.allclose(found["R"], 5)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    stem = "sub-03_ses-01_space-fsaverage_den-10k_hemi"
    assert names == [f"{stem}-{hemi}_desc-nc_statmap.func.gii" for hemi in ("L", "R")]
    written = nib.load(tmp_path / "new" / names[1])
    assert np.array_equal(np.array(written.agg_data()), found["R"])
    assert written.meta["AnatomicalStructurePrimary"] == "CortexRight"
    single = sub.surface_to_template(constant["L"].tolist(), hemi="L")
    assert np.array_equal(single, found["L"])


def test_weights_between_spheres_are_those_of_nitransforms():
    surface = pytest.importorskip("nitransforms.surface")
    mesh = pytest.importorskip("nitransforms.base").SurfaceMesh
    points, faces = sphere(3)
    rng = np.random.default_rng(3)
    uneven = points + rng.normal(0, 0.02, points.shape)
    uneven /= np.linalg.norm(uneven, axis=1, keepdims=True)
    targets, about = sphere(4)
    slow = surface.SurfaceResampler(
        mesh.from_arrays(100 * targets, about), mesh.from_arrays(100 * uneven, faces)
    )
    values = rng.random((2, len(points)))
    weights = sphere_weights(targets, uneven, faces)
    assert np.allclose(weights.sum(axis=0), 1)
    assert np.allclose(values @ weights, slow.apply(values), atol=2e-3)  # it allows that much
    met = (uneven.T @ weights).T
    assert np.allclose(met / np.linalg.norm(met, axis=1, keepdims=True), targets, atol=1e-9)


def test_a_ray_through_a_vertex_an_edge_or_a_flat_triangle_finds_its_place():
    points, faces = sphere(2)
    flat = np.concatenate([faces, [[0, 0, 1]]])  # no area
    edge = points[faces[0][:2]].sum(axis=0)
    targets = np.array([points[5], edge / np.linalg.norm(edge)])
    weights = sphere_weights(targets, 100 * points, flat).toarray()
    assert np.allclose(weights[:, 0], np.arange(len(points)) == 5)
    assert np.allclose(weights[faces[0][:2], 1], 0.5)
    assert np.allclose(weights.sum(axis=0), 1)


def test_a_hole_in_a_surface_is_zero_and_does_not_spread(sub):
    values = np.ones(642)
    values[:3] = np.nan
    found = sub.surface_to_template(values, hemi="L")
    assert not np.isnan(found).any()
    assert abs(found.min()) < 1e-6


def test_a_volume_is_written_under_its_name(sub, root, tmp_path):
    values = np.ones(naive_mask(root, ONE, "anatomical").sum())
    found = sub.to_template(values, "MNI305", output_dir=tmp_path / "a" / "b", desc="nc")
    path = tmp_path / "a" / "b" / "sub-03_space-MNI305_desc-nc_statmap.nii.gz"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert np.array_equal(nib.load(path).dataobj, found.dataobj)
    for bad in ({"desc": "../x"}, {"session": "ses/1"}):
        with pytest.raises(ValueError, match=next(iter(bad.values()))):
            sub.to_template(values, "MNI305", output_dir=tmp_path, **bad)


def test_values_of_either_mask_are_put_where_they_belong(sub, root):
    for source in ("anatomical", "rsquare"):
        mask = naive_mask(root, ONE, source)
        values = np.random.default_rng(2).random(mask.sum()).astype(np.float32)
        image = nib.load(anatomical_path(root))
        volume = np.zeros(image.shape, np.float32)
        volume[mask.reshape(image.shape)] = values
        expected = sub.to_template(nib.Nifti1Image(volume, image.affine), "MNI305")
        found = sub.to_template(values, "MNI305", mask_source=source)
        assert np.array_equal(found.dataobj, expected.dataobj)
        with pytest.raises(ValueError, match=str(len(values))):
            sub.to_template(values[:-1], "MNI305", mask_source=source)


@pytest.mark.parametrize(
    ("target", "keywords", "says"),
    [
        ("MNI152", {}, "MNI305, fsaverage"),
        ("MNI305", {"route": "surface"}, "'volume'"),
        ("fsaverage", {"route": "volume"}, "'surface'"),
        ("fsaverage", {"hemi": "left"}, "'L' or 'R'"),
        ("fsaverage", {"fsaverage_density": "fsaverage4"}, "fsaverage5"),
        ("MNI305", {"mask_source": "other"}, "anatomical, rsquare"),
        ("fsaverage", {"surface": None}, "'white'"),
        ("fsaverage", {"surface": "../white"}, "'white'"),
        ("MNI305", {"desc": 3}, "letters and digits"),
        ("MNI305", {"output_dir": ""}, "expected a folder"),
        ("MNI305", {"output_dir": 3}, "expected a folder"),
    ],
)
def test_a_word_that_is_not_known_is_told_with_those_that_are(sub, target, keywords, says):
    with pytest.raises(ValueError, match=says):
        to_template(sub, np.ones(3), target, **keywords)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (lambda n: np.ones(n, complex), "complex128"),
        (lambda n: np.full(n, "1"), "<U1"),
        (lambda n: np.full(n, "x", dtype=object), "no numbers"),
        (lambda n: np.ones((0, n)), "no trial"),
        (lambda n: np.full(n, np.datetime64("2020-01-01")), "datetime64"),
    ],
)
@pytest.mark.parametrize("target", ["MNI305", "fsaverage"])
def test_what_are_no_numbers_is_refused(sub, root, values, says, target):
    given = values(naive_mask(root, ONE, "anatomical").sum())
    with pytest.raises(ValueError, match=says):
        sub.to_template(given, target)
    if given.ndim == 1:
        with pytest.raises(ValueError, match=says):
            sub.surface_to_template(np.resize(given, 642), hemi="L")


def test_what_is_masked_is_a_hole_and_no_value(sub, root):
    mask = naive_mask(root, ONE, "anatomical")
    values = np.arange(1, mask.sum() + 1, dtype=np.float32)
    hidden = np.ma.masked_greater(values, 100)
    plain = np.where(values > 100, np.nan, values)
    assert np.array_equal(
        sub.to_template(hidden, "MNI305").dataobj, sub.to_template(plain, "MNI305").dataobj
    )
    surface = np.ma.masked_less(np.arange(642.0), 300)
    found = sub.surface_to_template(surface, hemi="L")
    assert np.array_equal(found, sub.surface_to_template(surface.filled(np.nan), hemi="L"))


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_else(sub, tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(DestinationError, match="is a file"):
            sub.to_template(np.ones(3), "MNI305", output_dir=folder)  # too few values, too
    with pytest.raises(ValueError, match="empty"):
        sub.surface_to_template({}, output_dir=tmp_path)


@pytest.mark.parametrize("content", [b"", b"no surface at all", "half"])
def test_a_damaged_file_of_freesurfer_or_templateflow_is_named(
    root, tmp_path, monkeypatch, content
):
    home = write_home(tmp_path / "templateflow", "10k", grid=SMALL)
    tree = write_tree(tmp_path / "data")
    values = np.ones(naive_mask(root, ONE, "anatomical").sum())
    with templateflow(home):
        away = load_subject("03", data_dir=tree)
        surf = tree / f"derivatives/freesurfer/{ONE}/surf"
        for path, target in (
            (surf / "lh.white", "fsaverage"),
            (surf / "lh.sphere.reg", "fsaverage"),
            (
                home / "tpl-fsaverage/tpl-fsaverage_hemi-L_den-10k_sphere.surf.gii",
                "fsaverage",
            ),
            (home / "tpl-MNI305/tpl-MNI305_T1w.nii.gz", "MNI305"),
        ):
            if not content and path.is_relative_to(home):
                continue  # TemplateFlow itself takes an empty file for none
            whole = path.read_bytes()
            # of the template of a volume, the grid is used alone
            half = whole[: 100 if target == "MNI305" else len(whole) // 2]
            path.write_bytes(half if content == "half" else content)
            with pytest.raises(BadDataError, match=path.name.replace(".", r"\.")):
                away.to_template(values, target, hemi="L")
            path.write_bytes(whole)


def test_each_function_refuses_the_other_kind_of_target(sub):
    with pytest.raises(ValueError, match="'MNI305'"):
        sub.volume_to_template(np.ones(3), "fsaverage")
    with pytest.raises(ValueError, match="'fsaverage'"):
        sub.volume_to_surface(np.ones(3), "MNI305")
    with pytest.raises(ValueError, match="'fsaverage'"):
        sub.surface_to_template(np.ones(642), "MNI305", hemi="L")


def test_surfaces_of_another_size_or_side_are_refused(sub):
    with pytest.raises(ValueError, match="642"):
        sub.surface_to_template(np.ones(643), hemi="L")
    with pytest.raises(ValueError, match="which hemisphere"):
        sub.surface_to_template(np.ones(642))
    with pytest.raises(ValueError, match="hemi='R'"):
        sub.surface_to_template({"L": np.ones(642)}, hemi="R")


def test_what_is_not_on_disk_is_named_with_the_call_that_brings_it(sub, root, tmp_path):
    values = np.ones(naive_mask(root, ONE, "anatomical").sum())
    tree = write_tree(tmp_path)
    away = load_subject("03", data_dir=tree)
    (tree / f"derivatives/freesurfer/{ONE}/mri/transforms/talairach.lta").write_text("no lta")
    with pytest.raises(ValueError, match=r"talairach\.lta: is no linear transform"):
        away.to_template(values, "MNI305")
    (tree / f"derivatives/freesurfer/{ONE}/mri/transforms/talairach.lta").unlink()
    (tree / f"derivatives/freesurfer/{ONE}/mri/transforms/talairach.lta").symlink_to("gone")
    with pytest.raises(DataNotDownloadedError, match="link"):
        away.to_template(values, "MNI305")
    (tree / f"derivatives/freesurfer/{ONE}/mri/transforms/talairach.lta").unlink()
    with pytest.raises(FileNotFoundError, match="include_freesurfer=True"):
        away.to_template(values, "MNI305")
    anatomical_path(tree).unlink()
    with pytest.raises(FileNotFoundError, match="include_anatomical=True"):
        away.to_template(values, "MNI305")


def test_a_surface_that_is_not_here_is_told_with_those_that_are(sub, root):
    values = np.ones(naive_mask(root, ONE, "anatomical").sum())
    with pytest.raises(DataNotDownloadedError, match=r"rh\.whit \(here: .*rh\.white"):
        sub.to_template(values, "fsaverage", hemi="R", surface="whit")


def test_a_template_that_cannot_be_had_is_said(sub, root, tmp_path, monkeypatch):
    """A volume then stays on its own grid; a surface has none."""
    home = write_home(tmp_path)
    (home / "tpl-MNI305" / "tpl-MNI305_T1w.nii.gz").unlink()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
    values = np.ones(naive_mask(root, ONE, "anatomical").sum())
    with pytest.warns(UserWarning, match="on the grid of the input"):
        assert sub.to_template(values, "MNI305").shape == RECIPE.grid
    with pytest.raises(OSError, match="fsaverage L 10k"):
        sub.to_template(values, "fsaverage", hemi="L")


@pytest.mark.parametrize("library", ["nilearn", "nitransforms", "templateflow"])
def test_without_a_library_it_is_named_and_the_extra_too(root, library):
    run = [sys.executable, "-c", _WITHOUT, str(root), library]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert library in said
    assert "pip install 'neurofetch[template]'" in said
