"""Medians and ratios of the S3 benchmarks, as tables."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._tools import ONE_BY_ONE, OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._data import Case
    from benchmarks._server import Distance, Served
    from benchmarks._tools import Spent, Tool

__all__ = ["GOALS", "Sample", "Timings", "print_table"]

GOALS = {
    ("small", ONE_BY_ONE): 100.0,
    ("small", "aws s3 sync"): 3.0,
    ("medium", "aws s3 sync"): 2.0,
    ("big", "aws s3 sync"): 1.5,
    ("mixed", "aws s3 sync"): 1.5,
    ("noop", "aws s3 sync"): 1.5,
    ("small", "s5cmd cp"): 1.0,
    ("medium", "s5cmd cp"): 1.0,
    ("big", "s5cmd cp"): 2.0,
    ("mixed", "s5cmd cp"): 2.0,
    ("noop", "s5cmd cp"): 1.0,
    ("noop", "s5cmd sync"): 1.0,
}
"""What we set out for at 30 ms and 80 MB/s: their seconds over ours."""

_HEADER = (
    f"  {'':<30}{'seconds':>9}{'(spread)':>16}{'ratio':>8}{'goal':>7}"
    f"{'cpu s':>8}{'MB':>7}{'requests':>10}{'conn':>6}{'server':>8}"
)


class Sample(NamedTuple):
    """One run of one tool: what it took, what the server did, what went wrong, how it verified."""

    spent: Spent
    served: Served
    problem: str
    verifications: str


Timings = dict[tuple[str, str], list[Sample]]


def median(samples: list[Sample], value: Callable[[Sample], float]) -> float:
    """Return the median of something over the runs."""
    return statistics.median(map(value, samples))


def wall(samples: list[Sample]) -> float:
    """Return the median of the seconds on the wall; NaN when no run succeeded."""
    good = [sample for sample in samples if not sample.problem]
    return median(good, lambda sample: sample.spent.wall) if good else math.nan


def print_table(
    distance: Distance,
    cases: tuple[Case, ...],
    tools: tuple[Tool, ...],
    timings: Timings,
    *,
    goals: bool,
) -> None:
    """Print one distance: a block for each case, a line for each tool."""
    print(f"\n=== {distance.name} ===")
    print(
        "ratio: their seconds over ours; '!' where it misses the goal. server: its processor time"
    )
    print("over the wall time. MB: peak memory, of which the parent's own share is the least seen.")
    print(_HEADER)
    for case in cases:
        ours = timings[case.name, OURS]
        print(f"{case.name}: {case.note}")
        for tool in tools:
            if samples := timings.get((case.name, tool.name)):
                goal = GOALS.get((case.name, tool.name)) if goals else None
                print(_line(tool, samples, wall(samples) / wall(ours), goal))
                _print_problems(samples)


def _line(tool: Tool, samples: list[Sample], ratio: float, goal: float | None) -> str:
    name = tool.name + (" *" if tool.sample else "")
    if math.isnan(wall(samples)):
        return f"  {name:<30}{'failed':>9}"
    samples = [sample for sample in samples if not sample.problem]
    seconds = [sample.spent.wall for sample in samples]
    spread = f"({min(seconds):.2f}-{max(seconds):.2f})"
    server = median(samples, lambda sample: sample.served.cpu / sample.spent.wall)
    mark = "" if goal is None else f"{goal:g}x{'' if ratio >= goal else ' !'}"
    return (
        f"  {name:<30}{wall(samples):>9.2f}{spread:>16}{ratio:>7.1f}x{mark:>7}"
        f"{median(samples, lambda sample: sample.spent.cpu):>8.2f}"
        f"{median(samples, lambda sample: sample.spent.memory):>7.0f}"
        f"{median(samples, lambda sample: sample.served.requests):>10.0f}"
        f"{median(samples, lambda sample: sample.served.connections):>6.0f}"
        f"{server:>7.0%}" + _remark(tool, samples[-1])
    )


def _remark(tool: Tool, last: Sample) -> str:
    if tool.sample:
        return f"   * timed on {tool.sample} files, scaled to all"
    return f"   verified by {last.verifications or 'nothing'}" if tool.ours else ""


def _print_problems(samples: list[Sample]) -> None:
    for number, sample in enumerate(samples, 1):
        if sample.problem:
            print(f"      run {number} failed and does not count: {sample.problem}")
