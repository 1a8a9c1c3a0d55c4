"""A stand-in for Slurm: `sbatch`, `squeue`, `scancel`, `scontrol` with real processes.

    with Slurm(tmp_path, at_once=4) as slurm:
        subprocess.run([..., "--slurm", "-p short"], env=slurm.environ)
        slurm.fail_node(job, 3)      # the process is killed, and the job queued again
        slurm.wait(job)

What a script is told is what Slurm tells it: the variables of an array, the directory of the
submission, SIGTERM at the end of the time and SIGKILL after a while. The options are those that our
scripts and tests use; any other is refused, as `sbatch` refuses what it does not know.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Slurm"]

_BEAT = 0.02
_MAX_INDEX = 1000
_ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
_SHORT = {
    "-a": "--array",
    "-A": "--account",
    "-c": "--cpus-per-task",
    "-D": "--chdir",
    "-e": "--error",
    "-J": "--job-name",
    "-o": "--output",
    "-p": "--partition",
    "-q": "--qos",
    "-t": "--time",
}
_VALUED = {*_SHORT.values(), "--export", "--mem", "--open-mode", "--signal", "--mail-type"}
_VALUED |= {"--constraint", "--comment"}
_BARE = {"--requeue", "--no-requeue", "--parsable"}


class Slurm:
    """A cluster of some nodes, on this host. A context manager; at its end nothing runs any more.

    Parameters
    ----------
    home
        A folder for its queue.
    at_once
        How many jobs run at once; each has a node of its own.
    partitions
        Their names.
    kill_wait
        Seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        home: str | os.PathLike[str],
        at_once: int = 4,
        partitions: Sequence[str] = ("short", "long"),
        kill_wait: float = 2.0,
    ) -> None:
        self.home = Path(home) / "slurm"
        self.bin = self.home / "bin"
        self.bin.mkdir(parents=True)
        settings = {"at_once": at_once, "partitions": partitions, "kill_wait": kill_wait}
        _write(self.home / "settings.json", settings)
        root = Path(__file__).parent.parent
        for name in ("sbatch", "squeue", "scancel", "scontrol"):
            path = self.bin / name
            path.write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
                f"from testbed.slurm import main\nsys.exit(main({name!r}, {str(self.home)!r}))\n"
            )
            path.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a login node."""
        return {**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    def __enter__(self) -> Slurm:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self.home.glob("jobs/*/controller.json"):
            pid = _read(path).get("pid", 0)
            if pid:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)  # it ends what it started
                with contextlib.suppress(OSError):
                    _until(partial(_is_gone, pid), 10)

    def tasks(self, job: str | int) -> dict[int, dict[str, Any]]:
        """Return what is known of each job of an array, by its number."""
        found = sorted((self.home / "jobs" / str(job)).glob("task-*.json"))
        return {int(path.stem.partition("-")[2]): _read(path) for path in found}

    def state(self, job: str | int, index: int) -> str:
        """Return the state of a job, as Slurm calls it; "" before it is queued."""
        return str(self.tasks(job).get(index, {}).get("state", ""))

    def wait(self, job: str | int, seconds: float = 120) -> dict[int, tuple[str, int]]:
        """Wait until all jobs of an array have ended; return how, by number."""
        _until(lambda: all(one["state"] in _ENDED for one in self.tasks(job).values()), seconds)
        return {index: (one["state"], one["exit"]) for index, one in self.tasks(job).items()}

    def fail_node(self, job: str | int, index: int) -> None:
        """Let the node of a job break: its processes are gone, and the job is queued again."""
        (self.home / "jobs" / str(job) / f"broken-{index}").touch()


def _write(path: Path, value: object) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value))
    draft.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _until(done: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(_BEAT)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class RefusedError(Exception):
    """What the commands refuse, in Slurm's words."""


# -- the commands ----------------------------------------------------------------------------


def main(name: str, home: str) -> int:
    """Run one of the commands; return its exit code."""
    commands = {"sbatch": _sbatch, "squeue": _squeue, "scancel": _scancel, "scontrol": _scontrol}
    command = commands[name]
    try:
        return command(Path(home), sys.argv[1:])
    except RefusedError as error:
        print("\n".join(f"{name}: error: {line}" for line in error.args), file=sys.stderr)
        return 1


