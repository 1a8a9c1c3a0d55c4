"""Plans, reports and audits as text. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from neurofetch._shown import shown, shown_lines
from neurofetch.display.groups import sections
from neurofetch.display.width import NARROWEST, WIDTH, columns_of, padded, wrapped
from neurofetch.events import NetworkAway, NetworkBack, NoWorkers
from neurofetch.model import Action, Plan, Report, Status, Step, VerificationLevel
from neurofetch.planning.plan import ANOTHERS, MODIFIED
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from neurofetch.display.groups import Group, Section
    from neurofetch.model import Outcome
    from neurofetch.store.audit import Audit
    from neurofetch.store.clean import Remains

__all__ = [
    "audit_text",
    "count",
    "duration",
    "network_text",
    "plan_opening",
    "plan_remarks",
    "plan_summary",
    "plan_text",
    "remains_text",
    "report_text",
    "size",
    "table",
    "workers_text",
]

_FEW = 40
"""So many files are named one by one; more are grouped by what they are."""

_SCREEN = 30
"""Lines; a longer list is for a dry run, not for the beginning of a fetch."""

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


def workers_text(event: NoWorkers) -> str:
    """Return what is said of a cluster that has no workers.

    Examples
    --------
    >>> workers_text(NoWorkers("tcp://login1:8786", 60.0))
    'no workers at tcp://login1:8786 since 1 min 0 s: waiting for one'
    """
    since = duration(event.seconds)
    if event.over:
        return f"workers are there, after {since}"
    return f"no workers at {shown(event.scheduler)} since {since}: waiting for one"


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
    widths = [max(columns_of(row[c]) for row in lines) for c in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            padded(cell, width, right=column in right)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
    )


# -- plans -----------------------------------------------------------------------------------


def plan_text(plan: Plan, width: int = WIDTH, *, paths: bool = False) -> str:
    """Return a plan as a dry run prints it: its files in groups, the sums, and the notes.

    A line is wider than `width` only where it names a single path.

    Parameters
    ----------
    plan : Plan
    width : int
        Columns of the screen.
    paths : bool
        Also name every file; by default that is done where they are few.
    """
    width = max(width, NARROWEST)
    found = sections(plan.steps)
    rows = sum(len(one.steps) for one in found)
    lines = _file_lines(found, width) if rows <= _FEW else _group_lines(found, width)
    if paths and rows > _FEW:
        lines += ["", *_file_lines(found, width)]
    lines += ["", plan_summary(plan, width, withheld=False)]
    if plan.free is not None and (left := plan.bytes_to_write) > plan.free:
        missing = size(left - plan.free)
        lines += wrapped(f"It does not fit on the disk: {missing} more must be free.", width)
    return "\n".join(lines)


def plan_opening(plan: Plan, width: int = WIDTH) -> str:
    """Return what is said of a plan before its files are fetched; often empty if none is.

    Parameters
    ----------
    plan : Plan
    width : int
        Columns of the screen.
    """
    width = max(width, NARROWEST)
    if not plan.moving:
        return plan_remarks(plan, width)
    lines = _group_lines(sections(plan.steps), width)
    if len(lines) > _SCREEN:
        return plan_summary(plan, width)
    return "\n".join([*lines, "", plan_summary(plan, width, withheld=False)])


def _group_lines(found: Sequence[Section], width: int) -> list[str]:
    """Return a row for each kind of file, below the reason why it is in the plan."""
    head = ("files", "bytes", "here", "to fetch")
    numbers = [
        [
            _group_numbers(group, withheld=section.why.startswith("withheld"))
            for group in section.groups
        ]
        for section in found
    ]
    widths = _widths([head, *(row for rows in numbers for row in rows)])
    lines = [f"{_row(head, widths)}  what" if found else "no files"]
    for section, rows in zip(found, numbers, strict=True):
        lines += wrapped(shown(section.why), width, indent="  ")
        for group, row in zip(section.groups, rows, strict=True):
            lines += _with_label(_row(row, widths), shown(group.label), width)
    return lines


def _group_numbers(group: Group, *, withheld: bool) -> tuple[str, ...]:
    here = size(group.here) if group.here else "-"
    to_fetch = size(group.to_fetch) if group.to_fetch else "-"
    return f"{group.files:,}", size(group.bytes), here, "withheld" if withheld else to_fetch


def _with_label(numbers: str, label: str, width: int) -> list[str]:
    """Return a row: its label is broken at spaces, and goes on below its begin."""
    indent = " " * (len(numbers) + 2)
    if len(indent) + max(map(columns_of, label.split(" "))) > width:
        indent = "    "  # a long word has more room below the numbers
        return [numbers, *wrapped(indent + label, width, indent=indent)]
    return wrapped(f"{numbers}  {label}", width, indent=indent, whole=(numbers,))


def _file_lines(found: Sequence[Section], width: int) -> list[str]:
    """Return a row for each file, below the reason why it is in the plan; each recording is one."""
    head = ("bytes", "here", "to fetch")
    rows = [list(_file_rows(section.steps)) for section in found]
    widths = _widths([head, *(numbers for some in rows for numbers, _ in some)])
    lines = [f"{_row(head, widths)}  file" if found else "no files"]
    for section, some in zip(found, rows, strict=True):
        lines += wrapped(shown(section.why), width, indent="  ")
        for numbers, path in some:
            row = _row(numbers, widths)
            fits = len(row) + 2 + columns_of(path) <= width
            lines += [f"{row}  {path}"] if fits else [row, path]
    return lines


def _file_rows(steps: Sequence[Step]) -> Iterable[tuple[tuple[str, ...], str]]:
    units: dict[str, list[Step]] = {}
    for step in steps:
        units.setdefault(unit_of(step.want.path) or step.want.path, []).append(step)
    for name, some in units.items():
        here = sum(one.have if one.moves else _size_here(one) for one in some)
        to_fetch = size(left) if (left := sum(one.remaining for one in some)) else "-"
        step = some[0]
        if not any(one.moves for one in some) or step.archived:
            withheld = "withheld" if step.action is Action.REFUSE else "-"
            to_fetch = "archived" if step.archived else withheld
        row = (size(_bytes(some)), size(here) if here else "-", to_fetch)
        path = shown(name) if name == step.want.path else f"{shown(name)}/ ({count(len(some))})"
        yield row, path


def _size_here(step: Step) -> int:
    return (step.want.remote.size or 0) if step.action is Action.KEEP else 0


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def plan_summary(plan: Plan, width: int = WIDTH, *, withheld: bool = True) -> str:
    """Return the sums of a plan, which files are withheld and why, and its notes.

    Parameters
    ----------
    plan : Plan
    width : int
        Columns of the screen.
    withheld : bool
        Also say why files are withheld.
    """
    kept, refused, partly = plan.of(Action.KEEP), plan.of(Action.REFUSE), plan.of(Action.RESUME)
    archived, unkept, moving = plan.archived, plan.of(Action.LEAVE), plan.moving
    rows = [("", "files", "bytes")]
    rows.append(("to fetch", f"{len(moving) - len(archived):,}", size(plan.bytes_to_fetch)))
    if partly:
        rows.append(
            ("  of these partly here", f"{len(partly):,}", size(sum(s.have for s in partly)))
        )
    if copies := sum(bool(step.copy_of) for step in moving):
        rows.append(("  of these made of others", f"{copies:,}", "-"))
    rows.append(("already here", f"{len(kept):,}", size(_bytes(kept))))
    if refused:
        rows.append(("withheld", f"{len(refused):,}", size(_bytes(refused))))
    if archived:
        rows.append(("archived", f"{len(archived):,}", size(_bytes(archived))))
    if unkept:
        rows.append(("cannot be kept", f"{len(unkept):,}", size(_bytes(unkept))))
    if plan.free is not None:
        rows.append(("free on the disk", "", size(plan.free)))
    return "\n".join(
        filter(None, (table(rows, right=(1, 2)), plan_remarks(plan, width, withheld=withheld)))
    )


def plan_remarks(plan: Plan, width: int = WIDTH, *, withheld: bool = True) -> str:
    """Return why files do not come or are replaced, and the notes of a plan; often empty.

    Parameters
    ----------
    plan : Plan
    width : int
        Columns of the screen.
    withheld : bool
        Also say why files are withheld.
    """
    width = max(width, NARROWEST)
    lines = [
        f"withheld: {count(len(steps))}: {shown(reason)}"
        for reason, steps in _by_reason(plan.of(Action.REFUSE) if withheld else ()).items()
    ]
    lines = [part for line in lines for part in wrapped(line, width, indent="  ")]
    lines += _archived(plan.archived, width)
    unkept = [(step.reason, step.want.path) for step in plan.of(Action.LEAVE)]
    for reason, path in unkept[:_FEW]:
        head = f"cannot be kept: {shown(path)}:"
        lines += wrapped(f"{head} {shown(reason)}", width, indent="  ", whole=(head,))
    if len(unkept) > _FEW:
        lines.append(f"cannot be kept: {len(unkept) - _FEW:,} more, each listed by --json")
    replaced = ((step.reason, step.want.path) for step in plan.of(Action.REPLACE))
    lines += _named("replaced", replaced, width)
    for note in plan.notes:
        first, *more = shown_lines(note).split("\n")
        lines += wrapped(f"note: {first}", width, indent="  ")
        lines += [part for line in more for part in wrapped(f"  {line}", width, indent="    ")]
    return "\n".join(lines)


def _archived(steps: Sequence[Step], width: int) -> list[str]:
    """Say which files must be restored by their owners first; a sentence for each class."""
    classes: dict[str, list[str]] = {}
    for step in steps:
        classes.setdefault(step.want.remote.storage_class, []).append(shown(step.want.path))
    lines: list[str] = []
    for name, paths in classes.items():
        it, them = ("it", "it") if len(paths) == 1 else ("they", "them")
        lines += wrapped(
            f"archived: {_some(paths)}: {shown(name)} is an archive; {it} cannot be fetched until "
            f"the owners of the bucket restore {them}, and will be tried all the same",
            width,
            indent="  ",
            whole=(f"archived: {_first(paths)}",),
        )
    return lines


def _some(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"


def _first(paths: Sequence[str]) -> str:
    """Return the name that `_some` begins with, and what stands right behind it."""
    return f"{paths[0]}:" if len(paths) == 1 else paths[0]


def _by_reason(steps: Iterable[Step]) -> dict[str, list[Step]]:
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.reason, []).append(step)
    return groups


def _bytes(steps: Iterable[Step]) -> int:
    return sum(step.want.remote.size or 0 for step in steps)


# -- reports ---------------------------------------------------------------------------------


_UNREAD = {ANOTHERS: "of another tool", MODIFIED: "modified since they came"}
"""Why a file that is here is known by its size alone."""


def report_text(report: Report, plan: Plan | None = None, width: int = WIDTH) -> str:
    """Return what a run prints at its end: sums, how files were verified, what was withheld.

    Failures are only counted: the error that is raised for them lists each with its cause.

    Parameters
    ----------
    report : Report
    plan : Plan, optional
        As it was printed before: its words about withheld files are not repeated.
    width : int
        Columns of the screen.
    """
    width = max(width, NARROWEST)
    fetched, told = report.of(Status.FETCHED), plan.of(Action.REFUSE) if plan else ()
    known = {step.want.path for step in told}
    sums = _sums(report) if fetched or not report.ok else _nothing_moved(report)
    sums = "\n".join([sums, *_not_read(report)])
    lines = [part for line in sums.split("\n") for part in wrapped(line, width, indent="  ")]
    if fetched:
        lines += wrapped(f"verified: {_levels(fetched)}", width, indent="  ")
        # "verified: size, came twice the same", say: what a level alone does not tell
        unusual = ((o.reason.partition("verified: ")[2], o.path) for o in fetched)
        lines += _named("verified", (one for one in unusual if one[0]), width)
    refused = ((o.reason, o.path) for o in report.withheld if o.path not in known)
    return "\n".join([*lines, *_named("withheld", refused, width)])


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
    known = [one for one in known if one.reason not in _UNREAD]
    return f"{text}\nverified when they came: {_levels(known)}" if known else text


def _not_read(report: Report) -> Iterator[str]:
    """Say how many of the files that are here nobody has read, so that only their size is known."""
    count_of = Counter(one.reason for one in report.of(Status.KEPT) if one.reason in _UNREAD)
    if count_of:
        said = ", ".join(
            f"{count_of[why]:,} {word}" for why, word in _UNREAD.items() if count_of[why]
        )
        yield f"of the right size, and not read: {said}; to read them, use --verify (verify=True)"


def _named(word: str, reasons_and_paths: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Return a sentence for each reason; each names its first file."""
    reasons: dict[str, list[str]] = {}
    for reason, path in reasons_and_paths:
        reasons.setdefault(shown(reason), []).append(shown(path))
    lines: list[str] = []
    for reason, paths in list(reasons.items())[:_LINES]:
        said, head = f"{word}: {_some(paths)}: {reason}", f"{word}: {_first(paths)}"
        lines += wrapped(said, width, indent="  ", whole=(head,))
    if len(reasons) > _LINES:
        lines.append(f"{word}: {len(reasons) - _LINES:,} more, each listed by --json")
    return lines


