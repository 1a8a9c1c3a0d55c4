"""Where a process of the soak runs: on which "host", as which user, and what it sees of others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache

GROUP = 20_000
"""The group of the users of one directory; the system need not know it by a name."""
_HIDDEN = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
_READS = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
"""Python may lie in a folder of another user's: it may be read, and nothing more is allowed."""


def _works(*command):
    try:
        done = subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@cache
def users():
    """Whether processes can run as users of their own."""
    return os.geteuid() == 0 and _works(*as_user(1))


@cache
def hosts():
    """Whether a process can run on a "host" of its own: where process numbers are its own."""
    return _works(*other_host())


@cache
def hides():
    """Whether a process can be kept from seeing the processes of other users."""
    return users() and _works("unshare", "-m", "sh", "-c", _HIDDEN, "sh", *as_user(1))


def as_user(number):
    """Return the beginning of a command that runs as user `number`, of the common group."""
    who = ["--reuid", str(GROUP + number), "--regid", str(GROUP), "--clear-groups"]
    return ["setpriv", *who, *_READS]


def other_host():
    """Return the beginning of a command that runs where process numbers are its own."""
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *root, "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"]


def command(arguments, *, host, user, hidden):
    """Return the command that runs Python with these arguments at such a place."""
    where = other_host() if host and hosts() else []
    if hidden and hides() and not where:
        where = ["unshare", "-m", "sh", "-c", _HIDDEN, "sh"]
    who = as_user(user) if users() else []
    return [*where, *who, sys.executable, *arguments]


def process_of(pid, *, host):
    """Return the process that does the work: the child of the one that made the namespace."""
    if not (host and hosts()):
        return pid
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return int((file.read().split() or [0])[0])
    except (OSError, ValueError):
        return 0


def alone():
    """Run this program again in a mount namespace of its own, where that is allowed."""
    if os.environ.get("SOAK_ALONE") or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    if _works("unshare", "-m"):
        os.environ["SOAK_ALONE"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-m", "tests.soak", *sys.argv[1:]])
