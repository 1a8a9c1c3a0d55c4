"""The beta store: the same values, readable by others, never half there, never out of date."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
import zarr

from laion_fmri.beta_store.build import _write_subject, build, ensure
from laion_fmri.beta_store.read import SessionStore, Sources, remove_store
from laion_fmri.beta_store.zarr_layout import CHUNK_VOXELS
from laion_fmri.config import stores_of
from laion_fmri.errors import CorruptFileError
from laion_fmri.volumes.masking import Voxels
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store.receipts import Journal
from tests.loader_files import GRID, make_image, naive, random_mask, write_image

if TYPE_CHECKING:
    from pathlib import Path

TRIALS = 11


def store_of(data_dir: Path) -> Path:
    return stores_of(data_dir, None) / "sub-03.zarr"


@pytest.fixture
def session(tmp_path: Path) -> tuple[Path, Sources, Voxels, np.ndarray]:
    """Folder, sources, brain and the betas as nibabel reads them."""
    betas = write_image(tmp_path / "sub" / "betas.nii.gz", make_image("<f4", TRIALS))
    mean = write_image(tmp_path / "sub" / "mean.nii.gz", make_image("<f4", 0))
    mask = random_mask()
    mask[:] |= np.arange(mask.size) > 100  # more than one chunk, the last one not full
    voxels = Voxels.from_mask(mask, GRID)
    assert len(voxels) > 2 * CHUNK_VOXELS
    assert len(voxels) % CHUNK_VOXELS
    folder = store_of(tmp_path) / "ses-01"
    return folder, Sources(tmp_path, (betas, mean)), voxels, naive(betas, mask)


def test_any_voxels_and_trials_read_as_from_the_file(session):
    folder, sources, voxels, expected = session
    store = build(folder, sources, voxels)
    rng = np.random.default_rng(3)
    for size in (1, 2, 17, len(voxels)):
        columns = np.sort(rng.choice(len(voxels), size, replace=False))
        assert np.array_equal(store.read(columns), expected[:, columns])
        for rows in (np.array([4]), np.array([9, 0, 3]), np.arange(TRIALS)[::-1]):
            assert np.array_equal(store.read(columns, rows), expected[np.ix_(rows, columns)])
    assert store.read(np.array([], dtype=int)).shape == (TRIALS, 0)


def test_batches_that_do_not_divide_the_trials(session, monkeypatch):
    folder, sources, voxels, expected = session
    chunks = -(-len(voxels) // CHUNK_VOXELS)
    monkeypatch.setattr("laion_fmri.beta_store.build._BATCH", 4 * chunks * CHUNK_VOXELS * 4)
    store = build(folder, sources, voxels)
    assert np.array_equal(store.read(np.arange(len(voxels))), expected)


def test_zarr_reads_it_without_us(session):
    folder, sources, voxels, expected = session
    build(folder, sources, voxels)
    group = zarr.open_group(folder.parent, mode="r")
    assert sorted(name for name, _ in group.members()) == ["ses-01"]
    betas = group["ses-01/betas"]
    assert betas.shape == expected.shape
    assert np.array_equal(betas[:], expected)
    assert np.array_equal(betas[3:7, 100:200], expected[3:7, 100:200])
    assert np.array_equal(group["ses-01/voxel"][:], voxels.indices)
    assert group["ses-01"].attrs["grid"] == list(GRID)


def test_xarray_reads_it_without_us(session):
    folder, sources, voxels, expected = session
    build(folder, sources, voxels)
    with xr.open_zarr(folder.parent, group="ses-01", consolidated=False) as dataset:
        assert dataset["betas"].dims == ("trial", "voxel")
        assert np.array_equal(dataset["betas"].values, expected)
        assert np.array_equal(dataset["voxel"].values, voxels.indices)


def test_it_is_opened_only_while_its_sources_are_the_same(session):
    folder, sources, voxels, _ = session
    assert SessionStore.open(folder, sources) is None
    build(folder, sources, voxels)
    assert SessionStore.open(folder, sources) is not None
    for path in sources.paths:
        before = path.stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        assert SessionStore.open(folder, sources) is None
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert SessionStore.open(folder, sources) is not None


def _receipt(tmp_path: Path, path: Path, digest: str) -> None:
    """Write down what a download would, for the file as it is now."""
    now = path.stat()
    name = path.relative_to(tmp_path).as_posix()
    journal = Journal(tmp_path / ".laion_fmri")
    journal.append(
        Receipt(
            name,
            name,
            "etag",
            now.st_size,
            now.st_mtime_ns,
            VerificationLevel.CHECKSUM,
            digest,
            time.time(),
        )
    )
    journal.close()


def test_the_same_content_fetched_again_keeps_it_by_the_receipts(session, tmp_path):
    folder, sources, voxels, _ = session
    for path in sources.paths:
        _receipt(tmp_path, path, f"sha256:{path.name}")
    build(folder, sources, voxels)
    betas = sources.paths[0]
    later = betas.stat().st_mtime_ns + 5_000_000_000
    os.utime(betas, ns=(later, later))
    assert SessionStore.open(folder, sources) is None  # touched, and no receipt for that
    _receipt(tmp_path, betas, "sha256:something else")
    assert SessionStore.open(folder, sources) is None
    _receipt(tmp_path, betas, f"sha256:{betas.name}")
    assert SessionStore.open(folder, sources) is not None


def test_changed_sources_replace_it(session):
    folder, sources, voxels, _ = session
    ensure(folder, sources, voxels)
    write_image(sources.paths[0], make_image("<f4", TRIALS + 2, seed=8))
    store = ensure(folder, sources, voxels)
    flat = np.zeros(np.prod(GRID), dtype=bool)
    flat[voxels.indices] = True
    assert np.array_equal(store.read(np.arange(len(voxels))), naive(sources.paths[0], flat))
    assert leftovers(folder) == []


def test_a_data_directory_may_be_moved(session, tmp_path):
    folder, sources, voxels, expected = session
    build(folder, sources, voxels)
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "-moved"))
    there = Sources(moved, tuple(moved / path.relative_to(tmp_path) for path in sources.paths))
    store = SessionStore.open(moved / folder.relative_to(tmp_path), there)
    assert store is not None
    assert np.array_equal(store.read(np.array([5])), expected[:, [5]])


@pytest.mark.parametrize(
    "harm",
    ["cut", "no metadata", "torn metadata", "another format", "a list", "no number", "no sources"],
)
def test_a_harmed_store_counts_as_not_there(session, harm):
    folder, sources, voxels, _ = session
    store = build(folder, sources, voxels)
    document = folder / "zarr.json"
    if harm == "cut":
        os.truncate(store.shard, store.layout.file_bytes - 1)
    elif harm == "no metadata":
        document.unlink()
    elif harm == "torn metadata":
        document.write_text(document.read_text()[:50])
    else:
        made = json.loads(document.read_text())
        about = made["attributes"]
        if harm == "another format":
            about["format"] = 0
        elif harm == "a list":
            made = [made]
        elif harm == "no number":
            about["trials"] = "all"
        else:
            about["sources"] = ["betas", "mean"]
        document.write_text(json.dumps(made))
    assert SessionStore.open(folder, sources) is None
    assert ensure(folder, sources, voxels).read(np.array([0])).shape == (TRIALS, 1)


def test_damaged_betas_leave_nothing_behind(session):
    folder, sources, voxels, _ = session
    path = sources.paths[0]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptFileError, match=r"betas\.nii\.gz"):
        build(folder, sources, voxels)
    assert not folder.exists()
    assert leftovers(folder) == []


_FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from laion_fmri.volumes.masking import Voxels
from laion_fmri.beta_store.read import Sources
from laion_fmri.beta_store.build import build
root = Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
voxels = Voxels((7, 9, 6), np.arange(300))
sources = Sources(root, (root / "sub" / "betas.nii.gz", root / "sub" / "mean.nii.gz"))
try:
    build(root / ".laion_fmri" / "store" / "sub-03.zarr" / "ses-01", sources, voxels)
except OSError as exc:
    print(type(exc).__name__, exc.errno)
"""


