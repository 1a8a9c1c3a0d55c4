"""The examples of docs/loader.md run, in their order, on a small LAION-fMRI."""

from __future__ import annotations

import builtins
import importlib.util
import re
from pathlib import Path

import pytest

from laion_fmri import errors
from laion_fmri.errors import BadDataError
from testbed.s3 import S3Server
from tests.loader_tree import SESSIONS, naive_betas, naive_roi, same, write_tree

PAGE = Path(__file__).parents[2] / "docs" / "loader.md"


def examples() -> list[str]:
    """Return the Python blocks; those that need PyTorch only where it is."""
    text = PAGE.read_text(encoding="utf-8")
    if importlib.util.find_spec("torch") is None:
        text = re.sub(r"<!-- needs torch -->\n```python\n.*?```", "", text, flags=re.DOTALL)
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    tree = write_tree(tmp_path / "data", subjects=("sub-01", "sub-03"))
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(tree))
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
    assert "Subjects:  2 (sub-01, sub-03)" in capsys.readouterr().out


def test_the_errors_of_the_page_are_what_it_says():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (`\w+`(?:, `\w+`)*) \|", text, flags=re.MULTILINE)
    assert len(rows) == 10
    for name, bases in rows:
        error = getattr(errors, name)
        for base in re.findall(r"`(\w+)`", bases):
            assert issubclass(error, getattr(builtins, base)), name
    for name, _ in rows[-4:]:
        assert issubclass(getattr(errors, name), BadDataError)