def _parsed(given: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of some words, and what is none."""
    options: dict[str, Any] = {}
    rest: list[str] = []
    words = list(given)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            rest = [word, *words]
            break
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            name, value, equals = _SHORT.get(word[:2], word[:2]), word[2:], word[2:]
        if name in _BARE:
            options[name] = True
        elif name in _VALUED:
            if not equals:
                if not words:
                    raise RefusedError(f"option requires an argument -- '{name}'")
                value = words.pop(0)
            options[name] = value
        else:
            raise RefusedError(f"unrecognized option '{word}'", 'Try "sbatch --help" for more.')
    return options, rest


def _directives(script: str) -> list[str]:
    """Return the words of the lines of a script that are for sbatch."""
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith("#SBATCH"):
            words += shlex.split(line[len("#SBATCH") :], comments=True)
        elif line.strip() and not line.startswith("#"):
            break
    return words


def _indices(text: str) -> tuple[list[int], int]:
    """Return the numbers of an array, and how many of them run at once."""
    text, _, limit = text.partition("%")
    found: list[int] = []
    for piece in text.split(","):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?", piece)
        if match is None:
            raise RefusedError("Batch job submission failed: Invalid job array specification")
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1, int(match[3] or 1))
    if not found or max(found) > _MAX_INDEX or (limit and not limit.isdigit()):
        raise RefusedError("Batch job submission failed: Invalid job array specification")
    return sorted(set(found)), int(limit or 0)


def _seconds(text: str) -> int:
    """Return a time limit, which Slurm takes as M, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
    if not re.fullmatch(r"(?:[0-9]+-)?[0-9]+(?::[0-9]+){0,2}", text):
        raise RefusedError("Invalid --time specification")
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        parts = [*parts, 0, 0][:3]
    elif len(parts) < 3:
        parts = [0, *parts, 0][:3]
    hours, minutes, seconds = parts
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def _sbatch(home: Path, words: Sequence[str]) -> int:
    given, rest = _parsed(words)
    if not rest:
        raise RefusedError("no script: this stand-in takes none from its input")
    try:
        script = Path(rest[0]).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise RefusedError(f"Unable to open file {rest[0]}") from error
    if not script.startswith("#!"):
        raise RefusedError("This does not look like a batch script.")
    options = {**_parsed(_directives(script))[0], **given}
    partitions = _read(home / "settings.json")["partitions"]
    if options.get("--partition", partitions[0]) not in partitions:
        raise RefusedError(
            f"invalid partition specified: {options['--partition']}",
            "Batch job submission failed: Invalid partition name specified",
        )
    is_array = "--array" in options
    indices, limit = _indices(options["--array"]) if is_array else ([0], 0)
    seconds = _seconds(options["--time"]) if "--time" in options else 0
    number = 100
    while True:
        folder = home / "jobs" / str(number)
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            number += 100
    (folder / "script").write_bytes(os.fsencode(script))
    job = {"options": options, "arguments": rest[1:], "indices": indices, "limit": limit}
    job |= {"is_array": is_array, "seconds": seconds}
    job |= {"directory": options.get("--chdir", os.getcwd())}
    _write(folder / "job.json", job)
    for index in indices:
        _write(folder / f"task-{index}.json", {"state": "PENDING", "exit": None, "runs": 0})
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n"
    code += f"from testbed.slurm import control; control({str(home)!r}, {number})"
    log = os.open(folder / "controller.err", os.O_WRONLY | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((null, null, log))]
    command = [sys.executable, "-c", code]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=streams, setsid=True)
    _write(folder / "controller.json", {"pid": pid})
    print(f"{number}" if "--parsable" in options else f"Submitted batch job {number}")
    return 0


def _squeue(home: Path, words: Sequence[str]) -> int:
    text = " ".join(words)
    wanted = re.search(r"(?:-j|--jobs)[ =]?([0-9]+)", text)
    if "--noheader" not in words and "-h" not in words:
        print("             JOBID PARTITION     NAME     USER ST       TIME  NODES")
    folders = sorted((home / "jobs").glob("*")) if (home / "jobs").is_dir() else []
    for folder in folders:
        if wanted and folder.name != wanted[1]:
            continue
        for path in sorted(folder.glob("task-*.json")):
            state = _read(path).get("state", "")
            if state not in _ENDED:
                index = path.stem.partition("-")[2]
                print(f"{folder.name}_{index} short neurofetch user {state[:2]} 0:01 1")
    if wanted and not (home / "jobs" / wanted[1]).is_dir():
        raise RefusedError("Invalid job id specified")
    return 0


def _scancel(home: Path, words: Sequence[str]) -> int:
    for word in words:
        number, _, index = word.partition("_")
        folder = home / "jobs" / number
        if not folder.is_dir():
            raise RefusedError(f"Kill job error on job id {word}: Invalid job id specified")
        for path in folder.glob(f"task-{index or '*'}.json"):
            (folder / f"cancelled-{path.stem.partition('-')[2]}").touch()
    return 0


def _scontrol(home: Path, words: Sequence[str]) -> int:
    """Queue a job again; one that runs is ended first."""
    if words[:1] != ["requeue"] or len(words) != 2:
        raise RefusedError(f"invalid keyword: {' '.join(words)}")
    number, _, index = words[1].partition("_")
    path = home / "jobs" / number / f"task-{index or 0}.json"
    if not path.exists():
        raise RefusedError(f"Invalid job id specified for job {words[1]}")
    (path.parent / f"broken-{index or 0}").touch()
    return 0


# -- who runs the jobs -----------------------------------------------------------------------


def control(home: str, number: int) -> None:
    """Run the jobs of an array until all have ended, or this process is told to end."""
    _Controller(Path(home), number).run()


class _Job(NamedTuple):
    """A job that runs: its process, its node, and when it began."""

    process: subprocess.Popen[bytes]
    node: int
    began: float


