"""Which process a file in the state folder belongs to, and whether that process still lives.

No lock is held for correctness: ``flock`` does not do what it says on every cluster file system.
A process is known by its host, number and start; one on another host by the file that it touches
every few seconds.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import time
from functools import cache
from pathlib import Path

__all__ = ["Owner"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_]")
BEAT_SECONDS = 10.0
SILENT_SECONDS = 90.0
"""An owner on another host that has not touched its journal for so long counts as dead."""

_ENDED = ("Z", "X", "x")
"""The states of a process in ``/proc/PID/stat`` that has ended: zombie, dead (proc(5))."""

_running: set[str] = set()
"""Tokens of the runs under way in this very process; a notebook has one run after another."""


class Owner:
    """One run of this process.

    Attributes
    ----------
    token : str
        ``host-pid-start-nonce``: a name, safe in file names.
    journal : Path
        The file that the run appends to and touches while it lives.
    """

    def __init__(self, journals: Path) -> None:
        self.token = f"{_host()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"
        self._journals = journals
        self.journal = journals / f"{self.token}.jsonl"

    def begin(self) -> None:
        """Say that the run is under way."""
        _running.add(self.token)

    def end(self) -> None:
        """Say that the run is over: what it left may be taken, also by this process later."""
        _running.discard(self.token)

    def beat(self) -> None:
        """Show other hosts that this run still lives."""
        with contextlib.suppress(FileNotFoundError):  # not begun, or merged by another run
            os.utime(self.journal)

    def is_dead(self, token: str) -> bool:
        """Whether the run with this token has ended, as far as can be seen from here.

        A wrong result costs a second download and nothing else.
        """
        if token == self.token:
            return False
        host, _, rest = token.partition("-")
        numbers = rest.split("-")
        if host == _host() and len(numbers) == 3:
            pid = int(numbers[0]) if numbers[0].isdecimal() else 0
            if pid == os.getpid() and numbers[1] == _started(pid):
                return token not in _running
            return pid <= 0 or _started(pid) != numbers[1]
        return self._silent(token)

    def _silent(self, token: str) -> bool:
        """Compare two times that the same file server wrote, so that no clock matters."""
        self.beat()
        try:
            theirs = (self._journals / f"{token}.jsonl").stat().st_mtime
        except FileNotFoundError:
            return True
        try:
            mine = self.journal.stat().st_mtime
        except FileNotFoundError:
            mine = time.time()  # we only plan, and write nothing
        return mine - theirs > SILENT_SECONDS


@cache
def _host() -> str:
    """Return a name for what process numbers are unique in: boot and process namespace."""
    name = _UNSAFE.sub("", socket.gethostname())[:24] or "host"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux: the host's name must do
        return name
    return f"{name}_{boot}_{space}"


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's own ticks; "" when there is none.

    A process that has ended stays in ``/proc`` until its parent asks how it ended, which some
    parents never do (the first process of many containers): it is a zombie, and runs no more.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in _ENDED else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except (OSError, IndexError):
        return ""
    return "0" if _answers(pid) else ""


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
