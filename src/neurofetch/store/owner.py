"""Which process a file in the state folder belongs to, and whether that process still lives.

No lock is held for correctness: ``flock`` does not do what it says on every cluster file system.
A process is known by its host, number and start; one on another host, or one that the system hides
from us, by the file that it touches every few seconds. A process may outlive its run (a worker of a
pool, the kernel of a notebook), so that file counts also where the process is seen to live.

"Ended" is only said of what was seen to have ended. Of a process that is silent for long nothing is
known: it may be suspended and wake up. What belongs to it may be copied, and is never written to.
"""

from __future__ import annotations

import enum
import logging
import os
import re
import secrets
import socket
import sys
import threading
import time
import weakref
from functools import cache, partial
from pathlib import Path

from neurofetch._threads import started

__all__ = [
    "ENDED_PREFIX",
    "SILENT_SECONDS",
    "Life",
    "Owner",
    "is_token",
    "life_here",
    "process_token",
]

_log = logging.getLogger("neurofetch")

_UNSAFE = re.compile(r"[^A-Za-z0-9_]")
_TOKEN = re.compile(r"[A-Za-z0-9_]{1,80}-[0-9]{1,10}-[0-9]{1,20}-[0-9a-f]{8}")
BEAT_SECONDS = 10.0
SILENT_SECONDS = 90.0
"""An owner that cannot be seen and has not touched its journal for so long counts as silent."""

ENDED_PREFIX = "ended-"
"""The journal of a run that ends gets this before its name."""

_LOOK_SECONDS = 1.0
"""For so long a run is believed to live that was seen to: many files may be claimed by it."""

_PATIENCE = 1.0
"""Seconds, at most, that the end of a run waits for the thread that shows that it lives."""

_ENDED = ("Z", "X", "x")
"""The states of a process in ``/proc/PID/stat`` that has ended: zombie, dead (proc(5))."""

_STOPPED = ("T", "t")
"""The states of a process that is suspended (Ctrl-Z), or held by a debugger: it may never go on."""
_TIME_OF_THE_HOST = "4026531834"
"""The number of the first namespace of time (PROC_TIME_INIT_INO in include/linux/proc_ns.h)."""
_UNKNOWN = "0"
"""When a process started, in its token, where it could not see that."""

_running: set[str] = set()
"""Tokens of the runs under way in this very process; a notebook has one run after another."""
_lingering: set[str] = set()
"""Tokens of runs of this process that are over, while a thread of theirs could not be stopped."""


class Life(enum.Enum):
    """What is known of the run that something belongs to."""

    LIVES = "lives"
    SILENT = "silent"
    """Nothing was heard of it for long. It may be suspended, and go on."""
    ENDED = "ended"
    """It was seen to have ended: no file of it is open any more."""


def is_token(text: str) -> bool:
    """Whether a text can be the token of an owner."""
    return _TOKEN.fullmatch(text) is not None


@cache
def _token_of(pid: int) -> str:
    return f"{_host()}-{pid}-{_started(pid) or _UNKNOWN}-{secrets.token_hex(4)}"


def process_token() -> str:
    """Return a token that stands for this process, not for one of its runs, while it lives."""
    token = _token_of(os.getpid())
    _running.add(token)
    return token


class Owner:
    """One run of this process.

    Attributes
    ----------
    token : str
        ``host-pid-start-nonce``: a name, safe in file names.
    journal : Path
        The file that the run appends to and touches while it lives.
    beats : bool
        Whether a thread of its own touches the journal.
    """

    def __init__(self, journals: Path) -> None:
        pid = os.getpid()
        self.token = f"{_host()}-{pid}-{_started(pid) or _UNKNOWN}-{secrets.token_hex(4)}"
        self._journals = journals
        self.journal = journals / f"{self.token}.jsonl"
        self.beats = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._over.set)
        self._last_heard: dict[str, tuple[float, float]] = {}
        """By token: what its journal said, and since when (monotonic seconds)."""
        self._seen_alive: dict[str, float] = {}
        """By token: when its run was found to live (monotonic seconds)."""

    def begin(self) -> None:
        """Say that the run is under way, from now on by a thread of its own.

        The thread does nothing else, so nothing else can keep it from its work: not a disk that
        hangs, not a terminal that takes no more lines.
        """
        _running.add(self.token)
        self._thread = started(partial(_keep_beating, self.journal, self._over), "neurofetch-alive")
        self.beats = self._thread is not None  # else whoever watches the run must beat

    def end(self, *, lingers: bool = False) -> None:
        """Say that the run is over: what it left may be taken, also by this process later.

        Parameters
        ----------
        lingers : bool
            A thread of it is still at work, and may yet write to a file; `gone` tells of its end.
        """
        self._over.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)  # longer only where the disk hangs
        if lingers:
            _lingering.add(self.token)
        _running.discard(self.token)

    def gone(self) -> None:
        """Say that the last thread of the run has ended."""
        _lingering.discard(self.token)

    def beat(self) -> bool:
        """Show others that this run still lives; whether that could be done.

        What goes wrong here says nothing about the run, which goes on: a file server that is away
        for a while (ESTALE, EIO), a file system that does not let us (EPERM).
        """
        return _touched(self.journal)

    def is_dead(self, token: str) -> bool:
        """Whether what a run left may be taken: it has ended, or is silent."""
        return self.life(token) is not Life.LIVES

    def life(self, token: str) -> Life:
        """Return what is known of a run, as far as can be seen from here."""
        if token == self.token:
            return Life.LIVES
        found = life_here(token)
        if found is None:
            return Life.SILENT if self._silent(token) else Life.LIVES
        if found is Life.LIVES and not _is_of_this_process(token) and self._left_off(token):
            return Life.SILENT
        return found

    def _left_off(self, token: str) -> bool:
        """Whether the run of a process that lives is over, or shows no life any more.

        It may have been cut off from the disk when it ended, and could give nothing back. A journal
        that is not there says nothing: not every token is of a run that has one. Nor does one that
        was not touched where ours cannot be touched either.
        """
        now = time.monotonic()
        if now - self._seen_alive.get(token, -_LOOK_SECONDS) < _LOOK_SECONDS:
            return False
        if self.has_journal(token):
            left_off = self.beat() and self._silent(token)
        else:
            left_off = os.path.lexists(self._journals / f"{ENDED_PREFIX}{token}.jsonl")
        if not left_off:
            self._seen_alive[token] = now
        return left_off

    def has_journal(self, token: str) -> bool:
        """Whether the journal of a run is there, under the name that it has while the run lives."""
        return os.path.lexists(self._journals / f"{token}.jsonl")

    def _silent(self, token: str) -> bool:
        """Whether nothing was heard of a run for long.

        Two times that the same file server wrote are compared, so that no clock of ours matters.
        Where that cannot be done, or their clock is ahead, it counts how long we saw no change.
        """
        try:
            theirs = os.lstat(self._journals / f"{token}.jsonl").st_mtime
        except (OSError, ValueError):
            return True
        now = time.monotonic()
        heard, since = self._last_heard.setdefault(token, (theirs, now))
        if heard != theirs:
            self._last_heard[token] = theirs, now
        elif now - since > SILENT_SECONDS:
            return True
        return self._now() - theirs > SILENT_SECONDS

    def is_old(self, info: os.stat_result) -> bool:
        """Whether a file was written longer ago than a process that lives is silent."""
        return self._now() - info.st_mtime > SILENT_SECONDS

    def _now(self) -> float:
        """Return the time of the file server; of this host where we write nothing there."""
        self.beat()
        try:
            return os.lstat(self.journal).st_mtime
        except OSError:
            return time.time()


