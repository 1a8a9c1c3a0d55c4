"""Parsers of HTTP responses side by side: more figures for docs/adr/0003-own-http-client.md.

Each run is `neurofetch get` in a process of its own, from a server that is 30 ms away; only the
parser differs. The parsers take turns, and another one begins each time. After each run all files
are held against the objects of the server, byte by byte. The files go to the disk of this folder,
and once more to memory, where no disk blurs the processor time.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._data import BUCKET, CASES, Case, make, scratch
from benchmarks._parsers import PARSERS
from benchmarks._server import FAR, WORK, Server
from benchmarks._tools import Tool, with_parser
from benchmarks.s3 import Ground, sample

if TYPE_CHECKING:
    from benchmarks._results import Run

__all__ = ["main"]

REPEATS = {"small": 21, "medium": 9, "big": 7}
_MEMORY = Path("/dev/shm")
_BLOCK = 1 << 20


def main(factor: float = 1.0, only: tuple[str, ...] = ()) -> None:
    """Time all parsers on all cases, and print the tables.

    Parameters
    ----------
    factor : float
        How much more often than usual.
    only : tuple of str
        Names of cases; empty for all.
    """
    cases = tuple(case for case in CASES if case.name in (only or REPEATS))
    sizes = [sum(thing.size for thing in case.things()) for case in cases]
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch(sum(sizes) + max(sizes), WORK)) as folder:
        root = Path(folder)
        make(root, cases)
        print(f"{FAR.name}; objects in {root}")
        for number, where in enumerate((WORK, _MEMORY)):
            if where.is_dir():
                with tempfile.TemporaryDirectory(dir=where) as inside, Server(root, FAR) as server:
                    ground = Ground(root / f"log{number}", Path(inside))
                    for case in cases:
                        repeats = max(1, round(REPEATS[case.name] * factor))
                        found = _times(ground, server, case, repeats)
                        print(f"\n{case.note}, to {where}; medians of {repeats} (least-most)")
                        _print(found)


def _times(ground: Ground, server: Server, case: Case, repeats: int) -> dict[str, list[Run]]:
    tools = [with_parser(name) for name in PARSERS]
    times: dict[str, list[Run]] = {tool.name: [] for tool in tools}
    for number in range(repeats):
        first = number % len(tools)
        for tool in tools[first:] + tools[:first]:
            ground.empty(tool, case)
            found = sample(ground, server, tool, case)
            problem = found.problem or _difference(ground, tool, case)
            if problem:
                raise SystemExit(f"{tool.name}: {problem}")
            times[tool.name].append(found)
            shutil.rmtree(ground.dest(tool, case))
    return times


def _difference(ground: Ground, tool: Tool, case: Case) -> str:
    """Hold each file against its object; return the name of one that differs."""
    objects, dest = ground.root.parent / BUCKET, ground.dest(tool, case)
    for thing in case.things():
        fetched = dest / thing.key.removeprefix(f"{case.name}/")
        with (objects / thing.key).open("rb") as one, fetched.open("rb") as other:
            while block := one.read(_BLOCK):
                if block != other.read(_BLOCK):
                    return f"{thing.key} has other bytes than the server"
    return ""


def _print(times: dict[str, list[Run]]) -> None:
    for name, samples in times.items():
        line = f"  {name:<12}"
        for what in ("wall", "cpu", "user"):
            seconds = sorted(getattr(one, what) for one in samples)
            first = statistics.median(getattr(one, what) for one in times[PARSERS[0]])
            middle = statistics.median(seconds)
            spread = f"({seconds[0]:.2f}-{seconds[-1]:.2f})"
            line += f"  {what} {middle:.2f} {spread:<12} {middle / first:.2f}x"
        memory = statistics.median(one.memory for one in samples)
        print(f"{line}  {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 1.0, tuple(sys.argv[2:]))
