"""What a file and a task cost as a plan is spread over a cluster: the constants of docs/scale.md.

A plan of made-up files is split, its tasks are pickled as they travel, and outcomes are merged, all
in one process: seconds are its own on the processor. Then a data set of tiny files is fetched from
a local server, for what a file and a task leave in the state folder. Nothing here depends on a
network; what a line brings is measured elsewhere (`core`, `s3`, `openneuro`).
"""

from __future__ import annotations

import os
import pickle
import statistics
import tempfile
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import neurofetch
from benchmarks.growth import etag, keys
from neurofetch.model import Action, Outcome, Plan, RemoteFile, Report, Status, Step, Want
from neurofetch.planning.parts import parts_of
from testbed.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

FILES = 200_000
SMALL = 5_000
TIMES = 3
ROW = "{:<58}{:>12}"


class _Here(Executor):
    """Runs a task at once, as it came through pickle, and weighs what travels."""

    def __init__(self) -> None:
        self.there: list[int] = []
        self.back: list[int] = []
        self.files = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        packed = pickle.dumps((fn, args), protocol=pickle.HIGHEST_PROTOCOL)
        self.there.append(len(packed))
        self.files += len(args[0].plan)
        again, given = pickle.loads(packed)
        done = pickle.dumps(again(*given, **kwargs), protocol=pickle.HIGHEST_PROTOCOL)
        self.back.append(len(done))
        future: Future[Any] = Future()
        future.set_result(pickle.loads(done))
        return future


def _plan(count: int) -> Plan:
    steps = []
    for number, key in enumerate(keys(count)):
        url = f"https://openneuro.org.s3.amazonaws.com/{key}"
        remote = RemoteFile(key, url, 1000 + number % 997, etag(key))
        steps.append(Step(Want(remote, key.partition("/")[2]), Action.FETCH, "not here"))
    return Plan(Path("/data/ds004999"), tuple(steps))


def _seconds(call: Callable[[], Any]) -> float:
    found = []
    for _ in range(TIMES):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return statistics.median(found)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _merged(plan: Plan) -> Report:
    """Put the outcomes of tasks in the order of the plan, as is done at the end of a run."""
    by_path = {
        step.want.path: Outcome.unmoved(step.want, Status.KEPT, "here", 1) for step in plan.steps
    }
    return Report(plan.root, tuple(by_path[step.want.path] for step in plan.steps))


def _say(what: str, value: str) -> None:
    print(ROW.format(what, value), flush=True)


def main(count: int = FILES, small: int = SMALL) -> None:
    """Measure, and print one line a constant.

    Parameters
    ----------
    count : int
        Files of the plan that is made up.
    small : int
        Files that are fetched.
    """
    plan = _plan(count)
    parts = parts_of(plan, 64)
    _say("files of the plan, and its tasks", f"{len(plan):,} / {len(parts):,}")
    micro = 1e6 / count
    _say("splitting, µs a file", f"{_seconds(lambda: parts_of(plan, 64)) * micro:.1f}")
    packed = pickle.dumps(parts[0].plan, protocol=pickle.HIGHEST_PROTOCOL)
    weight = len(packed) / len(parts[0].plan)
    _say("a file of a task on its way, bytes", f"{weight:.0f}")
    cost = _seconds(lambda: pickle.dumps(parts[0].plan, protocol=pickle.HIGHEST_PROTOCOL))
    _say("packing, µs a file", f"{cost * 1e6 / len(parts[0].plan):.1f}")
    _say("merging outcomes, µs a file", f"{_seconds(lambda: _merged(plan)) * micro:.1f}")
    names = keys(small)
    with tempfile.TemporaryDirectory() as where, S3Server({"b": dict.fromkeys(names, b"x")}) as s3:
        os.environ["AWS_ENDPOINT_URL_S3"] = s3.url
        here, root = _Here(), Path(where) / "data"
        neurofetch.get("s3://b/ds004999", root, executor=here, workers=64, progress="none")
        state, tasks = root / ".neurofetch", len(here.there)
        lists = len(s3.requests("LIST"))
        _say("files that were fetched, and tasks", f"{here.files:,} / {tasks}")
        _say("a file of a task there, bytes", f"{sum(here.there) / here.files:.0f}")
        _say("a file of a task back, bytes", f"{sum(here.back) / here.files:.0f}")
        _say("receipts, bytes a file", f"{_size(state / 'receipts') / here.files:.0f}")
        _say("remembered listing, bytes a file", f"{_size(state / 'listings') / here.files:.1f}")
        _say("record of a task, bytes", f"{_size(state / 'runs') / tasks:.0f}")
        _say("requests that list, a thousand files", f"{lists * 1000 / here.files:.1f}")
