"""What the S3 benchmarks found: one row a run, kept as JSON; figures are computed from the rows."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from benchmarks._tools import OURS, RCLONE, S5CMD, SYNC

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["COLUMNS", "EVERY_COLUMN", "Column", "Ratio", "Results", "Run"]


@dataclass(frozen=True)
class Column:
    """The conditions of some runs.

    Parameters
    ----------
    disk : bool
        Whether the files go to a disk; else to memory.
    checksums : bool
        Whether the server has CRCs of whole objects; else all it has are ETags, which are MD5s.
    tls : bool
    """

    disk: bool
    checksums: bool
    tls: bool = False

    @property
    def name(self) -> str:
        """How it is called on the command line and in the JSON."""
        place, sums = "disk" if self.disk else "memory", "crc" if self.checksums else "md5"
        return f"{place}-{sums}{'-tls' if self.tls else ''}"

    @property
    def title(self) -> str:
        """How it is called in the tables."""
        place, sums = "disk" if self.disk else "memory", "CRC" if self.checksums else "MD5 only"
        return f"{place}, {sums}{', TLS' if self.tls else ''}"

    def goal(self, case: str, tool: str) -> float | None:
        """Return what we set out for: their seconds over ours; None where nothing was said."""
        if case not in ("small", "medium", "big", "mixed"):
            return None
        if not self.checksums:
            return 1.0 if tool in (S5CMD, SYNC, RCLONE) else None
        twice = case in ("big", "mixed") and not self.disk
        goals = {S5CMD: 2.0 if twice else 1.0, SYNC: 1.5, RCLONE: 1.2}
        if self.tls:
            del goals[S5CMD]
        return goals.get(tool)


EVERY_COLUMN = tuple(
    Column(disk, checksums, tls)
    for tls in (False, True)
    for disk in (False, True)
    for checksums in (True, False)
)
COLUMNS = (*EVERY_COLUMN[:4], Column(disk=False, checksums=True, tls=True))
"""Those that are run where nobody says which."""


@dataclass(frozen=True)
class Run:
    """One run of one tool.

    Parameters
    ----------
    column, case, tool : str
    turn : int
        From 0; the tools that have the same one ran one after another.
    wall, cpu, user : float
        Seconds on the wall, of processors, and those of them that are the program's own.
    flush : float
        Seconds that ``sync -f`` took after it.
    memory : float
        Its peak, in MB.
    requests, connections : int
        What the server saw.
    server : float
        Processor seconds of the server.
    problem : str
        What went wrong; "" for nothing.
    verified : str
        How ours verified the files, as its receipts say.
    """

    column: str
    case: str
    tool: str
    turn: int
    wall: float
    cpu: float
    flush: float
    memory: float
    requests: int
    connections: int
    server: float
    user: float
    problem: str = ""
    verified: str = ""

    @property
    def safe(self) -> float:
        """Seconds until all is on the disk: ours flushes by itself."""
        return self.wall if self.tool == OURS else self.wall + self.flush


@dataclass(frozen=True)
class Ratio:
    """Their seconds over ours: that of the medians, and the least and most of the turns."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}-{self.most:.2f})"


@dataclass
class Results:
    """All runs, and what there is to know about them.

    Parameters
    ----------
    about : dict of str to str
        Date, machine, distance and versions, for people.
    cases : dict of str to str
        What each case is.
    tools : dict of str to str
        What a user types for each tool.
    runs : list of Run
    """

    about: dict[str, str]
    cases: dict[str, str]
    tools: dict[str, str]
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return what was written to a file."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**found, "runs": [Run(**row) for row in found["runs"]]})

    def write(self, path: Path) -> None:
        """Write them to a file, a line a run."""
        rows = ",\n  ".join(json.dumps(asdict(run), ensure_ascii=False) for run in self.runs)
        head = {"about": self.about, "cases": self.cases, "tools": self.tools}
        text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        draft = path.with_suffix(".tmp")
        draft.write_text(f'{text},\n "runs": [\n  {rows}\n ]\n}}\n', encoding="utf-8")
        os.replace(draft, path)

    @property
    def columns(self) -> list[Column]:
        """The conditions of which there are runs."""
        seen = {run.column for run in self.runs}
        return [column for column in EVERY_COLUMN if column.name in seen]

    @property
    def others(self) -> list[str]:
        """The tools beside ours of which there are runs."""
        seen = {run.tool for run in self.runs}
        return [tool for tool in self.tools if tool in seen and tool != OURS]

    def of(self, column: Column, case: str, tool: str) -> list[Run]:
        """Return the runs that succeeded, in turn."""
        key = (column.name, case, tool)
        return [
            run for run in self.runs if (run.column, run.case, run.tool) == key and not run.problem
        ]

    def ratio(self, column: Column, case: str, tool: str, *, flushed: bool = True) -> Ratio | None:
        """Return their seconds over ours; None where one of the two has no run.

        Parameters
        ----------
        column : Column
        case, tool : str
        flushed : bool
            Whether their seconds include ``sync -f``; ours always include the flush.
        """

        def seconds(run: Run) -> float:
            return run.safe if flushed else run.wall

        theirs, ours = self.of(column, case, tool), self.of(column, case, OURS)
        if not theirs or not ours:
            return None
        before = {run.turn: run.wall for run in ours}
        turns = [seconds(run) / before[run.turn] for run in theirs if run.turn in before]
        whole = median(theirs, seconds) / median(ours, seconds)
        return Ratio(whole, min(turns, default=whole), max(turns, default=whole))


def median(runs: list[Run], value: Callable[[Run], float]) -> float:
    """Return the median of something over runs."""
    return statistics.median(map(value, runs))
