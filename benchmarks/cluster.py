"""A cluster of four processes against one process: 20,000 small files and two of 1 GB.

The cluster is a real one of Dask on this machine. In every second run of it, one of its workers
is killed when two fifths of the bytes are there. What moved is counted by the server, and every
file is hashed afterwards. On one machine the four share its cores with the server and with each
other: what a cluster gains is lines and processors of other machines; here one sees what it costs.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import neurofetch
from benchmarks._data import BUCKET, Case, Group, make, scratch
from benchmarks._server import FAR, NEAR, WORK, Distance, Server
from neurofetch.events import Progress
from neurofetch.store.runs import read_runs
from testbed.dask_cluster import DaskCluster

if TYPE_CHECKING:
    from collections.abc import Callable

_KB, _GB = 1_000, 1_000_000_000
SMALL, LARGE, WORKERS = 20_000, 2, 4
CASE = Case(
    "many",
    (Group(SMALL, _KB, 20 * _KB, "events.json"), Group(LARGE, _GB, _GB, "betas.h5")),
)
REPEATS = int(os.environ.get("NEUROFETCH_BENCH_REPEATS", "3"))
MIDWAY = 0.4
ALONE, WHOLE, KILLED = "one process", "four workers", "four workers, one killed midway"
_ALONE = """
import sys, time
import neurofetch
began = time.perf_counter()
report = neurofetch.get(sys.argv[1], sys.argv[2], progress="none")
print(time.perf_counter() - began, len(report), report.ok)
"""


class Run(NamedTuple):
    """One run: its seconds, what the server gave out, and how many tasks began again."""

    seconds: float
    requests: int
    bytes: int
    again: int


def alone(url: str, dest: Path) -> float:
    """Fetch in a process of its own; return the seconds."""
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, url, str(dest)], capture_output=True, text=True, check=True
    )
    seconds, files, good = done.stdout.split()
    if (int(files), good) != (SMALL + LARGE, "True"):
        raise SystemExit(f"one process did not bring all: {done.stdout}")
    return float(seconds)


def together(url: str, dest: Path, *, kill: bool) -> float:
    """Fetch with four workers, perhaps less one; return the seconds without their start."""
    with DaskCluster(WORKERS) as cluster:
        listen = _killer(cluster) if kill else "none"
        began = time.perf_counter()
        report = neurofetch.get(url, dest, client=cluster.client, progress=listen)
        seconds = time.perf_counter() - began
    if not report.ok or len(report) != SMALL + LARGE:
        raise SystemExit(f"the cluster did not bring all: {report}")
    return seconds


def _killer(cluster: DaskCluster) -> Callable[[Any], None]:
    """Return a listener that kills a busy worker, once."""
    killed: list[str] = []
    pids = cluster.pids()

    def listen(event: Any) -> None:
        if killed or not isinstance(event, Progress):
            return
        if event.bytes_done > MIDWAY * event.bytes_total:
            killed.append(next(iter(cluster.busy())))
            os.kill(pids[killed[0]], signal.SIGKILL)

    return listen


def measured(place: Path, server: Server, how: str) -> Run:
    """Fetch once, and see that every byte is right."""
    dest = Path(tempfile.mkdtemp(dir=place))
    url = f"s3://{BUCKET}/{CASE.name}"
    server.served()
    try:
        if how == ALONE:
            seconds = alone(url, dest / "data")
        else:
            seconds = together(url, dest / "data", kill=how == KILLED)
        served = server.served()
        (run,) = read_runs(dest / "data" / ".neurofetch")
        again = sum(task.began - 1 for task in run.tasks)
        if not neurofetch.verify(dest / "data", read_all=True, progress="none").ok:
            raise SystemExit(f"{how}: not all is right")
    finally:
        shutil.rmtree(dest)
    return Run(seconds, served.requests, served.bytes, again)


def compare(place: Path, distance: Distance) -> None:
    """Time all, in turns."""
    runs: dict[str, list[Run]] = {ALONE: [], WHOLE: [], KILLED: []}
    with Server(place, distance) as server:
        os.environ["AWS_ENDPOINT_URL"] = server.url
        for _ in range(REPEATS):
            for how, some in runs.items():
                some.append(measured(place, server, how))
    least = min(one.bytes for one in runs[ALONE])
    base = statistics.median(one.seconds for one in runs[ALONE])
    print(f"{distance.name}")
    for how, some in runs.items():
        seconds = sorted(one.seconds for one in some)
        middle = statistics.median(seconds)
        requests = statistics.median(one.requests for one in some)
        moved = statistics.median(one.bytes for one in some)
        again = sum(one.again for one in some)
        print(
            f"  {how:<33}{middle:>7.2f} s ({seconds[0]:.2f}-{seconds[-1]:.2f})"
            f"{middle / base:>6.2f}x  {requests:>8,.0f} requests, {moved / least:.3f} of the bytes"
            f"{f', {again} tasks begun again in all' if again else ''}",
            flush=True,
        )


def main() -> None:
    """Make the data, and compare near and far."""
    parent = scratch(3 * LARGE * _GB, WORK)
    place = Path(tempfile.mkdtemp(dir=parent))
    try:
        total = make(place, (CASE,))
        what = f"{SMALL:,} files of 1-20 KB and {LARGE} of 1 GB ({total / _GB:.2f} GB)"
        print(f"{what}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for distance in (FAR, NEAR):
            compare(place, distance)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
