"""Plans, reports and audits as text and as JSON values. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown, shown_lines
from neurofetch.events import NetworkAway, NetworkBack
from neurofetch.model import Action, Plan, Report, Status, Step, VerificationLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from neurofetch.model import Outcome
    from neurofetch.store.audit import Audit
    from neurofetch.store.clean import Remains

__all__ = [
    "audit_json",
    "audit_text",
    "count",
    "duration",
    "network_text",
    "plan_json",
    "plan_remarks",
    "plan_summary",
    "plan_text",
    "remains_json",
    "remains_text",
    "report_json",
    "report_text",
    "size",
    "table",
]

_ROWS = 40
"""More rows than this are grouped by folder."""

_LINES = 8
"""At most so many lines of reasons at the end of a run."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(number: float) -> str:
    """Return a number of bytes for people, in decimal units.

    Examples
    --------
    >>> size(999), size(12_345), size(1_234_567_890)
    ('999 bytes', '12.3 kB', '1.23 GB')
    """
    if number < 1000:
        return f"{number:.0f} byte{'' if round(number) == 1 else 's'}"
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a time span for people.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(7384)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def network_text(event: NetworkAway | NetworkBack, *, short: bool = False) -> str:
    """Return what is said of a network that is away, or back.

    Parameters
    ----------
    event : NetworkAway or NetworkBack
    short : bool
        Only that it is away, and since when.

    Examples
    --------
    >>> network_text(NetworkAway("host", "connection refused", 42.0, 900.0), short=True)
    'network away since 42 s, waiting'
    """
    if isinstance(event, NetworkBack):
        return f"network back after {duration(event.seconds)} ({shown(event.server)})"
    if not event.patience and not event.seconds:
        return f"{shown(event.reason)}; nothing came from this server yet: trying a few more times"
    text = f"network away since {duration(event.seconds)}, waiting"
    if short:
        return text
    if event.patience != float("inf"):
        text += f" for up to {duration(max(0.0, event.patience - event.seconds))} more"
    return f"{text} ({shown(event.reason)})"


def count(number: int, noun: str = "file") -> str:
    """Return a number and its noun.

    Examples
    --------
    >>> count(1), count(1200)
    ('1 file', '1,200 files')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return rows as aligned columns; the first row is the head.

    Parameters
    ----------
    rows : iterable of sequence of str
    right : sequence of int
        Columns that are aligned to the right.
    """
    lines = [list(row) for row in rows]
    widths = [max(len(row[c]) for row in lines) for c in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
    )


# -- plans -----------------------------------------------------------------------------------


def plan_text(plan: Plan) -> str:
    """Return a plan as a dry run prints it: a table, the sums, and the notes.

    Parameters
    ----------
    plan : Plan
    """
    rows = _file_rows(plan.steps) if len(plan) <= _ROWS else _folder_rows(plan.steps)
    pieces = [table(rows, right=(0, 1) if len(plan) <= _ROWS else (0, 1, 2, 3, 4)), ""]
    pieces += [plan_summary(plan)]
    if plan.free is not None and plan.bytes_to_fetch > plan.free:
        missing = size(plan.bytes_to_fetch - plan.free)
        pieces += [f"It does not fit on the disk: {missing} more must be free."]
    return "\n".join(pieces)


def plan_summary(plan: Plan) -> str:
    """Return the sums of a plan, which files are withheld and why, and its notes."""
    moving, kept, refused = plan.moving, plan.of(Action.KEEP), plan.of(Action.REFUSE)
    archived, unkept = plan.archived, plan.of(Action.LEAVE)
    rows = [("", "files", "bytes")]
    rows.append(("to fetch", f"{len(moving) - len(archived):,}", size(plan.bytes_to_fetch)))
    rows.append(("already here", f"{len(kept):,}", size(plan.bytes_here)))
    if refused:
        rows.append(("withheld", f"{len(refused):,}", size(_bytes(refused))))
    if archived:
        rows.append(("archived", f"{len(archived):,}", size(_bytes(archived))))
    if unkept:
        rows.append(("cannot be kept", f"{len(unkept):,}", size(_bytes(unkept))))
    if plan.free is not None:
        rows.append(("free on the disk", "", size(plan.free)))
    return "\n".join(filter(None, (table(rows, right=(1, 2)), plan_remarks(plan))))


def plan_remarks(plan: Plan) -> str:
    """Return why files do not come or are replaced, and the notes of a plan; often empty."""
    lines = [
        f"withheld: {count(len(steps))}: {reason}"
        for reason, steps in _by_reason(plan.of(Action.REFUSE)).items()
    ]
    lines += _archived(plan.archived)
    lines += [
        f"cannot be kept: {shown(step.want.path)}: {step.reason}" for step in plan.of(Action.LEAVE)
    ]
    replaced = ((step.reason, step.want.path) for step in plan.of(Action.REPLACE))
    lines += _named("replaced", replaced)
    return "\n".join([*lines, *(f"note: {shown_lines(note)}" for note in plan.notes)])


