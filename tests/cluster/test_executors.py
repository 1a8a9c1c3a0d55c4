"""``executor=``: one plan in many tasks, whoever runs them; one report, and the same directory."""

import json
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

import neurofetch
from laion_fmri.download import download
from neurofetch.cluster.crew import ExecutorCrew, checked_crew
from neurofetch.cluster.spread import _Outages
from neurofetch.cluster.tasks import News, TaskDone, run_task
from neurofetch.engine import (
    Bucket,
    Dataset,
    Fetcher,
    Listing,
    RunSettings,
    S3Source,
    query,
    runs_in,
)
from neurofetch.errors import DestinationError, DiskFullError, UsageError
from neurofetch.events import (
    FileDone,
    Finished,
    NetworkAway,
    NetworkBack,
    Planned,
    Progress,
    Waiting,
)
from neurofetch.model import IncompleteError, Status
from neurofetch.store.runs import attend_run, begin_run
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Generated, S3Object, S3Server
from tests.cluster_world import many
from tests.engine_world import until
from tests.faces import LICENSE, Shell, make_s3, on_disk

MIB = 1 << 20
URL = "s3://bucket/ds"


def objects(subjects=12, runs=8, large=3):
    """A data set of small files, and of some that come in parts."""
    found = {"ds/dataset_description.json": b"{}", "ds/participants.tsv": b"participant_id\n"}
    for sub in range(subjects):
        for run in range(runs):
            stem = f"ds/sub-{sub:02}/func/sub-{sub:02}_task-rest_run-{run}_bold"
            found[f"{stem}.nii.gz"] = stem.encode() * (run + 1)
            found[f"{stem}.json"] = b'{"RepetitionTime": 2}'
    for sub in range(large):
        key = f"ds/sub-{sub:02}/anat/sub-{sub:02}_T1w.nii.gz"
        found[key] = S3Object(Generated(40 * MIB, seed=sub), part_size=8 * MIB, checksum=None)
    return found


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"bucket": objects()}) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "NEUROFETCH_RUN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def spawned(count):
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


class Bare:
    """Something with `submit` and no more, whose futures know `done` and `result` alone."""

    class Handle:
        def __init__(self, call):
            self._value = None
            self._thread = threading.Thread(target=self._run, args=(call,))
            self._thread.start()

        def _run(self, call):
            self._value = call()

        def done(self):
            return not self._thread.is_alive()

        def result(self):
            self._thread.join()
            return self._value

    def submit(self, fn, /, *args):
        return self.Handle(lambda: fn(*args))


class Carrying(Executor):
    """Runs at once what has gone through pickle both ways, as other machines get it."""

    def __init__(self):
        self.sizes = []
        self.tasks = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        packed = pickle.dumps((fn, args))
        self.sizes.append(len(packed))
        self.tasks.append(args[0])
        again, given = pickle.loads(packed)
        future.set_result(pickle.loads(pickle.dumps(again(*given, **kwargs))))
        return future


def loky(count):
    return pytest.importorskip("joblib.externals.loky").get_reusable_executor(count)


KINDS = {
    "threads": lambda: ThreadPoolExecutor(4),
    "processes": lambda: spawned(2),
    "loky": lambda: loky(2),
    "no more than submit": Bare,
    "through pickle": Carrying,
}


def tree(root):
    return {path: (root / path).read_bytes() for path in on_disk(root)}


def rows(report):
    return [(one.path, one.status, one.size, one.verification) for one in report]


@pytest.mark.parametrize("kind", KINDS)
def test_any_executor_makes_the_same_directory_and_the_same_report(kind, s3, tmp_path):
    alone = neurofetch.get(URL, tmp_path / "alone", progress="none")
    events = []
    executor = KINDS[kind]()
    report = neurofetch.get(URL, tmp_path / "many", executor=executor, progress=events.append)
    getattr(executor, "shutdown", bool)()
    assert rows(report) == rows(alone)
    assert tree(tmp_path / "many") == tree(tmp_path / "alone")
    assert neurofetch.verify(tmp_path / "many", read_all=True, progress="none").ok
    assert [type(one) for one in events if isinstance(one, Planned | Finished)] == [
        Planned,
        Finished,
    ]
    done = [one.outcome.path for one in events if isinstance(one, FileDone)]
    assert sorted(done) == sorted(one.path for one in report)
    last = [one for one in events if isinstance(one, Progress)][-1]
    assert (last.files_done, last.bytes_done) == (last.files, last.bytes_total)
    assert last.files == len(report)


