"""The power is cut at any moment of a run: what was not flushed may be lost, and nothing is wrong.

A run in a process of its own notes all that it does to the disk (`recorder.py`). For many moments
a folder is made that holds what a disk may hold after a cut just then (`crash.py`): each final name
in it holds whole, right bytes, the receipts can be read, and the next run brings the rest.
"""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

from neurofetch.store.receipts import read_receipts
from tests.engine_world import PART, World, noise
from tests.powercut.crash import ALL, LOST, TORN, ZERO, Disk
from tests.powercut.runs import fetch_bucket, fetch_vault

pytest_plugins = ["tests.neurovault_fixtures"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the recorder reads /proc"),
]

RECORDER = Path(__file__).with_name("recorder.py")
FATES = ((LOST,), (ZERO,), (ALL,), (TORN,), (LOST, ZERO, ALL, TORN))
CUTS = 60


def recorded(root, source, tmp_path, *how):
    """Let a process fetch; return what it did to the disk."""
    log = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.powercut.recorder", str(root), str(log), source, *how],
        cwd=RECORDER.parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return pickle.loads(log.read_bytes())


def before(root):
    """Return path, content and modification time of all that is there."""
    files = (p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def cuts(operations, seed):
    """Return moments: each rename with what is around it, and others at random."""
    rng = random.Random(seed)
    names = [n for n, one in enumerate(operations) if one[0] in ("rename", "link", "unlink")]
    near = {n + d for n in names for d in (0, 1, 2)} | {len(operations)}
    some = rng.sample(sorted(near), min(len(near), CUTS // 2))
    return sorted({*some, *(rng.randint(0, len(operations)) for _ in range(CUTS // 2))})


def crashed(operations, there, tmp_path, seed):
    """Yield folders as they may be after a cut, each with what was done to it, for messages."""
    rng = random.Random(seed)
    for number, at in enumerate(cuts(operations, seed)):
        disk = Disk(there, operations[:at])
        fate, ordered = FATES[number % len(FATES)], bool(number % 3)
        root = tmp_path / f"cut{number}"
        root.mkdir()
        disk.write_out(root, rng, fate=fate, ordered=ordered)
        last = operations[at - 1][:2] if at else "nothing"
        yield root, f"cut at {at} of {len(operations)}, after {last}: {fate}, ordered={ordered}"


def final(root):
    """Return path and content of all files but the package's own."""
    found = (p for p in root.rglob("*") if p.is_file() and ".neurofetch" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in found}


def rest(root):
    return [p.name for folder in ("partial", "claims") for p in root.rglob(f"{folder}/*")]


@pytest.mark.parametrize("how", ["fsync", "syncfs"])
@pytest.mark.parametrize("seed", range(3))
def test_a_bucket(seed, how, tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        old, new = noise(2 * PART + 9, 50), noise(2 * PART + 9, 51)
        world.put("c/changed.bin", old)
        world.put("c/kept.txt", b"kept")
        assert world.fetch().ok
        world.put("c/changed.bin", new)
        for n, size in enumerate((0, 1, 900, 5_000, 60_000, 3 * PART + 77, 2 * PART)):
            world.put(f"d{n % 2}/f{n}.bin", noise(size, n))
        there = before(world.root)
        operations = recorded(world.root, "s3", tmp_path, how)
        content = {k: world.s3.stored(k).blob.read(0, 1 << 30) for k in world.s3._buckets["b"]}
        assert final(world.root) == content
        assert {"write", how, "rename"} <= {one[0] for one in operations}
        for root, told in crashed(operations, there, tmp_path, seed):
            allowed = {key: {data} for key, data in content.items()}
            allowed["c/changed.bin"].add(old)
            for path, data in final(root).items():
                assert data in allowed[path], f"{path} is wrong: {told}"
            read_receipts(root / ".neurofetch")
            report = fetch_bucket(root)
            assert report.ok, told
            assert final(root) == content, told
            assert rest(root) == [], told


@pytest.mark.parametrize(("seed", "how"), [(0, "fsync"), (1, "syncfs")])
def test_a_neurovault(seed, how, world, tmp_path):
    there = before(tmp_path / "data") if (tmp_path / "data").exists() else {}
    (tmp_path / "data").mkdir(exist_ok=True)
    operations = recorded(tmp_path / "data", "neurovault", tmp_path, how)
    whole = final(tmp_path / "data")
    volumes = {path: data for path, data in whole.items() if path.endswith(".nii.gz")}
    assert len(volumes) == 6
    assert {"write", how, "rename"} <= {one[0] for one in operations}
    for root, told in crashed(operations, there, tmp_path, seed):
        for path, data in final(root).items():
            if path.endswith(".nii.gz"):
                assert data == volumes[path], f"{path} is wrong: {told}"
        fetch_vault(root)
        now = {p: d for p, d in final(root).items() if p.endswith(".nii.gz")}
        assert now == volumes, told
        assert rest(root) == [], told


# -- the shim itself -------------------------------------------------------------------------


def test_what_was_not_flushed_may_be_lost_and_what_was_flushed_may_not():
    write = [("create", "a", 1), ("write", 1, 0, b"x" * 9000, 7)]
    kept, lost = [*write, ("fsync", 1), ("fsync", ".")], write
    rng = random.Random(0)
    for ordered in (True, False):
        assert Disk({}, kept).names(rng, ordered=ordered) == {"a": 1}
        seen = {tuple(Disk({}, lost).names(rng, ordered=ordered)) for _ in range(40)}
        assert seen == {(), ("a",)}
    whole = Disk({}, [*write, ("syncfs",), ("write", 1, 0, b"z", 8), ("create", "b", 2)])
    assert whole.names(rng, ordered=False).keys() >= {"a"}
    assert whole.files[1].after(LOST, rng) == b"x" * 9000
    file = Disk({}, lost).files[1]
    assert [len(file.after(fate, rng)) for fate in (LOST, ZERO, ALL)] == [0, 9000, 9000]
    assert file.after(ZERO, rng) == bytes(9000)
    assert len({file.after(TORN, rng) for _ in range(20)}) > 1
    assert Disk({}, kept).files[1].after(ZERO, rng) == b"x" * 9000


def test_a_program_that_does_not_flush_is_found_out(tmp_path):
    """The oracle is not blind: a rename without a flush gives a final name without its bytes."""
    careless = [
        ("create", "t", 1),
        ("write", 1, 0, b"y" * 5000, 7),
        ("rename", "t", "final", 1),
        ("fsync", "."),
    ]
    disk = Disk({}, careless)
    disk.write_out(tmp_path, random.Random(0), fate=(ZERO,), ordered=True)
    assert (tmp_path / "final").read_bytes() == bytes(5000)
    assert os.stat(tmp_path / "final").st_mtime_ns == 7
