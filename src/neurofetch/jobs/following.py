"""Follow runs until they are over: by what their tasks write down, and by what Slurm says."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.errors import UsageError
from neurofetch.store.owner import SILENT_SECONDS
from neurofetch.store.runs import FOLDER, SCRIPT, TaskState, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from neurofetch.store.runs import Run

__all__ = ["Following", "awaited", "chosen", "exit_of_runs"]

ASKED_EACH = 15.0
"""Seconds between two questions to Slurm."""
RESTART = 120.0
"""Seconds in which a task that was lost may begin anew, where Slurm cannot be asked."""
GIVEN_UP = 1800.0
"""Seconds after which a task that says nothing is waited for no longer."""
DOUBT = 600.0
"""Seconds in which no job begins or works, after which it is said what one can do."""
_PATIENCE, MUTE = 20.0, 300.0
"""Seconds that Slurm has to answer, and those in which it is not asked again if it did not."""


def chosen(root: Path, name: str | None) -> list[Run]:
    """Return the runs of a data directory; only the one that was named.

    Parameters
    ----------
    root : Path
    name : str or None

    Raises
    ------
    UsageError
        If there is no run of that name.
    """
    runs = runs_in(root)
    if name is None:
        return runs
    found = [run for run in runs if run.id == name]
    if not found:
        known = ", ".join(run.id for run in runs[-5:]) or "none"
        msg = f"{root} has no run {name!r}. Nothing was done. Its last runs: {known}."
        raise UsageError(msg)
    return found


def awaited(runs: Sequence[Run]) -> list[Run]:
    """Return the newest run, and those before it of which a task is at work.

    Parameters
    ----------
    runs : sequence of Run
        The oldest first.
    """
    work = (TaskState.LISTING, TaskState.RUNNING)
    return [run for n, run in enumerate(runs, 1) if n == len(runs) or run.of(*work)]


def exit_of_runs(runs: Sequence[Run]) -> int:
    """Return the exit code that these runs come to.

    Parameters
    ----------
    runs : sequence of Run
    """
    from neurofetch.display.status import exit_of_run  # noqa: PLC0415 - not needed for --help

    codes = list(map(exit_of_run, runs))
    order = (1, 7, 2, 3, 5, 6, 4)
    return next((code for code in order if code in codes), 0)


@dataclass(slots=True)
class Following:
    """Tells when the runs that were under way are over.

    Parameters
    ----------
    root : Path
        The data directory.
    name : str or None
        The run that is followed; None for all that are under way.
    sleep, clock : callable
        As those of `time`.
    """

    root: Path
    name: str | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _asked: dict[str, tuple[float, bool | None]] = field(default_factory=dict)
    _lost: dict[tuple[str, str, int], float] = field(default_factory=dict)
    _mute: float = float("-inf")
    _still: dict[str, tuple[float, int]] = field(default_factory=dict)

    def runs(self) -> list[Run]:
        """Return the runs as they are now.

        Raises
        ------
        UsageError
            If there is none of the name.
        """
        return chosen(self.root, self.name)

    def is_over(self, run: Run) -> bool:
        """Whether nothing more is to be expected of a run.

        Slurm is asked where that decides: a job that it does not know any more will not begin, nor
        go on. A job that was lost may be queued again, as after its node failed.
        """
        if run.over and (run.closed or not run.of(TaskState.LOST)):
            return True
        known = self.is_queued(run)
        if known is not None:
            return not known
        if run.over:
            return all(self._lost_for_long(run, task.name, task.began) for task in run.tasks)
        waits = [task for task in run.tasks if not task.state.is_over]
        long = 0.0 if run.closed else GIVEN_UP  # nobody would have it begin again
        silent = all(task.heard > max(long, SILENT_SECONDS) for task in waits)
        return bool(waits) and silent and (run.closed or not run.to_begin)

    def _lost_for_long(self, run: Run, task: str, began: int) -> bool:
        state = next(one.state for one in run.tasks if one.name == task)
        since = self._lost.setdefault((run.id, task, began), self.clock())
        return state is not TaskState.LOST or self.clock() - since > RESTART

    def doubt(self, run: Run) -> str:
        """Say what one can do about jobs that do not begin; "" as long as there is no doubt.

        Where Slurm cannot be asked, nobody knows whether they will. It is said at once of jobs that
        were not submitted, and of others once nothing has happened for a while.
        """
        begun = sum(task.began for task in run.tasks)
        works = run.of(TaskState.LISTING, TaskState.RUNNING)
        since, before = self._still.get(run.id, (0.0, -1))
        if works or run.closed or not run.to_begin or begun != before or self.is_queued(run):
            since = self.clock()
            self._still[run.id] = since, begun
        lies = run.scheduler == "slurm" and not run.job and not begun
        still = self.clock() - since >= DOUBT
        return _doubt_of(run, lies=lies) if lies or still else ""

    def is_queued(self, run: Run) -> bool | None:
        """Whether Slurm has the jobs of a run in its queue; None where it cannot say."""
        if run.scheduler != "slurm" or not run.job:
            return None
        when, known = self._asked.get(run.id, (float("-inf"), None))
        if self.clock() - when > ASKED_EACH and self.clock() > self._mute:
            before = self.clock()
            known = _in_queue(run.job)
            self._asked[run.id] = self.clock(), known
            if self.clock() - before >= _PATIENCE:  # it hangs: do not wait for each run
                self._mute = self.clock() + MUTE
        return known


def _doubt_of(run: Run, *, lies: bool) -> str:
    """Say why it is not known whether the jobs of a run will begin, and what one can do."""
    end = "press Ctrl-C and run the first command again, which fetches only what is missing."
    if lies:
        script = shlex.quote(str(run.root / run.state / FOLDER / run.id / SCRIPT))
        return (
            "  its jobs were not submitted from here, where there was no sbatch. They are waited "
            f"for. If nobody has done it yet, submit {script} where there is one; or {end}"
        )
    look = f"squeue --jobs {run.job}" if run.scheduler == "slurm" and run.job else "squeue, qstat"
    return (
        f"  {run.to_begin:,} of its jobs have not begun, none works, and whether they are queued "
        f"cannot be told from here. They are waited for. Look where they were submitted ({look}). "
        f"If they are gone, {end}"
    )


def _in_queue(job: str) -> bool | None:
    program = shutil.which("squeue")
    number, _, cluster = job.partition(";")
    if program is None or not number.isdigit():
        return None
    where = [f"--clusters={cluster}"] if cluster else []
    try:
        done = subprocess.run(
            [program, "--noheader", *where, "--jobs", number],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode:
        return False if "nvalid job id" in done.stderr else None
    lines = done.stdout.splitlines()
    return any(line.strip() and not line.startswith("CLUSTER:") for line in lines)