def life_here(token: str) -> Life | None:
    """Return what the system says of the run with this token; None where it does not say.

    Parameters
    ----------
    token : str
        Of a run on any host; the system tells of those on this one, since it booted.
    """
    host, _, rest = token.partition("-")
    numbers = rest.split("-")
    if host == _host() and len(numbers) == 3 and _is_number(numbers[0]):
        return _seen(int(numbers[0]), numbers[1], token)
    return None


def _is_of_this_process(token: str) -> bool:
    """Whether a run is one of ours. `_running` does not tell: a fork has that of its parent."""
    return token.split("-")[1] == str(os.getpid())


def _seen(pid: int, start: str, token: str) -> Life | None:
    """Return what the system says of a process of this host; None where it does not say."""
    if pid <= 0:
        return Life.ENDED
    now = _started(pid)
    if pid == os.getpid() and (now or _UNKNOWN) == start:
        if token in _running:
            return Life.LIVES
        return Life.SILENT if token in _lingering else Life.ENDED
    if now is None or (start == _UNKNOWN != now and now):
        return None  # one of us, or the run itself, could not see when it started
    return Life.LIVES if now == start else Life.ENDED


def _keep_beating(journal: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        _touched(journal)


def _touched(journal: Path) -> bool:
    try:
        os.utime(journal, follow_symlinks=False)
    except FileNotFoundError:  # not begun
        return False
    except OSError as error:
        _log.debug("the journal cannot be touched: %s", error)
        return False
    return True


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


@cache
def _host() -> str:
    """Return a name for what process numbers and starts mean one thing in.

    That is the boot, the namespace of process numbers, and that of the time since the boot. Where
    the system does not tell its namespace, nothing is known of any other process by its number: the
    name is one that no other process has.
    """
    name = _UNSAFE.sub("", socket.gethostname())[:24] or "host"
    if not sys.platform.startswith("linux"):
        return name
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return f"{name}_{secrets.token_hex(6)}"
    return f"{name}_{boot}_{space}{_time_space()}"


def _time_space() -> str:
    """Return what to add to the name where the time since the boot is not that of the host."""
    try:
        space = os.readlink("/proc/self/ns/time").strip("time:[]")
    except OSError:
        return ""  # a system without
    return "" if space == _TIME_OF_THE_HOST else f"_{space}"


def _started(pid: int) -> str | None:
    """Return when a process started, in the kernel's own ticks; "" when it has ended.

    A process that has ended stays in ``/proc`` until its parent asks how it ended, which some
    parents never do (the first process of many containers): it is a zombie, and runs no more.

    Returns
    -------
    str or None
        None where the system does not tell: on many login nodes ``/proc`` hides the processes of
        others (``hidepid``). That is no sign of an end. Also where it is suspended: then it counts
        when it was last heard of.
    """
    if not _is_there(pid):
        return ""
    if not _proc_is_ours():
        return None if sys.platform.startswith("linux") else "0"
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        if fields[0] in _STOPPED:
            return None
        others = int(fields[17]) > 1  # threads that are at work yet, as in a write that hangs
        return "" if fields[0] in _ENDED and not others else fields[19]
    except (OSError, IndexError, ValueError):
        return None


def _is_there(pid: int) -> bool:
    """Ask by a signal that does nothing: it finds also the processes that ``/proc`` hides."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # of another user
    return True


@cache
def _proc_is_ours() -> bool:
    """Whether ``/proc`` numbers processes as this process does: a container may see the host's."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False
