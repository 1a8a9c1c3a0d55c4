"""The scripts of the pages about clusters: copied from there, and run."""

import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from neurofetch.engine import runs_in
from testbed.dask_cluster import scheduler_process, worker_process
from testbed.openneuro import OpenNeuro
from testbed.ports import free_port
from testbed.slurm import Slurm
from tests.faces import Shell, on_disk
from tests.test_docs import add_openneuro, blocks

DOCS = Path(__file__).parents[2] / "docs"


def scripts(page):
    """Return the scripts of a page, by their names."""
    text = (DOCS / page).read_text("utf-8")
    return dict(re.findall(r"^```bash (\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


SLURM, CLUSTER = scripts("slurm.md"), scripts("cluster.md")


@pytest.fixture
def cluster(tmp_path):
    with OpenNeuro() as site, Slurm(tmp_path, at_once=4) as slurm:
        add_openneuro(site)
        shell = Shell(tmp_path, site.url)
        shell.data.rmdir()
        shell.env |= {"OPENNEURO_URL": site.url, "AWS_ENDPOINT_URL": site.url}
        shell.env["PATH"] = f"{slurm.bin}{os.pathsep}{shell.env['PATH']}"
        shell.slurm = slurm
        yield SimpleNamespace(home=tmp_path, slurm=slurm, run=shell)


def test_all_scripts_of_the_pages_are_run():
    assert sorted(SLURM) == ["again", "own", "retry", "status", "submit"]
    assert sorted(CLUSTER) == ["dask", "laptop", "slurm", "workers", "workstation"]


@pytest.mark.slow
def test_what_is_submitted_comes_and_is_shown(cluster):
    done = cluster.run(SLURM["submit"])
    assert done.code == 0, done.err
    assert "All is here." in done.out
    assert cluster.run(SLURM["status"]).code == 0
    data = cluster.home / "ds000246"
    before = on_disk(data)
    for path in before:
        (data / path).unlink()
    for number in range(8):
        again = cluster.run(SLURM["again"].replace("array=3", f"array={number}"))
        cluster.slurm.wait(again.out.split()[-1])
    assert on_disk(data) == before


@pytest.mark.slow
def test_a_script_that_tries_again_does_so(cluster):
    script = cluster.home / "retry.sh"
    script.write_text(SLURM["retry"])
    done = cluster.run("sbatch --parsable retry.sh")
    assert set(cluster.slurm.wait(done.out.strip()).values()) == {("COMPLETED", 0)}
    assert on_disk(cluster.home / "ds000246")
    shutil.rmtree(cluster.home / "ds000246")
    # a server that is away for the first two attempts of each job
    away = 'OPENNEURO_URL=http://127.0.0.1:9 NEUROFETCH_PATIENCE=0 neurofetch get "$@"'
    wrapper = 'fetch() { if [ "${SLURM_RESTART_COUNT:-0}" -lt 1 ]; then AWAY; else neurofetch'
    wrapper = wrapper.replace("AWAY", away) + ' get "$@"; fi; }\nfetch'
    script.write_text(SLURM["retry"].replace("neurofetch get", wrapper).replace("0-7", "0-1"))
    done = cluster.run("sbatch --parsable retry.sh")
    job = done.out.strip()
    assert set(cluster.slurm.wait(job).values()) == {("COMPLETED", 0)}
    assert {one["runs"] for one in cluster.slurm.tasks(job).values()} == {2}


@pytest.mark.slow
def test_parts_of_a_script_of_ones_own_are_one_run(cluster):
    done = cluster.run(SLURM["own"])
    assert done.code == 0, done.err
    (run,) = [run for run in runs_in(cluster.home / "ds000246") if run.id == "mine"]
    assert [task.name for task in run.tasks] == ["0", "1", "2", "3"]
    assert run.over


@pytest.mark.slow
def test_one_command_for_a_laptop_a_workstation_and_slurm(cluster):
    for name in ("laptop", "workstation", "workers", "slurm"):
        done = cluster.run(CLUSTER[name])
        assert done.code == 0, (name, done.err)
    assert cluster.run("neurofetch verify ds000246 --hash").code == 0


@pytest.mark.slow
def test_the_same_by_a_cluster_of_dask_and_from_python(cluster):
    shell = cluster.run
    env = shell.env | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for name in ("PYTHONWARNINGS", "AWS_ENDPOINT_URL"):  # libraries of others leave files open
        del env[name]
    shell.env = env
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with scheduler_process(port), worker_process(address, env=env):
        texts = [CLUSTER["dask"], *(block.text for block in blocks(DOCS / "cluster.md"))]
        for number, text in enumerate(text.replace("tcp://login1:8786", address) for text in texts):
            script = cluster.home / f"script{number}"
            script.write_text(text)
            python = "import neurofetch" in text
            done = shell(f"{'python' if python else 'sh'} {script}")
            assert done.code == 0, (text, done.err)
            assert cluster.run("neurofetch verify ds000246 --hash").code == 0
            shutil.rmtree(cluster.home / "ds000246")
