"""Fetch from an S3 that seems far away, beside the tools people use today.

Each run is a fresh process, with an empty destination (but for the case that has nothing to do).
The tools take turns: each runs once, then each again. After every run all files must be there, at
their sizes, and ``sync -f`` of the destination is timed: neurofetch has verified and flushed
everything by then, the others have not.

``NEUROFETCH_BENCH_CASES``, ``_TOOLS`` and ``_COLUMNS`` (names, with spaces between),
``NEUROFETCH_BENCH_REPEATS`` and ``NEUROFETCH_BENCH_DEST`` say what the options say.
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._data import CASES, QUICK, Case, make, scratch
from benchmarks._docs import DOCS, put
from benchmarks._picture import draw
from benchmarks._results import COLUMNS, EVERY_COLUMN, Column, Results, Run
from benchmarks._server import FAR, NEAR, WORK, Distance, Server
from benchmarks._tables import markdown, missed, print_column
from benchmarks._tools import (
    TOOLS,
    USUAL,
    FailedError,
    Spent,
    Tool,
    environment,
    has_cli,
    run,
    versions,
)
from neurofetch.store.receipts import read_receipts
from testbed._tls import certify

if TYPE_CHECKING:
    import argparse

__all__ = ["USUAL_CASES", "Chosen", "Ground", "add_options", "main", "sample"]

_STATE = ".neurofetch"
_MEMORY = Path("/dev/shm")
_REPEATS, _QUICK_REPEATS = 5, 2
USUAL_CASES = ("small", "medium", "big", "mixed")


# -- what is asked for -------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """What to run.

    Parameters
    ----------
    cases : tuple of Case
    tools : tuple of Tool
    columns : tuple of Column
    repeats : int
        Turns of each tool.
    disk : Path
        Where the files go in the columns with a disk.
    distance : Distance
    out : Path
        The JSON file.
    docs : bool
        Whether the table and the picture go to docs.
    redraw : bool
        Run nothing: make table and picture of what the JSON file says.
    """

    cases: tuple[Case, ...]
    tools: tuple[Tool, ...]
    columns: tuple[Column, ...]
    repeats: int
    disk: Path
    distance: Distance
    out: Path
    docs: bool = False
    redraw: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> Chosen:
        """Return what the command line says, and the environment where that says nothing."""
        cases = QUICK if args.quick else CASES
        return cls(
            cases=tuple(case for case in cases if case.name in args.cases),
            tools=tuple(tool for tool in TOOLS if tool.name in args.tools),
            columns=tuple(column for column in EVERY_COLUMN if column.name in args.columns),
            repeats=args.repeats or (_QUICK_REPEATS if args.quick else _REPEATS),
            disk=Path(args.dest).absolute(),
            distance=NEAR if args.near else FAR,
            out=args.out or (DOCS if args.docs else WORK) / "benchmarks.json",
            docs=args.docs,
            redraw=args.redraw,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark to the command line."""
    group = parser.add_argument_group("s3")
    group.add_argument("--quick", action="store_true", help="fewer and smaller files: 3 minutes")
    repeats = int(os.environ.get("NEUROFETCH_BENCH_REPEATS", "0"))
    text = f"turns of each tool (default: {_REPEATS}; --quick: {_QUICK_REPEATS})"
    group.add_argument("--repeats", type=int, default=repeats, metavar="N", help=text)
    for name, known, usual in (
        ("cases", [case.name for case in CASES], USUAL_CASES),
        ("tools", [tool.name for tool in TOOLS], USUAL),
        ("columns", [column.name for column in EVERY_COLUMN], [one.name for one in COLUMNS]),
    ):
        said = os.environ.get(f"NEUROFETCH_BENCH_{name.upper()}", "").split()
        text = f"of {', '.join(known)} (default: {', '.join(usual)})"
        group.add_argument(
            f"--{name}", nargs="+", default=said or usual, choices=known, metavar="NAME", help=text
        )
    dest = os.environ.get("NEUROFETCH_BENCH_DEST", str(WORK))
    group.add_argument("--dest", default=dest, help=f"a folder on the disk (default: {dest})")
    group.add_argument("--near", action="store_true", help="no distance: plain loopback")
    group.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/work)")
    text = "write the JSON, the table and the picture to docs"
    group.add_argument("--docs", action="store_true", help=text)
    text = "run nothing: make table and picture of the JSON file"
    group.add_argument("--redraw", action="store_true", help=text)


def main(chosen: Chosen) -> None:
    """Time all tools on all cases; print the tables, write the JSON, draw the picture."""
    WORK.mkdir(exist_ok=True)
    results = Results.read(chosen.out) if chosen.redraw else _compare(chosen)
    for column in results.columns:
        print_column(results, column)
    wrong = missed(results)
    print("\nGoals that were missed:" if wrong else "\nNo goal was missed.")
    print("".join(f"  {line}\n" for line in wrong), end="")
    picture = (DOCS if chosen.docs else chosen.out.parent) / "benchmarks.svg"
    draw(results, picture)
    print(f"written: {chosen.out}, {picture}")
    if chosen.docs:
        put("s3", markdown(results))
    else:
        table = chosen.out.with_suffix(".md")
        table.write_text(markdown(results), encoding="utf-8")
        print(f"written: {table}")