def test_what_is_here_is_not_asked_for_again(s3, tmp_path):
    with ThreadPoolExecutor(4) as executor:
        first = neurofetch.get(URL, tmp_path, executor=executor, progress="none")
        s3.clear_log()
        report = neurofetch.get(URL, tmp_path, executor=executor, progress="none")
    assert {one.status for one in report} == {Status.KEPT}
    assert [one.path for one in report] == [one.path for one in first]
    assert not [one for one in s3.requests("GET") if one.key]


def test_only_what_is_missing_becomes_tasks(s3, tmp_path):
    neurofetch.get(URL, tmp_path, progress="none")
    (tmp_path / "sub-03/func/sub-03_task-rest_run-2_bold.nii.gz").unlink()
    carrying = Carrying()
    report = neurofetch.get(URL, tmp_path, executor=carrying, progress="none")
    assert len(carrying.tasks) == 1
    assert len(carrying.tasks[0].plan) == 1
    assert len(report.of(Status.FETCHED)) == 1
    assert len(report) == len(objects())


def test_verify_reads_each_part_where_its_task_is(s3, tmp_path):
    neurofetch.get(URL, tmp_path, progress="none")
    bad = tmp_path / "sub-01/anat/sub-01_T1w.nii.gz"
    when = bad.stat()
    with bad.open("r+b") as file:
        file.write(b"not these bytes")
    os.utime(bad, ns=(when.st_atime_ns, when.st_mtime_ns))
    with spawned(2) as executor:
        report = neurofetch.get(URL, tmp_path, executor=executor, verify=True, progress="none")
    assert [one.path for one in report.of(Status.FETCHED)] == ["sub-01/anat/sub-01_T1w.nii.gz"]
    assert neurofetch.verify(tmp_path, read_all=True, progress="none").ok


def test_overwrite_replaces_each_file_once(s3, tmp_path):
    neurofetch.get(URL, tmp_path, progress="none")
    s3.clear_log()
    with ThreadPoolExecutor(3) as executor:
        report = neurofetch.get(URL, tmp_path, executor=executor, overwrite=True, progress="none")
    assert {one.status for one in report} == {Status.FETCHED}
    small = [one.key for one in s3.requests("GET") if one.key and "T1w" not in one.key]
    assert len(small) == len({*small}) == len(objects()) - 3


def test_a_task_that_runs_again_replaces_nothing_that_it_replaced_before(s3, tmp_path):
    neurofetch.get(URL, tmp_path, progress="none")
    carrying = Carrying()
    neurofetch.get(URL, tmp_path, executor=carrying, overwrite=True, progress="none")
    (tmp_path / ".neurofetch/runs" / carrying.tasks[0].job.run).mkdir(exist_ok=True)
    s3.clear_log()
    for task in carrying.tasks:
        done = run_task(task)
        assert done.error is None
        assert {one.status for one in done.outcomes} == {Status.KEPT}
    assert not [one for one in s3.requests("GET") if one.key]


