"""The examples of docs/loader.md run, in their order, on a small LAION-fMRI."""

from __future__ import annotations

import builtins
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from laion_fmri import errors
from laion_fmri.errors import BadDataError
from testbed.s3 import S3Server
from tests.loader_tree import SESSIONS, naive_betas, naive_roi, same, write_tree

PAGE = Path(__file__).parents[2] / "docs" / "loader.md"


def examples() -> list[str]:
    """Return the Python blocks; those that need a library only where it is."""
    text = PAGE.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- needs (\w+) -->", text):
        if importlib.util.find_spec(name) is None:
            block = rf"<!-- needs {name} -->\n```python\n.*?```"
            text = re.sub(block, "", text, flags=re.DOTALL)
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    tree = write_tree(tmp_path / "data", subjects=("sub-01", "sub-03"))
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(tree))
    monkeypatch.setenv("LAION_FMRI_ACCEPT_LICENSE", "CC0-1.0")  # at a terminal one is asked
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = examples()
    assert len(blocks) >= 9
    files = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
    with S3Server({"laion-fmri": {key: path.read_bytes() for key, path in files.items()}}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)

    assert names["sub"].get_sessions() == SESSIONS
    roi = naive_roi(tree, "FFA1", "face")
    assert same(names["both"]["ses-02"], naive_betas(tree, "ses-02")[:, roi])
    assert (tmp_path / "mean-beta.nii.gz").exists()
    assert (tree / ".laion_fmri/store/sub-03.zarr/ses-02/zarr.json").exists()
    assert names["session"]["betas"].shape == naive_betas(tree).shape
    assert names["mean"].shape == (2, roi.sum())
    told = capsys.readouterr().out
    assert "Subjects:  2 (sub-01, sub-03)" in told
    stored = tmp_path / "stores" / names["labs"].store.path.parent.name / "sub-03.zarr"
    assert names["labs"].store.path == stored
    assert sorted(path.name for path in stored.glob("ses-*")) == SESSIONS
    assert "sub-01, ses-02" in told
    if "means" in names:
        expected = [
            np.concatenate([naive_betas(tree, one, subject) for one in SESSIONS]).mean(axis=0)
            for subject in ("sub-01", "sub-03")
        ]
        for found, right in zip(names["means"], expected, strict=True):
            assert np.allclose(found, right, atol=1e-5, equal_nan=True)


@pytest.mark.slow
def test_the_array_of_jobs_of_the_page_builds_all_stores(tmp_path, shell):
    tree = write_tree(tmp_path / "data")
    (script,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert script.startswith("#!/bin/bash\n#SBATCH --array=1-")
    (tmp_path / "job.sh").write_text(script)
    jobs = {"LAION_FMRI_DATA_DIR": str(tree), "SCRATCH": str(tmp_path / "scratch")}
    for number in ("1", "2"):
        done = shell("bash job.sh", SLURM_ARRAY_TASK_ID=number, **jobs)
        assert done.code == 0, done.err
    assert shell("bash job.sh", SLURM_ARRAY_TASK_ID="3", **jobs).code == 3  # there are two
    found = (tmp_path / "scratch" / "stores").glob("data-*/sub-03.zarr/ses-*")
    assert sorted(path.name for path in found) == SESSIONS


def test_the_errors_of_the_page_are_what_it_says():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (`\w+`(?:, `\w+`)*) \|", text, flags=re.MULTILINE)
    assert len(rows) == 11
    for name, bases in rows:
        error = getattr(errors, name)
        for base in re.findall(r"`(\w+)`", bases):
            assert issubclass(error, getattr(builtins, base)), name
    for name, _ in rows[-4:]:
        assert issubclass(getattr(errors, name), BadDataError)
