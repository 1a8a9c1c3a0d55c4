"""One script for an array of jobs: each fetches its part of the plan; written, and submitted.

The script calls the command that the user called, with ``--shard``, so a job is nothing but a run
of its own: it may be killed, started again, or run by hand. It takes its number from whichever
batch system started it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from neurofetch._shown import shown
from neurofetch.errors import DestinationError, SchedulerError, UnsafeNameError, UsageError
from neurofetch.store.runs import (
    FOLDER,
    LISTING_TASK,
    SCRIPT,
    VARIABLE,
    begin_run,
    folder_of_run,
    forget_run,
    new_run_id,
    replace_file,
)
from neurofetch.transfer.options import Options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from neurofetch.model import Plan

__all__ = ["Submission", "wrong_flags"]

JOBS = 8
_MOST = 100_000
_PATIENCE = 120.0
_OWN = frozenset(
    [
        "-a",
        "--array",
        "--wrap",
        "-o",
        "--output",
        "-n",
        "--ntasks",
        "-N",
        "--nodes",
        "-W",
        "--wait",
        "--test-only",
        "--parsable",
    ]
)
"""Options of sbatch that the script sets, that start one job several times, or answer otherwise."""
_NUMBER = (
    "${1:-${SLURM_ARRAY_TASK_ID:-${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-${LSB_JOBINDEX:-"
    "${SGE_TASK_ID:-}}}}}}"
)
_VALUED = (
    "--slurm",
    "--jobs",
    "--limit-rate",
    "--progress",
    "--data-dir",
    "--dest",
    "--target-dir",
)
_BARE = ("--dry-run", "--json", "--paths", "--quiet", "-q")
"""Flags of the call that are none of a job's: they are set anew, or are about the submission."""
_OPEN = ("versionId",)
_SUBMITTED = re.compile(r"^(?:Submitted batch job )?([0-9]+(?:;[\w.-]+)?)\s*$", re.MULTILINE)
"""A number, and where there are several clusters, the one that has the job."""


def wrong_flags(arguments: argparse.Namespace) -> str:
    """Say what is wrong with the flags of a submission; "" if nothing is.

    Parameters
    ----------
    arguments : argparse.Namespace
    """
    if arguments.shard is not None:
        return "argument --shard: --slurm gives each job its part; leave --shard out"
    if getattr(arguments, "locked", None) is not None:
        return (
            "argument --slurm: not with --locked; submit a script of your own that calls it with "
            "--shard, as docs/slurm.md shows"
        )
    for name in ("workers", "scheduler"):
        if getattr(arguments, name, None) not in (None, 1):
            return f"argument --slurm: not with --{name}; --jobs says how many jobs there are"
    if arguments.offline:
        return "argument --slurm: not with --offline, which moves nothing over the network"
    try:
        _jobs(arguments.jobs)
        _options(arguments.slurm)
    except UsageError as error:
        return str(error)
    return ""


def _jobs(text: str | None) -> tuple[int, int]:
    """Return how many jobs, and how many of them at once."""
    found = re.fullmatch(r"([0-9]{1,7})(?:%([0-9]{1,7}))?", str(JOBS) if text is None else text)
    jobs, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= jobs <= _MOST or not most:
        msg = f"argument --jobs: {text!r} is no number of jobs such as 8, or 8%2 for two at once"
        raise UsageError(msg)
    return jobs, min(jobs, most)


def _options(text: str) -> list[str]:
    """Return the words of sbatch's options."""
    if "\n" in text or "\r" in text or "\0" in text:
        raise UsageError("argument --slurm: the options are one line")
    try:
        words = shlex.split(text)
    except ValueError as error:
        msg = f"argument --slurm: {text!r} cannot be read as options: {error}"
        raise UsageError(msg) from error
    if words and not words[0].startswith("-"):
        msg = f"argument --slurm: {words[0]!r} is no option of sbatch, such as '-p short'"
        raise UsageError(msg)
    for word in words:
        name = word.partition("=")[0]
        name = name if name.startswith("--") else name[:2]
        short = len(name) > 3 and any(own.startswith(name) for own in _OWN)  # sbatch completes it
        if name in _OWN or short:
            msg = (
                f"argument --slurm: {name} is set by the script; --jobs says how many jobs, and "
                "--jobs 8%2 that two of eight run at once"
            )
            raise UsageError(msg)
    return words


