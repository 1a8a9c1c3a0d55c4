"""`get` and `download` on a real cluster of Dask: one report, whoever is lost on the way."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from distributed import Client, get_client, get_worker, secede, worker_client

import neurofetch
from laion_fmri.download import download, download_raw
from neurofetch.errors import UsageError, WrongTypeError
from neurofetch.events import NoWorkers, Progress
from neurofetch.store.runs import read_runs
from testbed.dask_cluster import DaskCluster, wait_until, worker_process
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import S3Server
from tests.cluster_world import Aside, lacking, many
from tests.faces import LICENSE, make_s3, on_disk

pytestmark = pytest.mark.slow
URL = "s3://bucket/ds"


@pytest.fixture(scope="module")
def cluster():
    with DaskCluster(4) as made:
        yield made


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"bucket": many(200)}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def test_a_cluster_fetches_with_one_report_in_the_order_of_the_plan(cluster, s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path / "data")
    report = neurofetch.get(URL, tmp_path / "data", client=cluster.client)
    assert report.ok
    assert [one.path for one in report] == [step.want.path for step in plan.steps]
    assert lacking(tmp_path / "data", many(200)) == []
    assert neurofetch.verify(tmp_path / "data", read_all=True).ok
    gets = Counter(one.key for one in s3.requests(method="GET"))
    assert set(gets.values()) == {1}


def test_progress_is_live_and_comes_from_the_workers(cluster, s3, tmp_path):
    s3.put("ds/sub-0001/func/sub-0001_task-film_bold.nii.gz", b"x" * (8 << 20))
    s3.fault(key="*film*", rate=4 << 20)
    seen = []
    neurofetch.get(URL, tmp_path / "data", client=cluster.client, progress=seen.append)
    steps = [one for one in seen if isinstance(one, Progress)]
    halves = [one for one in steps if 1 << 20 < one.bytes_done < 7 << 20]
    assert len(halves) >= 2, "how far a file is came while it was on its way"
    assert steps[-1].bytes_done == steps[-1].bytes_total
    told = cluster.client.get_events("neurofetch")
    assert 0 < len(told) < 200
    assert str(s3.url) not in repr(told)


def all_executors(client):
    yield "executor", client.get_executor()
    yield "executor", client.get_executor(pure=True, retries=1)
    yield "executor", client
    yield "client", client


@pytest.mark.parametrize("number", range(4), ids=["executor", "pure", "as-executor", "client"])
def test_however_a_client_is_given_each_task_runs_once_and_none_for_two(
    cluster, s3, tmp_path, number
):
    name, given = list(all_executors(cluster.client))[number]
    for folder in ("one", "two"):
        report = neurofetch.get(URL, tmp_path / folder, **{name: given}, progress=False)
        assert report.ok
        assert lacking(tmp_path / folder, many(200)) == []
    runs = read_runs(tmp_path / "two" / ".neurofetch")
    assert len(runs[-1].tasks) == runs[-1].expected > 1


def test_a_worker_that_is_killed_costs_a_rerun_and_nothing_else(s3, tmp_path):
    s3.latency = 0.05
    with DaskCluster(4) as cluster:
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        wait_until(lambda: len(s3.requests(method="GET")) > 40 and cluster.busy())
        cluster.send(next(iter(cluster.busy())))
        report = call.result()
    assert report.ok
    assert lacking(tmp_path / "d", many(200)) == []
    assert len(s3.requests(method="GET")) < 1.3 * 201


def test_two_calls_with_one_client_have_their_own_news(cluster, s3, tmp_path):
    seen: dict[str, list] = {"a": [], "b": []}

    def fetch(name):
        return neurofetch.get(
            URL, tmp_path / name, client=cluster.client, progress=seen[name].append
        )

    s3.latency = 0.02
    calls = [Aside(fetch, name) for name in seen]
    assert all(call.result().ok for call in calls)
    for events in seen.values():
        last = [one for one in events if isinstance(one, Progress)][-1]
        assert (last.files_done, last.bytes_done) == (last.files, last.bytes_total)
    assert lacking(tmp_path / "a", many(200)) == lacking(tmp_path / "b", many(200)) == []


def _inside(url, root, endpoint):
    with worker_client() as client:
        return neurofetch.get(url, root, client=client, endpoint=endpoint, progress=False)


def test_a_task_of_the_cluster_may_fetch_with_all_of_it(cluster, s3, tmp_path):
    place = (URL, str(tmp_path / "d"), s3.url)
    report = cluster.client.submit(_inside, *place, pure=False).result(60)
    assert report.ok
    assert lacking(tmp_path / "d", many(200)) == []


def _inside_by_get_client(url, root, endpoint):
    return neurofetch.get(url, root, client=get_client(), endpoint=endpoint, progress=False)


def _inside_a_client_of_its_own(url, root, endpoint):
    with Client(get_worker().scheduler.address, set_as_default=False) as client:
        return neurofetch.get(url, root, executor=client, endpoint=endpoint, progress=False)


def _inside_after_it_seceded(url, root, endpoint):
    secede()
    return _inside_by_get_client(url, root, endpoint)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "inside",
    [_inside, _inside_by_get_client, _inside_a_client_of_its_own, _inside_after_it_seceded],
)
def test_tasks_that_fetch_leave_their_threads_to_what_they_wait_for(s3, tmp_path, inside, threads):
    with DaskCluster(1, threads=threads) as cluster:
        roots = [str(tmp_path / f"{number}") for number in range(3)]
        calls = [cluster.client.submit(inside, URL, root, s3.url, pure=False) for root in roots]
        assert all(call.result(60).ok for call in calls)
        assert cluster.client.submit(sum, [1, 2], pure=False).result(10) == 3, "it still works"
    assert [lacking(tmp_path / f"{number}", many(200)) for number in range(3)] == [[], [], []]


def test_the_rate_is_that_of_all_workers_together(cluster, s3, tmp_path):
    for number in range(1, 5):
        s3.put(f"ds/sub-000{number}/func/sub-000{number}_task-film_bold.nii.gz", b"x" * (1 << 20))
    report = neurofetch.get(
        URL, tmp_path / "d", client=cluster.client, limit_rate=1 << 20, progress=False
    )
    assert report.ok
    assert report.seconds > 2.5


def test_an_interrupted_call_ends_its_tasks(cluster, s3, tmp_path):
    s3.put("ds/sub-0001/func/sub-0001_task-film_bold.nii.gz", b"x" * (8 << 20))
    s3.fault(key="*film*", rate=100 << 10)

    def impatient(event):
        if isinstance(event, Progress) and event.bytes_done > 200 << 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=impatient)
    state = tmp_path / "d" / ".neurofetch"
    wait_until(lambda: all(task.state.is_over for task in read_runs(state)[-1].tasks), 15)
    wait_until(lambda: not cluster.busy(), 15)
    s3.clear_faults()
    assert neurofetch.get(URL, tmp_path / "d", client=cluster.client, progress=False).ok
    assert lacking(tmp_path / "d", many(200)) == []


def test_a_cluster_without_workers_is_waited_for_and_that_is_told(s3, tmp_path):
    seen = []
    with DaskCluster(0) as cluster:
        call = Aside(
            neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=seen.append
        )
        wait_until(lambda: any(isinstance(one, NoWorkers) for one in seen), 15)
        with worker_process(cluster.address):
            report = call.result()
    assert report.ok
    told = [one for one in seen if isinstance(one, NoWorkers)]
    assert [one.over for one in told] == [*[False] * (len(told) - 1), True]
    assert told[0].scheduler.startswith("tcp://127.0.0.1:")


def test_a_cluster_that_adapts_grows_and_fetches(s3, tmp_path):
    s3.latency = 0.05
    seen = set()
    with DaskCluster(0, settings={"distributed.adaptive.interval": "200ms"}) as cluster:
        cluster.cluster.adapt(minimum=0, maximum=3)
        call = Aside(neurofetch.get, URL, tmp_path / "d", client=cluster.client, progress=False)
        while not call.future.done():
            seen.add(len(cluster.workers()))
        assert call.result().ok
    assert 0 in seen
    assert max(seen) >= 1
    assert lacking(tmp_path / "d", many(200)) == []


# -- other data sets -------------------------------------------------------------------------------


def test_openneuro_by_a_cluster(cluster, tmp_path, monkeypatch):
    with OpenNeuro() as site:
        site.add("ds000001", {"1.0.0": small_tree()})
        monkeypatch.setenv("OPENNEURO_URL", site.url)
        report = neurofetch.get(
            "openneuro:ds000001", tmp_path / "d", client=cluster.client, progress=False
        )
        assert report.ok
        assert site.peak() <= 4
    for path, content in small_tree().items():
        assert (tmp_path / "d" / path).read_bytes() == content, path


def test_laion_by_a_cluster(cluster, tmp_path, monkeypatch):
    for name, text in LICENSE.items():
        monkeypatch.setenv(name, text)
    for name in ("alone", "m"):
        (tmp_path / name).mkdir()
    with make_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        alone = download("sub-03", data_dir=tmp_path / "alone", progress=False)
        many_ = download("sub-03", data_dir=tmp_path / "m", client=cluster.client, progress=False)
        raw = download_raw("sub-03", data_dir=tmp_path / "m", client=cluster.client, progress=False)
    assert many_.ok
    assert raw.ok
    assert on_disk(tmp_path / "alone") <= on_disk(tmp_path / "m")
    assert [one.path for one in many_] == [one.path for one in alone]


# -- what is wrong is told before anything is asked ------------------------------------------------


def wrong(cluster):
    executor = cluster.client.get_executor()
    executor.shutdown()
    return {
        "both": {"client": cluster.client, "executor": cluster.client},
        "shard": {"client": cluster.client, "shard": (0, 2)},
        "an address": {"client": "tcp://127.0.0.1:8786"},
        "a cluster": {"client": cluster.cluster},
        "a class": {"client": type(cluster.client)},
        "its module": {"client": threading},
        "no number": {"client": cluster.client, "workers": 0},
        "half a worker": {"client": cluster.client, "workers": 1.5},
        "a number": {"client": 4},
        "True": {"client": True},
        "a shut executor": {"executor": executor},
        "a cluster as executor": {"executor": cluster.cluster},
    }


@pytest.mark.parametrize(
    "which",
    [
        "both",
        "shard",
        "an address",
        "a cluster",
        "a class",
        "its module",
        "no number",
        "half a worker",
        "a number",
        "True",
        "a shut executor",
        "a cluster as executor",
    ],
)
def test_who_cannot_fetch_is_told_before_anything_is_asked(cluster, s3, tmp_path, which):
    with pytest.raises(UsageError, match="Nothing was done"):
        neurofetch.get(URL, tmp_path / "d", **wrong(cluster)[which])
    assert not s3.requests()
    assert not (tmp_path / "d").exists()


def test_a_client_that_was_closed_is_told(s3, tmp_path):
    with DaskCluster(1) as cluster:
        client = cluster.client
    with pytest.raises(UsageError, match="client= is closed"):
        neurofetch.get(URL, tmp_path / "d", client=client)
    assert not s3.requests()


def test_an_address_says_how_to_make_a_client_of_it():
    with pytest.raises(WrongTypeError, match=r"Client\(\.\.\.\)"):
        neurofetch.get(URL, client="tcp://127.0.0.1:8786")
