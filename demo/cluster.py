"""From a laptop to a cluster: processes, an array of jobs, a cluster of Dask, a table of files."""

from __future__ import annotations

import importlib.util
import os
import shlex
from typing import TYPE_CHECKING

import neurofetch
from demo._stage import Stage, heading, say
from neurofetch.events import Progress
from testbed.s3 import Generated, S3Object, S3Server
from testbed.slurm import Slurm

if TYPE_CHECKING:
    from neurofetch.events import Event
    from testbed.dask_cluster import DaskCluster

__all__ = ["main"]

URL = "s3://public-data/ds000800"
MIB = 1 << 20


def main(stage: Stage) -> None:
    """Play the act."""
    with S3Server({"public-data": _dataset()}) as s3:
        stage.set(AWS_ENDPOINT_URL_S3=s3.url)
        heading("Many processes, one report")
        stage.run(f"neurofetch get {URL} --data-dir processes --workers 2")
        _array(stage)
        _dask(stage)
    _table(stage)
    os.environ.pop("AWS_ENDPOINT_URL_S3", None)
    stage.variables.pop("AWS_ENDPOINT_URL_S3", None)


def _dataset() -> dict[str, bytes | S3Object]:
    found: dict[str, bytes | S3Object] = {
        "ds000800/dataset_description.json": b'{"Name": "Many runs", "BIDSVersion": "1.9.0"}',
        "ds000800/README": b"Runs of nothing.\n",
    }
    for subject in range(1, 9):
        name = f"ds000800/sub-{subject:02}"
        volume = Generated(24 * MIB, seed=subject)
        found[f"{name}/anat/sub-{subject:02}_T1w.nii.gz"] = S3Object(
            volume, part_size=8 * MIB, checksum=None
        )
        for run in range(1, 31):
            stem = f"{name}/func/sub-{subject:02}_task-rest_run-{run:02}"
            found[f"{stem}_bold.nii.gz"] = stem.encode() * 40
            found[f"{stem}_events.tsv"] = b"onset\tduration\n0\t1\n"
    return found


def _array(stage: Stage) -> None:
    heading("An array of jobs: a stand-in for Slurm starts them, the data directory tells how far")
    (stage.folder / "queue").mkdir()
    with Slurm(stage.folder / "queue") as slurm:
        path = os.environ["PATH"]
        stage.set(PATH=slurm.environ["PATH"])
        get = f"neurofetch get {URL} --data-dir array"
        stage.run(f"{get} --slurm '-p short -t 2:00:00' --jobs 4")
        stage.run("neurofetch status array --wait")
        stage.run(get)
        stage.set(PATH=path)


def _dask(stage: Stage) -> None:
    heading("A cluster of Dask loses a worker: the task runs again, and there is one report")
    if importlib.util.find_spec("distributed") is None:
        say("skipped: it needs neurofetch[dask]")
        return
    from testbed.dask_cluster import DaskCluster  # noqa: PLC0415 - it may be absent

    with DaskCluster(4) as cluster:
        killer = _Killer(cluster)
        where = stage.folder / "dask"
        report = neurofetch.get(URL, where, client=cluster.client, progress=killer)
    say(f"{report!r}")
    if not killer.done or not neurofetch.verify(where, read_all=True, progress="none").ok:
        raise SystemExit("no worker was killed, or something is wrong")
    say("one worker was killed; every byte was read again and is right")


class _Killer:
    """Kills a worker once something has come."""

    def __init__(self, cluster: DaskCluster) -> None:
        self._cluster = cluster
        self.done = False

    def __call__(self, event: Event) -> None:
        if not self.done and isinstance(event, Progress) and event.bytes_done:
            self.done = True
            self._cluster.send(self._cluster.workers()[0])


def _table(stage: Stage) -> None:
    heading("What is here, as a table for DuckDB, pandas and others")
    stage.run("neurofetch index array")
    code = (
        "import duckdb; print(duckdb.sql(\"select coalesce(datatype, '(none)') as datatype, "
        "count(*) as files, sum(size) as bytes, count(hash) as hashes "
        "from 'array/.neurofetch/index.parquet' group by all order by bytes desc\"))"
    )
    stage.run(f"python -c {shlex.quote(code)}")
