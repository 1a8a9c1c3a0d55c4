"""One volume that cannot be resampled, one weight that is no number: it costs itself alone."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest

from neurofetch.model import IncompleteError
from neurofetch.neurovault import (
    fetch_neurovault_auditory_computation_task,
    fetch_neurovault_motor_task,
    neurosynth_words_vectorized,
)
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

VALUES = np.random.default_rng(0).normal(size=(12, 14, 10)).astype("f4")
RGB = np.zeros(VALUES.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])


def packed(values, affine=None):
    affine = np.diag([4, 4, 4, 1.0]) if affine is None else affine
    return gzip.compress(nib.Nifti1Image(values, affine).to_bytes(), 1)


def without_affine():
    header = nib.Nifti1Header()
    header.set_data_shape(VALUES.shape)
    header.set_data_dtype("f4")
    header["sform_code"], header["vox_offset"], header["magic"] = 1, 352, b"n+1"
    return gzip.compress(header.binaryblock + b"\0" * 4 + VALUES.tobytes("F"))


ODD = {
    "colours": packed(RGB),
    "2 dimensions": packed(VALUES[:, :, 0]),
    "no inverse": without_affine(),
    "reaches": packed(VALUES, np.diag([1e6, 1e6, 1e6, 1])),
    "reaches 1.7 m": packed(VALUES, np.diag([143, 1, 1, 1.0])),
    "resampled": packed(VALUES, nib.affines.from_matvec(np.eye(3), [-9e5, 0, 0])),
}  # fmt: skip


@pytest.mark.parametrize("why", ODD)
def test_a_volume_that_cannot_be_resampled_is_named_and_the_rest_comes(world, why):
    """The class: one input that a library refuses ends the call."""
    world.vault.add_image(8, 7, volume=ODD[why])
    for _ in range(2):
        bunch, text = world.warned([7], resample=True)
        assert ids_of(bunch) == [5, 6, 7]
        assert "image 8: cannot be resampled" in text
        assert why in text
    with pytest.raises(IncompleteError, match="image 8"):
        world.ids([7], resample=True, on_error="raise")


def test_a_volume_that_is_here_and_cannot_be_resampled_is_named(world):
    world.vault.add_image(8, 7, volume=ODD["colours"])
    assert len(world.ids([7]).images) == 4
    bunch, text = world.warned([7], resample=True)
    assert ids_of(bunch) == [5, 6, 7]
    assert "image 8: cannot be resampled: its voxels are colours" in text
    assert len(world.ids([7]).images) == 4


def test_a_volume_with_bytes_after_its_stream_comes_and_is_resampled(world):
    world.vault.add_image(8, 7, volume=packed(VALUES) + b"garbage")
    assert np.array_equal(nib.load(world.ids([7]).images[-1]).get_fdata(), VALUES)
    assert len(world.ids([7], resample=True).images) == 4


@pytest.mark.parametrize("bad", ["?", [1], {"a": 1}, True, float("nan"), 10**400])
def test_a_weight_that_is_no_number_costs_itself(world, bad):
    body = json.dumps({"data": {"values": {"motor": 0.5, "pain": bad, "hand": None}}}).encode()
    world.server.fault(key="/neurosynth/*neurovault=6", status=200, body=body)
    bunch, text = world.warned([7], fetch_neurosynth_words=True)
    assert "image 6: pain" in text
    row = dict(zip(bunch.vocabulary.tolist(), bunch.word_frequencies[1], strict=True))
    assert row["motor"] == 0.5
    assert row.get("pain", 0) == 0
    files = [meta["ns_words_absolute_path"] for meta in bunch.images_meta]
    with pytest.warns(UserWarning, match="no numbers for pain"):
        frequencies, vocabulary = neurosynth_words_vectorized(files)
    assert np.array_equal(frequencies, bunch.word_frequencies)
    assert np.array_equal(vocabulary, bunch.vocabulary)


def test_words_of_files_are_a_matrix_as_nilearns(world, theirs):
    bunch = world.ids([7], fetch_neurosynth_words=True)
    files = [meta["ns_words_absolute_path"] for meta in bunch.images_meta]
    for options in ({}, {"dtype": np.float32}):
        mine, expected = (
            module(files, verbose=0, **options)
            for module in (neurosynth_words_vectorized, theirs.neurosynth_words_vectorized)
        )
        assert np.array_equal(mine[0], expected[0])
        assert mine[0].dtype == expected[0].dtype
        assert mine[1].tolist() == expected[1].tolist()
    with pytest.warns(UserWarning, match="no file has any word"):
        assert neurosynth_words_vectorized(["nowhere.json", None]) == (None, None)


@pytest.mark.parametrize(
    ("fetch", "number"),
    [(fetch_neurovault_auditory_computation_task, 32980), (fetch_neurovault_motor_task, 10426)],
)
def test_the_single_tasks_of_nilearns_page(world, fetch, number):
    world.vault.add_collection(457, images=[number])
    bunch = fetch(world.data_dir, 0, 5.0)
    assert ids_of(bunch) == [number]
    assert nib.load(bunch.images[0]).shape == (46, 55, 46)


def test_names_are_where_nilearn_has_them():
    from nilearn import datasets as theirs  # noqa: PLC0415

    from neurofetch import datasets  # noqa: PLC0415
    from neurofetch.datasets import neurovault  # noqa: PLC0415
    from neurofetch.datasets.neurovault import Contains  # noqa: PLC0415

    assert Contains is neurovault.Contains
    for module, other in ((datasets, theirs), (neurovault, theirs.neurovault)):
        names = [name for name in dir(other) if "neurovault" in name and not name.startswith("_")]
        assert all(hasattr(module, name) for name in names), names
    public = {name for name, value in vars(theirs.neurovault).items() if isinstance(value, type)}
    helpers = {n for n in public if getattr(theirs.neurovault, n).__module__.endswith("neurovault")}
    assert {name for name in helpers if not name.startswith("_")} <= set(neurovault.__all__)
