"""Records of runs, as they are read: what one call asked for, and how far its tasks are.

``STATE/runs/RUN/`` has ``run.json``, which says what is expected, and a record for each time that
a task began: ``TASK~1.jsonl``, and ``TASK~2.jsonl`` when it was started again. A record has one
writer, which appends (see `run_record`), and any number of readers on any host. They read the
beginning and the end of it, so a thousand tasks take no longer than a moment; and they take nothing
for granted, since half a line may be the last thing that a killed process wrote.

Whether a task is silent is told by the clock of the file system alone: the time of the record
against that of a file which the reader has just made.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import math
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch._faces import Viewed
from neurofetch.errors import ConfigError, DestinationError, UnsafeNameError
from neurofetch.model import STATE_FOLDERS
from neurofetch.store.folder import Folder, given_path
from neurofetch.store.listings import LISTINGS
from neurofetch.store.owner import SILENT_SECONDS, Life, life_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Failed",
    "Run",
    "RunName",
    "Task",
    "TaskState",
    "ask_to_stop",
    "attend_run",
    "begin_run",
    "check_readable",
    "folder_of_run",
    "forget_run",
    "is_to_stop",
    "keep_version",
    "kept_version",
    "new_run_id",
    "prune",
    "read_runs",
    "replace_file",
    "runs_in",
    "stands_at",
]

_log = logging.getLogger("neurofetch")

FOLDER = "runs"
SCRIPT = "jobs.sh"
VERSION = 1
VARIABLE = "NEUROFETCH_RUN"
LISTING_TASK = "plan"
"""The task that only plans: what it lists is kept for the others."""
END = ".jsonl"
KEPT = 20
"""Runs that are over, of which the records are kept."""
_FORGOTTEN = 30 * 86400.0
"""Seconds after which a run counts as over of which nothing was heard."""
_FIRST, _STOP, _VERSION, _CLOSED = "run.json", "stop", "version", "closed"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TASK = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_RECORD = re.compile(rf"({_TASK.pattern})~([0-9]{{1,6}})\.jsonl")
_HEAD, _TAIL, _WHOLE = 4 << 10, 8 << 10, 4 << 20
"""Bytes that are read of a record: its beginning, its end; all of one that tells of failures."""
_LONG, _SHORT, _FAILED = 4000, 200, 1000
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class RunName:
    """Which run a process works for, and which of its tasks it is.

    Parameters
    ----------
    run : str
        Letters, digits, ``.``, ``_`` and ``-``; at most 64.
    task : str
        The same; at most 40.

    Raises
    ------
    ConfigError
        If one of them is no such name.
    """

    run: str
    task: str

    def __post_init__(self) -> None:
        if not (_ID.fullmatch(self.run) and _TASK.fullmatch(self.task)):
            text = f"{self.run}/{self.task}"
            msg = (
                f"a run is named RUN/TASK, in letters, digits, '.', '_' and '-'; got {text!r}. "
                f"Nothing was done. Unset {VARIABLE}, or give it such a name."
            )
            raise ConfigError(msg)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> RunName | None:
        """Return the name that ``NEUROFETCH_RUN`` has; None where it is not set.

        Raises
        ------
        ConfigError
            If it has none.

        Examples
        --------
        >>> RunName.from_environment({"NEUROFETCH_RUN": "20261127-8f2a/3"})
        RunName(run='20261127-8f2a', task='3')
        """
        text = (os.environ if environ is None else environ).get(VARIABLE, "").strip()
        run, _, task = text.partition("/")
        return cls(run, task) if text else None


class TaskState(enum.StrEnum):
    """What is known of a task.

    ``listing``: it lists, or makes its plan. ``running``: it moves files. ``silent``: nothing was
    heard of it for long: its host may hang, or be suspended, or be gone. ``lost``: its process has
    ended without a word, as one that was killed. ``failed``: it has ended, and something is
    missing. ``done``: it has ended, and all is here. ``unknown``: a newer version of this program
    wrote it.
    """

    LISTING = "listing"
    RUNNING = "running"
    SILENT = "silent"
    LOST = "lost"
    FAILED = "failed"
    DONE = "done"
    UNKNOWN = "unknown"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be heard of it, unless it is started again."""
        return self in (TaskState.LOST, TaskState.FAILED, TaskState.DONE)


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that failed in a task.

    Parameters
    ----------
    path : str
        Relative to the data directory.
    reason, advice : str
    stood : str
        What stood at the path then, to tell whether another file stands there now.
    """

    path: str
    reason: str
    advice: str = ""
    stood: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A task, as its newest record tells of it.

    Parameters
    ----------
    name : str
    state : TaskState
    began : int
        How often it was started.
    host : str
    pid : int
    job : str
        What its scheduler calls it; "" without one.
    files, files_done, files_failed : int
        Of its part; those that were here when it began are done.
    bytes, bytes_done : int
    bytes_moved : int
        That came over the network, in all its attempts.
    rate : float
        Bytes a second, at the end of its record.
    retries : int
    seconds : float
        Since it began, as it last said.
    heard : float
        Seconds since it was last heard of, by the clock of the file system.
    exit : int or None
        Its exit code; None as long as it has none.
    error, message : str
        What ended it, where something did.
    note : str
        What it waits for, such as the network.
    failed : tuple of Failed
        The first thousand.
    """

    name: str
    state: TaskState
    began: int = 1
    host: str = ""
    pid: int = 0
    job: str = ""
    files: int = 0
    files_done: int = 0
    files_failed: int = 0
    bytes: int = 0
    bytes_done: int = 0
    bytes_moved: int = 0
    rate: float = 0.0
    retries: int = 0
    seconds: float = 0.0
    heard: float = 0.0
    exit: int | None = None
    error: str = ""
    message: str = ""
    note: str = ""
    failed: tuple[Failed, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Run(Viewed):
    """What one call asked for, and how far its tasks are.

    Parameters
    ----------
    id : str
    root : Path
        The data directory.
    state : str
        The name of the state folder in it.
    when : float
        Seconds since the epoch when it was asked for, by the clock of who asked.
    expected : int or None
        How many tasks there will be; None where nobody said.
    files, bytes : int
        Of all tasks, as planned when it was asked for; 0 where that is not known.
    command : tuple of str
        What was called.
    scheduler, job : str
        Such as ``slurm`` and the number of the job; "" without one.
    tasks : tuple of Task
        Those that have begun, in the order of their names.
    stopped : bool
        Whether somebody asked it to stop.
    closed : bool
        Whether no more of its tasks will begin, since the process that hands them out has ended, or
        was not heard of for long.
    """

    id: str
    root: Path
    state: str
    when: float = 0.0
    expected: int | None = None
    files: int = 0
    bytes: int = 0
    command: tuple[str, ...] = ()
    scheduler: str = ""
    job: str = ""
    tasks: tuple[Task, ...] = ()
    stopped: bool = False
    closed: bool = False

    def __repr__(self) -> str:
        """Return one line: a run may have thousands of tasks, and notebooks print it."""
        states = ", ".join(f"{len(self.of(one))} {one}" for one in TaskState if self.of(one))
        asked = len(self.tasks) if self.expected is None else self.expected
        return f"<Run {self.id} of {asked:,} tasks in {self.root}: {states or 'none has begun'}>"

    def of(self, *states: TaskState) -> tuple[Task, ...]:
        """Return the tasks in one of these states.

        Parameters
        ----------
        *states : TaskState
        """
        return tuple(task for task in self.tasks if task.state in states)

    @property
    def to_begin(self) -> int:
        """How many tasks are expected, and have not begun."""
        return max(0, (self.expected or 0) - len(self.tasks))

    @property
    def over(self) -> bool:
        """Whether all tasks have ended, be it without a word; or there are to be none."""
        if self.expected == 0:
            return True
        waits = not self.closed and (self.to_begin or not self.tasks)
        return not waits and all(task.state.is_over for task in self.tasks)

    @property
    def files_done(self) -> int:
        """Files that are here, of all tasks; where there were to be none, all are."""
        if self.expected == 0:
            return self.files
        return sum(task.files_done for task in self.tasks)

    @property
    def files_failed(self) -> int:
        """Files that failed, of all tasks."""
        return sum(task.files_failed for task in self.tasks)

    @property
    def files_total(self) -> int:
        """Files of all tasks, as far as is known."""
        return max(self.files, sum(task.files for task in self.tasks))

    @property
    def bytes_done(self) -> int:
        """Bytes that are here, of all tasks; where there were to be none, all are."""
        if self.expected == 0:
            return self.bytes
        return sum(task.bytes_done for task in self.tasks)

    @property
    def bytes_total(self) -> int:
        """Bytes of all tasks, as far as is known."""
        return max(self.bytes, sum(task.bytes for task in self.tasks))

    @property
    def bytes_moved(self) -> int:
        """Bytes that came over the network, in all attempts of all tasks."""
        return sum(task.bytes_moved for task in self.tasks)

    @property
    def rate(self) -> float:
        """Bytes a second of all tasks that run now."""
        return sum(task.rate for task in self.of(TaskState.RUNNING))

    @property
    def remaining(self) -> float | None:
        """Seconds left at the present rate; None while that is unknown."""
        return (self.bytes_total - self.bytes_done) / self.rate if self.rate > 0 else None

    def missing(self) -> tuple[Failed, ...]:
        """Return the files that failed and are not here now either.

        What failed in one task, and came in another one or in a later run, is here.
        """
        failed = {one.path: one for task in self.tasks for one in task.failed}
        return tuple(one for one in failed.values() if not _came(self.root, one))

    @property
    def files_missing(self) -> int:
        """How many files failed and are not here now either, those not told one by one included."""
        told = sum(len(task.failed) for task in self.tasks)
        return len(self.missing()) + max(0, self.files_failed - told)


# -- names and folders -----------------------------------------------------------------------


def new_run_id() -> str:
    """Return a name that no other run has; in the order of names they are in that of time."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def folder_of_run(state: Path, run: str, *, make: bool = False) -> Folder:
    """Open the folder of a run.

    Parameters
    ----------
    state : Path
        The state folder.
    run : str
    make : bool
        It is made if need be, as is the state folder.

    Raises
    ------
    UnsafeNameError
        If a link stands in the place of one of the folders.
    OSError
    """
    with Folder.root(state.parent) as root:
        return root.below((state.name, FOLDER, RunName(run, "0").run), make=make)


def begin_run(
    state: Path,
    run: str,
    *,
    expected: int | None = None,
    files: int = 0,
    size: int = 0,
    command: Sequence[str] = (),
    scheduler: str = "",
    job: str = "",
    owner: str = "",
) -> None:
    """Write down what a run will have; what was written before is replaced in one step.

    Parameters
    ----------
    state : Path
        The state folder.
    run : str
        See `new_run_id`.
    expected : int, optional
        How many tasks it will have.
    files, size : int
        Files and bytes of the whole plan, those that are here included.
    command : sequence of str
        What was called; no secret may be in it.
    scheduler, job : str
    owner : str
        The token of the process that hands out the tasks, where it is this one: see `attend_run`.

    Raises
    ------
    OSError, UnsafeNameError
    """
    about = {
        "neurofetch-run": VERSION,
        "run": run,
        "when": time.time(),
        "expected": expected,
        "files": files,
        "bytes": size,
        "command": list(command),
        "scheduler": scheduler,
        "job": job,
        "owner": owner,
    }
    with folder_of_run(state, run, make=True) as folder:
        replace_file(folder, _FIRST, f"{json.dumps(about)}\n".encode())
    prune(state)


def attend_run(state: Path, run: str, *, last: bool = False) -> None:
    """Show that the process lives which hands out the tasks of a run, or that it has ended that.

    Parameters
    ----------
    state : Path
    run : str
    last : bool
        Nothing more is handed out.
    """
    with contextlib.suppress(OSError, UnsafeNameError), folder_of_run(state, run) as folder:
        if not last:
            os.utime(_FIRST, dir_fd=folder.fd, follow_symlinks=False)
        elif folder.look(_CLOSED) is None:
            os.close(folder.create(_CLOSED))


def forget_run(state: Path, run: str) -> None:
    """Say that nothing is expected of a run any more; what else is in its folder stays.

    Parameters
    ----------
    state : Path
    run : str
    """
    with contextlib.suppress(OSError, UnsafeNameError), folder_of_run(state, run) as folder:
        folder.remove(_FIRST)


def replace_file(folder: Folder, name: str, content: bytes) -> None:
    """Write a whole file in the place of what has its name.

    Raises
    ------
    OSError
    """
    folder.write_as(f".{secrets.token_hex(8)}.tmp", content, folder, name)


def ask_to_stop(state: Path, run: str) -> None:
    """Ask all tasks of a run to stop; they look about once a second.

    Parameters
    ----------
    state : Path
    run : str

    Raises
    ------
    OSError, UnsafeNameError
    """
    with folder_of_run(state, run, make=True) as folder, contextlib.suppress(FileExistsError):
        os.close(folder.create(_STOP))


def is_to_stop(state: Path, run: str) -> bool:
    """Whether somebody asked the tasks of a run to stop.

    Parameters
    ----------
    state : Path
    run : str
    """
    try:
        with folder_of_run(state, run) as folder:
            return folder.look_afresh(_STOP) is not None  # another host may have said it
    except (OSError, UnsafeNameError):
        return False


def keep_version(state: Path, run: str, version: str) -> None:
    """Write down of which version of the data set a run is; a disk that takes nothing costs that.

    Parameters
    ----------
    state : Path
    run : str
    version : str
    """
    try:
        with folder_of_run(state, run, make=True) as folder:
            replace_file(folder, _VERSION, f"{version}\n".encode())
    except (OSError, UnsafeNameError) as error:
        _log.debug("the version cannot be kept for all tasks: %s", error)


def kept_version(state: Path, run: str) -> str:
    """Return of which version of the data set a run is; "" where that is not known.

    Parameters
    ----------
    state : Path
    run : str
    """
    try:
        with folder_of_run(state, run) as folder:
            text = folder.read(_VERSION, _SHORT).decode().strip()
    except (OSError, UnsafeNameError, ValueError):
        return ""
    return text if _ID.fullmatch(text) else ""


def prune(state: Path) -> None:
    """Remove the records of old runs that are over; those of the last twenty stay.

    Parameters
    ----------
    state : Path
    """
    try:
        with Folder.root(state.parent) as root, root.below((state.name, FOLDER)) as folder:
            if len(folder.names()) <= KEPT:
                return
            now = time.time()
            for run in read_runs(state)[:-KEPT]:
                if run.over or now - run.when > _FORGOTTEN:
                    _remove(folder, run.id)
    except (OSError, UnsafeNameError) as error:
        _log.debug("old records of runs cannot be removed: %s", error)


def _remove(runs: Folder, name: str) -> None:
    with contextlib.suppress(OSError, UnsafeNameError), runs.below((name,)) as folder:
        if folder.look(LISTINGS) is not None:
            with folder.below((LISTINGS,)) as lists:
                for file in lists.names():
                    lists.remove(file)
            os.rmdir(LISTINGS, dir_fd=folder.fd)
        for file in folder.names():
            folder.remove(file)
        os.rmdir(name, dir_fd=runs.fd)


# -- reading ---------------------------------------------------------------------------------


def runs_in(root: str | os.PathLike[str]) -> list[Run]:
    """Return the runs of a data directory, of all its state folders, the oldest first.

    Parameters
    ----------
    root : path
        The data directory.
    """
    where = given_path(root)
    try:
        names = sorted(name for name in os.listdir(where) if name.startswith("."))
    except OSError:
        return []
    found = [run for name in names if _may_be(where, name) for run in read_runs(where / name)]
    return sorted(found, key=lambda run: (run.when, run.id))


def check_readable(root: Path) -> None:
    """See that the runs of a data directory can be read, so that nobody takes them for none.

    Parameters
    ----------
    root : Path

    Raises
    ------
    DestinationError
        If this user may not look into a folder.
    """
    try:
        os.listdir(root)
        for name in STATE_FOLDERS:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.listdir(root / name / FOLDER)
    except PermissionError as error:
        msg = (
            f"{error.filename} cannot be read: {error.strerror}. Nothing was done. Ask its owner "
            "for the right to read it."
        )
        raise DestinationError(msg) from error


def _may_be(root: Path, name: str) -> bool:
    """Whether a folder is a state folder of ours."""
    return name in STATE_FOLDERS or (root / name / "receipts").is_dir()


def read_runs(state: Path, only: str | None = None) -> list[Run]:
    """Return the runs that a state folder tells of, the oldest first.

    Parameters
    ----------
    state : Path
    only : str, optional
        The one that is wanted.

    Returns
    -------
    list of Run
        Empty where there is none, or the folder cannot be read, or is behind a link.
    """
    runs = []
    try:
        with Folder.root(state.parent) as root, root.below((state.name, FOLDER)) as folder:
            clock = _Clock(folder)
            for name in sorted(folder.names()):
                if _ID.fullmatch(name) and only in (None, name):
                    with contextlib.suppress(OSError, UnsafeNameError):  # pruned meanwhile
                        runs += _read_run(folder, name, state, clock)
    except (OSError, UnsafeNameError):
        return []
    return sorted(runs, key=lambda run: (run.when, run.id))


class _Clock:
    """The clock of the file system; of this host where we may write nothing there.

    Then it is at least as late as the newest record: nothing is written in the future.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._now: float | None = None

    def now(self) -> float:
        """Return the seconds since the epoch when it was first asked."""
        if self._now is None:
            probe = f".{secrets.token_hex(8)}.tmp"
            try:
                fd = self._folder.create(probe)
                try:
                    self._now = os.fstat(fd).st_mtime
                finally:
                    os.close(fd)
                    self._folder.remove(probe)
            except OSError:
                self._now = max([time.time(), *_times(self._folder)])
        return self._now


def _times(runs: Folder) -> Iterator[float]:
    """Give the times of all records."""
    for name in filter(_ID.fullmatch, runs.names()):
        with contextlib.suppress(OSError, UnsafeNameError), runs.below((name,)) as folder:
            found = map(folder.look, filter(_RECORD.fullmatch, folder.names()))
            yield from (info.st_mtime for info in found if info is not None)


def _read_run(runs: Folder, name: str, state: Path, clock: _Clock) -> list[Run]:
    """Return a run; none where only its listing was kept so far."""
    with runs.below((name,)) as folder:
        about: Mapping[str, object] = {}
        with contextlib.suppress(OSError):
            about = next(_values(folder.read(_FIRST, _WHOLE).split(b"\n")), {})
        by_task: dict[str, list[tuple[int, str]]] = {}
        # first whether the process is gone that hands out tasks, then what it left: it is all there
        alone = _is_alone(folder, _text(about.get("owner"), _SHORT), clock)
        names = folder.names()
        closed = _CLOSED in names or alone
        for file in names:
            if found := _RECORD.fullmatch(file):
                by_task.setdefault(found[1], []).append((int(found[2]), file))
        tasks, first = [], 0.0
        for task in sorted(by_task, key=_in_order):
            records = []
            for number, file in sorted(by_task[task]):
                with contextlib.suppress(OSError):
                    records.append(_Record.read(folder, file, number, clock))
            if records:
                tasks.append(_task_of(task, records))
                first = first or _number(records[0].head.get("when"))
    if not about and not by_task:
        return []
    expected = about.get("expected")
    command = about.get("command")
    run = Run(
        name,
        state.parent,
        state.name,
        _number(about.get("when")) or first,
        int(_number(expected)) if isinstance(expected, int) else None,
        int(_number(about.get("files"))),
        int(_number(about.get("bytes"))),
        tuple(_text(one) for one in command[:1000]) if isinstance(command, list) else (),
        _text(about.get("scheduler"), _SHORT),
        _text(about.get("job"), _SHORT),
        tuple(tasks),
        _STOP in names,
        closed,
    )
    return [run]


def _is_alone(folder: Folder, owner: str, clock: _Clock) -> bool:
    """Whether the process is gone, or silent, that hands out the tasks of a run."""
    if not owner:
        return False
    life = life_here(owner)
    if life is None:
        info = folder.look(_FIRST)
        return info is None or clock.now() - info.st_mtime > SILENT_SECONDS
    return life is Life.ENDED


def _in_order(task: str) -> tuple[int, str]:
    """Return what sorts ``2`` before ``10``."""
    return (int(task) if task.isdigit() else 0, task)


@dataclass(slots=True)
class _Record:
    """One record: what its beginning and its end tell."""

    number: int
    head: Mapping[str, object] = field(default_factory=dict)
    plan: Mapping[str, object] = field(default_factory=dict)
    last: Mapping[str, object] = field(default_factory=dict)
    end: Mapping[str, object] | None = None
    failed: dict[str, Failed] = field(default_factory=dict)
    heard: float = 0.0
    life: Life | None = None

    @classmethod
    def read(cls, folder: Folder, name: str, number: int, clock: _Clock) -> _Record:
        """Read one; once more if its process is gone by then, which may have written its end.

        Raises
        ------
        OSError
        """
        record = cls._read(folder, name, number, clock)
        if record._ended():
            return record
        life = life_here(_text(record.head.get("token"), _SHORT))
        if life is Life.ENDED:
            record = cls._read(folder, name, number, clock)
        record.life = life
        return record

    @classmethod
    def _read(cls, folder: Folder, name: str, number: int, clock: _Clock) -> _Record:
        with open(folder.open(name), "rb", buffering=0) as file:
            info = os.fstat(file.fileno())
            record = cls(number)
            content = _all_of(file, _HEAD)
            is_long = info.st_size > len(content)
            for value in _values(content.split(b"\n")[: -1 if is_long else None]):
                record._take(value)
            if is_long:
                file.seek(max(0, info.st_size - _TAIL))
                record._take_last(_all_of(file, _TAIL))
            if is_long and record._number_failed():
                file.seek(0)
                lines = _all_of(file, _WHOLE).split(b"\n")
                for value in _values(line for line in lines if b'"failed"' in line[:40]):
                    record._take_failed(value)
        if not record._ended() or record.state is TaskState.UNKNOWN:
            record.heard = max(0.0, clock.now() - info.st_mtime)
        return record

    def _take(self, value: Mapping[str, object]) -> None:
        event = value.get("event")
        if event == "begin" and not self.head:
            self.head = value
        elif event == "planned":
            self.plan = value
        elif event in ("progress", "listing"):
            self.last = value
        elif event == "end":
            self.end = value
        self._take_failed(value)
        if "key" in value:  # what was planned is told again, since it may be far from both ends
            self.plan = value

    def _take_last(self, tail: bytes) -> None:
        """Take what the end of a long record tells: no more of it is read than that takes."""
        found = []
        for value in _values(reversed(tail.split(b"\n")[1:])):
            found.append(value)
            if value.get("event") in ("progress", "listing"):
                break
        for value in reversed(found):
            self._take(value)

    def _take_failed(self, value: Mapping[str, object]) -> None:
        path = _text(value.get("path"))
        if value.get("event") != "failed" or path in self.failed or len(self.failed) >= _FAILED:
            return
        reason, advice, stood = (_text(value.get(word)) for word in ("reason", "advice", "stood"))
        self.failed[path] = Failed(path, reason, advice, stood)

    def _ended(self) -> bool:
        return self.end is not None

    def _number_failed(self) -> int:
        return int(_number((self.end or self.last).get("failed")))

    @property
    def state(self) -> TaskState:
        """What is known of it."""
        if _number(self.head.get("record")) > VERSION:
            return TaskState.UNKNOWN
        if self.end is not None:
            return TaskState.FAILED if _number(self.end.get("exit")) else TaskState.DONE
        if self.life is Life.ENDED:
            return TaskState.LOST
        if self.heard > SILENT_SECONDS and self.life is not Life.LIVES:
            return TaskState.SILENT
        return TaskState.RUNNING if self.plan else TaskState.LISTING

    def count(self, word: str) -> int:
        """Return a number that its end tells, or its last progress, or its plan."""
        for told in (self.end, self.last, self.plan):
            if told and word in told:
                return int(_number(told.get(word)))
        return 0


def _task_of(name: str, records: Sequence[_Record]) -> Task:
    """Put the records of a task together: those of the process that began last count.

    One process may carry out several plans for a task, as of a data set and its stimuli: these are
    added up. The same plan once more is another attempt.
    """
    newest = records[-1]
    token = newest.head.get("token")
    by_plan = {one.plan.get("key"): one for one in records if one.head.get("token") == token}
    mine = [one for one in by_plan.values() if one.plan or one is newest]
    shown = max(mine, key=lambda one: _WEIGHT.index(one.state))
    ends = [one.end for one in mine if one.end is not None]
    end = next((one for one in ends if _number(one.get("exit"))), ends[-1] if ends else {})
    exits = int(_number(end.get("exit"))) if len(ends) == len(mine) else None
    failed = {path: one for record in mine for path, one in record.failed.items()}
    running = shown.state in (TaskState.RUNNING, TaskState.LISTING)
    return Task(
        name=name,
        state=shown.state,
        began=len(records) - len(mine) + 1,
        host=_text(newest.head.get("host"), _SHORT),
        pid=int(_number(newest.head.get("pid"))),
        job=_text(newest.head.get("job"), _SHORT),
        files=sum(one.count("files") for one in mine),
        files_done=sum(one.count("done") for one in mine),
        files_failed=sum(one.count("failed") for one in mine),
        bytes=sum(one.count("bytes") for one in mine),
        bytes_done=sum(one.count("bytes_done") for one in mine),
        bytes_moved=sum(one.count("moved") for one in records),
        rate=_number(shown.last.get("rate")) if running else 0.0,
        retries=sum(one.count("retries") for one in mine),
        seconds=sum(_number((one.end or one.last).get("seconds")) for one in mine),
        heard=shown.heard,
        exit=exits,
        error=_text(end.get("error"), _SHORT),
        message=_text(end.get("message")),
        note=_text(shown.last.get("note")) if running else "",
        failed=tuple(failed.values()),
    )


_WEIGHT = (
    TaskState.DONE,
    TaskState.FAILED,
    TaskState.UNKNOWN,
    TaskState.LOST,
    TaskState.SILENT,
    TaskState.LISTING,
    TaskState.RUNNING,
)
"""What is told of a task that has several records: the last of these that one of them has."""


def _all_of(file: object, limit: int) -> bytes:
    """Read up to so many bytes, however few the system gives at once."""
    pieces: list[bytes] = []
    while limit > 0:
        piece: bytes = file.read(limit)  # type: ignore[attr-defined]
        if not piece:
            break
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def _values(lines: Iterable[bytes]) -> Iterator[Mapping[str, object]]:
    """Give the values of the lines that can be read: half a line cannot."""
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue  # half a line, or none of ours
        if isinstance(value, dict):
            yield value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return max(0, min(value, _MOST))


def _text(value: object, limit: int = _LONG) -> str:
    return value[:limit] if isinstance(value, str) else ""


def stands_at(root: Path, path: str) -> str:
    """Return what tells the file at a path from another one there; "" where there is none.

    Parameters
    ----------
    root : Path
        The data directory.
    path : str
        Relative to it; one that leads out of it has no file.
    """
    parts = path.split("/")
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        return ""
    try:
        real = os.path.realpath(root)
        folder = os.path.realpath(os.path.join(real, *parts[:-1]))
        if folder != real and not folder.startswith(real.rstrip(os.sep) + os.sep):
            return ""
        info = os.stat(os.path.join(folder, parts[-1]))
    except (OSError, ValueError):
        return ""
    return f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"


def _came(root: Path, failed: Failed) -> bool:
    """Whether a file that failed is here now: one stands there, and not the one that did then."""
    return stands_at(root, failed.path) not in ("", failed.stood)
