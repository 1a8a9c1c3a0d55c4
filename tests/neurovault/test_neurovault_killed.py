"""kill -9 at every step of a fetch: nothing torn is left, and the next call completes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import pytest

from testbed.neurovault_maps import brain_map
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

PROCESS = Path(__file__).parents[1] / "neurovault_process.py"
STEPS = [
    "replace:before:collection_metadata.json",
    "replace:after:collection_metadata.json",
    "replace:after:collections/7.json",
    "symlink:after:claims",
    "open:after:.tmp",
    "fsync:before::3",
    "replace:before:image_6.nii.gz",
    "replace:after:image_6.nii.gz",
    "replace:before:image_6_metadata.json",
    "replace:after:image_6_metadata.json",
    "replace:before:.part",
    "replace:after:neurosynth_words",
]


def run(world, *arguments):
    command = [sys.executable, str(PROCESS), world.data_dir, "--collection", "7", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    seen = -1
    while seen != len(world.server.log):  # requests that the killed process had sent still arrive
        seen = len(world.server.log)
        time.sleep(0.1)
    return done


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_the_next_call_completes(world, theirs, step):
    world.vault.add_image(8, 7, filename="plain.nii")
    done = run(world, "--die", step, "--words")
    assert done.returncode == -signal.SIGKILL
    for path in world.root.rglob("collection_7/[!.]*.json"):  # a dot: another thread's draft
        json.loads(path.read_text())
    for path in world.root.rglob("collection_7/[!.]*.nii.gz"):
        assert nib.load(path).get_fdata().any()
    whole = {p.name for p in (world.root / "collection_7").glob("image_?.nii.gz")}
    world.server.clear_log()
    assert ids_of(world.ids([7], fetch_neurosynth_words=True)) == [5, 6, 7, 8]
    assert len(world.media()) == 4 - len(whole)
    assert nib.load(world.file(7, 8)).get_fdata().tobytes() == as_read(brain_map(8 % 6))
    world.server.clear_log()
    world.ids([7], fetch_neurosynth_words=True)
    assert world.server.log == []
    left = [
        p.name for p in (world.root / ".neurofetch").rglob("*") if p.suffix in (".tmp", ".part")
    ]
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["replace:before:image_6.nii.gz", "replace:after:image_6.nii.gz"])
def test_killed_during_overwrite_nothing_is_lost(world, step):
    world.ids([7])
    assert run(world, "--mode", "overwrite", "--die", step).returncode == -signal.SIGKILL
    world.server.clear_log()
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert world.media() == []
    assert ids_of(world.ids([7], mode="overwrite")) == [5, 6, 7]


def as_read(plain):
    return nib.Nifti1Image.from_bytes(plain).get_fdata().tobytes()
