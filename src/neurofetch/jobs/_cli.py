"""The command ``status``, and the flags that submit jobs, which `get` and `download` share."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode
from neurofetch.display.width import WIDTH

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from neurofetch.jobs.following import Following
    from neurofetch.model import Plan
    from neurofetch.store.runs import Run

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_slurm", "add_status", "status", "submitted", "wrong_jobs"]

_LOOKS, _LINES, _SAME = 2.0, 30.0, 600.0
"""Seconds between two looks, between two lines in a log, and between two that say the same."""
_CLEAR = "\033[H\033[J"


def add_status(commands: Commands, program: str, default: str = "") -> None:
    """Add the command that shows runs; its handler is set by the caller.

    Parameters
    ----------
    commands : subparsers
    program : str
        The command's name, for the examples.
    default : str
        Which data directory is meant where none is named; "" where one must be.
    """
    where = "" if default else " ds000246"
    parser = commands.add_parser(
        "status",
        help="show the progress of the jobs that download into a data directory",
        description="Show the runs of a data directory, on this computer and on others: the "
        "progress of each job, what failed, and which jobs are silent. This is all read from the "
        "data directory. With --wait, exit when all jobs have ended; the exit code is 0 if every "
        "file was downloaded.",
        examples=(f"{program} status{where}", f"{program} status{where} --wait"),
    )
    console.add_data_dir(parser, default, positional=True)
    parser.add_argument("--run", metavar="RUN", help="only this run")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--watch",
        action="store_true",
        help="update the display every two seconds until all jobs have ended; in a log, print a "
        "line from time to time",
    )
    how.add_argument("--wait", action="store_true", help="wait until all jobs have ended")
    console.add_output(parser)
    parser.set_defaults(
        handler=lambda arguments: status(arguments, arguments.data_dir),
        stopped="stopped looking. The jobs go on as they are.",
    )


def status(arguments: argparse.Namespace, data_dir: object) -> int:
    """Show the runs of a data directory, or follow them.

    Parameters
    ----------
    arguments : argparse.Namespace
    data_dir : path

    Returns
    -------
    int
        The exit code: that of the newest run, if it is over, or was waited for.
    """
    from neurofetch.errors import DestinationError  # noqa: PLC0415 - not needed for --help
    from neurofetch.jobs.following import Following, awaited, exit_of_runs  # noqa: PLC0415
    from neurofetch.store.folder import given_path  # noqa: PLC0415
    from neurofetch.store.runs import check_readable  # noqa: PLC0415

    root = given_path(data_dir)
    if not root.is_dir():
        what = "is no directory" if root.exists() else "does not exist"
        msg = f"the data directory {root} {what}. Nothing was done. Check the path."
        raise DestinationError(msg)
    check_readable(root)
    following = Following(root, arguments.run)
    runs = following.runs()
    mine = {run.id for run in awaited(runs)}
    mine |= {run.id for run in runs if run.to_begin and following.is_queued(run)}
    if arguments.wait or arguments.watch:
        runs = _followed(following, mine, arguments)
        over = True
    else:
        over = all(run.over for run in runs if run.id in mine)
    code = _shown(runs, root, arguments)
    return code or (exit_of_runs([run for run in runs if run.id in mine]) if over else code)


def _shown(runs: Sequence[Run], root: Path, arguments: argparse.Namespace) -> int:
    from neurofetch.display.status import runs_json, runs_text  # noqa: PLC0415 - see above

    if arguments.json:
        console.emit("status", runs_json(root, runs))
    elif runs:
        if not arguments.quiet:
            text = runs_text(runs, _width(), all_of_them=arguments.run is not None)
            console.show_text(text)
    else:
        console.remark(
            f"{root} tells of no run. A run is written down once it has lasted two seconds.",
            arguments,
        )
    return ExitCode.OK if runs else ExitCode.NOTHING_MATCHED


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return WIDTH


def _followed(following: Following, mine: set[str], arguments: argparse.Namespace) -> list[Run]:
    """Return the runs when those that are awaited are over, and show them meanwhile."""
    from neurofetch.display.status import runs_text, status_line  # noqa: PLC0415 - see above

    screen = arguments.watch and not arguments.json and sys.stdout and sys.stdout.isatty()
    said: dict[str, tuple[float, str]] = {}
    while True:
        runs = following.runs()
        waiting = [run for run in runs if run.id in mine and not following.is_over(run)]
        if not waiting:
            return following.runs()  # while Slurm was asked, jobs may have ended
        doubts = {run.id: following.doubt(run) for run in waiting}
        if screen:
            text = runs_text(runs, _width(), all_of_them=arguments.run is not None)
            console.output(_CLEAR, end="")
            console.show_text("\n".join(filter(None, (text, *doubts.values()))))
            waiting = []
        for run in waiting:
            told, now = f"{status_line(run)}\n{doubts[run.id]}".rstrip(), following.clock()
            when, before = said.get(run.id, (float("-inf"), ""))
            if now - when >= (_SAME if told == before else _LINES):
                said[run.id] = now, told
                console.remark(f"{time.strftime('%H:%M:%S')} {run.id}: {told}", arguments)
        following.sleep(_LOOKS)


# -- submitting ------------------------------------------------------------------------------


def add_slurm(parser: console.Parser) -> None:
    """Add the flags that submit jobs.

    Parameters
    ----------
    parser : Parser
    """
    group = console.group_of(parser, console.MANY)
    group.add_argument(
        "--slurm",
        metavar="OPTIONS",
        help="submit the work to Slurm as a job array with these sbatch options, such as '-p "
        "short -t 2:00:00'; with --dry-run, only show the script",
    )
    group.add_argument(
        "--jobs",
        metavar="N",
        help="number of jobs (default: 8); 8%%2 means eight jobs, two at a time",
    )


def wrong_jobs(arguments: argparse.Namespace) -> str:
    """Say what is wrong with these flags, each of which is right by itself.

    Parameters
    ----------
    arguments : argparse.Namespace
    """
    if arguments.slurm is None:
        if arguments.jobs is not None:
            return "argument --jobs: it says into how many jobs --slurm divides the work"
        return ""
    from neurofetch.jobs.slurm import wrong_flags  # noqa: PLC0415 - few runs need it

    return wrong_flags(arguments)


def submitted(
    make_plan: Callable[[], Plan], arguments: argparse.Namespace, module: str, state: str
) -> int:
    """Make the plan, write the script, and submit it; with a dry run, only show them.

    Parameters
    ----------
    make_plan : callable
        Returns the plan of all jobs together.
    arguments : argparse.Namespace
    module : str
        What Python runs: ``neurofetch``.
    state : str
        The name of the state folder.
    """
    from neurofetch.jobs.slurm import Submission  # noqa: PLC0415 - few runs need it

    submission = Submission.asked_for(arguments, module)
    if arguments.dry_run:
        plan = make_plan()
        script = submission.script(plan, state).rstrip()
        console.show_plan(plan, arguments)
        if not arguments.json:
            console.output(f"\nThe script of the jobs, which were not submitted:\n\n{script}")
        return ExitCode.OK
    with submission.listing_kept():
        plan = make_plan()
    console.begin(plan, arguments)
    if not plan.moving:
        console.remark("Nothing to fetch: no job was submitted.", arguments)
        told = submission.nothing(plan, state)
    else:
        told = submission.submit(plan, state)
        console.remark(submission.what_next(told), arguments)
    if arguments.json:
        console.emit("submission", told)
    elif told["job"] and not arguments.quiet:
        console.output(told["job"])
    return ExitCode.OK
