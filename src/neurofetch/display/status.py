"""Runs for people, and in the words of JSON: how far they are, what failed, who is silent."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch._shown import shown
from neurofetch.display.text import count, duration, size, table
from neurofetch.display.width import NARROWEST, WIDTH, columns_of, wrapped
from neurofetch.store.runs import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from neurofetch.store.runs import Failed, Run, Task

__all__ = ["exit_of_run", "runs_json", "runs_text", "status_line"]

_ROWS = 20
"""Tasks that have a row; those with something to tell come first."""
_GROUPS = 8
"""Kinds of failures that are told."""
_NAMED = 3
"""Files that are named of each."""
_HEAD = ("job", "state", "host", "files", "bytes", "rate", "heard")
_NUMBERS = (3, 4, 5, 6)
_HOST = 14
_ORDER = (
    TaskState.LOST,
    TaskState.SILENT,
    TaskState.FAILED,
    TaskState.UNKNOWN,
    TaskState.LISTING,
    TaskState.RUNNING,
    TaskState.DONE,
)
"""Which tasks a reader wants to see first."""
_STOPS = (1, 7, 2, 3, 5)
"""Exit codes of errors that come again whatever is tried; the gravest first."""
_SERVER, _INCOMPLETE = 6, 4


def exit_of_run(run: Run) -> int:
    """Return the exit code that all tasks of a run come to.

    Parameters
    ----------
    run : Run

    Returns
    -------
    int
        0 where all is here; a code of an error that will come again, if a task has one; else 6
        where a server could not be reached, and 4 where something is missing, or not all tasks have
        ended. What failed in a task and is here now does not count.
    """
    if not run.over:
        return _INCOMPLETE
    codes = {task.exit for task in run.tasks}
    code = next((code for code in _STOPS if code in codes), None)
    if code is not None:
        return code
    if _SERVER in codes:
        return _SERVER
    broken = run.to_begin or any(t.exit is None or t.exit > _SERVER for t in run.tasks)
    return _INCOMPLETE if broken or run.files_missing else 0


class _Group(NamedTuple):
    reason: str
    advice: str
    files: int
    paths: tuple[str, ...]


def _groups(failed: Iterable[Failed]) -> list[_Group]:
    """Return what failed by why it did, the most frequent first."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in failed:
        found.setdefault((one.reason, one.advice), []).append(one.path)
    groups = [
        _Group(reason, advice, len(paths), tuple(paths[:_NAMED]))
        for (reason, advice), paths in found.items()
    ]
    return sorted(groups, key=lambda group: -group.files)


# -- JSON ------------------------------------------------------------------------------------


