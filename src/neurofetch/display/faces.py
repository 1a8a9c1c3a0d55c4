"""What plans, reports and audits look like: as a mapping, a table, in a notebook, in a terminal.

`neurofetch._faces` says how these functions are found. The HTML is static: no script, nothing from
elsewhere, and no colours of its own, so that it can be read on light and on dark.
"""

from __future__ import annotations

import html as markup
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch._shown import shown, shown_lines
from neurofetch.display.groups import sections
from neurofetch.display.text import audit_text, count, duration, plan_text, report_text, size
from neurofetch.display.words import (
    audit_head,
    audit_rows,
    plan_head,
    plan_rows,
    report_head,
    report_rows,
)
from neurofetch.model import Action, Plan, Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from neurofetch.store.findings import Audit

__all__ = ["head_and_rows", "html", "text", "to_dataframe", "to_dict"]

_MOST = 1000
"""So many paths are in a notebook; a page with more of them is slow."""
_FEW = 40


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


class _Page(NamedTuple):
    """A table, and what stands around it; all of it is text, and is escaped in one place."""

    title: str
    sums: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    """A row of one cell is a heading."""
    notes: Sequence[str]
    files: Iterable[tuple[str, str]]
    """Each with a word on it."""
    total: int


def html(result: Plan | Report | Audit) -> str:
    """Return a result for a notebook: a table, and all paths to be unfolded."""
    if isinstance(result, Plan):
        return _html(_plan_page(result))
    if isinstance(result, Report):
        return _html(_report_page(result))
    return _html(_audit_page(result))


def _plan_page(plan: Plan) -> _Page:
    told = plan_head(plan)
    parts = [
        (told["files_to_fetch"], "to fetch", told["bytes_to_fetch"]),
        (
            told["files_partly_here"],
            "of these partly here",
            sum(s.have for s in plan.of(Action.RESUME)),
        ),
        (told["files_here"], "already here", None),
        (told["files_withheld"], "withheld", None),
        (told["files_archived"], "archived", told["bytes_archived"]),
        (told["files_not_kept"], "cannot be kept", None),
    ]
    sums = [
        f"{number:,} {word}" + (f" ({size(some)})" if some is not None else "")
        for number, word, some in parts
        if number or word == "to fetch"
    ]
    rows: list[Sequence[str]] = []
    for section in sections(plan.steps):
        rows.append((section.why,))
        for group in section.groups:
            here = size(group.here) if group.here else "-"
            left = size(group.to_fetch) if group.to_fetch else "-"
            rows.append((group.label, f"{group.files:,}", size(group.bytes), here, left))
    unkept = [f"cannot be kept: {s.want.path}: {s.reason}" for s in plan.of(Action.LEAVE)]
    return _Page(
        f"Plan of {count(len(plan))} for {plan.root}",
        ", ".join(sums),
        ("what", "files", "bytes", "here", "to fetch"),
        rows,
        [*unkept[:_FEW], *plan.notes],
        ((step.want.path, step.action.word) for step in plan.steps),
        len(plan),
    )


def _report_page(report: Report) -> _Page:
    sums = [f"{len(some):,} {status.word}" for status in Status if (some := report.of(status))]
    rows: list[Sequence[str]] = []
    for status in Status:
        kinds: dict[tuple[str, str], list[int]] = {}
        for outcome in report.of(status):
            said = outcome.reason or f"verified by {outcome.verification.value}"
            kind = (outcome.path if status is Status.FAILED else "", said)
            known = kinds.setdefault(kind, [0, 0, 0])
            known[0] += 1
            known[1] += outcome.size
            known[2] += outcome.moved
        rows += [(status.word,)] if kinds else []
        for (path, said), (number, whole, moved) in _first(kinds.items(), rows):
            what = f"{path}: {said}" if path else said
            rows.append((what, f"{number:,}", size(whole), size(moved) if moved else "-"))
    return _Page(
        f"Report of {count(len(report))} in {report.root}",
        f"{', '.join(sums) or 'no files'}; {size(report.bytes_moved)} moved in "
        f"{duration(report.seconds)}",
        ("what", "files", "bytes", "moved"),
        rows,
        report.notes,
        ((outcome.path, outcome.status.word) for outcome in report),
        len(report),
    )


