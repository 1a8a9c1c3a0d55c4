"""HTTP clients side by side: the figures behind docs/adr/0003-own-http-client.md.

Small objects, each checked by its MD5 and written to a file, over 32, 64 and 128 threads; and one
large object in ranges over 32. Every run is a process of its own and is timed inside it, without
its imports; the clients take turns. The server is 30 ms away; its connections give 80 MB/s.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._data import BUCKET, Case, Group, make, scratch
from benchmarks._http_worker import RANGED, SMALL
from benchmarks._server import FAR, WORK, Server

__all__ = ["main"]

REPEATS = 5
THREADS = (32, 64, 128)
RANGE_THREADS = 32
SMALL_CASE = Case("small", (Group(2_000, 1_000, 20_000, "events.json"),))
LARGE_CASE = Case("object", (Group(1, 10**9, 10**9),))

Figures = dict[str, list[dict[str, float]]]


def main() -> None:
    """Time all clients, and print the tables."""
    place = scratch(2_100_000_000, WORK)
    with tempfile.TemporaryDirectory(prefix="neurofetch-http-", dir=place) as folder:
        root = Path(folder)
        make(root, (SMALL_CASE, LARGE_CASE))
        lines = (root / f"{BUCKET}.index.jsonl").read_text(encoding="ascii").splitlines()
        objects = [json.loads(line) for line in lines]
        with Server(root, FAR) as server:
            job = {"url": server.url, "bucket": BUCKET, "dest": str(root / "dest")}
            print(f"{FAR.name}; medians of {REPEATS}; processor time of the client alone")
            for threads in THREADS:
                few = {**job, "objects": objects[:-1], "threads": threads, "ranged": False}
                _print(f"2,000 objects of 1-20 KB, {threads} threads", _figures(few, [*SMALL]))
            one = {**job, "objects": objects[-1:], "threads": RANGE_THREADS, "ranged": True}
            title = f"one object of 1 GB in ranges of 8 MiB, {RANGE_THREADS} threads"
            _print(title, _figures(one, [*RANGED]))


def _figures(job: dict[str, Any], clients: list[str]) -> Figures:
    present = [name for name in clients if importlib.util.find_spec(name) is not None]
    for name in sorted(set(clients) - set(present)):
        print(f"{name} is not installed: left out")
    figures: Figures = {}
    for _ in range(REPEATS):
        for name in present:
            figures.setdefault(name, []).append(_one({**job, "client": name}))
    return figures


def _one(job: dict[str, Any]) -> dict[str, float]:
    """Run one client in a process of its own."""
    shutil.rmtree(job["dest"], ignore_errors=True)
    Path(job["dest"]).mkdir()
    command = [sys.executable, "-m", "benchmarks._http_worker"]
    done = subprocess.run(
        command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, timeout=300, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    _check(job)
    return found


def _check(job: dict[str, Any]) -> None:
    """See that the client wrote all bytes."""
    written = sum(path.stat().st_size for path in Path(job["dest"]).iterdir())
    expected = sum(entry["size"] for entry in job["objects"])
    if written != expected:
        msg = f"{job['client']}: {written} bytes written, {expected} expected"
        raise SystemExit(msg)


def _print(title: str, figures: Figures) -> None:
    print(f"\n{title}\n  {'':<20}{'wall s':>8}{'ratio':>8}{'cpu s':>8}{'ratio':>8}")
    ours = {what: _median(figures["neurofetch.net.client"], what) for what in ("wall", "cpu")}
    for name, runs in figures.items():
        wall, cpu = _median(runs, "wall"), _median(runs, "cpu")
        ratios = wall / ours["wall"], cpu / ours["cpu"]
        print(f"  {name:<20}{wall:>8.2f}{ratios[0]:>7.2f}x{cpu:>8.2f}{ratios[1]:>7.2f}x")


def _median(runs: list[dict[str, float]], what: str) -> float:
    return statistics.median(run[what] for run in runs)


if __name__ == "__main__":
    main()
