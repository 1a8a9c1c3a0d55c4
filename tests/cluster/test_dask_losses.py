"""What can be lost or wrong on a cluster of Dask, and what is said of it and done about it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import pytest
from distributed import Client, Future

import neurofetch
from neurofetch.cluster import crew_of
from neurofetch.engine import Dataset, Fetcher, Listing, RunSettings, query
from neurofetch.errors import DestinationError, UnreachableError, UsageError
from neurofetch.model import IncompleteError, Status
from neurofetch.store.runs import read_runs
from testbed.dask_cluster import (
    DaskCluster,
    children_of,
    scheduler_process,
    wait_until,
    worker_process,
)
from testbed.ports import free_port
from testbed.s3 import Guard, S3Server
from tests.cluster_world import Aside, greedy, lacking, many

pytestmark = pytest.mark.slow
URL = "s3://bucket/ds"
SRC = Path(neurofetch.__file__).parent.parent
FILM = "ds/sub-0001/func/sub-0001_task-film_bold.nii.gz"
SCRIPT = """
import sys
import neurofetch
from distributed import Client, Future
if __name__ == "__main__":
    with Client(sys.argv[1], set_as_default=False) as client:
        neurofetch.get(sys.argv[2], sys.argv[3], client=client, progress=False)
"""


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"bucket": many(200)}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def film(s3):
    """A file of 8 MB that comes slowly."""
    s3.put(FILM, b"x" * (8 << 20))
    s3.fault(key="*film*", rate=100 << 10)
    return s3


def tasks_of(root):
    runs = read_runs(root / ".neurofetch")
    return runs[-1].tasks if runs else ()


def is_moving(root):
    """Whether a task has moved much of the film."""
    return any(task.bytes_moved > 100 << 10 for task in tasks_of(root))


def all_over(root):
    tasks = tasks_of(root)
    return bool(tasks) and all(task.state.is_over for task in tasks)


def reasons(error):
    return {one.reason for one in error.value.report.failures}


# -- workers ---------------------------------------------------------------------------------------


def test_a_worker_whose_nanny_is_killed_too_costs_a_rerun(s3, tmp_path):
    s3.latency = 0.05
    with DaskCluster(1) as cluster, worker_process(cluster.address) as nanny:
        cluster.client.wait_for_workers(2)
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        wait_until(lambda: len(s3.requests(method="GET")) > 40 and len(cluster.busy()) == 2)
        for pid in [nanny.pid, *children_of(nanny.pid)]:
            os.kill(pid, signal.SIGKILL)
        assert call.result().ok
    assert lacking(tmp_path / "d", many(200)) == []


def test_all_workers_lost_and_others_come(s3, tmp_path):
    s3.latency = 0.05
    with DaskCluster(0) as cluster:
        with worker_process(cluster.address):
            call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
            wait_until(lambda: len(s3.requests(method="GET")) > 20)
        with worker_process(cluster.address):
            assert call.result().ok
    assert lacking(tmp_path / "d", many(200)) == []


def test_a_worker_that_hangs_is_given_up_by_dask_and_its_part_comes_elsewhere(s3, tmp_path):
    s3.latency = 0.05
    settings = {"distributed.scheduler.worker-ttl": "3s"}
    with DaskCluster(2, settings=settings) as cluster:
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        wait_until(lambda: len(s3.requests(method="GET")) > 20 and cluster.busy())
        pid = cluster.send(next(iter(cluster.busy())), signal.SIGSTOP)
        try:
            assert call.result().ok
        finally:
            with contextlib.suppress(ProcessLookupError):  # its nanny has ended it
                os.kill(pid, signal.SIGKILL)
    assert lacking(tmp_path / "d", many(200)) == []


def test_workers_that_retire_hand_their_tasks_on(film, tmp_path):
    with DaskCluster(2) as cluster:
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        wait_until(lambda: is_moving(tmp_path / "d"), 30)
        film.clear_faults()
        cluster.client.retire_workers([next(iter(cluster.busy()))])
        assert call.result().ok
    assert (tmp_path / "d" / FILM.removeprefix("ds/")).stat().st_size == 8 << 20


def test_a_killed_worker_is_told_with_its_cause_and_what_to_do(film, tmp_path):
    with DaskCluster(1, settings={"distributed.scheduler.allowed-failures": 0}) as cluster:
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        wait_until(lambda: is_moving(tmp_path / "d"), 30)
        cluster.send(cluster.workers()[0])
        with pytest.raises(IncompleteError) as error:
            call.result()
    (reason,) = reasons(error)
    for words in ("was lost once", "tcp://127.0.0.1:", "memory", "job's time", "kept"):
        assert words in reason
    report = error.value.report
    assert len(report) == 202
    assert report.of(Status.FAILED)
    film.clear_faults()
    film.clear_log()
    assert neurofetch.get(URL, tmp_path / "d", progress=False).ok
    assert len(film.requests(method="GET", key="ds/sub*")) <= len(report.failures) + 3


def test_a_worker_that_needs_too_much_memory_is_ended_by_dask_and_that_is_told(s3, tmp_path):
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.memory.monitor-interval": "20ms",
    }
    dataset = Dataset(name="many", bucket="bucket", base="ds/")
    with DaskCluster(1, memory="400MB", settings=settings) as cluster:
        run = RunSettings.checked(crew=crew_of(client=cluster.client))
        with Fetcher(dataset, tmp_path, network=run.network) as fetcher:
            plan = fetcher.prepare(
                lambda: fetcher.choose(query(subject="0001"), Listing(("ds/",))), run
            )
            with pytest.raises(IncompleteError) as error:
                fetcher.run(plan, run, inspect=greedy)
    assert any("memory" in reason for reason in reasons(error))


# -- clients ---------------------------------------------------------------------------------------


def start(cluster, root):
    script = root.parent / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, str(script), cluster.address, URL, str(root)],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_a_client_that_is_gone_ends_its_tasks(film, tmp_path, number):
    with DaskCluster(2) as cluster:
        process = start(cluster, tmp_path / "d")
        wait_until(lambda: is_moving(tmp_path / "d"), 30)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        wait_until(lambda: all_over(tmp_path / "d"), 20)
        wait_until(lambda: not cluster.busy(), 20)
        film.clear_faults()
        assert neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=False).ok
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in said
        assert "CommClosed" not in said
    assert (tmp_path / "d" / FILM.removeprefix("ds/")).stat().st_size == 8 << 20


def test_a_task_that_is_cancelled_at_the_cluster_ends_there_and_is_told(film, tmp_path):
    with DaskCluster(2) as cluster:
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        wait_until(lambda: is_moving(tmp_path / "d"), 30)
        keys = {key for tasks in cluster.busy().values() for key in tasks}
        cluster.client.cancel([one for key, one in pending(cluster.client).items() if key in keys])
        with pytest.raises(IncompleteError) as error:
            call.result()
        wait_until(lambda: all_over(tmp_path / "d"), 20)
    assert any("was cancelled" in reason for reason in reasons(error))


def pending(client):
    return {key: Future(key, client) for key in list(client.futures)}


# -- schedulers ------------------------------------------------------------------------------------


def test_a_scheduler_that_is_killed_is_told_and_what_came_is_kept(film, tmp_path):
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
        scheduler_process(port) as scheduler,
        worker_process(address),
        Client(address, timeout=3, set_as_default=False) as client,
    ):
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=client, progress=False)
        wait_until(lambda: is_moving(tmp_path / "d"), 30)
        scheduler.kill()
        began = time.monotonic()
        with pytest.raises(IncompleteError) as error:
            call.result()
    assert time.monotonic() - began < 40
    assert any("scheduler tcp://127.0.0.1:" in reason for reason in reasons(error)), reasons(error)
    assert len(error.value.report) == 202
    film.clear_faults()
    assert neurofetch.get(URL, tmp_path / "d", progress=False).ok


def test_a_scheduler_that_hangs_is_told_before_anything_is_fetched(s3, tmp_path):
    port = free_port()
    with scheduler_process(port) as scheduler:
        client = Client(f"tcp://127.0.0.1:{port}", set_as_default=False)
        os.kill(scheduler.pid, signal.SIGSTOP)
        try:
            with pytest.raises(UnreachableError, match="does not answer"):
                neurofetch.get(URL, tmp_path / "d", client=client, progress=False)
        finally:
            os.kill(scheduler.pid, signal.SIGCONT)
            client.close()
    assert not s3.requests(method="GET", key="ds/sub*")


def test_a_scheduler_that_comes_back_goes_on(s3, tmp_path):
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    s3.latency = 0.05
    with scheduler_process(port) as scheduler, worker_process(address):
        client = Client(address, set_as_default=False)
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=client, progress=False)
        wait_until(lambda: len(s3.requests(method="GET")) > 20)
        scheduler.kill()
        scheduler.wait()
        with scheduler_process(port), worker_process(address):
            report = call.result()
            client.close()
    assert report.ok
    assert lacking(tmp_path / "d", many(200)) == []


# -- workers that are not like the client ----------------------------------------------------------


def failed_on(env, s3, root, before=()):
    """Return why nothing came from a cluster of one odd worker."""
    with (
        DaskCluster(0) as cluster,
        worker_process(cluster.address, env=env, before=before),
        pytest.raises(IncompleteError) as error,
    ):
        neurofetch.get(URL, root, client=cluster.client, progress=False)
    assert not s3.requests(method="GET", key="ds/sub*")
    (reason,) = reasons(error)
    return reason


def test_another_version_on_a_worker_is_told(s3, tmp_path):
    shutil.copytree(SRC / "neurofetch", tmp_path / "other" / "neurofetch")
    (tmp_path / "other" / "neurofetch" / "_version.py").write_text('__version__ = "0.0.1"\n')
    path = os.pathsep.join([str(tmp_path / "other"), *(path for path in sys.path if path)])
    reason = failed_on({"PYTHONPATH": path}, s3, tmp_path / "d")
    assert "neurofetch 0.0.1 runs on" in reason
    assert neurofetch.__version__ in reason
    assert "same version" in reason


def test_a_worker_without_the_module_is_told(s3, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'neurofetch':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    path = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
    reason = failed_on({"PYTHONPATH": path}, s3, tmp_path / "d")
    assert "no module neurofetch" in reason
    assert "Install neurofetch there" in reason


def test_a_machine_that_does_not_see_the_directory_ends_the_run(s3, tmp_path):
    unshare = shutil.which("unshare")
    hide = f'mount -t tmpfs none {tmp_path} && exec "$0" "$@"'
    before = [str(unshare), "-m", "sh", "-c", hide]
    if unshare is None or subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("a namespace for mounts cannot be made here")
    with (
        DaskCluster(0) as cluster,
        worker_process(cluster.address, before=before),
        pytest.raises(DestinationError, match="no directory on") as error,
    ):
        neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=False)
    assert "that all machines share" in str(error.value)
    assert not s3.requests(method="GET", key="ds/sub*")


def _become_nobody(url, root, endpoint):
    """Fetch once, so that all is loaded, and be another user from then on."""
    neurofetch.get(url, root, endpoint=endpoint, progress=False)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o700, 0o711, 0o755, 0o777], ids=oct)
def test_workers_of_another_user_are_told_with_their_machine(s3, tmp_path, mode):
    for folder in (tmp_path.parents[1], tmp_path.parent, tmp_path):
        folder.chmod(0o711)
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(mode)
    with DaskCluster(0) as cluster, worker_process(cluster.address, "--no-nanny"):
        warm = (URL, str(tmp_path / "warm"), s3.url)
        cluster.client.submit(_become_nobody, *warm, pure=False).result(60)
        asked = len(s3.requests(method="GET", key="ds/sub*"))
        with pytest.raises(DestinationError) as error:
            neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=False)
    said = str(error.value)
    assert f"on {socket.gethostname()}" in said
    assert str(tmp_path / "d") in said
    assert "Permission denied" in said
    assert len(s3.requests(method="GET", key="ds/sub*")) == asked
    assert neurofetch.get(URL, tmp_path / "d", progress=False).ok, "what came before hinders nobody"


def test_a_worker_with_more_threads_than_it_may_open_files_is_told(tmp_path, monkeypatch):
    objects = many(1000)
    with S3Server({"bucket": objects}) as server, DaskCluster(0) as cluster:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        server.latency = 0.05
        before = ["prlimit", "--nofile=128:128"]
        with worker_process(cluster.address, "--nthreads", "40", before=before):
            cluster.client.wait_for_workers(1, timeout=30)
            with pytest.raises(IncompleteError) as error:
                neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=False)
        told = [one for one in reasons(error) if "ulimit -n" in one]
        assert told, reasons(error)
        assert "fewer threads" in told[0]
        assert "128 files" in told[0]
        assert neurofetch.get(URL, tmp_path / "d", progress=False).ok
    assert lacking(tmp_path / "d", objects) == []


def test_a_worker_without_the_credentials_is_told(tmp_path, monkeypatch):
    key = ("AKIAEXAMPLEEXAMPLE12", "a/secret+of+this+test")
    config = tmp_path / "credentials"
    config.write_text(f"[lab]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config))
    with S3Server({"bucket": many(20)}, guard=Guard(dict([key]))) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        how = {"profile": "lab", "progress": False}
        without = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "HOME": str(tmp_path)}
        with DaskCluster(0) as cluster:
            odd = worker_process(cluster.address, env=without)
            with odd, pytest.raises(IncompleteError) as error:
                neurofetch.get(URL, tmp_path / "d", client=cluster.client, **how)
            (reason,) = reasons(error)
            assert "lab" in reason
            assert key[1] not in repr(cluster.client.get_events())
            with worker_process(cluster.address):
                assert neurofetch.get(URL, tmp_path / "d", client=cluster.client, **how).ok


# -- what cannot be sent ---------------------------------------------------------------------------


def test_what_cannot_be_sent_is_told_before_anything_is_fetched(s3, tmp_path):
    lock = threading.Lock()

    def look(temporary, want):
        lock.acquire()

    dataset = Dataset(name="many", bucket="bucket", base="ds/")
    with DaskCluster(1) as cluster:
        run = RunSettings.checked(crew=crew_of(client=cluster.client))
        with Fetcher(dataset, tmp_path, network=run.network) as fetcher:
            plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(("ds/",))), run)
            with pytest.raises(UsageError, match="cannot be sent to workers"):
                fetcher.run(plan, run, inspect=look)
    assert not s3.requests(method="GET", key="ds/sub*")


# -- all of it -------------------------------------------------------------------------------------


def test_thousands_of_files_and_two_large_ones_while_a_worker_is_killed(tmp_path, monkeypatch):
    """The small version of `python -m benchmarks cluster`."""
    objects = many(2000, size=2000, large=2)
    total = sum(len(one) if isinstance(one, bytes) else one.size for one in objects.values())
    seen = []
    with S3Server({"bucket": objects}) as server, DaskCluster(4) as cluster:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        server.fault(key="*film*", rate=8 << 20)
        killed = []

        def listen(event):
            seen.append(event)
            if not killed and getattr(event, "bytes_done", 0) > total // 3:
                killed.append(next(iter(cluster.busy())))
                cluster.send(killed[0])

        report = neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=listen)
        asked, moved = len(server.requests(method="GET")), sum(one.sent for one in server.log)
    assert killed
    assert report.ok
    assert len(report) == 2003
    assert lacking(tmp_path / "d", objects) == []
    assert neurofetch.verify(tmp_path / "d", read_all=True, progress=False).ok
    assert asked < 2200
    assert moved < 1.25 * total
