"""The cells of docs/notebooks.md, run in their order as a notebook, by Jupyter itself."""

import re

import nbformat
import pytest

from testbed.s3 import S3Server
from tests.faces import REFUSED, SMALL, Shell, bucket
from tests.notebook_kernel import executed, own_env
from tests.test_docs import ROOT, runnable

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "notebooks.md"


def test_the_cells_of_the_page_run_and_show_what_the_page_says(tmp_path):
    cells = [block.text for block in runnable(PAGE) if block.language == "python"]
    assert len(cells) >= 4
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as s3:
        home = Shell(tmp_path, s3.url)
        made = executed(cells, own_env(home.env), tmp_path, "jupyter", "execute", "--inplace")
    outputs = [
        output for cell in made.cells for output in cell.outputs if output.output_type != "stream"
    ]
    plan, progress, report, _ = outputs
    assert plan.data["text/plain"].startswith("<Plan of ")
    assert "<details" in plan.data["text/html"]
    assert re.match(r"[0-9]+ fetched; ", progress.data["text/plain"])
    assert "data:image/png;base64," in report.data["text/html"]
    stream = next(one for one in made.cells[2].outputs if one.get("name") == "stdout")
    assert re.fullmatch(r"[0-9]+ files were here\n", stream.text)
    assert len(nbformat.writes(made)) < 250_000
