"""What plans, reports and audits look like: as a mapping, a table, in a notebook, in a terminal.

`neurofetch._faces` says how these functions are found. What a notebook shows is made of the parts
in `neurofetch.display.page`.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown, shown_lines
from neurofetch.display.groups import sections, sections_by_ending
from neurofetch.display.page import (
    Bar,
    Chip,
    Fold,
    Lines,
    Page,
    Part,
    Pictures,
    Table,
    Words,
    safely,
)
from neurofetch.display.text import audit_text, count, duration, plan_text, report_text, size
from neurofetch.display.thumbnail import first_maps, pictures
from neurofetch.display.words import (
    audit_head,
    audit_rows,
    plan_head,
    plan_rows,
    report_head,
    report_rows,
)
from neurofetch.model import Action, Plan, Report, Status
from neurofetch.store.runs import Run, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from neurofetch.display.groups import Section
    from neurofetch.model import Outcome
    from neurofetch.store.findings import Audit, State

__all__ = [
    "failure_parts",
    "head_and_rows",
    "html",
    "report_page",
    "text",
    "to_dataframe",
    "to_dict",
]

_MOST = 1000
"""So many paths are in a notebook; a page with more of them is slow."""
_FEW = 40
_LONG = 5000
"""A plan of more files is sorted by the ends of their names alone: a notebook does not wait."""
_TASKS = 200
_ROWS = 12
"""With so many rows or fewer, all of a plan is unfolded."""


def head_and_rows(
    result: Plan | Report | Audit,
) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return what is said of a result as a whole, and its files one by one.

    Parameters
    ----------
    result : Plan, Report or Audit
    """
    if isinstance(result, Plan):
        return plan_head(result), plan_rows(result)
    if isinstance(result, Report):
        return report_head(result), report_rows(result)
    return audit_head(result), audit_rows(result)


def to_dict(result: Plan | Report | Audit) -> dict[str, Any]:
    """Return a result as values for JSON."""
    head, rows = head_and_rows(result)
    return {**head, "files": list(rows)}


