"""The block for Polars on the page runs where Polars is; the others run with all pages."""

import pytest

from neurofetch.index import index
from tests.oracles.trees import write
from tests.test_docs import ROOT, blocks


def test_the_block_for_polars_runs(tmp_path, monkeypatch):
    pytest.importorskip("polars")
    (block,) = [one for one in blocks(ROOT / "docs/index-files.md") if "Polars" in one.skipped]
    write({"sub-01/anat/sub-01_T1w.nii.gz": b"x", "README": b"y"}, tmp_path / "ds000001")
    index(tmp_path / "ds000001")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(block.text, "index-files.md", "exec"), namespace)
