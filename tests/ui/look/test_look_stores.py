"""A session of LAION-fMRI as the bucket has it; its beta store answers courses."""

from __future__ import annotations

import os
import shutil

import nibabel
import numpy as np
import pytest

from laion_fmri.subject import load_subject
from neurofetch.ui.look.places import Place, opened
from neurofetch.ui.look.stores import stored_course
from tests.loader_tree import betas_path, naive_mask, write_tree
from tests.look_world import Page, image_of


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A data directory with a session whose store was built."""
    root = write_tree(tmp_path_factory.mktemp("laion") / "data")
    subject = load_subject("sub-03", data_dir=root)
    subject.get_betas("ses-01", roi=subject.get_available_rois()[0])
    assert (root / ".laion_fmri" / "store" / "sub-03.zarr" / "ses-01").is_dir()
    return root


def place_of(root, top=None):
    path = betas_path(root)
    top = top or root
    return Place(top, tuple(path.relative_to(top).parts))


def course(place, voxel):
    with opened(place) as file:
        grid = nibabel.load(place.whole).shape[:3]
        return stored_course(place, file, grid, voxel)


def inside_and_outside(root):
    mask = naive_mask(root).reshape(nibabel.load(betas_path(root)).shape[:3])
    return [tuple(map(int, np.argwhere(mask == side)[7])) for side in (True, False)]


@pytest.mark.parametrize("in_a_folder", [False, True])
def test_the_store_has_what_nibabel_reads_in_the_file(tree, in_a_folder):
    place = place_of(tree, tree.parent if in_a_folder else None)
    data = np.asarray(nibabel.load(betas_path(tree)).dataobj)
    inside, outside = inside_and_outside(tree)
    assert np.array_equal(course(place, inside), data[inside])
    assert course(place, outside) is None


def test_the_page_shows_the_same_inside_and_outside(tree):
    page = Page(tree)
    path = place_of(tree).path
    data = nibabel.load(betas_path(tree))
    told = page.of(path)["volume"]
    assert (told["unit"], told["seconds_per_frame"]) == ("beta", None)
    for voxel in inside_and_outside(tree):
        i, j, k = voxel
        got = page.of(path, "/course", i=i, j=j, k=k)
        wanted = np.asarray(data.dataobj)[voxel]
        assert np.array_equal(np.array(got["values"], float), wanted, equal_nan=True)
    last = data.shape[3] - 1
    answer = image_of(page.volume(path, frame=last))
    wanted = np.asarray(data.dataobj[..., last])
    assert np.array_equal(answer.dataobj, wanted, equal_nan=True)


def replace(store, old, new):
    document = (store / "zarr.json").read_bytes()
    assert old in document
    (store / "zarr.json").write_bytes(document.replace(old, new))


def link(store):
    store.rename(store.parent / "aside")
    store.symlink_to("aside")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


HARMS = {
    "gone": lambda store: os.unlink(store / "betas/c/0/0"),
    "cut": lambda store: os.truncate(store / "betas/c/0/0", 1000),
    "of no voxels": lambda store: os.truncate(store / "voxel/c/0", 0),
    "no JSON": lambda store: (store / "zarr.json").write_text("{"),
    "of another version": lambda store: replace(store, b'"format": 1', b'"format": 2'),
    "of many trials": lambda store: replace(store, b'"trials": ', b'"trials": 99999999999'),
    "of no number": lambda store: replace(store, b'"trials": ', b'"trials": -'),
    "a link": link,
    "a pipe": lambda store: pipe(store / "betas/c/0/0"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("harm", [*HARMS, "the file was touched"])
def test_a_store_that_is_harmed_or_of_another_file_is_not_there(tmp_path, tree, harm):
    root = tmp_path / "data"
    shutil.copytree(tree, root)  # with its times
    inside, _ = inside_and_outside(root)
    place = place_of(root)
    assert course(place, inside) is not None
    if harm in HARMS:
        HARMS[harm](root / ".laion_fmri" / "store" / "sub-03.zarr" / "ses-01")
    else:
        os.utime(betas_path(root), (1, 1))
    assert course(place, inside) is None
    i, j, k = inside
    wanted = np.asarray(nibabel.load(betas_path(root)).dataobj)[inside]
    got = Page(root).of(place.path, "/course", i=i, j=j, k=k)["values"]
    assert np.array_equal(got, wanted)
