"""Lazy arrays, subjects and groups on a Dask cluster of several processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
from dask.base import tokenize

from laion_fmri.errors import CorruptFileError, GridMismatchError, MixedMasksError
from laion_fmri.group import load_subjects
from laion_fmri.loader.betas import SessionBetas
from laion_fmri.subject import load_subject
from tests.loader_tree import (
    SESSIONS,
    anatomical_path,
    betas_path,
    naive_betas,
    naive_roi,
    rewrite,
    same,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of processes that a test kills
]


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=3,
            threads_per_worker=2,
            processes=True,
            dashboard_address=":0",
            local_directory=str(tmp_path_factory.mktemp("workers")),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "data", subjects=("sub-01", "sub-03"))


def whole(tree: Path, subject: str = "sub-03") -> np.ndarray:
    return np.concatenate([naive_betas(tree, one, subject) for one in SESSIONS])


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["data", "elsewhere", "read-only", "off"])
def test_values_from_several_processes_are_those_of_the_files(tree, tmp_path, client, where):
    how: dict[str, Any] = {"store_dir": tmp_path / "stores"} if where == "elsewhere" else {}
    how |= {"store": "off"} if where == "off" else {}
    how |= {"store": "read"} if where == "read-only" else {}
    sub = load_subject("03", data_dir=tree, **how)
    expected, lazy = whole(tree), sub.betas
    for _ in range(2):
        assert same(lazy.compute().values, expected)
    assert same(lazy[30:20:-1, [9, 3, 3]].values, expected[30:20:-1][:, [9, 3, 3]])
    roi = sub.get_roi_mask("V1")
    assert same(lazy[:, roi].values, expected[:, naive_roi(tree, "V1", "retinotopy")])
    means = lazy.groupby("session").mean("trial").compute()
    assert np.allclose(means[0], expected[:24].mean(axis=0), atol=1e-5, equal_nan=True)
    stored = sorted(path.name for path in sub.store.path.glob("ses-*"))
    assert stored == ([] if where in ("off", "read-only") else SESSIONS)
    assert (tree / ".laion_fmri").exists() == (where == "data")


def test_what_is_kept_in_the_cluster_and_computed_there(tree, client):
    lazy = load_subject("03", data_dir=tree).betas
    expected = whole(tree)
    kept = lazy.persist()
    assert same(kept.values, expected)
    doubled = lazy.copy(data=lazy.data.map_blocks(lambda block: block * 2, dtype=np.float32))
    assert same(doubled.values, expected * 2)
    assert same((kept - lazy).values, expected - expected)
    turned = lazy.chunk({"trial": 12, "voxel": 100})
    assert same(turned.values, expected)


def test_a_group_is_computed_at_once(tree, tmp_path, client):
    group = load_subjects("all", data_dir=tree, store_dir=tmp_path / "stores")
    lazy = group.betas
    assert list(lazy) == ["sub-01", "sub-03"]
    for name, found in zip(lazy, dask.compute(*lazy.values()), strict=True):
        assert same(found.values, whole(tree, name))
        assert found.attrs["subject"] == name


def _count_builds(folder: str) -> None:
    """Leave a file for each build in this process."""
    from laion_fmri.beta_store import build  # noqa: PLC0415 - of the worker

    fill = build._fill_shard

    def counted(*args: Any) -> None:
        tempfile.mkstemp(dir=folder)
        fill(*args)

    build._fill_shard = counted


def test_chunks_on_three_workers_build_each_session_once(tree, tmp_path, client, monkeypatch):
    monkeypatch.setattr("laion_fmri.loader.lazy._VOXELS", 128)
    (tmp_path / "builds").mkdir()
    client.run(_count_builds, str(tmp_path / "builds"))
    lazy = load_subject("03", data_dir=tree).betas
    assert lazy.data.npartitions > 20 * len(SESSIONS)
    assert same(lazy.values, whole(tree))
    assert len(os.listdir(tmp_path / "builds")) == len(SESSIONS)


# --- graphs ---------------------------------------------------------------------------------------


def test_a_graph_holds_names_and_no_data_nor_locks_nor_files(tree):
    lazy = load_subject("03", data_dir=tree).betas
    for value in dict(lazy.data.dask).values():
        assert len(pickle.dumps(value)) < 5000, value
    assert len(pickle.dumps(lazy.data)) < 12_000 * len(SESSIONS)
    lazy[:, :3].compute(scheduler="threads")  # builds the store, and begins the threads
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    lazy[:, :3].compute(scheduler="threads")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_graph_is_taken_up_where_the_data_are_not(tree):
    """As by a scheduler on a machine of its own, which passes tasks on."""
    lazy = load_subject("03", data_dir=tree).betas
    sent = pickle.dumps(lazy.data)
    tree.rename(tree.parent / "elsewhere")
    taken = pickle.loads(sent)
    for value in dict(taken.dask).values():
        pickle.loads(pickle.dumps(value))
    with (
        pytest.warns(UserWarning, match="No beta store"),
        pytest.raises(FileNotFoundError, match=r"statmap\.nii\.gz"),
    ):
        taken[:3].compute(scheduler="sync")
    (tree.parent / "elsewhere").rename(tree)
    assert same(taken.compute(scheduler="sync"), whole(tree))


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_the_array_of_a_region_reads_its_voxels_and_no_others(tree, monkeypatch, mode):
    """So memory is that of the region, also where a chunk is a whole session."""
    sub = load_subject("03", data_dir=tree, store=mode)
    asked: list[tuple[int, int]] = []
    read = SessionBetas.read_part

    def noted(self: SessionBetas, columns: Any, rows: Any, **how: bool) -> Any:
        asked.append((24 if rows is None else len(rows), len(columns)))
        return read(self, columns, rows, **how)

    monkeypatch.setattr(SessionBetas, "read_part", noted)
    roi = naive_roi(tree, "V1", "retinotopy")
    expected = whole(tree)[:, roi]
    for how in ({"roi": "V1"}, {"mask": sub.get_roi_mask("V1")}):
        del asked[:]
        lazy = sub.get_lazy_betas(**how)
        assert lazy.shape == expected.shape
        assert same(lazy.compute(scheduler="sync").values, expected)
        assert asked == [(24, int(roi.sum()))] * 2
        assert same(lazy["index"].values, sub.betas["index"].values[roi])
        assert same(lazy.x.values, sub.betas.x.values[roi])


@pytest.mark.parametrize("source", ["anatomical", "rsquare"])
def test_the_array_of_a_region_on_the_cluster(tree, client, source):
    sub = load_subject("03", data_dir=tree)
    lazy = sub.get_lazy_betas("02", roi=["V1", "FFA1"], mask_source=source)
    roi = sub.get_roi_mask(["V1", "FFA1"], mask_source=source)
    expected = naive_betas(tree, "ses-02", source=source)[:, np.asarray(roi)]
    assert same(lazy.values, expected)
    assert lazy.attrs["mask_source"] == source
    assert same(lazy[5:2:-1, [4, 0, 4]].values, expected[5:2:-1][:, [4, 0, 4]])
    other = sub.get_lazy_betas("02", roi=["FFA1"], mask_source=source)
    assert other.data.name != lazy.data.name
    group = load_subjects("all", data_dir=tree)
    for name, found in group.get_lazy_betas(iter(["ses-01"]), iter(["V1"])).items():
        assert same(found.values, group[name].get_betas("ses-01", roi="V1"))


def test_what_cannot_be_an_array_is_told_as_for_betas(tree):
    sub = load_subject("03", data_dir=tree)
    for how, error in (
        ({"session": "ses-99"}, FileNotFoundError),
        ({"session": []}, ValueError),
        ({"roi": "nowhere"}, ValueError),
        ({"mask": np.ones(3, dtype=bool)}, ValueError),
        ({"mask_source": "mean"}, ValueError),
        ({"roi": "V1", "mask": sub.get_roi_mask("V1")}, ValueError),
        ({"mask": sub.get_roi_mask("V1"), "mask_source": "rsquare"}, GridMismatchError),
    ):
        with pytest.raises(error):
            sub.get_lazy_betas(**how)


def test_chunks_are_bounded_whatever_the_size_of_a_session(tree, monkeypatch):
    lazy = load_subject("03", data_dir=tree).betas
    monkeypatch.setattr("laion_fmri.loader.lazy._VOXELS", 128)
    narrow = load_subject("03", data_dir=tree).betas
    assert max(narrow.chunks[1]) == 128
    assert max(lazy.chunks[1]) <= 8192
    assert [len(sizes) for sizes in lazy.chunks] == [2, 1]


_NAMES = """
import sys
from dask.base import tokenize
from laion_fmri.subject import load_subject
sub = load_subject("03", data_dir=sys.argv[1], store="off")
print(sub.betas.data.name, tokenize(sub.betas), tokenize(sub), tokenize(sub.brain.voxels.indices))
"""


def test_names_are_the_same_in_every_process_and_change_with_the_files(tree, tmp_path):
    def names(root: Path) -> list[str]:
        run = [sys.executable, "-c", _NAMES, str(root)]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()

    sub = load_subject("03", data_dir=tree, store="off")
    here = [sub.betas.data.name, tokenize(sub.betas), tokenize(sub)]
    assert names(tree)[:3] == names(tree)[:3] == here
    os.utime(betas_path(tree), ns=(1, 1))
    assert names(tree)[0] != here[0]
    other = write_tree(tmp_path / "other")
    os.utime(betas_path(other), ns=(1, 1))
    assert names(other)[0] != names(tree)[0]


def test_arrays_with_and_without_a_store_can_meet_in_one_graph(tree, monkeypatch):
    """Their chunks differ, so their names have to."""
    monkeypatch.setattr("laion_fmri.loader.lazy._VOXELS", 128)
    off = load_subject("03", data_dir=tree, store="off").betas
    auto = load_subject("03", data_dir=tree).betas
    assert off.chunks != auto.chunks
    both = np.stack(dask.compute(off.data, auto.data))
    assert same(both[0], both[1])
    assert same((auto - off).fillna(0).values, np.zeros(off.shape, dtype=np.float32))


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_worker_that_is_killed_changes_no_value(tree, tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        flag = tmp_path / "killed"

        def deadly(block: np.ndarray) -> np.ndarray:
            if block.size and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return block

        sub = load_subject("03", data_dir=tree, store_dir=tmp_path / "stores")
        lazy = sub.betas
        found = lazy.data.map_blocks(deadly, dtype=np.float32, meta=np.empty((0, 0), np.float32))
        assert same(client.compute(found).result(timeout=60), whole(tree))
        assert flag.exists()


def test_a_damaged_file_is_told_as_one_by_the_cluster(tree, client):
    path = betas_path(tree)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    for mode in ("auto", "off"):
        lazy = load_subject("03", data_dir=tree, store=mode).betas
        with pytest.raises(CorruptFileError, match="the gzip stream is damaged"):
            lazy[:24].compute()


def test_a_mask_that_changes_after_the_array_was_made_is_told(tree, client):
    lazy = load_subject("03", data_dir=tree, store="off").betas
    path = anatomical_path(tree)
    import nibabel as nib  # noqa: PLC0415

    values = np.asarray(nib.load(path).dataobj).copy()
    values[tuple(np.argwhere(values)[0])] = 0
    rewrite(path, values)
    with pytest.raises(GridMismatchError, match="gives other voxels here"):
        lazy.compute()


# --- objects that are sent ------------------------------------------------------------------------


def _use(sub: Any) -> tuple[Any, Any, int, str]:
    betas = sub.get_betas("ses-01", roi="V1")
    return betas, sub.get_roi_mask("V1"), os.getpid(), str(sub.store.path)


def test_a_subject_works_in_other_processes_with_its_own_places(
    tree, tmp_path, client, monkeypatch
):
    monkeypatch.chdir(tree.parent)
    sub = load_subject("03", data_dir=tree.name, store_dir="stores")
    expected = naive_betas(tree)[:, naive_roi(tree, "V1", "retinotopy")]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        answers = [pool.submit(_use, sub).result(), client.submit(_use, sub).result()]
    for betas, mask, process, place in answers:
        assert same(betas, expected)
        assert betas.mask_source == mask.mask_source == "anatomical"
        assert process != os.getpid()
        assert place == str(tmp_path / "stores" / sub.store.path.parent.name / "sub-03.zarr")
    assert len(pickle.dumps(sub)) < 2000


def test_values_from_a_worker_know_their_mask(tree, client):
    sub = load_subject("03", data_dir=tree)
    one = client.submit(sub.get_betas, "ses-01").result()
    other = client.submit(sub.get_betas, "ses-01", mask_source="rsquare").result()
    assert (one.mask_source, other.mask_source) == ("anatomical", "rsquare")
    assert one.flags.writeable
    assert same(one, naive_betas(tree))
    assert client.submit(_source, one[3:9, ::2], pure=False).result() == "anatomical"
    assert client.gather(client.scatter(one)).mask_source == "anatomical"
    width = min(one.shape[1], other.shape[1])
    with pytest.raises(MixedMasksError):
        one[:, :width] + other[:, :width]


def _source(values: Any) -> str | None:
    return getattr(values, "mask_source", None)


def _of_group(group: Any) -> dict[str, Any]:
    return {name: found.shape for name, found in group.get_betas("ses-01").items()}


def _of_brain(brain: Any) -> tuple[int, str, Any, str]:
    return len(brain), brain.source, brain.voxels.places, brain.digest


def test_a_group_and_a_brain_mask_can_be_sent(tree, client):
    group = load_subjects("all", data_dir=tree, store="off")
    brain = group["sub-03"].brain
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for send in (pool.submit, client.submit):
            assert send(_of_group, group).result() == _of_group(group)
            count, source, places, digest = send(_of_brain, brain).result()
            assert (count, source, digest) == (len(brain), "anatomical", brain.digest)
            assert same(places, brain.voxels.places)
    assert len(pickle.dumps(brain)) < 8 * len(brain) + 2000


def test_sessions_of_a_forked_process_wait_for_no_lock_of_its_parent(tree):
    """A thread that builds a store meanwhile has its lock, in the child for ever."""
    code = f"""
import os, sys, threading
from laion_fmri.beta_store import build
from laion_fmri.subject import load_subject
sub = load_subject("03", data_dir={str(tree)!r})
begun, go = threading.Event(), threading.Event()
fill = build._fill_shard
def slowly(*args):
    begun.set(); go.wait(60)
    fill(*args)
build._fill_shard = slowly
thread = threading.Thread(target=lambda: sub.get_betas("01", roi="V1"))
thread.start()
begun.wait()
child = os.fork()
if not child:
    build._fill_shard = fill
    os._exit(0 if sub.get_betas("01", roi="V1").shape[0] == 24 else 1)
code = os.waitpid(child, 0)[1]
go.set(); thread.join()
sys.exit(os.waitstatus_to_exitcode(code))
"""
    begin = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], timeout=90, check=False).returncode == 0
    assert time.monotonic() - begin < 60
