"""The tools that are compared, as a user calls them, and one timed run of theirs."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._data import BUCKET
from benchmarks._server import packaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._data import Case

    Commands = Callable[[str, Case, Path], list[list[str]]]

__all__ = [
    "ONE_BY_ONE",
    "OURS",
    "OURS_OLDER",
    "TOOLS",
    "FailedError",
    "Spent",
    "Tool",
    "environment",
    "has_cli",
    "run",
    "with_parser",
]

_PATIENCE = 900.0
_SAMPLE = 100
OURS = "neurofetch get"
OURS_OLDER = "neurofetch get, no checksums"
ONE_BY_ONE = "aws s3 cp, one process a file"


class FailedError(Exception):
    """A tool ended with an error."""


class Spent(NamedTuple):
    """What one run took: wall and processor seconds, peak memory in MB.

    Of the processor seconds, `user` are the program's own; the rest are the system's.
    """

    wall: float
    cpu: float
    memory: float
    user: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """Return both, one after the other."""
        peak = max(self.memory, other.memory)
        user = self.user + other.user
        return Spent(self.wall + other.wall, self.cpu + other.cpu, peak, user)

    def times(self, factor: float) -> Spent:
        """Return what so many times as much work would take."""
        return Spent(self.wall * factor, self.cpu * factor, self.memory, self.user * factor)


@dataclass(frozen=True)
class Tool:
    """A competitor.

    Parameters
    ----------
    name : str
        What a user types, without the details.
    commands : callable
        Endpoint URL, case and destination to the command lines, to be run one after another.
    cases : tuple of str
        Those in which it takes part; empty for all.
    sample : int or None
        It is timed on so many files, and the time is scaled to all of them.
    older : bool
        It meets uploads from before S3 kept checksums of whole objects: ETags are all there is.
    """

    name: str
    commands: Commands
    cases: tuple[str, ...] = ()
    sample: int | None = None
    older: bool = False

    @property
    def ours(self) -> bool:
        """Whether it keeps receipts, which say how each file was verified."""
        return self.name in (OURS, OURS_OLDER)

    def runs(self, case: Case) -> bool:
        """Whether it takes part."""
        return not self.cases or case.name in self.cases


def environment(url: str, home: Path) -> dict[str, str]:
    """Return what the processes see: no proxies, no accounts, no configuration files."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {
        **kept,
        "HOME": str(home),
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        # Theirs need not verify: the faster of the two ways of aws.
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def _is_foreign(name: str) -> bool:
    return name.startswith("AWS_") or name.lower().endswith("_proxy")


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _aws(url: str, verb: str, source: str, dest: str) -> list[str]:
    given = ["--endpoint-url", url, "--no-sign-request", "--only-show-errors"]
    return [_beside_python("aws"), "s3", verb, *given, source, dest]


def _sync(url: str, case: Case, dest: Path) -> list[list[str]]:
    return [_aws(url, "sync", f"s3://{BUCKET}/{case.name}/", str(dest))]


def _one_by_one(url: str, case: Case, dest: Path) -> list[list[str]]:
    things = itertools.islice(case.things(), _SAMPLE)
    return [_aws(url, "cp", f"s3://{BUCKET}/{thing.key}", f"{dest}/") for thing in things]


def _s5cmd(verb: str) -> Commands:
    def commands(url: str, case: Case, dest: Path) -> list[list[str]]:
        # The console script of the package is a wrapper in Python; the binary itself is quicker.
        binary = packaged("s5cmd", "bin", "s5cmd")
        given = ["--endpoint-url", url, "--no-sign-request", "--log", "error"]
        return [[binary, *given, verb, f"s3://{BUCKET}/{case.name}/*", f"{dest}/"]]

    return commands


def _awscrt(*memory: str) -> Commands:
    def commands(url: str, case: Case, dest: Path) -> list[list[str]]:
        program = [sys.executable, str(Path(__file__).with_name("_awscrt_s3.py")), url, BUCKET]
        keys = [thing.key for thing in case.things()]
        return [[*program, key, str(dest / Path(key).name), *memory] for key in keys]

    return commands


def with_parser(name: str) -> Tool:
    """Return our own command with another parser of HTTP responses; see `_parsers.py`."""

    def commands(url: str, case: Case, dest: Path) -> list[list[str]]:
        del url  # it is in the environment
        script = [sys.executable, "-m", "benchmarks._parsers", name]
        return [[*script, "get", f"s3://{BUCKET}/{case.name}/", "--dest", str(dest)]]

    return Tool(name, commands)


def _ours(url: str, case: Case, dest: Path) -> list[list[str]]:
    del url  # it is in the environment
    if has_cli():
        source = f"s3://{BUCKET}/{case.name}/"
        return [[_beside_python("neurofetch"), "get", source, "--dest", str(dest)]]
    script = str(Path(__file__).with_name("_ours.py"))
    return [[sys.executable, script, f"{case.name}/", str(dest)]]


@functools.cache
def has_cli() -> bool:
    """Whether the command line works here; without it a script does the same through Python."""
    asked = [_beside_python("neurofetch"), "get", "--help"]
    try:
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


TOOLS = (
    Tool(OURS, _ours),
    Tool(OURS_OLDER, _ours, older=True),
    Tool("aws s3 sync", _sync),
    Tool("awscrt.s3", _awscrt(), cases=("big",)),
    Tool("awscrt.s3, 256 MiB", _awscrt("256"), cases=("big",)),
    Tool("s5cmd cp", _s5cmd("cp")),
    Tool("s5cmd sync", _s5cmd("sync"), cases=("noop",)),
    Tool(ONE_BY_ONE, _one_by_one, cases=("small",), sample=_SAMPLE),
)


def run(command: list[str], environ: dict[str, str], log: Path) -> Spent:
    """Run a command to its end; what it says goes to `log`.

    Raises
    ------
    FailedError
        With the end of what it said.
    """
    with log.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        guard = threading.Timer(_PATIENCE, process.kill)
        guard.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        msg = f"{' '.join(command)} ended with {process.returncode}: {said}"
        raise FailedError(msg)
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return Spent(wall, cpu, memory, usage.ru_utime)
