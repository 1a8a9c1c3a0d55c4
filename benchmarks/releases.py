"""Another installation of neurofetch beside this one, on the cases of `s3`.

It answers whether anything became slower. ``NEUROFETCH_OTHER`` names the Python of the other
installation, such as that of an older commit in an environment of its own (``NEUROFETCH_THIS``, the
Python of this one: environments with as many packages start alike). The two take turns, so that
what else the machine does meets both. Files go to a real disk (``NEUROFETCH_BENCH_DEST``, by
default the folder for temporary files).
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks._data import BUCKET, CASES, Case, make, scratch
from benchmarks._server import FAR, WORK, Server
from benchmarks._tools import Spent, environment, run

__all__ = ["main"]

_CASES = ("small", "medium", "big", "noop")
_REPEATS = 5


def main() -> None:
    """Time both on small, medium, big and no-op, and print the ratios of the medians."""
    other = os.environ.get("NEUROFETCH_OTHER")
    if not other:
        msg = "set NEUROFETCH_OTHER to the Python of another installation of neurofetch"
        raise SystemExit(msg)
    repeats = int(os.environ.get("NEUROFETCH_BENCH_REPEATS", _REPEATS))
    chosen = os.environ.get("NEUROFETCH_BENCH_CASES", " ".join(_CASES)).split()
    cases = tuple(case for case in CASES if case.name in chosen)
    total = sum(thing.size for case in cases for thing in case.things())
    with (
        tempfile.TemporaryDirectory(dir=scratch(total, WORK)) as data,
        tempfile.TemporaryDirectory(dir=os.environ.get("NEUROFETCH_BENCH_DEST")) as dest,
    ):
        root = Path(data)
        make(root, cases)
        (root / "home").mkdir()
        print(f"30 ms, 80 MB/s per connection; to {dest}; medians of {repeats}, in turn")
        with Server(root, FAR) as server:
            for case in cases:
                _compare(
                    server,
                    root,
                    Path(dest),
                    case,
                    pythons=(os.environ.get("NEUROFETCH_THIS", sys.executable), other),
                    repeats=repeats,
                )


def _compare(
    server: Server, root: Path, dest: Path, case: Case, *, pythons: tuple[str, str], repeats: int
) -> None:
    spent: dict[str, list[Spent]] = {python: [] for python in pythons}
    for number in range(repeats + 1):
        for python in pythons if number % 2 else reversed(pythons):
            place = dest / f"{pythons.index(python)}-{case.name}"
            if not case.present:
                shutil.rmtree(place, ignore_errors=True)
            os.sync()
            once = _once(server, root, place, case, python)
            if number:  # the first round warms up, and brings what the no-op case finds
                spent[python].append(once)
    walls, cpus = (
        [statistics.median(getattr(one, what) for one in spent[python]) for python in pythons]
        for what in ("wall", "cpu")
    )
    ratios = [b.wall / a.wall for a, b in zip(*(spent[python] for python in pythons), strict=True)]
    print(
        f"{case.name:8} other/this: wall {walls[1] / walls[0]:.2f} "
        f"(pairs {min(ratios):.2f} to {max(ratios):.2f}), processor {cpus[1] / cpus[0]:.2f}"
        f"   [this {walls[0]:.2f} s, {cpus[0]:.2f} s of processor]",
        flush=True,
    )


def _once(server: Server, root: Path, place: Path, case: Case, python: str) -> Spent:
    url = f"s3://{BUCKET}/{case.name}"
    command = [python, "-m", "neurofetch", "get", url, "--dest", str(place), "--quiet"]
    spent = run(command, environment(server.url, root / "home"), root / "log")
    found = sum(path.is_file() for path in place.rglob(f"*{case.groups[0].suffix}"))
    expected = sum(group.files for group in case.groups)
    if found < case.groups[0].files or not expected:
        msg = f"{python}: {found} of {expected} files came"
        raise SystemExit(msg)
    return spent