# -- the ground --------------------------------------------------------------------------------


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
        self.home.mkdir(parents=True, exist_ok=True)
        self.log = root / "log"
        self._dest = dest

    def dest(self, tool: Tool, case: Case) -> Path:
        """Return the destination of a tool in a case."""
        return self._dest / f"{tool.name}-{case.name}"

    def empty(self, tool: Tool, case: Case) -> None:
        """Make it empty, and let the disk come to rest."""
        path = self.dest(tool, case)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        os.sync()


def _compare(chosen: Chosen) -> Results:
    sizes = [sum(thing.size for thing in case.things()) for case in chosen.cases]
    place = scratch(sum(sizes) + max(sizes), WORK)  # one destination at a time
    with ExitStack() as stack:

        def folder(kind: str, where: Path) -> Path:
            prefix = f"neurofetch-{kind}-"
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=where)))

        root = folder("bench", place)
        places = {
            disk: folder("dest", chosen.disk if disk else place)
            for disk in sorted({column.disk for column in chosen.columns})
        }
        total = make(root, chosen.cases)
        certified = certify(root)
        results = Results(
            _about(chosen, place),
            {case.name: case.note for case in chosen.cases},
            {tool.name: tool.typed for tool in chosen.tools},
        )
        print(f"{total / 1e9:.2f} GB of data in {place}; " + "; ".join(results.about.values()))
        for column in chosen.columns:
            with Server(
                root,
                chosen.distance,
                checksums=column.checksums,
                certified=certified if column.tls else None,
            ) as server:
                print(f"\n{column.title} ", end="", flush=True)
                ground = Ground(root, places[column.disk])
                for case in chosen.cases:
                    results.runs += _timed(ground, server, case, chosen, column.name)
                    results.write(chosen.out)
    return results


def _about(chosen: Chosen, place: Path) -> dict[str, str]:
    """Return what a reader must know of the conditions."""
    memory = f"memory is {place}" if place == _MEMORY else f"'memory' is {place}, a disk: no room"
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    how = "" if has_cli() else "; neurofetch is run through benchmarks/_ours.py"
    return {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} processors, shared with the server, {platform.machine()}, "
        f"Python {platform.python_version()}",
        "distance": chosen.distance.name,
        "turns": f"medians of {chosen.repeats} turns, with the least and the most",
        "places": f"{memory}; the disk is {_file_system(chosen.disk)}",
        "versions": known + how,
    }


def _file_system(path: Path) -> str:
    asked = ["stat", "-f", "-c", "%T", str(path)]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


# -- the runs ----------------------------------------------------------------------------------


def _timed(ground: Ground, server: Server, case: Case, chosen: Chosen, column: str) -> list[Run]:
    """Return the runs of all tools on one case, in turn."""
    tools = [tool for tool in chosen.tools if tool.runs(case)]
    if case.present:
        for tool in tools:
            ground.empty(tool, case)
            sample(ground, server, tool, case)
    runs: list[Run] = []
    for turn in range(chosen.repeats):
        for tool in tools:
            if turn and tool.sample:
                continue  # many processes, each of which is a repeat
            if not case.present:
                ground.empty(tool, case)
            runs.append(sample(ground, server, tool, case, column=column, turn=turn))
            print(".", end="", flush=True)
            if not case.present:
                shutil.rmtree(ground.dest(tool, case))
    for tool in tools:
        shutil.rmtree(ground.dest(tool, case), ignore_errors=True)
    return runs


def sample(ground: Ground, server: Server, tool: Tool, case: Case, **where: str | int) -> Run:
    """Run a tool once and look at what it did; `where` says what the run is a part of."""
    dest = ground.dest(tool, case)
    environ = environment(server.url, ground.home, server.authority)
    server.served()
    spent, problem = Spent(0.0, 0.0, 0.0), ""
    try:
        for command in tool.commands(server.url, case, dest):
            spent = spent.plus(run(command, environ, ground.log))
    except FailedError as error:
        problem = str(error)
    flush = _flush(dest)
    things = list(case.things())
    asked = things[: tool.sample]
    factor = len(things) / len(asked)
    problem = problem or _missing(dest, {Path(t.key).name: t.size for t in asked})
    spent, served = spent.times(factor), server.served().times(factor)
    return Run(
        column=str(where.get("column", "")),
        case=case.name,
        tool=tool.name,
        turn=int(where.get("turn", 0)),
        wall=round(spent.wall, 4),
        cpu=round(spent.cpu, 4),
        flush=round(flush, 4),
        memory=round(spent.memory, 1),
        requests=served.requests,
        connections=served.connections,
        server=round(served.cpu, 2),
        user=round(spent.user, 4),
        problem=problem,
        verified=_verifications(dest),
    )


def _flush(dest: Path) -> float:
    """Return the seconds until all that was written there is on the disk."""
    began = time.perf_counter()
    subprocess.run(["sync", "-f", str(dest)], check=True)
    return time.perf_counter() - began


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


def _verifications(dest: Path) -> str:
    """Return how the files were verified, as the receipts say; "" where there are none."""
    if not (dest / _STATE).is_dir():
        return ""
    return ", ".join(
        sorted({receipt.verification for receipt in read_receipts(dest / _STATE).values()})
    )
