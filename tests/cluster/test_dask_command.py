"""``--scheduler``, and ``DASK_SCHEDULER_ADDRESS``: what a user sees of a cluster, or of none."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from neurofetch.store.runs import read_runs
from testbed._tls import certify
from testbed.dask_cluster import (
    DaskCluster,
    scheduler_process,
    wait_until,
    worker_process,
)
from testbed.ports import free_port
from testbed.s3 import S3Server
from tests.cluster_world import lacking, many
from tests.faces import Shell, interrupt, make_s3, on_disk

pytestmark = pytest.mark.slow
GET = "neurofetch get s3://bucket/ds --data-dir data"
FILM = "ds/sub-0001/func/sub-0001_task-film_bold.nii.gz"


@pytest.fixture(scope="module")
def cluster():
    with DaskCluster(2) as made:
        yield made


@pytest.fixture
def s3():
    with S3Server({"bucket": many(100)}) as server:
        yield server


@pytest.fixture
def shell(tmp_path, s3):
    made = Shell(tmp_path, s3.url)
    del made.env["PYTHONWARNINGS"]  # of what Dask's own threads leave open at the end
    return made


def test_a_scheduler_is_named_by_the_flag_or_by_the_variable(cluster, shell, tmp_path):
    done = shell(f"{GET} --scheduler {cluster.address}")
    assert (done.code, done.out) == (0, "")
    assert "101 files fetched" in done.err
    assert "distributed" not in done.err
    again = shell(
        "neurofetch get s3://bucket/ds --data-dir other",
        DASK_SCHEDULER_ADDRESS=f" {cluster.address[6:]} ",
    )
    assert again.code == 0
    for folder in ("data", "other"):
        assert lacking(tmp_path / folder, many(100)) == []
        runs = read_runs(tmp_path / folder / ".neurofetch")
        assert runs[-1].expected > 1, "many tasks, not one process"


def test_the_report_and_the_events_are_documents(cluster, shell):
    done = shell(f"{GET} --scheduler {cluster.address} --json --progress json")
    assert done.code == 0
    assert len(json.loads(done.out)["files"]) == 101
    events = [json.loads(line)["event"] for line in done.err.splitlines()]
    assert events[-1] == "finished"
    assert "progress" in events


@pytest.mark.parametrize("most", [1, 2])
def test_workers_beside_a_scheduler_say_how_many_tasks_run_at_once(s3, shell, tmp_path, most):
    s3.latency = 0.1
    seen = set()
    with DaskCluster(1, threads=4) as cluster:
        process = shell.start(f"{GET} --scheduler {cluster.address} --workers {most}")
        while process.poll() is None:
            seen.add(sum(len(keys) for keys in cluster.busy().values()))
        assert process.communicate()[0] == ""
    assert process.returncode == 0
    assert max(seen) == most
    assert lacking(tmp_path / "data", many(100)) == []


def test_workers_alone_are_of_this_machine_whatever_the_variable_says(s3, shell, tmp_path):
    done = shell(f"{GET} --workers 2", DASK_SCHEDULER_ADDRESS=f"127.0.0.1:{free_port()}")
    assert done.code == 0, done.err
    assert lacking(tmp_path / "data", many(100)) == []


def test_a_scheduler_with_tls_is_met_with_the_certificates_of_dasks_settings(shell, tmp_path):
    made = certify(tmp_path)
    flags = ["--tls-ca-file", str(made.authority), "--tls-cert", str(made.certificate)]
    flags += ["--tls-key", str(made.key)]
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    settings = {f"{tls}CA_FILE": str(made.authority)}
    settings[f"{tls}CLIENT__CERT"] = str(made.certificate)
    settings[f"{tls}CLIENT__KEY"] = str(made.key)
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    with scheduler_process(port, "--protocol", "tls", *flags), worker_process(address, *flags):
        done = shell(f"{GET} --scheduler {address}", **settings)
        assert done.code == 0, done.err
        assert lacking(tmp_path / "data", many(100)) == []
        for wrong, has in ((address, {}), (address.replace("tls", "tcp"), settings)):
            done = shell(f"{GET} --scheduler {wrong}", **has)
            assert done.code == 6
            assert "no Dask scheduler answers" in done.err
            assert "distributed.comm.tls" in done.err
            assert "Traceback" not in done.err


def test_laion_takes_it_too(cluster, tmp_path):
    with make_s3() as server:
        shell = Shell(tmp_path, server.url)
        del shell.env["PYTHONWARNINGS"]
        done = shell(f"laion-fmri download --sub 03 --scheduler {cluster.address}")
        assert done.code == 0, done.err
        raw = shell(f"laion-fmri download-raw --sub 03 --scheduler {cluster.address}")
        assert raw.code == 0, raw.err
    assert len(on_disk(shell.data)) > 10


def test_ctrl_c_ends_the_tasks_too(cluster, s3, shell, tmp_path):
    s3.put(FILM, b"x" * (8 << 20))
    s3.fault(key="*film*", rate=100 << 10)
    process = shell.start(f"{GET} --scheduler {cluster.address}")
    state = tmp_path / "data" / ".neurofetch"

    def is_moving():
        runs = read_runs(state) if state.exists() else ()
        return bool(runs) and any(task.bytes_moved > 100 << 10 for task in runs[-1].tasks)

    wait_until(is_moving, 30)
    done, seconds = interrupt(process, signal.SIGINT)
    assert done.code == 130
    assert "are kept" in done.err
    assert "CommClosed" not in done.err
    assert seconds < 15
    wait_until(lambda: not cluster.busy(), 15)
    wait_until(lambda: all(task.state.is_over for task in read_runs(state)[-1].tasks), 15)


def test_a_scheduler_that_is_not_there_is_told_within_seconds(s3, shell):
    began = time.monotonic()
    done = shell(f"{GET} --scheduler tcp://127.0.0.1:{free_port()}")
    assert time.monotonic() - began < 20
    assert done.code == 6
    assert "no Dask scheduler answers at tcp://127.0.0.1:" in done.err
    assert "Nothing was fetched" in done.err
    assert not s3.requests()


def test_something_else_that_listens_there_is_told(s3, shell):
    done = shell(f"{GET} --scheduler {s3.url.removeprefix('http://')}")
    assert done.code == 6
    assert "no Dask scheduler answers" in done.err
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = shell(f"{GET} --scheduler 127.0.0.1:{silent.getsockname()[1]}")
    assert done.code == 6
    assert not s3.requests(method="LIST")


@pytest.mark.parametrize(
    "address",
    [
        "http://login1:8787/status",
        "login1",
        "tcp://login1",
        "tcp://:8786",
        "login1:0",
        "login1:99999",
        "tcp://user:s3cret@login1:8786",
        "''",
        "'tcp://a b:1'",
        "tcp://login1:8786/x",
        "inproc://1.2.3.4/1/2",
    ],
)
def test_what_is_no_address_is_told_and_nothing_is_asked(s3, shell, address):
    done = shell(f"{GET} --scheduler {address}")
    assert done.code == 2
    assert "is no address of a Dask scheduler. Nothing was done" in done.err
    assert "s3cret" not in done.err
    dry = shell(f"{GET} --dry-run --scheduler {address}")
    assert dry.code == 2
    assert not s3.requests()


def test_a_variable_that_is_no_address_is_named(s3, shell):
    done = shell(GET, DASK_SCHEDULER_ADDRESS="http://login1:8787")
    assert done.code == 2
    assert "DASK_SCHEDULER_ADDRESS: " in done.err
    assert not s3.requests()


@pytest.mark.parametrize("flag", ["--shard 0/2", "--locked x.lock", "--slurm '-p short'"])
def test_two_ways_to_fetch_exclude_each_other(s3, shell, cluster, flag):
    line = GET if "locked" not in flag else "neurofetch get --data-dir data"
    done = shell(f"{line} {flag} --scheduler {cluster.address}")
    assert done.code == 2
    assert "--scheduler" in done.err
    assert not s3.requests()


def test_the_variable_gives_way_to_flags(s3, shell, tmp_path):
    nowhere = {"DASK_SCHEDULER_ADDRESS": f"127.0.0.1:{free_port()}"}
    assert shell(f"{GET} --shard 0/1", **nowhere).code == 0
    assert shell(f"{GET} --dry-run", **nowhere).code == 0
    assert lacking(tmp_path / "data", many(100)) == []


def test_a_cluster_without_workers_is_told_and_waited_for(shell, tmp_path):
    port = free_port()
    with scheduler_process(port):
        process = shell.start(f"{GET} --scheduler 127.0.0.1:{port} --progress lines")
        said = ""
        while "no workers at" not in said and process.poll() is None:
            said += process.stderr.readline()
        with worker_process(f"tcp://127.0.0.1:{port}"):
            _, more = process.communicate(timeout=60)
    assert process.returncode == 0, more
    assert "workers are there, after" in more
    assert lacking(tmp_path / "data", many(100)) == []


def test_without_dask_the_extra_is_named(s3, shell, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'distributed':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    shell.env["PYTHONPATH"] = f"{tmp_path}:{shell.env.get('PYTHONPATH', '')}"
    done = shell(f"{GET} --scheduler 127.0.0.1:8786")
    assert done.code == 2
    assert "neurofetch[dask]" in done.err
    assert not s3.requests()


def test_nothing_of_dask_is_imported_unless_it_is_asked_for(shell):
    code = (
        "import sys, neurofetch, neurofetch._api, neurofetch.cluster.choice, neurofetch._cli; "
        "from concurrent.futures import ThreadPoolExecutor; "
        "from neurofetch.cluster import crew_of; crew_of(ThreadPoolExecutor(1)); "
        "print({'dask', 'distributed', 'tornado', 'cloudpickle'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=shell.env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