# -- audits ----------------------------------------------------------------------------------


def audit_text(audit: Audit) -> str:
    """Return what `verify` prints: every file that is missing or differs, and sums.

    A file is one line, however long, so that programs find what was found by its name. The files
    of a recording that is a folder are one line.

    Parameters
    ----------
    audit : Audit
    """
    if not audit.findings:
        return f"no files: {shown(str(audit.root))} has none that neurofetch fetched."
    lines = [f"{state}: {shown(path)}: {shown(detail)}" for state, path, detail in _wrong(audit)]
    return "\n".join([*lines, f"{audit.summary} ({duration(audit.seconds)})"])


def _wrong(audit: Audit) -> Iterator[tuple[str, str, str]]:
    """Give state, path and detail of what is missing or differs, each recording once."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for finding in audit.problems:
        unit, state = unit_of(finding.path), finding.state.value
        if unit:
            wrong.setdefault((state, unit), []).append(finding.path.removeprefix(f"{unit}/"))
        else:
            yield state, finding.path, finding.detail
    if not wrong:
        return
    sizes = Counter(map(unit_of, (finding.path for finding in audit.findings)))
    for (state, unit), names in wrong.items():
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        verb = state if state == "missing" else "differ"
        yield state, unit, f"{len(names):,} of {count(sizes[unit])} {verb} ({some})"


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