def _first(kinds: Iterable[Any], rows: list[Sequence[str]]) -> list[Any]:
    """Return the first of many kinds, and put a heading for the others."""
    every = list(kinds)
    if len(every) > _FEW:
        rows[-1] = (f"{rows[-1][0]} (the first {_FEW} of {len(every):,} kinds)",)
    return every[:_FEW]


def _audit_page(audit: Audit) -> _Page:
    rows: list[Sequence[str]] = [
        (state.said, f"{number:,}") for state, number in audit.counts.items() if number
    ]
    problems = audit.problems
    if problems:
        rows.append((f"missing or different: {len(problems):,}",))
        rows += [(f"{f.path}: {f.state.value}: {f.detail}", "1") for f in problems[:_FEW]]
    return _Page(
        f"Audit of {count(len(audit.findings))} in {audit.root}",
        f"{'ok' if audit.ok else 'not ok'}; {duration(audit.seconds)}",
        ("what", "files"),
        rows,
        (),
        ((finding.path, finding.state.value) for finding in audit.findings),
        len(audit.findings),
    )


_LINE = "border-bottom:1px solid rgba(128,128,128,.35);"
_CELL = f"padding:.2em .7em;{_LINE}"
_LEFT = f"{_CELL}text-align:left;"
_RIGHT = f"{_CELL}text-align:right;white-space:nowrap;"
_WORD = "overflow-wrap:anywhere;"


def _html(page: _Page) -> str:
    safe: Callable[[str], str] = lambda some: markup.escape(shown(some))  # noqa: E731
    pieces = [
        # A notebook would set what stands between two dollar signs as a formula.
        '<div class="neurofetch tex2jax_ignore mathjax_ignore" '
        'style="color:inherit;font-size:.95em">',
        f'<div style="font-weight:bold;{_WORD}">{safe(page.title)}</div>',
        f'<div style="{_WORD}">{safe(page.sums)}</div>',
        '<table style="border-collapse:collapse;margin:.5em 0;color:inherit">',
        "<thead><tr>",
        *(
            f'<th scope="col" style="{_RIGHT if column else _LEFT}">{safe(name)}</th>'
            for column, name in enumerate(page.head)
        ),
        "</tr></thead>",
        "<tbody>",
        *(_html_row(row, len(page.head), safe) for row in page.rows),
        "</tbody>",
        "</table>",
    ]
    if page.notes:
        notes = "".join(f"<li>{safe(note)}</li>" for note in page.notes)
        pieces.append(f'<ul style="margin:.3em 0;{_WORD}">{notes}</ul>')
    if page.total:
        pieces += _html_paths(page, safe)
    return "\n".join([*pieces, "</div>"])


def _html_row(row: Sequence[str], width: int, safe: Callable[[str], str]) -> str:
    if len(row) == 1:
        style = f"{_LEFT}{_WORD}background:rgba(128,128,128,.12);"
        return (
            f'<tr><th scope="rowgroup" colspan="{width}" style="{style}">{safe(row[0])}</th></tr>'
        )
    first, *numbers = row
    cells = "".join(f'<td style="{_RIGHT}">{safe(cell)}</td>' for cell in numbers)
    return f'<tr><td style="{_LEFT}{_WORD}">{safe(first)}</td>{cells}</tr>'


def _html_paths(page: _Page, safe: Callable[[str], str]) -> list[str]:
    """Return all paths, to be unfolded; so many that a page can hold them."""
    some = [one for one, _ in zip(page.files, range(_MOST), strict=False)]
    summary = f"all {count(page.total)}" if page.total > 1 else "the file"
    if page.total > _MOST:
        summary = f"the first {_MOST:,} of {count(page.total)}"
    items = "".join(f"<li><code>{safe(path)}</code> ({safe(word)})</li>" for path, word in some)
    more = ""
    if page.total > _MOST:
        more = f"<div>… and {page.total - _MOST:,} more: see to_dict() or to_dataframe()</div>"
    style = f"margin:.3em 0;max-height:24em;overflow:auto;{_WORD}"
    return [
        f'<details><summary>{summary}</summary><ul style="{style}">{items}</ul>{more}</details>'
    ]