def test_tasks_of_one_process_go_on_with_the_connections_of_the_last_one(tmp_path, monkeypatch):
    files = {f"ds/sub-{n:04}/func/sub-{n:04}_task-a_bold.json": b"{}" for n in range(400)}
    with S3Server({"bucket": files}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        carrying = Carrying()  # which runs one after the other
        neurofetch.get(URL, tmp_path / "many", executor=carrying, progress="none")
        tasks = len(carrying.tasks)
        made = len({one.connection for one in s3.requests("GET") if one.key})
        s3.clear_log()
        neurofetch.get(URL, tmp_path / "one", progress="none")
        alone = len({one.connection for one in s3.requests("GET") if one.key})
    assert tasks > 5
    assert made <= 2 * alone + tasks


def test_receipts_are_in_order_also_where_a_task_need_not_read_them(s3, tmp_path):
    """A file that was here before, one that is new, and one that came while its task waited."""
    neurofetch.get(URL, tmp_path, subject="03", progress="none")
    (tmp_path / "sub-03/func/sub-03_task-rest_run-2_bold.nii.gz").unlink()
    carrying = Carrying()
    report = neurofetch.get(URL, tmp_path, executor=carrying, workers=64, progress="none")
    assert report.ok
    assert {task.new for task in carrying.tasks} == {True, False}
    gone = tmp_path / "sub-04/func/sub-04_task-rest_run-1_bold.nii.gz"
    gone.unlink()
    (tmp_path / ".neurofetch/runs" / carrying.tasks[0].job.run).mkdir(exist_ok=True)
    for task in carrying.tasks:
        s3.clear_log()
        assert run_task(task).error is None
        assert len([one for one in s3.requests("GET") if one.key]) <= 1
    assert gone.is_file()
    audit = neurofetch.verify(tmp_path, read_all=True, progress="none")
    assert audit.ok
    assert audit.verified
    kept = neurofetch.get(URL, tmp_path, progress="none")
    assert {one.status for one in kept} == {Status.KEPT}


# -- what a run may have is divided --------------------------------------------------------------


def test_the_connections_of_all_tasks_together_are_those_of_one_run(s3, tmp_path):
    carrying = Carrying()
    neurofetch.get(URL, tmp_path, executor=carrying, workers=8, n_jobs=4, progress="none")
    for task in carrying.tasks:
        assert task.options.connections <= 384
    # `Carrying` ends each task before the next begins, so each may have what all may have.
    slow = _Late()
    neurofetch.get(
        URL, tmp_path, executor=slow, workers=8, limit_rate=80e6, overwrite=True, progress="none"
    )
    assert len(slow.tasks) >= 3
    most = max(slow.together, key=len)
    assert len(most) == min(8, len(slow.tasks))
    assert sum(task.options.connections for task in most) <= 384
    assert sum(task.options.bulk_connections for task in most) <= 64
    assert math.isclose(sum(task.line.limit_rate for task in most), 80e6, rel_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [65, 1000])
def test_more_workers_than_connections_have_no_more_than_these(workers, tmp_path, monkeypatch):
    files = {f"ds/sub-{n // 100:02}/{n:04}.json": b"%d" % n for n in range(1100)}
    with S3Server({"bucket": files}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        slow = _Late(0.01)
        neurofetch.get(URL, tmp_path, executor=slow, workers=workers, progress="none")
    assert len(slow.tasks) > 64
    for some in slow.together:
        assert sum(task.options.connections for task in some) <= 384
        assert sum(task.options.whole_connections for task in some) <= 64
        assert sum(task.options.bulk_connections for task in some) <= 64


class _Growing(ExecutorCrew):
    """Runs more at once the more was submitted, as a cluster does whose workers come in time."""

    grows = True

    def __init__(self, executor, steps):
        self.steps = steps
        super().__init__(executor, 1)

    @property
    def at_once(self):
        told = len(self._executor.tasks)
        return next(width for most, width in reversed(self.steps) if told >= most)

    @at_once.setter
    def at_once(self, most):
        pass


@pytest.mark.parametrize(
    "steps",
    [[(0, 1), (1, 4), (5, 8)], [(0, 2), (2, 8)], [(0, 1), (3, 16)], [(0, 8), (3, 2)], [(0, 3)]],
    ids=["1-4-8", "2-8", "1-16", "8-2", "3"],
)
def test_no_task_gets_less_than_its_share_while_a_cluster_grows(tmp_path, monkeypatch, steps):
    slow = _Late()
    run = RunSettings.checked(crew=_Growing(slow, steps), limit_rate=80e6)
    dataset = Dataset(name="d", bucket="bucket", base="ds/")
    with S3Server({"bucket": many(200)}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        _fetch(dataset, tmp_path, run)
    widest = min(len(slow.tasks), max(width for _, width in steps))
    assert len(slow.tasks) > 8, "there is work for those that come later"
    assert min(task.line.limit_rate for task in slow.tasks) >= 80e6 / widest * 0.99
    for together in slow.together:
        assert sum(task.line.limit_rate for task in together) <= 80e6 * 1.01


def _fetch(dataset, root, run):
    with Fetcher(dataset, root, network=run.network) as fetcher:
        plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(("ds/",))), run)
        assert fetcher.run(plan, run).ok


_BACK = NetworkBack("a", 5)


def _away(server, seconds=3.0, patience=900.0):
    return NetworkAway(server, "refused", seconds, patience)


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ([(0, _away("a")), (1, _away("a")), (2, _away("a")), (0, _away("a", 4.0))], [0, 3]),
        ([(0, _away("a")), (1, _away("b"))], [0, 1]),
        (
            [(0, _away("a")), (1, _away("a")), (1, NetworkBack("a", 5)), (0, NetworkBack("a", 5))],
            [0, 3],
        ),
        ([(0, _away("a")), (0, _BACK), (1, _away("a"))], [0, 1, 2]),
        ([(0, _away("a", 0.0, 0.0)), (1, _away("a", 0.0, 0.0)), (1, _away("b", 0.0, 0.0))], [0, 2]),
        ([(7, _away("a")), (1, _away("a")), (2, _away("a"))], [0, 1]),
        ([(0, _BACK)], []),
        ([(0, Waiting("x", "h")), (1, Waiting("x", "h"))], [0, 1]),
    ],
    ids=["each", "two-servers", "back", "again", "unheard", "ended", "back-alone", "others"],
)
def test_an_outage_that_all_tasks_notice_is_told_once(heard, told):
    outages = _Outages()
    new = [outages.is_new(News("run", number, event), range(7)) for number, event in heard]
    assert [number for number, is_new in enumerate(new) if is_new] == told


