"""The record of a run, as it is written: a few lines a minute, by a thread of its own.

Whatever goes wrong here, a full disk or a file server that is away, costs the record and never the
run. See `runs` for what lies where, and for who reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from neurofetch._exits import exit_of
from neurofetch._threads import started
from neurofetch.errors import NeurofetchError, ServerError, UnsafeNameError
from neurofetch.events import FileDone, Listing, NetworkAway, NetworkBack, Planned, Progress
from neurofetch.model import Action, Outcome, Status
from neurofetch.store.atomic import write_all
from neurofetch.store.owner import process_token
from neurofetch.store.runs import (
    END,
    VERSION,
    RunName,
    begin_run,
    folder_of_run,
    new_run_id,
    stands_at,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from neurofetch.events import Event
    from neurofetch.model import Plan, Report

__all__ = ["RunRecord", "job_of"]

_log = logging.getLogger("neurofetch")

BRIEF = 2.0
"""Seconds; a run that is no task and takes less leaves no record."""
_BEATS = ((30.0, 1.0), (600.0, 5.0), (6 * 3600.0, 15.0), (float("inf"), 30.0))
"""Up to which age of a run it is written down how far it is, each so many seconds."""
_LAST_SECONDS = 1.0
"""For the thread that writes, at the end; one that a disk holds up is left to it."""
_MOST_FAILED = 1000
_LONG = 600


class RunRecord:
    """Writes down how far a run is. A listener: it gets every event. Made by `begin`.

    Parameters
    ----------
    state : Path
        The state folder.
    run : RunName or None
        The task that this is; None for a run of its own.
    """

    def __init__(self, state: Path, run: RunName | None) -> None:
        self._state = state
        self._is_task = run is not None
        self._run = run or RunName(new_run_id(), "0")
        self._began = time.monotonic()
        self._fd: int | None = None
        self._torn = False
        self._lock = threading.Lock()
        """Held while something is written."""
        self._news = threading.Lock()
        """Held while what was heard is put down, or taken."""
        self._over = threading.Event()
        self._wake = threading.Event()
        """Set when something is to be written down at once."""
        self._thread: threading.Thread | None = None
        self._threaded = True
        self._next = self._began + BRIEF
        self._pending: list[Mapping[str, Any]] = [self._begin()]
        self._plan: dict[str, Any] = {}
        """What was planned: each line says it, so that the last one is enough."""
        self._told: dict[str, Any] = {}
        """What is new since the last line."""
        self._done = self._failed = self._here = self._bytes = self._came = 0

    @classmethod
    def begin(cls, state: Path, plan: Plan | None, run: RunName | None = None) -> RunRecord:
        """Begin the record of a run.

        Parameters
        ----------
        state : Path
            The state folder; it is made if need be, in a data directory that is there.
        plan : Plan or None
            None where it is still to be made: a `Planned` event tells of it.
        run : RunName, optional
            The task that this is. A run that is none has a record only once it has lasted two
            seconds.

        Returns
        -------
        RunRecord
        """
        record = cls(state, run)
        if plan is not None:
            record(Planned(plan))
        if record._is_task:
            record._flush()
        record._thread = started(record._keep_writing, "neurofetch-record")
        record._threaded = record._thread is not None
        return record

    def _begin(self) -> dict[str, Any]:
        scheduler, job = job_of(os.environ)
        return {
            "event": "begin",
            "record": VERSION,
            "task": self._run.task,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "token": process_token(),
            "scheduler": scheduler,
            "job": job,
            "when": time.time(),
        }

    # -- what is heard -----------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        """Take one event; nothing is written here, so no disk can hold up the run."""
        with self._news:
            self._hear(event)
        if not self._threaded and time.monotonic() > self._next:
            self._next = time.monotonic() + self._beat()
            self._flush()

    def _hear(self, event: Event) -> None:
        if type(event) is Progress:  # not `Checking`, which is of bytes that are read
            self._came = event.bytes_done
            self._told |= {
                "event": "progress",
                "rate": round(event.rate, 1),
                "retries": event.retries,
            }
        elif isinstance(event, FileDone):
            self._file_done(event.outcome)
        elif isinstance(event, Planned):
            self._planned(event.plan)
        elif isinstance(event, Listing):
            self._told |= {"event": "listing", "listed": event.files}
        elif isinstance(event, NetworkAway):
            self._told |= {"event": "progress", "note": f"nothing comes from {event.server}"}
        elif isinstance(event, NetworkBack):
            self._told |= {"event": "progress", "note": ""}

    def _planned(self, plan: Plan) -> None:
        self._done, self._failed, self._came = len(plan.of(Action.KEEP)), 0, 0
        self._here = plan.bytes_here
        self._bytes = self._here + plan.bytes_to_write
        ends = [plan.steps[0].want.path, plan.steps[-1].want.path] if plan.steps else []
        key = json.dumps([len(plan), *ends])
        self._told.clear()
        self._plan = {
            "key": hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "files": len(plan) - len(plan.of(Action.REFUSE)),
            "bytes": self._bytes,
        }
        self._wake.set()
        some = {"done": self._done, "bytes_done": self._here}
        self._pending.append({"event": "planned", **self._plan, **some})

    def _file_done(self, outcome: Outcome) -> None:
        if outcome.ok:
            self._done += outcome.status is Status.FETCHED
        elif outcome.status is Status.FAILED:
            self._failed += 1
            if self._failed <= _MOST_FAILED:
                self._pending.append(self._failure(outcome))
        self._told["event"] = "progress"

    def _failure(self, outcome: Outcome) -> dict[str, str]:
        return {
            "event": "failed",
            "path": outcome.path,
            "reason": outcome.reason[:_LONG],
            "advice": outcome.advice[:_LONG],
            "stood": stands_at(self._state.parent, outcome.path),
        }

    # -- what is written ---------------------------------------------------------------------

    def _keep_writing(self) -> None:
        if not self._is_task and self._over.wait(BRIEF):
            return
        while not self._over.is_set():
            self._wake.wait(self._beat())
            self._wake.clear()
            with self._lock:
                if not self._over.is_set():
                    self._write()

    def _beat(self) -> float:
        age = time.monotonic() - self._began
        return next(beat for until, beat in _BEATS if age < until)

    def _flush(self) -> None:
        with self._lock:
            self._write()

    def _write(self) -> None:
        """Write what is new, or else show that the run lives."""
        with self._news:
            lines, self._pending = self._pending, []
            told, self._told = self._told, {}
            if told:
                told = {**self._plan, **self._sums(), **told}
                lines = [*lines, told]
        try:
            fd = self._opened()
            if lines:
                text = "".join(f"{json.dumps(line)}\n" for line in lines)
                data = text.encode()
                write_all(fd, b"\n" + data if self._torn else data)
                self._torn = False
            else:
                os.utime(fd)
        except (OSError, UnsafeNameError) as error:
            self._torn = self._fd is not None
            with self._news:
                self._pending = [*lines[: 2 * _MOST_FAILED], *self._pending]
            _log.debug("the record of the run cannot be written: %s", error)

    def _sums(self) -> dict[str, Any]:
        return {
            "done": self._done,
            "failed": self._failed,
            "bytes_done": self._here + self._came,
            "moved": self._came,
            "seconds": round(time.monotonic() - self._began, 3),
        }

    def _opened(self) -> int:
        """Return the descriptor of the record; its number is the first that no record has.

        Raises
        ------
        OSError, UnsafeNameError
        """
        if self._fd is None:
            with folder_of_run(self._state, self._run.run, make=True) as folder:
                names = set(folder.names())
                number = 1 + sum(name.startswith(f"{self._run.task}~") for name in names)
                while self._fd is None:
                    with contextlib.suppress(FileExistsError):
                        name = f"{self._run.task}~{number}{END}"
                        self._fd = folder.create(name, os.O_WRONLY | os.O_APPEND)
                    number += 1
            if not self._is_task:
                begin_run(self._state, self._run.run, expected=1)
        return self._fd

    def end(self, report: Report | None, error: BaseException | None = None) -> None:
        """Write down how the run ended; what comes later is not written.

        Parameters
        ----------
        report : Report or None
            None where there is none.
        error : BaseException, optional
            What ended it.
        """
        if self._over.is_set():
            return
        self._over.set()
        self._wake.set()
        self._no_more_thread()
        with self._lock:
            if self._fd is None and not self._is_task:
                return
            with self._news:
                self._told |= {"event": "end", **self._ended(report, error)}
            self._write()
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _no_more_thread(self) -> None:
        """Let the thread end: it only wakes up, and finds that there is nothing to write."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LAST_SECONDS)

    def _ended(self, report: Report | None, error: BaseException | None) -> dict[str, Any]:
        found: dict[str, Any] = {"exit": 0, "rate": 0.0, "note": ""}
        if report is not None:
            counts = {str(status): len(report.of(status)) for status in Status}
            self._done = counts[Status.FETCHED] + counts[Status.KEPT]
            self._tell_all_failed(report)
            self._failed = counts[Status.FAILED]
            found |= {"counts": counts, "moved": report.bytes_moved, "files": len(report)}
            found["files"] -= counts[Status.REFUSED]
            found["exit"] = 4 if report.failures else 0
            if report.ok:
                found |= {"bytes_done": self._bytes, "bytes": self._bytes}
        if error is not None:
            code = exit_of(error)
            found["exit"] = 1 if code is None else code
            found["error"] = type(error).__name__
            found["message"] = str(error).partition("\n")[0][:_LONG]
            found["advice"] = error.advice[:_LONG] if isinstance(error, ServerError) else ""
            if not isinstance(error, NeurofetchError | OSError):
                found["message"] = found["message"] if found["exit"] == 1 else "it was stopped"
        return found

    def _tell_all_failed(self, report: Report) -> None:
        """Tell also of files that failed before they were begun: no event told of them."""
        if self._failed < len(report.failures):
            some = report.failures[:_MOST_FAILED]
            self._pending += [self._failure(outcome) for outcome in some]


def job_of(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the scheduler that started this process, and what it calls the job; "" for none.

    Parameters
    ----------
    environ : mapping

    Examples
    --------
    >>> job_of({"SLURM_JOB_ID": "812", "SLURM_ARRAY_JOB_ID": "810", "SLURM_ARRAY_TASK_ID": "2"})
    ('slurm', '810_2')
    """
    array, number = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    if array and number:
        return "slurm", f"{array}_{number}"[:80]
    for name, variable in (("slurm", "SLURM_JOB_ID"), ("pbs", "PBS_JOBID")):
        if job := environ.get(variable):
            return name, job[:80]
    for name, variable, index in (
        ("lsf", "LSB_JOBID", "LSB_JOBINDEX"),
        ("sge", "JOB_ID", "SGE_TASK_ID"),
    ):
        if job := environ.get(variable):
            number = environ.get(index, "")
            return name, (f"{job}_{number}" if number.isdigit() and number != "0" else job)[:80]
    return "", ""
