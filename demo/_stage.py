"""What the acts of the demo share: a folder to work in, commands to run, headings to print."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HERE", "Stage", "command_line", "heading", "say"]

HERE = Path(__file__).parent
_WIDTH = 100


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def say(text: str) -> None:
    """Print a remark."""
    print(f"   {text}", flush=True)


@dataclass
class Stage:
    """A working folder and an environment for commands.

    Parameters
    ----------
    folder
        Emptied at the start.
    variables
        Added to the environment of every command.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.set(
            XDG_CONFIG_HOME=str(self.folder / "config"), XDG_CACHE_HOME=str(self.folder / "cache")
        )

    def set(self, **variables: str) -> None:
        """Set environment variables for all that follows."""
        self.variables.update(variables)
        os.environ.update(variables)

    def run(self, command: str, *, expect: int = 0) -> str:
        """Run a command line as a user would; show it, what it prints, and how long it took.

        Returns
        -------
        str
            What it printed on stdout.
        """
        print(f"\n$ {command}", flush=True)
        began = time.perf_counter()
        done = subprocess.run(
            self._argv(command), cwd=self.folder, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - began
        for text in (done.stderr, done.stdout):
            if text.strip():
                print(_shortened(text.rstrip()), flush=True)
        say(f"({seconds:.2f} s, exit code {done.returncode})")
        if done.returncode != expect:
            msg = f"expected exit code {expect}: {command}"
            raise SystemExit(msg)
        return done.stdout

    def kill_when(self, command: str, ready: Callable[[], bool], number: int) -> None:
        """Run a command and send it a signal as soon as `ready` says so."""
        print(f"\n$ {command}", flush=True)
        process = subprocess.Popen(
            self._argv(command), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        until = time.monotonic() + 60
        while process.poll() is None and not ready() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        print(_shortened(output.decode().rstrip()), flush=True)
        say(f"({signal.Signals(number).name} sent; exit code {process.returncode})")

    @staticmethod
    def _argv(command: str) -> list[str]:
        program, *arguments = shlex.split(command)
        return [str(Path(sys.executable).with_name(program)), *arguments]


def command_line(words: str) -> str:
    """Return a command as whoever reads it can run it: it need not be in their PATH."""
    program, _, rest = words.partition(" ")
    path = Path(sys.executable).with_name(program)
    here = HERE.parent
    return f"{path.relative_to(here) if path.is_relative_to(here) else path} {rest}"


def _shortened(text: str, most: int = 26) -> str:
    """Leave out the middle of a long output, and the ends of long lines of JSON.

    A message stays whole: what can be done stands at its end.
    """
    lines = [part for line in text.splitlines() for part in _broken(line)]
    if len(lines) > most:
        lines[most // 2 : -most // 2] = [f"   ... {len(lines) - most} lines ..."]
    return "\n".join(lines)


def _broken(line: str) -> list[str]:
    if len(line) <= _WIDTH:
        return [line]
    if line.lstrip().startswith(("{", "[", '"')):
        return [line[: _WIDTH - 3] + "..."]
    return textwrap.wrap(
        line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