class _Late(Carrying):
    """Runs tasks a moment after they were submitted, so that many are under way at once."""

    def __init__(self, seconds=0.05):
        super().__init__()
        self.together = []
        self._now = []
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(1)

    def submit(self, fn, /, *args, **kwargs):
        task = args[0]
        self.tasks.append(task)
        self._now.append(task)
        self.together.append(list(self._now))

        def run():
            time.sleep(self._seconds)
            try:
                return fn(*args, **kwargs)
            finally:
                self._now.remove(task)

        return self._pool.submit(run)


@pytest.fixture
def site(monkeypatch):
    with OpenNeuro() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "OPENNEURO_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        yield server


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_site_that_streams_few_files_at_once_is_asked_by_all_tasks_for_so_few(
    kind, site, tmp_path
):
    files = {f"sub-{n:02}/beh/sub-{n:02}_events.tsv": b"onset\n%d\n" % n for n in range(40)}
    files |= {
        f"sub-{n:02}/anat/sub-{n:02}_T1w.nii.gz": Generated(3 * MIB, seed=n) for n in range(4)
    }
    site.add("ds000001", {"1.0.0": {**small_tree(), **files}}, export_git=False)
    site.latency = 0.02
    executor = ThreadPoolExecutor(12) if kind == "threads" else spawned(6)
    with executor:
        report = neurofetch.get("ds000001", tmp_path, executor=executor, progress="none")
    assert report.ok
    assert set(files) <= on_disk(tmp_path)
    assert 1 < site.peak("GET") <= 4
    assert neurofetch.verify(tmp_path, read_all=True, progress="none").ok
    assert len(site.requests("POST")) == 1  # nobody lists again


def test_a_private_data_set_is_fetched_by_tasks_and_no_token_travels(site, tmp_path, monkeypatch):
    site.add("ds000002", {"1.0.0": small_tree()}, public=False)
    token = site.grant("ds000002")
    monkeypatch.setenv("OPENNEURO_API_KEY", token)
    carrying = Carrying()
    report = neurofetch.get("ds000002", tmp_path, executor=carrying, progress="none")
    assert report.ok
    for task in carrying.tasks:
        packed = pickle.dumps(task)
        assert token.encode() not in packed
        assert b"Signature" not in packed


@pytest.mark.slow
def test_how_far_processes_are_is_read_from_their_records(s3, tmp_path):
    """No channel leads from them to the caller but the data directory."""
    s3.fault(rate=6e5, key="*T1w*", times=None)  # 8 MB in 14 s: records are written each 5 s
    seen = []

    def listen(event):
        if isinstance(event, Progress):
            seen.append(event.bytes_done)

    with spawned(3) as executor:
        report = neurofetch.get(URL, tmp_path, executor=executor, progress=listen)
    assert report.ok
    assert {one for one in seen if 0 < one < 40 * MIB}  # no file was complete by then
    assert max(seen) == seen[-1]


# -- who is lost --------------------------------------------------------------------------------


def test_a_process_that_is_killed_costs_a_rerun_and_nothing_else(s3, tmp_path):
    """With ``--workers``: the pool is the command's own, and is mended."""
    shell = Shell(tmp_path, s3.url)
    s3.fault(rate=6e6, key="*T1w*", times=None)
    process = shell.start(f"neurofetch get {URL} --data-dir {shell.data} --workers 3 --json")
    victim = _worker_of(process.pid, s3)
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["ok"] is True
    assert len(on_disk(shell.data)) == len(objects())
    assert neurofetch.verify(shell.data, read_all=True, progress="none").ok


