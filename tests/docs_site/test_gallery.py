"""The gallery: each example runs, by itself, on this computer alone, and finds what was put there.

Each runs in a process of its own, in an empty home. A hook in that process and in all that it
starts refuses every address but those of this computer. What an example finds is what scikit-learn,
nilearn and MNE say, held against where the made-up data have something, and where they have none.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"
EXAMPLES = sorted(GALLERY.rglob("plot_*.py"))
RUNNER = Path(__file__).with_name("gallery_process.py")
MARK = ".. admonition:: For this gallery alone"

GUARD = '''
"""Let this process, and those that it starts, reach this computer alone."""
import ipaddress, os, sys

def refuse(event, arguments):
    if event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        return
    place = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = place[0] if isinstance(place, tuple) else place
    if event != "socket.getaddrinfo" and not isinstance(place, tuple):
        return  # a socket of this computer, by its path
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host in (None, "", "localhost", os.uname().nodename, "0.0.0.0")
    if not local:
        with open(os.environ["GALLERY_ASKED"], "a") as file:
            print(event, host, *sys.argv, file=file)
        raise OSError(f"the gallery asks {host}")

sys.addaudithook(refuse)
'''

FOUND = {
    "plot_1_choose_and_plan": (
        "plans['a session'].bytes_to_fetch > plans['betas of a session'].bytes_to_fetch > 0",
        "all('ses-31' in step.reason for step in refused)",
        "again.bytes_to_fetch == 0 and report.ok",
    ),
    "plot_2_decoding": (
        "all(found[roi] > chance[roi].max() + 0.1 for roi in ('FFA1', 'OFA', 'PPA', 'RSC'))",
        "all(found[roi] < np.quantile(chance[roi], 0.99) for roi in ('EBA', 'hMT'))",
        "all(abs(chance[roi].mean() - 0.5) < 0.06 for roi in regions)",
    ),
    "plot_3_noise_ceiling": (
        "agree > 0.4",
        "np.abs(mean - middle).max() < 0.08",
        "ceiling.max() <= 100 and ceiling.min() >= 0",
    ),
    "plot_4_rois": (
        "[kinds[k] for k in table[[1, 2, 3, 4]].argmax(axis=1)]"
        " == ['body', 'face', 'place', 'object']",
        "np.abs(table[0]).max() < 0.5",
    ),
    "plot_5_train_and_test": (
        "not (train & test).any() and test.sum() > 30",
        "not set(trials['label'][train]) & set(trials['label'][test])",
        "score.mean() > 0.3 and abs(chance.mean()) < 0.1",
    ),
    "plot_6_stream": (
        "np.array_equal(streamed, loaded)",
        "after - before < 0.05 * betas_size < kept - before",
    ),
    "plot_7_pytorch": ("scores['test'][-1] > 80",),  # what it begins with is chance
    "plot_1_meta_analysis": (
        "(np.abs(combined.get_fdata()) > height).sum()"
        " > 3 * max((np.abs(one) > height).sum() for one in zs)",
        "all(min(np.linalg.norm(np.subtract(row, place)) for place in gallery.made.STOP) < 16"
        " for row in table[table['Cluster Size (mm3)'] != ''][['X', 'Y', 'Z']].to_numpy(float))",
        "len(table[table['Cluster Size (mm3)'] != '']) == 5",
    ),
    "plot_2_words": (
        "all(min(np.linalg.norm(np.subtract(place, peaks[word])) for place in"
        " gallery.made.KINDS[word]) < 12 for word in ('hand', 'face', 'language'))",
        "{frozenset(names[k : k + 3]) for k in range(len(names))}"
        " > {frozenset(said) for said in gallery.made.SAID.values()}",
    ),
    "plot_1_first_level_glm": (
        "min(np.linalg.norm(np.subtract(xyz, place)) for place in gallery.made.FACES) < 9",
        "min(np.linalg.norm(np.subtract(nib.affines.apply_affine(z.affine,"
        " np.unravel_index(data.argmin(), data.shape)), place)) for place in gallery.made.HOUSES)"
        " < 9",
        "np.corrcoef(percent, predicted)[0, 1] > 0.5",
    ),
    "plot_2_meg_with_mne": (
        "abs(difference.get_peak()[1] - gallery.made.MEG_PEAK) < 0.03",
        "(p_values < 0.05).sum() >= 1",
        "all(times[where].min() > 50 for (where,), p in zip(clusters, p_values) if p < 0.05)",
    ),
    "plot_1_bad_line": (
        "moved > 1.5 * remote.size",
        "left < 0.6 * remote.size and report.bytes_moved <= left + 1000",
        "breaks and neurofetch.verify(folder, read_all=True).verified",
    ),
    "plot_2_mirrors": (
        "[int((table == k).sum()) for k in range(4)] == [0, 24, 35, 12]",
        "neurofetch.verify(folder / 'mine', read_all=True).verified",
    ),
    "plot_3_verify_and_repair": (
        "[said['verify'][path] for path in paths[:4]]"
        " == ['unchanged', 'differs', 'missing', 'times_changed']",
        "audits['after the repair'].verified",
        "repaired.bytes_moved == sum(os.path.getsize(run) for run in runs[:3])",
    ),
    "plot_4_lock_file": (
        "len(changed.changes) == 2 and reader.ok",
        "lock.check(place / 'reader').ok",
    ),
    "plot_5_index_and_duckdb": ("int(np.isnan(table).sum()) == 2", "made.counts['missing'] == 1"),
    "plot_6_cluster": (
        "len(run.tasks) == 6 and run.bytes_done == run.bytes_total > 0",
        "neurofetch.verify(folder, read_all=True).verified",
    ),
}
"""What is true of the names of an example when it has run."""


def needs(example: Path) -> str:
    """Return a library that the example needs and that is not here, or ""."""
    found = ast.walk(ast.parse(example.read_text(encoding="utf-8")))
    names = [one.module for one in found if isinstance(one, ast.ImportFrom) and one.module]
    found = ast.walk(ast.parse(example.read_text(encoding="utf-8")))
    names += [alias.name for one in found if isinstance(one, ast.Import) for alias in one.names]
    tops = sorted({name.partition(".")[0] for name in names})
    return next((name for name in tops if importlib.util.find_spec(name) is None), "")


@pytest.fixture
def home(tmp_path):
    """An empty home, a folder for what is temporary, and a guard at the door."""
    for name in ("home", "tmp", "guard", "matplotlib"):
        (tmp_path / name).mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    path = os.pathsep.join([str(home / "guard"), str(ROOT), str(ROOT / "src")])
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "GALLERY_ASKED": str(home / "asked"),
        "LANG": "C.UTF-8",
        # files are made one after the other here: more threads only wait for each other
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_alone_and_finds_what_is_there(example, home):
    if missing := needs(example):
        pytest.skip(f"{missing} is not installed")
    before = left_in(GALLERY)
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(example), str(home / "told")],
        cwd=home / "home",
        env=environment(home),
        input=json.dumps(FOUND[example.stem]),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((home / "told").read_text(encoding="utf-8"))
    assert told["held"] == dict.fromkeys(FOUND[example.stem], True), done.stdout
    assert told["figures"], "no picture"
    assert told["not_shown"] == 0
    assert [figure for figure in told["figures"] if "synthetic" not in figure] == []
    assert not (home / "asked").exists(), (home / "asked").read_text()
    assert str(ROOT) not in done.stdout + done.stderr, "the page would tell of this computer"
    assert left_in(home / "tmp") == []
    assert left_in(home / "home") == []
    assert left_in(GALLERY) == before


def test_the_guard_refuses_other_hosts_also_in_processes_that_are_started(home):
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ask!r}])"
    for code in (ask, start):
        subprocess.run(
            [sys.executable, "-c", code], env=environment(home), capture_output=True, check=False
        )
        assert "192.0.2.1" in (home / "asked").read_text()
        (home / "asked").unlink()


# -- what a reader sees ----------------------------------------------------------------------------


def cells(example: Path) -> list[str]:
    return re.split(r"^# %%.*\n", example.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_there_are_examples_of_each_part():
    assert len(EXAMPLES) >= 12
    assert {path.stem for path in EXAMPLES} == set(FOUND)
    for folder in {path.parent for path in EXAMPLES}:
        assert (folder / "GALLERY_HEADER.rst").is_file()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_with_what_a_researcher_wants(example):
    text = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")))
    title, line, _, *wish = text.splitlines()
    assert line == "=" * len(title)
    assert re.search(r"\byou\b", " ".join(wish), re.IGNORECASE)
    assert 2 <= len(re.findall(r"[.:!?](?:\s|$)", " ".join(wish))) <= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_one_marked_cell_starts_the_servers_and_the_rest_does_without(example):
    marked = [cell for cell in cells(example) if MARK in cell]
    assert len(marked) == 1
    assert "synthetic" in marked[0]
    assert "Leave this cell out" in " ".join(marked[0].replace("#", " ").split())
    rest = "".join(cell for cell in cells(example) if MARK not in cell)
    names = {node.id for node in ast.walk(ast.parse(rest)) if isinstance(node, ast.Name)}
    assert "gallery" not in names
    assert "testbed" not in rest


# -- as notebooks ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keep/plot_2_mirrors", "keep/plot_4_lock_file"])
def test_a_downloaded_notebook_runs(name, home):
    """What sphinx-gallery makes of an example, in Jupyter's own kernel."""
    pytest.importorskip("sphinx_gallery")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    script = home / f"{Path(name).name}.py"
    script.write_bytes((GALLERY / f"{name}.py").read_bytes())
    from sphinx_gallery.notebook import python_to_jupyter_cli  # noqa: PLC0415 - it may be absent

    python_to_jupyter_cli([str(script)])
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any("from testbed import gallery" in cell.source for cell in code)
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.km = client.create_kernel_manager()
    client.execute(cwd=str(home / "home"), env=environment(home))
    pictures = [
        output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert pictures
    assert not (home / "asked").exists(), (home / "asked").read_text()