def _archived(steps: Sequence[Step]) -> list[str]:
    """Say which files must be restored by their owners first; one line for each class."""
    classes: dict[str, list[str]] = {}
    for step in steps:
        classes.setdefault(step.want.remote.storage_class, []).append(shown(step.want.path))
    return [
        f"archived: {_some(paths)}: {name} is an archive; {'it' if len(paths) == 1 else 'they'} "
        "cannot be fetched until the owners of the bucket restore "
        f"{'it' if len(paths) == 1 else 'them'}, and will be tried all the same"
        for name, paths in classes.items()
    ]


def _some(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"


def _by_reason(steps: Iterable[Step]) -> dict[str, list[Step]]:
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.reason, []).append(step)
    return groups


def _bytes(steps: Iterable[Step]) -> int:
    return sum(step.want.remote.size or 0 for step in steps)


def _file_rows(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("bytes", "to come", "action", "file", "why")]
    for step in steps:
        why = step.want.why if step.action is Action.FETCH else f"{step.want.why}; {step.reason}"
        if step.archived:
            why += f"; archived ({step.want.remote.storage_class})"
        total, left = size(step.want.remote.size or 0), size(step.remaining)
        to_come = left if step.moves and not step.archived else "-"
        rows.append((total, to_come, step.action.word, shown(step.want.path), shown(why)))
    return rows