class _Controller:
    def __init__(self, home: Path, number: int) -> None:
        self.settings = _read(home / "settings.json")
        self.number = number
        self.folder = home / "jobs" / str(number)
        self.job = _read(self.folder / "job.json")
        self.options = self.job["options"]
        self.indices: list[int] = self.job["indices"]
        self.is_array = bool(self.job["is_array"])
        self.most = min(self.settings["at_once"], self.job["limit"] or len(self.indices))
        self.flying: dict[int, _Job] = {}
        self.told: dict[int, tuple[str, float]] = {}
        """Why a job is to end, and when it is killed."""
        self.over = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "over", True))
        while not self.over:
            for index in list(self.flying):
                self._look_at(index)
            waiting = [index for index in self.indices if self._of(index)["state"] == "PENDING"]
            for index in waiting:
                if (self.folder / f"cancelled-{index}").exists():
                    self._note(index, state="CANCELLED", exit=0)
                elif len(self.flying) < self.most:
                    self._start(index)
            if not waiting and not self.flying:
                return
            time.sleep(_BEAT)
        for job in self.flying.values():
            _kill(job.process, signal.SIGKILL)

    def _of(self, index: int) -> dict[str, Any]:
        return _read(self.folder / f"task-{index}.json")

    def _note(self, index: int, **values: object) -> None:
        _write(self.folder / f"task-{index}.json", {**self._of(index), **values})

    def _start(self, index: int) -> None:
        used = {job.node for job in self.flying.values()}
        node = next(n for n in range(1, self.most + 1) if n not in used)
        runs = self._of(index)["runs"]
        script = ["bash", str(self.folder / "script"), *self.job["arguments"]]
        log = self._log(index)
        append = self.options.get("--open-mode") == "append" or runs
        with open(log, "ab" if append else "wb") as out:
            process = subprocess.Popen(
                script,
                cwd=self.job["directory"],
                env=self._environ(index, node, runs),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.flying[index] = _Job(process, node, time.monotonic())
        self._note(index, state="RUNNING", pid=process.pid, runs=runs + 1, node=f"node{node:02}")

    def _environ(self, index: int, node: int, runs: int) -> dict[str, str]:
        environ = {**os.environ}
        if self.options.get("--export") == "NONE":
            environ = {name: environ[name] for name in ("PATH", "HOME") if name in environ}
        number = self.number + (1 + self.indices.index(index) if self.is_array else 0)
        environ |= {
            "SLURM_JOB_ID": str(number),
            "SLURM_JOB_NAME": self.options.get("--job-name", "script"),
            "SLURM_JOB_PARTITION": self.options.get("--partition", "short"),
            "SLURM_SUBMIT_DIR": self.job["directory"],
            "SLURMD_NODENAME": f"node{node:02}",
            "SLURM_CPUS_ON_NODE": self.options.get("--cpus-per-task", "1"),
        }
        if runs:
            environ["SLURM_RESTART_COUNT"] = str(runs)
        if self.is_array:
            environ |= {
                "SLURM_ARRAY_JOB_ID": str(self.number),
                "SLURM_ARRAY_TASK_ID": str(index),
                "SLURM_ARRAY_TASK_COUNT": str(len(self.indices)),
                "SLURM_ARRAY_TASK_MIN": str(min(self.indices)),
                "SLURM_ARRAY_TASK_MAX": str(max(self.indices)),
            }
        return environ

    def _log(self, index: int) -> str:
        usual = "slurm-%A_%a.out" if self.is_array else "slurm-%j.out"
        words = {"A": self.number, "a": index, "j": self.number, "%": "%"}
        pattern = self.options.get("--output", usual)
        name = re.sub(r"%([Aaj%])", lambda found: str(words[found[1]]), pattern)
        return os.path.join(self.job["directory"], name)

    def _look_at(self, index: int) -> None:
        job = self.flying[index]
        broken = self.folder / f"broken-{index}"
        if broken.exists():
            broken.unlink()
            _kill(job.process, signal.SIGKILL)
            job.process.wait()
            self.told.setdefault(index, ("NODE_FAIL", 0.0))
        ended = job.process.poll()
        if ended is None:
            self._press(index, job)
            return
        del self.flying[index]
        why = self.told.pop(index, ("COMPLETED" if ended == 0 else "FAILED", 0.0))[0]
        if why == "NODE_FAIL" and "--no-requeue" not in self.options:
            self._note(index, state="PENDING", exit=None)
        else:
            self._note(index, state=why if why in _ENDED else "FAILED", exit=ended)

    def _press(self, index: int, job: _Job) -> None:
        """End what was cancelled, or is out of its time: kindly at first."""
        now, limit = time.monotonic(), self.job["seconds"]
        if index in self.told:
            if now > self.told[index][1]:
                _kill(job.process, signal.SIGKILL)
            return
        why = ""
        if (self.folder / f"cancelled-{index}").exists():
            why = "CANCELLED"
        elif limit and now - job.began > limit:
            why = "TIMEOUT"
        if why:
            self.told[index] = why, now + self.settings["kill_wait"]
            _kill(job.process, signal.SIGTERM)


def _kill(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, number)
