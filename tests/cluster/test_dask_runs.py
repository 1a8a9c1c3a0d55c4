"""`get` and `download` on a real cluster of Dask: one report, whoever is lost on the way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import dask
import pytest
from distributed import Client, wait

import neurofetch
from neurofetch.errors import DestinationError, UnreachableError, UsageError, WrongTypeError
from neurofetch.events import NoWorkers, Progress
from neurofetch.model import IncompleteError, Status
from neurofetch.store.runs import read_runs
from testbed.dask_cluster import (
    DaskCluster,
    children_of,
    free_port,
    scheduler_process,
    wait_until,
    worker_process,
)
from testbed.s3 import S3Server
from tests.cluster_world import Aside, lacking, many

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


def stored(server):
    return {key: server.stored(key).blob for key in many(200)}


def test_a_cluster_fetches_with_one_report_in_the_order_of_the_plan(cluster, s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path / "data")
    report = neurofetch.get(URL, tmp_path / "data", client=cluster.client)
    assert report.ok
    assert [one.path for one in report] == [step.want.path for step in plan.steps]
    assert lacking(tmp_path / "data", many(200)) == []
    assert neurofetch.verify(tmp_path / "data", level="hash").ok
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