def test_a_file_that_may_not_grow_leaves_nothing_behind(session, tmp_path):
    """What a full disk or a quota does, by a limit on the size of files."""
    folder = session[0]
    run = [sys.executable, "-c", _FULL, "src", str(tmp_path)]
    response = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert response.startswith("OSError")
    assert not folder.exists()
    assert leftovers(folder) == []


def _build_in_process(folder, sources, indices, barrier, answers):
    barrier.wait()
    store = ensure(folder, sources, Voxels(GRID, indices))
    answers.put(float(store.read(np.arange(len(indices))).sum(dtype=np.float64)))


@pytest.mark.slow
def test_many_processes_build_at_once(session):
    folder, sources, voxels, expected = session
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(4), context.Queue()
    work = (folder, sources, voxels.indices, barrier, answers)
    processes = [context.Process(target=_build_in_process, args=work) for _ in range(4)]
    for process in processes:
        process.start()
    sums = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sums == [pytest.approx(expected.sum())] * 4
    assert leftovers(folder) == []


_SLOWLY = """
import sys, time
from pathlib import Path
import numpy as np
from laion_fmri.beta_store import build as _store_build
from laion_fmri.volumes.masking import Voxels
from laion_fmri.beta_store.read import Sources
root = Path(sys.argv[1])
spread = _store_build._spread
def slowly(*args):
    spread(*args)
    print("batch", flush=True)
    time.sleep(60)
_store_build._spread = slowly
voxels = Voxels((7, 9, 6), np.load(sys.argv[2]))
sources = Sources(root, (root / "sub" / "betas.nii.gz", root / "sub" / "mean.nii.gz"))
_store_build.build(root / ".laion_fmri" / "store" / "sub-03.zarr" / "ses-01", sources, voxels)
"""


