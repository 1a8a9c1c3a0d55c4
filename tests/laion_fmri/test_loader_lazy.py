"""The store as a subject uses it, and all sessions as one lazy array."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest

from laion_fmri.subject import load_subject
from testbed.laion import trial_labels
from tests.loader_tree import (
    RECIPE,
    SESSIONS,
    betas_path,
    naive_betas,
    naive_mask,
    naive_roi,
    same,
    write_tree,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("laion"))


def test_the_first_call_for_a_part_builds_the_store_and_the_second_reads_it(tmp_path):
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree)
    sub.get_betas("ses-01")
    assert not (tree / ".laion_fmri" / "store").exists()  # the whole brain is no faster from it
    first = sub.get_betas("ses-01", roi="FFA1")
    shard = tree / ".laion_fmri/store/sub-03.zarr/ses-01/betas/c/0/0"
    before = shard.stat()
    path = betas_path(tree)
    stamp = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)  # damaged, but of the same size and time: nobody looks at it again
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert same(sub.get_betas("ses-01", roi="FFA1"), first)
    assert shard.stat().st_mtime_ns == before.st_mtime_ns


def test_off_builds_no_store_and_read_uses_only_one_that_is_there(tmp_path, monkeypatch):
    tree = write_tree(tmp_path)
    load_subject("03", data_dir=tree, store="off").get_betas("01", roi="V1")
    load_subject("03", data_dir=tree, store="read").get_betas("01", roi="V1")
    monkeypatch.setenv("LAION_FMRI_STORE", "off")
    load_subject("03", data_dir=tree).get_betas("01", roi="V1")
    assert not (tree / ".laion_fmri").exists()


def test_the_store_of_all_sessions_is_built_and_removed(tmp_path):
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree)
    place = sub.build_store(n_jobs=2)
    assert sorted(path.name for path in place.iterdir()) == ["ses-01", "ses-02", "zarr.json"]
    assert same(
        load_subject("03", data_dir=tree, store="read").get_betas("02"), naive_betas(tree, "ses-02")
    )
    assert sub.remove_store()
    assert not sub.remove_store()
    assert same(sub.get_betas("02"), naive_betas(tree, "ses-02"))


def test_a_directory_that_may_not_be_written_is_read_without_a_word(tmp_path, monkeypatch):
    tree = write_tree(tmp_path)
    (tree / ".laion_fmri").write_text("no folder can be made here")
    sub = load_subject("03", data_dir=tree)
    expected = naive_betas(tree)[:, naive_roi(tree, "V1", "retinotopy")]
    with pytest.warns(UserWarning, match="No beta store for sub-03, ses-01"):
        assert same(sub.get_betas("01", roi="V1"), expected)
    with pytest.warns(UserWarning, match=r"No beta store for sub-03 \(.*is no directory"):
        assert same(sub.betas[:24, :3].values, naive_betas(tree)[:, :3])
    with pytest.raises(OSError, match=r"reading works without one.*sub-03.zarr/ses-0"):
        sub.build_store()


def test_all_sessions_as_one_lazy_array(tmp_path):
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree)
    lazy = sub.betas
    assert not (tree / ".laion_fmri").exists()  # nothing was read or built
    everything = np.concatenate([naive_betas(tree, session) for session in SESSIONS])
    assert lazy.dims == ("trial", "voxel")
    assert lazy.dtype == np.float32
    assert lazy.shape == everything.shape
    assert same(lazy.values, everything)
    assert same(lazy[20:30, 5:900:7].values, everything[20:30, 5:900:7])
    assert same(lazy[::-1, [9, 3, 3]].values, everything[::-1][:, [9, 3, 3]])
    assert same(lazy[3].values, everything[3])
    labels = trial_labels(RECIPE, "sub-03", "ses-02")
    assert lazy.sel(trial=lazy.session == "ses-02").label.values.tolist() == labels
    assert same(lazy["index"].values, np.flatnonzero(naive_mask(tree)))
    assert np.allclose(
        np.stack([lazy.x, lazy.y, lazy.z], axis=1), sub.get_voxel_coordinates(), atol=1e-6
    )
    means = lazy.groupby("session").mean("trial").compute()
    expected = everything[:24].mean(axis=0)
    assert np.allclose(means.sel(session="ses-01"), expected, atol=1e-5, equal_nan=True)
    assert lazy.attrs["mask_source"] == "anatomical"


def test_a_store_that_goes_away_while_it_is_used(tmp_path):
    """Opened here, removed or replaced by another process, then read."""
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree)
    expected = naive_betas(tree)[:, naive_roi(tree, "V1", "retinotopy")]
    columns = np.flatnonzero(sub.get_roi_mask("V1"))
    betas = sub.store.session("ses-01")
    opened = betas.ensure_store()
    betas._store = lambda **_: opened  # as between opening and reading
    sub.remove_store()
    assert same(betas.read(columns), expected)
    sub.build_store()
    os.truncate(opened.shard, 100)
    assert same(betas.read(columns), expected)
    lazy = sub.betas
    sub.remove_store()
    assert same(lazy[:24].values[:, columns], expected)


def test_a_subject_and_its_lazy_array_survive_pickling(root):
    sub = pickle.loads(pickle.dumps(load_subject("03", data_dir=root)))
    assert sub.get_sessions() == SESSIONS
    lazy = pickle.loads(pickle.dumps(sub.betas))
    assert same(lazy[:24, :50].values, naive_betas(root)[:, :50])


def test_a_store_that_only_its_builder_may_read_is_passed_over_without_a_word():
    """As after another user's umask of 077, in a directory that several share."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = write_tree(Path(folder) / "data")
        sub = load_subject("03", data_dir=tree)
        expected = sub.get_betas("01", roi="FFA1")
        store = tree / ".laion_fmri" / "store"
        for place in (store / "sub-03.zarr" / "ses-01", store / ".tmp"):
            place.chmod(0o000)
        try:
            if os.geteuid() == 0:  # root may read everything: be somebody else
                os.seteuid(65534)
            assert same(sub.get_betas("01", roi="FFA1"), expected)
        finally:
            os.seteuid(os.getuid())
            for place in (store / "sub-03.zarr" / "ses-01", store / ".tmp"):
                place.chmod(0o755)
