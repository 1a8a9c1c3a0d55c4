"""Downloads over lines that cut, crawl and go dark, and killed again and again.

Each row is one download, run again only where it was killed. Copies are the bytes that were sent
(over a line, with heads and listings) over those of the files. Kills are at 12 MB/s a connection.
"""

from __future__ import annotations

import filecmp
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks._data import BUCKET, Case, Group, make, scratch
from benchmarks._server import NEAR, WORK, Distance, Server
from benchmarks._tools import environment
from testbed._line import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["main"]

_KB, _MB = 1_000, 1_000_000
_KILLS = 6
_LONGEST = 170.0
"""Seconds; a download that takes longer is ended."""
_LOOK = 0.01


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    name : str
    case : Case
    line : mapping of str to object
        What `Line` is to do; without it, the server is asked directly.
    distance : Distance
        Of the server behind it.
    kills : int
        How often the process is killed, at even shares of the bytes.
    goal : float
        Copies, at most.
    """

    name: str
    case: Case
    line: Mapping[str, Any] | None = None
    distance: Distance = NEAR
    kills: int = 0
    goal: float = 1.2


class Result(NamedTuple):
    """How it went."""

    code: int
    right: int
    files: int
    copies: float
    seconds: float
    remark: str


_CUT = Case("cut", (Group(20, _MB, 5 * _MB), Group(1, 60 * _MB, 60 * _MB)))
_MANY = Case(
    "many",
    (
        Group(100, _KB, 20 * _KB, "events.json"),
        Group(10, _MB, 3 * _MB),
        Group(2, 10 * _MB, 10 * _MB),
    ),
)
_SLOW = Case("slow", (Group(100, _KB, 20 * _KB, "events.json"), Group(12, _MB // 2, 2 * _MB)))
_ONE = Case("one", (Group(1, 400 * _MB, 400 * _MB),))
_MEDIUM = Case("medium", (Group(100, 2 * _MB, 6 * _MB),))
_KILLED = Distance("30 ms round trip, 12 MB/s per connection", ("-rtt", "30ms", "-rate", "12"))

ROWS = (
    Row("each connection cut after 3 MB", _CUT, {"cut_bytes": 3 * _MB}),
    Row("cut after 15 s, 1.5 MB/s in all", _MANY, {"cut_seconds": 15.0, "rate": 1.5e6}),
    Row("0.7 MB/s in all", _SLOW, {"rate": 0.7e6}, goal=1.05),
    Row("dark for 75 s", _CUT, {"rate": 8e6, "dark": (3.0, 75.0)}),
    Row("six kill -9 in one file of 400 MB", _ONE, distance=_KILLED, kills=_KILLS, goal=1.25),
    Row("six kill -9 in 100 of 2-6 MB", _MEDIUM, distance=_KILLED, kills=_KILLS, goal=1.25),
)


def main() -> None:
    """Run all rows, and print the table."""
    WORK.mkdir(exist_ok=True)
    place = scratch(1_000 * _MB, WORK)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        root = Path(folder)
        served = root / "served"
        served.mkdir()
        make(served, tuple({row.case.name: row.case for row in ROWS}.values()))
        print(f"{'':46} {'exit':>4} {'files':>9} {'copies':>7} {'goal':>6} {'s':>6}")
        for row in ROWS:
            result = _run(row, served, root / "here")
            files = f"{result.right}/{result.files}"
            print(
                f"{row.name:46} {result.code:4} {files:>9} {result.copies:7.3f} "
                f"{'≤ ' + str(row.goal):>6} {result.seconds:6.1f}  {result.remark}",
                flush=True,
            )


def _run(row: Row, served: Path, dest: Path) -> Result:
    things = list(row.case.things())
    total = sum(thing.size for thing in things)
    dest.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(Server(served, row.distance))
        line, url, count = None, server.url, _counted(server)
        if row.line is not None:
            port = int(server.url.rpartition(":")[2].strip("/"))
            line = stack.enter_context(Line(port, **row.line))
            url, count = line.url, lambda: line.served
        began = time.monotonic()
        code = _fetch(row, url, dest, total, count)
        seconds, sent = time.monotonic() - began, count()
    right = sum(_same(served / BUCKET / thing.key, dest / thing.key) for thing in things)
    shutil.rmtree(dest)
    remark = f"{line.connections} connections, {line.cuts} cut" if line is not None else ""
    return Result(code, right, len(things), sent / total, seconds, remark)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and filecmp.cmp(one, other, shallow=False)


def _counted(server: Server) -> Callable[[], int]:
    """Return what counts the bytes that a server sent since now."""
    sent = 0

    def count() -> int:
        nonlocal sent
        sent += server.served().bytes
        return sent

    return count


def _fetch(row: Row, url: str, dest: Path, total: int, count: Callable[[], int]) -> int:
    """Fetch it, killed now and then; return how the last process ended."""
    environ = environment(url, dest.parent)
    command = [sys.executable, "-m", "benchmarks._ours", f"{row.case.name}/", str(dest)]
    for number in range(row.kills + 1):
        with (dest.parent / "log").open("w") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
            due = total * (number + 1) / (row.kills + 1)
            end = time.monotonic() + _LONGEST
            while process.poll() is None:
                if (number < row.kills and count() >= due) or time.monotonic() > end:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                time.sleep(_LOOK)
    if process.returncode:
        print((dest.parent / "log").read_text()[-1_000:], file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    main()
