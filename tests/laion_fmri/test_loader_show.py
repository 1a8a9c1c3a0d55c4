"""The picture: it is drawn, it has its parts, and it says what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from laion_fmri.errors import DataNotDownloadedError, NotFiniteError, UnknownRoiError
from laion_fmri.plotting import _mean_beta, show
from laion_fmri.volumes.brain_mask import read_brain
from neurofetch.errors import UsageError
from tests.loader_tree import betas_path, glm, mean_path, naive_betas, rewrite, write_tree

if TYPE_CHECKING:
    from pathlib import Path

BLUE = (0x00, 0x72, 0xB2)  # the first outline
BLACK = (0, 0, 0)  # the eighth


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("show"))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - np.array(colour)).max(axis=2) < 12


@pytest.mark.slow
def test_three_rows_of_slices_with_outlines(root, tmp_path):
    path = show("03", "ses-01", "FFA1", tmp_path / "ffa.png", data_dir=root)
    picture = pixels(path)
    height, width, _ = picture.shape
    assert (height, width) > (800, 1200)
    outlined = near(picture, BLUE)
    rows = np.array_split(np.arange(int(height * 0.08), height), 3)
    for row in rows:
        third = picture[row, : int(width * 0.9)]
        assert 0.2 < (third.min(axis=2) < 235).mean() < 0.9  # a brain on white
        assert outlined[row, : int(width * 0.9)].sum() > 50
    assert outlined[: int(height * 0.06)].any()  # and in the legend


@pytest.mark.slow
def test_without_an_roi_each_category_is_outlined(root, tmp_path):
    path = show("sub-03", "01", out=tmp_path / "all.png", data_dir=root)
    legend = pixels(path)[:60]
    assert near(legend, BLUE).any()
    assert near(legend, BLACK).any()


def test_the_mean_beta_is_the_mean(root):
    brain = read_brain(mean_path(root))
    assert np.allclose(
        _mean_beta(betas_path(root), brain),
        naive_betas(root, source="rsquare").mean(axis=0),
        atol=1e-5,
        equal_nan=True,
    )


def test_a_map_of_nan_only_is_named(tmp_path):
    tree = write_tree(tmp_path / "tree")
    path = glm(tree, "Noiseceiling_statmap.nii.gz", "ses-01")
    rewrite(path, np.full(nib.load(path).shape, np.nan, dtype=np.float32))
    with pytest.raises(NotFiniteError, match=r"Noiseceiling_statmap\.nii\.gz: nothing to draw"):
        show("03", "01", "FFA1", tmp_path / "nan.png", data_dir=tree)


@pytest.mark.parametrize("name", ["brain.xyz", "brain"])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_read(tmp_path, name):
    with pytest.raises(UsageError, match=r"ends in one of .*\.png"):
        show("03", "01", out=tmp_path / name, data_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder; make it first"):
        show("03", "01", out=tmp_path / "no" / "brain.png", data_dir=tmp_path)


def test_what_it_needs_is_named(root, tmp_path):
    with pytest.raises(UnknownRoiError, match="FFA9"):
        show("03", "01", "FFA9", tmp_path / "x.png", data_dir=root)
    tree = write_tree(tmp_path / "tree")
    glm(tree, "Noiseceiling_statmap.nii.gz", "ses-01").unlink()
    with pytest.raises(DataNotDownloadedError, match='desc="Noiseceiling"'):
        show("03", "01", "FFA1", tmp_path / "x.png", data_dir=tree)
    assert not (tmp_path / "x.png").exists()


_COMMAND = """
import sys
from neurofetch import console
from laion_fmri.cli.show import add_show
if sys.argv[1] == "without":
    sys.modules["nilearn"] = None
parser = console.Parser(prog="laion-fmri")
add_show(parser.add_subparsers(dest="command"))
sys.exit(console.run("laion-fmri", lambda: parser, ["show", *sys.argv[2:]]))
"""


def run_command(root: Path, how: str, *argv: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-c", _COMMAND, how, "--session", "ses-01", *argv]
    variables = {**os.environ, "LAION_FMRI_DATA_DIR": str(root)}
    return subprocess.run(run, capture_output=True, text=True, check=False, env=variables)


@pytest.mark.slow
def test_the_command_draws_and_says_where(root, tmp_path):
    out = tmp_path / "brain.png"
    asked = ("--subject", "sub-03", "--roi", "FFA1", "PPA", "--out", str(out))
    done = run_command(root, "with", *asked)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(out), "")
    assert near(pixels(out), BLUE).any()
    done = run_command(root, "with", *asked, "--json")
    assert json.loads(done.stdout)["path"] == str(out)


@pytest.mark.slow
def test_the_command_ends_with_the_documented_codes(root, tmp_path):
    asked = ("--subject", "03", "--out", str(tmp_path / "x.png"))
    done = run_command(root, "with", *asked, "--roi", "FFA9")
    assert done.returncode == 3
    assert "Nearest: FFA" in done.stderr
    done = run_command(root, "without", *asked)
    assert done.returncode == 2
    assert "pip install 'neurofetch[plot]'" in done.stderr
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
def test_without_nilearn_the_extra_is_named(root):
    code = (
        "import sys; sys.modules['nilearn'] = None\n"
        "from laion_fmri.plotting import show\n"
        f"try: show('03', '01', data_dir={str(root)!r})\n"
        "except ImportError as exc: print(exc)\n"
    )
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "pip install 'neurofetch[plot]'" in said
