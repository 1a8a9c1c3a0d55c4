"""A user's shell, and what a user finds on the disk: for the tests of the commands."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.laion import GATED, Recipe, local_name, make_bucket
from testbed.s3 import HELD_OUT, S3Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REFUSED = (*HELD_OUT, *GATED)
SMALL = Recipe(
    subjects=("sub-01", "sub-03"), trials_per_session=8, figures_per_session=2, grid=(10, 12, 9)
)
LICENSE = {"LAION_FMRI_ACCEPT_LICENSE": "CC0-1.0"}
_BIN = Path(sys.executable).parent

#: Makes stdin the controlling terminal, so that Ctrl-C typed there is a signal.
_CONTROLLED = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@cache
def bucket(recipe: Recipe | None = None) -> dict[str, bytes]:
    return make_bucket(recipe)


def make_s3() -> S3Server:
    """Return a server with two subjects; it refuses what the real one refuses."""
    return S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED)


def on_disk(root: Path) -> set[str]:
    """Every file below a data directory but the package's own."""
    found = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    return {path for path in found if not path.startswith((".laion_fmri/", ".neurofetch/"))}


def local(keys: Iterable[str]) -> set[str]:
    return {local_name(key) for key in keys}


def same_bytes(root: Path, objects: Mapping[str, bytes]) -> None:
    """Whatever is on the disk is what the bucket has under that name."""
    by_path = {local_name(key): content for key, content in objects.items()}
    for path in on_disk(root):
        assert (root / path).read_bytes() == by_path[path], path


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Shell:
    """A shell of a user who has never used the package: an own home, nothing in the environment.

    Parameters
    ----------
    home
        An empty directory; it is also where commands run.
    endpoint
        Of the S3 server.
    """

    def __init__(self, home: Path, endpoint: str) -> None:
        self.home = home
        self.data = home / "data"
        self.data.mkdir(exist_ok=True)
        self.env = {
            "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "AWS_ENDPOINT_URL": endpoint,
            "LAION_FMRI_DATA_DIR": str(self.data),
            "COLUMNS": "80",
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "error::ResourceWarning",
        } | LICENSE
        if sources := os.environ.get("PYTHONPATH"):  # those of a working tree beside the installed
            folders = sources.split(os.pathsep)
            self.env["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders))

    def with_env(self, **changes: str | None) -> dict[str, str]:
        env = {**self.env, **{k: v for k, v in changes.items() if v is not None}}
        return {name: text for name, text in env.items() if changes.get(name, "") is not None}

    def __call__(self, line: str, *, input: str = "", **env: str | None) -> Done:  # noqa: A002
        """Run a line of shell; a keyword sets a variable, None unsets it."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.home,
            env=self.with_env(**env),
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, line: str, **env: str | None) -> subprocess.Popen[str]:
        """Start a command (no shell between, so that signals reach it)."""
        return subprocess.Popen(
            line.split(),
            cwd=self.home,
            env=self.with_env(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def in_terminal(self, line: str, typed: bytes = b"", **env: str | None) -> tuple[int, str]:
        """Run a command whose stdin and stderr are a terminal; return its code and the screen.

        What is `typed` is sent as soon as a prompt appears.
        """
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        printed = self.home / "stdout"  # a file, since nobody reads a pipe meanwhile
        with printed.open("wb") as stdout:
            process = subprocess.Popen(
                [sys.executable, "-c", _CONTROLLED, *line.split()],
                cwd=self.home,
                env=self.with_env(TERM="xterm", **env),
                stdin=slave,
                stdout=stdout,
                stderr=slave,
            )
        os.close(slave)
        screen, until = b"", time.monotonic() + 30
        while time.monotonic() < until:
            if typed and b"> " in screen:
                os.write(master, typed)
                typed = b""
            if select.select([master], [], [], 0.1)[0]:
                try:
                    screen += os.read(master, 65536)
                except OSError:  # the other end is closed: the process ended
                    break
            elif process.poll() is not None:
                break
        try:
            code = process.wait(10)
        finally:
            process.kill()
        screen += b"\n--stdout--\n" + printed.read_bytes()
        printed.unlink()
        os.close(master)
        return code, screen.decode()


def ended(process: subprocess.Popen[str], timeout: float = 20) -> Done:
    """Wait for the end of a process that was started."""
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[Done, float]:
    """Send a signal; return how the process ended, and after how many seconds."""
    began = time.monotonic()
    process.send_signal(number)
    done = ended(process)
    return done, time.monotonic() - began
