"""The scripts of docs/dask.md are copied from the page and run, and its job script is the true one.

Where a script asks a batch system for workers, a cluster of this machine stands in its place; it
gets the arguments only after the true class has taken them.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import time

import dask_jobqueue
import pytest

import neurofetch
from neurofetch.store.runs import read_runs
from testbed.openneuro import OpenNeuro
from testbed.ports import free_port
from tests.faces import Shell
from tests.test_docs import ROOT, add_openneuro, blocks, commands

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "dask.md"
SCRIPTS = [block for block in blocks(PAGE) if block.language == "python" and not block.skipped]
STAND_IN = """
import sys
import dask_jobqueue
from dask.distributed import LocalCluster

true = dask_jobqueue.SLURMCluster

class Here(LocalCluster):
    def __init__(self, **asked):
        with true(**asked) as cluster:
            assert "#SBATCH" in cluster.job_script()
        super().__init__(n_workers=0, threads_per_worker=asked["cores"], dashboard_address=":0")

    def scale(self, jobs):
        return super().scale(jobs)

if __name__ == "__main__":
    dask_jobqueue.SLURMCluster = Here
    with open(sys.argv[1]) as file:  # the processes of a real one do not begin with the script
        exec(compile(file.read(), sys.argv[1], "exec"), {"__name__": "script"})
"""
RAY = os.environ.get("NEUROFETCH_RAY_PYTHON", "")
"""A Python that has Ray: it is heavy, and nobody else needs it here."""


@pytest.fixture
def shell(tmp_path):
    with OpenNeuro() as site:
        add_openneuro(site)
        made = Shell(tmp_path, "")
        made.data.rmdir()
        del made.env["PYTHONWARNINGS"]  # of what the libraries of others leave open
        made.env |= {"OPENNEURO_URL": site.url}
        made.env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        yield made


def needs(text):
    return [name for name in ("joblib", "submitit", "executorlib", "parsl") if name in text]


def name_of(block):
    found = re.search(r"import (SLURM\w+)|from (\w+)[\w.]* import \w+Executor", block.text)
    named = next((one for one in found.groups() if one), "") if found else ""
    other = re.search(r"\b(submitit|ray|parsl|joblib|LocalCluster|tcp://)", block.text)
    return named or (other[1] if other else f"line {block.line}")


@pytest.mark.parametrize("block", SCRIPTS, ids=name_of)
def test_each_script_runs_as_it_stands(block, shell, tmp_path):
    for name in needs(block.text):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    python = sys.executable
    if "import ray" in block.text:
        python = RAY or pytest.skip("NEUROFETCH_RAY_PYTHON names no Python that has Ray")
    text = block.text
    with contextlib.ExitStack() as exits:
        if "tcp://login1:8786" in text:
            address = exits.enter_context(cluster_of_the_page(shell))
            text = text.replace("tcp://login1:8786", address)
        (tmp_path / "script.py").write_text(text)
        (tmp_path / "stand_in.py").write_text(STAND_IN)
        command = [python, "script.py"]
        if "SLURMCluster" in text:
            command = [python, "stand_in.py", "script.py"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=shell.env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert neurofetch.verify(tmp_path / "data", read_all=True).ok
    (run,) = read_runs(tmp_path / "data" / ".neurofetch")
    assert len(run.tasks) == run.expected
    assert {task.pid for task in run.tasks} != {os.getpid()}


@contextlib.contextmanager
def cluster_of_the_page(shell):
    """Start what the page starts in other terminals; give the address."""
    (block,) = [one for one in blocks(PAGE) if one.language == "console"]
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    started = []
    try:
        for line in commands(block):
            if line.startswith("dask "):
                here = line.replace("tcp://login1:8786", address)
                here = here.replace("--port 8786", f"--port {port} --host 127.0.0.1")
                started.append(shell.start(f"{here} --dashboard-address :0"))
                time.sleep(0.5)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.communicate(timeout=30)


def test_the_commands_run(shell, tmp_path):
    (block,) = [one for one in blocks(PAGE) if one.language == "console"]
    with cluster_of_the_page(shell) as address:
        (line,) = [one for one in commands(block) if one.startswith("neurofetch ")]
        done = shell(line.replace("tcp://login1:8786", address))
    assert done.code == 0, done.err
    assert neurofetch.verify(tmp_path / "data", read_all=True).ok


def made(name, **more):
    kind = getattr(dask_jobqueue, name)
    asked = {"cores": 1, "memory": "2GB", "walltime": "02:00:00", "queue": "short"}
    asked |= {"scheduler_options": {"dashboard_address": ":0"}, **more}
    with kind(**asked) as cluster:
        return cluster.job_script()


def test_the_job_script_is_what_would_be_submitted():
    (shown,) = [one.text for one in blocks(PAGE) if one.language == "text"]
    (script,) = [one.text for one in SCRIPTS if "SLURMCluster" in one.text]
    (extra,) = re.findall(r"worker_extra_args=(\[.*?\])", script)
    true = made("SLURMCluster", worker_extra_args=ast.literal_eval(extra))
    true = re.sub(r"^\S+ -m distributed", "PYTHON -m distributed", true, flags=re.MULTILINE)
    true = re.sub(r"tcp://\S+", "SCHEDULER", true)
    assert true.split() == shown.split()


@pytest.mark.parametrize("name", ["PBSCluster", "LSFCluster", "SGECluster"])
def test_the_other_systems_have_the_lines_of_the_table(name):
    row = next(line for line in PAGE.read_text().splitlines() if f"`{name}`" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    (walltime,) = re.findall(r'walltime="(.*?)"', cells[2])
    script = made(name, walltime=walltime).splitlines()
    lines = re.findall(r"`(#.*?)`", cells[3])
    assert len(lines) >= 3
    assert [line for line in lines if line not in script] == []