def runs_json(root: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the values of a document.

    Parameters
    ----------
    root : Path
        The data directory.
    runs : sequence of Run
    """
    ok = all(exit_of_run(run) == 0 for run in runs if run.over)
    return {"root": str(root), "ok": ok, "runs": [_run_json(run) for run in runs]}


def _run_json(run: Run) -> dict[str, Any]:
    remaining = run.remaining
    return {
        "run": run.id,
        "began": _time(run.when),
        "command": list(run.command),
        "scheduler": run.scheduler or None,
        "job": run.job or None,
        "over": run.over,
        "stopped": run.stopped,
        "exit": exit_of_run(run) if run.over else None,
        "tasks_expected": run.expected,
        "tasks_begun": len(run.tasks),
        "tasks_done": len(run.of(TaskState.DONE)),
        "files_total": run.files_total,
        "files_here": run.files_done,
        "files_missing": run.files_missing,
        "bytes_total": run.bytes_total,
        "bytes_here": run.bytes_done,
        "bytes_moved": run.bytes_moved,
        "rate": round(run.rate, 1),
        "seconds_left": None if remaining is None else round(remaining, 1),
        "failures": [
            {
                "reason": group.reason,
                "advice": group.advice,
                "files_failed": group.files,
                "paths": list(group.paths),
            }
            for group in _groups(run.missing())
        ],
        "tasks": [_task_json(task) for task in run.tasks],
    }


def _task_json(task: Task) -> dict[str, Any]:
    return {
        "task": task.name,
        "state": task.state.value,
        "attempts": task.began,
        "host": task.host,
        "process": task.pid,
        "job": task.job or None,
        "files_total": task.files,
        "files_here": task.files_done,
        "files_failed": task.files_failed,
        "bytes_total": task.bytes,
        "bytes_here": task.bytes_done,
        "bytes_moved": task.bytes_moved,
        "rate": round(task.rate, 1),
        "retries": task.retries,
        "seconds": round(task.seconds, 3),
        "seconds_silent": None if task.state.is_over else round(task.heard, 1),
        "exit": task.exit,
        "code": _code(task.error),
        "message": task.message,
        "note": task.note,
    }


def _code(error: str) -> str | None:
    """Return the word for an error, of which only the name of the class is known."""
    name = error.lstrip("_").removesuffix("Error").replace("KeyboardInterrupt", "Interrupted")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() or None


def _time(when: float) -> str | None:
    if not when:
        return None
    try:
        return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # no time at all
        return None


# -- text ------------------------------------------------------------------------------------


def status_line(run: Run) -> str:
    """Return in one line how far a run is.

    Parameters
    ----------
    run : Run
    """
    line = f"{_jobs(run)}; {_sums(run)}"
    if run.rate > 0:
        line += f", {size(run.rate)}/s"
        left = run.remaining
        line += f", {duration(left)} left" if left else ""
    missing = run.files_missing
    return f"{line}; {count(missing)} missing" if missing else line


def _jobs(run: Run) -> str:
    expected = len(run.tasks) if run.expected is None else run.expected
    states = Counter(task.state for task in run.tasks)
    if not expected:
        return "no job was needed"
    told = [f"{states[state]:,} {state}" for state in reversed(_ORDER) if states[state]]
    if run.to_begin:
        told.append(f"{run.to_begin:,} {'never begun' if run.closed else 'not begun'}")
    return f"{expected:,} job{'' if expected == 1 else 's'}: {', '.join(told)}"


def _sums(run: Run) -> str:
    line = f"{run.files_done:,} of {count(run.files_total)}"
    total = run.bytes_total
    share = f" ({100 * run.bytes_done / total:.0f} %)" if total else ""
    return f"{line}, {size(run.bytes_done)} of {size(total)}{share}"


def runs_text(runs: Sequence[Run], width: int = WIDTH, *, all_of_them: bool = False) -> str:
    """Return what there is to say of runs: the newest and those under way, the others in a line.

    Parameters
    ----------
    runs : sequence of Run
        The oldest first.
    width : int
        Columns of the screen.
    all_of_them : bool
        All that there is to say of each.
    """
    width = max(width, NARROWEST)
    lines: list[str] = []
    for number, run in enumerate(runs, 1):
        whole = all_of_them or number == len(runs) or not run.over
        found = _whole(run, width) if whole else _short(run, width)
        lines += ["", *found] if lines and whole else found
    return "\n".join(lines)


def _title(run: Run) -> str:
    when = ""
    if run.when:
        try:
            when = time.strftime(", %Y-%m-%d %H:%M", time.localtime(run.when))
        except (OverflowError, ValueError, OSError):  # no time at all
            when = ""
    job = f", {shown(run.scheduler)} job {shown(run.job)}" if run.job else ""
    return f"run {run.id}{when}{job}"


def _short(run: Run, width: int) -> list[str]:
    ended = "all is here" if exit_of_run(run) == 0 else _jobs(run)
    return wrapped(f"{_title(run)}: {_sums(run)}; {ended}", width, indent="  ")


def _whole(run: Run, width: int) -> list[str]:
    lines = wrapped(_title(run), width, indent="  ")
    if run.command:
        lines += wrapped(f"  {' '.join(map(shown, run.command))}", width, indent="    ")
    lines += wrapped(f"  {status_line(run)}", width, indent="    ")
    if run.stopped and not run.over:
        lines.append("  it was asked to stop")
    if len(run.tasks) > 1 or not run.over:
        lines += _rows(run.tasks, width)
    lines += _remarks(run.tasks, width)
    if len(lines) > 3 * _ROWS:
        lines = [*lines[: 3 * _ROWS], "  …"]
    return [*lines, *_failures(run, width), *_verdict(run, width)]


def _rows(tasks: Sequence[Task], width: int) -> list[str]:
    """Return a table of tasks; where they are many, of those that there is something to say of."""
    if not tasks:
        return []
    chosen = sorted(tasks, key=lambda task: _ORDER.index(task.state))[:_ROWS]
    some = tasks if len(tasks) <= _ROWS else [one for one in tasks if one in chosen]
    rows = [_HEAD, *map(_row, some)]
    text = table(rows, right=_NUMBERS)
    for column in (5, 2):  # the rate, and the host: they are said of no more where it is narrow
        if max(map(columns_of, text.split("\n"))) + 2 <= width:
            break
        rows = [[cell for at, cell in enumerate(row) if at != column] for row in rows]  # type: ignore[misc]
        text = table(rows, right=[one - (one > column) for one in _NUMBERS if one != column])
    lines = [f"  {line}" for line in text.split("\n")]
    rest = len(tasks) - len(some)
    if rest:
        told = Counter(task.state for task in tasks)
        told.subtract(task.state for task in some)
        what = ", ".join(f"{told[state]:,} {state}" for state in _ORDER if told[state])
        lines.append(f"  … and {rest:,} more: {what}")
    return lines


def _row(task: Task) -> tuple[str, ...]:
    host = shown(task.host)
    host = host if len(host) <= _HOST else f"{host[: _HOST - 1]}…"
    over = task.state.is_over
    return (
        shown(task.name),
        str(task.state),
        host,
        f"{task.files_done:,}/{task.files:,}",
        f"{size(task.bytes_done)}/{size(task.bytes)}",
        f"{size(task.rate)}/s" if task.rate else "",
        "" if over else f"{duration(round(task.heard))} ago" if task.heard >= 10 else "now",
    )


def _remarks(tasks: Sequence[Task], width: int) -> list[str]:
    """Say what is unusual, and of which tasks."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        if told := "; ".join(_unusual(task)):
            found.setdefault(told, []).append(task)
    lines = []
    for told, some in found.items():
        names = ", ".join(map(_named, some[:_NAMED]))
        more = f" and {len(some) - _NAMED:,} more" if len(some) > _NAMED else ""
        lines += wrapped(f"  job {names}{more}: {told}", width, indent="    ")
    return lines


def _named(task: Task) -> str:
    job = f"({shown(task.job)})" if task.job else f"(process {task.pid})"
    return f"{shown(task.name)} on {shown(task.host) or 'an unknown host'} {job}"


def _unusual(task: Task) -> list[str]:
    told = []
    if task.state is TaskState.SILENT:
        told.append(f"nothing was heard of it for {duration(task.heard)}")
    elif task.state is TaskState.LOST:
        told.append("its process ended without a word, as one that was killed")
    elif task.state is TaskState.UNKNOWN:
        told.append("a newer version of neurofetch wrote its record: update to read it")
    elif task.message and task.exit:
        told.append(f"exit code {task.exit}: {shown(task.message)}")
    if task.note:
        told.append(shown(task.note))
    if task.began > 1:
        told.append(f"it was started {task.began} times")
    return told


def _failures(run: Run, width: int) -> list[str]:
    missing = run.missing()
    if not missing:
        return []
    groups = _groups(missing)
    lines = [f"  {count(run.files_missing)} missing:"]
    for group in groups[:_GROUPS]:
        names = ", ".join(map(shown, group.paths))
        more = f" and {group.files - _NAMED:,} more" if group.files > _NAMED else ""
        lines += wrapped(
            f"    {shown(group.reason).rstrip('.')}: {names}{more}", width, indent="      "
        )
    if len(groups) > _GROUPS:
        lines.append(f"    … and {len(groups) - _GROUPS:,} other reasons")
    advice = dict.fromkeys(group.advice for group in groups if group.advice)
    for text in list(advice)[:_GROUPS]:
        lines += wrapped(f"  {shown(text)}", width, indent="    ")
    return lines


def _verdict(run: Run, width: int) -> list[str]:
    """Say what a run that is over came to, and what can be done."""
    if not run.over:
        return []
    code = exit_of_run(run)
    if code == 0:
        return ["  All is here."]
    if code in _STOPS:
        text = "Running it again as it is will end in the same way: see what each job says."
    else:
        text = "Run it again: it fetches only what is missing."
    return wrapped(f"  {text}", width, indent="    ")