def _worker_of(pid, s3):
    """Return a process of the pool of a command that fetches something now."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if [one for one in s3.requests("GET", "*T1w*") if not one.ended]:
            found = subprocess.run(
                ["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, check=False
            )
            if pids := [int(one) for one in found.stdout.split()]:
                return pids[-1]
        time.sleep(0.02)
    pytest.fail("no process of the pool came to fetch")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_tasks_that_nobody_will_begin_any_more_are_not_waited_for(number, s3, tmp_path):
    s3.fault(rate=6e6, key="*T1w*", times=None)
    shell = Shell(tmp_path, s3.url)
    process = shell.start(f"neurofetch get {URL} --data-dir data --workers 2")
    until(lambda: any(task.bytes_done for run in runs_in(shell.data) for task in run.tasks), 40)
    (run,) = runs_in(shell.data)
    assert run.to_begin
    assert not run.closed
    process.send_signal(number)
    workers = [task.pid for task in run.tasks if task.pid != process.pid]
    process.wait(40)  # what it started may hold its pipes
    until(lambda: not any(map(_is_there, workers)), 20)
    process.stdout.close()
    process.stderr.close()
    s3.clear_faults()
    done = shell("neurofetch status data --wait")
    assert done.code == 4
    assert "never begun" in done.out
    assert "Run it again: it fetches only what is missing." in " ".join(done.out.split())
    done = shell(f"neurofetch get {URL} --data-dir data --workers 2")
    assert done.code == 0, done.err
    assert on_disk(shell.data) == {key.removeprefix("ds/") for key in objects()}


def _is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_who_hands_out_tasks_on_another_host_is_silent_like_any_other(tmp_path):
    state = tmp_path / ".neurofetch"
    begin_run(state, "run", expected=3, owner="otherhost-12-345-0123abcd")
    (run,) = runs_in(tmp_path)
    assert not run.closed
    assert not run.over
    old = time.time() - 400
    os.utime(state / "runs" / "run" / "run.json", (old, old))
    (run,) = runs_in(tmp_path)
    assert run.closed
    assert run.over
    attend_run(state, "run")
    (run,) = runs_in(tmp_path)
    assert not run.over
    attend_run(state, "run", last=True)
    (run,) = runs_in(tmp_path)
    assert run.over


def test_a_pool_of_the_callers_that_breaks_is_told_and_the_next_call_brings_the_rest(s3, tmp_path):
    with spawned(2) as executor:
        executor.submit(os.getpid).result()
        first = [True]

        def kill(event):
            if first and isinstance(event, Progress) and event.files_done:
                first.clear()
                os.kill(next(iter(executor._processes)), signal.SIGKILL)

        with pytest.raises(IncompleteError, match="a process of the pool ended at once") as raised:
            neurofetch.get(URL, tmp_path, executor=executor, progress=kill)
    report = raised.value.report
    assert len(report) == len(objects())
    assert not first
    for outcome in report:
        if outcome.ok:
            assert (tmp_path / outcome.path).is_file()
    assert neurofetch.get(URL, tmp_path, progress="none").ok


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RuntimeError("the node went away"), True),
        (OSError("Connection reset"), True),
        (MemoryError(), True),
        (KeyError("odd"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_task_whose_worker_raises_is_submitted_again(error, again, s3, tmp_path):
    class Failing(Carrying):
        left = 2

        def submit(self, fn, /, *args, **kwargs):
            if self.left:
                self.left -= 1
                future = Future()
                future.set_exception(error)
                return future
            return super().submit(fn, *args, **kwargs)

    executor = Failing()
    report = neurofetch.get(URL, tmp_path, executor=executor, progress="none")
    assert report.ok is again
    assert executor.left == 0


def test_a_task_that_is_lost_each_time_fails_with_the_cause_and_the_rest_comes(s3, tmp_path):
    class Failing(Carrying):
        def submit(self, fn, /, *args, **kwargs):
            if any("T1w" in step.want.path for step in args[0].plan.steps):
                future = Future()
                future.set_exception(RuntimeError("out of memory on node7"))
                return future
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(IncompleteError, match="out of memory on node7") as raised:
        neurofetch.get(URL, tmp_path, executor=Failing(), progress="none")
    failed = raised.value.report.failures
    assert failed
    assert all("Run the same call again" in one.advice for one in failed)
    assert neurofetch.get(URL, tmp_path, progress="none").ok


def test_what_a_lost_task_had_finished_counts_as_here(s3, tmp_path):
    """The worker did all, and was lost before it could say so."""

    class Mute(Carrying):
        def submit(self, fn, /, *args, **kwargs):
            super().submit(fn, *args, **kwargs).result()
            future = Future()
            future.set_exception(RuntimeError("lost"))
            return future

    report = neurofetch.get(URL, tmp_path, executor=Mute(), progress="none")
    assert report.ok
    assert {one.status for one in report} == {Status.KEPT}
    assert len(report) == len(objects())


def test_a_machine_without_the_network_costs_nothing_but_its_turn(s3, tmp_path):
    """Each task fails there, and is given to another one."""

    class OneIsDark(Carrying):
        def submit(self, fn, /, *args, **kwargs):
            task = args[0]
            if not self.tasks:
                source = replace(task.job, known=task.job.known)
                dark = task.job.known.location._replace(endpoint="http://127.0.0.1:9")
                job = replace(source, known=task.job.known._replace(location=dark))
                job = replace(job, source=_nowhere)
                line = task.line._replace(patience=0.0)
                options = replace(
                    task.options, rules=replace(task.options.rules, attempts=1, base=0.01)
                )
                args = (replace(task, job=job, line=line, options=options),)
            return super().submit(fn, *args, **kwargs)

    report = neurofetch.get(URL, tmp_path, executor=OneIsDark(), progress="none")
    assert report.ok


def _nowhere(client, attempts, _):
    return S3Source(client, Bucket("bucket", None, "http://127.0.0.1:9"), attempts, base="ds/")


# -- where a task is -----------------------------------------------------------------------------


@pytest.fixture
def task(s3, tmp_path):
    carrying = Carrying()
    neurofetch.get(URL, tmp_path / "data", executor=carrying, progress="none")
    return carrying.tasks[0]


def test_a_worker_that_does_not_see_the_data_directory_fetches_nothing(task, tmp_path):
    done = run_task(replace(task, job=replace(task.job, root=str(tmp_path / "elsewhere"))))
    assert isinstance(done.error, DestinationError)
    assert "workers have to see the data directory" in str(done.error)
    assert not (tmp_path / "elsewhere").exists()


def test_a_worker_that_sees_another_directory_of_that_name_fetches_nothing(
    task, tmp_path, monkeypatch
):
    other = tmp_path / "other"
    (other / ".neurofetch/runs").mkdir(parents=True)
    monkeypatch.setattr("neurofetch.cluster.tasks._SEEN_SECONDS", 0.0)
    done = run_task(replace(task, job=replace(task.job, root=str(other))))
    assert isinstance(done.error, DestinationError)
    assert on_disk(other) == set()


def test_the_error_of_a_worker_that_cannot_write_there_ends_the_call(s3, tmp_path):
    class Elsewhere(Carrying):
        def submit(self, fn, /, *args, **kwargs):
            job = replace(args[0].job, root=str(tmp_path / "nowhere"))
            return super().submit(fn, replace(args[0], job=job), **kwargs)

    with pytest.raises(DestinationError, match="on a file system that all machines share"):
        neurofetch.get(URL, tmp_path / "data", executor=Elsewhere(), progress="none")


@pytest.mark.parametrize("kind", [DiskFullError, DestinationError])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_disk_that_is_full_after_some_tasks_does_not_say_that_nothing_came(
    kind, after, s3, tmp_path
):
    class Filling(Carrying):
        def submit(self, fn, /, *args, **kwargs):
            if len(self.tasks) < after:
                return super().submit(fn, *args, **kwargs)
            full = kind("9 bytes are to come, 0 are free. Nothing was fetched. Free some space.")
            return _resolved(pickle.loads(pickle.dumps(TaskDone(args[0].number, error=full))))

    with pytest.raises(kind) as caught:
        neurofetch.get(URL, tmp_path, executor=Filling(), progress="none")
    told = str(caught.value)
    assert ("Nothing was fetched." in told) is (after == 0)
    assert ("What came before is kept." in told) is (after > 0)


def test_another_version_of_the_program_is_told(task):
    done = run_task(replace(task, job=replace(task.job, version="0.0.1")))
    assert isinstance(done.error, UsageError)
    assert "neurofetch 0.0.1" in str(done.error)


def test_results_and_errors_of_tasks_travel(task, tmp_path):
    for done in (run_task(task), run_task(replace(task, job=replace(task.job, version="0")))):
        again = pickle.loads(pickle.dumps(done))
        assert isinstance(again, TaskDone)
        assert again.outcomes == done.outcomes
        assert str(again.error) == str(done.error)


def test_a_task_weighs_some_hundred_bytes_a_file(s3, tmp_path):
    carrying = Carrying()
    neurofetch.get(URL, tmp_path, executor=carrying, progress="none")
    files = sum(len(task.plan) for task in carrying.tasks)
    assert sum(carrying.sizes) < 400 * files + 6000 * len(carrying.tasks)


@pytest.mark.parametrize("keys", ["profile", "environment"])
def test_no_key_travels_with_a_task(keys, tmp_path, monkeypatch, s3):
    secret = "wJalrXUtnFEMIsecretkeyofsomebody"
    config = tmp_path / "credentials"
    config.write_text(f"[lab]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = {secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    how = {"profile": "lab"} if keys == "profile" else {"signed": True}
    carrying = Carrying()
    report = neurofetch.get(URL, tmp_path / "data", executor=carrying, progress="none", **how)
    assert report.ok
    for task in carrying.tasks:
        assert secret.encode() not in pickle.dumps(task)
        assert task.job.access.signs
    gets = [one for one in s3.requests("GET") if one.key]
    assert gets
    assert all("AKIAEXAMPLE" in one.headers.get("authorization", "") for one in gets)


def test_the_environment_of_the_worker_does_not_say_where_the_bucket_is(s3, tmp_path, monkeypatch):
    class Elsewhere(Carrying):
        def submit(self, fn, /, *args, **kwargs):
            with monkeypatch.context() as there:
                there.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
                return super().submit(fn, *args, **kwargs)

    report = neurofetch.get(URL, tmp_path, executor=Elsewhere(), progress="none")
    assert report.ok
    source = json.loads((tmp_path / ".neurofetch/source.json").read_text())
    assert s3.url.rpartition("/")[2] in source["server"]


# -- the end comes early --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_interrupt_ends_the_tasks_and_the_next_call_goes_on(kind, s3, tmp_path):
    s3.fault(rate=4e6, key="*T1w*", times=None)
    executor = ThreadPoolExecutor(3) if kind == "threads" else spawned(3)
    began = []

    def interrupt(event):
        if isinstance(event, Progress) and event.bytes_done > MIB:
            began.append(time.monotonic())
            raise KeyboardInterrupt

    with executor:
        with pytest.raises(KeyboardInterrupt):
            neurofetch.get(URL, tmp_path, executor=executor, progress=interrupt)
        time.sleep(0.1)
        s3.clear_log()
        time.sleep(0.5)
        assert not s3.requests("GET", "ds/*")  # nobody fetches any more
    s3.clear_faults()
    report = neurofetch.get(URL, tmp_path, progress="none")
    assert report.ok
    assert report.of(Status.KEPT) or report.bytes_moved < 3 * 40 * MIB


def test_ctrl_c_ends_a_command_with_workers_without_a_word_of_python(s3, tmp_path):
    shell = Shell(tmp_path, s3.url)
    s3.fault(rate=3e6, key="*T1w*", times=None)
    process = shell.start(f"neurofetch get {URL} --data-dir {shell.data} --workers 2")
    _worker_of(process.pid, s3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    s3.clear_faults()
    done = shell(f"neurofetch get {URL} --data-dir {shell.data} --workers 2")
    assert done.code == 0, done.err


# -- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "executor",
    [3, "dask", object(), ThreadPoolExecutor, [], {}, 0.5, True, "tcp://host:8786"],
    ids=lambda value: type(value).__name__ + str(value)[:12].replace(" ", ""),
)
def test_what_is_no_executor_is_told_before_anything_is_asked(executor, s3, tmp_path):
    s3.clear_log()
    with pytest.raises((UsageError, TypeError), match="has no submit"):
        neurofetch.get(URL, tmp_path / "d", executor=executor, progress="none")
    assert not s3.requests()
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("workers", [0, -1, 1.5, "4", True, math.nan, [2]], ids=str)
def test_what_is_no_number_of_workers_is_told(workers, s3, tmp_path):
    with ThreadPoolExecutor(1) as executor, pytest.raises(UsageError, match="workers="):
        neurofetch.get(URL, tmp_path, executor=executor, workers=workers, progress="none")
    with pytest.raises(UsageError, match="workers="):
        neurofetch.get(URL, tmp_path, workers=workers, progress="none")


def test_workers_alone_and_shards_beside_an_executor_are_refused(s3, tmp_path):
    with pytest.raises(UsageError, match="there is no executor"):
        neurofetch.get(URL, tmp_path, workers=2, progress="none")
    with ThreadPoolExecutor(1) as executor, pytest.raises(UsageError, match="shard="):
        neurofetch.get(URL, tmp_path, executor=executor, shard=(0, 2), progress="none")


class _Alike:
    """A future that cannot be told from the others, or not be a key at all."""

    def __init__(self, future):
        self._future = future
        self.looks = 0

    def __eq__(self, other):
        return True

    __hash__ = None

    def done(self):
        return self._future.done()

    def result(self):
        return self._future.result()


class _Equal(_Alike):
    def __hash__(self):
        return 1


class _Unsure(_Alike):
    def done(self):
        self.looks += 1
        if self.looks == 2:
            raise OSError("the scheduler does not answer")
        return super().done()


@pytest.mark.parametrize("kind", [_Alike, _Equal, _Unsure])
def test_futures_of_any_kind_are_kept_apart(kind, s3, tmp_path):
    class Odd:
        max_workers = 2
        pool = ThreadPoolExecutor(2)

        def submit(self, fn, /, *args):
            return kind(self.pool.submit(fn, *args))

    report = neurofetch.get(URL, tmp_path, executor=Odd(), progress="none")
    assert report.ok
    assert len(report.of(Status.FETCHED)) == len(objects())


def _resolved(value):
    future = Future()
    future.set_result(value)
    return future


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda *_: None, "returned None, which is no future"),
        (lambda fn, *args: fn(*args), "returned TaskDone"),
        (lambda *_: SimpleNamespace(result=bool), "which is no future"),
        (lambda *_: SimpleNamespace(done=True, result=None), "which is no future"),
        (lambda *_: _resolved(None), "returned None in place of"),
        (lambda *_: _resolved({"error": None}), "in place of what became of a task"),
        (lambda fn, *_: fn(), "the executor takes no tasks: run_task.. missing 1"),
    ],
    ids=["None", "value", "no done", "attributes", "result None", "result dict", "TypeError"],
)
def test_an_executor_that_returns_something_else_is_told(returned, told, s3, tmp_path):
    class Odd:
        def submit(self, fn, /, *args):
            return returned(fn, *args)

    with pytest.raises(UsageError, match=told) as caught:
        neurofetch.get(URL, tmp_path, executor=Odd(), progress="none")
    assert "ThreadPoolExecutor" in str(caught.value)


def test_an_executor_that_was_shut_down_is_told(s3, tmp_path):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(UsageError, match="takes no tasks"):
        neurofetch.get(URL, tmp_path, executor=executor, progress="none")


@pytest.mark.parametrize(
    "flags", ["--workers 0", "--workers -1", "--workers two", "--workers 2 --shard 0/2"]
)
def test_flags_that_cannot_be_used_are_told(flags, s3, tmp_path):
    shell = Shell(tmp_path, s3.url)
    done = shell(f"neurofetch get {URL} --data-dir {shell.data} {flags}")
    assert done.code == 2
    assert "--workers" in done.err


def test_how_many_run_at_once_is_what_the_executor_says():
    assert ExecutorCrew(ThreadPoolExecutor(3), 3).at_once == 3
    assert checked_crew(ThreadPoolExecutor(5)).at_once == 5
    assert checked_crew(Carrying()).at_once == 8
    assert checked_crew(Carrying(), 2).at_once == 2


def test_the_library_of_no_executor_is_loaded():
    code = "import sys, neurofetch.engine, neurofetch.cluster.crew as _; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"dask", "distributed", "submitit", "ray", "parsl", "multiprocessing"} & {*loaded}


# -- LAION-fMRI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["threads", "processes", "through pickle"])
def test_download_takes_an_executor(kind, tmp_path, monkeypatch):
    with make_s3() as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        for name, value in LICENSE.items():
            monkeypatch.setenv(name, value)
        for folder in ("alone", "many"):
            (tmp_path / folder).mkdir()
        alone = download("sub-03", data_dir=tmp_path / "alone", progress="none")
        executor = KINDS[kind]()
        many = download("sub-03", data_dir=tmp_path / "many", executor=executor, progress="none")
        getattr(executor, "shutdown", bool)()
    assert rows(many) == rows(alone)
    assert tree(tmp_path / "many") == tree(tmp_path / "alone")
