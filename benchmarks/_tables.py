"""The results of the S3 benchmarks as tables: one for a terminal, one for the page in docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks._results import median
from benchmarks._tools import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._results import Column, Ratio, Results, Run

__all__ = ["markdown", "missed", "print_column"]

_HEADER = (
    f"  {'':<30}{'seconds':>9}{'(spread)':>16}{'sync -f':>9}{'ratio':>8}{'goal':>7}"
    f"{'cpu s':>8}{'MB':>7}{'requests':>10}{'conn':>6}{'server':>8}"
)


# -- for a terminal ----------------------------------------------------------------------------


def print_column(results: Results, column: Column) -> None:
    """Print one column: a block for each case, a line for each tool."""
    print(f"\n=== {column.title}; {results.about['distance']} ===")
    print("ratio: their seconds with sync -f over ours; '!' where it misses the goal.")
    print("server: its processor time over the wall time. MB: peak memory.")
    print(_HEADER)
    for case, note in results.cases.items():
        if any((run.column, run.case) == (column.name, case) for run in results.runs):
            print(f"{case}: {note}")
            for tool in (OURS, *results.others):
                _print_tool(results, column, case, tool)


def _print_tool(results: Results, column: Column, case: str, tool: str) -> None:
    if runs := results.of(column, case, tool):
        ratio, goal = results.ratio(column, case, tool), column.goal(case, tool)
        mark = ""
        if goal is not None and ratio is not None:
            mark = f"{goal:g}x{'' if _reached(ratio, goal) else ' !'}"
        shown = "" if ratio is None else f"{ratio.median:.2f}x"
        print(_line(results.tools[tool], runs, f"{shown:>8}{mark:>7}"))
    for run in results.runs:
        if run.problem and (run.column, run.case, run.tool) == (column.name, case, tool):
            print(f"      run {run.turn + 1} failed and does not count: {run.problem}")


def _line(name: str, runs: list[Run], compared: str) -> str:
    walls = [run.wall for run in runs]
    spread = f"({min(walls):.2f}-{max(walls):.2f})"
    return (
        f"  {name:<30}{median(runs, lambda run: run.wall):>9.2f}{spread:>16}"
        f"{median(runs, lambda run: run.flush):>9.2f}{compared}"
        f"{median(runs, lambda run: run.cpu):>8.2f}{median(runs, lambda run: run.memory):>7.0f}"
        f"{median(runs, lambda run: run.requests):>10.0f}"
        f"{median(runs, lambda run: run.connections):>6.0f}"
        f"{median(runs, lambda run: run.server / run.wall):>7.0%}"
        + (f"   verified by {runs[-1].verified or 'nothing'}" if runs[0].tool == OURS else "")
    )


# -- for the page ------------------------------------------------------------------------------


def markdown(results: Results) -> str:
    """Return the table of the page: a row for each column and case."""
    head = [
        "storage, checksum",
        "case",
        "neurofetch",
        *(f"`{results.tools[tool]}`" for tool in results.others),
    ]
    lines = [_row(head), _row(["---"] * len(head))]
    for column in results.columns:
        title = column.title
        for case in results.cases:
            if ours := results.of(column, case, OURS):
                cells = [_cell(results, column, case, tool) for tool in results.others]
                lines.append(_row([title, case, _seconds(ours), *cells]))
                title = ""
    wrong, total = missed(results), len(list(_judged(results)))
    text = f"{total - len(wrong)} of {total} goals were reached{'. Missed:' if wrong else '.'}"
    listed = [f"- {line}" for line in wrong]
    cases = "; ".join(f"{name}: {note}" for name, note in results.cases.items())
    about = "; ".join(results.about.values())
    return "\n".join(
        [*lines, "", f"{cases}.", "", text, "", *listed, "", f"Measured: {about}.", ""]
    )


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(runs: list[Run]) -> str:
    walls = [run.wall for run in runs]
    return f"{median(runs, lambda run: run.wall):.2f} s ({min(walls):.2f}-{max(walls):.2f})"


def _cell(results: Results, column: Column, case: str, tool: str) -> str:
    ratio, goal = results.ratio(column, case, tool), column.goal(case, tool)
    if ratio is None:
        return "failed"
    text = str(ratio)
    if goal is not None:
        text = f"{text} ✓" if _reached(ratio, goal) else f"**{text}** ✗ {goal:g}"
    bare = results.ratio(column, case, tool, flushed=False)
    return f"{text}; unflushed {bare.median:.2f}" if column.disk and bare is not None else text


def _reached(ratio: Ratio, goal: float) -> bool:
    return round(ratio.median, 2) >= goal


def _judged(results: Results) -> Iterator[tuple[Column, str, str, Ratio, float]]:
    """Yield each comparison that has a goal."""
    for column in results.columns:
        for case in results.cases:
            for tool in results.others:
                ratio, goal = results.ratio(column, case, tool), column.goal(case, tool)
                if ratio is not None and goal is not None:
                    yield column, case, tool, ratio, goal


def missed(results: Results) -> list[str]:
    """Return the goals that were not reached, in words."""
    return [
        f"{column.title}, {case}: {tool} {ratio.median:.2f} of {goal:g}"
        for column, case, tool, ratio, goal in _judged(results)
        if not _reached(ratio, goal)
    ]