def _folder_rows(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        folder = step.want.path.rpartition("/")[0] or "."
        groups.setdefault((folder, step.want.why), []).append(step)
    rows: list[tuple[str, ...]] = [
        ("files", "bytes", "to come", "here", "withheld", "folder", "why"),
    ]
    for (folder, why), group in groups.items():
        rows.append(
            (
                f"{len(group):,}",
                size(_bytes(group)),
                size(sum(step.remaining for step in group)),
                f"{sum(step.action is Action.KEEP for step in group):,}",
                f"{sum(step.action is Action.REFUSE for step in group):,}",
                shown(folder),
                shown(why),
            )
        )
    return rows


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as values for JSON, every file with its reason."""
    return {
        "root": str(plan.root),
        "files": len(plan),
        "files_to_fetch": len(plan.moving) - len(plan.archived),
        "bytes_to_fetch": plan.bytes_to_fetch,
        "files_archived": len(plan.archived),
        "bytes_archived": _bytes(plan.archived),
        "files_not_kept": len(plan.of(Action.LEAVE)),
        "bytes_here": plan.bytes_here,
        "bytes_free": plan.free,
        "notes": list(plan.notes),
        "steps": [
            {
                "path": step.want.path,
                "key": step.want.remote.key,
                "size": step.want.remote.size,
                "etag": step.want.remote.etag,
                "why": step.want.why,
                "action": step.action.value,
                "reason": step.reason,
                "bytes_to_fetch": step.remaining,
                "storage_class": step.want.remote.storage_class,
            }
            for step in plan.steps
        ],
    }


# -- reports ---------------------------------------------------------------------------------


def report_text(report: Report, plan: Plan | None = None) -> str:
    """Return what a run prints at its end: sums, how files were verified, what was withheld.

    Failures are only counted: the error that is raised for them lists each with its cause.

    Parameters
    ----------
    report : Report
    plan : Plan, optional
        As it was printed before: its words about withheld files are not repeated.
    """
    fetched, told = report.of(Status.FETCHED), plan.of(Action.REFUSE) if plan else ()
    known = {step.want.path for step in told}
    lines = [_sums(report) if fetched or not report.ok else _nothing_moved(report)]
    if fetched:
        lines.append(f"verified: {_levels(fetched)}")
        # "verified: size, came twice the same", say: what a level alone does not tell
        unusual = ((o.reason.partition("verified: ")[2], o.path) for o in fetched)
        lines += _named("verified", (one for one in unusual if one[0]))
    refused = ((o.reason, o.path) for o in report.withheld if o.path not in known)
    return "\n".join([*lines, *_named("withheld", refused)])


def _levels(outcomes: Iterable[Outcome]) -> str:
    """Return how files were verified, as "3 by checksum, 1 by size"."""
    found = Counter(outcome.verification for outcome in outcomes)
    known = [level for level in VerificationLevel if found[level]]
    return ", ".join(f"{found[level]:,} by {level.value}" for level in known)


def _sums(report: Report) -> str:
    fetched = report.of(Status.FETCHED)
    line = f"{count(len(fetched))} fetched"
    if fetched:
        line += f" ({size(report.bytes_moved)} in {duration(report.seconds)}"
        if report.seconds > 0:
            line += f", {size(report.bytes_moved / report.seconds)}/s"
        line += ")"
    rest = (
        (len(report.skipped), "skipped (already here)"),
        (len(report.withheld), "withheld"),
        (len(report.failures), "failed"),
    )
    return ", ".join([line, *(f"{number:,} {word}" for number, word in rest if number)]) + "."


def _nothing_moved(report: Report) -> str:
    kept = report.of(Status.KEPT)
    refused = f" ({len(report.withheld):,} withheld)" if report.withheld else ""
    if not kept:
        return f"Nothing to fetch{refused}."
    what = f"all {count(len(kept))} are" if len(kept) > 1 else "the file is"
    text = f"Nothing to fetch: {what} already here, {size(sum(o.size for o in kept))}{refused}."
    known = [one for one in kept if one.verification is not VerificationLevel.NONE]
    return f"{text}\nverified when they came: {_levels(known)}" if known else text


def _named(word: str, reasons_and_paths: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each reason; each names its first file."""
    reasons: dict[str, list[str]] = {}
    for reason, path in reasons_and_paths:
        reasons.setdefault(shown(reason), []).append(shown(path))
    lines = [f"{word}: {_some(paths)}: {reason}" for reason, paths in reasons.items()]
    if len(lines) > _LINES:
        lines[_LINES:] = [f"{word}: {len(lines) - _LINES:,} more, each listed by --json"]
    return lines


def report_json(report: Report) -> dict[str, Any]:
    """Return a report as values for JSON."""
    return {
        "root": str(report.root),
        "ok": report.ok,
        "seconds": round(report.seconds, 3),
        "bytes_moved": report.bytes_moved,
        "counts": {status.value: len(report.of(status)) for status in Status},
        "notes": list(report.notes),
        "files": [
            {
                "path": outcome.path,
                "key": outcome.key,
                "status": outcome.status.value,
                "reason": outcome.reason,
                "size": outcome.size,
                "bytes_moved": outcome.moved,
                "seconds": round(outcome.seconds, 3),
                "verified": outcome.verification.value,
                "retries": outcome.attempts,
                "advice": outcome.advice,
            }
            for outcome in report
        ],
    }


# -- audits ----------------------------------------------------------------------------------


def audit_text(audit: Audit) -> str:
    """Return what `verify` prints: every file that is missing or differs, and sums.

    Parameters
    ----------
    audit : Audit
    """
    if not audit.findings:
        return f"no files: {audit.root} has none that neurofetch fetched."
    lines = [
        f"{finding.state.value}: {shown(finding.path)}: {shown(finding.detail)}"
        for finding in audit.problems
    ]
    return "\n".join([*lines, f"{audit.summary} ({duration(audit.seconds)})"])


def audit_json(audit: Audit) -> dict[str, Any]:
    """Return an audit as values for JSON."""
    return {
        "root": str(audit.root),
        "ok": audit.ok,
        "verified": audit.verified,
        "seconds": round(audit.seconds, 3),
        "counts": {state.value: number for state, number in audit.counts.items()},
        "summary": audit.summary,
        "files": [
            {"path": finding.path, "state": finding.state.value, "detail": finding.detail}
            for finding in audit.findings
        ],
    }


_LIVES = {"lives": "under way", "silent": "silent for more than 90 s", "ended": "ended"}


def remains_text(found: Sequence[Remains], *, dry_run: bool) -> str:
    """Return what `clean` prints: a line for each run that left something.

    Parameters
    ----------
    found : sequence of Remains
    dry_run : bool
        Nothing was removed, since that was asked for.
    """
    if not found:
        return "nothing is left over"
    lines = []
    for one in found:
        did = "removed" if one.removed else "left alone"
        if one.stays:
            did = "would be removed" if dry_run else "could not be removed"
        what = f"{count(one.files, 'partial file')}, {size(one.size)}"
        if one.claims:
            what += f", {count(one.claims, 'claim')}"
        who = f"process {one.process} on {shown(one.host)}, {_LIVES[one.life.value]}"
        lines.append(f"{did}: {what} (of {who})")
    return "\n".join(lines)


def remains_json(found: Sequence[Remains]) -> list[dict[str, Any]]:
    """Return what was left over as values for JSON."""
    return [
        {
            "host": one.host,
            "process": one.process,
            "state": one.life.value,
            "files": one.files,
            "bytes": one.size,
            "claims": one.claims,
            "removed": one.removed,
        }
        for one in found
    ]
