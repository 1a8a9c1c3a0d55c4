"""The number of connections that a transfer finds, beside fixed ones: rate x latency x loss x cut.

For each cell: how much 1, 2, 4, … 64 connections bring, which number is found (the median over the
second half of the run), and what that brings, as a share of the best fixed one. The line is a
simulated one (`benchmarks/_line.py`). Cells that were measured are kept in
`benchmarks/work/grid.json`; remove it to begin anew. ``NEUROFETCH_GRID_CELLS`` measures so many
more at most. The table goes to standard output, and the picture to `docs/connections.svg`.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._grid_picture import picture
from benchmarks._line import Line
from neurofetch.engine import (
    Dataset,
    Fetcher,
    Listing,
    Network,
    Options,
    RunSettings,
    query,
)
from neurofetch.events import Event, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CELLS", "main"]

FIXED = (1, 2, 4, 8, 16, 32, 64)
RATES = (0.5e6, 4e6, 30e6)
LATENCIES = (0.01, 0.1)
TROUBLES: tuple[tuple[float, int | None], ...] = ((0.0, None), (0.0, 3_000_000), (0.01, None))
"""Loss, and after how many bytes each connection is cut."""
CELLS = tuple(
    Line(rate, rtt, *trouble) for rate, rtt, trouble in product(RATES, LATENCIES, TROUBLES)
)
_SECONDS_FIXED, _SECONDS_FOUND = 2.0, 12.0
_HERE = Path(__file__).parent
_KEPT = _HERE / "work" / "grid.json"
_PICTURE = _HERE.parent / "docs" / "connections.svg"


class _Numbers(logging.Handler):
    """Hears which number is found."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[tuple[float, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("connections:") and isinstance(record.args, tuple):
            self.found.append((time.monotonic(), int(str(record.args[0]))))

    def median(self, begin: float, end: float) -> float:
        """Return the median over a time."""
        steps = int((end - begin) / 0.05)
        moments = [begin + 0.05 * step for step in range(steps)]
        return statistics.median(
            [n for at, n in self.found if at <= moment][-1] for moment in moments
        )


class _EnoughError(Exception):
    """The time of a run is over."""


def _run(url: str, seconds: float, width: int | None) -> tuple[float, float]:
    """Fetch for some seconds; return what came a second, and the number, in the second half."""
    os.environ["AWS_ENDPOINT_URL_S3"] = url
    numbers, log = _Numbers(), logging.getLogger("neurofetch")
    half: list[tuple[float, int]] = []
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("NEUROFETCH_BENCH_DEST")) as place,
        Fetcher(Dataset("bench", "bench"), place, network=Network()) as fetcher,
    ):
        plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))))
        pace, began = fetcher.client.pace, time.monotonic()

        def listen(event: Event) -> None:
            if not isinstance(event, Progress):
                return
            now = time.monotonic()
            if not half and now - began >= seconds / 2:
                half.append((now, pace.came))
            if now - began >= seconds:
                half.append((now, pace.came))
                raise _EnoughError

        log.addHandler(numbers)
        log.setLevel(logging.DEBUG)
        try:
            options = Options(n_jobs=4, width=width, bulk_connections=64)
            fetcher.run(plan, RunSettings(options=options, listen=listen), strict=False)
        except _EnoughError:
            pass
        finally:
            log.removeHandler(numbers)
    (begin, before), (end, after) = half
    return (after - before) / (end - begin), numbers.median(begin, end)


def _measured(line: Line) -> dict[str, Any]:
    """Measure one cell."""
    command = [sys.executable, "-m", "benchmarks._line", json.dumps(line._asdict())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_HERE.parent
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        brought, number = _run(url, _SECONDS_FOUND, None)
        fixed = {n: _run(url, _SECONDS_FIXED, n)[0] for n in FIXED if _tells(line, n)}
        server.communicate("")
    return {"line": line._asdict(), "found": number, "brought": brought, "fixed": fixed}


def _tells(line: Line, number: int) -> bool:
    """Whether a number is worth a run: not where half of it already fills the line twice."""
    return number <= 2 or number / 2 * line.each < 2 * line.rate


def _rows(cells: list[dict[str, Any]]) -> Iterator[str]:
    yield "| rate, MB/s | latency, ms | loss | cut after | best fixed | found | brings, of best |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for cell in cells:
        line = Line(**cell["line"])
        best = min(max(cell["fixed"].values()), line.rate)  # more is what buffers gave back
        least = min(int(n) for n, rate in cell["fixed"].items() if rate >= 0.95 * best)
        yield (
            f"| {line.rate / 1e6:g} | {line.rtt * 1e3:g} | {line.loss:.1%} "
            f"| {'3 MB' if line.cut else 'never'} | {least} | {cell['found']:g} "
            f"| {cell['brought'] / best:.0%} |"
        )


def main() -> None:
    """Measure the cells that are missing; print the table, and draw the picture."""
    _KEPT.parent.mkdir(exist_ok=True)
    cells = json.loads(_KEPT.read_text()) if _KEPT.exists() else []
    there = {Line(**cell["line"]) for cell in cells}
    missing = [line for line in CELLS if line not in there]
    for line in missing[: int(os.environ.get("NEUROFETCH_GRID_CELLS", len(CELLS)))]:
        cells.append(_measured(line))
        _KEPT.write_text(json.dumps(cells, indent=1))
        print(*list(_rows(cells[-1:]))[2:], flush=True)
    cells.sort(key=lambda cell: CELLS.index(Line(**cell["line"])))
    print("\n".join(_rows(cells)))
    _PICTURE.write_text(picture(cells))


if __name__ == "__main__":
    main()