def _without_own(words: Sequence[str]) -> list[str]:
    """Return the words of a call without those that a job has otherwise."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        if word in _VALUED:
            next(rest, None)
        elif word not in _BARE and word.partition("=")[0] not in _VALUED:
            kept.append(word)
    return kept


def _secret_in(word: str) -> bool:
    """Whether a word of the call has a password, or a signature."""
    for text in (word, word.partition("=")[2]):
        if "://" not in text:
            continue
        try:
            parts = urlsplit(text)
        except ValueError:
            continue
        named = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        if "@" in parts.netloc or named - set(_OPEN):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Submission:
    """An array of jobs that is about to be submitted. Made by `asked_for`.

    Parameters
    ----------
    run : str
        The name of the run.
    jobs, at_once : int
    options : tuple of str
        Of sbatch.
    module : str
        What Python runs.
    words : tuple of str
        The words of the call, without those that each job has otherwise.
    limit_rate : float or None
        Bytes a second of all jobs together.
    """

    run: str
    jobs: int
    at_once: int
    options: tuple[str, ...]
    module: str
    words: tuple[str, ...]
    limit_rate: float | None

    @classmethod
    def asked_for(cls, arguments: argparse.Namespace, module: str) -> Submission:
        """Return the submission that a call asks for.

        Parameters
        ----------
        arguments : argparse.Namespace
        module : str

        Raises
        ------
        UsageError
            If the call has a secret in it, which a script must not have, or cannot be repeated.
        """
        words = list(arguments.words)
        if any(map(_secret_in, words)):
            msg = (
                "an address of the call has a password or a signature, and the script of the jobs "
                "would have it, too. Nothing was submitted. Name credentials by --profile."
            )
            raise UsageError(msg)
        if not sys.executable:
            raise UsageError("this Python does not know where it is. Nothing was submitted.")
        jobs, at_once = _jobs(arguments.jobs)
        at_once = min(at_once, Options().least_connections)  # each has a connection at least
        return cls(
            new_run_id(),
            jobs,
            at_once,
            tuple(_options(arguments.slurm)),
            module,
            tuple(_without_own(words)),
            arguments.limit_rate,
        )

    @contextlib.contextmanager
    def listing_kept(self) -> Iterator[None]:
        """Keep what is listed meanwhile for the jobs, so that all have the same plan."""
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = f"{self.run}/{LISTING_TASK}"
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before

    def script(self, plan: Plan, state: str) -> str:
        """Return the script of the jobs.

        Parameters
        ----------
        plan : Plan
        state : str
            The name of the state folder.

        Raises
        ------
        UsageError
            If a word of the call cannot be written into one.
        """
        command, *words = self.words
        added = " ".join(map(_quoted, (command, *self._added(plan))))
        limit = f"%{self.at_once}" if self.at_once < self.jobs else ""
        options = [f"#SBATCH {_for_sbatch(self.options)}"] if self.options else []
        return "\n".join(
            [
                "#!/bin/bash",
                "#SBATCH --job-name=neurofetch",
                f"#SBATCH --array=0-{self.jobs - 1}{limit}",
                f"#SBATCH --output={_for_sbatch([self._log(plan, state)])}",
                "#SBATCH --open-mode=append",
                *options,
                "# Each job fetches one part of the plan; any of them may be run again:",
                "# sbatch --array=3 THIS-SCRIPT, or bash THIS-SCRIPT 3",
                f'number="{_NUMBER}"',
                'case "$number" in',
                '  ""|*[!0-9]*) echo "which job? run: bash $0 NUMBER" >&2; exit 2;;',
                "esac",
                f"part=$(( 10#$number % {self.jobs} ))",
                f"cd -- {_quoted(os.getcwd())} || exit 7",
                f'export {VARIABLE}="{self.run}/$part"',
                f"exec {_quoted(sys.executable)} -P -m {self.module} {added} \\",
                f'  --shard="$part/{self.jobs}" --progress=lines {" ".join(map(_quoted, words))}',
                "",
            ]
        )

    def _added(self, plan: Plan) -> list[str]:
        added = [f"--data-dir={plan.root}"]
        if self.limit_rate is not None:
            added.append(f"--limit-rate={max(1, int(self.limit_rate / self.at_once))}")
        return added

    def _log(self, plan: Plan, state: str) -> str:
        """Return the pattern of the jobs' logs; a ``%`` in it is one of Slurm's."""
        folder = str(plan.root / state / FOLDER / self.run)
        return f"{folder.replace('%', '%%')}/slurm-%A_%a.out"

    def submit(self, plan: Plan, state: str) -> dict[str, Any]:
        """Write the script into the state folder, and submit it.

        Parameters
        ----------
        plan : Plan
        state : str

        Returns
        -------
        dict
            In the words of JSON.

        Raises
        ------
        DestinationError
            If the script cannot be written.
        SchedulerError
            If there is no sbatch, or it takes no job: the message has what it says.
        """
        script = self.script(plan, state)
        folder = plan.root / state
        try:
            plan.root.mkdir(parents=True, exist_ok=True)
            self._begin(plan, state, "")
            with folder_of_run(folder, self.run, make=True) as opened:
                replace_file(opened, SCRIPT, os.fsencode(script))
        except OSError as error:
            msg = (
                f"the script cannot be written below {folder}: {error.strerror or error}. Nothing "
                "was submitted. Check who may write there."
            )
            raise DestinationError(msg) from error
        path = folder / FOLDER / self.run / SCRIPT
        try:
            job = _sbatch(str(path))
        except SchedulerError:
            if shutil.which("sbatch"):  # else the script is to be submitted elsewhere
                forget_run(folder, self.run)
            raise
        with contextlib.suppress(OSError):  # then only its number is not shown
            self._begin(plan, state, job)
        return {
            **self._told(plan),
            "run": self.run,
            "job": job,
            "script": str(path),
            "tasks_expected": self.jobs,
        }

    def nothing(self, plan: Plan, state: str) -> dict[str, Any]:
        """Write down that all is here, and no job was needed; return that in the words of JSON."""
        with contextlib.suppress(OSError, UnsafeNameError):  # a directory that is only read
            self._begin(plan, state, "", jobs=0)
        return self._told(plan)

    @staticmethod
    def _told(plan: Plan) -> dict[str, Any]:
        return {
            "root": str(plan.root),
            "run": None,
            "scheduler": "slurm",
            "job": None,
            "script": None,
            "tasks_expected": 0,
            "files_to_fetch": len(plan.moving),
            "bytes_to_fetch": plan.bytes_to_fetch,
        }

    def _begin(self, plan: Plan, state: str, job: str, jobs: int | None = None) -> None:
        begin_run(
            plan.root / state,
            self.run,
            expected=self.jobs if jobs is None else jobs,
            files=len(plan) - sum(step.action == "refuse" for step in plan.steps),
            size=plan.bytes_here + plan.bytes_to_write,
            command=(self.module.replace("_", "-"), *self.words),
            scheduler="slurm",
            job=job,
        )

    def what_next(self, told: dict[str, Any]) -> str:
        """Return what can be done with the jobs.

        Parameters
        ----------
        told : dict
            What `submit` returned.
        """
        number, _, cluster = told["job"].partition(";")
        where = f" --clusters={cluster}" if cluster else ""
        root, program = shlex.quote(told["root"]), self.module.replace("_", "-")
        return (
            f"submitted {self.jobs:,} jobs: {told['job']}\n"
            f"  how far they are:  {program} status --data-dir {root}\n"
            f"  wait for them:     {program} status --data-dir {root} --wait\n"
            f"  cancel them:       scancel{where} {number}\n"
            f"  the script:        {shlex.quote(told['script'])}"
        )


def _quoted(word: str) -> str:
    """Return a word as a shell reads it back, whatever is in it."""
    if "\0" in word:
        raise UsageError("a word of the call has a NUL in it. Nothing was submitted.")
    return shlex.quote(word)


def _for_sbatch(words: Sequence[str]) -> str:
    """Return words as sbatch reads them back from a line of the script.

    It takes quotation marks and backslashes, and no line break.
    """
    found = []
    for word in words:
        if "\n" in word or "\r" in word:
            msg = f"{shown(word)} has a line break, which sbatch does not take. Nothing was done."
            raise UsageError(msg)
        plain = re.fullmatch(r"[A-Za-z0-9_./:=,+@%\[\]-]+", word)
        escaped = word.replace("\\", "\\\\").replace('"', '\\"')
        found.append(word if plain else f'"{escaped}"')
    return " ".join(found)


def _sbatch(script: str) -> str:
    """Submit a script; return the number of the job."""
    program = shutil.which("sbatch")
    by_hand = f"The script is {shlex.quote(script)}"
    if program is None:
        msg = (
            "there is no sbatch here, so nothing was submitted. "
            f"{by_hand}: submit it where there is one (sbatch SCRIPT), or run a part of it by hand "
            "(bash SCRIPT 0)."
        )
        raise SchedulerError(msg)
    try:
        done = subprocess.run(
            [program, "--parsable", script],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        msg = (
            f"sbatch did not answer for {_PATIENCE:.0f} s, so it is not known whether the jobs "
            f"were submitted: look with squeue. {by_hand}."
        )
        raise SchedulerError(msg) from error
    except OSError as error:
        msg = f"sbatch cannot be run: {error.strerror or error}. Nothing was submitted. {by_hand}."
        raise SchedulerError(msg) from error
    jobs = _SUBMITTED.findall(done.stdout)  # some sites print more around it
    if done.returncode or not jobs:
        said = "; ".join(filter(None, map(str.strip, (done.stderr or done.stdout).splitlines())))
        msg = (
            f"sbatch took no job: {shown(said[:1000]) or f'it ended with {done.returncode}'}. "
            f"Nothing was submitted. {by_hand}: correct the options of --slurm, and run it again."
        )
        raise SchedulerError(msg)
    return str(jobs[-1])
