"""nilearn's two examples with NeuroVault run when only the import is changed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["tests.neurovault_fixtures"]

HERE = Path(__file__).parent
STOP_GO = (151, 3041, 3042, 2676, 2675, 2818, 2834)


def run(name, folder):
    done = subprocess.run(
        [sys.executable, HERE / name], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_meta_analysis_of_nilearns_gallery_runs(world, tmp_path):
    for place, number in enumerate(STOP_GO):
        cid = 400 + place // 2
        if cid not in world.vault.collections:
            world.vault.add_collection(cid)
        world.vault.add_image(number, cid, map_type="T map", number_of_subjects=20 + place)
    assert run("gallery_meta_analysis.py", tmp_path) == f"7 maps, {list(STOP_GO)}\n"


@pytest.mark.slow
def test_the_components_across_studies_of_nilearns_gallery_run(world, tmp_path):
    for cid in range(500, 504):
        world.vault.add_collection(cid, images=range(cid * 10, cid * 10 + 9))
    out = run("gallery_ica.py", tmp_path)
    assert out.startswith("30 images, (30, ")
    assert out.endswith(" words\n")
