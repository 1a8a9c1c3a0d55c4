"""Fetch from an S3 that seems far away, beside the tools people use today.

Each run is a fresh process; the tools take turns within each repeat, with an empty destination (but
for the case that has nothing to do). After every run all files must be there, at their sizes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from benchmarks._data import CASES, QUICK, Case, make, scratch
from benchmarks._server import FAR, NEAR, WORK, Server
from benchmarks._tables import Sample, Timings, print_table
from benchmarks._tools import TOOLS, FailedError, Spent, Tool, environment, has_cli, run
from neurofetch.store.receipts import read_receipts

__all__ = ["Ground", "main", "sample"]

_STATE = ".neurofetch"
_MEMORY = Path("/dev/shm")


class Ground:
    """Where the data, the destinations and the logs are.

    Parameters
    ----------
    root : Path
        Of the server; it also holds the home folder and the log of the tools.
    dest : Path
    """

    def __init__(self, root: Path, dest: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir(parents=True)
        self.log = root / "log"
        self._dest = dest

    def dest(self, tool: Tool, case: Case) -> Path:
        """Return the destination of a tool in a case."""
        return self._dest / f"{tool.name.replace(' ', '-')}-{case.name}"

    def empty(self, tool: Tool, case: Case) -> None:
        """Make it empty, and let the disk come to rest."""
        path = self.dest(tool, case)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        os.sync()


def main(
    repeats: int = 3,
    *,
    quick: bool = False,
    dest: str | None = None,
    only: tuple[str, ...] = (),
) -> None:
    """Time all tools on all cases, and print the tables.

    Parameters
    ----------
    repeats : int
        Runs of each tool on each case, of which the median counts.
    quick : bool
        Fewer and smaller files: to see that it works, not to quote.
    dest : str, optional
        Where the tools put the files; by default in memory, when there is room.
    only : tuple of str
        Names of cases; empty for all.
    """
    cases = tuple(c for c in (QUICK if quick else CASES) if not only or c.name in only)
    sizes = [sum(thing.size for thing in case.things()) for case in cases]
    place = scratch(sum(sizes) + max(sizes), WORK)  # one destination at a time
    target = Path(dest).absolute() if dest else place
    with (
        tempfile.TemporaryDirectory(prefix="neurofetch-bench-", dir=place) as folder,
        tempfile.TemporaryDirectory(prefix="neurofetch-dest-", dir=target) as inside,
    ):
        ground = Ground(Path(folder), Path(inside))
        _print_conditions(make(ground.root, cases), place, target, repeats)
        _compare(ground, cases, repeats)


def _print_conditions(total: int, place: Path, dest: Path, repeats: int) -> None:
    where = "in memory: no disk takes part" if place == dest == _MEMORY else "a disk takes part"
    print(f"{total / 1e9:.2f} GB of data in {place}, destination in {dest} ({where})")
    print(f"{os.cpu_count()} processors, shared with the server; medians of {repeats}")
    how = "its command line" if has_cli() else "benchmarks/_ours.py, as it has no command line yet"
    print(f"ours verifies all it fetches, theirs do not; ours is run through {how}")


def _compare(ground: Ground, cases: tuple[Case, ...], repeats: int) -> None:
    for distance in (FAR, NEAR):
        with (
            Server(ground.root, distance) as newer,
            Server(ground.root, distance, checksums=False) as older,
        ):
            timings: Timings = {}
            for case in cases:
                _time_case(ground, (newer, older), case, repeats, timings)
        print_table(distance, cases, TOOLS, timings, goals=distance is FAR)


def _time_case(
    ground: Ground, servers: tuple[Server, Server], case: Case, repeats: int, timings: Timings
) -> None:
    tools = [tool for tool in TOOLS if tool.runs(case)]
    if case.present:
        for tool in tools:
            ground.empty(tool, case)
            sample(ground, servers[tool.older], tool, case)
    for number in range(repeats):
        for tool in tools:
            if number and tool.sample:
                continue  # many processes, each of which is a repeat
            if not case.present:
                ground.empty(tool, case)
            found = sample(ground, servers[tool.older], tool, case)
            timings.setdefault((case.name, tool.name), []).append(found)
            print(".", end="", flush=True)
            if not case.present:
                shutil.rmtree(ground.dest(tool, case))
    for tool in tools:
        shutil.rmtree(ground.dest(tool, case), ignore_errors=True)


def sample(ground: Ground, server: Server, tool: Tool, case: Case) -> Sample:
    """Run a tool once and look at what it did."""
    dest = ground.dest(tool, case)
    environ = environment(server.url, ground.home)
    server.served()
    spent, problem = Spent(0.0, 0.0, 0.0), ""
    try:
        for command in tool.commands(server.url, case, dest):
            spent = spent.plus(run(command, environ, ground.log))
    except FailedError as error:
        problem = str(error)
    served = server.served()
    things = list(case.things())
    asked = things[: tool.sample]
    problem = problem or _missing(dest, {Path(t.key).name: t.size for t in asked})
    factor = len(things) / len(asked)
    return Sample(spent.times(factor), served.times(factor), problem, _verifications(dest, tool))


def _missing(dest: Path, expected: dict[str, int]) -> str:
    """Say what is not there or of another size; "" when nothing is."""
    found: dict[str, int] = {}
    for folder, folders, names in os.walk(dest):
        if _STATE in folders:
            folders.remove(_STATE)
        for name in names:
            found[name] = os.stat(os.path.join(folder, name)).st_size
    wrong = [name for name, size in expected.items() if found.get(name) != size]
    return f"{len(wrong)} of {len(expected)} files wrong, such as {wrong[0]}" if wrong else ""


def _verifications(dest: Path, tool: Tool) -> str:
    """Return how ours verified the files, as its receipts say."""
    if not tool.ours:
        return ""
    return ", ".join(
        sorted({receipt.verification for receipt in read_receipts(dest / _STATE).values()})
    )