@pytest.mark.slow
def test_a_builder_that_is_killed_leaves_no_half_store(session, tmp_path):
    folder, sources, voxels, expected = session
    np.save(tmp_path / "indices.npy", voxels.indices)
    run = [sys.executable, "-c", _SLOWLY, str(tmp_path), str(tmp_path / "indices.npy")]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        process.kill()
    assert len(leftovers(folder)) == 1  # what it was writing
    assert SessionStore.open(folder, sources) is None
    store = ensure(folder, sources, voxels)
    assert np.array_equal(store.read(np.arange(len(voxels))), expected)


def test_what_died_processes_left_is_removed_after_a_day(session):
    folder, sources, voxels, _ = session
    tmp = folder.parent.parent / ".tmp"
    for name, age in (("new-old", 2 * 86400), ("new-young", 60)):
        (tmp / name).mkdir(parents=True)
        os.utime(tmp / name, (time.time() - age,) * 2)
    (tmp / "group-old").write_text("{}")
    os.utime(tmp / "group-old", (time.time() - 2 * 86400,) * 2)
    build(folder, sources, voxels)
    assert leftovers(folder) == ["new-young"]


def test_a_group_that_is_removed_while_it_is_named_leaves_no_draft(tmp_path):
    group = store_of(tmp_path)  # never made: as if removed just now
    group.parent.mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        _write_subject(group)
    assert leftovers(group / "ses-01") == []


def test_removal_removes_it_all(session, tmp_path):
    folder, sources, voxels, _ = session
    assert not remove_store(store_of(tmp_path))
    build(folder, sources, voxels)
    assert remove_store(store_of(tmp_path))
    assert not folder.parent.exists()
    assert sources.paths[0].exists()


def leftovers(folder: Path) -> list[str]:
    tmp = folder.parent.parent / ".tmp"
    return sorted(path.name for path in tmp.glob("*"))
