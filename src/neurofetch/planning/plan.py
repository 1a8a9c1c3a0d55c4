"""Make a plan from the chosen files and what is here. Pure: the same input, the same plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import DiskFullError
from neurofetch.model import Action, Plan, Step, VerificationLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from neurofetch.model import LocalFile, RemoteFile, Want

__all__ = [
    "ANOTHERS",
    "MODIFIED",
    "check_space",
    "kept",
    "make_plan",
    "make_steps",
    "sharing",
    "unresumed",
]

_SMALL = 256 * 1024
"""Bytes; a file up to this size comes at once, so there is nothing to resume."""
_ABSENT = "not here"
_KINDS = {"gitblob": "git hash"}
"""What people call a checksum, where that is not its name."""
ANOTHERS = "here with the server's size, put there by another tool"
MODIFIED = "here with the server's size, but modified since it was fetched"


def make_plan(
    root: Path,
    wants: Iterable[Want],
    local: Mapping[str, LocalFile],
    held: Mapping[str, int] | None = None,
    *,
    notes: tuple[str, ...] = (),
    free: int | None = None,
    overwrite: bool = False,
) -> Plan:
    """Subtract what is here from what is wanted.

    Parameters
    ----------
    root : Path
    wants : iterable of Want
        Their order is the order of the plan.
    local : mapping of str to LocalFile
        What the survey found, by path.
    held : mapping of str to int, optional
        Bytes in usable partial files, by path.
    notes : tuple of str
    free : int or None
        Free bytes on the disk.
    overwrite : bool
        Fetch also what is here.
    """
    steps = tuple(make_steps(wants, local, held, overwrite=overwrite))
    return Plan(root, steps, notes + unresumed(steps), free)


def make_steps(
    wants: Iterable[Want],
    local: Mapping[str, LocalFile],
    held: Mapping[str, int] | None = None,
    *,
    overwrite: bool = False,
) -> list[Step]:
    """Return the step for each file: see `make_plan`.

    Parameters
    ----------
    wants, local, held, overwrite
        As for `make_plan`.
    """
    held = held or {}
    steps = []
    here, have = local.get, held.get
    absent: Step | None = None
    for want in wants:
        path = want.path
        found, part = here(path), have(path, 0)
        if found is None and not part and want.is_free:
            absent = absent or Step(want, Action.FETCH, _ABSENT)
            steps.append(absent.same_for(want))
        else:
            steps.append(_step(want, found, part, overwrite))
    return steps


def sharing(steps: Sequence[Step], here: Mapping[str, str]) -> list[Step]:
    """Return the same steps; of files of one content, one is fetched and the others are copies.

    What is here already is copied also where a part of another came before.

    Parameters
    ----------
    steps : sequence of Step
    here : mapping of str to str
        Digests, as text, of files that are here, with the path of one of each. Those that the steps
        keep are known without that.
    """
    known = {
        str(step.want.remote.digest): step.want.path
        for step in steps
        if step.action is Action.KEEP and step.verification is VerificationLevel.CHECKSUM
    }
    whole = {**here, **known}
    first, found = dict(whole), []
    for step in sorted(steps, key=lambda one: one.action is not Action.RESUME):
        digest = step.want.remote.digest
        if digest is None or not step.moves:
            continue
        other = first.setdefault(str(digest), step.want.path)
        resumed = step.action is Action.RESUME and str(digest) not in whole
        if other != step.want.path and not resumed:
            found.append((step, other))
    if not found:
        return list(steps)
    copies = {step.want.path: replace(step, have=0, copy_of=other) for step, other in found}
    return [copies.get(step.want.path, step) for step in steps]


def unresumed(steps: Iterable[Step]) -> tuple[str, ...]:
    """Say how many files begin anew if they are interrupted, since nothing guards their version.

    Parameters
    ----------
    steps : iterable of Step
        All of a plan.

    Returns
    -------
    tuple of str
        One note, or none.
    """
    count = size = 0
    for step in steps:
        remote = step.want.remote
        large = remote.size or 0
        if large > _SMALL and step.moves and not step.copy_of and not _resumes(remote):
            count, size = count + 1, size + large
    if not count:
        return ()
    files = "1 file of more than 256 kB" if count == 1 else f"{count:,} files of more than 256 kB"
    return (
        f"{files} ({size:,} bytes) cannot be resumed: the server sends no parts, or tells neither "
        "a strong ETag nor a checksum. What is interrupted begins anew.",
    )


def _resumes(remote: RemoteFile) -> bool:
    """Whether what comes of a file can be told from what comes of another version of it."""
    weak = remote.etag is not None and remote.etag.startswith("W/")
    return remote.ranges and not weak and bool(remote.etag or remote.digest)


def kept(wants: Sequence[Want], levels: Sequence[VerificationLevel | None]) -> list[Step | None]:
    """Return the steps of files that are here as they were fetched, and as they are listed.

    Parameters
    ----------
    wants : sequence of Want
    levels : sequence of VerificationLevel or None
        How each was verified when it came; None for a file of which something else is to be said.
    """
    found: list[Step | None] = []
    model = None
    for want, level in zip(wants, levels, strict=True):
        if level is None:
            found.append(None)
            continue
        if model is None or model.verification is not level:
            model = Step(want, Action.KEEP, _verified(level), verification=level)
        found.append(model.same_for(want))
    return found


def _step(want: Want, here: LocalFile | None, have: int, overwrite: bool) -> Step:
    if want.refused:
        return Step(want, Action.REFUSE, want.refused)
    if want.problem:
        return Step(want, Action.LEAVE, want.problem)
    step = _possible(want, here, have, overwrite)
    if step.moves and want.remote.withheld:
        return Step(want, Action.REFUSE, want.remote.withheld)
    return step


def _possible(want: Want, here: LocalFile | None, have: int, overwrite: bool) -> Step:
    """Return the step for a file that is not withheld."""
    if here is None:
        if have:
            return Step(want, Action.RESUME, f"{have} bytes of it are here", have)
        return Step(want, Action.FETCH, _ABSENT)
    if overwrite:
        return Step(want, Action.REPLACE, "here, to be fetched again")
    action, reason = _compare(want, here)
    if here.damaged and not here.matches(want.remote.digest):
        action, reason = Action.REPLACE, "here, but damaged: verify has read other bytes in it"
    if action is Action.REPLACE:
        return Step(want, action, reason, have)
    if here.matches(want.remote.digest):
        return Step(want, action, reason, verification=VerificationLevel.CHECKSUM)
    trusted = here.receipt is not None and not here.touched
    verification = (
        here.receipt.verification
        if here.receipt is not None and trusted
        else VerificationLevel.SIZE
    )
    return Step(want, action, reason, verification=verification)


def _compare(want: Want, here: LocalFile) -> tuple[Action, str]:
    remote, receipt = want.remote, here.receipt
    same = here.matches(remote.digest)
    if same is not None and remote.digest is not None:  # the content tells more than any ETag
        action, verb = (Action.KEEP, "is") if same else (Action.REPLACE, "is not")
        kind = _KINDS.get(remote.digest.algorithm, remote.digest.algorithm)
        return action, f"here, its {kind} {verb} the server's"
    same_etag = receipt is not None and receipt.is_of(remote)
    if receipt is not None and same_etag and not here.touched:
        return Action.KEEP, _verified(receipt.verification)
    if remote.size is not None and here.size != remote.size:
        return Action.REPLACE, f"here with {here.size} bytes, on the server {remote.size}"
    if receipt is None:
        return Action.KEEP, ANOTHERS
    if remote.etag and receipt.etag and not same_etag:
        return Action.REPLACE, "changed on the server since it was fetched"
    return Action.KEEP, MODIFIED if here.touched else _verified(receipt.verification)


def _verified(level: VerificationLevel) -> str:
    return f"here, verified ({level.value})"


def check_space(plan: Plan) -> None:
    """See that the bytes still to come fit on the disk.

    No margin is added: what fits, fits. A file that is replaced needs room beside the old one
    until it is whole, so nothing is subtracted for it.

    Raises
    ------
    DiskFullError
        If they do not.
    """
    needed = plan.bytes_to_write
    if plan.free is not None and needed > plan.free:
        missing = needed - plan.free
        msg = (
            f"{needed:,} bytes are still to come, but only {plan.free:,} are free on "
            f"the disk of {plan.root}: {missing:,} too few. Nothing was fetched. Free some space, "
            "choose fewer files, or use a data directory on another disk."
        )
        raise DiskFullError(msg)