def to_dataframe(result: Plan | Report | Audit) -> Any:
    """Return the files of a result as a table of pandas.

    Raises
    ------
    ModuleNotFoundError
        If pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - slow to import, and not always there
    except ModuleNotFoundError as error:
        msg = (
            "to_dataframe needs pandas, which is not installed. Install it: "
            "pip install 'neurofetch[loader]' (or pandas alone); to_dict needs nothing."
        )
        raise ModuleNotFoundError(msg, name="pandas") from error
    _, rows = head_and_rows(result)
    table = pd.DataFrame.from_records([_flat(row) for row in rows], columns=_columns_of(result))
    whole = [name for name in table.columns if name in _WHOLE]
    return table.astype(dict.fromkeys(whole, "Int64"))


_WHOLE = frozenset({"size", "bytes_here", "bytes_to_fetch", "bytes_moved", "retries"})
"""Whole numbers, some of which may not be known."""
_FILE = ("path", "unit", "key", "url", "etag", "checksum_algorithm", "checksum_value", "size")


def _columns_of(result: Plan | Report | Audit) -> list[str]:
    """Return the columns, which are the same for a result without files."""
    if isinstance(result, Plan):
        more = "modified storage_class why action reason copy_of bytes_here bytes_to_fetch"
        return [*_FILE, *more.split()]
    if isinstance(result, Report):
        more = "status reason advice verification bytes_moved seconds retries"
        return [*_FILE, *more.split()]
    return [*_FILE, "state", "reason"]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    told = row.pop("checksum") or {"algorithm": None, "value": None}
    return row | {"checksum_algorithm": told["algorithm"], "checksum_value": told["value"]}


def text(result: Plan | Report | Audit) -> str:
    """Return a result as the commands print it."""
    if isinstance(result, Plan):
        return shown_lines(plan_text(result))
    if isinstance(result, Report):
        failed = [f"failed: {shown(o.path)}: {shown(o.reason)}" for o in result.failures]
        return shown_lines("\n".join([*failed, report_text(result)]))
    return shown_lines(audit_text(result))


# -- notebooks -------------------------------------------------------------------------------


def html(result: Plan | Report | Audit | Run) -> str | None:
    """Return a result for a notebook: what it comes to, and what can be unfolded.

    Parameters
    ----------
    result : Plan, Report, Audit or Run

    Returns
    -------
    str or None
        None where only its text can be shown.
    """
    return safely(lambda: _page(result))


def _page(result: Plan | Report | Audit | Run) -> Page:
    if isinstance(result, Plan):
        return _plan_page(result)
    if isinstance(result, Report):
        return report_page(result)
    if isinstance(result, Run):
        return _run_page(result)
    return _audit_page(result)


_WITHHELD, _UNKEPT = "withheld: ", "cannot be kept"
_KEEP_BACK = (
    "What is withheld is listed by the server and not handed out: ask the owners of the data for "
    "access. It is no failure, and all else is fetched without it."
)
_ARCHIVED = (
    "What is archived comes only after its owners have restored it; then run the same call again."
)


def _plan_page(plan: Plan) -> Page:
    found = sections(plan.steps) if len(plan) <= _LONG else sections_by_ending(plan.steps)
    parts: list[Part] = []
    moving, withheld = plan.bytes_to_fetch, 0
    for section in found:
        if section.why.startswith(_WITHHELD):
            withheld += sum(group.bytes for group in section.groups)
    here = sum(group.here for section in found for group in section.groups)
    if here + moving + withheld:
        said = f"{size(here)} here, {size(moving)} to fetch, {size(withheld)} withheld"
        parts.append(Bar(said, [(here, "good"), (moving, "new"), (withheld, "quiet")]))
    parts += _room(plan)
    few = sum(len(section.groups) for section in found) <= _ROWS
    for number, section in enumerate(found):
        parts.append(_section(section, is_open=few or not number))
    if plan.of(Action.REFUSE):
        parts.append(Words([_KEEP_BACK]))
    if plan.archived:
        parts.append(Words([_ARCHIVED]))
    unkept = [f"cannot be kept: {s.want.path}: {s.reason}" for s in plan.of(Action.LEAVE)]
    parts.append(Words(unkept[:_FEW], "bad"))
    parts.append(Words(_notes(plan.notes)))
    rows = ((s.want.path, _size_of(s.want.remote.size), s.action.word) for s in plan.steps)
    parts += _paths(rows, len(plan))
    return Page(f"Plan of {count(len(plan))}", f"for {plan.root}", _plan_chips(plan), parts)


def _plan_chips(plan: Plan) -> list[Chip]:
    moving = len(plan.moving) - len(plan.archived)
    more = [
        (len(plan.of(Action.RESUME)), "of these partly here", "part"),
        (len(plan.of(Action.KEEP)), "already here", "good"),
        (len(plan.of(Action.REFUSE)), "withheld", "quiet"),
        (len(plan.archived), "archived", "quiet"),
        (len(plan.of(Action.LEAVE)), "cannot be kept", "bad"),
    ]
    chips = [Chip(f"{moving:,} to fetch ({size(plan.bytes_to_fetch)})", "new")]
    return chips + [Chip(f"{number:,} {word}", tone) for number, word, tone in more if number]


def _room(plan: Plan) -> list[Part]:
    """Return what is said of the disk."""
    if plan.free is None or not plan.moving:
        return []
    missing = plan.bytes_to_write - plan.free
    if missing > 0:
        said = f"It does not fit on the disk: {size(missing)} more must be free."
        return [Words([said], "bad")]
    return [Words([f"{size(plan.free)} are free on the disk."])]


def _size_of(number: int | None) -> str:
    return "?" if number is None else size(number)


def _section(section: Section, *, is_open: bool) -> Fold:
    files = sum(group.files for group in section.groups)
    whole = sum(group.bytes for group in section.groups)
    withheld = section.why.startswith(_WITHHELD)
    rows = [
        (
            group.label,
            f"{group.files:,}",
            size(group.bytes),
            size(group.here) if group.here else "-",
            "withheld" if withheld else size(group.to_fetch) if group.to_fetch else "-",
        )
        for group in section.groups
    ]
    tone = "new" if any(group.to_fetch for group in section.groups) else "good"
    if withheld or section.why == _UNKEPT:
        tone = "quiet" if withheld else "bad"
    table = Table(("what", "files", "bytes", "here", "to fetch"), rows)
    return Fold(f"{section.why}: {count(files)}, {size(whole)}", [table], tone, is_open)


_TONES = {
    Status.FETCHED: "new",
    Status.KEPT: "good",
    Status.REFUSED: "quiet",
    Status.FAILED: "bad",
}


def report_page(report: Report, *, drawn: bool = True) -> Page:
    """Return what a notebook shows of a report.

    Parameters
    ----------
    report : Report
    drawn : bool
        Whether with a picture of a map that is here.
    """
    shares = [(len(report.of(status)), status) for status in Status]
    chips = [Chip(f"{n:,} {status.word}", _TONES[status]) for n, status in shares if n]
    moved = f"{size(report.bytes_moved)} moved in {duration(report.seconds)}"
    chips.append(Chip(moved if len(report) else "no files"))
    parts: list[Part] = []
    if len(report):
        said = ", ".join(f"{n:,} {status.word}" for n, status in shares if n)
        parts.append(Bar(said, [(n, _TONES[status]) for n, status in shares]))
    parts += failure_parts(report.failures)
    if drawn:
        parts += _drawn(report.root, (o.path for o in report.outcomes if o.ok))
    parts += _kinds(report)
    if report.withheld:
        parts.append(Words([_KEEP_BACK]))
    parts.append(Words(_notes(report.notes)))
    rows = ((o.path, size(o.size), o.status.word) for o in report.outcomes)
    parts += _paths(rows, len(report))
    return Page(f"Report of {count(len(report))}", f"in {report.root}", chips, parts)


def failure_parts(failed: Sequence[Outcome]) -> list[Part]:
    """Return what failed, why, and what to do about it.

    Parameters
    ----------
    failed : sequence of Outcome
    """
    if not failed:
        return []
    rows = [(outcome.path, outcome.reason) for outcome in failed[:_FEW]]
    advice = list(dict.fromkeys(outcome.advice for outcome in failed if outcome.advice))[:_FEW]
    if any(not outcome.advice for outcome in failed):
        advice.append("Run the same call again: it fetches only the missing files.")
    said = f"{count(len(failed))} failed"
    if len(failed) > _FEW:
        said += f" (the first {_FEW} are here; all are in .failures)"
    table = Table(("file", "what happened"), rows, words=(1,))
    return [Fold(said, [table, Words(advice)], "bad", is_open=True)]


def _kinds(report: Report) -> list[Part]:
    """Return why files are here or not, a fold for each status."""
    folds: list[Part] = []
    for status in Status:
        kinds: dict[str, list[int]] = {}
        if status is not Status.FAILED:
            for outcome in report.of(status):
                said = outcome.reason or f"verified by {outcome.verification.value}"
                known = kinds.setdefault(said, [0, 0, 0])
                known[0] += 1
                known[1] += outcome.size
                known[2] += outcome.moved
        if kinds:
            rows = [
                (said, f"{number:,}", size(some) if some else "-", size(moved) if moved else "-")
                for said, (number, some, moved) in [*kinds.items()][:_FEW]
            ]
            title = f"{status.word}: {count(len(report.of(status)))}"
            if whole := sum(known[1] for known in kinds.values()):
                title += f", {size(whole)}"
            if len(kinds) > _FEW:
                title += f" (the first {_FEW} of {len(kinds):,} kinds)"
            table = Table(("why", "files", "bytes", "moved"), rows)
            folds.append(Fold(title, [table], _TONES[status], is_open=len(kinds) <= 3))
    return folds


def _audit_page(audit: Audit) -> Page:
    counts = {state: number for state, number in audit.counts.items() if number}
    tones = {True: "good", False: "bad"}
    chips = [Chip("ok" if audit.ok else "not ok", tones[audit.ok])]
    if audit.ok and not audit.verified and counts:
        chips = [Chip("ok by what was looked at; not all contents were read", "part")]
    chips.append(Chip(duration(audit.seconds)))
    parts: list[Part] = []
    if counts:
        shares = [(number, _audit_tone(state)) for state, number in counts.items()]
        parts.append(Bar(audit.summary, shares))
    if problems := audit.problems:
        rows = [(f.path, f"{f.state.value}: {f.detail}") for f in problems[:_FEW]]
        said = f"missing or different: {count(len(problems))}"
        if len(problems) > _FEW:
            said += f" (the first {_FEW} are here; all are in .problems)"
        table = Table(("file", "what was found"), rows, words=(1,))
        advice = "Run the call that fetched them again: it fetches what is missing or different."
        parts.append(Fold(said, [table, Words([advice])], "bad", is_open=True))
    parts.append(Table(("what", "files"), [(s.said, f"{n:,}") for s, n in counts.items()]))
    parts += _drawn(audit.root, (f.path for f in audit.findings if f.ok))
    rows_of = ((f.path, _audit_size(audit, f.path), f.state.value) for f in audit.findings)
    parts += _paths(rows_of, len(audit.findings))
    return Page(f"Audit of {count(len(audit.findings))}", f"in {audit.root}", chips, parts)


def _audit_tone(state: State) -> str:
    if state.value in ("missing", "differs"):
        return "bad"
    return "good" if state.value in ("good", "adopted") else "quiet"


def _audit_size(audit: Audit, path: str) -> str:
    receipt = audit.known.get(path)
    return size(receipt.size) if receipt is not None else "-"


_TASK_TONES = {"done": "good", "failed": "bad", "lost": "bad", "running": "new", "silent": "part"}


def _run_page(run: Run) -> Page:
    """Return what is shown of a run: how far it is, its tasks, and what failed."""
    states = [(state, run.of(state)) for state in TaskState]
    chips = [
        Chip(f"{len(tasks):,} {state.value}", _TASK_TONES.get(state.value, "quiet"))
        for state, tasks in states
        if tasks
    ]
    if run.to_begin:
        chips.append(Chip(f"{run.to_begin:,} not begun", "quiet"))
    done, whole = run.bytes_done, run.bytes_total
    said = f"{size(done)} of {size(whole)}, {run.files_done:,} of {count(run.files_total)} here"
    parts: list[Part] = [Bar(said, [(done, "good" if run.over else "new")], whole), Words([said])]
    failed = [(task, one) for task in run.tasks for one in task.failed]
    if failed:
        rows = [(one.path, f"{task.name}: {one.reason}") for task, one in failed[:_FEW]]
        advice = list(dict.fromkeys(one.advice for _, one in failed if one.advice))[:_FEW]
        table = Table(("file", "what happened"), rows, words=(1,))
        title = f"{count(run.files_failed)} failed"
        parts.append(Fold(title, [table, Words(advice)], "bad", is_open=True))
    parts.append(_tasks(run))
    return Page(f"Run {run.id}", f"in {run.root}", chips, parts)


def _tasks(run: Run) -> Fold:
    """Return the tasks of a run; where they are many, what is not done comes first."""
    every, title = list(run.tasks), count(len(run.tasks), "task")
    if len(every) > _TASKS:
        every.sort(key=lambda task: task.state is TaskState.DONE)
        title = f"{_TASKS:,} of {title}: all are in .tasks"
    rows = [
        (
            task.name,
            task.state.value,
            f"{task.files_done:,} of {task.files:,}",
            size(task.bytes_done),
            task.message or task.note,
        )
        for task in every[:_TASKS]
    ]
    table = Table(("task", "state", "files", "bytes", "what it says"), rows, words=(1, 4))
    return Fold(title, [table], scrolls=len(rows) > _ROWS)


def _notes(notes: Sequence[str]) -> list[str]:
    if len(notes) <= _FEW:
        return [f"Note: {note}" for note in notes]
    return [*(f"Note: {note}" for note in notes[:_FEW]), f"… and {len(notes) - _FEW:,} more notes"]


def _drawn(root: Path, paths: Iterable[str]) -> list[Part]:
    """Return a picture of a map that is here, where there is one that can be drawn."""
    made = pictures((root / path, path) for path in first_maps(paths))
    return [Pictures(made)] if made else []


def _paths(rows: Iterable[Sequence[str]], total: int) -> list[Part]:
    """Return all paths, to be unfolded; so many that a page can hold them."""
    if not total:
        return []
    some = list(islice(rows, _MOST))
    summary = f"all {count(total)}" if total > 1 else "the file"
    if total > _MOST:
        summary = f"the first {_MOST:,} of {count(total)}"
    wide = [max(len(row[column]) for row in some) for column in (1, 2)]
    lines = [f"{number:>{wide[0]}}  {word:<{wide[1]}}  {path}" for path, number, word in some]
    if total > _MOST:
        lines.append(f"… and {total - _MOST:,} more: see to_dict() or to_dataframe()")
    return [Fold(summary, [Lines(lines)], scrolls=True)]
