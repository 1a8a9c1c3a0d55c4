"""Plans, reports and audits for the tests of what they look like."""

from pathlib import Path

from neurofetch.model import (
    Action,
    Outcome,
    Plan,
    RemoteFile,
    Report,
    Status,
    Step,
    VerificationLevel,
    Want,
)
from neurofetch.store.findings import Audit, Finding, State

ROOT = Path("/data/ds000001")
BUCKET = "https://s3.amazonaws.com/openneuro.org/"
TIME = "2024-05-01T10:20:30.000Z"
ETAG = "9e107d9d372bb6826bd81d3542a419d6"
HELD = "held out by the data set's owners"


def remote(path, size=1000, etag=ETAG, **more):
    key = f"ds000001/{path}"
    return RemoteFile(key, BUCKET + key, size, etag, TIME, **more)


def step(path, size=1000, action=Action.FETCH, why="asked for", reason="not here", **more):
    """A step of a plan; `have` is of the step, all else of the file."""
    have = more.pop("have", 0)
    problem = reason if action is Action.LEAVE else ""
    return Step(Want(remote(path, size, **more), path, why, problem=problem), action, reason, have)


def study(subjects):
    """The plan of a study: all kinds of steps, for so many subjects."""
    steps = [
        step(name, 800, why="describes the data set")
        for name in ("dataset_description.json", "participants.tsv", "README")
    ]
    for number in range(1, subjects + 1):
        sub = f"sub-{number:02}"
        bold, recording = f"{sub}/func/{sub}_task-rest", f"{sub}/meg/{sub}_task-rest_meg.ds"
        how = {1: Action.KEEP, 2: Action.RESUME}.get(number, Action.FETCH)
        have = {}
        if how is Action.RESUME:
            have = {"have": 20_000_000, "reason": "20000000 bytes of it are here"}
        steps += [
            step(f"{bold}_bold.nii.gz", 52_000_000, how, **have),
            step(f"{recording}/{sub}.meg4", 300_000_000),
            step(f"{recording}/{sub}.res4", 2_000_000),
            step(f"{bold}_events.tsv", 4000, why="events of chosen bold files"),
            step(f"{sub}/anat/{sub}_T1w.nii.gz", 9_000_000, why="has no task: passes"),
            step(f"derivatives/prep/{bold}_bold.nii.gz", 90_000_000, Action.REFUSE, reason=HELD),
        ]
    steps += [step("task-rest_bold.json", 500, why="inherited by chosen bold files")]
    steps += [step("code/CON:", 20, Action.LEAVE, reason="the disk takes no colon in a name")]
    notes = ("rest was taken for task-rest, the only task whose name is near it in this data set.",)
    return Plan(ROOT, tuple(steps), notes, 4_000_000_000_000)


def run_of(plan):
    """The report of a run of a plan; one file failed."""
    outcomes = []
    for number, one in enumerate(plan.steps):
        want, size = one.want, one.want.remote.size
        if one.action is Action.KEEP:
            level = VerificationLevel.CHECKSUM
            outcomes.append(Outcome.unmoved(want, Status.KEPT, "here", size, verification=level))
        elif one.action is Action.REFUSE:
            outcomes.append(Outcome.unmoved(want, Status.REFUSED, one.reason))
        elif one.action is Action.LEAVE:
            outcomes.append(Outcome.unmoved(want, Status.FAILED, one.reason, advice="Rename it."))
        else:
            level = VerificationLevel.MD5 if number % 2 else VerificationLevel.CHECKSUM
            digest = "" if number % 2 else "crc64nvme:0011223344556677"
            outcomes.append(
                Outcome(
                    want.path, want.remote.key, Status.FETCHED, "", size, size, 0.25, level, 1,
                    remote=want.remote, digest=digest,
                )
            )  # fmt: skip
    return Report(plan.root, tuple(outcomes), plan.notes, 12.5)


def audit_of(plan):
    """An audit of the files of a plan: all states."""
    states = list(State)
    findings = tuple(
        Finding(one.want.path, states[number % len(states)], "what was found")
        for number, one in enumerate(plan.steps)
    )
    return Audit(plan.root, findings, 0.5)
