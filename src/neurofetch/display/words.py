"""What programs read: one vocabulary for documents (``--json``), events and mappings. Pure.

The words are described in ``docs/json.md``, and their types in
``docs/schemas/neurofetch-1.schema.json``, against which a test holds what the commands print. The
same thing has the same word everywhere: `files` is always the list of files, `files_…` always a
number of them, `bytes_…` a number of bytes, `seconds` a time span, and a point in time is ISO 8601
in UTC.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from neurofetch.display.groups import sections
from neurofetch.errors import NeurofetchError, ServerError
from neurofetch.events import (
    Event,
    FileDone,
    Finished,
    Listing,
    NetworkAway,
    NetworkBack,
    NoWorkers,
    Planned,
    Progress,
)
from neurofetch.model import Action, IncompleteError, Status, VerificationLevel
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from neurofetch.model import Outcome, Plan, RemoteFile, Report, Step
    from neurofetch.store.clean import Remains
    from neurofetch.store.findings import Audit, Finding

__all__ = [
    "SCHEMA",
    "audit_head",
    "audit_rows",
    "code_of",
    "document",
    "error_json",
    "event_json",
    "plan_head",
    "plan_rows",
    "public_url",
    "remains_json",
    "report_head",
    "report_rows",
]

SCHEMA = "neurofetch/1"
"""The name and version of the vocabulary. A new number means that a word went or changed its
meaning; new words may come with the same number."""


def document(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document that says what it is.

    Parameters
    ----------
    kind : str
        As "plan".
    values : mapping

    Examples
    --------
    >>> document("config", {"data_dir": "/data"})
    {'schema': 'neurofetch/1', 'document': 'config', 'data_dir': '/data'}
    """
    return {"schema": SCHEMA, "document": kind, **values}


# -- what is said of a file ------------------------------------------------------------------


def _source(remote: RemoteFile | None, key: str, digest: str = "") -> dict[str, Any]:
    """Return where a file comes from, and what the server says of it."""
    if remote is None:
        return {"key": key, "url": None, "etag": None, "checksum": _checksum(digest)}
    return {
        "key": key,
        "url": public_url(remote.url) or None,
        "etag": remote.etag,
        "checksum": _checksum(digest or str(remote.digest or "")),
    }


def _checksum(digest: str) -> dict[str, str] | None:
    algorithm, colon, value = digest.partition(":")
    return {"algorithm": algorithm, "value": value} if colon else None


_OPEN = ("versionId",)
"""What may be asked for in a URL that is shown; all else may be a signature, or a credential."""


