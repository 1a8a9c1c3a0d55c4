"""In marimo: progress and results, where its program is named in NEUROFETCH_MARIMO."""

import os
import subprocess
from pathlib import Path

import pytest

from testbed.s3 import S3Server
from tests.faces import Shell
from tests.notebooks_study import STUDY

PROGRAM = os.environ.get("NEUROFETCH_MARIMO", "")
CELLS = """
import marimo
app = marimo.App()

@app.cell
def _():
    import neurofetch
    report = neurofetch.get("s3://lab/study", "data")
    return neurofetch, report

@app.cell
def _(report):
    report
    return

if __name__ == "__main__":
    app.run()
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM, reason="NEUROFETCH_MARIMO names no program of marimo"),
]


def test_marimo_shows_how_a_run_ended_and_its_report(tmp_path):
    (tmp_path / "paper.py").write_text(CELLS)
    with S3Server({"lab": STUDY}) as s3:
        home = Shell(tmp_path, s3.url)
        sources = str(Path(__file__).parents[2] / "src")
        done = subprocess.run(
            [PROGRAM, "export", "html", "paper.py", "-o", "paper.html", "--no-include-code"],
            cwd=tmp_path,
            env={**home.env, "PYTHONPATH": sources, "PYTHONWARNINGS": "default"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "paper.html").read_text()
    assert "13 fetched; 2.40 MB moved in " in page
    assert "Report of 13 files" in page