def public_url(url: str) -> str:
    """Return a URL without a user, a password or a signature.

    Examples
    --------
    >>> public_url("https://me:secret@host/a%20b?versionId=7&X-Amz-Signature=3f")
    'https://host/a%20b?versionId=7'
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL at all
        return ""
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] in _OPEN])
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _time(text: str | None) -> str | None:
    """Return a time of a server as ISO 8601 in UTC; None where it cannot be read."""
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# -- plans -----------------------------------------------------------------------------------


def plan_head(plan: Plan) -> dict[str, Any]:
    """Return what is said of a plan as a whole.

    Parameters
    ----------
    plan : Plan
    """
    counts = dict.fromkeys((action.value for action in Action), 0)
    bytes_total = bytes_archived = bytes_here = bytes_to_fetch = files_archived = 0
    for step in plan.steps:
        counts[step.action.value] += 1
        number = step.want.remote.size or 0
        bytes_total += number
        bytes_to_fetch += step.remaining
        bytes_here += number if step.action is Action.KEEP else step.have if step.moves else 0
        if step.archived:
            files_archived += 1
            bytes_archived += number
    moving = counts["fetch"] + counts["resume"] + counts["replace"]
    values = {
        "root": str(plan.root),
        "counts": counts,
        "files_total": len(plan),
        "files_to_fetch": moving - files_archived,
        "files_partly_here": counts["resume"],
        "files_here": counts["keep"],
        "files_withheld": counts["refuse"],
        "files_archived": files_archived,
        "files_not_kept": counts["leave"],
        "bytes_total": bytes_total,
        "bytes_to_fetch": bytes_to_fetch,
        "bytes_here": bytes_here,
        "bytes_archived": bytes_archived,
        "bytes_free": plan.free,
        "groups": list(_groups(plan)),
        "notes": list(plan.notes),
    }
    return document("plan", values)


def _groups(plan: Plan) -> Iterator[dict[str, Any]]:
    """Give the files by kind and reason, as a dry run prints them."""
    for section in sections(plan.steps):
        for group in section.groups:
            yield {
                "why": section.why,
                "what": group.label,
                "files_total": group.files,
                "bytes_total": group.bytes,
                "bytes_here": group.here,
                "bytes_to_fetch": group.to_fetch,
            }


def plan_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """Give each file of a plan, with its reason.

    Parameters
    ----------
    plan : Plan
    """
    return map(_step, plan.steps)


def _step(step: Step) -> dict[str, Any]:
    want = step.want
    remote = want.remote
    return {
        "path": want.path,
        "unit": unit_of(want.path) or None,
        **_source(remote, remote.key),
        "size": remote.size,
        "modified": _time(remote.modified),
        "storage_class": remote.storage_class or None,
        "why": want.why,
        "action": step.action.value,
        "reason": step.reason,
        "copy_of": step.copy_of or None,
        "bytes_here": _bytes_here(step),
        "bytes_to_fetch": step.remaining,
    }


def _bytes_here(step: Step) -> int:
    if step.action is Action.KEEP:
        return step.want.remote.size or 0
    return step.have if step.moves else 0


# -- reports ---------------------------------------------------------------------------------


def report_head(report: Report) -> dict[str, Any]:
    """Return what is said of a run as a whole.

    Parameters
    ----------
    report : Report
    """
    values = {
        "root": str(report.root),
        "ok": report.ok,
        "seconds": round(report.seconds, 3),
        "counts": {status.value: len(report.of(status)) for status in Status},
        "files_total": len(report),
        "bytes_moved": report.bytes_moved,
        "notes": list(report.notes),
    }
    return document("report", values)


def report_rows(report: Report) -> Iterator[dict[str, Any]]:
    """Give what happened to each file.

    Parameters
    ----------
    report : Report
    """
    return map(_outcome, report.outcomes)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    remote, digest = outcome.remote, outcome.digest
    is_md5 = outcome.verification is VerificationLevel.MD5
    if not digest and is_md5 and remote is not None and remote.etag and not remote.digest:
        digest = f"md5:{remote.etag}"  # then the ETag is the MD5 of what is here
    return {
        "path": outcome.path,
        "unit": unit_of(outcome.path) or None,
        **_source(remote, outcome.key, digest),
        "size": outcome.size,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "advice": outcome.advice,
        "verification": outcome.verification.value,
        "bytes_moved": outcome.moved,
        "seconds": round(outcome.seconds, 3),
        "retries": outcome.attempts,
    }


# -- audits ----------------------------------------------------------------------------------


def audit_head(audit: Audit) -> dict[str, Any]:
    """Return what is said of all files that were looked at.

    Parameters
    ----------
    audit : Audit
    """
    values = {
        "root": str(audit.root),
        "ok": audit.ok,
        "verified": audit.verified,
        "seconds": round(audit.seconds, 3),
        "counts": {state.value: number for state, number in audit.counts.items()},
        "files_total": len(audit.findings),
        "summary": audit.summary,
    }
    return document("audit", values)


def audit_rows(audit: Audit) -> Iterator[dict[str, Any]]:
    """Give what was found of each file.

    Parameters
    ----------
    audit : Audit
    """
    return (_finding(finding, audit) for finding in audit.findings)


def _finding(finding: Finding, audit: Audit) -> dict[str, Any]:
    receipt = audit.known.get(finding.path)
    return {
        "path": finding.path,
        "unit": unit_of(finding.path) or None,
        "key": receipt and receipt.key,
        "url": (audit.url(receipt) or None) if receipt else None,
        "etag": (receipt.etag or None) if receipt else None,
        "checksum": _checksum(receipt.digest) if receipt else None,
        "size": receipt and receipt.size,
        "state": finding.state.value,
        "reason": finding.detail,
    }


# -- what is left over -----------------------------------------------------------------------


def remains_json(found: Sequence[Remains], root: str, *, dry_run: bool) -> dict[str, Any]:
    """Return what was left over in a data directory.

    Parameters
    ----------
    found : sequence of Remains
    root : str
        The data directory.
    dry_run : bool
        Whether it was only looked at.
    """
    runs = [
        {
            "host": one.host,
            "process": one.process,
            "state": one.life.value,
            "files_partly_here": one.files,
            "bytes_here": one.size,
            "claims": one.claims,
            "removed": one.removed,
        }
        for one in found
    ]
    ok = dry_run or not any(one.stays for one in found)
    return {"root": root, "ok": ok, "dry_run": dry_run, "runs": runs}


# -- errors ----------------------------------------------------------------------------------


def error_json(error: BaseException, message: str, code: int) -> dict[str, Any]:
    """Return an error: what happened, what to do, and how the command ends.

    Parameters
    ----------
    error : BaseException
    message : str
        What happened, as people read it.
    code : int
        The exit code.
    """
    advice = error.advice if isinstance(error, ServerError) else ""
    message = message.removesuffix(f". {advice}") if advice else message
    if isinstance(error, IncompleteError):  # which files, and why, is in the list of files
        message, *more = message.split("\n")
        advice = "\n".join(line for line in more if not line.startswith("  "))
    return {"code": code_of(type(error)), "message": message, "advice": advice, "exit": int(code)}


def code_of(kind: type[BaseException]) -> str:
    """Return the word for a kind of error: its class, without "Error", in lower case.

    Parameters
    ----------
    kind : type
        A class of exceptions.

    Examples
    --------
    >>> from neurofetch.errors import NothingMatchedError
    >>> code_of(NothingMatchedError), code_of(KeyboardInterrupt), code_of(PermissionError)
    ('nothing_matched', 'interrupted', 'disk')
    """
    if issubclass(kind, ImportError):
        return "missing_extra"
    if issubclass(kind, SystemExit):
        return "usage"
    name = kind.__name__.lstrip("_").removesuffix("Error")
    if issubclass(kind, OSError) and not issubclass(kind, NeurofetchError):
        name = "Disk"
    elif issubclass(kind, KeyboardInterrupt) or name == "Terminated":
        name = "Interrupted"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


# -- events ----------------------------------------------------------------------------------


def event_json(event: Event) -> dict[str, Any]:
    """Return an event, without the list of all files that a plan or a report has.

    Parameters
    ----------
    event : Event
    """
    if isinstance(event, Planned):
        return _event("planned", _without_document(plan_head(event.plan)))
    if isinstance(event, Finished):
        return _event("finished", _without_document(report_head(event.report)))
    if isinstance(event, FileDone):
        return _event("file", _outcome(event.outcome))
    if isinstance(event, NetworkAway):
        patience = event.patience if math.isfinite(event.patience) else None
        return _event("network_away", {**asdict(event), "patience": patience})
    if isinstance(event, NetworkBack | NoWorkers):
        name = "network_back" if isinstance(event, NetworkBack) else "no_workers"
        return _event(name, asdict(event))
    values = asdict(event)
    if isinstance(event, Progress):
        values["files_total"] = values.pop("files")
    elif isinstance(event, Listing):
        values["files_listed"] = values.pop("files")
    return _event(type(event).__name__.lower(), values)


def _event(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA, "event": name, **values}


def _without_document(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in ("schema", "document")}
